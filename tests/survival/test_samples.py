"""Samples computed together agree with the likelihood, the optimisation and the Cox model of one sample at a time."""

import numpy as np
import pytest

from pathosig.core.errors import NotEstimableError
from pathosig.survival import cox
from pathosig.survival.data import fix_times
from pathosig.survival.likelihood import loglik_derivatives
from pathosig.survival.ridge import Likelihood, fold_of, ridge_fit, ridge_fits
from pathosig.survival.risksets import risk_sets
from pathosig.survival.samples import Likelihoods, samples_of


def patients(n, p, *, ties, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    time, event = rng.exponential(20 * np.exp(-0.5 * x[:, 0])), rng.random(n) < 0.6
    return x, np.ceil(time / 4) if ties else time, event


def one_by_one(time, event):
    n = len(time)
    return risk_sets(
        fix_times(time)[0], event, stratum=np.zeros(n, int), weight=np.ones(n), entry=None, ties="efron"
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("columns", [1, 4, 300])  # the last is computed sample by sample
def test_derivatives_are_those_of_each_sample_alone(ties, columns):
    x, time, event = patients(90, columns, ties=ties)
    rng = np.random.default_rng(1)
    rows = [rng.choice(90, size, replace=ties) for size in (90, 61, 30)]
    samples = samples_of(time, event, rows)
    beta = rng.normal(0, 0.3, (3, columns))
    inside = x[samples.rows] * samples.valid[:, :, None]
    value, gradient, information = Likelihoods(samples).derivatives(beta, inside)
    for i, members in enumerate(rows):
        sets = one_by_one(time[members], event[members])
        expected = loglik_derivatives(beta[i], x[members][sets.order], sets)
        assert value[i] == pytest.approx(expected[0], abs=1e-10)
        np.testing.assert_allclose(gradient[i], expected[1], atol=1e-10)
        np.testing.assert_allclose(information[i], expected[2], atol=1e-10)
    scores = np.array([x @ b for b in beta])
    np.testing.assert_allclose(Likelihoods(samples).values(scores), value, atol=1e-10)


@pytest.mark.parametrize("ties", [False, True])
def test_ridge_is_the_penalised_cox_model_at_the_penalty_of_the_best_cross_validated_likelihood(ties):
    x, time, event = patients(80, 5, ties=ties, seed=3)
    fit = ridge_fit(x, time, event, seed=4)
    z = (x - x.mean(0)) / x.std(0)
    alone = cox(z, time, event, penalty=fit.penalty)
    np.testing.assert_allclose(fit.coef * x.std(0), alone.coef, atol=1e-8)
    fold = fold_of(80, event, 5, np.random.default_rng(4))
    gain = {}
    for penalty in (1.0, 0.1, fit.penalty):
        gain[penalty] = 0.0
        for k in range(5):
            train = fold != k
            score = z @ cox(z[train], time[train], event[train], penalty=penalty).coef
            inner = Likelihood(time[train], event[train])
            gain[penalty] += Likelihood(time, event).of(score) - inner.of(score[train])
            gain[penalty] -= Likelihood(time, event).of(0 * score) - inner.of(0 * score[train])
            if penalty == fit.penalty:
                change = fit.left_out[~train] - score[~train]
                np.testing.assert_allclose(change, change[0], atol=1e-7)
    assert gain[fit.penalty] == pytest.approx(fit.gain, abs=1e-6)
    assert gain[fit.penalty] == max(gain.values())


def test_designs_fitted_together_are_those_fitted_alone():
    x, time, event = patients(120, 140, ties=True, seed=5)
    rng = np.random.default_rng(6)
    drawn = rng.integers(0, 120, 120)
    designs = [part[drawn] for part in (x[:, :3], x, x[:, 5:25], x[:, :1])]
    together = ridge_fits(designs, time[drawn], event[drawn], groups=drawn)
    for design, fit in zip(designs, together, strict=True):
        alone = ridge_fit(design, time[drawn], event[drawn], groups=drawn)
        assert fit.penalty == alone.penalty
        np.testing.assert_allclose(fit.coef, alone.coef, atol=1e-12)
        np.testing.assert_allclose(fit.left_out, alone.left_out, atol=1e-12)


def test_a_sample_without_event_is_refused():
    with pytest.raises(NotEstimableError, match="no event"):
        samples_of(np.arange(4.0), np.array([True, False, False, False]), [np.arange(4), np.arange(1, 4)])
