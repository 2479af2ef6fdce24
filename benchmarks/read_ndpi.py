"""How fast NDPI slides are read: intervals between restart markers against OpenSlide.

    python benchmarks/read_ndpi.py [--side PX] [--rounds N]

Builds a 0.25 mpp NDPI (a mosaic of real tissue; one JPEG a level, 4:2:2, a restart marker every 128 MCUs, so
intervals of 2048 x 8 px as scanners write them; levels 1, 4 and 16) and reads a full grid of 224 px tiles, row
by row. Ratios are tiles per CPU-second in the same run, one thread, medians of interleaved rounds.

vs_openslide   by target mpp: OpenSlide read_region of the best level (it makes its own halves and quarters of a
               JPEG) + PIL bicubic where that is not the target
vs_openslide_stored   the same from the nearest finer level that is stored in the file
openslide_psnr_db     of OpenSlide's reading at 0.5 mpp: of the best level, and of the stored one
identical      whether native tiles have OpenSlide's pixels
psnr_db, bias  at 0.5 mpp against area means of the native pixels; bias is the worst channel's, in grey levels
rss_mb         peak resident memory of a process that reads the whole grid at 0.5 mpp

Prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "slides"))

SIZE = 224
MPPS = (0.25, 0.5, 1.0, 2.0)
STORED = (1, 4, 16)
SOURCE = Path(os.environ.get("PATHOSIG_DATA", "data")) / "slides" / "cmu-1-small-region.svs"


def build(path: Path, side: int) -> Path:
    """The slide, side x side pixels; side is a multiple of 2048."""
    import tifffile
    from ndpis import write_ndpi

    rng = np.random.default_rng(0)
    tissue = tifffile.imread(SOURCE, key=0)
    image = np.empty((side, side, 3), np.uint8)
    for y in range(0, side, 960):
        for x in range(0, side, 960):
            top, left = rng.integers(0, tissue.shape[0] - 960), rng.integers(0, tissue.shape[1] - 960)
            piece = np.rot90(tissue[top : top + 960, left : left + 960], int(rng.integers(4)))
            image[y : y + 960, x : x + 960] = piece[: side - y, : side - x]
    return write_ndpi(path, image, levels=STORED, blocks=128, quality=80)


def grid(side: int, mpp: float) -> np.ndarray:
    """Corners of all whole tiles, row by row, level-0 pixels."""
    step = round(SIZE * mpp / 0.25)
    at = np.arange(0, side - step + 1, step)
    return np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)


def ours(path: Path, mpp: float, xy: np.ndarray) -> int:
    """A whole pass: open, plan, read."""
    from pathosig.slides import open_slide, plan_read, read_tiles

    with open_slide(path) as reader:
        blocks = read_tiles(reader, plan_read(reader.info, mpp), xy, SIZE)
        return sum(len(b.tiles) - int(b.failed.sum()) for b in blocks)


def tiles_of_openslide(path: Path, mpp: float, xy: np.ndarray, stored: bool) -> Iterator[np.ndarray]:
    """Tiles from the best level, or the nearest finer one that is stored, + PIL bicubic."""
    import openslide
    from PIL import Image

    with openslide.OpenSlide(path) as slide:
        wanted = mpp / 0.25
        if stored:
            wanted = max(step for step in STORED if step <= wanted)
        level = slide.get_best_level_for_downsample(wanted + 1e-3)
        side = round(SIZE * mpp / (0.25 * slide.level_downsamples[level]))
        for x, y in xy:
            image = slide.read_region((int(x), int(y)), level, (side, side)).convert("RGB")
            if side != SIZE:
                image = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
            yield np.asarray(image)


def with_openslide(path: Path, mpp: float, xy: np.ndarray) -> int:
    """OpenSlide, best level."""
    return sum(1 for _ in tiles_of_openslide(path, mpp, xy, False))


def with_openslide_stored(path: Path, mpp: float, xy: np.ndarray) -> int:
    """OpenSlide, stored level."""
    return sum(1 for _ in tiles_of_openslide(path, mpp, xy, True))


def quality(path: Path, xy: np.ndarray) -> dict[str, object]:
    """Pixels against OpenSlide's and against area means."""
    from pathosig.slides import open_slide, plan_read, read_all_tiles
    from pathosig.slides.backends.openslide import OpenSlideReader

    with open_slide(path) as fast, OpenSlideReader(path) as slow:
        some = xy[:: max(1, len(xy) // 40)]
        same = all(
            np.array_equal(fast.read_level(0, x, y, SIZE, SIZE), slow.read_level(0, x, y, SIZE, SIZE))
            for x, y in some.tolist()
        )
        scaled = read_all_tiles(fast, plan_read(fast.info, 0.5), some, SIZE).astype(float)
        exact = read_all_tiles(fast, plan_read(fast.info, 0.5, exact=True), some, SIZE)
    difference = scaled - exact
    theirs = [list(tiles_of_openslide(path, 0.5, some, stored)) for stored in (False, True)]
    return {
        "identical": same,
        "psnr_db": psnr(difference),
        "openslide_psnr_db": [psnr(np.array(tiles).astype(float) - exact) for tiles in theirs],
        "bias": round(float(np.abs(difference.mean(axis=(0, 1, 2))).max()), 3),
    }


def psnr(difference: np.ndarray) -> float | str:
    """In dB; ``exact`` where nothing differs."""
    error = (difference**2).mean()
    return round(float(10 * np.log10(255**2 / error)), 2) if error else "exact"


def rss(path: Path, side: int) -> float:
    """Peak resident memory, MB, of a process that reads the grid at 0.5 mpp."""
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import read_ndpi as b; "
        "b.ours(Path(sys.argv[2]), 0.5, b.grid(int(sys.argv[3]), 0.5)); "
        "print([l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')][0])"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(path), str(side)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return round(int(done.stdout) / 1024, 1)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = build(Path(folder) / "mosaic.ndpi", options.side)
        readers = (ours, with_openslide, with_openslide_stored)
        times: dict[float, list[list[float]]] = {mpp: [] for mpp in MPPS}
        for _ in range(options.rounds):
            for mpp in MPPS:
                xy = grid(options.side, mpp)
                spent = []
                for read in readers:
                    start = time.process_time()
                    if read(path, mpp, xy) != len(xy):
                        raise SystemExit(f"{read.__name__}: tiles are lost")
                    spent.append(time.process_time() - start)
                times[mpp].append(spent)

        def ratio(mpp: float, peer: int) -> float:
            return round(statistics.median(spent[peer] / spent[0] for spent in times[mpp]), 2)

        result: dict[str, object] = {
            "vs_openslide": {str(m): ratio(m, 1) for m in MPPS},
            "vs_openslide_stored": {str(m): ratio(m, 2) for m in MPPS},
            "ms_a_tile": {
                str(m): round(
                    1000 * statistics.median(s[0] for s in times[m]) / len(grid(options.side, m)), 3
                )
                for m in MPPS
            },
            **quality(path, grid(options.side, 0.5)),
            "rss_mb": rss(path, options.side),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
