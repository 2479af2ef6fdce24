"""What readers do with damaged files: seeded mutations of generated slides of every format.

    python benchmarks/faults.py [--inputs N] [--seed S] [--formats svs,ome,...] [--keep DIR]

Each format has one or more seeds, made here. Batches of mutations (bytes changed, set to extremes, runs zeroed, copied or cut out, the file
cut short; headers more often than pixels) are opened in a process of their own with 4 GiB of address space: `open_slide`, a region of every level at
its corner and its middle, tiles at two resolutions, the low-power image.

crashes     processes that a signal ended
hangs       inputs that took longer than 20 s
uncaught    exceptions other than PathosigError, with the place and how often
memory_mb   highest resident memory that one input added
codes       how often each code was given, "ok" where the file was read

Inputs that crash, hang or are uncaught are kept under --keep. Prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parents[1] / "tests" / "slides"
BATCH = 50
LIMIT_S = 20


def seeds(folder: Path) -> dict[str, list[Path]]:
    """One or more whole files of each format."""
    sys.path.insert(0, str(TESTS))
    import imagecodecs
    import tifffile
    from czis import JPEG_XR, RAW, mosaic, write_czi
    from files import texture, write_ome, write_philips, write_svs
    from kfbs import write_kfb
    from ndpis import write_ndpi
    from PIL import Image
    from raw_tiff import write_tiff

    rgb = texture(400, 500)
    small = rgb[:256, :256]
    parts = [np.ascontiguousarray(rgb[y : y + 128, x : x + 128]) for y in (0, 128) for x in (0, 128)]

    def tiff(name: str, encode, compression: int, photometric: int = 2, **options) -> Path:
        return write_tiff(
            folder / name,
            [bytes(encode(p)) for p in parts],
            (256, 256),
            (128, 128),
            compression,
            photometric,
            **options,
        )

    Image.fromarray(small).save(folder / "s.png")
    Image.fromarray(small).save(folder / "s.jpg", quality=90)
    Image.fromarray(small).save(folder / "p.jpg", quality=90, progressive=True)
    Image.fromarray(small).save(folder / "s.bmp")
    tifffile.imwrite(
        folder / "strips.tif", small, rowsperstrip=32, photometric="rgb", compression="deflate", metadata=None
    )
    tifffile.imwrite(
        folder / "planes.tif",
        np.moveaxis(small, 2, 0).copy(),
        planarconfig="separate",
        photometric="rgb",
        tile=(128, 128),
        metadata=None,
    )
    tifffile.imwrite(
        folder / "three.ome.tif",
        np.moveaxis(small, 2, 0).copy(),
        ome=True,
        photometric="minisblack",
        tile=(128, 128),
        metadata={"axes": "CYX"},
    )
    return {
        "svs": [write_svs(folder / "s.svs", rgb), write_svs(folder / "plain.svs", rgb, compression=None)],
        "ome": [write_ome(folder / "s.ome.tif", rgb), folder / "three.ome.tif"],
        "philips": [write_philips(folder / "philips.tiff", rgb)],
        "deflate": [
            tiff("deflate.tif", lambda a: imagecodecs.zlib_encode(a.tobytes()), 8),
            folder / "strips.tif",
            folder / "planes.tif",
        ],
        "lzw": [tiff("lzw.tif", lambda a: imagecodecs.lzw_encode(a.tobytes()), 5)],
        "zstd": [tiff("zstd.tif", lambda a: imagecodecs.zstd_encode(a.tobytes()), 50000)],
        "packbits": [tiff("packbits.tif", lambda a: imagecodecs.packbits_encode(a.tobytes()), 32773)],
        "j2k": [
            tiff(f"{f}.tif", lambda a, f=f: imagecodecs.jpeg2k_encode(a, level=0, codecformat=f), 34712)
            for f in ("j2k", "jp2")
        ],
        "webp": [tiff("webp.tif", lambda a: imagecodecs.webp_encode(a, level=90), 50001)],
        "ycbcr": [tiff("ycbcr.tif", lambda a: a.tobytes(), 1, 6, tags={530: (3, [1, 1])})],
        "ndpi": [write_ndpi(folder / "s.ndpi", texture(640, 1024), subsampling="4:2:2", levels=(1, 4))],
        "czi": [write_czi(folder / f"{codec}.czi", mosaic(rgb, codec=codec)) for codec in (RAW, JPEG_XR)],
        "kfb": [kfb(write_kfb, folder / "s.kfb", rgb)],
        "flat": [folder / "s.png", folder / "s.jpg", folder / "p.jpg", folder / "s.bmp"],
        "dicom": dicom(folder / "dicom", rgb),
    }


def kfb(write, path: Path, rgb: np.ndarray) -> Path:
    write(path, rgb)
    return path


def dicom(folder: Path, rgb: np.ndarray) -> list[Path]:
    from dicoms import write_series

    write_series(folder, rgb)
    return sorted(folder.glob("*.dcm"), key=lambda p: -p.stat().st_size)[:1]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A file with some of its bytes changed; the first and last few kilobytes, where structure lies, more often."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        if not out:
            break
        n = len(out)
        where = rng.random()
        at = (
            int(rng.integers(n))
            if where < 0.4
            else int(rng.integers(min(n, 3000)))
            if where < 0.7
            else max(0, n - 1 - int(rng.integers(min(n, 3000))))
        )
        kind = int(rng.integers(8))
        if kind <= 2:
            out[at] = int(rng.integers(256))
        elif kind == 3:
            width = int(rng.choice([2, 4, 8]))
            value = int(rng.choice([0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]))
            out[at : at + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")
        elif kind == 4:
            out[at : at + int(rng.integers(1, 64))] = bytes(int(rng.integers(1, 64)))
        elif kind == 5:
            source = int(rng.integers(n))
            width = int(rng.integers(1, 64))
            out[at : at + width] = out[source : source + width]
        elif kind == 6:
            del out[at : at + int(rng.integers(1, 32))]
        elif rng.random() < 0.2:
            del out[at:]
    return bytes(out)


def look(path: Path) -> str:
    """Everything a study does with a slide's pixels; the code, or ok."""
    from pathosig.core.errors import PathosigError
    from pathosig.slides import open_slide, plan_read, read_overview, read_tiles

    try:
        with open_slide(path, mpp=0.25) as reader:
            for level, (width, height) in enumerate(reader.info.level_sizes):
                for x, y in ((0, 0), (width // 2, height // 2), (-7, height - 9)):
                    attempt(lambda level=level, x=x, y=y: reader.read_level(level, x, y, 64, 64))
            for mpp in (0.25, 0.5, 0.61):
                attempt(
                    lambda mpp=mpp: list(
                        read_tiles(reader, plan_read(reader.info, mpp), np.array([(0, 0), (100, 60)]), 64)
                    )
                )
            read_overview(reader)
    except PathosigError as error:
        return error.code
    return "ok"


def attempt(run) -> None:
    """A part of it; refusals are right."""
    from pathosig.core.errors import PathosigError

    with contextlib.suppress(PathosigError):
        run()


def peak_kb() -> int:
    return int(
        next(
            line.split()[1]
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
    )


def child(folder: Path) -> None:
    """Look at every file of a folder; a line before and after each."""
    import resource
    import signal
    import traceback
    import warnings

    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))

    class Hang(BaseException):
        pass

    def stop(*_):
        raise Hang

    signal.signal(signal.SIGALRM, stop)
    for path in sorted(folder.iterdir()):
        print("begin", path.name, flush=True)
        before, start = peak_kb(), time.perf_counter()
        signal.alarm(LIMIT_S)
        try:
            said = look(path)
        except Hang:
            said = "hang"
        except MemoryError:
            said = "memory"
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            said = f"uncaught {type(error).__name__} {Path(frame.filename).name}:{frame.lineno}"
        signal.alarm(0)
        print(
            "end",
            path.name,
            max(0, peak_kb() - before) // 1000,
            round(time.perf_counter() - start, 2),
            said,
            flush=True,
        )


def measure(inputs: int, seed: int, formats: list[str], keep: Path | None) -> dict[str, object]:
    """All numbers."""
    codes: dict[str, Counter[str]] = {}
    bad: Counter[str] = Counter()
    result = {"inputs": 0, "crashes": 0, "hangs": 0, "memory_mb": 0, "slowest_s": 0.0}
    with tempfile.TemporaryDirectory() as work:
        made = Path(work) / "seeds"
        made.mkdir()
        all_seeds = {name: paths for name, paths in seeds(made).items() if not formats or name in formats}
        share = -(-inputs // len(all_seeds))
        for number, (name, paths) in enumerate(all_seeds.items()):
            rng = np.random.default_rng([seed, number])
            codes[name] = Counter()
            left = share
            while left > 0:
                folder = Path(tempfile.mkdtemp(dir=work))
                for index in range(min(BATCH, left)):
                    source = paths[index % len(paths)]
                    (folder / f"{index:04d}{source.name[source.name.index('.') :]}").write_bytes(
                        mutated(source.read_bytes(), rng)
                    )
                left -= len(list(folder.iterdir()))
                while remaining := sorted(folder.iterdir()):
                    done = subprocess.run(
                        [sys.executable, __file__, "--child", str(folder)],
                        capture_output=True,
                        text=True,
                        check=False,
                        timeout=3600,
                    )
                    running = None
                    for line in done.stdout.splitlines():
                        word, file, *rest = line.split(" ", 4)
                        running = file if word == "begin" else None
                        if word != "end":
                            continue
                        result["inputs"] += 1
                        memory, seconds, said = int(rest[0]), float(rest[1]), rest[2]
                        result["memory_mb"] = max(result["memory_mb"], memory)
                        result["slowest_s"] = max(result["slowest_s"], seconds)
                        codes[name][said.split()[0]] += 1
                        if said.startswith(("uncaught", "hang", "memory")) or memory > 1000:
                            bad[f"{name}: {said}" + (f" {memory} MB" if memory > 1000 else "")] += 1
                            result["hangs"] += said == "hang"
                            save(folder / file, keep, f"{name}-{said.split()[0]}-{seed}-{left}-{file}")
                        (folder / file).unlink()
                    if running is not None:
                        result["inputs"] += 1
                        result["crashes"] += 1
                        bad[f"{name}: signal {-done.returncode}"] += 1
                        save(folder / running, keep, f"{name}-crash-{seed}-{left}-{running}")
                        (folder / running).unlink()
                    elif len(list(folder.iterdir())) == len(remaining):
                        raise RuntimeError(done.stderr[-2000:])
                folder.rmdir()
    return {
        **result,
        "bad": dict(bad),
        "codes": {name: dict(found.most_common()) for name, found in codes.items()},
    }


def save(path: Path, keep: Path | None, name: str) -> None:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / name).write_bytes(path.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", default="")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--child", type=Path)
    given = parser.parse_args()
    if given.child is not None:
        child(given.child)
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    start = time.perf_counter()
    found = measure(given.inputs, given.seed, [f for f in given.formats.split(",") if f], given.keep)
    print(json.dumps({**found, "minutes": round((time.perf_counter() - start) / 60, 1)}))


if __name__ == "__main__":
    main()
