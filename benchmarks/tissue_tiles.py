"""What finding tissue and cutting tiles costs on a slide of 40,000 x 30,000 px, files written.

    python benchmarks/tissue_tiles.py [--slides N] [--rounds N] [--peers PYTHON] [--hs2p PYTHON]

Builds a pyramidal slide (0.25 mpp, JPEG tiles of 256 px, levels 1, 4 and 16) and studies of it and of copies of
it. Everything a run does counts: hashing the slide, records, GeoJSON, Parquet, the worker processes.

seconds        CPU-seconds another slide adds: (a study of N + 1 slides - a study of one) / N, one worker, median
whole_process_s  CPU-seconds of tissue and tiles of one slide, everything: interpreters, imports, worker
startup_s      that less `seconds`
rss_mb         peak resident memory of any process of the run
vs_lazyslide   CPU-seconds of a whole process of LazySlide (open, find_tissues, tile_tissues, written as zarr) over
               ours for one slide; null with a reason where it is not installed. `--peers` names a Python that has
               it (default: this one)
vs_hs2p        the same for the command hs2p (defaults but 224 px tiles and no previews; reading through
               openslide-python); `--hs2p` names a Python that has both
vs_clam        CLAM is not a package: null

Peers and ours are run in turn; CPU time is that of all processes of a run. All of them find their modules
compiled, as installed packages are: bytecode is kept in a folder of this benchmark, written by a first round that
does not count.
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
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SIZE = (40_000, 30_000)
TILE, STEPS = 256, (1, 4, 16)
OURS = """
import sys
from pathlib import Path
from pathosig.core.study import Study
from pathosig.core.workers import end_workers
from pathosig.tiles.stage import cut_tiles
from pathosig.tissue.stage import find_tissue
study = Study.open(Path(sys.argv[1]))
reports = [find_tissue(study), cut_tiles(study)]
end_workers()
import json, re, resource
kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
status = Path("/proc/self/status")  # ru_maxrss of a new process counts its parent's before exec
if status.exists():
    kb = max(kb, int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1]))
facts = {"failed": sum(len(r.failed) for r in reports), "tiles": study.record("tiles", "S0").summary["n_tiles"]}
print(json.dumps({"rss_mb": kb / 1024, **facts}))
"""
LAZYSLIDE = """
import sys, warnings
warnings.filterwarnings("ignore")
import lazyslide as zs
from wsidata import open_wsi
wsi = open_wsi(sys.argv[1], store=sys.argv[2])
zs.pp.find_tissues(wsi)
zs.pp.tile_tissues(wsi, 224, mpp=0.5)
wsi.write(sys.argv[2])
import resource
print(f"peak_mb={resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.1f}")
"""
HS2P = """
csv: {folder}/slides.csv
output_dir: {folder}/out
tiling:
  params: {{requested_tile_size_px: 224}}
  preview: {{save_mask_preview: false, save_tiling_preview: false}}
speed: {{num_workers: 1}}
wandb: {{enable: false}}
"""


def picture(size: tuple[int, int]) -> np.ndarray:
    """Pieces of tissue with texture on glass, uint8[h, w, 3]."""
    import numpy as np
    from scipy import ndimage

    width, height = size
    rng = np.random.default_rng(0)
    rough = ndimage.zoom(rng.normal(size=(24, 32)), (height / 24, width / 32), order=3)[:height, :width]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    tissue = np.zeros((height, width), bool)
    for cx, cy, radius in ((0.3, 0.35, 0.2), (0.68, 0.4, 0.17), (0.5, 0.75, 0.13)):
        distance = np.hypot(x - cx * width, (y - cy * height) * 1.1) / height
        tissue |= distance < radius + 0.03 * rough
    grain = ndimage.gaussian_filter(rng.normal(size=(height, width)).astype(np.float32), 1.2)
    grain /= grain.std()
    nuclei = np.clip(grain - 0.6, 0, 1.5)[..., None] * np.array([70, 85, 40])
    stroma = np.array([222, 165, 195]) + 8 * grain[..., None]
    image = np.where(tissue[..., None], stroma - nuclei, 243 + 0.8 * grain[..., None])
    return np.clip(image, 0, 255).astype(np.uint8)


def build(path: Path) -> Path:
    """The slide. Level 0 is painted tile by tile from a few encoded tiles: these stages read it nowhere."""
    import numpy as np
    import simplejpeg
    import tifffile

    small = picture((SIZE[0] // 16, SIZE[1] // 16))

    def encoded(image: np.ndarray) -> Iterator[bytes]:
        for y in range(0, image.shape[0], TILE):
            for x in range(0, image.shape[1], TILE):
                part = image[y : y + TILE, x : x + TILE]
                room = ((0, TILE - part.shape[0]), (0, TILE - part.shape[1]), (0, 0))
                yield simplejpeg.encode_jpeg(np.ascontiguousarray(np.pad(part, room, mode="edge")), 85)

    def level_0() -> Iterator[bytes]:
        bank: dict[tuple[int, int], bytes] = {}
        side = TILE // 16
        for y in range(0, SIZE[1], TILE):
            for x in range(0, SIZE[0], TILE):
                part = small[y // 16 : y // 16 + side, x // 16 : x // 16 + side]
                kind = (int(part.mean()) // 4, (x // TILE + y // TILE) % 3)
                if kind not in bank:
                    part = np.pad(
                        part, ((0, side - part.shape[0]), (0, side - part.shape[1]), (0, 0)), "edge"
                    )
                    bank[kind] = next(encoded(part.repeat(16, axis=0).repeat(16, axis=1)))
                yield bank[kind]

    text = "Aperio Image Library v12\r\nbenchmark|AppMag = 40|MPP = 0.25"
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for step in STEPS:
            width, height = SIZE[0] // step, SIZE[1] // step
            if step == 1:
                data = level_0()
            else:
                times = 16 // step
                data = encoded(small.repeat(times, axis=0).repeat(times, axis=1)[:height, :width])
            file.write(
                data,
                shape=(height, width, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="ycbcr",
                subsampling=(1, 1),
                compression="jpeg",
                description=text,
                metadata=None,
                software=False,
            )
    return path


def study(root: Path, slide: Path, n: int) -> Path:
    """A study of n copies (links) of the slide."""
    from pathosig.core.study import Study

    config = {
        "endpoints": {"os": {"time": "os_time", "event": "os_event", "unit": "months"}},
        "primary": {"endpoint": "os", "discovery": "discovery"},
    }
    Study.create(root, config)
    rows = ["slide_id,patient_id,path"]
    for number in range(n):
        copy = root / f"S{number}.svs"
        os.link(slide, copy)
        rows.append(f"S{number},P{number},{copy}")
    (root / "slides.csv").write_text("\n".join(rows) + "\n")
    people = [f"P{i},discovery,{i + 1},1" for i in range(n)]
    (root / "patients.csv").write_text("\n".join(["patient_id,cohort,os_time,os_event", *people]) + "\n")
    return root


def run(root: Path) -> dict[str, object]:
    """`one_run` in a new process."""
    command = [sys.executable, "-c", OURS, str(root)]
    before = children_cpu()
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    return {"cpu": children_cpu() - before, **json.loads(out.stdout.strip().splitlines()[-1])}


def environment() -> dict[str, str]:
    """One thread; bytecode is kept."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def children_cpu() -> float:
    """CPU-seconds of all processes that this one has waited for, and of theirs: nothing of a run is left out."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def lazyslide(python: str, slide: Path, store: Path) -> dict[str, float]:
    """A whole LazySlide process."""
    return peer([python, "-c", LAZYSLIDE, str(slide), str(store)])


def hs2p(python: str, slide: Path, folder: Path) -> dict[str, float]:
    """A whole hs2p process."""
    folder.mkdir()
    (folder / "slides.csv").write_text(f"sample_id,image_path\nS0,{slide}\n")
    config = folder / "config.yaml"
    config.write_text(HS2P.format(folder=folder))
    found = peer([python, "-m", "hs2p", str(config), "--skip-datetime"])
    if not list(folder.glob("out/tiles/*.npz")):
        raise RuntimeError("hs2p wrote no tiles")
    return found


def peer(command: list[str]) -> dict[str, float]:
    """CPU-seconds of a command and of all its processes.

    Raises
    ------
    RuntimeError
        With the last line it said, if it fails.
    """
    before = children_cpu()
    out = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    if out.returncode:
        raise RuntimeError((out.stderr.strip().splitlines() or ["failed"])[-1])
    said = re.search(r"peak_mb=([\d.]+)", out.stdout)
    return {"cpu": children_cpu() - before, "mb": float(said.group(1)) if said else 0.0}


def measure(folder: Path, slides: int, rounds: int, pythons: dict[str, str]) -> dict[str, object]:
    """All numbers."""
    slide = build(folder / "large.svs")
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    few, many, peak, tiles = [], [], 0.0, 0
    theirs: dict[str, list[dict[str, float]]] = {"lazyslide": [], "hs2p": []}
    reasons = {"clam": "CLAM is a repository, not an installable package"}
    for number in range(rounds + 1):  # the first does not count
        for n, into in ((1, few), (slides + 1, many)):
            facts = run(study(folder / f"study-{n}-{number}", slide, n))
            if facts["failed"]:
                raise RuntimeError("a slide failed")
            into.append(facts["cpu"])
            peak, tiles = max(peak, facts["rss_mb"]), facts["tiles"]
        for name, call in (("lazyslide", lazyslide), ("hs2p", hs2p)):
            if name not in reasons:
                try:
                    theirs[name].append(call(pythons[name], slide, folder / f"{name}-{number}"))
                except (OSError, RuntimeError) as error:
                    reasons[name] = f"{error}"[:200]
    few, many = few[1:], many[1:]
    theirs = {name: runs[1:] for name, runs in theirs.items()}
    seconds = statistics.median((m - f) / slides for m, f in zip(many, few, strict=True))
    one = statistics.median(few)
    result: dict[str, object] = {
        "seconds": round(seconds, 3),
        "whole_process_s": round(one, 3),
        "startup_s": round(one - seconds, 3),
        "rss_mb": round(peak, 1),
        "vs_clam": None,
    }
    for name, runs in theirs.items():
        cpu = statistics.median(r["cpu"] for r in runs) if runs else None
        result[f"vs_{name}"] = round(cpu / one, 2) if cpu else None
        result[f"{name}_s"] = round(cpu, 2) if cpu else None
    result["lazyslide_mb"] = max((r["mb"] for r in theirs["lazyslide"]), default=None)
    return {**result, "tiles": tiles, "file_mb": round(slide.stat().st_size / 1e6, 1), "reasons": reasons}


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slides", type=int, default=4, help="slides beyond the first")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--hs2p", default=sys.executable)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pythons = {"lazyslide": arguments.peers, "hs2p": arguments.hs2p}
        print(json.dumps(measure(Path(folder), arguments.slides, arguments.rounds, pythons)))


if __name__ == "__main__":
    main()
