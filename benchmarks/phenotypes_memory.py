"""Memory and time of the driver of `pathosig phenotypes` on many tiles.

    python benchmarks/phenotypes_memory.py [--slides 200] [--tiles 50000] [--dim 64] [--into FOLDER]

A cohort of `pathosig simulate --level embeddings` (half of the slides are discovery) is written into FOLDER (a temporary one without it; one that is there already is
used again); then phenotypes are found, assigned and shown in the atlas in one process without workers, so that its peak holds all that a driver and one worker hold. Prints one
JSON object: tiles, peak resident memory before and after in MiB, CPU-seconds of the codebook (fit and health) and of the rest.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def peak_mib() -> float:
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def written(folder: Path, slides: int, tiles: int, dim: int) -> None:
    """Simulate in a process of its own."""
    command = f"pathosig simulate {folder} --level embeddings --n-discovery {slides // 2} --n-validation {slides // 4}"
    command += f" --tiles-per-patient {tiles} --dim {dim} --second-slide 0"
    subprocess.run([sys.executable, "-m", *command.split()], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slides", type=int, default=200)
    parser.add_argument("--tiles", type=int, default=50_000, help="of a slide, on average")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--into", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.into or Path(temporary) / "study"
        if not (folder / "truth.json").is_file():
            written(folder, given.slides, given.tiles, given.dim)
        import pathosig.phenotypes.stage as stage
        from pathosig import Study, find_phenotypes
        from pathosig.core.units import Execution

        study, before, spent = Study.open(folder), peak_mib(), 0.0
        fit = stage._fit

        def timed(job):
            nonlocal spent
            began = time.process_time()
            try:
                return fit(job)
            finally:
                spent += time.process_time() - began

        stage._fit = timed
        began = time.process_time()
        find_phenotypes(study, execution=Execution(force=True))
        whole = time.process_time() - began
        n = sum(
            int(r.summary.get("n_tiles", 0))
            for r in study.records("phenotypes")
            if not r.unit.startswith("_")
        )
    print(json.dumps({
        "tiles": n, "slides": given.slides, "dim": given.dim, "mib_before": round(before), "mib_peak": round(peak_mib()),
        "codebook_cpu_s": round(spent, 1), "rest_cpu_s": round(whole - spent, 1),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
