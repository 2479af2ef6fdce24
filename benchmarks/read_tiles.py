"""How fast tiles are read, how close to the floor, and how right the pixels are.

    python benchmarks/read_tiles.py [--side PX] [--rounds N]

Builds a 0.25 mpp slide (a mosaic of the real slide slides/cmu-1-small-region.svs of PATHOSIG_DATA, JPEG tiles of 240 px, levels 1, 4 and 16) and reads a full
grid of 224 px tiles. Ratios are tiles per CPU-second against a peer reading the same tiles in the same run,
one thread, medians of interleaved rounds.

vs_openslide   by target mpp: OpenSlide read_region of the nearest finer level + PIL bicubic, one tile at a time
vs_openslide_uneven   the same at 0.5 mpp when the slide's pixels are 0.2527 um, as scanners' are: no whole factor, so
               nothing can be decoded small and every tile is resampled
uneven_with_numpy   that again, with NumPy in place of the compiled resampler
vs_numpy       the compiled resampler over NumPy's on a tile of the uneven slide; null without it
vs_fastslide, vs_cucim   the same at 0.5 mpp, null with a reason where the peer is not installed
vs_floor       CPU time over that of the Huffman decode of every needed JPEG tile, once, at 0.5 mpp
psnr_db, bias  at 0.5 mpp against area means of the full-size decode; bias is the worst channel's, in grey levels
rss_mb         peak resident memory of a process that reads the whole grid at 0.5 mpp

Prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

SIZE = 224
MPPS = (0.25, 0.5, 1.0, 2.0)
UNEVEN = 0.2527
SOURCE = Path(os.environ.get("PATHOSIG_DATA", "data")) / "slides" / "cmu-1-small-region.svs"


def build(path: Path, side: int) -> Path:
    """The slide: pieces of a real one, mirrored and turned, side x side pixels."""
    import tifffile

    rng = np.random.default_rng(0)
    tissue = tifffile.imread(SOURCE, key=0)
    image = np.empty((side, side, 3), np.uint8)
    for y in range(0, side, 960):
        for x in range(0, side, 960):
            top, left = rng.integers(0, tissue.shape[0] - 960), rng.integers(0, tissue.shape[1] - 960)
            piece = np.rot90(tissue[top : top + 960, left : left + 960], int(rng.integers(4)))
            image[y : y + 960, x : x + 960] = piece[: side - y, : side - x]
    text = "Aperio Image Library v12\r\nmosaic|AppMag = 40|MPP = 0.25"
    with tifffile.TiffWriter(path) as file:
        for step in (1, 4, 16):
            n = side // step
            small = (
                image.reshape(n, step, n, step, 3).mean(axis=(1, 3)).round().astype(np.uint8)
                if step > 1
                else image
            )
            file.write(
                small,
                tile=(240, 240),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 80},
                description=text,
                metadata=None,
                software=False,
            )
    return path


def grid(side: int, mpp: float, base: float = 0.25) -> np.ndarray:
    """Corners of all whole tiles, row by row, level-0 pixels."""
    step = round(SIZE * mpp / base)
    at = np.arange(0, side - step + 1, step)
    return np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)


def ours(path: Path, mpp: float, xy: np.ndarray, base: float | None = None) -> int:
    """A whole pass: open, plan, read."""
    from pathosig.slides import open_slide, plan_read, read_tiles

    with open_slide(path, mpp=base) as reader:
        blocks = read_tiles(reader, plan_read(reader.info, mpp), xy, SIZE)
        return sum(len(b.tiles) - int(b.failed.sum()) for b in blocks)


def _tile_by_tile(
    read: Callable[[tuple[int, int], int, int], np.ndarray], mpp: float, xy: np.ndarray, base: float = 0.25
) -> int:
    """Nearest finer level + PIL bicubic, one tile at a time."""
    from PIL import Image

    level = 1 if mpp >= 1 else 0
    side = round(SIZE * mpp / (base * 4**level))
    for x, y in xy:
        image = Image.fromarray(np.asarray(read((int(x), int(y)), level, side))[..., :3])
        if side != SIZE:
            image = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        np.asarray(image)
    return len(xy)


def with_openslide(path: Path, mpp: float, xy: np.ndarray, base: float = 0.25) -> int:
    """OpenSlide."""
    import openslide

    with openslide.OpenSlide(path) as slide:
        read = slide.read_region
        return _tile_by_tile(lambda at, level, side: read(at, level, (side, side)), mpp, xy, base)


def with_fastslide(path: Path, mpp: float, xy: np.ndarray) -> int:
    """fastslide."""
    import fastslide

    slide = fastslide.FastSlide.from_file_path(str(path))
    return _tile_by_tile(
        lambda at, level, side: slide.read_region(location=at, level=level, size=(side, side)).numpy(),
        mpp,
        xy,
    )


def with_cucim(path: Path, mpp: float, xy: np.ndarray) -> int:
    """cuCIM on the CPU."""
    from cucim import CuImage

    slide = CuImage(str(path))
    return _tile_by_tile(lambda at, level, side: slide.read_region(at, (side, side), level), mpp, xy)


def floor(path: Path, xy: np.ndarray) -> int:
    """Huffman decode of every JPEG tile the grid needs, once: decoded at an eighth, nothing assembled."""
    from pathosig.slides.backends.tiff import TiffReader

    last = int(xy.max()) + 2 * SIZE
    with TiffReader(path) as reader:
        needed = reader.indices(0, 0, 0, last, last, 1)
        for index in needed:
            reader._decode(0, index, 8)
    return len(xy)


def resample_some(compiled: bool) -> int:
    """A tile of the uneven slide, forty times."""
    from pathosig.slides import pyramid

    source = np.random.default_rng(0).integers(0, 256, (444, 444, 3)).astype(np.uint8)
    side = SIZE * 0.5 / UNEVEN
    with replaced(pyramid, "COMPILED", compiled and pyramid.COMPILED):
        for _ in range(40):
            pyramid.resample(source, (SIZE, SIZE), box=(0.0, 0.0, side, side))
    return 40


def without_compiled(path: Path, xy: np.ndarray) -> int:
    """The uneven pass with NumPy's resampler."""
    from pathosig.slides import pyramid

    with replaced(pyramid, "COMPILED", False):
        return ours(path, 0.5, xy, UNEVEN)


@contextmanager
def replaced(module: object, name: str, value: object) -> Iterator[None]:
    """A module's name with another value for a while."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def cpu(run: Callable[[], int]) -> float:
    """CPU-seconds for each tile."""
    start = time.process_time()
    n = run()
    return (time.process_time() - start) / n


def medians(runs: dict[str, Callable[[], int]], rounds: int) -> dict[str, float]:
    """CPU-seconds a tile of each, interleaved."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(cpu(run))
    return {name: statistics.median(values) for name, values in found.items()}


def peer(name: str, run: Callable[[], int], reasons: dict[str, str]) -> dict[str, Callable[[], int]]:
    """The peer where it works, else nothing and the reason."""
    try:
        run()
    except Exception as error:  # a peer may fail in its own ways
        reasons[name] = f"{type(error).__name__}: {error}"[:200]
        return {}
    return {name: run}


def fidelity(path: Path, side: int) -> tuple[float, float]:
    """(psnr in dB, worst channel's bias in grey levels) at 0.5 mpp against area means."""
    from pathosig.slides import open_slide, plan_read, read_tiles

    xy = grid(side, 0.5)
    errors, shifts = [], []
    with open_slide(path) as reader:
        for block in read_tiles(reader, plan_read(reader.info, 0.5), xy, SIZE):
            for i, tile in zip(block.index, block.tiles, strict=True):
                full = reader.read_level(0, int(xy[i][0]), int(xy[i][1]), 2 * SIZE, 2 * SIZE)
                expected = full.reshape(SIZE, 2, SIZE, 2, 3).mean(axis=(1, 3))
                difference = tile - expected
                errors.append((difference**2).mean())
                shifts.append(difference.mean(axis=(0, 1)))
    return 10 * float(np.log10(255**2 / np.mean(errors))), float(np.abs(np.mean(shifts, axis=0)).max())


def peak_mb() -> float:
    """Peak resident memory of this process; Linux's ru_maxrss would count the parent's before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return round(int(found.group(1)) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def resident(path: Path, side: int) -> float:
    """Peak MB of a process of its own."""
    command = [sys.executable, __file__, "--side", str(side), "--only", str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(out.stdout.strip().splitlines()[-1])


def extensions(rounds: int) -> dict[str, object]:
    """What the compiled resampler wins."""
    from pathosig.slides import pyramid

    runs: dict[str, Callable[[], int]] = {str(c): lambda c=c: resample_some(c) for c in (True, False)}
    times = medians(runs, rounds)
    return {"vs_numpy": round(times["False"] / times["True"], 1) if pyramid.COMPILED else None}


def measure(path: Path, side: int, rounds: int) -> dict[str, object]:
    """All numbers."""
    result: dict[str, object] = {"tiles": len(grid(side, 0.5))}
    reasons: dict[str, str] = {}
    against: dict[str, float] = {}
    for mpp in MPPS:
        xy = grid(side, mpp)
        runs: dict[str, Callable[[], int]] = {
            "ours": lambda mpp=mpp, xy=xy: ours(path, mpp, xy),
            "openslide": lambda mpp=mpp, xy=xy: with_openslide(path, mpp, xy),
        }
        if mpp == 0.5:
            few = xy[:2]
            runs |= {"floor": lambda xy=xy: floor(path, xy)}
            for name, read in (("fastslide", with_fastslide), ("cucim", with_cucim)):
                if peer(name, lambda read=read, few=few: read(path, 0.5, few), reasons):
                    runs[name] = lambda read=read, xy=xy: read(path, 0.5, xy)
        times = medians(runs, rounds)
        against[f"{mpp:g}" if mpp != int(mpp) else f"{mpp:.1f}"] = round(
            times["openslide"] / times["ours"], 2
        )
        if mpp == 0.5:
            for name in ("fastslide", "cucim"):
                result[f"vs_{name}"] = round(times[name] / times["ours"], 2) if name in times else None
            result["vs_floor"] = round(times["ours"] / times["floor"], 2)
            result["ms_per_tile"] = round(1000 * times["ours"], 3)
    uneven = grid(side, 0.5, UNEVEN)
    times = medians(
        {
            "ours": lambda: ours(path, 0.5, uneven, UNEVEN),
            "openslide": lambda: with_openslide(path, 0.5, uneven, UNEVEN),
            "plain": lambda: without_compiled(path, uneven),
        },
        rounds,
    )
    result["vs_openslide_uneven"] = round(times["openslide"] / times["ours"], 2)
    result["uneven_with_numpy"] = round(times["openslide"] / times["plain"], 2)
    result |= extensions(rounds)
    psnr, bias = fidelity(path, side)
    result |= {"vs_openslide": against, "psnr_db": round(psnr, 2), "bias": round(bias, 3)}
    result |= {"rss_mb": resident(path, side), "reasons": reasons}
    return result


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=6720, help="side of the slide, a multiple of 480")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        ours(arguments.only, 0.5, grid(arguments.side, 0.5))
        print(peak_mb())
        return
    with tempfile.TemporaryDirectory() as folder:
        path = build(Path(folder) / "mosaic.svs", arguments.side)
        print(json.dumps(measure(path, arguments.side, arguments.rounds)))


if __name__ == "__main__":
    main()
