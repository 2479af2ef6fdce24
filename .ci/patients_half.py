"""The base wheel alone, in the environment given: a table study from init to report, and one sentence for an absent extra."""

import csv
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ENVIRONMENT = Path(sys.argv[1])


def pathosig(*arguments: str, expect: tuple[int, ...] = (0,)) -> str:
    """Run the command of the environment; its standard error."""
    command = [str(ENVIRONMENT / "bin" / "pathosig"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode not in expect:
        sys.exit(f"{' '.join(arguments)}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result.stderr


def write(path: Path, rows: list[list[object]]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)


def main() -> None:
    """Make two tables, run the patients half on them, and look at what an absent extra says."""
    size = sum(f.stat().st_size for f in ENVIRONMENT.rglob("*") if f.is_file() and not f.is_symlink()) / 1e6
    print(f"base environment: {size:.0f} MB")
    if size > 600:
        sys.exit("the base environment is larger than 600 MB")
    rng = random.Random(7)
    patients, features = (
        [["patient_id", "cohort", "os_time", "os_event", "age"]],
        [["patient_id", "a", "b", "c"]],
    )
    for number in range(160):
        values = [rng.gauss(0, 1) for _ in range(3)]
        time, stop = rng.expovariate(0.04 * 2.718 ** (0.9 * values[0])), rng.uniform(10, 70)
        cohort = "discovery" if number < 100 else "validation"
        patients.append(
            [f"P{number:03d}", cohort, round(min(time, stop) + 0.01, 2), int(time <= stop), 40 + number % 40]
        )
        features.append([f"P{number:03d}", *(round(v, 4) for v in values)])
    with tempfile.TemporaryDirectory() as folder:
        clinical, table, study = (
            Path(folder) / "clinical.csv",
            Path(folder) / "features.csv",
            Path(folder) / "study",
        )
        write(clinical, patients)
        write(table, features)
        pathosig("init", str(study), "--clinical", str(clinical), "--unit", "months")
        pathosig("profiles", str(study), "--features", str(table))
        pathosig("signature", str(study))
        pathosig("validate", str(study))
        pathosig("report", str(study))
        if not (study / "report" / "index.html").stat().st_size:
            sys.exit("no report")
        pathosig("doctor")
        told = pathosig("simulate", str(Path(folder) / "painted"), expect=(2,))
    if 'pip install "pathosig[' not in told:
        sys.exit(f"an absent extra is not explained: {told}")
    print(told.strip())


if __name__ == "__main__":
    main()
