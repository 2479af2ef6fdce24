"""Calibration and decision curves against R (tests/golden/make_golden.R)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import InputError, NotEstimableError
from pathosig.survival import calibration, decision_curve

HERE = Path(__file__).parents[1] / "golden"
R = json.loads((HERE / "survival.json").read_text())
D = pd.read_csv(HERE / "cohort.csv", float_precision="round_trip").iloc[80:]
T, E = D["time"].to_numpy(float), D["event"].to_numpy() == 1
PREDICTION, TIMES, LP = (np.asarray(R["calibration"][k], float) for k in ("prediction", "times", "lp"))


def close(ours, theirs, tolerance=1e-8):
    np.testing.assert_allclose(
        np.asarray(ours, float), np.asarray(theirs, float), rtol=tolerance, atol=tolerance
    )


def test_observed_expected_slope_and_curves_equal_r():
    found = calibration(PREDICTION, T, E, times=TIMES, linear_predictor=LP)
    close([found.slope, found.slope_se], [R["calibration"]["slope"], R["calibration"]["slope_se"]], 1e-6)
    for row, theirs in zip(found.at, R["calibration"]["at"], strict=True):
        close(
            [row.observed, row.observed_lower, row.observed_upper],
            [theirs[k] for k in ("observed", "lower", "upper")],
        )
        close([row.expected, row.ratio], [theirs["expected"], theirs["observed"] / theirs["expected"]])
        close(row.groups, theirs["groups"])
        close(row.smooth, theirs["smooth"], 1e-6)
        close([row.ici, row.e50, row.e90, row.emax], [theirs[k] for k in ("ici", "e50", "e90", "emax")], 1e-6)


def test_the_slope_does_not_need_the_linear_predictor_of_a_proportional_model():
    found = calibration(PREDICTION, T, E, times=TIMES)
    close(found.slope, R["calibration"]["slope"], 1e-6)


def test_the_golden_cohort_has_its_o_e_slope_and_quintiles(golden_folder):
    theirs = json.loads((golden_folder / "performance.json").read_text())["discovery"]
    cohort = pd.read_csv(golden_folder / "discovery.csv", float_precision="round_trip")
    survival = np.asarray(theirs["pred_surv36"])
    found = calibration(survival, cohort["os_time"], cohort["os_event"], times=[36])
    r, row = theirs["calibration"], found.at[0]
    close([row.observed, row.expected, row.ratio], [r["obs_risk36"], r["mean_pred_risk36"], r["OE36"]], 1e-6)
    close([found.slope, found.slope_se], [r["slope"]["coef"], r["slope"]["se"]], 1e-6)
    quintiles = row.groups[::-1]  # R's groups are of survival, ours of risk
    close(1 - quintiles[:, 0], [q["mean_pred"] for q in r["quintile"]], 1e-6)
    close(1 - quintiles[:, 1], [q["obs"] for q in r["quintile"]], 1e-6)


def test_horizons_beyond_follow_up_are_skipped_and_missing_rows_left_out():
    survival = PREDICTION[:, [0, 0]].copy()
    survival[4] = np.nan
    found = calibration(survival, T, E, times=[5, 1e4])
    rest = np.arange(len(T)) != 4
    again = calibration(PREDICTION[rest, 0], T[rest], E[rest], times=5)
    assert found.skipped == (1e4,)
    assert found.n == len(T) - 1
    close(found.at[0].groups, again.at[0].groups)
    assert len(found.curve()) == 5
    assert found.to_frame()["slope"].tolist() == [found.slope]


def test_predictions_that_never_vary_or_are_no_probabilities_are_refused():
    with pytest.raises(NotEstimableError):
        calibration(np.full(len(T), 0.5), T, E, times=5)
    with pytest.raises(NotEstimableError):
        calibration(PREDICTION[:, 0], T, np.zeros(len(T), bool), times=5)
    with pytest.raises(InputError):
        calibration(LP, T, E, times=5)
    with pytest.raises(InputError):
        calibration(PREDICTION, T, E, times=5)


def test_predictions_of_zero_and_one_are_taken():
    survival = PREDICTION[:, 0].copy()
    survival[:2] = 0.0, 1.0
    assert np.isfinite(calibration(survival, T, E, times=5).at[0].ratio)


def test_net_benefit_equals_the_formula_of_dcurves_in_r():
    r = R["decision"]
    found = decision_curve(1 - PREDICTION[:, 1], T, E, horizon=TIMES[1], thresholds=r["thresholds"])
    known = np.array([v != "NA" for v in r["model"]])
    close(found.net_benefit["model"][known], np.array(r["model"], object)[known])
    close(found.net_benefit["all"], r["all"])
    assert not found.net_benefit["none"].any()


def test_models_share_their_patients_and_limits_come_from_the_given_resamples():
    risk = {"a": 1 - PREDICTION[:, 1], "b": np.full(len(T), 0.4)}
    indices = np.random.default_rng(0).integers(0, len(T), (30, len(T)))
    cuts = [0.2, 0.3]
    found = decision_curve(risk, T, E, horizon=12, thresholds=cuts, indices=indices)
    by_hand = [
        decision_curve(risk["a"][i], T[i], E[i], horizon=12, thresholds=cuts).net_benefit["model"]
        for i in indices
    ]
    close(found.lower["a"], np.quantile(by_hand, 0.025, axis=0))
    close(found.upper["a"], np.quantile(by_hand, 0.975, axis=0))
    close(found.net_benefit["b"], found.net_benefit["all"])
    assert list(found.to_frame()["strategy"].unique()) == ["all", "none", "a", "b"]


def test_nobody_above_a_threshold_has_no_benefit_and_no_follow_up_no_estimate():
    found = decision_curve(np.full(len(T), 0.3), T, E, horizon=12, thresholds=[0.5])
    assert found.net_benefit["model"].tolist() == [0.0]
    assert np.isnan(
        decision_curve(np.full(len(T), 0.3), T, E, horizon=1e4, thresholds=[0.1]).net_benefit["all"]
    )


def test_scores_that_are_no_probabilities_and_wrong_thresholds_are_refused():
    with pytest.raises(InputError):
        decision_curve(LP * 10, T, E, horizon=12)
    with pytest.raises(InputError):
        decision_curve(1 - PREDICTION[:, 1], T, E, horizon=12, thresholds=[1.0])
