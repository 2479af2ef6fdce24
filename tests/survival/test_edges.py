import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathosig.core.errors import InputError, NotEstimableError
from pathosig.survival import (
    cox,
    cox_univariate,
    firth_cox,
    harrell_c,
    kaplan_meier,
    logrank,
    max_selected_cutpoint,
    ph_test,
    rmst,
    time_auc,
)
from pathosig.survival.data import fix_times


def cohort(n=60, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    time = np.ceil(rng.exponential(10 * np.exp(-0.5 * x[:, 0])) * 4) / 4
    return x, time, rng.random(n) < 0.7


def test_times_that_differ_by_rounding_are_ties():
    (fixed,) = fix_times(np.array([1.0, 1.0 + 1e-12, 2.0]))
    assert fixed[0] == fixed[1] != fixed[2]


def test_rows_with_missing_values_are_left_out_and_counted():
    x, time, event = cohort()
    x[3, 0] = np.nan
    fit, without = cox(x, time, event), cox(np.delete(x, 3, 0), np.delete(time, 3), np.delete(event, 3))
    assert (fit.n, fit.n_missing) == (59, 1)
    np.testing.assert_allclose(fit.coef, without.coef)


def test_no_event_is_not_estimable_and_one_event_is_noted():
    x, time, event = cohort()
    with pytest.raises(NotEstimableError):
        cox(x, time, np.zeros(60, bool))
    one = np.zeros(60, bool)
    one[int(np.argsort(time)[20])] = True
    assert any("one event" in note for note in cox(x[:, :1], time, one).warnings)


def test_constant_and_repeated_columns_have_no_estimate():
    x, time, event = cohort()
    fit = cox(np.column_stack([x, np.ones(60), x[:, 0]]), time, event)
    assert np.isnan(fit.coef).tolist() == [False, False, True, True]
    np.testing.assert_allclose(fit.coef[:2], cox(x, time, event).coef, atol=1e-8)


def test_separation_is_flagged_and_firth_stays_finite():
    time = np.arange(1.0, 41.0)
    event = np.arange(40) < 15
    x = (np.arange(40) < 15).astype(float)
    assert any("separates" in note for note in cox(x, time, event).warnings)
    assert cox_univariate(x, time, event)["separated"].tolist() == [True]
    fit = firth_cox(x, time, event)
    assert np.isfinite(fit.coef).all()
    assert fit.coef[0] > 1


@pytest.mark.parametrize("time", [[-1.0, 2.0], [np.inf, 2.0]])
def test_impossible_times_are_refused(time):
    with pytest.raises(InputError) as caught:
        kaplan_meier(time, [True, False])
    assert caught.value.code == "E_TIME"


def test_events_other_than_zero_and_one_are_refused():
    with pytest.raises(InputError) as caught:
        kaplan_meier([1.0, 2.0], [1, 2])
    assert caught.value.code == "E_EVENT"


def test_time_zero_is_accepted():
    assert kaplan_meier([0.0, 1.0, 2.0], [True, True, False]).survival_at(0.0)[0] == pytest.approx(2 / 3)


def test_a_median_on_a_flat_part_is_its_midpoint():
    assert kaplan_meier([1.0, 2.0, 3.0, 4.0], [True] * 4).median[0] == 2.5


def test_ridge_shrinks_and_no_penalty_changes_nothing():
    x, time, event = cohort()
    plain, ridge = cox(x, time, event), cox(x, time, event, penalty=0.5)
    assert np.abs(ridge.coef).sum() < np.abs(plain.coef).sum()


def test_the_lasso_leaves_out_what_a_large_penalty_forbids():
    x, time, event = cohort()
    assert cox(x, time, event, penalty=10.0, l1_ratio=1.0).coef.tolist() == [0.0, 0.0]


def test_restricted_means_beyond_follow_up_are_refused():
    with pytest.raises(NotEstimableError):
        rmst([1.0, 2.0, 3.0], [True, True, False], tau=10)


def test_times_without_controls_give_no_auc():
    x, time, event = cohort()
    assert np.isnan(time_auc(x[:, 0], time, event, times=[1e6]).auc[0])


def test_a_permutation_p_knows_of_the_search():
    rng = np.random.default_rng(1)
    x, time, event = rng.normal(size=80), rng.exponential(size=80), np.ones(80, bool)
    found = max_selected_cutpoint(x, time, event, permutations=499)
    assert found.p > logrank(time, event, x > found.cutpoint).p


scores = st.lists(st.integers(-5, 5), min_size=8, max_size=30)


@settings(max_examples=40, deadline=None)
@given(scores, st.integers(0, 10_000))
def test_turning_the_score_round_mirrors_the_c_index(score, seed):
    rng = np.random.default_rng(seed)
    time, event = rng.integers(1, 9, len(score)).astype(float), rng.random(len(score)) < 0.7
    try:
        c = harrell_c(score, time, event)
    except NotEstimableError:
        return
    assert 0 <= c.c <= 1
    assert c.c + harrell_c(-np.array(score), time, event).c == pytest.approx(1)
    brute = [
        (0.5 if a == b else float(a > b))
        for i, a in enumerate(score)
        for j, b in enumerate(score)
        if event[i] and (time[i] < time[j] or (time[i] == time[j] and not event[j]))
    ]
    assert c.c == pytest.approx(np.mean(brute))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_log_rank_is_the_score_test_of_a_cox_model_without_ties(seed):
    rng = np.random.default_rng(seed)
    time, event, group = rng.exponential(size=30), rng.random(30) < 0.8, np.arange(30) % 2
    if not event.any():
        return
    assert logrank(time, event, group).statistic == pytest.approx(
        cox(group, time, event).score_test.statistic
    )


def test_two_events_leave_no_ph_test_but_no_error_either():
    fit = cox(np.array([0.3, -1.0, 0.5]), [1.0, 2.0, 3.0], [True, False, True])
    assert np.isnan(ph_test(fit).statistic[0])


def test_separation_by_a_rare_column_is_flagged_too():
    x, time, event = cohort()
    rare = np.zeros(60)
    rare[np.flatnonzero(~event)[-2:]] = 1
    fit = cox(np.column_stack([rare, x[:, 0]]), time, event)
    assert any("x1 separates" in note for note in fit.warnings)
    assert not any("x2 separates" in note for note in fit.warnings)
