"""The bounded set behind docs/evidence: each benchmark at a modest size, one after another, in at most a quarter of an hour.

    python benchmarks/bench.py [--only startup,tma] [--out docs/evidence/benchmarks.json]

Each is run in a process of its own. Its last line, a JSON object, is kept with the command, its seconds, the machine, the day and how
busy the machine was. `docs/generate_evidence.py` writes the page from that file. Benchmarks that are not run again, or need PATHOSIG_DATA
where it is not set, keep what they had.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
SET = {
    "startup": ["--rounds", "5"],
    "survival": ["--rounds", "3", "--wide", "2000"],
    "read_tiles": ["--side", "3360", "--rounds", "3"],
    "tissue": ["--slides", "8"],
    "tma": ["--seeds", "2"],
    "assign": ["--tiles", "500000"],
    "recovery": ["--seeds", "2", "--tiles", "100"],
}
"""Script -> its arguments, chosen so that all of them together take about ten minutes on two cores."""

NEEDS_DATA = ("read_tiles",)
"""Those that read real slides."""


def machine() -> dict[str, object]:
    """What the numbers were measured on."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **{name: version(name) for name in ("pathosig", "numpy", "scipy", "pandas")},
    }


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.is_file() else []


def one(name: str, arguments: list[str]) -> dict[str, object]:
    """Run one benchmark: its command, its seconds and its JSON object."""
    load, before, start = (
        os.getloadavg()[0],
        resource.getrusage(resource.RUSAGE_CHILDREN),
        time.perf_counter(),
    )
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "command": " ".join(["python", f"benchmarks/{name}.py", *arguments]),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "load": round(load, 1),
        "wall_seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "machine": machine(),
        "result": json.loads(answer.stdout.strip().splitlines()[-1]),
    }


def main() -> None:
    """Run the set, writing what there is after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="names with commas between them")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "evidence" / "benchmarks.json")
    given = parser.parse_args()
    rows = json.loads(given.out.read_text()) if given.out.is_file() else {}
    for name in given.only.split(",") if given.only else SET:
        print(f"{name} ...", file=sys.stderr, flush=True)
        if name in NEEDS_DATA and "PATHOSIG_DATA" not in os.environ:
            print("  left out: it needs PATHOSIG_DATA", file=sys.stderr)
            continue
        rows[name] = one(name, SET[name])
        rows = {key: rows[key] for key in SET if key in rows}
        given.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
