"""Absolute risks under competing events with confidence intervals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import InputError
from pathosig.survival import cox, decision_curve
from pathosig.survival.absolute_risk import absolute_risk, hazard_at
from pathosig.survival.baseline import Baseline, CompetingBaseline, with_competing_hazard
from pathosig.survival.causes import causes_of
from pathosig.survival.incidence_risk import CauseHazard, incidence_risk
from pathosig.survival.resampled import counts_of, resampled_benefit

GOLDEN = Path(__file__).parents[1] / "golden"
R = json.loads((GOLDEN / "incidence.json").read_text())
DATA = pd.read_csv(GOLDEN / "cohort.csv", float_precision="round_trip")
X = DATA[["x1", "x2"]].to_numpy()
CENTER = X.mean(axis=0)
TIME = (DATA["time"] + DATA["time"].rank(method="first") / 1e4).to_numpy()
CAUSE = DATA["cause"].to_numpy()
NEW = np.column_stack([R["x1"], R["x2"]])


def causes(*codes):
    return [CauseHazard.of(cox(X - CENTER, TIME, code == CAUSE)) for code in codes]


def standard_error(risks):
    """Standard error of F from its upper limit, which lies 1.96 standard errors above it on the scale log(-log(1 - F))."""
    hazard, upper = -np.log1p(-risks.risk), -np.log1p(-risks.upper)
    return np.log(upper / hazard) / 1.959963984540054 * (1 - risks.risk) * hazard


def test_risks_equal_those_of_multi_state_cox_models_and_errors_are_like_those_of_influence_functions():
    risks = incidence_risk(NEW - CENTER, causes(1, 2), R["times"])
    np.testing.assert_allclose(risks.risk, np.array(R["first"]).reshape(3, 3), rtol=1e-6)
    assert (risks.lower < risks.risk).all()
    assert (risks.risk < risks.upper).all()
    theirs = np.array(R["csc_se"]).reshape(3, 3).T  # R's standard error is robust, ours is model-based
    np.testing.assert_allclose(standard_error(risks), theirs, rtol=0.2)


def test_without_a_competing_event_risks_and_limits_are_those_of_one_cox_model():
    fit = cox(X - CENTER, TIME, CAUSE == 1)
    base = hazard_at(fit, R["times"])
    plain = absolute_risk(NEW - CENTER, fit.coef, fit.covariance, base)
    found = incidence_risk(NEW - CENTER, causes(1), R["times"])
    for name in ("risk", "lower", "upper"):
        np.testing.assert_allclose(getattr(found, name), getattr(plain, name), rtol=1e-10)


def test_before_the_first_event_there_is_no_risk_and_another_number_of_columns_is_refused():
    risks = incidence_risk(NEW - CENTER, causes(1, 2), [0.0])
    assert (risks.risk == 0).all()
    assert (risks.upper == 0).all()
    with pytest.raises(InputError, match="3 columns"):
        incidence_risk(np.zeros((1, 3)), causes(1, 2), [4.0])


def test_a_baseline_with_a_competing_hazard_gives_the_incidence_of_both_cox_models():
    score = X[:, 0]
    fit = cox(score[:, None], TIME, CAUSE == 1)
    grid, hazard = fit.baseline_hazard()
    own = score * fit.coef[0]  # a frozen score is a linear predictor
    plain = Baseline(time=tuple(grid), survival=tuple(np.exp(-hazard)), until=float(TIME.max()))
    whole = with_competing_hazard(plain, own, TIME, CAUSE == 2)
    pair = [CauseHazard.of(cox(score[:, None], TIME, k == CAUSE)) for k in (1, 2)]
    expected = incidence_risk(score[:5, None], pair, [4.0, 8.0]).risk
    np.testing.assert_allclose(1 - whole.free_at(own[:5], [4.0, 8.0]), expected, rtol=1e-8)
    none = with_competing_hazard(plain, own, TIME, np.zeros(len(TIME), bool))
    np.testing.assert_allclose(none.free_at(own, [8.0]), plain.free_at(own, [8.0]), rtol=1e-12)
    assert np.isnan(whole.free_at([0.0], [1e6])).all()


@pytest.mark.parametrize(
    ("time", "hazard"),
    [((1.0, 2.0), (0.5, 0.2)), ((2.0, 1.0), (0.1, 0.2)), ((1.0,), (0.1, 0.2)), ((1.0,), (np.nan,))],
)
def test_a_competing_hazard_that_falls_or_is_no_number_is_refused(time, hazard):
    with pytest.raises(InputError, match="competing event"):
        CompetingBaseline(coef=0.0, time=time, hazard=hazard)


def test_net_benefit_of_resamples_equals_that_of_their_rows_with_a_competing_event():
    rng = np.random.default_rng(0)
    draws, risk = rng.integers(0, len(TIME), (3, len(TIME))), rng.random(len(TIME))
    time = DATA["time"].to_numpy()  # with ties
    options = {"horizon": 8.0, "thresholds": np.array([0.2, 0.5])}
    at_once = resampled_benefit(
        risk, time, CAUSE == 1, counts_of(draws, len(time)), competing=CAUSE == 2, **options
    )
    for rows, found in zip(draws, at_once, strict=True):
        curve = decision_curve(
            risk[rows], time[rows], CAUSE[rows] == 1, competing=CAUSE[rows] == 2, **options
        )
        np.testing.assert_allclose(found, curve.net_benefit["model"], atol=1e-12)


def test_a_death_after_follow_up_for_the_event_does_not_count():
    frame = pd.DataFrame({"patient_id": ["a", "b"], "time": [12.0, 12.0], "event": [False, True]})
    death = pd.DataFrame({"patient_id": ["a", "b"], "time": [60.0, 5.0], "event": [True, True]})
    assert causes_of(frame, death)["cause"].tolist() == [0, 1]
