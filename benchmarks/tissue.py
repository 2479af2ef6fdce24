"""How well tissue and artefact tiles are found on procedural slides with known truth, at default settings.

    python benchmarks/tissue.py [--slides N] [--seed FIRST] [--contact FILE.png]

The slides of tests/tissue/scenes.py: pale to dark stain, fat, pen in five colours, dust, fibres, coverslip edges, white,
grey and tinted glass, uneven light. Pen over tissue does not count as tissue.

dice          {"min", "median", "share_above_95"} of the tissue mask at 8 micrometres per pixel
artefacts     {blur, pen, fold, any: {"recall", "precision"}} of tiles of 112 micrometres: bad ones have more than half of
              their area in the artefact and should be left out, clean ones less than a tenth and should be kept

Prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "tissue"))

import scenes


def contact(seeds: range, path: Path) -> None:
    """The first slides with the outline that was found."""
    from PIL import Image

    from pathosig.tissue import tissue_mask
    from pathosig.tissue.morphology import eroded

    pictures = []
    for seed in list(seeds)[:12]:
        rgb = np.rint(scenes.halved(scenes.tissue_scene(seed).rgb)).astype(np.uint8)
        mask = tissue_mask(rgb, mpp=2 * scenes.UM)
        rgb[mask & ~eroded(mask, 2)] = (0, 200, 0)
        pictures.append(rgb[::2, ::2])
    rows = [np.concatenate(pictures[i : i + 4], axis=1) for i in range(0, len(pictures) // 4 * 4, 4)]
    Image.fromarray(np.concatenate(rows, axis=0)).save(path)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slides", type=int, default=24)
    parser.add_argument(
        "--seed", type=int, default=200, help="seeds below 150 were looked at while it was built"
    )
    parser.add_argument("--contact", type=Path)
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.slides)
    found = np.array([scenes.tissue_dice(seed) for seed in seeds])
    counts = [scenes.artefact_counts(seed) for seed in seeds]
    artefacts = {}
    for name in (*scenes.ARTEFACTS, "any"):
        hit, missed, false = np.sum([c[name] for c in counts], axis=0)
        artefacts[name] = {
            "recall": round(float(hit / max(hit + missed, 1)), 3),
            "precision": round(float(hit / max(hit + false, 1)), 3),
            "tiles": int(hit + missed),
        }
    if arguments.contact:
        contact(seeds, arguments.contact)
    overlap = {
        "min": round(float(found.min()), 3),
        "median": round(float(np.median(found)), 3),
        "share_above_95": round(float((found >= 0.95).mean()), 3),
    }
    print(json.dumps({"slides": len(found), "dice": overlap, "artefacts": artefacts}))


if __name__ == "__main__":
    main()
