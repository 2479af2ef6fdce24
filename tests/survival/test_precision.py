"""Planned sizes of validation cohorts and detectable effects, checked by simulating such cohorts."""

from __future__ import annotations

import numpy as np
import pytest

from pathosig.core.errors import ConfigError
from pathosig.survival import cox, harrell_c
from pathosig.survival.precision import _concordance_error, detectable_hr, validation_size


def cohorts(n, sd, censoring, repeats, seed=0):
    """(linear predictor, time, event) of many cohorts in which the model is right."""
    rng = np.random.default_rng(seed)
    for _ in range(repeats):
        lp = rng.normal(0, sd, n)
        time, end = rng.exponential(np.exp(-lp)), rng.exponential(censoring, n)
        yield lp, np.minimum(time, end), time <= end


def test_the_recommended_size_gives_the_precision_that_was_asked_for():
    sd, censoring = 0.8, 1.0
    lp, time, event = next(cohorts(20_000, sd, censoring, 1, seed=9))
    c = harrell_c(lp, time, event).c
    need = validation_size(c=c, lp_sd=sd, event_fraction=event.mean(), risk=0.4)
    slopes, indices = [], []
    for lp, time, event in cohorts(need.n_slope, sd, censoring, 300):
        slopes.append(cox(lp[:, None], time, event).coef[0])
    for lp, time, event in cohorts(need.n_c, sd, censoring, 200, seed=1):
        indices.append(harrell_c(lp, time, event).c)
    assert len(slopes) == 300
    assert 2 * 1.96 * np.std(slopes) == pytest.approx(0.4, rel=0.15)
    assert 2 * 1.96 * np.std(indices) < 0.1  # Newcombe's standard error is for one horizon, and larger
    assert 2 * 1.96 * np.std(indices) > 0.06


def test_observed_over_expected_has_the_width_asked_for():
    risk, rng = 0.3, np.random.default_rng(0)
    need = validation_size(c=0.7, lp_sd=0.8, event_fraction=0.5, risk=risk)
    ratio = rng.binomial(need.n_ratio, risk, 20_000) / need.n_ratio / risk
    low, high = np.quantile(ratio, [0.025, 0.975])
    assert high - low == pytest.approx(0.4, abs=0.02)


def test_the_error_of_c_is_hanley_and_mcneils_by_newcombe():
    # 50 and 50 patients, C .8: Hanley and McNeil's formula with their Q1 and Q2
    c, n = 0.8, 50
    q1, q2 = c / (2 - c), 2 * c**2 / (1 + c)
    theirs = (c * (1 - c) + (n - 1) * (q1 - c**2) + (n - 1) * (q2 - c**2)) / n**2
    assert _concordance_error(c, 100, 0.5) == pytest.approx(np.sqrt(theirs), rel=1e-9)


def test_a_detectable_effect_is_found_in_four_of_five_studies():
    hr, rng = detectable_hr(60), np.random.default_rng(2)
    shown = []
    for _ in range(300):
        x = rng.normal(size=80)
        death = rng.exponential(np.exp(-np.log(hr) * x))
        last = np.sort(death)[59]  # followed until the 60th death
        shown.append(cox(x[:, None], np.minimum(death, last), death <= last).p[0] < 0.05)
    assert len(shown) == 300
    assert np.mean(shown) == pytest.approx(0.8, abs=0.07)


def test_more_tests_and_uneven_groups_need_larger_effects():
    assert detectable_hr(60, tests=40) > detectable_hr(60)
    assert detectable_hr(60, share=0.1) > detectable_hr(60, share=0.5) > detectable_hr(60)


def test_impossible_plans_are_refused():
    for bad in ({"c": 0.5}, {"lp_sd": 0.0}, {"event_fraction": 1.0}, {"risk": 0.0}):
        with pytest.raises(ConfigError):
            validation_size(**{"c": 0.7, "lp_sd": 1.0, "event_fraction": 0.5, "risk": 0.4, **bad})
    with pytest.raises(ConfigError):
        detectable_hr(0)
