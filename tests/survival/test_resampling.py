"""Fitting all resamples at once gives the models that are fitted one at a time."""

import numpy as np
import pytest

from pathosig.core.errors import InputError, NotEstimableError
from pathosig.survival import bootstrap_c, bootstrap_cox, cox, harrell_c


def cohort(n=70, seed=0, ties=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    time = np.ceil(rng.exponential(10 * np.exp(-0.5 * x[:, 0])) * ties) / ties
    return x, time, rng.random(n) < 0.7, rng.integers(0, n, (40, n))


def one_by_one(x, time, event, indices, ties):
    out = np.full((len(indices), x.shape[1]), np.nan)
    for row, chosen in enumerate(indices):
        try:
            out[row] = cox(x[chosen], time[chosen], event[chosen], ties=ties).coef
        except NotEstimableError:
            continue
    return out


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("grid", [1000, 4, 0.2])
def test_resamples_equal_single_models_with_few_and_many_ties(ties, grid):
    x, time, event, indices = cohort(ties=grid)
    found = bootstrap_cox(x, time, event, indices, ties=ties)
    np.testing.assert_allclose(found, one_by_one(x, time, event, indices, ties), rtol=1e-7, atol=1e-7)


def test_missing_rows_are_left_out_of_each_resample():
    x, time, event, indices = cohort()
    x[[3, 8], [0, 2]] = np.nan
    np.testing.assert_allclose(
        bootstrap_cox(x, time, event, indices), one_by_one(x, time, event, indices, "efron"), atol=1e-7
    )


def test_near_ties_are_ties():
    x, time, event, indices = cohort()
    near = time + np.where(np.arange(len(time)) % 2, 1e-11, 0)
    np.testing.assert_allclose(
        bootstrap_cox(x, near, event, indices), bootstrap_cox(x, time, event, indices), atol=1e-12
    )


def test_resamples_without_events_or_variation_have_no_estimate():
    x, time, event, indices = cohort()
    x[:, 2] = 0
    x[:2, 2] = 1
    quiet = np.flatnonzero(~event)
    indices[0] = quiet[np.arange(len(time)) % len(quiet)]
    found = bootstrap_cox(x, time, event, indices)
    theirs = one_by_one(x, time, event, indices, "efron")
    assert np.isnan(found[0]).all()
    assert np.isnan(found).tolist() == np.isnan(theirs).tolist()
    moderate = np.abs(theirs) < 10
    np.testing.assert_allclose(found[moderate], theirs[moderate], atol=1e-6)


def test_separated_resamples_get_what_a_single_model_gets():
    time, event = np.arange(1.0, 41.0), np.arange(40) < 15
    x = np.column_stack([event.astype(float), np.random.default_rng(0).normal(size=40)])
    indices = np.random.default_rng(1).integers(0, 40, (5, 40))
    np.testing.assert_array_equal(
        bootstrap_cox(x, time, event, indices), one_by_one(x, time, event, indices, "efron")
    )


def test_an_all_zero_column_does_not_disturb_the_others():
    x, time, event, indices = cohort()
    x[:, 1] = 0
    found = bootstrap_cox(x, time, event, indices)
    assert np.isnan(found[:, 1]).all()
    np.testing.assert_allclose(found[:, [0, 2]], bootstrap_cox(x[:, [0, 2]], time, event, indices), atol=1e-7)


def test_many_columns_and_no_event_at_all_are_taken():
    x, time, event, indices = cohort(n=120)
    wide = np.random.default_rng(2).normal(size=(120, 14))
    np.testing.assert_allclose(
        bootstrap_cox(wide, time, event, indices[:3]),
        one_by_one(wide, time, event, indices[:3], "efron"),
        atol=1e-7,
    )
    assert np.isnan(bootstrap_cox(x, time, np.zeros(120, bool), indices)).all()


def test_c_of_resamples_is_the_c_of_each():
    x, time, event, indices = cohort()
    found = bootstrap_c(x[:, 0], time, event, indices)
    assert found[3] == harrell_c(x[indices[3], 0], time[indices[3]], event[indices[3]]).c


@pytest.mark.parametrize("function", [bootstrap_c, bootstrap_cox])
def test_wrong_row_numbers_are_refused(function):
    x, time, event, indices = cohort()
    for bad in (indices + 1, indices - 1, indices[0]):
        with pytest.raises(InputError):
            function(x[:, 0], time, event, bad)
