"""How often W_BACKGROUND names tinted glass, and how often neutral glass. Prints one JSON object as its last line.

    python benchmarks/glass.py [--slides 60] [--cohorts 40] [--seed 0]

Low-power images are painted: half of the slides on neutral glass (brightness 190 to 252, up to 18 levels warm or cool, as the warmest glass of a
scanner that is known, (243, 240, 225)), half on glass of any hue whose weakest channel is 12 to 60 % below the strongest. All have noise, a vignette of up to 15 %
and 5 to 60 % tissue. A cohort has ten slides of one scanner (neutral glass within 3 levels); in one half of the cohorts one slide has a tint of its own, 12 to 40 % of
any hue.

hits, false_alarms               slides with a warning among tinted and among neutral ones
cohort_hits, cohort_false_alarms cohorts in which exactly the deviating slide is named (by itself or as one that differs), and cohorts without one in which any is named
missed                           the tinted glass without a warning
real                             glass of the slides in the folder PATHOSIG_DATA/slides, and whether it has a warning
"""

from __future__ import annotations

import argparse
import colorsys
import json
import os
from pathlib import Path

import numpy as np

from pathosig.core.errors import PathosigError
from pathosig.slides import open_slide, read_overview
from pathosig.tissue.glass import disagreeing, glass_colour, glass_warning

SIDE = 300


def neutral(rng: np.random.Generator) -> np.ndarray:
    """Colour of the glass of some scanner."""
    level, warm = rng.uniform(190, 252), rng.uniform(-8, 18)
    return np.array([level, level - 0.2 * abs(warm), level - max(warm, 0)]) - [max(-warm, 0), 0, 0]


def tinted(rng: np.random.Generator, weakest: float = 0.12, strongest: float = 0.6) -> np.ndarray:
    """Colour of glass of any hue."""
    rgb = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(weakest, strongest), rng.uniform(0.75, 0.98))
    return 255 * np.array(rgb)


def painted(glass: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A slide at low power, uint8[SIDE, SIDE, 3]: tissue on glass."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    radius = np.sqrt(rng.uniform(0.05, 0.6) / np.pi)
    tissue = (x**2 + y**2 < radius**2)[..., None]
    stain = glass * rng.uniform([0.6, 0.35, 0.6], [0.95, 0.7, 0.9])
    image = np.where(tissue, stain * rng.uniform(0.8, 1.1, (SIDE, SIDE, 1)), glass)
    shade = 1 - rng.uniform(0, 0.15) * 2 * (x**2 + y**2)[..., None]
    return np.clip(image * shade + rng.normal(0, rng.uniform(0, 4), image.shape), 0, 255).astype(np.uint8)


def colour(glass: np.ndarray, rng: np.random.Generator) -> tuple[int, int, int]:
    """What the tissue stage finds for this glass."""
    return glass_colour(painted(glass, rng))


def named(colours: dict[str, tuple[int, int, int]]) -> set[str]:
    """Slides of a cohort with a warning of their own, or named as different from the others."""
    return {name for name, rgb in colours.items() if glass_warning(rgb)} | set(disagreeing(colours))


def cohort(deviates: bool, rng: np.random.Generator) -> set[str]:
    """The named slides of a cohort of ten."""
    scanner = neutral(rng)
    glasses = [scanner + rng.uniform(-3, 3, 3) for _ in range(10)]
    if deviates:
        glasses[0] = tinted(rng, 0.12, 0.4)
    return named({str(k): colour(np.clip(g, 0, 255), rng) for k, g in enumerate(glasses)})


def main() -> None:
    """Paint, warn, count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slides", type=int, default=60)
    parser.add_argument("--cohorts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    half = options.slides // 2
    plain = [colour(neutral(rng), rng) for _ in range(half)]
    tints = [colour(tinted(rng), rng) for _ in range(half)]
    deviating = [cohort(True, rng) for _ in range(options.cohorts // 2)]
    uniform = [cohort(False, rng) for _ in range(options.cohorts // 2)]
    real = {}
    for path in sorted((Path(os.environ.get("PATHOSIG_DATA", "")) / "slides").glob("*.*")):
        try:
            with open_slide(path, mpp=0.5) as reader:
                rgb = glass_colour(read_overview(reader, 8.0)[0])
        except PathosigError:
            continue
        real[path.name] = [*rgb, glass_warning(rgb) is not None]
    print(
        json.dumps(
            {
                "hits": [sum(glass_warning(c) is not None for c in tints), half],
                "false_alarms": [sum(glass_warning(c) is not None for c in plain), half],
                "cohort_hits": [sum(names == {"0"} for names in deviating), len(deviating)],
                "cohort_false_alarms": [sum(bool(names) for names in uniform), len(uniform)],
                "missed": [c for c in tints if glass_warning(c) is None],
                "real": real,
            }
        )
    )


if __name__ == "__main__":
    main()
