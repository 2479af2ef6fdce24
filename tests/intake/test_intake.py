import re
import shutil

import numpy as np
import pytest
import tifffile

from pathosig.core.errors import ConfigError, InputError
from pathosig.core.ids import match_slides, nearest
from pathosig.core.study import Study
from pathosig.core.table_files import read_table
from pathosig.core.tables import read_csv_rows
from pathosig.intake import check, init


def test_slides_belong_to_the_longest_patient_id_that_ends_at_a_boundary():
    found = match_slides(["P1-A", "P10", "P1", "X9", "p2_b"], ["P1", "P10", "P2"])
    assert found == {"P1-A": "P1", "P10": "P10", "P1": "P1", "X9": None, "p2_b": "P2"}


def test_the_nearest_id_is_suggested():
    assert nearest("PAT-001", ["PAT001", "PAT002"]) == "PAT001"
    assert nearest("slide7", ["CASE-007", "CASE-008"]) == "CASE-007"


@pytest.fixture
def inputs(tmp_path, tissue_slide):
    (tmp_path / "slides").mkdir()
    for name in ("P1", "P2-A", "stray"):
        shutil.copy(tissue_slide, tmp_path / "slides" / f"{name}.svs")
    (tmp_path / "clinical.csv").write_text(
        "patient,OS_months,OS_event,age,cohort\nP1,10,1,60,discovery\nP2,20,0,70,val\nP3,5,1,50,val\n"
    )
    return tmp_path


def test_init_writes_a_study_that_check_can_use(inputs):
    report = init(inputs / "study", slides=str(inputs / "slides" / "*.svs"), clinical=inputs / "clinical.csv")
    assert (report.n_slides, report.unmatched_slides, report.patients_without_slides) == (
        2,
        ("stray",),
        ("P3",),
    )
    study = Study.open(inputs / "study")
    assert study.endpoints()["os"].unit == "months"
    findings = check(study)
    assert findings.usable
    assert findings.counts["slides_readable"] == 2
    assert findings.counts["os_events"] == {"discovery": 1, "val": 1}


def test_a_time_column_without_unit_needs_one(inputs):
    text = (inputs / "clinical.csv").read_text().replace("OS_months", "OS_time")
    (inputs / "clinical.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        init(inputs / "study", slides=str(inputs / "slides" / "*.svs"), clinical=inputs / "clinical.csv")
    assert caught.value.code == "E_UNIT"
    report = init(
        inputs / "study",
        slides=str(inputs / "slides" / "*.svs"),
        clinical=inputs / "clinical.csv",
        unit="days",
    )
    assert report.endpoints == ("os",)


def test_no_overlap_shows_examples_of_both_sides(inputs):
    text = (inputs / "clinical.csv").read_text().replace("P1", "Q1").replace("P2", "Q2").replace("P3", "Q3")
    (inputs / "clinical.csv").write_text(text)
    with pytest.raises(InputError, match="Q1") as caught:
        init(inputs / "study", slides=str(inputs / "slides" / "*.svs"), clinical=inputs / "clinical.csv")
    assert caught.value.exit_code == 3
    assert "P2-A" in str(caught.value)


def test_a_glob_without_files_is_a_usage_error(inputs):
    with pytest.raises(ConfigError):
        init(inputs / "study", slides=str(inputs / "*.ndpi"), clinical=inputs / "clinical.csv")


def test_excel_with_several_sheets_asks_which(tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["patient_id", "os_days", "os_event"])
    book.active.append(["001", 5, 1])
    book.create_sheet("other").append(["gene", "value"])
    book["other"].append(["TP53", 1])
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(InputError, match="sheets"):
        read_table(tmp_path / "t.xlsx")
    assert read_table(tmp_path / "t.xlsx", sheet="Sheet").cells["patient_id"] == ["001"]


def make(tmp_path, slides, patients):
    study = Study.create(tmp_path / "s", {"endpoints": {"os": {"time": "t", "event": "e", "unit": "months"}}})
    (study.root / "slides.csv").write_text(slides)
    (study.root / "patients.csv").write_text(patients)
    return study


def test_check_finds_nothing_in_common(tmp_path):
    study = make(
        tmp_path, "slide_id,patient_id,path\nA,X1,a.svs\n", "patient_id,cohort,t,e\nP1,discovery,1,1\n"
    )
    findings = check(study, open_slides=False)
    assert findings.exit_code == 3
    assert any("E_NO_OVERLAP" in p for p in findings.problems)


@pytest.mark.parametrize(("row", "code"), [("P1,discovery,-1,1", "E_TIME"), ("P1,discovery,1,2", "E_EVENT")])
def test_check_names_bad_outcomes(tmp_path, row, code):
    study = make(tmp_path, "slide_id,patient_id,path\nA,P1,a.svs\n", f"patient_id,cohort,t,e\n{row}\n")
    findings = check(study, open_slides=False)
    assert findings.exit_code == 3
    assert any(code in p for p in findings.problems)


def test_check_warns_of_time_zero_and_lists_unreadable_slides(tmp_path, tissue_slide):
    study = make(
        tmp_path,
        f"slide_id,patient_id,path\nA,P1,{tissue_slide}\nB,P1,nowhere.svs\n",
        "patient_id,cohort,t,e\nP1,discovery,0,1\n",
    )
    findings = check(study)
    assert findings.usable
    assert any("W_TIME_ZERO" in w for w in findings.warnings)
    assert any("E_NOT_FILE" in p for p in findings.problems)


def test_check_without_a_discovery_cohort_says_what_it_found(tmp_path):
    study = make(tmp_path, "slide_id,patient_id,path\n", "patient_id,cohort,t,e\nP1,other,1,1\n")
    assert any("E_COHORT" in p and "other" in p for p in check(study).problems)


def test_an_id_that_looks_like_a_number_is_not_a_slide_of_its_first_digit():
    assert match_slides(["1E5", "1A", "1e5-2"], ["1", "1E5"]) == {"1E5": "1E5", "1A": "1", "1e5-2": "1E5"}
    assert match_slides(["1E5"], ["1"]) == {"1E5": None}


def test_slides_left_out_come_with_the_patient_that_may_be_meant(inputs):
    (inputs / "slides" / "stray.svs").rename(inputs / "slides" / "P-3.svs")
    report = init(inputs / "study", slides=str(inputs / "slides" / "*.svs"), clinical=inputs / "clinical.csv")
    assert report.suggestions == {"P-3": "P3"}
    assert "did you mean patient P3?" in report.to_text()


@pytest.mark.parametrize("name", ["nothing.csv", "slides"])
def test_a_clinical_table_that_is_not_there_is_said_to_be_missing(inputs, name):
    with pytest.raises(InputError, match="CSV, TSV or Excel") as caught:
        init(inputs / "study", slides=str(inputs / "slides" / "*.svs"), clinical=inputs / name)
    assert caught.value.code == "E_MISSING"


def test_an_unknown_unit_is_refused_before_anything_is_written(inputs):
    with pytest.raises(ConfigError, match="fortnights"):
        init(
            inputs / "study",
            slides=str(inputs / "slides" / "*.svs"),
            clinical=inputs / "clinical.csv",
            unit="fortnights",
        )
    assert not (inputs / "study").exists()


def test_an_event_without_its_time_is_an_error_and_no_outcome_at_all_is_not(inputs):
    study = inputs / "study"
    init(study, slides=str(inputs / "slides" / "*.svs"), clinical=inputs / "clinical.csv")
    table = study / "patients.csv"
    text = table.read_text()
    table.write_text(text.replace("P1,discovery,10,1", "P1,discovery,,"))
    assert any("have no outcome" in w for w in check(Study.open(study)).warnings)
    table.write_text(text.replace("P1,discovery,10,1", "P1,discovery,,1"))
    found = check(Study.open(study))
    assert not found.usable
    assert any(p.startswith("E_TIME") and "P1" in p for p in found.problems)


def test_a_line_end_in_a_name_cannot_forge_a_line_of_output(inputs):
    (inputs / "slides" / "P3\nproblem none.svs").write_text("no slide")
    init(inputs / "study", slides=str(inputs / "slides" / "*.svs"), clinical=inputs / "clinical.csv")
    text = check(Study.open(inputs / "study")).to_text()
    assert "P3\\nproblem none.svs" in text
    assert not any(line.startswith("problem none") for line in text.splitlines())


def test_without_slides_the_study_starts_from_a_table_of_features(inputs):
    report = init(inputs / "study", clinical=inputs / "clinical.csv")
    study = Study.open(inputs / "study")
    assert study.level == "features"
    assert not (study.root / "slides.csv").exists()
    assert "pathosig profiles" in report.to_text()
    assert check(study).usable


def test_a_given_mpp_is_for_slides_whose_header_has_none_or_an_impossible_one(inputs):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (512, 512, 3), np.uint8)
    options = {"tile": (256, 256), "photometric": "rgb", "compression": "deflate"}
    slides = inputs / "slides"
    tifffile.imwrite(slides / "P2-none.tiff", pixels, **options)
    tifffile.imwrite(slides / "P2-screen.tiff", pixels, **options, resolution=(72, 72), resolutionunit="INCH")
    (slides / "P3.svs").write_text("no slide")
    init(inputs / "study", slides=str(slides / "*"), clinical=inputs / "clinical.csv", mpp=0.25)
    given = {row["slide_id"]: row["mpp"] for row in read_csv_rows(inputs / "study" / "slides.csv")}
    assert given == {"P1": "", "P2-A": "", "P2-none": "0.25", "P2-screen": "0.25", "P3": ""}


def test_check_says_that_none_is_taken_as_a_level(inputs):
    study = inputs / "study"
    init(study, slides=str(inputs / "slides" / "*.svs"), clinical=inputs / "clinical.csv")
    table = study / "patients.csv"
    lines = table.read_text().splitlines()
    lines = [f"{lines[0]},recurrence", *[f"{r},{'none' if i else 'local'}" for i, r in enumerate(lines[1:])]]
    table.write_text("\n".join(lines) + "\n")
    config = study / "study.toml"
    text = config.read_text()
    config.write_text(re.sub(r"subgroups = .*", 'subgroups = ["recurrence"]', text))
    assert any(w.startswith("W_NONE column recurrence") for w in check(Study.open(study)).warnings)
