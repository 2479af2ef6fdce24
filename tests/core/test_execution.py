import errno
import shutil
from dataclasses import dataclass
from typing import ClassVar

import pytest

from pathosig.core.attempt import attempt
from pathosig.core.errors import ConfigError, SlideError
from pathosig.core.execution import run_each, run_once
from pathosig.core.spec import Spec
from pathosig.core.study import Study
from pathosig.core.units import Execution, Job, Outcome, Stage, Unit
from tests.core.toy import work
from tests.outputs import outputs_of

STAGE = Stage(name="toy", version=1)


@dataclass(frozen=True, kw_only=True)
class ToySpec(Spec):
    section: ClassVar[str] = "toy"
    size: int = 3


@pytest.fixture
def study(tmp_path):
    return Study.create(tmp_path / "study")


def run(study, whats, spec=None, **execution):
    units = [Unit(id=name, payload=payload) for name, payload in whats.items()]
    return run_each(study, STAGE, spec or ToySpec(), units, work, execution=Execution(**execution))


def test_a_second_run_finds_everything_fresh(study):
    assert run(study, {"a": {}, "b": {}}).done == ("a", "b")
    before = outputs_of(study.root)
    assert run(study, {"a": {}, "b": {}}).fresh == ("a", "b")
    assert outputs_of(study.root) == before


def test_a_record_that_a_killed_run_had_written_but_not_named_does_not_count(study):
    """Killed between writing and renaming, which is where the disk makes it wait."""
    run(study, {"a": {}, "b": {}})
    path = study.record_path("toy", "a")
    shutil.copy(path, path.with_name(".tmp-0123456789ab-a.json"))
    assert [r.unit for r in study.records("toy")] == ["a", "b"]


def test_one_and_two_workers_write_the_same_bytes(study, tmp_path):
    run(study, {f"u{i}": {} for i in range(6)}, workers=1)
    other = Study.create(tmp_path / "other")
    run(other, {f"u{i}": {} for i in range(6)}, workers=2)
    assert outputs_of(study.root) == outputs_of(other.root)


def test_a_changed_spec_or_a_flipped_byte_is_done_again(study):
    run(study, {"a": {}})
    assert run(study, {"a": {}}, ToySpec(size=4)).done == ("a",)
    (study.root / "out" / "a.txt").write_text("flipped")
    assert run(study, {"a": {}}, ToySpec(size=4)).done == ("a",)
    assert (study.root / "out" / "a.txt").read_text() == "a 4\n"


def test_failures_are_recorded_and_the_others_finish(study):
    report = run(study, {"a": {}, "b": {"what": "fail"}, "c": {"what": "empty"}, "d": {"what": "bug"}})
    assert (report.done, report.failed, report.empty) == (("a",), ("b", "d"), ("c",))
    assert report.exit_code == 4
    assert study.record("toy", "b").error == {"code": "E_FORMAT", "message": "slide b: no good"}
    assert study.record("toy", "d").error["code"] == "E_BUG"


def test_a_killed_worker_loses_only_its_slide(study):
    report = run(study, {"a": {}, "b": {"what": "die"}, "c": {}, "d": {}}, workers=2)
    assert (report.done, report.failed) == (("a", "c", "d"), ("b",))
    assert study.record("toy", "b").error["code"] == "E_WORKER"


def test_a_slide_whose_worker_died_once_is_tried_again(study, tmp_path):
    report = run(study, {"a": {"what": "die once", "flag": str(tmp_path / "flag")}})
    assert report.done == ("a",)


def test_a_slide_that_hangs_is_stopped(study):
    report = run(study, {"a": {"what": "hang"}, "b": {}}, timeout_s=3.0)
    assert report.done == ("b",)
    assert study.record("toy", "a").error["code"] == "E_TIMEOUT"


def test_shards_split_the_work_and_together_do_all(study):
    names = {f"u{i}": {} for i in range(5)}
    done = [run(study, names, shard=f"{i}/2").done for i in (1, 2)]
    assert sorted(done[0] + done[1]) == sorted(names)
    assert not set(done[0]) & set(done[1])


def test_a_unit_without_its_upstream_waits(study):
    report = run_each(
        study, STAGE, ToySpec(), [Unit(id="a", upstream={"tissue": None})], work, execution=Execution()
    )
    assert report.waiting == ("a",)


def test_a_fit_that_fails_is_recorded_and_raised(study):
    with pytest.raises(SlideError):
        run_once(study, STAGE, ToySpec(), Unit(id="_fit", payload={"what": "fail"}), work)
    assert study.record("toy", "_fit").status == "failed"


@pytest.mark.parametrize("shard", ["0/2", "3/2", "x", "1/0"])
def test_bad_shards_are_refused(shard):
    with pytest.raises(ConfigError):
        Execution(shard=shard)


def test_a_dask_cluster_does_the_same_work(study):
    from dask.distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        report = run(study, {"a": {}, "b": {"what": "fail"}}, scheduler=cluster.scheduler_address)
    assert (report.done, report.failed) == (("a",), ("b",))


def job_of(study):
    return Job(root=study.root, unit="a", spec=ToySpec(), payload={}, execution=Execution())


@pytest.mark.parametrize(("failures", "good"), [(2, True), (3, False)])
def test_a_failed_read_is_tried_twice_more(study, failures, good):
    tried = []

    def flaky(job):
        tried.append(job.unit)
        if len(tried) <= failures:
            cause = OSError(errno.EIO, "Input/output error")
            if len(tried) % 2:
                raise cause
            raise SlideError(f"slide {job.unit}: pixels cannot be read.", code="E_FORMAT") from cause
        return work(job)

    answer = attempt(flaky, job_of(study))
    assert len(tried) == 3
    assert isinstance(answer, Outcome) if good else answer.code == "E_IO"


def test_other_errors_are_not_tried_again(study):
    tried = []

    def broken(job):
        tried.append(job.unit)
        raise SlideError(f"slide {job.unit}: no good", code="E_FORMAT")

    assert attempt(broken, job_of(study)).code == "E_FORMAT"
    assert len(tried) == 1
