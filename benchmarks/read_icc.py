"""What turning colours into sRGB costs while tiles are read, and how far the colours are from those of ImageCms.

    python benchmarks/read_icc.py [--side PX] [--rounds N]

The mosaic of `read_tiles.py` with an RGB profile of wide primaries; every 224 px tile, one thread, medians of interleaved rounds.

cost        by target mpp: CPU time with icc = "srgb" over that without, minus 1
first_ms    what the first slide of a profile costs in addition: its colours are converted once
largest     greatest difference from `PIL.ImageCms`, in grey levels, over a whole level
imagecms_cost   what conversion by ImageCms alone would cost at 0.5 mpp, as a proportion of reading

Prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests" / "slides")]
MPPS = (0.25, 0.5, 0.61, 1.0)


def seconds(path: Path, mpp: float, icc: str) -> float:
    """CPU seconds of reading all tiles of a slide."""
    from pathosig.slides import open_slide, plan_read, read_tiles

    start = time.process_time()
    with open_slide(path, icc=icc) as reader:
        plan = plan_read(reader.info, mpp)
        step = round(224 * plan.level0_per_px)
        width, height = reader.info.level_sizes[0]
        xy = np.array(
            [(x, y) for y in range(0, height - step + 1, step) for x in range(0, width - step + 1, step)]
        )
        for _ in read_tiles(reader, plan, xy, 224):
            pass
    return time.process_time() - start


def with_profile(source: Path, path: Path, profile: bytes) -> Path:
    """The same slide with an ICC profile in its first image."""
    import tifffile

    with tifffile.TiffFile(source) as old, tifffile.TiffWriter(path) as new:
        for page in old.pages:
            new.write(
                page.asarray(),
                tile=(page.tilelength, page.tilewidth),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 80},
                description=page.description,
                metadata=None,
                iccprofile=profile,
            )
    return path


def measure(side: int, rounds: int) -> dict[str, object]:
    """All numbers."""
    from test_icc import by_pillow, wide_profile

    from pathosig.slides import open_slide
    from read_tiles import build

    profile = wide_profile()
    with tempfile.TemporaryDirectory() as folder:
        path = with_profile(build(Path(folder) / "plain.svs", side), Path(folder) / "slide.svs", profile)
        plain = seconds(path, 0.5, "off")
        first = seconds(path, 0.5, "srgb") - plain
        cost = {}
        for mpp in MPPS:
            pairs = [(seconds(path, mpp, "srgb"), seconds(path, mpp, "off")) for _ in range(rounds)]
            cost[str(mpp)] = round(statistics.median(a / b for a, b in pairs) - 1, 3)
        with open_slide(path) as stored, open_slide(path, icc="srgb") as managed:
            size = stored.info.level_sizes[0]
            pixels = stored.read_level(0, 0, 0, *size)
            start = time.process_time()
            expected = by_pillow(pixels, profile)
            alone = time.process_time() - start
            largest = np.abs(managed.read_level(0, 0, 0, *size).astype(int) - expected).max()
    return {
        "cost": cost,
        "first_ms": round(1000 * first),
        "largest": int(largest),
        "imagecms_cost": round(alone / 4 / plain, 2),
    }


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=4032)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    print(json.dumps(measure(given.side, given.rounds)))


if __name__ == "__main__":
    main()
