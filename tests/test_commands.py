"""Commands as a stranger uses them: wrong arguments, missing files, moved, read-only and shared studies."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

from pathosig.commands.pipeline import run_all
from pathosig.commands.status import status
from pathosig.core.records import atomic_path
from pathosig.core.study import Study
from pathosig.synthetic import SimulateSpec, simulate
from tests.outputs import outputs_of

SPEC = SimulateSpec(
    level="embeddings", n_discovery=40, n_validation=16, tiles_per_patient=60, types=3, dim=16
)
SETTINGS = '\n[phenotypes]\nk = 6\nruns = 2\n\n[signature]\nselection = "ridge"\n\n[validate]\npermutations = 10\ninstability = 0\n'


def cli(*arguments, **options):
    command = [sys.executable, "-m", "pathosig", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def made(folder):
    simulate(folder, SPEC)
    config = folder / "study.toml"
    config.write_text(config.read_text() + SETTINGS)
    return Study.open(folder)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = made(tmp_path_factory.mktemp("commands") / "study")
    assert run_all(study).exit_code == 0
    return study


class TestFinishedStudy:
    def test_nothing_is_stale_and_the_report_is_fresh(self, study):
        again = run_all(study)
        assert not any(s.done for s in again.stages), again.to_text()
        assert all(c["stale"] == 0 for c in status(study).stages.values()), status(study).to_text()

    def test_status_counts_slides_and_fits_apart(self, study):
        found = status(study)
        slides = len(study.specimens())
        assert found.stages["phenotypes"]["slides"] == slides
        assert found.stages["profiles"]["slides"] == 0
        lines = [line.split() for line in found.to_text().splitlines()]
        assert lines[0] == ["stage", "slides", "fits", "empty", "failed", "missing", "stale"]
        fits = found.stages["phenotypes"]["ok"] - slides
        assert ["phenotypes", str(slides), str(fits)] in lines
        assert ["profiles", "1"] in lines

    def test_a_unit_made_from_an_older_record_is_stale(self, study, tmp_path):
        other = Study.open(shutil.copytree(study.root, tmp_path / "copy"))
        path = other.record_path("profiles", "_profiles")
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"fingerprint": "0" * 64}))
        assert status(other).stages["validate"]["stale"] == 1

    def test_a_moved_study_is_fresh_and_its_report_has_the_same_bytes(self, study, tmp_path):
        moved = shutil.copytree(study.root, tmp_path / "another name")
        done = cli("run", moved)
        assert done.returncode == 0, done.stderr
        assert "done" not in done.stdout
        cli("report", moved, "--force")
        assert (moved / "report/index.html").read_bytes() == (study.root / "report/index.html").read_bytes()

    def test_a_stage_the_study_does_not_have_is_refused_before_it_records_anything(self, study):
        done = cli("tissue", study.root)
        assert done.returncode == 2
        assert "starts from embeddings" in done.stderr
        assert not (study.root / "records/tissue").exists()

    def test_a_bundle_without_pixel_stages_says_that_it_cannot_score_slides(
        self, study, tmp_path, tissue_slide
    ):
        cli("bundle", study.root, "--out", tmp_path / "b.psig")
        done = cli("score", tmp_path / "b.psig", tissue_slide, "--out", tmp_path / "s.csv")
        assert done.returncode == 3
        assert "started from embeddings" in done.stderr
        missing = cli("score", tmp_path / "b.psig", tmp_path / "no.svs", "--out", tmp_path / "s.csv")
        assert (missing.returncode, "E_NOT_FILE" in missing.stderr) == (3, True)
        assert "no such file" in cli("score", tmp_path / "no.psig", tissue_slide).stderr

    def test_patients_with_too_few_tiles_are_named_as_the_reason(self, study, tmp_path):
        other = shutil.copytree(study.root, tmp_path / "copy")
        done = cli("signature", other, "--min-tiles", "500")
        assert done.returncode == 5
        assert "fewer than 500 tiles" in done.stderr
        assert not (other / "signature/scores.csv").exists()
        assert status(Study.open(other)).stages["signature"]["empty"] == 1


def test_an_interrupted_run_says_how_to_go_on_and_two_runs_at_once_give_the_same_bytes(study, tmp_path):
    other = made(tmp_path / "study")
    command = [sys.executable, "-m", "pathosig", "run", str(other.root)]
    stopped = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),  # a shell's "&" has it ignored
    )
    deadline = time.monotonic() + 60
    while not list((other.root / "records").glob("phenotypes/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    stopped.send_signal(signal.SIGINT)
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 130
    assert "run the same command again" in said
    two = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"]
    ends = [(p.communicate(timeout=240), p.returncode) for p in two]
    assert [code for _, code in ends] == [0, 0], ends
    assert outputs_of(other.root) == outputs_of(study.root)


def test_a_disk_that_refuses_even_removal_is_reported_as_what_it_is(tmp_path, monkeypatch):
    from pathlib import Path

    from pathosig.core.errors import StorageError

    def refuse(self, *arguments, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(Path, "write_text", refuse)
    with (
        pytest.raises(StorageError, match=r"^a\.csv: cannot be written"),
        atomic_path(tmp_path / "a.csv") as path,
    ):
        path.write_text("x")


def test_an_unknown_command_points_to_the_list(tmp_path):
    done = cli("nonsense")
    assert done.returncode == 2
    assert "See `pathosig --help`" in done.stderr
