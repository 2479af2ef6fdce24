"""Killed at every point where something is written, and on a Dask cluster: is the end the same? One JSON object.

    python benchmarks/kills.py [--cases slides,fits,validate,report,dask] [--every 1] [--slides 200]

slides    tissue and tiles of two slides: every rename and every fsync, in the driver and in its worker, is a case. The whole process group is
          killed with SIGKILL just before it, the command is run again, and all files are compared with those of a run that nobody killed.
fits      the same for phenotypes, profiles and signature of a study of embeddings (`--every 4` takes each fourth point)
validate  of a study whose signature is there: one run leaves a copy of the study as it is before every rename, which is what a kill at that
          moment would leave, since this stage writes in one process. Each copy is run to the end and compared.
report    the same for report, of a study that was validated
dask      `--slides` slides on a scheduler with two workers: a worker is killed in tissue, then the driver in tiles, and the driver is started
          again. Every unit must have been recorded once.

For each class: cases tried, cases survived, and what the others left.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pathosig.core.study import Study
from pathosig.core.tables import read_csv_rows, write_csv_rows
from pathosig.synthetic import SimulateSpec, simulate

HOOK = """
import os, pathlib, shutil, signal
counter, kind, at = os.environ["KILL_COUNTER"], os.environ["KILL_KIND"], int(os.environ["KILL_AT"])

def counted(function, name):
    def call(*arguments, **options):
        with open(counter + name, "ab") as handle:
            handle.write(b".")
            number = handle.tell()
        if name == "rename" and os.environ["KILL_COPIES"]:
            shutil.copytree(os.environ["KILL_STUDY"], os.path.join(os.environ["KILL_COPIES"], f"{number:03}"))
        if name == kind and number == at:
            os.killpg(int(os.environ["KILL_GROUP"]) or os.getpgrp(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

os.fsync = counted(os.fsync, "fsync")
pathlib.Path.replace = counted(pathlib.Path.replace, "rename")
"""


BEFORE = {"validate": "signature", "report": "validate"}
"""The stage that has to be there before the one that is killed."""
ENOUGH = {"n_discovery": 40, "n_validation": 20}
"""Patients of a study that has something to validate."""

RESUME = """
import json, sys
from pathlib import Path
from pathosig.commands.pipeline import run_all
from pathosig.core.study import Study
ends = {}
for root in sorted(Path(sys.argv[1]).iterdir()):
    try:
        ends[root.name] = run_all(Study.open(root), until=sys.argv[2]).exit_code
    except Exception as error:
        ends[root.name] = repr(error)
print(json.dumps(ends))
"""


def pathosig(
    *arguments: object, folder: Path, kind: str = "", at: int = 0, copies: str = "", **options: object
) -> subprocess.Popen[bytes]:
    """The program in a process group of its own, which is killed before the `at`-th write of a kind."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}",
        "KILL_COUNTER": str(folder / "count-"),
        "KILL_KIND": kind,
        "KILL_AT": str(at),
        "KILL_GROUP": "0",
        "KILL_COPIES": copies,
        "KILL_STUDY": str(arguments[1]),
    }
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "pathosig", *map(str, arguments)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **options,
    )


def digests(root: Path) -> dict[str, str]:
    """Every file but logs; of records all but the block about the run."""
    out = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or name.startswith(("logs/", "slides/")):
            continue
        data = path.read_bytes()
        if name.startswith("records/") and ".tmp-" not in name:
            data = json.dumps({**json.loads(data), "run": None}, sort_keys=True).encode()
        out[name] = hashlib.sha256(data).hexdigest()
    return out


def every_point(base: Path, until: str, every: int) -> dict[str, object]:
    """Kill at each write of a run, run again, compare."""
    work = base.parent / "case"
    hook = base.parent / "hook"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(HOOK)

    def run(**options: object) -> int:
        for path in hook.glob("count-*"):
            path.unlink()
        return pathosig("run", work, "--until", until, folder=hook, **options).wait()

    shutil.copytree(base, work)
    run()
    points = {kind: (hook / f"count-{kind}").stat().st_size for kind in ("rename", "fsync")}
    wanted = digests(work)
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    failures = []
    for kind, count in points.items():
        for at in range(1, count + 1, every):
            shutil.rmtree(work)
            shutil.copytree(base, work)
            ended = run(kind=kind, at=at)
            again = run()
            tried[kind] += 1
            there = digests(work)
            if ended == -signal.SIGKILL and again in (0, 5) and there == wanted:
                survived[kind] += 1
            else:
                differ = sorted(n for n in {*there, *wanted} if there.get(n) != wanted.get(n))
                failures.append(
                    {"kind": kind, "at": at, "ended": ended, "again": again, "differ": differ[:5]}
                )
    shutil.rmtree(work)
    return {"points": points, "tried": dict(tried), "survived": dict(survived), "failures": failures}


def every_state(base: Path, until: str, every: int) -> dict[str, object]:
    """Copies of a study as a kill before each rename of a run would leave it, run to the end and compared."""
    hook, copies = base.parent / "hook", base.parent / "copies"
    hook.mkdir()
    copies.mkdir()
    (hook / "sitecustomize.py").write_text(HOOK)
    assert pathosig("run", base, "--until", until, folder=hook, copies=str(copies)).wait() == 0
    wanted = digests(base)
    states = sorted(copies.iterdir())
    for number, state in enumerate(states):
        if number % every:
            shutil.rmtree(state)
    left_behind = sum(1 for path in copies.rglob(".tmp-*"))
    command = [sys.executable, "-W", "ignore", "-c", RESUME, copies, until]
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    ends = json.loads(out.stdout.splitlines()[-1])
    failures = []
    for name, end in ends.items():
        there = digests(copies / name)
        if end or there != wanted:
            differ = sorted(n for n in {*there, *wanted} if there.get(n) != wanted.get(n))
            failures.append({"before_rename": int(name), "again": end, "differ": differ[:5]})
    return {
        "points": len(states),
        "tried": len(ends),
        "survived": len(ends) - len(failures),
        "temporary_files_at_the_kills": left_behind,
        "failures": failures,
    }


def of_slides(folder: Path, *, count: int) -> Path:
    """A study of `count` slides that are copies of a few painted ones."""
    root = folder / "study"
    simulate(root, SimulateSpec(n_discovery=4, n_validation=2, types=3, tiles_per_patient=20))
    study = Study.open(root)
    rows = read_csv_rows(study.paths.slides)
    more = []
    for number in range(count):
        row = rows[number % len(rows)]
        path = Path("slides") / f"copy{number:04d}.svs"
        os.link(root / row["path"], root / path)
        more.append({**row, "slide_id": f"N{number:04d}", "path": path.as_posix()})
    write_csv_rows(study.paths.slides, more, list(rows[0]))
    return root


def of_embeddings(folder: Path, *, n_discovery: int = 16, n_validation: int = 4) -> Path:
    """A study whose fits are quick."""
    root = folder / "study"
    spec = SimulateSpec(
        level="embeddings", n_discovery=n_discovery, n_validation=n_validation, tiles_per_patient=60
    )
    simulate(root, spec)
    with (root / "study.toml").open("a") as handle:
        handle.write('\n[phenotypes]\nk = 6\nruns = 2\n\n[signature]\nmin_tiles = 5\nselection = "ridge"\n')
        handle.write("\n[validate]\npermutations = 10\ninstability = 4\n")
    return root


@contextlib.contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and its workers, each in a process group of its own."""
    place = folder / "scheduler.json"

    def started(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "distributed.cli.dask_" + words[0],
                *words[1:],
                "--scheduler-file",
                str(place),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    crew = [started("scheduler", "--port", "0", "--dashboard-address", ":0")]
    try:
        while not place.exists():
            time.sleep(0.2)
        crew += [started("worker", "--no-nanny", "--nthreads", "1") for _ in range(workers)]
        yield json.loads(place.read_text())["address"], crew[1:]
    finally:
        for process in crew:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def on_dask(folder: Path, slides: int) -> dict[str, object]:
    """Kill a worker, then the driver, start again; compare with a run on this machine."""
    root = of_slides(folder, count=slides)
    alone = folder / "alone"
    shutil.copytree(root, alone)
    nothing = folder / "no-hook"
    nothing.mkdir()
    assert pathosig("run", alone, "--until", "tiles", folder=nothing).wait() == 0

    def recorded(stage: str) -> int:
        return len(list((root / "records" / stage).glob("[!.]*.json")))

    def wait_for(stage: str, count: int, process: subprocess.Popen[bytes]) -> None:
        while recorded(stage) < count:
            if process.poll() is not None:
                raise RuntimeError(
                    f"the driver ended with {process.returncode}, {recorded(stage)} of {stage}"
                )
            time.sleep(0.05)

    with cluster(folder, 2) as (address, workers):
        command = ("run", root, "--until", "tiles", "--dask", address)
        driver = pathosig(*command, folder=nothing)
        wait_for("tissue", slides // 4, driver)
        kill(workers[0])
        wait_for("tiles", slides // 4, driver)
        kill(driver)
        before = {stage: recorded(stage) for stage in ("tissue", "tiles")}
        again = pathosig(*command, folder=nothing).wait()
    lines: Counter[tuple[str, str]] = Counter()
    for path in (root / "logs" / "runs").glob("*.jsonl"):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if entry["event"] == "unit":
                lines[entry["stage"], entry["unit"]] += 1
    there, wanted = digests(root), digests(alone)
    return {
        "slides": slides,
        "recorded_when_the_driver_was_killed": before,
        "exit_code_of_the_second_driver": again,
        "same_bytes": there == wanted,
        "differ": sorted(n for n in {*there, *wanted} if there.get(n) != wanted.get(n))[:5],
        "units": len(lines),
        "recorded_more_than_once": sum(n > 1 for n in lines.values()),
        "failed": sum(
            json.loads(p.read_text())["status"] == "failed" for p in (root / "records").rglob("*.json")
        ),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", default="slides,fits,dask")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--slides", type=int, default=200)
    options = parser.parse_args()
    result: dict[str, object] = {}
    for case in options.cases.split(","):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if case == "slides":
                result[case] = every_point(of_slides(folder, count=2), "tiles", options.every)
            elif case == "fits":
                result[case] = every_point(of_embeddings(folder), "signature", options.every)
            elif case in BEFORE:
                root = of_embeddings(folder, **ENOUGH)
                (folder / "no-hook").mkdir()
                begun = pathosig("run", root, "--until", BEFORE[case], folder=folder / "no-hook")
                assert begun.wait() == 0
                result[case] = every_state(root, case, options.every)
            else:
                result[case] = on_dask(folder, options.slides)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
