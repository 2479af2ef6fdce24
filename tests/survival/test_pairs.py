"""Counting pairs digit by digit gives the same numbers as comparing every pair."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from pathosig.survival import harrell_c, uno_c
from pathosig.survival.censoring import censoring_before
from pathosig.survival.imputation import _nearest
from pathosig.survival.pairs import pairs_before


@pytest.mark.parametrize("seed", range(6))
def test_pairs_are_those_of_a_look_at_each_pair(seed):
    rng = np.random.default_rng(seed)
    score, later_score = rng.integers(0, 6, 23) / 2, rng.integers(0, 6, 31) / 2
    rank, later_rank = rng.integers(0, 9, 23), rng.integers(0, 9, 31)
    weight = rng.random(23)
    pairs = pairs_before(score, rank, weight, later_score, later_rank)
    before = rank[:, None] < later_rank
    lower = before & (later_score < score[:, None])
    same = before & (later_score == score[:, None])
    assert lower.any()
    assert same.any()
    np.testing.assert_array_equal(pairs.lower, lower.sum(1))
    np.testing.assert_array_equal(pairs.same, same.sum(1))
    np.testing.assert_array_equal(pairs.all, before.sum(1))
    np.testing.assert_allclose(pairs.later_lower, weight @ lower, atol=1e-12)
    np.testing.assert_allclose(pairs.later_same, weight @ same, atol=1e-12)
    np.testing.assert_allclose(pairs.later_all, weight @ before, atol=1e-12)


@pytest.mark.parametrize("late", [False, True])
def test_c_with_ties_and_delayed_entry_is_that_of_a_look_at_each_pair(late):
    rng = np.random.default_rng(3)
    time, event = np.ceil(rng.exponential(8, 80)), rng.random(80) < 0.6
    score = np.round(rng.normal(size=80), 1)
    entry = np.floor(time * rng.random(80) * 0.9) if late else np.full(80, -1.0)
    later = (time > time[:, None]) | ((time == time[:, None]) & ~event)
    later &= event[:, None] & (entry < time[:, None])
    won = np.where(score < score[:, None], 1.0, np.where(score == score[:, None], 0.5, 0.0))
    declared = entry if late else None
    expected = (later * won).sum() / later.sum()
    assert harrell_c(score, time, event, entry=declared).c == pytest.approx(expected, abs=1e-14)
    weight = 1 / censoring_before(time, event, entry=declared) ** 2
    later = later & (time <= 12)[:, None]
    expected = (weight[:, None] * later * won).sum() / (weight[:, None] * later).sum()
    assert uno_c(score, time, event, entry=declared, tau=12).c == pytest.approx(expected, abs=1e-13)


def test_ten_thousand_patients_are_not_looked_at_pair_by_pair():
    rng = np.random.default_rng(0)
    time, event = rng.exponential(10, 10_000), rng.random(10_000) < 0.6
    tracemalloc.start()
    try:
        assert uno_c(-time, time, event).c == 1.0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12e6  # 60 million pairs, even as bits, need 7.5 MB for each of three comparisons


@pytest.mark.parametrize(("n", "k"), [(3, 3), (7, 5), (12, 5), (300, 5)])
def test_donors_of_an_imputation_are_the_nearest_of_all(n, k):
    rng = np.random.default_rng(n)
    values, at = rng.normal(size=n), rng.normal(size=40) * 2
    expected = np.argsort(np.abs(at[:, None] - values), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(_nearest(values, at, k), expected)
