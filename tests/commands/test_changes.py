"""Slides that come, go or are replaced: status says what follows, and the next run removes what is gone."""

import csv

import pytest

from pathosig.commands.changes import remove_gone, slide_changes
from pathosig.commands.pipeline import run_all
from pathosig.commands.status import status
from pathosig.core.stages import stages_of
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.synthetic import SimulateSpec, simulate

SPEC = SimulateSpec(n_discovery=4, n_validation=2, types=3, tiles_per_patient=12, second_slide=0.0)


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("changes") / "study"
    simulate(folder, SPEC, execution=Execution(workers=1))
    run_all(Study.open(folder), until="tiles", execution=Execution(workers=1))
    return folder


def rows_of(folder):
    with (folder / "slides.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def write(folder, rows):
    with (folder / "slides.csv").open("w", newline="") as handle:
        table = csv.DictWriter(handle, fieldnames=list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def changes(folder):
    study = Study.open(folder)
    return slide_changes(study, {row.name: study.records(row.name) for row in stages_of(study)})


def test_slides_that_are_gone_are_told_and_then_removed(painted):
    rows = rows_of(painted)
    gone = rows[0]["slide_id"]
    write(painted, rows[1:])
    told = status(Study.open(painted))
    assert told.changes.gone == (gone,)
    assert f"slides no longer in slides.csv: 1 ({gone})" in told.to_text()
    assert told.stages["tissue"]["slides"] == len(rows) - 1
    assert (painted / "tissue" / f"{gone}.geojson").is_file()
    run_all(Study.open(painted), until="tiles", execution=Execution(workers=1))
    assert not (painted / "tissue" / f"{gone}.geojson").exists()
    assert not (painted / "records" / "tiles" / f"{gone}.json").exists()
    assert changes(painted).gone == ()
    write(painted, rows)
    assert changes(painted).added == (gone,)
    run_all(Study.open(painted), until="tiles", execution=Execution(workers=1))
    assert changes(painted) == type(changes(painted))()


def test_a_replaced_slide_is_told(painted):
    slide = sorted((painted / "slides").glob("*.svs"))[0]
    content = slide.read_bytes()
    slide.write_bytes(content + b"\0")
    assert changes(painted).replaced == (slide.stem,)
    slide.write_bytes(content)
    assert changes(painted).replaced == ()


def test_edited_tissue_and_other_inputs_of_the_user_stay(painted):
    edited = painted / "tissue" / "edited"
    edited.mkdir(exist_ok=True)
    rows = rows_of(painted)
    mine = edited / f"{rows[-1]['slide_id']}.geojson"
    mine.write_text("{}")
    write(painted, rows[:-1])
    assert remove_gone(Study.open(painted)) == 1
    assert mine.is_file()
    assert (painted / "slides" / f"{rows[-1]['slide_id']}.svs").is_file()
    mine.unlink()
    write(painted, rows)


def test_a_study_without_results_has_no_changes(tmp_path):
    simulate(tmp_path / "new", SPEC.replace(level="embeddings"), execution=Execution(workers=1))
    study = Study.open(tmp_path / "new")
    assert slide_changes(study, {}).to_text() == []


def test_what_is_made_again_depends_on_whether_a_discovery_slide_changed(tmp_path):
    folder = tmp_path / "study"
    simulate(folder, SPEC.replace(level="embeddings", n_discovery=8), execution=Execution(workers=1))
    with (folder / "study.toml").open("a") as handle:
        handle.write("\n[phenotypes]\nk = 4\nruns = 2\n")
    run_all(Study.open(folder), until="profiles", execution=Execution(workers=1))
    rows = rows_of(folder)
    write(folder, [row for row in rows if row["slide_id"] != "V001"])
    assert changes(folder).again == ("profiles",)
    write(folder, [row for row in rows if row["slide_id"] != "D001"])
    assert changes(folder).again == ("phenotypes", "profiles")
    assert "the next run repeats: phenotypes, profiles" in status(Study.open(folder)).to_text()
