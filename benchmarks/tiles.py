"""From tile embeddings to patients' profiles at one to a hundred million tiles: one JSON object.

    python benchmarks/tiles.py [--millions 1,3,10,100] [--per-slide 50000] [--dim 64] [--workers 1] [--folder DIR]

A simulated study whose slides have `--per-slide` tiles of `--dim` numbers each. Files of eight slides stand for all others (hard links), so that a hundred
million tiles take no more room than their results. For `phenotypes` (fit, assignment, atlas) and `profiles`, and a second run with
nothing to do: seconds of CPU of all processes, peak memory in MB of the driver and of the workers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from pathosig.core.records import write_json
from pathosig.core.schema import TILES, read_table, write_table
from pathosig.core.study import Study
from pathosig.synthetic import SimulateSpec, simulate

VARIANTS = 8
MEASURED = """
import json, resource, sys
from pathlib import Path
from pathosig.core.stages import STAGES
from pathosig.core.study import Study
from pathosig.core.units import Execution
study = Study.open(sys.argv[1])
(row,) = [row for row in STAGES if row.name == sys.argv[2]]
row.function()(study, execution=Execution(workers=int(sys.argv[3])))
from pathosig.core.workers import end_workers
end_workers()
own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
peak = next(int(l.split()[1]) for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM"))
print(json.dumps({
    "driver_cpu_s": round(own.ru_utime + own.ru_stime, 1),
    "workers_cpu_s": round(others.ru_utime + others.ru_stime, 1),
    "driver_mb": round(peak / 1024),
    "worker_mb": round(others.ru_maxrss / 1024),
}))
"""


def study_of(root: Path, slides: int, per_slide: int, dim: int) -> Study:
    """A study of that many slides, with the files of a few of them."""
    simulate(
        root,
        SimulateSpec(
            level="embeddings",
            n_discovery=slides // 2,
            n_validation=max(1, slides // 4),
            tiles_per_patient=60,
            dim=dim,
        ),
    )
    study = Study.open(root)
    ids = [slide.id for slide in study.slides()]
    rng = np.random.default_rng(0)
    for number, name in enumerate(ids):
        embeddings, tiles = (
            root / "embeddings" / f"{name}.npy",
            study.file("tiles", name, ".parquet"),
        )
        if number < VARIANTS:
            few = np.load(embeddings)
            drawn = few[rng.integers(0, len(few), per_slide)]
            many = drawn + rng.normal(0, 0.05, drawn.shape).astype(np.float16)
            width = int(np.ceil(np.sqrt(per_slide)))
            places = np.arange(per_slide)
            table = pa.table(
                {
                    "tile_id": places.astype(np.int32),
                    "x": (places % width * 224).astype(np.int32),
                    "y": (places // width * 224).astype(np.int32),
                    "tissue": np.ones(per_slide, np.float32),
                }
            )
            np.save(embeddings, many.astype(np.float16))
            write_table(
                tiles, table, TILES, {"pathosig": {"mpp": 0.5, "size_px": 224, "tile_level0_px": 224.0}}
            )
            assert read_table(tiles, TILES).num_rows == per_slide
        else:
            for path, folder in ((embeddings, "embeddings"), (tiles, "tiles")):
                path.unlink()
                os.link(root / folder / f"{ids[number % VARIANTS]}{path.suffix}", path)
        for stage in ("tiles", "embed"):
            path = study.record_path(stage, name)
            record = json.loads(path.read_text())
            record["summary"]["n_tiles"] = per_slide
            write_json(path, record)
    return study


def stage(root: Path, name: str, workers: int) -> dict[str, float]:
    """What a stage takes, in a program of its own."""
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURED, root, name, str(workers)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(json.loads(out.stdout.splitlines()[-1]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--millions", default="1,3,10")
    parser.add_argument("--per-slide", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    result = {}
    for millions in (float(text) for text in options.millions.split(",")):
        root = Path(tempfile.mkdtemp(prefix="tiles-", dir=options.folder)) / "study"
        slides = max(20, round(millions * 1e6 / options.per_slide))
        study = study_of(root, slides, round(millions * 1e6 / slides), options.dim)
        result[f"{millions:g}"] = {
            "slides": len(study.slides()),
            "phenotypes": stage(root, "phenotypes", options.workers),
            "profiles": stage(root, "profiles", options.workers),
            "nothing_to_do": stage(root, "phenotypes", options.workers),
        }
        shutil.rmtree(root.parent)
        sys.stderr.write(f"{millions:g} million: {json.dumps(result[f'{millions:g}'])}\n")
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
