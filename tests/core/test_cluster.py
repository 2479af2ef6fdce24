"""Units on Dask: what fails costs itself alone, and what is wrong with the cluster is one sentence within seconds."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from pathosig.core import cluster as module
from pathosig.core.errors import ConfigError
from pathosig.core.execution import run_each
from pathosig.core.spec import Spec
from pathosig.core.study import Study
from pathosig.core.units import Execution, Stage, Unit
from tests.core.toy import work

pytest.importorskip("distributed")


@dataclass(frozen=True, kw_only=True)
class SizeSpec(Spec):
    section: ClassVar[str] = "toy"
    size: int = 3


@pytest.fixture
def study(tmp_path):
    return Study.create(tmp_path / "study")


def run(study, whats, **execution):
    units = [Unit(id=name, payload=payload) for name, payload in whats.items()]
    return run_each(
        study, Stage(name="toy", version=1), SizeSpec(), units, work, execution=Execution(**execution)
    )


@contextlib.contextmanager
def started(tmp_path, *, workers=1, path=""):
    """A scheduler and workers as programs of their own; (address, scheduler's process)."""
    address = tmp_path / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": f"{path}:{Path.cwd() / 'src'}:{Path.cwd()}"}
    with contextlib.ExitStack() as stack:

        def program(*arguments, **options):
            process = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        scheduler = program(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show",
            "--scheduler-file", str(address),
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not address.is_file() and time.monotonic() < deadline:
            time.sleep(0.1)
        for _ in range(workers):
            program(
                "dask_worker", "--no-nanny", "--no-dashboard", "--nthreads", "1", "--host", "127.0.0.1",
                "--scheduler-file", str(address), "--local-directory", str(tmp_path), env=environment,
            )  # fmt: skip
        yield json.loads(address.read_text())["address"], scheduler


def test_units_that_kill_their_process_or_hang_cost_themselves_alone(study):
    whats = {f"u{i}": {} for i in range(8)} | {"poison": {"what": "die"}, "slow": {"what": "hang"}}
    report = run(study, whats, scheduler="local:2", timeout_s=10.0)
    assert report.failed == ("poison", "slow")
    assert len(report.done) == 8
    assert study.record("toy", "poison").error["code"] == "E_WORKER"
    assert study.record("toy", "slow").error["code"] == "E_TIMEOUT"


def test_a_cluster_writes_what_local_workers_write(study, tmp_path):
    whats = {f"u{i}": {} for i in range(4)} | {"bad": {"what": "fail"}, "none": {"what": "empty"}}
    run(study, whats, scheduler="local:2")
    other = Study.create(tmp_path / "other")
    run(other, whats)
    for record in other.records("toy"):
        ours = study.record("toy", record.unit)
        assert {**vars(ours), "run": 0} == {**vars(record), "run": 0}
        assert ours.run["versions"] == record.run["versions"]


@pytest.mark.parametrize("address", ["local:0", "local:x", "nothing://here"])
def test_a_wrong_address_is_one_sentence(study, address):
    with pytest.raises(ConfigError, match="--dask"):
        run(study, {"a": {}}, scheduler=address)


def test_a_cluster_without_workers_is_told_and_waited_for(study, monkeypatch, caplog):
    from distributed import LocalCluster

    monkeypatch.setattr(module, "_PATIENCE_S", 0.5)
    with LocalCluster(n_workers=0, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        timer = threading.Timer(3.0, cluster.scale, [1])
        timer.start()
        report = run(study, {"a": {}}, scheduler=cluster.scheduler_address)
        timer.join()
    assert report.done == ("a",)
    assert "no worker has joined yet" in caplog.text


WITHOUT = """import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "pathosig":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Gone())
"""


@pytest.mark.parametrize("foreign", ["without", "old"])
def test_workers_without_this_pathosig_are_told_at_once(study, tmp_path, foreign):
    shadow = tmp_path / "shadow"
    (shadow / "pathosig" / "core").mkdir(parents=True)
    if foreign == "without":
        (shadow / "sitecustomize.py").write_text(WITHOUT)
    else:
        for package in ("pathosig", "pathosig/core"):
            (shadow / package / "__init__.py").write_text("")
        (shadow / "pathosig/core/versions.py").write_text(
            "def versions():\n    return {'pathosig': '0.0.1'}\n"
        )
    with started(tmp_path, path=shadow) as (address, _), pytest.raises(ConfigError) as caught:
        run(study, {"a": {}}, scheduler=address)
    assert caught.value.code == "E_WORKER_VERSION"
    assert ("no pathosig" if foreign == "without" else "0.0.1") in str(caught.value)
    assert not study.records("toy")


def test_a_scheduler_that_dies_is_one_sentence_and_the_rest_resumes(study, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_S", 1.0)
    whats = {"a": {}, "z": {"what": "hang"}}
    with started(tmp_path) as (address, scheduler):

        def end():
            while not study.record("toy", "a"):
                time.sleep(0.1)
            scheduler.kill()

        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(ConfigError) as caught:
            run(study, whats, scheduler=address)
        thread.join()
    assert caught.value.code == "E_CLUSTER"
    assert "resumes" in str(caught.value)
    assert run(study, {"a": {}}).fresh == ("a",)
