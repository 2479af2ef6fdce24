"""Two drivers on one study: a unit is done by one of them, and a driver that was killed holds nothing for ever."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pathosig.core.claims import Claims, remove_void
from pathosig.core.study import Study

HOLDER = """
import sys, time
from pathlib import Path
from pathosig.core.claims import Claims
with Claims(Path(sys.argv[1]), "toy") as claims:
    print(claims.take("a"), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another program that has claimed unit a."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "True"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_claim_of_a_living_driver_holds_and_that_of_a_killed_one_does_not(holder, tmp_path):
    with Claims(tmp_path, "toy") as claims:
        assert not claims.take("a")
        assert claims.take("b")
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert claims.take("a")
    assert not list((tmp_path / "logs").rglob("a")) and not list((tmp_path / "logs").rglob("b"))


def test_what_a_killed_driver_left_can_be_removed(holder, tmp_path):
    assert remove_void(tmp_path) == 0
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert remove_void(tmp_path) == 2  # its claim and its sign of life


def test_a_driver_on_another_machine_is_dead_when_it_has_been_silent_for_a_minute(tmp_path):
    with Claims(tmp_path, "toy") as claims:
        far = tmp_path / "logs" / "drivers" / "elsewhere-77-0badcafe"
        far.touch()
        (tmp_path / "logs" / "claims" / "toy" / "a").write_text(far.name)
        assert not claims.take("a")
        os.utime(far, (time.time() - 300,) * 2)
        assert claims.take("a")


@pytest.mark.parametrize("stage", ["each", "once"])
def test_two_drivers_do_every_unit_once(tmp_path, stage):
    """Both are started at the same moment; each logs what it has done."""
    study = Study.create(tmp_path / "study")
    script = tmp_path / "driver.py"
    script.write_text(f"""
import sys, time
from pathosig.core.execution import run_each, run_once
from pathosig.core.study import Study
from pathosig.core.units import Execution, Stage, Unit
from tests.core.test_cluster import SizeSpec
from tests.core.toy import work
study = Study.open({str(study.root)!r})
stage = Stage(name="toy", version=1)
print("ready", flush=True)
sys.stdin.readline()
if {stage!r} == "each":
    units = [Unit(id=f"u{{i:02d}}", payload={{"what": "doze"}}) for i in range(12)]
    report = run_each(study, stage, SizeSpec(), units, work, execution=Execution())
else:
    report = run_once(study, stage, SizeSpec(), Unit(id="_fit", payload={{"what": "doze"}}), work)
print(" ".join(report.done), flush=True)
""")
    environment = {**os.environ, "PYTHONPATH": f"{Path.cwd() / 'src'}:{Path.cwd()}"}
    drivers = [
        subprocess.Popen(
            [sys.executable, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    for driver in drivers:
        assert driver.stdout.readline().strip() == "ready"
    for driver in drivers:
        driver.stdin.write("go\n")
        driver.stdin.flush()
    done = [driver.communicate(timeout=120)[0].split() for driver in drivers]
    assert all(driver.returncode == 0 for driver in drivers)
    together = sorted(done[0] + done[1])
    assert together == ([f"u{i:02d}" for i in range(12)] if stage == "each" else ["_fit"])
