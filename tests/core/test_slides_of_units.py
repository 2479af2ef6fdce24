"""Slides are hashed by the workers, as part of their unit, and a slide that changes is noticed at every stage."""

import json
import os
import time
from dataclasses import dataclass
from typing import ClassVar

import pytest

from pathosig.core.execution import run_each
from pathosig.core.spec import Spec
from pathosig.core.study import Study
from pathosig.core.units import Execution, SlideInput, Stage, Unit
from tests.core.toy import work

FIRST, SECOND = Stage(name="first", version=1), Stage(name="second", version=1)


@dataclass(frozen=True, kw_only=True)
class SizeSpec(Spec):
    section: ClassVar[str] = "toy"
    size: int = 3


@pytest.fixture
def study(tmp_path):
    return Study.create(tmp_path / "study")


@pytest.fixture
def slide(tmp_path):
    path = tmp_path / "a.svs"
    path.write_bytes(b"pixels")
    return path


def first(study, slide, *, what="write", **execution):
    unit = Unit(id="a", slide=SlideInput(path=slide), payload={"what": what, "path": str(slide)})
    return run_each(study, FIRST, SizeSpec(), [unit], work, execution=Execution(**execution))


def second(study, slide, **execution):
    unit = Unit(
        id="a",
        upstream={"first": study.upstream("first", "a")},
        slide=SlideInput(path=slide, decides=False, read_by="first"),
    )
    return run_each(study, SECOND, SizeSpec(), [unit], work, execution=Execution(**execution))


def error_of(study, stage):
    return study.record(stage, "a").error["code"]


def test_a_slide_is_hashed_by_its_worker_and_remembered(study, slide):
    assert first(study, slide).done == ("a",)
    ((key, identity),) = json.loads(study.paths.identities.read_text()).items()
    assert key.startswith(str(slide)) and identity["size"] == 6
    assert study.record("first", "a").run["slide"] == identity


def test_a_moved_slide_is_hashed_again_and_found_fresh(study, slide, tmp_path):
    first(study, slide)
    moved = slide.rename(tmp_path / "b.svs")
    before = study.record_path("first", "a").stat().st_mtime_ns
    assert first(Study.open(study.root), moved).fresh == ("a",)
    assert study.record_path("first", "a").stat().st_mtime_ns == before


def test_a_slide_with_another_content_is_done_again(study, slide):
    first(study, slide)
    before = study.record("first", "a").fingerprint
    slide.write_bytes(b"pixel!")
    assert first(study, slide).done == ("a",)
    assert study.record("first", "a").fingerprint != before


def test_the_same_fingerprint_whether_the_identity_is_known_or_not(study, slide, tmp_path):
    first(study, slide)
    other = Study.create(tmp_path / "other")
    first(other, slide)
    first(other, slide, force=True)
    assert study.record("first", "a").fingerprint == other.record("first", "a").fingerprint


def test_a_slide_replaced_between_two_stages_is_noticed_by_the_second(study, slide):
    first(study, slide)
    slide.write_bytes(b"other pixels")
    assert second(study, slide).failed == ("a",)
    assert error_of(study, "second") == "E_CHANGED"
    first(study, slide)
    assert second(study, slide).done == ("a",)


def test_a_slide_touched_but_not_changed_is_the_same_slide(study, slide):
    first(study, slide)
    os.utime(slide, (1, 1))
    assert second(study, slide).done == ("a",)


def test_a_slide_replaced_while_it_is_read_is_noticed(study, slide):
    assert first(study, slide, what="replace").failed == ("a",)
    assert error_of(study, "first") == "E_CHANGED"
    assert first(study, slide).done == ("a",)


def test_a_missing_slide_never_enters_a_fingerprint(study, slide):
    slide.unlink()
    report = first(study, slide)
    assert report.failed == ("a",)
    assert study.record("first", "a").fingerprint == ""


def test_a_shard_touches_only_its_own_slides(study, tmp_path):
    units = []
    for number in range(6):
        path = tmp_path / f"{number}.svs"
        path.write_bytes(b"x" * number)
        units.append(Unit(id=f"u{number}", slide=SlideInput(path=path)))
    run_each(study, FIRST, SizeSpec(), units, work, execution=Execution(shard="1/3"))
    assert len(json.loads(study.paths.identities.read_text())) == 2


@pytest.mark.parametrize("content", ["[]", "7", "{", '{"a": 3, "b": {"size": "x"}}', "[" * 100_000])
def test_a_hostile_cache_is_no_error(study, slide, content):
    study.paths.identities.parent.mkdir(exist_ok=True)
    study.paths.identities.write_text(content)
    assert first(study, slide).done == ("a",)


def test_an_untouched_output_is_not_read_again_and_a_flipped_byte_is_found_on_doubt(study, slide):
    first(study, slide)
    record = study.record("first", "a")
    (name,) = record.outputs
    path = study.root / name
    stamp = path.stat()
    path.write_bytes(b"X" + path.read_bytes()[1:])
    assert record.damaged_outputs(study.root) == [name]
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert record.damaged_outputs(study.root) == []
    assert record.damaged_outputs(study.root, deep=True) == [name]


def test_a_copied_study_is_fresh_and_hashed_only_once(study, slide):
    first(study, slide)
    (name,) = study.record("first", "a").outputs
    os.utime(study.root / name, (1, 1))
    assert first(study, slide).fresh == ("a",)
    assert study.record("first", "a").run["outputs"][name][1] == 10**9


def test_an_output_that_cannot_be_read_costs_its_unit_alone(study, slide):
    first(study, slide)
    (name,) = study.record("first", "a").outputs
    (study.root / name).unlink()
    (study.root / name).symlink_to(study.root / name)  # any look at it is an OSError
    assert first(study, slide).done == ("a",)


def test_records_say_when_where_and_how_long_and_the_log_has_a_line_per_unit(study, slide):
    before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    first(study, slide)
    run = study.record("first", "a").run
    assert run["started"] >= before
    assert run["seconds"] >= 0 and run["host"] and run["peak_mb"] > 1
    (log,) = (study.root / "logs" / "runs").iterdir()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["event"], line["stage"]) for line in lines] == [("unit", "first"), ("stage", "first")]
    assert lines[0]["status"] == "ok"
