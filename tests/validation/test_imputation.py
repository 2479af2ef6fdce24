"""Multiple imputation against mice (tests/golden/make_imputation.R)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import NotEstimableError
from pathosig.survival import cox
from pathosig.survival.imputation import impute, rubin
from pathosig.validation.added import FrozenModels, added_value
from pathosig.validation.added_imputed import added_value_imputed
from pathosig.validation.forests import forest

HERE = Path(__file__).parents[1] / "golden"
R = json.loads((HERE / "imputation.json").read_text())


@pytest.fixture(scope="module")
def table():
    frame = pd.read_csv(HERE / "cohort.csv", float_precision="round_trip")
    frame = frame.drop(columns="entry").assign(score=R["score"])
    frame["event"] = frame["event"] == 1
    frame["x2"] = frame["x2"].map({0: "0", 1: "1"})
    for name, rows in R["holes"].items():
        frame.loc[rows, name] = np.nan if name == "x1" else None
    return frame


def test_rubins_rules_equal_mices_pool():
    r = R["rubin"]
    coef, se = np.array(r["coef"]), np.array(r["se"])
    found = rubin(coef, se, n=r["events"] - coef.shape[1])
    for ours, theirs in (
        ("coef", "estimate"),
        ("se", "std_error"),
        ("p", "p"),
        ("lower", "lower"),
        ("upper", "upper"),
    ):
        np.testing.assert_allclose(getattr(found, ours), r[theirs], rtol=1e-9)


def test_pooled_models_are_those_of_mice_but_for_the_draws(table):
    covariates = ["x1", "x2", "stratum"]
    complete = cox(design(table.dropna(subset=covariates)), *outcome(table.dropna(subset=covariates)))
    np.testing.assert_allclose(complete.coef, R["complete"], atol=1e-6)
    fits = [cox(design(t), *outcome(t)) for t in impute(table, covariates, m=200, seed=3)]
    found = rubin(np.array([f.coef for f in fits]), np.array([f.se for f in fits]), n=74)
    theirs, se = np.array(R["coef"]), np.array(R["se"])
    assert np.abs((found.coef - theirs) / se).max() < 0.12  # the Monte Carlo error of both is about .03
    assert np.abs(found.se / se - 1).max() < 0.06
    assert np.abs(found.variance_proportion - np.array(R["lambda"])).max() < 0.06
    # the estimate from complete cases is much further away
    assert np.abs((complete.coef - theirs) / se).max() > 0.5


def test_the_forest_reports_the_pooled_model(table):
    made = forest(table, ["x1", "x2", "stratum"], sd=1.0, imputations=20)
    rows = [r.effect for r in made.imputed if r.kind == "estimate"]
    np.testing.assert_allclose([np.log(r.hr) for r in rows], R["coef"], atol=0.35 * max(R["se"]))
    assert {r.n for r in rows} == {len(table)}


@pytest.fixture(scope="module")
def clinical():
    """Stage raises the hazard and is missing more often in patients who die early. The score adds information."""
    rng = np.random.default_rng(8)
    n = 800
    score, stage, age = rng.normal(size=n), rng.choice(["I", "II", "III"], n), rng.normal(60, 9, n)
    predictor = 0.6 * score + 1.0 * (stage == "III") + 0.03 * (age - 60)
    death, censored = rng.exponential(20, n) * np.exp(-predictor), rng.uniform(5, 60, n)
    frame = pd.DataFrame({"score": score, "stage": stage, "age": age})
    frame["time"], frame["event"] = np.minimum(death, censored), death <= censored
    frame["whole"] = frame["stage"]
    frame.loc[rng.random(n) < np.where(frame["time"] < 8, 0.5, 0.1), "stage"] = None
    return frame


def test_added_value_over_imputed_patients_is_that_of_the_full_data(clinical):
    old, new = clinical[:400], clinical[400:].copy()
    truth = added_value(
        FrozenModels.fit_complete(old.assign(stage=old["whole"]), ["stage", "age"]),
        new.assign(stage=new["whole"]),
        bootstraps=20,
    )
    complete = added_value(FrozenModels.fit_complete(old, ["stage", "age"]), new, bootstraps=20)
    models = FrozenModels.fit(old, ["stage", "age"], m=10)
    made = added_value_imputed(models, new, ["stage", "age"], m=10, bootstraps=40)
    assert made.n == len(new) == truth.n > complete.n + 50
    assert made.missing == {"stage": int(new["stage"].isna().sum())}
    whole, cases, imputed = (v.difference_c.estimate for v in (truth, complete, made))
    assert abs(imputed - whole) < 0.02
    assert made.difference_c.lower < imputed < made.difference_c.upper
    np.testing.assert_allclose(made.uno_c["score"], truth.uno_c["score"].estimate, atol=1e-12)
    again = added_value_imputed(models, new, ["stage", "age"], m=10, bootstraps=40, workers=2)
    assert again == made
    assert np.isfinite(cases)
    with pytest.raises(NotEstimableError, match="no covariate is missing"):
        added_value_imputed(models, new, ["age"], m=2, bootstraps=2)


def design(frame):
    text = frame["stratum"]
    x2 = (frame["x2"] == "1").astype(float)
    return np.column_stack([frame["score"], frame["x1"], x2, text == "b", text == "c"]).astype(float)


def outcome(frame):
    return frame["time"], frame["event"]
