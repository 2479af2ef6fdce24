"""Settings of the report: each does what it is for."""

import numpy as np
import pytest
import tifffile

from pathosig.core.records import Record
from pathosig.core.study import Study
from pathosig.report import ReportSpec, build_report
from pathosig.report.reading import read_material


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    root = tmp_path_factory.mktemp("slides")
    pixels = np.random.default_rng(0).integers(120, 250, (200, 300, 3)).astype(np.uint8)
    rows = ["slide_id,patient_id,path,mpp"]
    for name in "ABC":
        tifffile.imwrite(root / f"{name}.tif", pixels, photometric="rgb", tile=(64, 64))
        rows.append(f"{name},P{name},{name}.tif,0.5")
    (root / "slides.csv").write_text("\n".join(rows) + "\n")
    patients = ["patient_id,cohort,os_time,os_event"]
    patients += [f"P{name},discovery,{i + 1},{i % 2}" for i, name in enumerate("ABC")]
    (root / "patients.csv").write_text("\n".join(patients) + "\n")
    endpoints = {"os": {"time": "os_time", "event": "os_event", "unit": "months"}}
    study = Study.create(root, {"endpoints": endpoints})
    record = Record(stage="tissue", unit="A", status="empty", fingerprint="0" * 64)
    record.write(study.record_path("tissue", "A"))
    return study


@pytest.mark.parametrize("at_most", [0, 2, 96])
def test_a_report_shows_no_more_overviews_than_asked_for(slides, at_most):
    assert len(read_material(slides, ReportSpec(max_overviews=at_most)).pictures) == min(3, at_most)


@pytest.mark.parametrize("side", [64, 128])
def test_overviews_have_the_longer_side_that_is_asked_for(slides, side):
    pictures = read_material(slides, ReportSpec(overview_px=side)).pictures
    assert [max(p.overview.shape) for p in pictures] == [side] * 3


@pytest.mark.parametrize("pdf", [True, False])
def test_figures_are_written_as_pdf_too_where_they_are_wanted(slides, pdf):
    build_report(slides, ReportSpec(pdf=pdf))
    drawn, printed = (
        {p.stem for p in (slides.root / "figures").glob(f"*.{kind}")} for kind in ("svg", "pdf")
    )
    assert len(drawn) > 0
    assert printed == (drawn if pdf else set())


@pytest.mark.parametrize("docx", [True, False])
def test_tables_are_written_for_word_too_where_they_are_wanted(slides, docx):
    build_report(slides, ReportSpec(docx=docx))
    names = {p.name for p in (slides.root / "report" / "tables").iterdir()}
    assert len([n for n in names if n.endswith(".csv")]) == len([n for n in names if n.endswith(".tex")]) > 0
    assert ("tables.docx" in names) == docx
