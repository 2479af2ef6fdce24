"""How the driver grows with the number of slides: one JSON object.

    python benchmarks/scale.py [--slides 10000] [--units 1000] [--only embed]

Per unit that does nothing: wall and driver's CPU milliseconds, locally and on a Dask cluster of this machine. For a study of
`--slides` with records of four stages: seconds of CPU and of wall time and peak memory of `status`, of `check` without
opening slides, with opening stubs, and of a stage with nothing to do, per thousand slides. Peak memory of the program while its workers embed
four to six painted slides, beside that of an interpreter that does nothing but import torch.

`--only embed` measures that alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pathosig.core.execution import run_each
from pathosig.core.records import Record, write_text
from pathosig.core.spec import Spec
from pathosig.core.study import Study
from pathosig.core.units import Execution, Job, Outcome, Stage, Unit
from pathosig.synthetic import SimulateSpec, simulate

STAGES = ("tissue", "tiles", "embed", "phenotypes")
MEASURED = """
import json, resource, sys, time
from pathosig.core.study import Study
{imports}
start, cpu = time.perf_counter(), time.process_time()
study = Study.open(sys.argv[1])
{call}
print(json.dumps({{
    "wall_s": round(time.perf_counter() - start, 2),
    "cpu_s": round(time.process_time() - cpu, 2),
    "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
}}))
"""


@dataclass(frozen=True, kw_only=True)
class NoSpec(Spec):
    section: ClassVar[str] = "noop"


def nothing(job: Job) -> Outcome:
    """A unit that writes one small file."""
    name = f"out/{job.unit}.txt"
    write_text(job.root / name, job.unit)
    return Outcome(outputs=(name,))


def overhead(folder: Path, units: int, execution: Execution) -> dict[str, float]:
    """Milliseconds of wall and driver's CPU time per unit; what it takes to start is taken off with a run of a few."""
    timed = {}
    for name, count in (("few", 20), ("many", 20 + units)):
        study = Study.create(folder / name)
        work = [Unit(id=f"u{i:06d}") for i in range(count)]
        wall, cpu = time.perf_counter(), time.process_time()
        run_each(study, Stage(name="noop", version=1), NoSpec(), work, nothing, execution=execution)
        timed[name] = (time.perf_counter() - wall, time.process_time() - cpu)
    wall, cpu = (1000 * (timed["many"][i] - timed["few"][i]) / units for i in (0, 1))
    return {"wall_ms": round(wall, 2), "driver_cpu_ms": round(cpu, 2)}


def large_study(root: Path, slides: int) -> None:
    """A study of stub slides with records of four stages and their outputs' stamps."""
    study = Study.create(root, {"endpoints": {"os": {"time": "t", "event": "e", "unit": "months"}}})
    names = [f"S{i:06d}" for i in range(slides)]
    (root / "slides").mkdir()
    for name in names:
        (root / "slides" / f"{name}.svs").write_bytes(name.encode())
    study.paths.slides.write_text(
        "slide_id,patient_id,path\n" + "".join(f"{n},P{n},slides/{n}.svs\n" for n in names)
    )
    study.paths.patients.write_text(
        "patient_id,cohort,t,e\n" + "".join(f"P{n},discovery,{i + 1},{i % 2}\n" for i, n in enumerate(names))
    )
    for stage in STAGES:
        run = {"started": "2026-01-01T00:00:00Z", "seconds": 1.0, "peak_mb": 50.0, "versions": {"numpy": "2"}}
        spec = {f"setting_{i}": i for i in range(12)}
        for name in names:
            record = Record(
                stage=stage, unit=name, status="ok", fingerprint="0" * 64, spec=spec, run=run,
                upstream={} if stage == "tissue" else {"before": "0" * 64},
            )  # fmt: skip
            path = study.record_path(stage, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(vars(record)))


def measured(root: Path, imports: str, call: str) -> dict[str, float]:
    """What a call on a study takes, in a program of its own."""
    code = MEASURED.format(imports=imports, call=call)
    out = subprocess.run([sys.executable, "-c", code, root], capture_output=True, text=True, check=True)
    return dict(json.loads(out.stdout.splitlines()[-1]))


def embedding(root: Path) -> dict[str, float]:
    """Peak memory of the program that waits for the workers of `embed`, beside that of torch alone."""
    simulate(root, SimulateSpec(n_discovery=4, n_validation=1, types=3, tiles_per_patient=6, second_slide=0))
    imports = "from pathosig.commands.pipeline import run_all"
    ours = measured(root, imports, "run_all(study, until='embed')")
    torch = measured(root, "import torch", "")
    return {
        "driver_mb": ours["rss_mb"],
        "torch_alone_mb": torch["rss_mb"],
        "ratio": round(ours["rss_mb"] / torch["rss_mb"], 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slides", type=int, default=10_000)
    parser.add_argument("--units", type=int, default=300)
    parser.add_argument("--only", choices=["embed"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if options.only:
            sys.stdout.write(json.dumps({"embed": embedding(root / "embed")}) + "\n")
            return
        result: dict[str, object] = {
            "embed": embedding(root / "embed"),
            "slides": options.slides,
            "local_per_unit": overhead(root / "local", options.units, Execution(workers=2)),
            "dask_per_unit": overhead(root / "dask", options.units, Execution(scheduler="local:2")),
        }
        large_study(root / "large", options.slides)
        result["status"] = measured(
            root / "large", "from pathosig.commands.status import status", "status(study).to_text()"
        )
        result["check"] = measured(
            root / "large", "from pathosig.intake.checking import check", "check(study, open_slides=False)"
        )
        result["check_and_open"] = measured(
            root / "large", "from pathosig.intake.checking import check", "check(study)"
        )
        result["nothing_to_do"] = nothing_to_do(root / "fresh", min(options.slides, 2000))
    sys.stdout.write(json.dumps(result) + "\n")


def nothing_to_do(root: Path, units: int) -> dict[str, float]:
    """A stage of fresh units: seconds of this process per thousand."""
    Study.create(root)
    work = [Unit(id=f"u{i:06d}") for i in range(units)]
    for number in range(2):
        wall, cpu = time.perf_counter(), time.process_time()
        report = run_each(
            Study.open(root),
            Stage(name="noop", version=1),
            NoSpec(),
            work,
            nothing,
            execution=Execution(workers=2),
        )
        if number:
            assert len(report.fresh) == units
    per_thousand = 1000 / units
    return {
        "wall_s_per_1000": round((time.perf_counter() - wall) * per_thousand, 3),
        "cpu_s_per_1000": round((time.process_time() - cpu) * per_thousand, 3),
    }


if __name__ == "__main__":
    import scale  # under this name workers can import the task

    scale.main()
