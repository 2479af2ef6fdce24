"""A read-only disk and a full one under every stage: exit code 6, no traceback, nothing half written, and then it resumes. One JSON object.

    python benchmarks/disk.py [--stages tissue,tiles,embed,phenotypes,profiles,signature,validate,report]

Linux, as a user who may make mount name spaces. A finished study lies on a memory disk of its own; what one stage wrote is removed and its command is
run: with the disk mounted read-only, then with 8 KB left, then with room again. For each stage: the three exit codes (6, 6 and 0 are right),
whether a traceback was printed, how many temporary files lay there after the full disk, and whether all files are in the end what they were.
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

from kills import digests
from pathosig.synthetic import SimulateSpec, simulate

SLIDES = ("tissue", "tiles", "embed")
FITS = ("phenotypes", "profiles", "signature", "validate", "report")
SETTINGS = '\n[phenotypes]\nk = 6\nruns = 2\n\n[signature]\nmin_tiles = 5\nselection = "ridge"\n\n[validate]\npermutations = 10\n'
LEFT = 8192


def pathosig(*arguments: object) -> tuple[int, str]:
    """Exit code and what was said."""
    command = [sys.executable, "-W", "ignore", "-m", "pathosig", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def mount(*options: str) -> None:
    """Call mount(8)."""
    subprocess.run(["mount", *options], check=True)


def study_of(root: Path, stages: tuple[str, ...]) -> Path:
    """A finished study: of a few painted slides, or of embeddings."""
    if stages[0] in SLIDES:
        spec = SimulateSpec(n_discovery=4, n_validation=1, types=3, tiles_per_patient=6, second_slide=0)
    else:
        spec = SimulateSpec(level="embeddings", n_discovery=40, n_validation=20, tiles_per_patient=60)
    simulate(root, spec)
    with (root / "study.toml").open("a") as handle:
        handle.write(SETTINGS)
    code, text = pathosig("run", root, "--until", SLIDES[-1] if stages[0] in SLIDES else FITS[-1])
    assert code == 0, text
    return root


def tried(finished: Path, stage: str, disk: Path) -> dict[str, object]:
    """One stage on both disks."""
    size = sum(path.stat().st_size + 8192 for path in finished.rglob("*")) + (8 << 20)
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk))
    try:
        study = disk / "study"
        shutil.copytree(finished, study)
        wanted = digests(study)
        for record in (study / "records" / stage).glob("*.json"):
            for name in json.loads(record.read_text())["outputs"]:
                (study / name).unlink(missing_ok=True)
            record.unlink()
        mount("-o", "remount,ro", str(disk))
        read_only, first = pathosig(stage, study)
        mount("-o", "remount,rw", str(disk))
        filler = disk / "filler"
        free = shutil.disk_usage(disk).free
        with filler.open("wb") as handle:
            handle.write(bytes(max(0, free - LEFT)))
        full, second = pathosig(stage, study)
        filler.unlink()
        left = [path.name for path in study.rglob(".tmp-*")]
        again, third = pathosig(stage, study)
        return {
            "read_only": read_only,
            "full": full,
            "again": again,
            "tracebacks": sum("Traceback" in text for text in (first, second, third)),
            "temporary_files": len(left),
            "same_bytes": digests(study) == wanted,
            "said": second.strip().splitlines()[-1:],
        }
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", default=",".join((*SLIDES, *FITS)))
    options = parser.parse_args()
    if "PATHOSIG_DISK_INSIDE" not in os.environ:
        os.environ["PATHOSIG_DISK_INSIDE"] = "1"
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        os.execvp("unshare", ["unshare", *user, "--mount", sys.executable, *sys.argv])
    wanted = options.stages.split(",")
    result: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        for stages in (SLIDES, FITS):
            chosen = [stage for stage in stages if stage in wanted]
            if not chosen:
                continue
            finished = study_of(Path(name) / stages[0], stages)
            disk = Path(name) / f"{stages[0]}-disk"
            disk.mkdir()
            for stage in chosen:
                result[stage] = tried(finished, stage, disk)
                sys.stderr.write(f"{stage}: {json.dumps(result[stage])}\n")
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
