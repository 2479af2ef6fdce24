"""Intervals of means over tiles: they hold the mean of the tissue, however its tiles hang together."""

import numpy as np
import pytest
from scipy import stats

from pathosig.profiles.tissue_sampling import MeanVariance, variance_of_mean

WEIGHTS = np.array([2.0, -1.5, 0.0, 0.0, 0.5])


def tissue(rng, side, patch):
    """Contributions of tiles in square patches, their places, and the mean of the tissue they come from."""
    shares = rng.dirichlet(np.full(5, 2.0))
    kinds = rng.choice(5, p=shares, size=(side // patch + 2, side // patch + 2))
    y, x = np.divmod(np.arange(side * side), side)
    off = rng.integers(patch, size=2)
    return (
        WEIGHTS[kinds[(y + off[0]) // patch, (x + off[1]) // patch]],
        224.0 * x,
        224.0 * y,
        WEIGHTS @ shares,
    )


@pytest.mark.parametrize(("patch", "side"), [(1, 20), (4, 14), (4, 32), (8, 40)])
def test_intervals_hold_the_mean_of_the_tissue(patch, side):
    rng = np.random.default_rng(patch)
    held = []
    for _ in range(150):
        values, x, y, mean = tissue(rng, side, patch)
        variance = variance_of_mean(values, x, y)
        held.append(abs(values.mean() - mean) <= variance.half_width())
    assert np.mean(held) >= 0.95 - 2.5 * np.sqrt(0.05 * 0.95 / 150)


def test_independent_tiles_get_the_textbook_interval():
    rng = np.random.default_rng(0)
    y, x = np.divmod(np.arange(1600), 40)
    values = rng.normal(size=1600)
    variance = variance_of_mean(values, x, y)
    assert variance.value == pytest.approx(values.var() / 1600, rel=0.25)
    assert variance.df > 100


def test_places_of_any_unit_origin_and_order_give_the_same_variance():
    rng = np.random.default_rng(1)
    values, x, y, _ = tissue(rng, 20, 4)
    order = rng.permutation(len(values))
    one = variance_of_mean(values, x, y)
    two = variance_of_mean(values[order], 7.5 + x[order] / 3, y[order] / 3 - 99)
    assert two.value == pytest.approx(one.value)
    assert two.df == pytest.approx(one.df)


def test_few_tiles_and_tiles_that_are_all_alike_tell_nothing():
    y, x = np.divmod(np.arange(64), 8)
    assert variance_of_mean(np.full(64, 0.3), x, y) is None
    assert variance_of_mean(np.arange(7.0), x[:7], y[:7]) is None


def test_slides_are_combined_as_satterthwaite_and_as_clusters_by_hand():
    parts = [MeanVariance(value=4.0, df=3.0), MeanVariance(value=1.0, df=9.0)]
    both = MeanVariance.of_weighted_sum(parts, [0.5, 0.5])
    assert both.value == pytest.approx(1.25)
    assert both.df == pytest.approx(1.25**2 / (1.0 / 3 + 0.25**2 / 9))
    cores = MeanVariance.between([1.0, 2.0, 6.0], [1 / 3] * 3)
    assert cores.value == pytest.approx(np.var([1.0, 2.0, 6.0], ddof=1) / 3)
    assert cores.half_width() == pytest.approx(stats.t.ppf(0.975, 2) * np.sqrt(cores.value))


def test_tiles_without_neighbours_at_odd_places_are_taken_as_they_are():
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0, 1e6, (2, 300))
    variance = variance_of_mean(rng.normal(size=300), x, y)
    assert variance.value == pytest.approx(1 / 300, rel=0.5)
