import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from pathosig.core import workers
from pathosig.core.execution import run_each
from pathosig.core.spec import Spec
from pathosig.core.study import Study
from pathosig.core.units import Execution, Stage, Unit
from tests.core.toy import work


@dataclass(frozen=True, kw_only=True)
class NoSpec(Spec):
    section: ClassVar[str] = "toy"


@pytest.fixture
def study(tmp_path):
    yield Study.create(tmp_path / "study")
    workers.end_workers()


def pid(study, stage):
    units = [Unit(id="a", payload={"what": "pid"})]
    run_each(study, Stage(name=stage, version=1), NoSpec(), units, work, execution=Execution())
    return study.record(stage, "a").summary["pid"]


def test_the_next_stage_takes_the_worker_over(study):
    assert pid(study, "one") == pid(study, "two") != os.getpid()


def test_a_worker_killed_while_it_rests_is_replaced(study):
    first = pid(study, "one")
    os.kill(first, signal.SIGKILL)
    assert pid(study, "two") != first


def test_what_a_worker_needs_to_start_does_not_count_as_time_of_its_slide(study, monkeypatch):
    units = [Unit(id="a", payload={"what": "pid"}), Unit(id="b", payload={"what": "hang"})]
    limits = Execution(timeout_s=0.2)  # less than an interpreter takes
    run_each(study, Stage(name="one", version=1), NoSpec(), units, work, execution=limits)
    assert study.record("one", "a").status == "ok"
    assert study.record("one", "b").error["code"] == "E_TIMEOUT"


def test_a_worker_that_never_begins_is_stopped(study, monkeypatch):
    monkeypatch.setattr(workers, "_START_S", 0.01)
    monkeypatch.setattr(workers, "_POLL_S", 0.005)  # an interpreter starts between two looks otherwise
    run_each(
        study,
        Stage(name="one", version=1),
        NoSpec(),
        [Unit(id="a")],
        work,
        execution=Execution(timeout_s=0.01),
    )
    assert study.record("one", "a").error["code"] == "E_TIMEOUT"


def test_another_environment_gets_another_worker(study, monkeypatch):
    first = pid(study, "one")
    monkeypatch.setenv("PATHOSIG_DATA_ELSEWHERE", "1")
    assert pid(study, "two") != first


def test_a_forgotten_worker_ends_by_itself(study, monkeypatch):
    monkeypatch.setattr(workers, "_REST_S", 0.1)
    pid(study, "one")
    (worker,) = workers._resting
    worker.process.join(timeout=10)
    assert not worker.process.is_alive()
    assert pid(study, "two") != worker.process.pid


def test_no_worker_outlives_the_program(study, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from tests.core.test_workers import pid\n"
        "from pathosig.core.study import Study\n"
        "print('run')\n"
        "print(pid(Study.open(sys.argv[1]), 'one'))\n"  # no guard: the program is not run again in its workers
    )
    out = subprocess.run(
        [sys.executable, script, study.root],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    said, number = out.stdout.split()
    assert said == "run"
    time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(int(number), 0)


def test_without_a_limit_a_worker_may_take_its_share_of_the_machine():
    import psutil

    from pathosig.core.workers import fair_share_mb

    total = psutil.virtual_memory().total / 2**20
    assert fair_share_mb(1) == max(4000, int(0.8 * total))
    assert fair_share_mb(1000) == 4000
