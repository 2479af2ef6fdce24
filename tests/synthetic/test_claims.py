"""Planted against found: each outcome follows from the numbers."""

from types import SimpleNamespace

import pandas as pd
import pytest

from pathosig.core.errors import InputError
from pathosig.core.planted_claims import Claim, read_claims, write_claims
from pathosig.report.material import Material, SlideRow
from pathosig.report.sections.counterparts import COUNTERPARTS, counterparts_section
from pathosig.synthetic.claims_of_outcome import groups_claim, strata_claim, survival_claim, treatment_claim
from pathosig.synthetic.claims_of_tissue import graded, heterogeneity_claim, proportions_claim
from pathosig.validation.analysis import Analysis, Subgroup, SubgroupLevel
from pathosig.validation.arms import Treatment
from pathosig.validation.results import Association
from pathosig.validation.values import ChiSquare, Counts, HazardRatio, NotEstimable


def core(patient, harmful, protective):
    return {
        "patient_id": patient,
        "state": "ok",
        "proportions": [harmful, protective, 1 - harmful - protective],
    }


def truth_of(heterogeneous, cores):
    patients = {c["patient_id"] for c in cores}
    return {
        "types": ["bad", "good", "other"],
        "scaling": {"mean": [0.3, 0.3], "sd": [0.1, 0.1]},
        "effects": [1.0, -1.0],
        "heterogeneous": heterogeneous,
        "cores": {str(i): c for i, c in enumerate(cores)},
        "patients": {p: {"linear_predictor": 0.0, "shares": [0.3, 0.3, 0.4]} for p in patients},
    }


APART = [core("P1", 0.6, 0.1), core("P1", 0.1, 0.6)]
ONE_SIDE = [core("P2", 0.9, 0.0), core("P2", 0.5, 0.2)]
ALIKE = [core("P3", 0.3, 0.3), core("P3", 0.3, 0.3)]


@pytest.mark.parametrize(
    ("called", "outcome"),
    [(["P1"], "found"), ([], "not found"), (["P1", "P3"], "partly"), (["P2"], "not found")],
)
def test_heterogeneous_patients_are_judged_by_those_with_cores_on_both_sides_of_the_median(called, outcome):
    truth = truth_of(["P1", "P2"], [*APART, *ONE_SIDE, *ALIKE])
    labels = {p: "heterogeneous" if p in called else "agree" for p in ("P1", "P2", "P3")}
    scores = pd.DataFrame({"patient_id": list(labels), "core_agreement": list(labels.values())})
    claim = heterogeneity_claim(scores, truth)
    assert claim.outcome == outcome
    assert "of 3 patients with several cores differ; those of 1 lie" in claim.planted


def test_proportions_are_found_where_counted_ones_follow_the_painted_ones():
    truth = truth_of([], ALIKE) | {
        "patients": {f"P{i}": {"shares": [i / 10, 1 - i / 10, 0.0]} for i in range(6)}
    }
    counted = pd.DataFrame({"patient_id": [f"P{i}" for i in range(6)], "hpc_00": [i / 10 for i in range(6)]})
    counted["hpc_01"] = 1 - counted["hpc_00"]
    types = {"hpc_00": "bad", "hpc_01": "good"}
    assert proportions_claim(counted, types, truth).outcome == "found"
    counted["hpc_01"] = [0.5, 0.2, 0.9, 0.1, 0.7, 0.3]
    assert proportions_claim(counted, types, truth).outcome == "not found"


def hazard(hr, lower, upper):
    return HazardRatio(hr=hr, lower=lower, upper=upper, p=0.01, n=80, events=50)


@pytest.mark.parametrize(
    ("second", "outcome"), [(hazard(1.8, 1.2, 2.6), "found"), (hazard(1.2, 0.9, 1.6), "partly")]
)
def test_survival_is_found_only_where_every_validation_cohort_shows_it(second, outcome):
    analyses = [
        Analysis(
            cohort=name,
            role="validation",
            endpoint="os",
            unit="months",
            primary=True,
            n=80,
            events=50,
            hr_sd=effect,
        )
        for name, effect in (("v1", hazard(2.0, 1.4, 2.9)), ("v2", second))
    ]
    assert survival_claim(SimpleNamespace(analyses=analyses), "os").outcome == outcome


@pytest.mark.parametrize(
    ("verdict", "arm", "outcome"),
    [
        ("predictive", "adjuvant_crt", "found"),
        ("prognostic", "adjuvant_crt", "not found"),
        ("predictive", "neoadjuvant_crt", "not found"),
        ("prognostic", "neoadjuvant_crt", "found"),
        ("not estimable", "adjuvant_crt", "not estimable"),
    ],
)
def test_a_benefit_is_found_where_it_was_planted_and_nowhere_else(verdict, arm, outcome):
    treatment = Treatment(arm=arm, endpoint="os", verdict=verdict, words="words", reasons=(), cohorts=())
    planted = {"column": "adjuvant_crt", "log_hr_high_risk": -2.0}
    assert treatment_claim(SimpleNamespace(treatment=[treatment]), planted, arm).outcome == outcome


@pytest.mark.parametrize(("p", "outcome"), [(0.001, "not found"), (0.6, "found"), (None, "not estimable")])
def test_groups_are_judged_by_the_tables_that_could_be_tested(p, outcome):
    associations = [
        Association(
            cohort="v1",
            variable=name,
            counts=Counts(
                rows=(),
                n=80,
                missing=0,
                chi_square=ChiSquare(statistic=None, df=1, p=value),
                fisher=NotEstimable(reason="not asked for"),
            ),
        )
        for name, value in (("stage", None), ("sex", p))
    ]
    results = SimpleNamespace(associations=associations, primary=SimpleNamespace(discovery="discovery"))
    assert groups_claim(results).outcome == outcome


@pytest.mark.parametrize(
    ("effect", "outcome"),
    [
        (hazard(1.8, 1.2, 2.6), "found"),
        (hazard(0.8, 0.5, 1.4), "not found"),
        (NotEstimable(reason="few events"), "not estimable"),
    ],
)
def test_strata_are_judged_by_those_that_could_be_estimated(effect, outcome):
    level = SubgroupLevel(level="I-II", n=40, events=20, effect=effect)
    stage = Subgroup(variable="stage", rows=(level,), p_interaction=0.5, q_interaction=0.5)
    analysis = Analysis(
        cohort="v1", role="validation", endpoint="os", unit="months", primary=True, n=80, events=50,
        subgroups=(stage,),
    )  # fmt: skip
    results = SimpleNamespace(analyses=[analysis], primary=SimpleNamespace(endpoint="os"))
    assert strata_claim(results).outcome == outcome


def test_grades_have_bounds_that_count_as_reached():
    assert [graded(v, good=0.9, fair=0.5) for v in (0.9, 0.89, 0.5, 0.49)] == [
        "found", "partly", "partly", "not found",
    ]  # fmt: skip


CLAIM = Claim(panel="cores", subject="cores", planted="60 places", found="59 right", outcome="found")


def test_claims_are_read_as_they_were_written(tmp_path):
    assert read_claims(tmp_path / "claims.json") == ()
    write_claims(tmp_path / "claims.json", [CLAIM])
    assert read_claims(tmp_path / "claims.json") == (CLAIM,)
    (tmp_path / "claims.json").write_text('{"claims": [{"panel": 3}]}')
    with pytest.raises(InputError):
        read_claims(tmp_path / "claims.json")


def test_counterparts_show_the_sections_that_exist_and_what_was_found():
    slides = [SlideRow(id="A#1-1", patient="P1", cohort="discovery", kind="core", site="")]
    titles = {"tissue": "Contact sheets", "survival": "Survival by risk group"}
    section = counterparts_section(Material(slides=slides, claims=[CLAIM]), titles)
    table = section.blocks[-1]
    assert len(table.rows) == len(COUNTERPARTS) >= 14
    assert table.rows[0][1] == "Contact sheets"
    assert table.rows[0][3:] == ["60 places", "59 right", "found"]
    assert table.rows[2][1] == "not in this report"
    assert len(counterparts_section(Material(slides=slides), titles).blocks[-1].columns) == 3
    assert counterparts_section(Material(), titles) is None


def test_each_counterpart_has_a_claim_and_each_claim_a_counterpart():
    import inspect
    import re

    from pathosig.synthetic import claims_of_outcome, claims_of_tissue

    source = inspect.getsource(claims_of_outcome) + inspect.getsource(claims_of_tissue)
    planted = set(re.findall(r'panel="(\w+)"', source)) | {"os", "dfs", "adjuvant", "neoadjuvant"}
    assert len(planted) >= 14
    assert {c.panel for c in COUNTERPARTS} == planted
