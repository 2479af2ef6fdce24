"""Agreement with the reference results stored next to the real data (R on a cohort of 380 patients)."""

import json

import numpy as np
import pandas as pd
import pytest

from pathosig.survival import (
    bootstrap_cox,
    brier,
    cox,
    cox_univariate,
    harrell_c,
    kaplan_meier,
    logrank,
    max_selected_cutpoint,
    ph_test,
    stepwise,
    time_auc,
    uno_c,
)


@pytest.fixture(scope="module")
def golden(golden_folder):
    class Golden:
        cohort = pd.read_csv(golden_folder / "discovery.csv", float_precision="round_trip")
        scored = pd.read_csv(golden_folder / "scored3_discovery.csv", float_precision="round_trip")

        def __getattr__(self, name):
            return json.loads((golden_folder / f"{name}.json").read_text())

    return Golden()


def outcome(golden, endpoint="os"):
    return golden.cohort[f"{endpoint}_time"].to_numpy(), golden.cohort[f"{endpoint}_event"].to_numpy() == 1


@pytest.mark.parametrize("key", ["os_efron", "os_breslow"])
def test_univariate_models(golden, key):
    theirs = golden.cox_univariate
    endpoint, ties = key.split("_")
    columns = [c for c in golden.cohort if c.startswith("HPC_")]
    ours = cox_univariate(golden.cohort[columns], *outcome(golden, endpoint), ties=ties).set_index("name")
    checked = 0
    for name, values in theirs[key]["features"].items():
        if "raw" not in values or ours.loc[name, "separated"]:
            continue
        r = values["raw"]["terms"]["x"]
        np.testing.assert_allclose(
            ours.loc[name, ["coef", "se", "z", "p"]].astype(float),
            [r[k] for k in ("coef", "se", "z", "p")],
            rtol=2e-6,
            atol=2e-6,
        )
        checked += 1
    assert checked > 40


def test_infinite_estimates_are_flagged(golden):
    ours = cox_univariate(golden.cohort[["HPC_16", "HPC_22", "HPC_6"]], *outcome(golden))
    assert ours["separated"].tolist() == [True, True, False]


def test_multivariable_models_and_their_ph_tests(golden):
    theirs = golden.cox_multivariate["multi_all_selected"]
    names = list(theirs["terms"])
    x = golden.cohort[names]
    fit = cox((x - x.mean()) / x.std(), *outcome(golden))
    np.testing.assert_allclose(fit.coef, [theirs["terms"][n]["coef"] for n in names], atol=1e-6)
    np.testing.assert_allclose(fit.loglik, theirs["loglik"], atol=1e-8)
    for transform, rows in theirs["zph"].items():
        found = ph_test(fit, transform)
        np.testing.assert_allclose(found.statistic, [rows[n]["chisq"] for n in names], atol=1e-6)


def test_stepwise_paths(golden):
    theirs = golden.cox_multivariate
    x = golden.cohort[theirs["uni_selected_p05"]]
    found = stepwise(x, *outcome(golden), direction="forward")
    assert [step for step, _ in found.path] == [p["step"] for p in theirs["step"]["forward"]["path"]]


def test_discrimination(golden):
    theirs = golden.performance["discovery"]
    score, (time, event) = golden.scored["score"], outcome(golden)
    found = harrell_c(score, time, event)
    np.testing.assert_allclose(
        [found.c, found.se], [theirs["harrell"]["C"], theirs["harrell"]["se"]], atol=1e-9
    )
    found = uno_c(score, time, event, tau=60)
    np.testing.assert_allclose(
        [found.c, found.se], [theirs["uno_ymax60"]["C"], theirs["uno_ymax60"]["se"]], atol=1e-9
    )
    auc = time_auc(score, time, event, times=theirs["timeROC"]["times"])
    np.testing.assert_allclose(auc.auc, theirs["timeROC"]["AUC"], atol=1e-9)
    np.testing.assert_allclose(auc.se, theirs["timeROC"]["se"], atol=1e-7)


def test_cut_points(golden):
    theirs = golden.cutpoints
    time, event = outcome(golden)
    for key, x in (
        ("discovery_os_score", golden.scored["score"]),
        ("discovery_os_HPC_6", golden.cohort["HPC_6"]),
        ("discovery_age", golden.cohort["age"]),
    ):
        for method, name in (("lau92", "Lau92"), ("lau94", "Lau94")):
            found = max_selected_cutpoint(x, time, event, p=method)
            assert found.cutpoint == pytest.approx(theirs[key]["surv_cutpoint"]["cutpoint"], abs=1e-12)
            assert found.p == pytest.approx(theirs[key]["p"][name]["p"], abs=1e-8)
        assert len(found.cuts) == len(theirs[key]["profile"]["cuts"])


def test_curves_and_logrank(golden):
    theirs = golden.km_logrank["discovery"]
    time, event = outcome(golden)
    for conf_type, groups in theirs["km_os_all"].items():
        r = next(iter(groups.values()))
        curve = kaplan_meier(time, event, conf_type=conf_type)
        estimate, lower, upper = curve.survival_at(np.array(r["time"], float))
        np.testing.assert_allclose(estimate, r["surv"], atol=1e-10)
        np.testing.assert_allclose(lower, r["lower"], atol=1e-10)
        np.testing.assert_allclose(upper, r["upper"], atol=1e-10)
        assert curve.at_risk(np.array(r["time"], float)).tolist() == r["n_risk"]
        assert curve.median == pytest.approx((r["median"], r["median_lower"], r["median_upper"]))
    found = logrank(time, event, golden.scored["risk"])
    assert found.statistic == pytest.approx(theirs["lr_os"]["chisq"], abs=1e-10)


def test_brier_scores_of_the_null_model_equal_riskregression(golden):
    time, event = outcome(golden)
    curve = kaplan_meier(time, event)
    for row in golden.performance["discovery"]["riskRegression"]["Brier"]:
        if row["model"] == "Null model":
            found = brier([curve.survival_at(row["times"])[0]], time, event, times=[row["times"]])
            assert found[0] == pytest.approx(row["Brier"], abs=1e-6)


def test_bootstrap_coefficients_equal_r_on_the_same_resamples(golden, golden_folder):
    theirs = golden.performance["bootstrap"]
    indices = np.loadtxt(golden_folder / "bootstrap_indices_B200.csv", delimiter=",", dtype=int)
    indices = indices if indices.shape[1] == len(golden.cohort) else indices.T
    found = bootstrap_cox(golden.cohort[["HPC_6", "HPC_21"]], *outcome(golden), indices)
    np.testing.assert_allclose(found[:, 0], theirs["coef6"], atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], theirs["coef21"], atol=1e-6, rtol=1e-6)
