"""What a study of thousands of slides needs: a plan, job arrays, the pace of stages, clean folders."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from pathosig.commands.clean import clean
from pathosig.commands.costs import StudySize, fit_seconds, unit_seconds
from pathosig.commands.pipeline import run_all
from pathosig.commands.slurm import write_slurm
from pathosig.commands.status import status, verify
from pathosig.core.errors import ConfigError, InputError
from pathosig.core.records import Record, atomic_path, sha256_file, write_json, write_text
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.intake import check
from pathosig.synthetic import SimulateSpec, simulate


def study_of(tmp_path, n, **config):
    study = Study.create(
        tmp_path / "a study", {"endpoints": {"os": {"time": "t", "event": "e", "unit": "months"}}, **config}
    )
    rows = range(n)
    study.paths.slides.write_text(
        "slide_id,patient_id,path\n" + "".join(f"S{i:04d},P{i:04d},S{i:04d}.svs\n" for i in rows)
    )
    study.paths.patients.write_text(
        "patient_id,cohort,t,e\n" + "".join(f"P{i:04d},discovery,{i + 1},{i % 2}\n" for i in rows)
    )
    return Study.open(study.root)


def record(study, stage, unit, **values):
    Record(stage=stage, unit=unit, status="ok", fingerprint=unit, **values).write(
        study.record_path(stage, unit)
    )


def started(ago):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago))


# -- plan -------------------------------------------------------------------------------------


def test_a_plan_takes_this_studys_own_pace_and_writes_nothing(tmp_path):
    study = study_of(tmp_path, 10)
    for i in range(4):
        record(study, "tiles", f"S{i:04d}", summary={"n_tiles": 1000}, run={"seconds": 2.0})
        record(study, "embed", f"S{i:04d}", run={"seconds": 100.0})
    before = sorted(study.root.rglob("*"))
    plan = run_all(study, dry_run=True).plan
    rows = {row.stage: row for row in plan.stages}
    assert (plan.slides, plan.tiles) == (10, 10_000)
    assert (rows["embed"].units, rows["embed"].recorded) == (10, 4)
    assert rows["embed"].hours == pytest.approx(6 * 100 / 3600, rel=1e-3)
    assert rows["tiles"].hours == pytest.approx(6 * 2 / 3600, rel=0.05)
    assert plan.events == {"discovery": 5}
    assert plan.disk_gb > 0
    assert plan.free_gb > 0
    assert sorted(study.root.rglob("*")) == before
    half = run_all(study, dry_run=True, execution=Execution(workers=2, timeout_s=60, memory_mb=5000)).plan
    assert "limits: 60 s and 5,000 MB a slide with 2 workers" in half.to_text()


@pytest.mark.parametrize(("dim", "measured_s"), [(64, 4.7), (1280, 22.6)])  # Codebook.assign of a million
def test_a_plan_of_phenotypes_follows_the_length_of_the_embeddings(tmp_path, dim, measured_s):
    study = study_of(tmp_path, 10)
    for i in range(10):
        record(study, "tiles", f"S{i:04d}", summary={"n_tiles": 1_000_000})
    write_json(study.paths.encoder_card, {"dim": dim})
    plan = run_all(study, dry_run=True).plan
    hours = {row.stage: row.hours for row in plan.stages}
    size = StudySize(patients=10, gigapixels=0, tiles=1e7, dim=dim, encoder="")
    assert hours["phenotypes"] * 3600 - fit_seconds("phenotypes", size) == pytest.approx(
        10 * measured_s, rel=0.02
    )
    assert hours["profiles"] * 3600 == pytest.approx(fit_seconds("profiles", size), abs=0.2)
    assert plan.hours == pytest.approx(sum(hours.values()), abs=2e-3)
    assert plan.disk_gb == pytest.approx(10_000_000 * (2 * dim + 60) / 1e9)


def test_larger_slides_cost_more_and_what_is_done_costs_nothing(tmp_path):
    small, large = (
        StudySize(patients=1, gigapixels=g, tiles=0, dim=64, encoder="resnet50") for g in (0.2, 3.6)
    )
    for stage, measured_s in (
        ("tissue", (0.3, 1.6)),
        ("tiles", (0.4, 2.9)),
    ):  # slides of 15,000 and 60,000 px
        for size, seconds in zip((small, large), measured_s, strict=True):
            assert unit_seconds(stage, size, tiles=0) == pytest.approx(seconds, rel=0.25)
    study = study_of(tmp_path, 4)
    assert {row.stage: row.hours > 0 for row in run_all(study, dry_run=True).plan.stages}["report"]
    for stage in ("tissue", "tiles", "embed", "phenotypes"):
        for i in range(4):
            record(study, stage, f"S{i:04d}", summary={"n_tiles": 10}, run={"seconds": 1.0})
    for stage in ("profiles", "signature", "validate", "report"):
        record(study, stage, f"_{stage}", run={"seconds": 5.0})
    assert {row.hours for row in run_all(study, dry_run=True).plan.stages} == {0.0}
    study.record_path("tissue", "S0000").unlink()
    hours = {row.stage: row.hours for row in run_all(study, dry_run=True).plan.stages}
    assert hours["tissue"] == pytest.approx(1 / 3600, rel=0.01, abs=1e-4)
    assert hours["validate"] == pytest.approx(5 / 3600, abs=1e-4)  # made again, as long as it took before


def test_a_profile_says_what_every_stage_and_its_slowest_slide_took(tmp_path):
    study = study_of(tmp_path, 3)
    report = run_all(study, until="tiles", profile=True)
    costs = {cost.stage: cost for cost in report.costs}
    assert list(costs) == ["tissue", "tiles"]
    assert (costs["tissue"].units, costs["tiles"].units) == (3, 0)  # no slide is there: all fail, tiles wait
    assert costs["tissue"].slowest in {"S0000", "S0001", "S0002"}
    assert costs["tissue"].peak_mb > 10
    assert costs["tissue"].wall_s > 0
    assert "slowest" in report.to_text()
    assert "run_each" in (study.root / "logs" / "profile" / "tissue.txt").read_text()
    assert not run_all(study, until="tissue").costs


def test_a_run_of_an_unusable_study_is_refused_before_anything_is_done(tmp_path):
    study = study_of(tmp_path, 4)
    study.paths.patients.write_text("patient_id,cohort,t,e\nQ1,discovery,1,0\nQ2,discovery,2,1\n")
    with pytest.raises(InputError, match="cannot be run"):
        run_all(Study.open(study.root))
    assert not study.paths.records.exists()


def test_a_simulated_study_can_be_run_as_it_is(tmp_path):
    simulate(
        tmp_path / "study",
        SimulateSpec(level="embeddings", n_discovery=8, n_validation=4, tiles_per_patient=5),
    )
    report = check(Study.open(tmp_path / "study"), open_slides=False)
    assert report.usable, report.problems


# -- slurm ------------------------------------------------------------------------------------

FAKE_SBATCH = """#!/bin/bash
n=$(cat "$COUNTER"); echo $((n + 1)) > "$COUNTER"
echo "$n $*" >> "$CALLS"
echo $n
"""


def submitted(study, tmp_path):
    """Run submit.sh with an sbatch that only notes its arguments; (number of the last job, lines)."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "sbatch").write_text(FAKE_SBATCH)
    (tools / "sbatch").chmod(0o755)
    (tmp_path / "counter").write_text("100")
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "COUNTER": str(tmp_path / "counter"),
        "CALLS": str(tmp_path / "calls"),
    }
    out = subprocess.run(
        ["bash", study.root / "slurm" / "submit.sh"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return out.stdout.strip(), (tmp_path / "calls").read_text().splitlines()


def test_arrays_cover_every_shard_once_and_wait_for_what_is_before_them(tmp_path):
    study = study_of(tmp_path, 47)
    report = write_slurm(study, slides_per_task=10, max_array=2, partition="long")
    assert report.shards == 5
    last, calls = submitted(study, tmp_path)
    arrays = [re.search(r"--array=1-(\d+) --export=ALL,OFFSET=(\d+)", call) for call in calls[:3]]
    shards = [int(a[2]) + i for a in arrays for i in range(1, int(a[1]) + 1)]
    assert shards == [1, 2, 3, 4, 5]
    assert all(int(a[1]) <= 2 for a in arrays)
    assert "--dependency=afterany:100:101:102" in calls[3]
    assert last == "103"


def test_scripts_are_valid_shell_and_do_their_shard(tmp_path):
    study = study_of(tmp_path, 3)
    report = write_slurm(study, setup="module load python")
    for name in report.scripts:
        subprocess.run(["bash", "-n", study.root / name], check=True)
    (first, last, _) = report.scripts
    text = (study.root / first).read_text()
    assert "#SBATCH --requeue" in text
    assert "module load python" in text
    assert "--until embed" in text and '--shard "$((SLURM_ARRAY_TASK_ID + OFFSET))/1"' in text
    assert (
        "--until report" in (study.root / last).read_text()
        and "--shard" not in (study.root / last).read_text()
    )


def test_training_runs_once_between_two_arrays(tmp_path):
    study = study_of(tmp_path, 3, encoder={"method": "dlcc"})
    names = [name.split("/")[1] for name in write_slurm(study).scripts]
    assert names == [
        "1_tissue.sbatch",
        "2_train.sbatch",
        "3_embed.sbatch",
        "4_phenotypes.sbatch",
        "submit.sh",
    ]


def test_a_study_without_slides_needs_no_array(tmp_path):
    with pytest.raises(ConfigError, match="one job"):
        write_slurm(study_of(tmp_path, 2, study={"level": "embeddings"}))


@pytest.mark.parametrize("name", ["slides_per_task", "cpus", "memory_gb", "hours", "max_array"])
def test_a_number_below_one_is_refused_before_a_script_is_written(tmp_path, name):
    study = study_of(tmp_path, 2)
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} 0"):
        write_slurm(study, **{name: 0})
    assert not (study.root / "slurm").exists()


# -- status, verify, clean --------------------------------------------------------------------


def test_status_tells_pace_and_time_left(tmp_path):
    study = study_of(tmp_path, 10)
    for i in range(5):
        run = {"started": started(60 * (5 - i)), "seconds": 0.0, "peak_mb": 50.0 + i}
        record(study, "tissue", f"S{i:04d}", run=run)
    pace = status(study).pace["tissue"]
    assert pace.per_hour == pytest.approx(60, rel=0.05)
    assert pace.hours_left == pytest.approx(5 / 60, abs=0.01)
    assert pace.peak_mb == 54
    assert "h left" in status(study).to_text()


def test_a_changed_byte_that_verify_finds_is_not_fresh_afterwards(tmp_path):
    study = study_of(tmp_path, 1)
    path = study.root / "tissue" / "S0000.geojson"
    write_text(path, "right")
    stat = path.stat()
    record(
        study, "tissue", "S0000",
        outputs={"tissue/S0000.geojson": sha256_file(path)},
        run={"outputs": {"tissue/S0000.geojson": [stat.st_size, stat.st_mtime_ns]}},
    )  # fmt: skip
    path.write_text("wrong")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert study.record("tissue", "S0000").damaged_outputs(study.root) == []
    assert verify(study, deep=True).changed == ("tissue/S0000.geojson",)
    assert study.record("tissue", "S0000").damaged_outputs(study.root) == ["tissue/S0000.geojson"]


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_clean_removes_what_dead_runs_left_and_nothing_that_lives(tmp_path):
    study = study_of(tmp_path, 1)
    with atomic_path(study.root / "tiles" / "S0000.parquet") as living:
        living.write_text("half")
        owner = living.name.split("-")[1]
        dead = living.with_name(living.name.replace(owner, f"{owner.split('.')[0]}.{dead_pid()}"))
        dead.write_text("half of another")
        shown = clean(study, dry_run=True)
        assert shown.files == (f"tiles/{dead.name}",)
        assert dead.exists()
        assert clean(study).bytes == len("half of another")
        assert not dead.exists()
        assert living.exists()


# -- streams ----------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(tmp_path, closed):
    study = study_of(tmp_path, 1)
    command = f"{sys.executable} -m pathosig status '{study.root}' {closed}"
    assert subprocess.run(["bash", "-c", command], check=False).returncode == 0


def test_help_into_a_pipe_that_closes_is_no_error():
    command = f"set -o pipefail; {sys.executable} -m pathosig --help | head -1"
    assert subprocess.run(["bash", "-c", command], check=False, capture_output=True).returncode == 0


def test_a_terminal_that_knows_only_ascii_is_no_error(tmp_path):
    study = study_of(tmp_path, 1)
    moved = study.root.rename(tmp_path / "é 😀")
    environment = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    out = subprocess.run(
        [sys.executable, "-m", "pathosig", "status", moved, "--json"],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert out.returncode == 0, out.stderr
    assert json.loads(out.stdout)["stages"]["tissue"]["missing"] == 1
