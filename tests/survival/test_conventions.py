"""Weights, delayed entry, clusters, near ties, time 0, missing rows and other conventions against R."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import ConfigError
from pathosig.survival import (
    brier,
    cox,
    cox_univariate,
    firth_cox,
    fisher_exact,
    kaplan_meier,
    logrank,
    max_selected_cutpoint,
    ph_test,
    reverse_kaplan_meier,
    rmst,
    time_auc,
)

HERE = Path(__file__).parents[1] / "golden"
R = json.loads((HERE / "survival.json").read_text())
D = pd.read_csv(HERE / "cohort.csv", float_precision="round_trip")
T, E = D["time"].to_numpy(float), D["event"].to_numpy() == 1
X = D[["x1", "x2"]]
TIES = ["efron", "breslow"]
NEAR = T + np.where(np.arange(1, len(T) + 1) % 2, 1e-10, 0)


def close(ours, theirs, tolerance=1e-6):
    np.testing.assert_allclose(
        np.asarray(ours, float), np.asarray(theirs, float), rtol=tolerance, atol=tolerance
    )


def check_fit(ours, theirs):
    close(ours.coef, np.atleast_1d(theirs["coef"]))
    close(ours.se, np.atleast_1d(theirs["se"]))
    close([ours.loglik_null, ours.loglik], theirs["loglik"], 1e-9)
    close(ours.score_test.statistic, theirs["score"])
    close(ours.lr_test.statistic, theirs["lrt"])
    assert (ours.n, ours.n_events) == (theirs["n"], theirs["nevent"])


@pytest.mark.parametrize("ties", TIES)
def test_weights_strata_entry_and_clusters_in_one_model_equal_coxph(ties):
    fit = cox(
        X, T, E, ties=ties, strata=D["stratum"], weights=D["weight"], entry=D["entry"], cluster=D["cluster"]
    )
    check_fit(fit, R["everything"][ties])
    close(fit.naive_se, R["everything"][ties]["naive"])


@pytest.mark.parametrize("ties", TIES)
def test_treatment_weights_with_robust_errors_equal_coxph(ties):
    fit = cox(D[["x2"]], T, E, ties=ties, weights=R["iptw"]["weights"], cluster=np.arange(len(D)))
    check_fit(fit, R["iptw"][ties])
    close(fit.naive_se, R["iptw"][ties]["naive"])


@pytest.mark.parametrize("ties", TIES)
def test_near_ties_are_ties_as_with_timefix(ties):
    check_fit(cox(X, NEAR, E, ties=ties), R["near_ties"][ties])
    close(cox_univariate(X, NEAR, E, ties=ties)["coef"], cox_univariate(X, T, E, ties=ties)["coef"], 1e-12)
    close(logrank(NEAR, E, D["stratum"]).statistic, R["near_ties"]["logrank"], 1e-10)


@pytest.mark.parametrize("ties", TIES)
def test_events_at_time_zero_count_as_in_coxph(ties):
    check_fit(cox(X, np.where(T < 2, 0.0, T), E, ties=ties), R["time_zero"][ties])


@pytest.mark.parametrize("ties", TIES)
def test_rows_with_missing_values_are_left_out_as_by_coxph(ties):
    x, timed = (
        X.to_numpy(float).copy(),
        np.arange(len(T)) != 6,
    )  # a missing time is an error here; R drops the row
    x[[2, 49], 0] = np.nan
    check_fit(cox(x[timed], T[timed], E[timed], ties=ties), R["missing"][ties])


def test_one_event_gives_the_estimate_of_coxph_with_a_note():
    r = R["one_event"]
    fit = cox(np.asarray(r["x"]), r["time"], np.asarray(r["event"]) == 1)
    check_fit(fit, r["fit"])
    assert "there is only one event" in fit.warnings


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("transform", ["km", "rank", "identity", "log"])
def test_ph_tests_of_stratified_models_equal_cox_zph(ties, transform):
    found = ph_test(cox(X, T, E, ties=ties, strata=D["stratum"]), transform)
    close([*found.statistic, found.global_statistic], R["zph_strata"][ties][transform])


@pytest.mark.parametrize("ties", TIES)
def test_ph_tests_with_delayed_entry_equal_cox_zph(ties):
    found = ph_test(cox(X, T, E, ties=ties, entry=D["entry"]), "identity")
    close([*found.statistic, found.global_statistic], R["everything"][ties]["zph_entry"])


def test_weighted_kaplan_meier_equals_survfit():
    curve = kaplan_meier(T, E, weights=D["weight"])
    close(curve.time, R["km_weights"]["time"], 1e-12)
    close(curve.survival, R["km_weights"]["surv"], 1e-10)


def test_follow_up_and_its_quartiles_equal_survfit_of_censoring():
    curve, r = reverse_kaplan_meier(T, E), R["reverse"]
    close(curve.survival, r["km"]["surv"], 1e-10)
    for j, q in enumerate((0.25, 0.5, 0.75)):
        theirs = [r["median"][k][j] for k in ("quantile", "lower", "upper")]
        known = [i for i, v in enumerate(theirs) if v != "NA"]
        close(np.array(curve.quantile(q))[known], np.array(theirs, object)[known], 1e-10)


@pytest.mark.parametrize("tau", ["8", "15.25"])
def test_restricted_means_equal_survfit(tau):
    found = rmst(T, E, groups=D["x2"], tau=float(tau))
    means = [found.groups[0], found.groups[1]]
    close([m.estimate for m in means], R["rmst"][tau]["mean"], 1e-8)
    close([m.se for m in means], R["rmst"][tau]["se"], 1e-8)
    close(found.difference, np.diff(R["rmst"][tau]["mean"])[0], 1e-8)
    close(found.se, np.hypot(*R["rmst"][tau]["se"]), 1e-8)


def test_firth_maximises_the_penalised_likelihood_of_coxph():
    fit = firth_cox(np.column_stack([R["firth"]["rare"], D["x1"]]), T, E, ties="breslow")
    close(fit.coef, R["firth"]["coef"], 1e-4)
    close(fit.loglik, R["firth"]["loglik"], 1e-6)


def test_firth_gives_no_estimate_for_an_all_zero_column_and_keeps_the_others():
    fit = firth_cox(np.column_stack([np.zeros(len(D)), D["x1"]]), T, E)
    alone = firth_cox(D["x1"], T, E)
    assert np.isnan(fit.coef[0])
    close([fit.coef[1], fit.p[1]], [alone.coef[0], alone.p[0]], 1e-12)


def test_auc_and_brier_with_ties_equal_riskregression():
    r = R["score"]
    found = time_auc(D["x1"], T, E, times=r["times"])
    close(found.auc, r["auc"], 1e-10)
    close(found.se, r["se"], 1e-10)
    survival = np.tile(np.asarray(r["prediction"])[:, None], 3)
    close(brier(survival, T, E, times=r["times"]), r["brier"], 1e-10)


@pytest.mark.parametrize("column", ["x1", "x3", "x4"])
def test_cut_points_of_rounded_columns_equal_maxstat(column):
    for name, theirs in R["maxstat"][column].items():
        found = max_selected_cutpoint(R_round(D[column]), T, E, p=name.lower())
        close([found.cutpoint, found.statistic], [theirs["cut"], theirs["statistic"]], 1e-10)
        close(found.p, min(1.0, theirs["p"]), 1e-8)  # R lets the approximation exceed 1


def R_round(column):
    return np.array([float(f"{v:.1f}") for v in column])


@pytest.mark.parametrize("which", range(5))
def test_exact_tables_equal_fisher_test(which):
    r = R["fisher"][which]
    close(fisher_exact(r["table"]).p, r["p"], 1e-8)


def test_a_column_that_is_constant_within_strata_has_no_estimate_as_in_coxph():
    columns = D[["x1", "x3"]].copy()
    columns.insert(1, "alias", (D["stratum"] == "b") + 0.5 * (D["stratum"] == "c"))
    fit = cox(columns, T, E, strata=D["stratum"])
    assert np.isnan(fit.coef[1]) and np.isnan(fit.se[1])
    close(fit.coef[[0, 2]], R["alias"]["coef"])
    close(fit.se[[0, 2]], R["alias"]["se"])


@pytest.mark.parametrize("transform", ["km", "rank", "identity", "log"])
def test_ph_tests_with_delayed_entry_use_the_curve_of_those_at_risk(transform):
    found = ph_test(cox(X, T, E, entry=D["entry"]), transform)
    close([*found.statistic, found.global_statistic], R["zph_entry"][transform])


def test_each_stratum_has_the_baseline_hazard_of_basehaz():
    fit, r = cox(X, T, E, strata=D["stratum"]), pd.DataFrame(R["base_strata"])
    for label, theirs in r.groupby("stratum"):
        times, hazard = fit.baseline_hazard(stratum=label)
        close(times, theirs["time"], 1e-12)
        close(hazard, theirs["hazard"])
        survival = fit.survival_at(np.zeros((1, 2)), times, stratum=label)
        close(survival[0], np.exp(-theirs["hazard"]))
    with pytest.raises(ConfigError, match="stratum must be one of a, b, c"):
        fit.baseline_hazard()


def test_log_log_limits_before_the_first_death_are_undefined_as_in_survfit():
    curve, r = kaplan_meier(T, E & (T >= 4), conf_type="log-log"), R["late_events"]
    theirs = np.array([np.nan if v == "NA" else v for v in r["lower"]], float)
    assert np.isnan(theirs[0])
    close(curve.lower, theirs, 1e-10)


@pytest.mark.parametrize("size", [26, 43, 97, 155])
def test_cut_points_of_few_patients_have_maxstats_bounds(size):
    x = np.sin(np.arange(1, size + 1))
    for name, theirs in R["small_maxstat"][str(size)].items():
        found = max_selected_cutpoint(x, T[:size], E[:size], p=name.lower())
        close([found.cutpoint, found.statistic], [theirs["cut"], theirs["statistic"]], 1e-10)
        close(found.p, min(1.0, theirs["p"]), 1e-8)
