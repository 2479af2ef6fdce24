"""The permutation test of the largest of many statistics."""

import numpy as np
import pytest
from scipy import stats

from pathosig.core.errors import InputError
from pathosig.survival import logrank, max_test


def noise(seed, n=60, p=15):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, p)), rng.exponential(size=n), rng.random(n) < 0.7


def test_its_p_is_uniform_on_noise():
    p = np.array([max_test(*noise(seed), permutations=199).p for seed in range(150)])
    assert len(p) == 150
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.005 < (p <= 0.05).mean() < 0.11


def test_one_column_of_two_groups_is_a_permutation_log_rank_test():
    _, time, event = noise(3, n=80)
    group = (np.arange(80) % 2).astype(float)
    time = time * np.exp(-0.8 * group)
    found = max_test(group[:, None], time, event, permutations=4999)
    assert found.p == pytest.approx(logrank(time, event, group).p, abs=0.02)


def test_stratified_permutations_ignore_what_lies_between_strata():
    rng = np.random.default_rng(4)
    site = np.repeat([0, 1], 60)
    x = site[:, None] + 0.3 * rng.normal(size=(120, 6))
    time = rng.exponential(np.where(site == 1, 0.3, 2.0))
    event = np.ones(120, bool)
    assert max_test(x, time, event, permutations=499).p < 0.01
    assert max_test(x, time, event, strata=site, permutations=499).p > 0.05


def test_adjusted_p_follow_the_order_of_the_statistics_and_flat_columns_get_one():
    x, time, event = noise(5)
    x[:, 0] += 2 * (time < np.median(time))
    x[:, 1] = 7.0
    found = max_test(x, time, event, permutations=499)
    assert found.column == 0
    assert found.adjusted[0] == found.adjusted.min() == found.p
    assert found.adjusted[1] == 1.0


def test_missing_values_are_refused():
    x, time, event = noise(6)
    x[2, 3] = np.nan
    with pytest.raises(InputError):
        max_test(x, time, event)
