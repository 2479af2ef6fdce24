"""What readers do with damaged files: seeded mutations of generated slides of every format.

    python benchmarks/faults.py [--inputs N] [--seed S] [--formats svs,ome,...] [--keep DIR]

Each format has one or more seeds, made here. Mutations (bytes changed, set to extremes, runs zeroed, copied or cut out, the file
cut short; headers more often than pixels; in OME-Zarr one file of the folder) are opened in a process with 4 GiB of address space, which is
started anew when one ends it: `open_slide`, a region of every level at its corner, its middle and its edge, tiles at three resolutions, the
low-power image. Input i of a format follows from the seed, the format and i alone. DICOM has a tenth of the inputs of the others, because
each starts a process of its own.

crashes     processes that a signal ended
hangs       inputs that took longer than 20 s
uncaught    inputs with an exception other than PathosigError, with the place and how often
memory_mb   highest resident memory that one input added
codes       how often each code was given, "ok" where the file was read

With --attacks, files that are slow on purpose are measured instead (benchmarks/attacks.py).

Inputs that crash, hang, are uncaught or take more than 1 GB are kept under --keep. Prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import attacks

TESTS = Path(__file__).parents[1] / "tests" / "slides"
LIMIT_S = 20


def seeds(folder: Path) -> dict[str, list[Path]]:
    """One or more whole files of each format."""
    sys.path.insert(0, str(TESTS))
    import imagecodecs
    import numcodecs
    import tifffile
    from czis import JPEG_XR, RAW, mosaic, write_czi
    from files import texture, write_ome, write_philips, write_svs
    from kfbs import write_kfb
    from ndpis import write_ndpi
    from PIL import Image
    from raw_tiff import write_tiff
    from zarrs import write_zarr

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
        "zarr": [
            write_zarr(folder / "two.zarr", small, levels=(1, 2), chunk=128),
            write_zarr(
                folder / "three.zarr", small, version=3, levels=(1, 2), chunk=64, shards=(3, 128, 128)
            ),
            write_zarr(
                folder / "zlib.zarr", small, levels=(1, 2), axes="yxc", compressors=[numcodecs.Zlib(1)]
            ),
        ],
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
    """Highest resident memory since it was last set back."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("VmHWM")))


class Input:
    """A mutated file, or a Zarr folder of which one file is mutated, as long as the `with` lasts."""

    def __init__(self, source: Path, work: Path, name: str, rng: np.random.Generator) -> None:
        self.path = work / f"{name}{source.name[source.name.index('.') :]}"
        self.files = sorted(f for f in source.rglob("*") if f.is_file()) if source.is_dir() else []
        self.source, self.rng = source, rng

    def __enter__(self) -> Path:
        if not self.files:
            self.path.write_bytes(mutated(self.source.read_bytes(), self.rng))
            return self.path
        described = [f for f in self.files if "json" in f.name or f.name.startswith(".z")]
        chosen = described if self.rng.random() < 0.7 else self.files
        victim = chosen[int(self.rng.integers(len(chosen)))]
        for file in self.files:
            target = self.path / file.relative_to(self.source)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file == victim:
                target.write_bytes(mutated(file.read_bytes(), self.rng))
            else:
                os.link(file, target)
        return self.path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path) if self.path.is_dir() else self.path.unlink()


def child(made: Path, name: str, number: int, seed: int, start: int, stop: int, keep: Path | None) -> None:
    """Look at inputs `start` to `stop` of a format; a line before and after each."""
    import resource
    import signal
    import traceback
    import warnings

    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    sources = [made / line for line in (made / f"{name}.list").read_text().splitlines()]

    class Hang(BaseException):
        pass

    def stop_it(*_):
        raise Hang

    signal.signal(signal.SIGALRM, stop_it)
    for index in range(start, stop):
        rng = np.random.default_rng([seed, number, index])
        with Input(sources[index % len(sources)], made, f"i{index}", rng) as path:
            print("begin", index, path, flush=True)
            Path("/proc/self/clear_refs").write_text("5")  # the highest memory counts from here
            before, begun = peak_kb(), time.perf_counter()
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
            memory, seconds = max(0, peak_kb() - before) // 1000, time.perf_counter() - begun
            if said.startswith(("uncaught", "hang", "memory")) or memory > 1000:
                save(path, keep, f"{name}-{said.split()[0]}-{seed}-{index}")
        print("end", index, memory, f"{seconds:.2f}", said, flush=True)


def measure(inputs: int, seed: int, formats: list[str], keep: Path | None) -> dict[str, object]:
    """All numbers."""
    codes: dict[str, Counter[str]] = {}
    bad: Counter[str] = Counter()
    result = {"inputs": 0, "crashes": 0, "hangs": 0, "uncaught": 0, "memory_mb": 0, "slowest_s": 0.0}
    with tempfile.TemporaryDirectory() as work:
        made = Path(work)
        all_seeds = seeds(made)
        numbers = {name: number for number, name in enumerate(all_seeds)}
        chosen = [name for name in all_seeds if not formats or name in formats]
        weights = {name: 0.1 if name == "dicom" else 1.0 for name in chosen}
        for name in chosen:
            (made / f"{name}.list").write_text("\n".join(str(p.relative_to(made)) for p in all_seeds[name]))
            codes[name] = Counter()
            at, stop = 0, math.ceil(inputs * weights[name] / sum(weights.values()))
            while at < stop:
                how = [str(v) for v in (made, name, numbers[name], seed, at, stop, keep or "")]
                done = subprocess.run(
                    [sys.executable, __file__, "--child", *how], capture_output=True, text=True, check=False
                )
                running = None
                for line in done.stdout.splitlines():
                    word, index, *rest = line.split(" ", 4)
                    running = Path(rest[0]) if word == "begin" else None
                    if word != "end":
                        continue
                    at = int(index) + 1
                    memory, seconds, said = int(rest[0]), float(rest[1]), rest[2]
                    result["inputs"] += 1
                    result["memory_mb"] = max(result["memory_mb"], memory)
                    result["slowest_s"] = max(result["slowest_s"], seconds)
                    codes[name][said.split()[0]] += 1
                    if said.startswith(("uncaught", "hang", "memory")) or memory > 1000:
                        bad[f"{name}: {said}" + (f" {memory} MB" if memory > 1000 else "")] += 1
                        result["hangs"] += said == "hang"
                        result["uncaught"] += said.startswith("uncaught")
                if running is not None:
                    result["inputs"] += 1
                    result["crashes"] += 1
                    bad[f"{name}: signal {-done.returncode}"] += 1
                    save(running, keep, f"{name}-crash-{seed}-{at}")
                    at += 1
                elif at < stop:
                    raise RuntimeError(done.stderr[-2000:])
    return {
        **result,
        "bad": dict(bad),
        "codes": {name: dict(found.most_common()) for name, found in codes.items()},
    }


def save(path: Path, keep: Path | None, name: str) -> None:
    if keep is None:
        return
    keep.mkdir(parents=True, exist_ok=True)
    target = keep / f"{name}{path.name[path.name.index('.') :]}"
    shutil.copytree(path, target, dirs_exist_ok=True) if path.is_dir() else shutil.copy(path, target)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        made, name, number, seed, start, stop, keep = sys.argv[2:]
        child(Path(made), name, int(number), int(seed), int(start), int(stop), Path(keep) if keep else None)
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", default="")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--attacks", action="store_true", help="measure files that are slow on purpose")
    parser.add_argument("--only", default="", help="names of attacks")
    parser.add_argument("--steps", default=",".join(attacks.STEPS), help="steps of attacks")
    parser.add_argument("--bundle", type=Path, help="bundle for the step score of attacks")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    start = time.perf_counter()
    if given.attacks:
        names, steps = ([v for v in text.split(",") if v] for text in (given.only, given.steps))
        print(json.dumps(attacks.measure(given.seed, names, steps, given.bundle)))
        return
    found = measure(given.inputs, given.seed, [f for f in given.formats.split(",") if f], given.keep)
    print(json.dumps({**found, "minutes": round((time.perf_counter() - start) / 60, 1)}))


if __name__ == "__main__":
    main()
