"""Prediction errors computed for many resamples at once equal those computed for each resample."""

from __future__ import annotations

import numpy as np
import pytest

from pathosig.core.errors import NotEstimableError
from pathosig.survival import brier, decision_curve, default_tau, harrell_c, kaplan_meier, uno_c
from pathosig.survival.resampled import counts_of, resampled_benefit, resampled_c
from pathosig.validation.resampled import ResampledError, batches, multinomial


@pytest.mark.parametrize("ties", [False, True])
def test_every_resample_has_the_scores_of_its_patients(ties):
    rng = np.random.default_rng(0)
    time, event = rng.exponential(10, 80), rng.random(80) < 0.6
    if ties:
        time = np.ceil(time)
    times = np.array([3.0, 8.0])
    predicted = rng.random((80, 2))
    weights = multinomial(rng, 5, 80)
    model, null = ResampledError(predicted, time, event, times).scores(weights)
    for b in range(5):
        rows = np.repeat(np.arange(80), weights[b].astype(int))
        t, d = time[rows], event[rows]
        np.testing.assert_allclose(model[b], brier(predicted[rows], t, d, times=times))
        curve = kaplan_meier(t, d)
        level = np.concatenate([[1.0], curve.survival])[np.searchsorted(curve.time, times, side="right")]
        np.testing.assert_allclose(null[b], brier(level, t, d, times=times))


def test_resamples_come_in_batches_that_fit_and_draw_everybody_once_on_average():
    assert list(batches(1000, 10_000)) == [400, 400, 200]
    assert list(batches(0, 10)) == []
    drawn = multinomial(np.random.default_rng(1), 200, 30)
    assert (drawn.sum(axis=1) == 30).all()
    assert abs(drawn.mean(axis=0) - 1).max() < 0.3


def cohort(n, seed, *, ties=True):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(2, n)).round(1)
    time = rng.exponential(20 * np.exp(-scores[0]))
    return rng, scores, np.ceil(time) if ties else time, rng.random(n) < 0.6


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [4, 12, 60])
def test_every_resample_has_the_concordance_of_its_patients(n, ties):
    rng, scores, time, event = cohort(n, n, ties=ties)
    event[0] = True
    draws, tau = rng.integers(0, n, (60, n)), default_tau(time, n // 4)
    counts = counts_of(draws, n)
    harrell, uno = (resampled_c(scores, time, event, counts, tau=t) for t in (None, tau))
    for b, rows in enumerate(draws):
        for j, score in enumerate(scores):
            for value, index in ((harrell, harrell_c), (uno, lambda *a: uno_c(*a, tau=tau))):
                try:
                    expected = index(score[rows], time[rows], event[rows]).c
                except NotEstimableError:
                    expected = np.nan
                assert value[b, j] == pytest.approx(expected, abs=1e-13, nan_ok=True)
    assert np.isnan(harrell).any() == (n == 4)


def test_every_resample_has_the_net_benefit_of_its_patients():
    rng, scores, time, event = cohort(40, 5)
    risk, cuts = 1 / (1 + np.exp(-scores[0])), np.array([0.1, 0.5, 0.8, 0.95])
    draws = rng.integers(0, 40, (40, 40))
    benefits = resampled_benefit(risk, time, event, counts_of(draws, 40), horizon=15.0, thresholds=cuts)
    for rows, values in zip(draws, benefits, strict=True):
        curve = decision_curve(risk[rows], time[rows], event[rows], horizon=15.0, thresholds=cuts)
        np.testing.assert_allclose(values, curve.net_benefit["model"], atol=1e-13)
    assert np.isnan(benefits).any()
    assert np.isfinite(benefits).any()


def test_a_death_after_the_last_patient_drawn_was_censored_does_not_empty_the_resample():
    time, event = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, False, True])
    weights, predicted = np.array([[1.0, 2.0, 1.0, 0.0]]), np.full((4, 1), 0.6)
    model, _ = ResampledError(predicted, time, event, np.array([1.5])).scores(weights)
    rows = [0, 1, 1, 2]
    np.testing.assert_allclose(model[0], brier(predicted[rows], time[rows], event[rows], times=[1.5]))
