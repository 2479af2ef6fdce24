"""A disk that is read-only, or full: exit code 6, nothing half written, and the same command resumes."""

import shutil
import subprocess
import sys

import pytest

from pathosig.core.study import Study

SCRIPT = """
set -u
mount -t tmpfs -o size=512k tmpfs "$1"
cp -r "$2" "$1/study"
shift 2
stage() { "$@" 2>&1; echo "code $?"; }
mount -o remount,ro "$DISK"
stage "$@"
mount -o remount,rw "$DISK"
dd if=/dev/zero of="$DISK/filler" bs=4k 2> "$DISK/../dd.txt"
stage "$@"
echo "temporary $(find "$DISK/study" -name '.tmp-*' | wc -l)"
rm "$DISK/filler"
stage "$@"
"""
INSIDE = ["unshare", "--map-root-user", "--mount"]


def can_mount(folder):
    command = [*INSIDE, "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def test_a_stage_on_a_read_only_and_on_a_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if not can_mount(disk):
        pytest.skip("name spaces of mounts are not allowed here")
    study = Study.create(tmp_path / "study")
    (study.root / "a.svs").write_text("no slide")
    study.paths.slides.write_text("slide_id,patient_id,path\nS1,P1,a.svs\n")
    study.paths.patients.write_text("patient_id,cohort\nP1,discovery\n")
    command = [sys.executable, "-m", "pathosig", "tissue", disk / "study"]
    done = subprocess.run(
        [*INSIDE, "env", f"DISK={disk}", "bash", "-c", SCRIPT, "bash", disk, study.root, *command],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    read_only, full, again, _ = done.stdout.split("code ")
    assert "cannot write into it" in read_only
    assert full.startswith("6\n")
    assert "E_STORAGE" in full
    assert again.startswith("6\ntemporary 0\n")
    assert "E_FORMAT" in again  # the slide itself, now that there is room
    assert done.stdout.endswith("code 4\n")
    assert "Traceback" not in done.stdout + done.stderr
