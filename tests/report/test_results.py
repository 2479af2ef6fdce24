"""Sections drawn from results.json: every part, also when parts are missing or could not be estimated."""

from __future__ import annotations

import copy
import json

import pytest

from pathosig.core.clinical import Primary
from pathosig.core.study import Study
from pathosig.figures import km_plot
from pathosig.figures.style import svg_bytes
from pathosig.report import build_report

HR = {"hr": 1.46, "lower": 1.2, "upper": 1.8, "p": 0.0002, "n": 90, "events": 41}
C = {"estimate": 0.68, "lower": 0.63, "upper": 0.73}


def page_of(study):
    """The page after a run of the report stage."""
    build_report(study)
    return study.paths.report


def _group(label):
    return {
        "label": label,
        "n": 45,
        "events": 20,
        "time": [2, 5, 9],
        "estimate": [0.9, 0.6, 0.4],
        "lower": [0.8, 0.5, None],
        "upper": [1, 0.8, None],
        "n_risk": [45, 30, 10],
        "n_event": [5, 10, 5],
        "n_censor": [2, 3, 1],
        "median": [7.0, 5.0, None],
    }


def _analysis(cohort, role):
    groups = [
        {"expected": e, "observed": e * 1.1, "lower": e / 2, "upper": e * 1.5, "n": 20}
        for e in (0.1, 0.3, 0.5)
    ]
    horizon = {
        "years": 1,
        "time": 12,
        "observed": 0.4,
        "expected": 0.38,
        "ratio": 1.05,
        "lower": 0.9,
        "upper": 1.2,
        "groups": groups,
    }
    line = {"score": [-1, 0, 1], "hr": [0.7, 1, 1.5], "lower": [0.5, 1, 1.1], "upper": [0.9, 1, 2]}
    stage = [{"level": "I", **HR}, {"level": "III", "not_estimable": "no event"}]
    heading = {"variable": "stage", "label": "Stage", "kind": "heading", "level_depth": 0}
    rows = [heading, {"label": "III-IV", "kind": "estimate", "level_depth": 1, **HR, "upper": None}]
    return {
        "cohort": cohort,
        "endpoint": "os",
        "unit": "months",
        "role": role,
        "primary": role == "validation",
        "apparent": role == "discovery",
        "n": 90,
        "events": 41,
        "follow_up": C,
        "hr_sd": HR,
        "hr_group": HR,
        "km": {"groups": [_group("low"), _group("high")]},
        "logrank": {"statistic": 4, "df": 1, "p": 0.04},
        "spline": {"p_nonlinear": 0.4, **line},
        "harrell_c": C,
        "uno_c": {**C, "tau": 48},
        "auc": [
            {"years": 1, "time": 12, **C, "n_risk": 60, "events": 9},
            {"not_estimable": "beyond follow-up"},
        ],
        "calibration": {"slope": C, "horizons": [horizon]},
        "ibs": {"score": 0.17, "null": 0.2, "scaled": 0.15},
        "ph": {
            "score": {"chisq": 1, "df": 1, "p": 0.3},
            "violated": True,
            "piecewise": [{"from": 0, "to": 12, **HR}, {"from": 12, "to": None, **HR}],
        },
        "rmst": {"tau": 48, "low": C, "high": C, "difference": {"estimate": -8, "lower": -13, "upper": -3}},
        "forest": {"n": 90, "n_complete": 88, "univariable": rows, "multivariable": rows, "imputed": []},
        "added_value": {
            "uno_c": {"clinical": C, "score": C, "combined": C},
            "difference_c": C,
            "brier": {"clinical": 0.298, "score": 0.196, "combined": 0.205},
            "difference_brier": {"estimate": -0.093, "lower": -0.2, "upper": -0.01},
            "imputed": {
                "n": 90,
                "events": 41,
                "missing": {"age": 4},
                "m": 20,
                "bootstraps": 200,
                "method": "chained equations",
                "uno_c": {"clinical": 0.5, "score": 0.6, "combined": 0.65},
                "difference_c": C,
            },
            "horizon": {"years": 1, "time": 12},
            "net_benefit": {
                "thresholds": [0.1, 0.2],
                "models": {"combined": [0.2, 0.1]},
                "all": [0.1, 0],
                "none": [0, 0],
            },
            "lr_test": {"chisq": 9, "df": 1, "p": 0.002},
        },
        "brier": [{"years": 1, "time": 12, "score": 0.17, "null": 0.2, "scaled": 0.15, "difference": C}],
        "outcome_counts": {
            "n": 90,
            "rows": [
                {"group": g, "level": v, "n": n, "share": n / 45}
                for g in ("low", "high")
                for v, n in (("competing event", 5), ("event", 20), ("no event", 20))
            ],
            "chi_square": {"statistic": 18.88, "df": 2, "p": 0.0001},
            "fisher": {"p": 0.0002},
        },
        "competing": {
            "n": 90,
            "events": 41,
            "competing_events": 10,
            "curves": [
                {
                    "group": g,
                    "cause": c,
                    "time": [2, 9],
                    "estimate": [0.1, 0.3],
                    "lower": [0, 0.1],
                    "upper": [0.2, 0.6],
                }
                for g in ("low", "high")
                for c in (1, 2)
            ],
            "gray": [{"cause": 1, "p": 0.039}, {"cause": 2, "p": 0.148}],
            "models": [
                {"model": m, "effect": "hr_sd", "cause": c, **HR}
                for c in (1, 2)
                for m in ("cause-specific", "Fine-Gray")
            ],
        },
        "subgroups": [{"variable": "sex", "p_interaction": 0.1, "q_interaction": 0.3, "rows": stage}],
    }


NEEDED = {"parameters": 610, "required_n": 45040, "required_events": 15872.2, "events_per_parameter": 0.25}
RESULTS = {
    "schema": 1,
    "sample_size": {"n": 437, "events": 154, "timepoint": 36.0, "candidates": NEEDED},
    "associations": [
        {
            "cohort": "validation_1",
            "variable": "sex",
            "n": 90,
            "rows": [{"group": g, "level": v, "n": 22, "share": 0.5} for g in ("low", "high") for v in "FM"],
            "chi_square": {"statistic": 0, "df": 1, "p": 1.0},
            "fisher": {"p": 1.0, "q": 1.0},
        },
        {"cohort": "validation_1", "variable": "age", "not_estimable": "one level"},
    ],
    "kind": "external",
    "univariate": [
        {"feature": "hpc_03", "kind": "leaf", **HR, "q": 0.004, "selected": True, "frequency": 0.9},
        {
            "feature": "node_07",
            "kind": "node",
            "hr": None,
            "lower": None,
            "upper": None,
            "p": None,
            "q": None,
        },
    ],
    "selection": {"method": "tree", "q": 3, "threshold": 0.75},
    "cutoff": {"rule": "median", "value": 0.1, "bootstrap": {"lower": 0.0, "upper": 0.2}},
    "cohorts": [
        {"name": "discovery", "role": "discovery", "n_patients": 90, "n_assessable": 88, "share_high": C}
    ],
    "analyses": [_analysis("discovery", "discovery"), _analysis("validation_1", "validation")],
    "pooled": [
        {
            "endpoint": "os",
            "effect": "hr_sd",
            "cohorts": [{"cohort": "a", **C}],
            **C,
            "prediction": [0.5, 0.9],
            "i2": 20,
        },
        {"endpoint": "os", "effect": "hr_group", "not_estimable": "2 cohorts"},
    ],
    "core_agreement": {"discovery": {"n": 9, "single": 4, "agree": 4, "heterogeneous": 1}},
    "table1": {
        "columns": ["discovery"],
        "rows": [{"variable": "<i>sex</i>", "level": "F", "values": {"discovery": "44 (49%)"}, "p": 0.3}],
    },
    "guards": [
        {
            "code": "W_EVENTS",
            "message": "few events per candidate",
            "severity": "warning",
            "where": "discovery",
        }
    ],
    "treatment": [
        {
            "cohort": "validation_1",
            "endpoint": "os",
            "arm": "chemo",
            "groups": [{"label": "low", **HR, "n_treated": 20}],
            "interaction": {**HR, "p_adjusted": 0.03},
            "verdict": "prognostic",
            "words": "prognostic",
            "reasons": ["one cohort"],
            "km": [{**_group("low"), "arm": "treated"}, {**_group("low"), "arm": "untreated"}],
        }
    ],
}


def _report(folder, results):
    text = "patient_id,cohort,os_time,os_event,sex\nP1,discovery,10,1,F\nP2,validation_1,8,0,M\n"
    (folder / "patients.csv").write_text(text)
    config = {"endpoints": {"os": {"time": "os_time", "event": "os_event", "unit": "months"}}}
    study = Study.create(folder, config | {"primary": {"endpoint": "os", "discovery": "discovery"}})
    (folder / "validation").mkdir()
    (folder / "validation" / "results.json").write_text(json.dumps(results))
    return page_of(study).read_text()


def test_every_part_of_the_results_has_its_section_and_figures(tmp_path):
    page = _report(tmp_path, RESULTS)
    for section in (
        "characteristics",
        "univariable",
        "survival",
        "models",
        "performance",
        "hazards",
        "added-value",
        "subgroups",
        "treatment",
        "outcomes",
        "associations",
        "sample-size",
        "cores",
        "warnings",
    ):
        assert f'<section id="{section}"' in page or section == "warnings", section
    drawn = {p.stem for p in (tmp_path / "figures").glob("*.svg")}
    assert {
        "volcano",
        "km_os",
        "effects_os",
        "forest_01",
        "auc_01",
        "calibration_01",
        "net_benefit_01",
        "subgroups_01",
        "treatment_01",
        "treatment_km_01",
        "incidence_01",
        "competing_01",
        "outcome_01",
        "associations_01",
        "pooled_os_hr_sd",
        "spline_01",
        "flow",
    } <= drawn
    assert "1.46" in page
    assert "0.680 (0.630–0.730)" in page
    assert "−8.0 (−13.0 to −3.0)" in page
    assert "prognostic" in page
    assert "<i>sex" not in page
    incidence = (tmp_path / "figures" / "incidence_01.svg").read_text()
    assert ">Gray's test p = 0.039<" in incidence
    assert ">Gray's test p = 0.15<" in incidence
    assert ">Fine-Gray, competing event<" in (tmp_path / "figures" / "competing_01.svg").read_text()
    assert "Chi-square 18.88, 2 df, p &lt; 0.001" in page
    assert "20 imputations inside each of 200 resamples" in page
    assert "0.205" in page  # Brier score of the combined model
    assert "45,040" in page
    assert '<a href="#sample-size">Sample size</a>' in page
    assert '<a href="#outcomes">Events and competing risks</a></td>' in page


ALWAYS = ("cohort", "endpoint", "unit", "role", "subgroups", "auc")
MISSING = [(part, "absent") for part in sorted(_analysis("x", "validation"))]
MISSING += [(part, {"not_estimable": "too few events"}) for part, _ in MISSING if part not in ALWAYS]


@pytest.fixture
def _without_writing(monkeypatch):
    """Figures are made but not turned into SVG, which takes most of the time."""
    monkeypatch.setattr("pathosig.report.images.svg_bytes", lambda figure: b"")


@pytest.mark.usefixtures("_without_writing")
@pytest.mark.parametrize(("part", "value"), MISSING)
def test_any_part_of_an_analysis_may_be_missing(part, value):
    from pathosig.report.compose import compose
    from pathosig.report.material import Material
    from pathosig.report.spec import ReportSpec

    results = copy.deepcopy(RESULTS)
    results["analyses"] = results["analyses"][1:]
    results["treatment"], results["pooled"] = [], []
    if value == "absent":
        del results["analyses"][0][part]
    else:
        results["analyses"][0][part] = value
    page = compose(Material(name="x", results=results), ReportSpec())
    assert "survival" in {s.id for s in page.sections}


@pytest.mark.usefixtures("_without_writing")
@pytest.mark.parametrize("part", sorted(RESULTS))
def test_any_part_of_the_results_may_be_missing(part):
    from pathosig.report.compose import compose
    from pathosig.report.material import Material
    from pathosig.report.spec import ReportSpec

    results = {k: v for k, v in RESULTS.items() if k != part and k != "analyses"}
    page = compose(Material(name="x", results=results), ReportSpec())
    assert "survival" not in {s.id for s in page.sections}


def test_km_plot_takes_a_validation_its_mapping_or_one_analysis():
    class Validation:
        results = RESULTS

    grid = svg_bytes(km_plot(RESULTS)).decode()
    assert svg_bytes(km_plot(Validation())).decode() == grid
    assert ">Validation 1<" in grid
    assert ">Discovery (apparent)<" in grid
    one = svg_bytes(km_plot(RESULTS, cohort="validation_1")).decode()
    assert ">Discovery (apparent)<" not in one
    assert svg_bytes(km_plot(RESULTS["analyses"][1])).decode() == one
    with pytest.raises(ValueError, match="no Kaplan-Meier"):
        km_plot(RESULTS, cohort="nobody")
    with pytest.raises(TypeError, match="Validation"):
        km_plot(3)


def test_an_internal_validation_says_that_it_is_internal(tmp_path):
    internal = {
        "repeats": 5,
        "folds": 4,
        "harrell_c": C,
        "apparent_c": 0.75,
        "share_empty": 0.1,
        "note": "no external cohort",
        "selected": [{"feature": "hpc_03", "share": 0.8}],
    }
    results = {
        "kind": "internal",
        "internal": internal,
        "analyses": [_analysis("discovery", "cross-validated")],
    }
    page = _report(tmp_path, results)
    assert "There is no external cohort" in page
    assert "not available: the study has no validation cohort" in page
    assert "5 × 4" in page


def test_hazard_ratios_of_a_handful_of_events_are_said_to_be_weak():
    from pathosig.report.material import Material
    from pathosig.report.sections.validation import headline

    for events, expected in ((9, True), (10, False)):
        analysis = {**_analysis("validation_1", "validation"), "events": events}
        material = Material(name="", primary=Primary(endpoint="os"), results={"analyses": [analysis]})
        assert any("too few" in small for _, _, small in headline(material)) is expected


def test_a_subgroup_of_four_events_has_no_hazard_ratio_and_one_of_five_has():
    from pathosig.figures.results import subgroup_row

    few = subgroup_row({"level": "N+", **HR, "hr": 1.2e8, "n": 6, "events": 4})
    assert (few.hr, few.remark) == (None, "not estimable (4 events)")
    assert subgroup_row({"level": "N+", **HR, "events": 1}).remark == "not estimable (1 event)"
    assert subgroup_row({"level": "N+", **HR, "events": 5}).hr == 1.46


AUDITS = {
    "null": {
        "audit": "null",
        "verdict": "pass",
        "bar": 0.07,
        "permutations": 1000,
        "p": 0.002,
        "observed_c": 0.7,
        "null_c": C,
        "any_signature": {"estimate": 0.41, "lower": 0.38, "upper": 0.44},
        "naive_rejection": {"estimate": 0.275, "lower": 0.25, "upper": 0.3},
        "reported_rejection": {"estimate": 0.045, "lower": 0.033, "upper": 0.06},
    },
    "optimism": {
        "audit": "optimism",
        "what": "profiles-to-score",
        "resamples": 100,
        "cross_validated_c": C,
        "out_of_bag_c": C,
        "c_632_plus": 0.66,
        "apparent_c": 0.71,
        "harrell_corrected_c": 0.67,
        "share_empty": 0.05,
        "monte_carlo": {"cross_validated_c": 0.0031, "out_of_bag_c": 0.0072, "optimism": 0.0043},
        "codebook_refit": {"resamples": 20, "out_of_bag_c": C, "difference": C, "agreement": 0.68},
    },
    "site": {"audit": "site", "sites": 3, "preserved_site_c": C, "site_predictability": {"accuracy": 0.3}},
    "depth": {"audit": "depth", "draws": 20, "depths": [{"tiles": 30, "patients": 96, "icc": 0.89}]},
    "stability": {
        "audit": "stability",
        "selected": ["hpc_03"],
        "bootstrap": {"n": 100, "correlation": C, "share_empty": 0, "selected": {"hpc_03": 0.73}},
    },
    "mine": {"audit": "mine", "value": 0.5},
}


def test_every_audit_shows_its_numbers_its_error_and_its_bar():
    from pathosig.report.material import Material
    from pathosig.report.page import Chapter, Note, Page, Table, render
    from pathosig.report.sections.audits import audits_section

    section = audits_section(Material(name="x", audits=AUDITS))
    verdicts = [b for b in section.blocks if isinstance(b, Note)]
    assert [(v.level, v.text.split(":")[0]) for v in verdicts] == [("good", "pass")]
    cells = {c for b in section.blocks if isinstance(b, Table) for row in b.rows for c in row}
    assert {"4.5 (3.3–6.0) %", "upper limit at most 7%", "0.0031", "30.0%"} <= cells
    page = render(
        Page(title="", subtitle="", chapters=[Chapter(id="c", title="", question="", sections=[section])])
    )
    assert "Codebook refitted on 20 resamples: C, out of bag" in page
    assert "HPC 03" in page
    without = audits_section(Material(name="x", audits={"null": AUDITS["null"]}))
    assert "Not run: optimism, site, depth, stability" in without.lead
    assert audits_section(Material(name="x")) is None


@pytest.mark.parametrize(("verdict", "level"), [("fail", "error"), ("preview", "warning")])
def test_a_null_audit_that_did_not_pass_is_never_shown_as_good(verdict, level):
    from pathosig.report.material import Material
    from pathosig.report.sections.audits import audits_section

    section = audits_section(Material(name="x", audits={"null": {**AUDITS["null"], "verdict": verdict}}))
    assert section.blocks[0].level == level


@pytest.mark.usefixtures("_without_writing")
def test_other_endpoints_and_apparent_results_are_folded_and_the_primary_ones_open():
    from pathosig.report.compose import compose
    from pathosig.report.material import Material
    from pathosig.report.page import Folded, Picture, every_block
    from pathosig.report.spec import ReportSpec

    other = {**_analysis("validation_1", "validation"), "endpoint": "dfs", "primary": False}
    results = {**RESULTS, "analyses": [*RESULTS["analyses"], other]}
    material = Material(name="x", primary=Primary(endpoint="os"), results=results)
    sections = {s.id: s for s in compose(material, ReportSpec()).sections}
    for name in ("models", "performance", "subgroups"):
        shown = {b.name for b in sections[name].blocks if isinstance(b, Picture)}
        hidden = {b.name for b in every_block(sections[name].blocks) if isinstance(b, Picture)} - shown
        assert shown, name
        assert not {n for n in shown if n.endswith(("_02", "_03", "_dfs"))}, name
        assert {n for n in hidden if n.endswith(("_02", "_03", "_dfs"))}, name
    titles = [b.title for b in sections["survival"].blocks if isinstance(b, Folded)]
    assert titles == ["Overall survival", "Disease-free survival"]
    summary = [b.name for b in sections["summary"].blocks if isinstance(b, Picture)]
    assert summary == ["primary"]


def test_numbers_of_the_results_are_printed_as_they_are_meant():
    from pathosig.report.cells import estimate_cell, time_text

    assert time_text(1095.75, "days") == "1096 days"
    assert time_text(36, "months") == "36 months"
    assert time_text(None, "months") == ""
    assert estimate_cell({"estimate": 0.607, "lower": None, "upper": None}) == "0.607"
    assert estimate_cell({"estimate": 0.607, "lower": 0.5, "upper": None}) == "0.607 (0.500–NR)"
    assert estimate_cell({"not_estimable": "one event"}) == "one event"


@pytest.mark.usefixtures("_without_writing")
@pytest.mark.parametrize("everywhere", [True, False])
def test_competing_risks_of_discovery_stand_open_only_where_no_other_cohort_has_them(everywhere):
    from pathosig.report.material import Material
    from pathosig.report.page import Picture
    from pathosig.report.sections.outcomes import outcomes_section

    found = [_analysis("discovery", "discovery"), _analysis("validation_1", "validation")]
    if not everywhere:
        del found[1]["competing"]
    material = Material(name="x", primary=Primary(endpoint="dfs"), results={"analyses": found})
    shown = {b.name for b in outcomes_section(material).blocks if isinstance(b, Picture)}
    assert ("incidence_01" in shown) is everywhere
    assert ("incidence_02" in shown) is not everywhere
