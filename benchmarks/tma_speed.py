"""Time to find the cores of a large microarray, against the time to decode what is read for it.

    python benchmarks/tma_speed.py [--rows 14] [--columns 20] [--core-um 600] [--keep FILE.tif]

Writes a pyramidal TIFF (JPEG tiles of 256 pixels at 0.25 micrometres per pixel, each further level a quarter) with a turned,
bent array, runs the stage `tma` on it as `pathosig tma` does, and counts every JPEG tile that is decoded.

stage_seconds      whole stage, wall: a worker starts, opens, reads, finds the cores; cores.csv
read_cpu, find_cpu CPU seconds of reading the picture and of finding the cores in it, in a process that runs already
floor_cpu          of these, the decoding of JPEG tiles alone
decoded_to_open    JPEG tiles decoded by the first opening, which tells levels from other images by their looks; the tiles are those of a
                   small level at full size, and the picture takes them at a fraction of it
decoded_twice      JPEG tiles with tissue that opening and picture both decode
decoded_again      JPEG tiles decoded by a later opening in the same process, as of each core by the stages after this one
share_right        places whose core is found at the right row and column, or rightly called missing

Prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "slides"))

MPP, TILE, QUALITY = 0.25, 256, 80
GLASS = (243, 242, 244)
PITCH = 1.45
"""Distance of cores in diameters."""


class PaintedArray:
    """A turned and bent array whose pixels are computed tile by tile at any level."""

    def __init__(self, rows: int, columns: int, diameter: float, seed: int = 0) -> None:
        """Draw places, sizes and gaps; `diameter` is in level-0 pixels."""
        rng = np.random.default_rng(seed)
        pitch = PITCH * diameter
        r, c = np.mgrid[:rows, :columns].astype(float)
        x = c * pitch + 0.2 * pitch * np.sin(2.5 * r / rows) + rng.normal(0, 0.03 * pitch, r.shape)
        y = r * pitch + 0.2 * pitch * np.cos(2.0 * c / columns) + rng.normal(0, 0.03 * pitch, r.shape)
        turn = np.deg2rad(3.0)
        places = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=2)
        self.centres = places - places.reshape(-1, 2).min(axis=0) + 1.2 * pitch
        width, height = np.ceil(self.centres.reshape(-1, 2).max(axis=0) + 1.2 * pitch).astype(int)
        self.size = (int(width), int(height))
        self.pitch = pitch
        self.present = rng.random((rows, columns)) > 0.08
        self.radius = diameter / 2 * rng.uniform(0.9, 1.0, (rows, columns))
        self.grain = rng.normal(0, 16, (1024, 1024)).astype(np.float32)
        self.cut = np.where(rng.random((rows, columns)) < 0.2, rng.uniform(0.1, 0.8, (rows, columns)), 9.0)

    def tile(self, x0: int, y0: int, scale: int) -> np.ndarray | None:
        """uint8[TILE, TILE, 3] at a corner in pixels of a level; None where there is glass only."""
        side = TILE * scale
        left, top = x0 * scale, y0 * scale
        middle = np.array([left + side / 2, top + side / 2])
        near = np.abs(self.centres - middle).max(axis=2) < side / 2 + self.radius
        near &= self.present
        if not near.any():
            return None
        xx = left + (np.arange(TILE, dtype=np.float32) + 0.5) * scale
        yy = top + (np.arange(TILE, dtype=np.float32) + 0.5)[:, None] * scale
        tissue = np.zeros((TILE, TILE), bool)
        for row, column in zip(*np.nonzero(near), strict=True):
            cx, cy = self.centres[row, column]
            radius = self.radius[row, column]
            disc = (xx - cx) ** 2 + (yy - cy) ** 2 < radius**2
            tissue |= disc & (xx - cx < radius * self.cut[row, column])
        out = np.empty((TILE, TILE, 3), np.float32)
        out[:] = GLASS
        rows = (y0 + np.arange(TILE))[:, None] % 1024
        grain = self.grain[rows, (x0 + np.arange(TILE)) % 1024] / np.sqrt(scale)
        out[tissue] = np.array([205, 140, 180], np.float32) + grain[tissue][:, None]
        return out.clip(0, 255).astype(np.uint8)


def write(path: Path, array: PaintedArray) -> None:
    """The pyramid; glass tiles are encoded once."""
    import tifffile
    from imagecodecs import jpeg_encode

    glass = jpeg_encode(np.full((TILE, TILE, 3), GLASS, np.uint8), level=QUALITY, outcolorspace="rgb")

    def tiles(size: tuple[int, int], scale: int) -> Iterator[bytes]:
        for y in range(0, size[1], TILE):
            for x in range(0, size[0], TILE):
                pixels = array.tile(x, y, scale)
                yield glass if pixels is None else jpeg_encode(pixels, level=QUALITY, outcolorspace="rgb")

    resolution = (1e4 / MPP, 1e4 / MPP)
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for level in range(4):
            scale = 4**level
            size = (array.size[0] // scale, array.size[1] // scale)
            tiff.write(
                tiles(size, scale), shape=(size[1], size[0], 3), dtype=np.uint8, tile=(TILE, TILE),
                photometric="rgb", compression="jpeg", subfiletype=1 if level else 0, metadata=None,
                resolution=(resolution[0] / scale, resolution[1] / scale), resolutionunit="CENTIMETER",
            )  # fmt: skip


def decoded(path: Path) -> dict[str, float | int]:
    """Time and JPEG tiles of reading and finding, in this process."""
    import simplejpeg

    from pathosig.slides import open_slide, read_overview
    from pathosig.tma.dearray import TmaSpec, dearray

    pieces: Counter[bytes] = Counter()
    plain, spent = simplejpeg.decode_jpeg, [0.0]

    def counted(data: bytes, *args: object, **kwargs: object) -> np.ndarray:
        pieces[bytes(data)] += 1
        start = time.process_time()
        try:
            return plain(data, *args, **kwargs)
        finally:
            spent[0] += time.process_time() - start

    simplejpeg.decode_jpeg = counted
    try:
        start = time.process_time()
        with open_slide(path) as reader:
            opening = sum(pieces.values())
            overview, downsample = read_overview(
                reader, mpp=reader.info.mpp or MPP, max_side=TmaSpec().max_side_px
            )
        read = time.process_time()
        cores = dearray(overview)
        end = time.process_time()
        before = sum(pieces.values())
        open_slide(path).close()
        again = sum(pieces.values()) - before
    finally:
        simplejpeg.decode_jpeg = plain
    glass = pieces.most_common(1)[0][0]
    repeated = sum(n - 1 for data, n in pieces.items() if data != glass)
    return {
        "overview_px": overview.shape[1],
        "level0_per_px": round(downsample, 2),
        "jpeg_tiles": sum(pieces.values()),
        "decoded_to_open": opening,
        "decoded_twice": repeated,
        "decoded_again": again,
        "floor_cpu": round(spent[0], 2),
        "read_cpu": round(read - start, 2),
        "find_cpu": round(end - read, 2),
        "cores": len(cores),
    }


def main() -> None:
    """Run it."""
    from pathosig.core.study import Study
    from pathosig.core.tables import read_csv_rows
    from pathosig.core.units import Execution
    from pathosig.tma.stage import find_cores

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=14)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--core-um", type=float, default=600.0)
    parser.add_argument("--keep", type=Path, help="where the array is written, and taken from if it is there")
    arguments = parser.parse_args()
    array = PaintedArray(arguments.rows, arguments.columns, arguments.core_um / MPP)
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.keep or Path(folder) / "array.tif"
        if not path.is_file():
            write(path, array)
        root = Path(folder) / "study"
        root.mkdir()
        (root / "slides.csv").write_text(f"slide_id,patient_id,path,kind\nT,,{path.resolve()},tma\n")
        (root / "patients.csv").write_text(
            "patient_id,cohort,os_time,os_event\nP,discovery,1,1\nQ,discovery,2,0\n"
        )
        study = Study.create(root)
        wall = time.perf_counter()
        find_cores(study, execution=Execution(workers=1))
        wall = time.perf_counter() - wall
        found = {(int(r["row"]), int(r["column"])): r for r in read_csv_rows(study.paths.cores)}
        right = 0
        for (row, column), there in np.ndenumerate(array.present):
            core = found.get((row + 1, column + 1))
            if core is None:
                continue
            middle = [float(core[a]) + float(core[b]) / 2 for a, b in (("x", "width"), ("y", "height"))]
            near = np.hypot(*(np.array(middle) - array.centres[row, column])) < 0.3 * array.pitch
            right += (core["status"] == "ok" and near) if there else core["status"] != "ok"
        result = {
            "size_px": list(array.size),
            "megabytes": round(path.stat().st_size / 1e6),
            "stage_seconds": round(wall, 2),
            **decoded(path),
            "share_right": round(right / max(array.present.size, len(found)), 4),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
