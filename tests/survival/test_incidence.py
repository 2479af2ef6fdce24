"""Competing risks against cmprsk and survival::finegray (tests/golden/make_golden.R)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import ConfigError, InputError, NotEstimableError
from pathosig.survival import cause_specific, cumulative_incidence, fine_gray, kaplan_meier

HERE = Path(__file__).parents[1] / "golden"
R = json.loads((HERE / "survival.json").read_text())
D = pd.read_csv(HERE / "cohort.csv", float_precision="round_trip")
T, CAUSE = D["time"].to_numpy(float), D["cause"].to_numpy()
TIES = ["efron", "breslow"]


def close(ours, theirs, tolerance=1e-8):
    np.testing.assert_allclose(
        np.asarray(ours, float), np.asarray(theirs, float), rtol=tolerance, atol=tolerance
    )


def at(curve, times):
    index = np.searchsorted(curve.time, times, side="right")
    return np.concatenate([[0], curve.estimate])[index], np.concatenate([[0], curve.variance])[index]


def compare(found, theirs, times):
    ordered = sorted(found.curves, key=lambda c: (c.cause, str(c.group)))
    assert len(ordered) == len(theirs["est"])
    for curve, estimate, variance in zip(ordered, theirs["est"], theirs["var"], strict=True):
        known = np.array([v != "NA" for v in estimate])
        ours = at(curve, np.asarray(times, float))
        close(ours[0][known], np.array(estimate, object)[known])
        close(ours[1][known], np.array(variance, object)[known])


def compare_tests(found, theirs):
    for test, (statistic, p, df) in zip(found.tests, theirs, strict=True):
        close([test.statistic, test.p, test.df], [statistic, p, df])


def test_incidence_variance_and_grays_test_equal_cuminc():
    theirs = R["cuminc"]
    found = cumulative_incidence(T, CAUSE, groups=D["stratum"])
    compare(found, theirs["grouped"], theirs["grouped"]["times"])
    compare_tests(found, theirs["grouped"]["tests"])
    compare(cumulative_incidence(T, CAUSE), theirs["all"], theirs["grouped"]["times"])


def test_grays_test_with_strata_and_rho_equals_cuminc():
    found = cumulative_incidence(T, CAUSE, groups=D["x2"], strata=D["stratum"], rho=1)
    compare_tests(found, R["cuminc"]["stratified"])


def test_ten_heavily_tied_patients_equal_cuminc():
    t, s = [1, 1, 2, 2, 3, 3, 3, 4, 5, 6], [1, 2, 1, 1, 0, 2, 1, 1, 2, 1]
    found = cumulative_incidence(t, s, groups=[1, 2] * 5)
    compare(found, R["cuminc"]["small"], range(1, 7))
    compare_tests(found, R["cuminc"]["small"]["tests"])


@pytest.mark.parametrize("ties", TIES)
def test_fine_gray_equals_finegray_with_coxph(ties):
    fit, theirs = fine_gray(D[["x1", "x2", "x3"]], T, CAUSE, ties=ties), R["finegray"][ties]
    close(fit.coef, theirs["coef"], 1e-6)
    close(fit.se, theirs["se"], 1e-6)
    close(fit.naive_se, theirs["naive"], 1e-6)
    close([fit.loglik_null, fit.loglik], theirs["loglik"], 1e-8)
    times, hazard = fit.baseline_hazard()
    close(hazard[np.searchsorted(times, theirs["at"], side="right") - 1], theirs["base"], 1e-6)
    assert (fit.n, fit.n_events) == (len(D), (CAUSE == 1).sum())


@pytest.mark.parametrize("ties", TIES)
def test_fine_gray_with_strata_and_clusters_equals_r(ties):
    fit = fine_gray(D[["x1", "x2"]], T, CAUSE, cause=2, ties=ties, strata=D["stratum"], cluster=D["cluster"])
    close(fit.coef, R["finegray_strata"][ties]["coef"], 1e-6)
    close(fit.se, R["finegray_strata"][ties]["se"], 1e-6)


def test_fine_gray_by_the_other_convention_equals_crr():
    fit = fine_gray(D[["x1", "x2", "x3"]], T, CAUSE, convention="crr")
    close(fit.coef, R["crr"]["coef"], 1e-6)
    close(fit.se, R["crr"]["se"], 1e-6)
    close(fit.naive_se, R["crr"]["naive"], 1e-6)
    close(fit.loglik, R["crr"]["loglik"], 1e-8)


@pytest.mark.parametrize("ties", TIES)
def test_a_cause_specific_model_is_coxph_with_the_other_cause_censored(ties):
    fit, theirs = cause_specific(D[["x1", "x2"]], T, CAUSE, cause=2, ties=ties), R["cause_specific"][ties]
    close(fit.coef, theirs["coef"], 1e-6)
    close(fit.se, theirs["se"], 1e-6)


def test_incidences_of_all_causes_and_survival_sum_to_one():
    found, times = cumulative_incidence(T, CAUSE), np.linspace(0, 30, 40)
    total = sum(found.curve(c).incidence_at(times)[0] for c in (1, 2))
    close(total + kaplan_meier(T, CAUSE > 0).survival_at(times)[0], np.ones(40), 1e-12)


def test_without_a_competing_cause_fine_gray_is_cox_and_incidence_one_minus_kaplan_meier():
    one = (CAUSE == 1).astype(int)
    fit, plain = fine_gray(D[["x1"]], T, one), cause_specific(D[["x1"]], T, one)
    close([*fit.coef, *fit.naive_se], [*plain.coef, *plain.se], 1e-8)
    curve = kaplan_meier(T, one == 1)
    close(cumulative_incidence(T, one).curve().incidence_at(10.0)[0], 1 - curve.survival_at(10.0)[0], 1e-12)


def test_rows_with_missing_values_are_left_out():
    x, g = D[["x1", "x2"]].to_numpy().copy(), D["stratum"].to_numpy(object).copy()
    x[3, 0], g[7] = np.nan, None
    rest = np.arange(len(T)) != 3
    fit = fine_gray(x, T, CAUSE)
    close(fit.coef, fine_gray(x[rest], T[rest], CAUSE[rest]).coef, 1e-10)
    assert (fit.n_missing, fit.kept.tolist()) == (1, rest.tolist())
    rest = np.arange(len(T)) != 7
    found = cumulative_incidence(T, CAUSE, groups=g)
    again = cumulative_incidence(T[rest], CAUSE[rest], groups=D["stratum"].to_numpy()[rest])
    compare_tests(found, [(a.statistic, a.p, a.df) for a in again.tests])


def test_near_ties_count_as_ties_and_time_zero_is_an_event_time():
    moved = T + np.where(np.arange(len(T)) % 2, 1e-11, 0)
    compare_tests(cumulative_incidence(moved, CAUSE, groups=D["stratum"]), R["cuminc"]["grouped"]["tests"])
    t = np.array([0.0, 0.0, 1.0, 2.0, 3.0, 4.0])
    found = cumulative_incidence(t, [1, 2, 1, 0, 2, 1]).curve(1)
    assert found.incidence_at(0.0)[0] == pytest.approx(1 / 6)
    shifted = fine_gray(np.arange(6.0) % 4, t + 1, [1, 2, 1, 0, 2, 1])
    close(fine_gray(np.arange(6.0) % 4, t, [1, 2, 1, 0, 2, 1]).coef, shifted.coef, 1e-8)


def test_an_all_zero_column_has_no_estimate_and_separation_is_flagged():
    fit = fine_gray(np.column_stack([D["x1"], np.zeros(len(D))]), T, CAUSE, convention="crr")
    assert np.isfinite(fit.se).tolist() == [True, False]
    never = np.where(CAUSE == 1, 1.0, 0.0)
    assert any("separates" in note for note in fine_gray(never, T, CAUSE).warnings)


def test_limits_lie_within_zero_and_one_and_cover_the_estimate():
    for kind in ("log-log", "plain"):
        for curve in cumulative_incidence(T, CAUSE, groups=D["x2"], conf_type=kind).curves:
            assert (curve.lower >= 0).all()
            assert (curve.upper <= 1).all()
            assert (curve.lower <= curve.estimate).all()
            assert (curve.estimate <= curve.upper).all()
            assert list(cumulative_incidence(T, CAUSE).to_frame())[:3] == ["group", "cause", "time"]


def test_one_event_gives_a_curve_and_no_event_is_not_estimable():
    one = np.zeros(len(T), int)
    one[int(np.argsort(T)[20])] = 1
    assert cumulative_incidence(T, one).curve().n_events == 1
    assert any("one event" in note for note in cause_specific(D[["x1"]], T, one).warnings)
    with pytest.raises(NotEstimableError):
        cumulative_incidence(T, np.zeros(len(T), int))
    with pytest.raises(NotEstimableError):
        fine_gray(D[["x1"]], T, one, cause=2)


def test_wrong_codes_groups_and_options_are_refused():
    for bad in ([0, 1, -1], [0, 1, 1.5], [0, 1, np.nan]):
        with pytest.raises(InputError) as caught:
            cumulative_incidence([1, 2, 3], bad)
        assert caught.value.code == "E_EVENT"
    with pytest.raises(NotEstimableError):
        cumulative_incidence(T, CAUSE, groups=np.zeros(len(T)))
    with pytest.raises(ConfigError):
        cumulative_incidence(T, CAUSE, conf_type="log")
    with pytest.raises(ConfigError):
        fine_gray(D[["x1"]], T, CAUSE, convention="crr", strata=D["stratum"])
    with pytest.raises(InputError):
        cumulative_incidence(T, CAUSE).curve(3)
    with pytest.raises(InputError):
        cumulative_incidence(T, CAUSE).test(1)
