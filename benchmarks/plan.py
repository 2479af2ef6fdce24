"""Does `pathosig run --dry-run` say what a run takes? One JSON object.

    python benchmarks/plan.py [--patients 60] [--tiles 40] [--parts slides,embeddings]

A few painted slides of so many tiles for the stages that read pixels, and embeddings of so many discovery patients for those after them: what the plan says
before anything has run, stage by stage, beside the CPU seconds of all processes of that stage, one worker, starting included. `ratio` is
measured by planned: above 1 the plan said too little.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from pathosig.commands.pipeline import run_all
from pathosig.core.study import Study
from pathosig.synthetic import SimulateSpec, simulate

MEASURED = """
import json, resource, sys
from pathosig.core.stages import STAGES
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.core.workers import end_workers
(row,) = [row for row in STAGES if row.name == sys.argv[2]]
row.function()(Study.open(sys.argv[1]), execution=Execution(workers=1))
end_workers()
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps(sum(each.ru_utime + each.ru_stime for each in used)))
"""


def took(root: Path, stage: str) -> float:
    """CPU seconds of a stage in a program of its own."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURED, root, stage]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(out.stdout.splitlines()[-1])


def compared(root: Path, spec: SimulateSpec, *, until: str) -> dict[str, object]:
    """Planned and measured seconds of every stage of a simulated study."""
    simulate(root, spec)
    with (root / "study.toml").open("a") as handle:
        handle.write("\n[signature]\nmin_tiles = 5\n\n[validate]\npermutations = 10\n")
    plan = run_all(Study.open(root), until=until, dry_run=True).plan
    assert plan is not None
    stages: dict[str, dict[str, float | None]] = {}
    for row in plan.stages:
        planned = None if row.hours is None else row.hours * 3600
        measured = took(root, row.stage)
        stages[row.stage] = {
            "planned_s": None if planned is None else round(planned, 1),
            "measured_s": round(measured, 1),
            "ratio": round(measured / planned, 2) if planned else None,
        }
        sys.stderr.write(f"{row.stage}: {json.dumps(stages[row.stage])}\n")
    records = Study.open(root).records("tiles")
    there = sum(int(record.summary["n_tiles"]) for record in records)
    return {"slides": plan.slides, "tiles": {"planned": plan.tiles, "there": there}, "stages": stages}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--tiles", type=int, default=40)
    parser.add_argument("--parts", default="slides,embeddings")
    options = parser.parse_args()
    few = SimulateSpec(n_discovery=4, n_validation=1, types=3, tiles_per_patient=options.tiles, seed=5)
    many = SimulateSpec(
        level="embeddings",
        n_discovery=options.patients,
        n_validation=max(4, options.patients // 3),
        tiles_per_patient=60,
        seed=5,
    )
    parts = options.parts.split(",")
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        if "slides" in parts:
            result["slides"] = compared(Path(folder) / "slides", few, until="embed")
        if "embeddings" in parts:
            result["embeddings"] = compared(Path(folder) / "embeddings", many, until="report")
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
