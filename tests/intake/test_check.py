import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pathosig.core.errors import ConfigError, InputError
from pathosig.core.limits import SlideLimits
from pathosig.core.study import Study
from pathosig.core.tables import read_csv_rows
from pathosig.core.units import Execution
from pathosig.intake import check, init
from pathosig.scoring.owners import slide_paths


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


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_slide_whose_name_is_not_utf8_is_left_out_and_named(inputs):
    odd = os.fsencode(inputs / "slides") + b"/P3\xff.svs"
    shutil.copy(inputs / "slides" / "stray.svs", odd)
    report = init(inputs / "study", slides=str(inputs / "slides"), clinical=inputs / "clinical.csv")
    assert report.n_slides == 2
    assert report.unnamed == ("P3\\xff.svs",)
    assert "P3\\xff.svs" in report.to_text()
    assert check(Study.open(inputs / "study")).usable
    for path in (inputs / "slides").glob("*.svs"):
        if os.fsencode(path) != odd:
            path.unlink()
    with pytest.raises(ConfigError, match="not UTF-8"):
        init(inputs / "other", slides=str(inputs / "slides"), clinical=inputs / "clinical.csv")
    with pytest.raises(ConfigError, match="not UTF-8"):
        slide_paths([Path(os.fsdecode(odd))], None)


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
    assert findings.to_text().endswith("\nusable: 1 of 2 slides cannot be read and would fail")


@pytest.mark.parametrize(
    ("bad", "usable", "said"),
    [
        ({0}, True, "W_SLIDES_LOST cohort 'discovery': 1 of 6 patients"),
        ({0, 1, 2}, True, "W_SLIDES_LOST cohort 'discovery': 3 of 6 patients"),
        ({0, 1, 2, 3}, False, "E_SLIDES_LOST cohort 'discovery': 4 of 6 patients"),
        ({0, 6, 7, 8}, False, "E_SLIDES_LOST cohort 'v': 3 of 4 patients"),
    ],
)
def test_a_cohort_that_loses_more_than_half_of_its_patients_makes_a_study_unusable(
    tmp_path, tissue_slide, bad, usable, said
):
    def path(i):
        return "nowhere.svs" if i in bad else tissue_slide

    study = make(
        tmp_path,
        "slide_id,patient_id,path\n" + "".join(f"S{i},P{i},{path(i)}\n" for i in range(10)),
        "patient_id,cohort,t,e\n"
        + "".join(f"P{i},{'discovery' if i < 6 else 'v'},{i + 1},{i % 2}\n" for i in range(10)),
    )
    findings = check(study)
    assert findings.usable is usable
    assert any(
        line.startswith(said) and "E_NOT_FILE" in line for line in findings.problems + findings.warnings
    )


def test_a_patient_with_one_slide_that_opens_is_not_lost_and_an_array_loses_those_of_its_map(
    tmp_path, tissue_slide
):
    study = make(
        tmp_path,
        f"slide_id,patient_id,path,kind\nA,P0,{tissue_slide},wsi\nB,P0,nowhere.svs,wsi\nT,,nowhere.svs,tma\n",
        "patient_id,cohort,t,e\nP0,discovery,1,1\nP1,discovery,2,1\nP2,discovery,3,1\n",
    )
    assert not any("SLIDES_LOST" in line for line in check(study).warnings)
    (study.root / "tma_map.csv").write_text("tma,row,column,patient_id\nT,1,1,P1\nT,1,2,P2\n")
    findings = check(Study.open(study.root))
    assert findings.counts["patients_with_slides"] == 3
    assert any("E_SLIDES_LOST cohort 'discovery': 2 of 3 patients" in line for line in findings.problems)
    (study.root / "tma_map.csv").write_text("tma,row,column,patient_id\nT,1,1,P1\n")
    assert any(
        line.startswith("W_NO_SLIDE 1 patient has no slide")
        for line in check(Study.open(study.root)).warnings
    )


def test_check_says_which_limits_a_slide_will_have(tmp_path, tissue_slide):
    study = make(
        tmp_path,
        f"slide_id,patient_id,path\nA,P1,{tissue_slide}\n",
        "patient_id,cohort,t,e\nP1,discovery,1,1\n",
    )
    findings = check(study)
    assert findings.limits == SlideLimits.of(Execution())
    assert f"limits: 3600 s and {findings.limits.memory_mb:,} MB a slide with 1 worker;" in findings.to_text()
    assert check(study, open_slides=False).limits is None


def test_check_without_a_discovery_cohort_says_what_it_found(tmp_path):
    study = make(tmp_path, "slide_id,patient_id,path\n", "patient_id,cohort,t,e\nP1,other,1,1\n")
    assert any("E_COHORT" in p and "other" in p for p in check(study).problems)


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
    assert any("1 patient without an outcome is left out" in w for w in check(Study.open(study)).warnings)
    table.write_text(text.replace("P1,discovery,10,1", "P1,discovery,,1"))
    report = check(Study.open(study))
    assert not report.usable
    assert any(p.startswith("E_TIME") and "P1" in p for p in report.problems)


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


def problems(
    tmp_path, toml="", patients="P1,discovery,1,1\nP2,discovery,2,0\n", header="patient_id,cohort,t,e"
):
    study = make(tmp_path, "slide_id,patient_id,path\nA,P1,a.svs\n", f"{header}\n{patients}")
    with (study.root / "study.toml").open("a") as file:
        file.write(toml)
    return check(Study.open(study.root), open_slides=False)


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("[tiles]\nsize = 224\n", "'size_px'"),
        ("[tile]\nsize_px = 224\n", "[tiles]"),
        ("[tiles]\nsize_px = 3\n", "at least 16"),
        ('[tiles]\nmpp = "fine"\n', "[tiles] mpp"),
        ("[signature]\nfolds = 1\n", "[signature]"),
        ("[validate]\nhorizons = [-1.0]\n", "[validate]"),
        ("[columns]\ncovariate = []\n", "'covariates'"),
        ('[columns]\ncovariates = ["agee"]\n', "agee"),
        ('[primary]\nendpoint = "dfs"\n', "dfs"),
        ('[study]\nlevel = "slide"\n', "level"),
        ('[study]\nlevels = "slides"\n', "did you mean 'level'"),
    ],
)
def test_study_toml_is_checked_whole_before_a_slide_is_opened(tmp_path, toml, named):
    report = problems(tmp_path, toml)
    assert report.exit_code == 3
    assert any(named in p for p in report.problems)


def test_every_stage_of_the_table_has_its_settings_checked():
    from pathosig.core.stages import STAGES
    from pathosig.intake.config_check import spec_classes

    assert {row.table for row in STAGES} <= set(spec_classes())


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        (["x"] * 9, "constant"),
        ([f"v{k}" for k in range(9)], "9 levels"),
        ([""] * 9, "no value"),
        ([*map(str, range(40, 48)), "unk.?"], "unk.?"),
    ],
)
def test_a_declared_covariate_that_cannot_be_used_makes_the_study_unusable(tmp_path, cells, named):
    rows = "".join(f"P{k},discovery,{k + 1},{k % 2},{cell}\n" for k, cell in enumerate(cells))
    report = problems(tmp_path, '[columns]\ncovariates = ["x"]\n', rows, "patient_id,cohort,t,e,x")
    assert not report.usable
    assert any(p.startswith("E_COVARIATE") and named in p for p in report.problems)


def test_a_word_that_is_declared_missing_makes_it_usable_again(tmp_path):
    cells = [*map(str, range(40, 48)), "not asked"]
    rows = "".join(f"P{k},discovery,{k + 1},{k % 2},{cell}\n" for k, cell in enumerate(cells))
    toml = '[columns]\ncovariates = ["x"]\nmissing = ["not asked"]\n'
    assert problems(tmp_path, toml, rows, "patient_id,cohort,t,e,x").usable


def test_levels_that_differ_by_case_and_numbers_far_from_the_others_are_told(tmp_path):
    cells = [*map(str, range(40, 48)), "999"]
    rows = "".join(f"P{k},discovery,{k + 1},{k % 2},{cell},{'mMf'[k % 3]}\n" for k, cell in enumerate(cells))
    report = problems(tmp_path, '[columns]\ncovariates = ["x", "sex"]\n', rows, "patient_id,cohort,t,e,x,sex")
    assert report.usable
    assert any(w.startswith("W_SENTINEL") and "999" in w for w in report.warnings)
    assert any(w.startswith("W_LEVELS") and "sex" in w for w in report.warnings)


@pytest.mark.parametrize(
    ("times", "code"),
    [(["5"] * 6, "E_TIME_EQUAL"), (["900", "2361", "1200", "800", "700", "1500"], "E_TIME_RANGE")],
)
def test_times_that_cannot_be_true_make_the_study_unusable(tmp_path, times, code):
    rows = "".join(f"P{k},discovery,{t},{k % 2}\n" for k, t in enumerate(times))
    report = problems(tmp_path, "", rows)
    assert not report.usable
    assert any(p.startswith(code) for p in report.problems)


def test_event_values_that_cover_a_part_are_refused_with_all_the_values(tmp_path):
    study = make(
        tmp_path,
        "slide_id,patient_id,path\n",
        "patient_id,cohort,t,e\nP1,discovery,1,Dead\nP2,discovery,2,Alive\nP3,discovery,,Moved\n",
    )
    text = (study.root / "study.toml").read_text()
    (study.root / "study.toml").write_text(
        text.replace('unit = "months"', 'unit = "months", event_values = {Dead = 1, Alive = 0}')
    )
    report = check(Study.open(study.root), open_slides=False)
    assert not report.usable
    assert any(
        all(v in p for v in ("Dead", "Alive", "Moved")) for p in report.problems if p.startswith("E_EVENT")
    )


def test_a_reader_that_fails_with_anything_is_a_problem_of_its_slide_alone(
    tmp_path, tissue_slide, monkeypatch
):
    from pathosig import slides

    opened = slides.open_slide

    def fails(path, **options):
        if path.name == "bad.svs":
            raise ZeroDivisionError("a reader's own fault")
        return opened(path, **options)

    monkeypatch.setattr(slides, "open_slide", fails)
    study = make(
        tmp_path,
        f"slide_id,patient_id,path\nA,P1,{tissue_slide}\nB,P1,bad.svs\n",
        "patient_id,cohort,t,e\nP1,discovery,3,1\nP2,discovery,4,0\n",
    )
    report = check(study)
    assert report.usable
    assert report.counts["slides_readable"] == 1
    assert any("slide B" in p and "ZeroDivisionError" in p for p in report.problems)


def test_run_stops_before_the_first_slide_where_check_says_unusable(tmp_path, tissue_slide):
    from pathosig.commands.pipeline import run_all

    study = make(
        tmp_path,
        f"slide_id,patient_id,path\nA,P1,{tissue_slide}\n",
        "patient_id,cohort,t,e\nP1,discovery,3,A\nP2,discovery,4,B\n",
    )
    with pytest.raises(InputError, match="column e has values") as caught:
        run_all(study)
    assert caught.value.exit_code == 3
    assert not (study.root / "records").exists()
