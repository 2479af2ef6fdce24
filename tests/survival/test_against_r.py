"""Every statistic agrees with R (tests/golden/make_golden.R) within the tolerances of docs/reference/statistics.md."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathosig.survival import (
    adjust_p,
    chi_square,
    cox,
    cox_path,
    cox_univariate,
    fisher_exact,
    harrell_c,
    kaplan_meier,
    kruskal,
    logrank,
    ph_test,
    pool_random_effects,
    stepwise,
    uno_c,
    wilcoxon,
)

HERE = Path(__file__).parents[1] / "golden"
R = json.loads((HERE / "survival.json").read_text())
D = pd.read_csv(HERE / "cohort.csv", float_precision="round_trip")
T, E = D["time"].to_numpy(float), D["event"].to_numpy() == 1
TIES = ["efron", "breslow"]


def close(ours, theirs, tolerance=1e-6):
    np.testing.assert_allclose(
        np.asarray(ours, float), np.asarray(theirs, float), rtol=tolerance, atol=tolerance
    )


def check_fit(ours, theirs):
    close(ours.coef, np.atleast_1d(theirs["coef"]))
    close(ours.se, np.atleast_1d(theirs["se"]))
    close([ours.loglik_null, ours.loglik], theirs["loglik"], 1e-9)
    assert (ours.n, ours.n_events) == (theirs["n"], theirs["nevent"])


@pytest.mark.parametrize("ties", TIES)
def test_cox_equals_coxph(ties):
    fit = cox(D[["x1", "x2", "x3", "x4"]], T, E, ties=ties)
    theirs = R["cox"][ties]
    check_fit(fit, theirs)
    close(fit.score_test.statistic, theirs["score"])
    close(fit.lr_test.statistic, theirs["lrt"])
    times, hazard = fit.baseline_hazard()
    close(times, theirs["base_time"])
    close(hazard, theirs["base_hazard"])


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("transform", ["km", "rank", "identity", "log"])
def test_ph_test_equals_cox_zph(ties, transform):
    found = ph_test(cox(D[["x1", "x2", "x3", "x4"]], T, E, ties=ties), transform)
    close([*found.statistic, found.global_statistic], R["cox"][ties]["zph"][transform])


@pytest.mark.parametrize("ties", TIES)
def test_strata_weights_clusters_and_entry_equal_coxph(ties):
    check_fit(cox(D[["x1", "x2"]], T, E, strata=D["stratum"], ties=ties), R["strata"][ties])
    check_fit(cox(D[["x1", "x2", "x3"]], T, E, weights=D["weight"], ties=ties), R["weights"][ties])
    fit = cox(D[["x1", "x2", "x3"]], T, E, cluster=D["cluster"], ties=ties)
    check_fit(fit, R["cluster"][ties])
    close(fit.naive_se, R["cluster"][ties]["naive"])
    check_fit(cox(D[["x1", "x2"]], T, E, entry=D["entry"], ties=ties), R["entry"][ties])


@pytest.mark.parametrize("ties", TIES)
def test_all_univariate_models_at_once_equal_coxph_in_a_loop(ties):
    table = cox_univariate(D[["x1", "x2", "x3", "x4"]], T, E, ties=ties).set_index("name")
    for name, theirs in R["univariate"][ties].items():
        close(table.loc[name, ["coef", "se", "loglik"]], [theirs["coef"], theirs["se"], theirs["loglik"][1]])


@pytest.mark.parametrize("conf_type", ["log", "log-log", "plain"])
def test_kaplan_meier_equals_survfit(conf_type):
    curve, theirs = kaplan_meier(T, E, conf_type=conf_type), R["km"][conf_type]
    close(curve.time, theirs["time"], 1e-10)
    close(curve.survival, theirs["surv"], 1e-10)
    close(curve.n_risk, theirs["n_risk"])
    known = np.array([v is not None and v != "NA" for v in theirs["lower"]])
    close(curve.lower[known], np.array(theirs["lower"], object)[known], 1e-10)
    close(curve.upper[known], np.array(theirs["upper"], object)[known], 1e-10)


def test_kaplan_meier_with_delayed_entry_equals_survfit():
    curve = kaplan_meier(T, E, entry=D["entry"])
    at = curve.survival_at(np.array(R["km_entry"]["time"], float))[0]
    close(at, R["km_entry"]["surv"], 1e-10)


def test_logrank_equals_survdiff():
    found = logrank(T, E, D["stratum"])
    close(found.statistic, R["logrank"]["chisq"], 1e-10)
    close(found.expected, R["logrank"]["exp"], 1e-10)
    close(logrank(T, E, D["stratum"], rho=1).statistic, R["peto"]["chisq"], 1e-10)
    close(logrank(T, E, D["x2"], strata=D["stratum"]).statistic, R["logrank_strata"], 1e-10)


def test_c_indices_equal_concordance():
    ours = harrell_c(D["x1"], T, E)
    close([ours.c, ours.se], [R["harrell"]["c"], R["harrell"]["se"]])
    ours = uno_c(D["x1"], T, E, tau=15)
    close([ours.c, ours.se], [R["uno"]["c"], R["uno"]["se"]])


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_stepwise_equals_stepaic(direction):
    found = stepwise(D[["x1", "x2", "x3", "x4"]], T, E, direction=direction)
    theirs = R["stepwise"][direction]
    assert set(found.names) == set(np.atleast_1d(theirs["names"]))
    close(found.criterion, theirs["aic"])


@pytest.mark.parametrize(("name", "l1_ratio"), [("lasso", 1.0), ("half", 0.5)])
def test_the_path_equals_glmnet(name, l1_ratio):
    found = cox_path(D[["x1", "x2", "x3", "x4"]], T, E, l1_ratio=l1_ratio, lambdas=[0.2, 0.1, 0.05, 0.01])
    close(found.coef, R["glmnet"][name], 1e-5)


def test_pooling_equals_metafor():
    ours, theirs = pool_random_effects([0.5, 0.2, 0.9, 0.3], [0.2, 0.15, 0.3, 0.2]), R["pool"]
    for name, key in (
        ("estimate", "estimate"),
        ("se", "se"),
        ("lower", "lower"),
        ("p", "p"),
        ("tau2", "tau2"),
        ("i2", "i2"),
        ("q", "q"),
    ):
        close(getattr(ours, name), theirs[key], 1e-5)
    close(ours.prediction_upper, theirs["pi_upper"], 1e-4)


def test_tables_equal_r():
    t = R["tables"]
    close(fisher_exact(t["tab"]).p, t["fisher"])
    close(chi_square(t["tab"]).p, t["chisq"])
    high = D["x2"] == 1
    close(wilcoxon(D.loc[high, "x1"], D.loc[~high, "x1"]).p, t["wilcox"])
    close(kruskal(D["x1"], D["stratum"]).p, t["kruskal"])
    for method in ("BH", "BY", "holm", "hochberg"):
        close(adjust_p(t["p"], method), t[method])
