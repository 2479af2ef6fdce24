"""Prediction error of many resamples at once equals that of each resample by itself."""

from __future__ import annotations

import numpy as np
import pytest

from pathosig.survival import brier, kaplan_meier
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
