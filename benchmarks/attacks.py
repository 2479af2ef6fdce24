"""What files of at most 1 MB that are made to be slow cost: CPU-seconds and memory of every command, measured from outside.

    python benchmarks/faults.py --attacks [--seed S] [--only deflate,dicom,...] [--steps check,tissue,...] [--bundle B.psig]

Every file is at or just below a limit of docs/reference/readers.md: tissue that fills the allowed pixels in tiles of a few distinct bodies
(deflate, LZW, zstd, JPEG of the lowest quality, JPEG 2000, WebP, small and large tiles), a single strip, a pyramid of many levels, many
images, tiles that share their bytes over 4.5 billion pixels, PNG, DICOM, OME-Zarr with many small chunks and with shards. `check`, `tissue`,
`tiles`, `embed` and `score` are run as commands on a study of that one slide; the viewer's picture of the slide and one of its tiles are read in a
process of their own. CPU-seconds and the largest resident memory are those of the command with all the processes that it starts.

files       of each file: its bytes, and of each step (CPU-seconds, seconds, megabytes, code or ok)
worst       the largest CPU-seconds and megabytes of each step, with the file
over        steps above the bars of 20 CPU-seconds and 1,000 MB
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

BARS = {"cpu_s": 20.0, "mb": 1000}
STEPS = ("check", "tissue", "tiles", "embed", "score", "picture", "tile")
LIMIT_S = 150
_BYTES = 1_000_000
_SIDE = 6_800
"""Side of a square of tissue just below 8 million pixels plus 40 for each of `_BYTES` bytes."""

_VIEWER = """
import sys
from pathlib import Path
from pathosig.core.study import Study
from pathosig.viewer.deepzoom import tile_region
from pathosig.viewer.pixels import SlideShelf
specimen = next(iter(Study.open(sys.argv[1]).specimens()))
shelf = SlideShelf()
if sys.argv[2] == "picture":
    shelf.overview(specimen, 2048)
else:
    size = shelf.info(specimen).level_sizes[0]
    shelf.jpeg(specimen, tile_region(size, max(size).bit_length() - 3, 0, 0))
"""


def tissue(side: int, seed: int) -> np.ndarray:
    """Texture with the colours of H&E that repeats itself every 16 pixels, so that it packs well, uint8[side, side, 3]."""
    rng = np.random.default_rng(seed)
    patch = np.clip(rng.normal((170, 110, 170), 25, (16, 16, 3)), 0, 255).astype(np.uint8)
    return np.tile(patch, (side // 16, side // 16, 1))


def attacks(folder: Path, seed: int) -> dict[str, Callable[[], Path]]:
    """A function for each file, which writes it and returns its path."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "slides"))
    import io

    import imagecodecs
    import tifffile
    from PIL import Image
    from raw_tiff import write_tiff
    from zarrs import write_zarr

    def jpeg(image: np.ndarray) -> bytes:
        out = io.BytesIO()
        Image.fromarray(image).save(out, "JPEG", quality=1, optimize=True)
        return out.getvalue()

    def level9(image: np.ndarray) -> bytes:
        return bytes(imagecodecs.zlib_encode(image.tobytes(), 9))

    codecs: dict[str, tuple[int, Callable[[np.ndarray], bytes]]] = {
        "deflate": (8, level9),
        "lzw": (5, lambda a: bytes(imagecodecs.lzw_encode(a.tobytes()))),
        "zstd": (50000, lambda a: bytes(imagecodecs.zstd_encode(a.tobytes(), 19))),
        "jpeg": (7, jpeg),
        "j2k": (34712, lambda a: bytes(imagecodecs.jpeg2k_encode(a, level=12, codecformat="j2k"))),
        "webp": (50001, lambda a: bytes(imagecodecs.webp_encode(a, level=1))),
    }

    def tiled(name: str, codec: str, side: int) -> Path:
        """As many tiles of their own as a megabyte holds, but no more than the limit of tissue allows."""
        compression, encode = codecs[codec]
        bodies = [encode(tissue(side, seed + k)) for k in range(10)]
        size = max(len(b) for b in bodies) + 16
        across = max(1, min(_SIDE // side, int((0.98 * _BYTES / size) ** 0.5)))
        pieces = [bodies[k % 10] for k in range(across * across)]
        photometric = 6 if codec == "jpeg" else 2
        width = across * side
        return write_tiff(
            folder / f"{name}.tif", pieces, (width, width), (side, side), compression, photometric
        )

    def strip() -> Path:
        body = level9(tissue(_SIDE - _SIDE % 16, seed))
        side = _SIDE - _SIDE % 16
        return write_tiff(folder / "strip.tif", [body], (side, side), (side, side), 8, 2, strips=True)

    def shared() -> Path:
        bodies = [level9(tissue(256, seed)), level9(np.full((256, 256, 3), 245, np.uint8))]
        across = 260
        path = write_tiff(
            folder / "shared.tif",
            [*bodies, *[b""] * (across * across - 2)],
            (256 * across,) * 2,
            (256, 256),
            8,
            2,
        )
        data = bytearray(path.read_bytes())
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            tags = [page.tags[code] for code in (324, 325)]
            values = [np.array(tag.value, np.uint32) for tag in tags]
        inside = np.zeros((across, across), bool)
        inside[:26, :26] = True
        for tag, value in zip(tags, values, strict=True):
            filled = np.where(inside.ravel(), value[0], value[1]).astype("<u4").tobytes()
            data[tag.valueoffset : tag.valueoffset + len(filled)] = filled
        path.write_bytes(data)
        return path

    def pyramid() -> Path:
        with tifffile.TiffWriter(folder / "pyramid.tif") as file:
            for k in range(12):
                side = 2048 * 15**k // 16**k // 16 * 16
                file.write(
                    tissue(side, seed),
                    tile=(256, 256),
                    photometric="rgb",
                    compression="deflate",
                    compressionargs={"level": 9},
                    subfiletype=min(k, 1),
                    metadata=None,
                )
        return folder / "pyramid.tif"

    def images() -> Path:
        with tifffile.TiffWriter(folder / "images.tif") as file:
            for k in range(500):
                file.write(
                    tissue(256, seed)[: 256 - k % 200, : 256 - k % 200],
                    tile=(256, 256),
                    photometric="rgb",
                    compression="deflate",
                    compressionargs={"level": 9},
                    metadata=None,
                )
        return folder / "images.tif"

    def png() -> Path:
        side = _SIDE - _SIDE % 16
        (folder / "flat.png").write_bytes(bytes(imagecodecs.png_encode(tissue(side, seed), level=9)))
        return folder / "flat.png"

    def dicom() -> Path:
        import pydicom
        from dicoms import write_series
        from pydicom.encaps import encapsulate

        frame = codecs["j2k"][1](tissue(256, seed))
        across = min(_SIDE // 256, int((0.95 * _BYTES / (len(frame) + 16)) ** 0.5))
        path = write_series(folder / "dicom", tissue(256, seed), levels=(1,), label=False) / "level-0.dcm"
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.91"
        dataset.PhotometricInterpretation = "RGB"
        dataset.Rows = dataset.Columns = 256
        dataset.TotalPixelMatrixRows = dataset.TotalPixelMatrixColumns = 256 * across
        dataset.NumberOfFrames = across * across
        dataset.PixelData = encapsulate([frame] * across * across)
        dataset.save_as(path)
        return path

    def zarr(name: str, **options: object) -> Path:
        return write_zarr(folder / f"{name}.zarr", tissue(1024, seed), version=3, levels=(1,), **options)

    made: dict[str, Callable[[], Path]] = {
        f"{codec}{side}": lambda codec=codec, side=side: tiled(f"{codec}{side}", codec, side)  # type: ignore[misc]
        for codec in codecs
        for side in (256, 1024)
    }
    return {
        **made,
        "strip": strip,
        "shared": shared,
        "pyramid": pyramid,
        "images": images,
        "png": png,
        "dicom": dicom,
        "zarr": lambda: zarr("chunks", chunk=32),
        "shards": lambda: zarr("shards", chunks=(3, 32, 32), shards=(3, 1024, 1024)),
    }


_LAUNCHER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
try:
    code = subprocess.run(sys.argv[2:], timeout=float(sys.argv[1]), check=False, **quiet).returncode
except subprocess.TimeoutExpired:
    code = "time"
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, time.perf_counter() - start, used.ru_maxrss // 1000, code]))
"""


def run(command: list[str]) -> tuple[float, float, int, int | str]:
    """CPU-seconds, seconds and largest megabytes of a command with its descendants, and its exit status or ``time``.

    A small process starts it, because a process counts the memory of the one that it was forked from.
    """
    launcher = [sys.executable, "-c", _LAUNCHER, str(LIMIT_S), *command]
    done = subprocess.run(launcher, capture_output=True, text=True, check=True)
    cpu, seconds, memory, code = json.loads(done.stdout)
    return cpu, seconds, memory, code


def measure(seed: int, only: list[str], steps: list[str], bundle: Path | None) -> dict[str, object]:
    """All numbers."""
    from pathosig.core.study import Study

    files: dict[str, object] = {}
    rows: list[tuple[str, str, float, int]] = []
    with tempfile.TemporaryDirectory() as work:
        made = attacks(Path(work), seed)
        for name in only or made:
            path = made[name]()
            if path.suffix == ".tif" and path.stat().st_size < _BYTES:
                os.truncate(path, _BYTES)  # the limits grow with the file, whatever is in it
            size = sum(
                f.stat().st_size for f in ([path] if path.is_file() else path.rglob("*")) if f.is_file()
            )
            root = Path(work) / f"study-{name}"
            root.mkdir()
            (root / "slides.csv").write_text(f"slide_id,patient_id,path,mpp\nS1,P1,{path},0.5\n")
            (root / "patients.csv").write_text("patient_id,cohort,os_time,os_event\nP1,discovery,10,1\n")
            Study.create(root)
            found: dict[str, object] = {"bytes": size}
            for step in steps:
                program = [sys.executable, "-m", "pathosig"]
                command = {
                    "score": [
                        *program,
                        "score",
                        str(bundle),
                        str(path),
                        "--mpp",
                        "0.5",
                        "--out",
                        str(root / "s.csv"),
                    ],
                    "picture": [sys.executable, "-c", _VIEWER, str(root), "picture"],
                    "tile": [sys.executable, "-c", _VIEWER, str(root), "tile"],
                }.get(step, [*program, step, str(root)])
                if step == "score" and bundle is None:
                    continue
                cpu, seconds, memory, status = run(command)
                found[step] = [round(cpu, 1), round(seconds, 1), memory, status]
                rows.append((name, step, cpu, memory))
            files[name] = found
            print(name, found, file=sys.stderr, flush=True)
    worst = {
        step: {
            "cpu_s": max(
                ((round(cpu, 1), name) for name, which, cpu, _ in rows if which == step), default=None
            ),
            "mb": max(((memory, name) for name, which, _, memory in rows if which == step), default=None),
        }
        for step in steps
    }
    over = [
        f"{name} {step}: {cpu:.1f} CPU-s, {memory} MB"
        for name, step, cpu, memory in rows
        if cpu > BARS["cpu_s"] or memory > BARS["mb"]
    ]
    return {"bars": BARS, "files": files, "worst": worst, "over": over}
