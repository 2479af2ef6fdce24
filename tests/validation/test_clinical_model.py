"""Clinical + histology: the fit and its predictions equal R's, and a frozen model is written and read unchanged."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import InputError, NotEstimableError
from pathosig.core.typed_json import from_plain, to_plain
from pathosig.signature import SignatureSpec
from pathosig.survival import harrell_c
from pathosig.validation import read_results
from pathosig.validation.clinical_fit import fit_clinical_model
from pathosig.validation.clinical_model import ClinicalModel, effects
from pathosig.validation.nomogram import nomogram
from pathosig.validation.values import NOT_COMPUTED
from tests.signature.test_stage import make_study, run

R = json.loads((Path(__file__).parents[1] / "golden" / "clinical.json").read_text())
SPEC = SignatureSpec(bootstraps=0, n_subsamples=20, selection="ridge")
COVARIATES = ["age", "tsize", "pnodes", "tgrade", "horTh"]


@pytest.fixture(scope="module")
def gbsg2(pathosig_data):
    table = pd.read_csv(pathosig_data / "survival" / "gbsg2.csv", float_precision="round_trip")
    raw = -np.log1p(table["progrec"])
    return table.assign(
        score=raw / raw.std(), time=table["time"] / 365.25 * 12, event=table["cens"] == 1, raw=raw
    )


def simulated(n=200, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(60, 9, n),
            "stage": rng.choice(["I", "II", "III"], n),
            "sex": rng.choice([0, 1], n).astype(float),
            "score": rng.normal(size=n),
        }
    )
    hazard = np.exp(0.6 * frame["score"] + 0.03 * (frame["age"] - 60) + 0.5 * (frame["stage"] == "III"))
    time, censored = rng.exponential(40 / hazard), rng.uniform(10, 90, n)
    return frame.assign(time=np.minimum(time, censored), event=time <= censored)


@pytest.mark.parametrize(("which", "scale"), [("full", 1.0), ("clinical", None)])
def test_coefficients_covariance_and_absolute_risks_equal_those_of_coxph_on_gbsg2(gbsg2, which, scale):
    theirs = R[which]
    model = fit_clinical_model(gbsg2, COVARIATES, endpoint="rfs", score_scale=scale)
    np.testing.assert_allclose(model.coef, theirs["coef"], rtol=1e-6)
    covariance = np.array(theirs["covariance"]).reshape(len(model.coef), -1)
    np.testing.assert_allclose(model.covariance, covariance, rtol=1e-6, atol=1e-14)
    score = gbsg2["score"].to_numpy()
    np.testing.assert_allclose(model.linear_predictor(gbsg2, score)[:20], theirs["lp"], atol=1e-6)
    rows = [0, 9, 99, 299, 649]
    found = model.risks(gbsg2.iloc[rows], score[rows])
    for ours, name in ((found.risk, "survival"), (found.lower, "upper"), (found.upper, "lower")):
        np.testing.assert_allclose(1 - ours, np.array(theirs[name]).reshape(5, 3), rtol=1e-6)
    lp = model.linear_predictor(gbsg2.iloc[rows], score[rows])
    np.testing.assert_allclose(model.survival_at(lp, [12, 36, 60]), 1 - found.risk, rtol=1e-12)


def test_a_score_of_another_scale_gives_the_same_risks(gbsg2):
    sd = R["sd"][0]
    model = fit_clinical_model(gbsg2, COVARIATES, endpoint="rfs", score_scale=sd)
    plain = fit_clinical_model(gbsg2, COVARIATES, endpoint="rfs")
    raw, scaled = gbsg2["raw"].to_numpy(), gbsg2["score"].to_numpy()
    np.testing.assert_allclose(model.risks(gbsg2, raw).risk, plain.risks(gbsg2, scaled).risk, rtol=1e-9)


def test_a_model_comes_back_from_json_and_predicts_the_same_for_one_patient_as_for_many():
    frame = simulated()
    model = fit_clinical_model(frame, ["age", "stage", "sex"], endpoint="os", signature_sha256="ab")
    again = from_plain(ClinicalModel, json.loads(json.dumps(to_plain(model))), where="clinical_model.json")
    assert again == model
    score = frame["score"].to_numpy()
    together = again.linear_predictor(frame, score)
    alone = [again.linear_predictor(frame.iloc[[i]], score[[i]])[0] for i in range(20)]
    assert together[:20].tolist() == alone


def test_text_is_read_as_numbers_and_levels_and_what_is_neither_counts_as_missing():
    frame = simulated()
    model = fit_clinical_model(frame, ["age", "stage", "sex"], endpoint="os")
    text = pd.DataFrame(
        {
            "age": ["61.5", "old", "58", "60"],
            "stage": ["II", "II", "IV", " III "],
            "sex": ["1.0", "0", "1", "1"],
        }
    )
    assert model.missing_of(text) == [(), ("age",), ("stage",), ()]
    lp = model.linear_predictor(text, np.zeros(4))
    assert np.isfinite(lp).tolist() == [True, False, False, True]
    assert model.missing_of(text.drop(columns="sex")) == [
        ("sex",),
        ("age", "sex"),
        ("stage", "sex"),
        ("sex",),
    ]
    risks = model.risks(text, np.zeros(4))
    assert np.isnan(risks.risk[1]).all()
    assert (risks.lower[0] < risks.risk[0]).all()
    assert (risks.risk[0] < risks.upper[0]).all()


def test_missing_covariates_are_imputed_and_make_intervals_wider():
    frame = simulated(300, seed=1)
    whole = fit_clinical_model(frame, ["age", "stage"], endpoint="os")
    holes = frame.copy()
    holes.loc[np.random.default_rng(2).random(300) < 0.4, "age"] = np.nan
    model = fit_clinical_model(holes, ["age", "stage"], endpoint="os", m=20)
    assert (whole.missing, whole.imputations) == (0, 0)
    assert model.imputations == 20
    assert model.missing == holes["age"].isna().sum()
    assert model.trained_on == whole.trained_on
    assert model.covariance[0][0] > 1.2 * whole.covariance[0][0]
    assert abs(model.coef[0] - whole.coef[0]) < 2 * np.sqrt(whole.covariance[0][0])


def test_effects_name_every_column_with_its_reference():
    model = fit_clinical_model(simulated(), ["age", "stage"], endpoint="os")
    rows = effects(model)
    assert [(e.variable, e.level, e.reference) for e in rows] == [
        ("age", "", ""), ("stage", "II", "I"), ("stage", "III", "I"), ("score", "", ""),
    ]  # fmt: skip
    assert rows[-1].hr == pytest.approx(np.exp(model.coef[-1]))
    assert rows[-1].lower > 1


def test_nothing_is_fitted_without_covariates_or_events():
    frame = simulated(60)
    with pytest.raises(NotEstimableError, match="no usable covariate"):
        fit_clinical_model(frame.assign(age=60.0), ["age"], endpoint="os")
    few = frame.assign(event=np.arange(60) < 9)
    with pytest.raises(NotEstimableError, match="9 events"):
        fit_clinical_model(few, ["age"], endpoint="os")


@pytest.mark.parametrize(
    "change",
    [{"coef": (0.1,)}, {"score_scale": 0.0}, {"center": (float("nan"), 0.0)}, {"covariance": ((1.0,),)}],
)
def test_a_model_whose_numbers_do_not_fit_together_is_refused(change):
    model = fit_clinical_model(simulated(), ["age"], endpoint="os")
    with pytest.raises(InputError, match="clinical model"):
        dataclasses.replace(model, **change)


def test_the_frozen_model_is_judged_in_every_validation_cohort_beside_its_covariates_alone(tmp_path):
    study = make_study(tmp_path / "s", cohorts=("discovery", "v1", "v2"), n=300)
    run(study, SPEC, bootstraps=60, imputations=0, clinical=("age", "sex"))
    made = read_results(study.paths.results).clinical_histology
    assert made.model.labels == ("age", "sex: M", "score")
    assert made.clinical.labels == ("age", "sex: M")
    assert [c.cohort for c in made.cohorts] == ["v1", "v2"]
    table = pd.read_csv(study.paths.patients).merge(pd.read_csv(study.paths.scores)[["patient_id", "score"]])
    for cohort in made.cohorts:
        rows = table[table["cohort"] == cohort.cohort]
        lp = made.model.linear_predictor(rows, rows["score"].to_numpy())
        c = harrell_c(lp, rows["os_time"].to_numpy(), rows["os_event"].to_numpy(bool)).c
        assert cohort.harrell_c.estimate == pytest.approx(c)
        assert cohort.role == "validation"
        assert cohort.difference_c.lower > 0.1  # age and sex are noise, the score is not
        assert cohort.uno_c.estimate - cohort.clinical_c.estimate == pytest.approx(
            cohort.difference_c.estimate
        )
        assert cohort.calibration.slope.lower < 1 < cohort.calibration.slope.upper
        assert cohort.brier[0].score < cohort.brier[0].null
        assert {at.years for at in cohort.auc} >= {1.0}
    written = from_plain(ClinicalModel, json.loads(study.paths.clinical_model.read_text()), where="file")
    assert written == made.model


def test_without_another_cohort_coefficients_are_cross_fitted(tmp_path):
    study = make_study(tmp_path / "s", cohorts=("discovery",), n=160)
    run(study, SPEC, bootstraps=40, imputations=0, repeats=1, folds=3)
    made = read_results(study.paths.results).clinical_histology
    (only,) = made.cohorts
    assert only.role == "cross-validated"
    assert only.n == 160
    assert only.difference_c.estimate > 0.05
    assert only.calibration == NOT_COMPUTED


def test_points_of_the_nomogram_add_up_to_the_risk_of_the_model():
    model = fit_clinical_model(simulated(), ["age", "stage"], endpoint="os", score_scale=2.0)
    sheet = nomogram(model)
    age, stage, score = sheet.axes
    assert max(max(a.points) for a in sheet.axes) == 100.0
    patient = pd.DataFrame({"age": [float(age.values[3])], "stage": [stage.values[2]]})
    total = age.points[3] + stage.points[2] + score.points[1]
    lp = sheet.offset + total * sheet.per_point
    exact = model.linear_predictor(patient, np.array([float(score.values[1])]))[0]
    assert lp == pytest.approx(exact, abs=0.01)  # printed values are rounded
    scale = sheet.risks[-1]
    hazard = model.horizons[-1].hazard
    back = 1 - np.exp(-hazard * np.exp(sheet.offset + np.array(scale.points) * sheet.per_point))
    assert len(scale.risk) > 5
    np.testing.assert_allclose(back, scale.risk, atol=1e-6)


GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def competing():
    """The cohort of the golden tests, with x2 instead of the score, and R's multi-state Cox models of it."""
    table = pd.read_csv(GOLDEN / "cohort.csv", float_precision="round_trip")
    time = table["time"] + table["time"].rank(method="first") / 1e4
    frame = table[["x1", "cause"]].assign(score=table["x2"], time=time, event=table["cause"] == 1)
    theirs = json.loads((GOLDEN / "incidence.json").read_text())
    years = tuple(t / 12 for t in theirs["times"])
    return frame, theirs, fit_clinical_model(frame, ["x1"], endpoint="dfs", horizons=years)


def test_with_a_competing_event_risks_equal_those_of_multi_state_cox_models(competing):
    _, theirs, model = competing
    new, score = pd.DataFrame({"x1": theirs["x1"]}), np.array(theirs["x2"], float)
    expected = np.array(theirs["first"]).reshape(3, 3)
    np.testing.assert_allclose(
        1 - model.survival_at(model.predictors(new, score), theirs["times"]), expected, rtol=1e-6
    )
    risks = model.risks(new, score)
    np.testing.assert_allclose(risks.risk, expected, rtol=1e-6)
    assert (risks.lower < risks.risk).all()
    assert (risks.risk < risks.upper).all()
    again = from_plain(ClinicalModel, json.loads(json.dumps(to_plain(model))), where="model")
    np.testing.assert_array_equal(again.risks(new, score).upper, risks.upper)


def test_a_nomogram_with_a_competing_event_reads_the_incidence_of_an_average_patient_with_the_total(
    competing,
):
    frame, _, model = competing
    sheet = nomogram(model)
    total = model.linear_predictor(frame, frame["score"].to_numpy())
    for scale, at in zip(sheet.risks, model.horizons, strict=True):
        assert len(scale.risk) > 3
        predictor = sheet.offset + np.array(scale.points) * sheet.per_point
        np.testing.assert_allclose(
            model.competing.incidence_by_total(predictor, at.time), scale.risk, atol=1e-5
        )
    risk = model.risks(frame, frame["score"].to_numpy()).risk[:, -1]
    by_total = model.competing.incidence_by_total(total, model.horizons[-1].time)
    assert np.abs(by_total - risk).max() == pytest.approx(sheet.gap, rel=1e-6)
    assert 0 < sheet.gap < 0.1


@pytest.mark.parametrize(
    "change",
    [{"coef": (0.1,)}, {"hazard": "falls"}, {"time": "falls"}, {"variance": "nan"}],
)
def test_a_frozen_cause_that_does_not_fit_together_is_refused(competing, change):
    other = competing[2].competing.other
    ((name, value),) = change.items()
    values = getattr(other, name)
    broken = {"falls": values[::-1], "nan": (float("nan"), *values[1:])}.get(value, value)
    with pytest.raises(InputError, match="clinical model"):
        dataclasses.replace(other, **{name: broken})
