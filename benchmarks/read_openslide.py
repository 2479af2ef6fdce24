"""What it costs that OpenSlide runs in a process of its own, and how the package's CZI reader compares with OpenSlide's.

    python benchmarks/read_openslide.py [--rounds N]

A generated SVS, read by OpenSlide, and a CZI of zstd subblocks, of the same texture; every 224 px tile, one thread, CPU time of this process
and its children, medians of interleaved rounds.

start_s     CPU seconds that a slide takes more to open
apart       by target mpp: CPU time of a tile through the other process over that with OpenSlide in this one, starting left out, minus 1
czi         by target mpp: CPU time of OpenSlide, in this process, over that of `CziReader`

Prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide

from pathosig.slides import SlideReader, plan_read, read_tiles
from pathosig.slides.backends.czi import CziReader
from pathosig.slides.backends.openslide import OpenSlideReader

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / "slides")]
MPPS = (0.25, 0.5)
SIDE = 4096


class _Here(openslide.OpenSlide):
    """OpenSlide in this process, with the method that the reader calls."""

    has_ended = False

    def region(self, origin: tuple[int, int], level: int, size: tuple[int, int]) -> np.ndarray:
        """RGBA at a place in level-0 pixels."""
        return np.asarray(self.read_region(origin, level, size))


class InProcess(OpenSlideReader):
    """The reader as it was when OpenSlide ran in the process that asks."""

    def _open(self) -> _Here:  # type: ignore[override]
        return _Here(str(self._file))


def cpu() -> float:
    """CPU seconds of this process and of those it has waited for."""
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def seconds(opener: Callable[[Path], SlideReader], path: Path, mpp: float) -> tuple[float, float]:
    """CPU seconds of opening a slide, and of reading all its tiles."""
    begin = cpu()
    with opener(path):
        pass
    opened = cpu()
    with opener(path) as reader:
        plan = plan_read(reader.info, mpp)
        step = round(224 * plan.level0_per_px)
        corners = range(0, SIDE - step + 1, step)
        for _ in read_tiles(reader, plan, np.array([(x, y) for y in corners for x in corners]), 224):
            pass
    start = opened - begin
    return start, cpu() - opened - start


def measure(rounds: int) -> dict[str, object]:
    """All numbers."""
    from czis import ZSTD1, mosaic, write_czi
    from files import texture, write_svs

    rgb = texture(SIDE, SIDE)
    starts, apart, czi = [], {}, {}
    with tempfile.TemporaryDirectory() as folder:
        svs = write_svs(Path(folder) / "s.svs", rgb)
        subblocks = write_czi(Path(folder) / "s.czi", mosaic(rgb, side=1024, levels=(1, 2, 4), codec=ZSTD1))
        for mpp in MPPS:
            pairs = [
                (seconds(OpenSlideReader, svs, mpp), seconds(InProcess, svs, mpp)) for _ in range(rounds)
            ]
            starts += [a[0] - b[0] for a, b in pairs]
            apart[str(mpp)] = round(statistics.median(a[1] / b[1] for a, b in pairs) - 1, 2)
            ratios = [
                seconds(InProcess, subblocks, mpp)[1] / seconds(CziReader, subblocks, mpp)[1]
                for _ in range(rounds)
            ]
            czi[str(mpp)] = round(statistics.median(ratios), 1)
    return {"start_s": round(statistics.median(starts), 2), "apart": apart, "czi": czi}


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    print(json.dumps(measure(parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
