"""Elastic-net Cox regression along a path of penalties, with the objective of glmnet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pathosig.survival.data import as_columns, as_weights, fix_times, outcome
from pathosig.survival.groups import group_codes
from pathosig.survival.likelihood import loglik_derivatives
from pathosig.survival.risksets import RiskSets, risk_sets

_OUTER, _INNER = 30, 1000


@dataclass(frozen=True, kw_only=True)
class CoxPath:
    """Coefficients along a path of penalties.

    Attributes
    ----------
    names
        Names of the p columns.
    lambdas
        float[m] penalties, decreasing.
    coef
        float[m, p] on the scale of the data.
    loglik
        float[m]: log partial likelihood at each penalty.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(50, 3))
    >>> path = cox_path(x, rng.exponential(np.exp(-x[:, 1])), np.ones(50), n_lambda=5)
    >>> path.names, path.coef[-1].round(2)
    (('x1', 'x2', 'x3'), array([0.02, 1.33, 0.21]))
    """

    names: tuple[str, ...]
    lambdas: np.ndarray
    coef: np.ndarray
    loglik: np.ndarray


def cox_path(
    X: Any,
    time: Any,
    event: Any,
    *,
    l1_ratio: float = 1.0,
    lambdas: Any = None,
    n_lambda: int = 60,
    min_ratio: float = 0.05,
    standardize: bool = True,
    ties: str = "breslow",
    strata: Any = None,
    weights: Any = None,
    max_active: int | None = None,
) -> CoxPath:
    """Elastic-net Cox regression for a decreasing sequence of penalties, each started at the solution of the last.

    Minimises ``-loglik / n + lambda * (l1_ratio |b|_1 + (1 - l1_ratio) / 2 |b|^2)``. With `standardize`, columns are scaled
    to unit variance (divisor n) first, and coefficients are returned on the scale of the data.

    Parameters
    ----------
    X, time, event, strata, weights
        As in `cox`, without missing values.
    l1_ratio
        1 for the lasso, towards 0 for ridge; above 0.
    lambdas
        Decreasing penalties; by default `n_lambda` penalties, evenly spaced in the logarithm, from the smallest at which
        no column is selected down to `min_ratio` times it.
    n_lambda, min_ratio
        Number of default penalties, and the smallest as a proportion of the largest.
    standardize
        Whether the penalty acts on standardised columns.
    ties
        ``breslow`` or ``efron``.
    max_active
        The path ends once at least this many columns have a coefficient; None for no such limit.

    Returns
    -------
    CoxPath

    Raises
    ------
    NotEstimableError
        If there is no event.
    InputError
        E_TIME, E_EVENT, E_WEIGHT, E_GROUP, or if lengths differ.

    References
    ----------
    R: glmnet(family = "cox"), Breslow ties. Simon et al. (2011), J. Stat. Softw. 39(5).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(50, 3))
    >>> path = cox_path(x, rng.exponential(np.exp(-x[:, 1])), np.ones(50), n_lambda=5)
    >>> (path.coef != 0).astype(int)
    array([[0, 0, 0],
           [0, 1, 0],
           [0, 1, 0],
           [0, 1, 1],
           [1, 1, 1]])
    """
    x, names = as_columns(X)
    t, d, _ = outcome(time, event, rows=len(x), what="cox_path")
    w, stratum = as_weights(weights, len(t)), group_codes(strata, len(t), what="strata")
    sets = risk_sets(fix_times(t)[0], d, stratum=stratum, weight=w, entry=None, ties=ties)
    x = x[sets.order]
    total = sets.weight.sum()
    mean = sets.weight @ x / total
    scale = np.sqrt(sets.weight @ (x - mean) ** 2 / total) if standardize else np.ones(x.shape[1])
    varies = scale > 1e-12
    z = np.where(varies, (x - mean) / np.where(varies, scale, 1), 0.0)
    beta = np.zeros(x.shape[1])
    _, score, _ = loglik_derivatives(beta, z, sets)
    top = np.abs(score).max(initial=0.0) / total / max(l1_ratio, 1e-3)
    grid = (
        top * min_ratio ** (np.arange(n_lambda) / (n_lambda - 1))
        if lambdas is None
        else np.asarray(lambdas, float)
    )
    coefs, logliks = [], []
    for value in grid:
        beta, loglik = _solve(z, sets, float(value), l1_ratio, beta, total)
        coefs.append(beta / np.where(varies, scale, 1))
        logliks.append(loglik)
        if max_active is not None and np.count_nonzero(beta) >= max_active:
            break
    kept = len(coefs)
    return CoxPath(names=names, lambdas=grid[:kept], coef=np.array(coefs), loglik=np.array(logliks))


def elastic_net(x: np.ndarray, sets: RiskSets, penalty: float, l1_ratio: float) -> np.ndarray:
    """Elastic-net coefficients at one penalty, float[p]; columns are not standardised.

    Parameters
    ----------
    x
        float[n, p]; rows in the order of `sets`.
    sets
        From `risksets.risk_sets`.
    penalty
        Lambda of the objective in `cox_path`, above 0.
    l1_ratio
        1 for the lasso; above 0.

    Returns
    -------
    float[p].

    References
    ----------
    Simon et al. (2011), J. Stat. Softw. 39(5).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, ones, none = rng.normal(size=(50, 2)), np.ones(50), np.zeros(50, int)
    >>> time = rng.exponential(np.exp(-x[:, 1]))
    >>> sets = risk_sets(time, ones > 0, stratum=none, weight=ones, entry=None, ties="breslow")
    >>> elastic_net(x[sets.order], sets, 0.2, 1.0).round(2)
    array([0.  , 0.77])
    """
    total = sets.weight.sum()
    _, score, _ = loglik_derivatives(np.zeros(x.shape[1]), x, sets)
    top = np.abs(score).max(initial=0.0) / total / l1_ratio
    beta = np.zeros(x.shape[1])
    steps = np.geomspace(max(top, penalty), penalty, 20) if top > penalty else np.array([penalty])
    for value in steps:
        beta, _ = _solve(x, sets, float(value), l1_ratio, beta, total)
    return beta


def _solve(
    x: np.ndarray, sets: RiskSets, penalty: float, l1_ratio: float, beta: np.ndarray, total: float
) -> tuple[np.ndarray, float]:
    """Coefficients and log partial likelihood by proximal Newton steps, each solved by coordinate descent."""
    l1, l2 = penalty * l1_ratio, penalty * (1 - l1_ratio)

    def objective(b: np.ndarray, value: float) -> float:
        return -value / total + l1 * float(np.abs(b).sum()) + l2 / 2 * float(b @ b)

    loglik, score, info = loglik_derivatives(beta, x, sets)
    best = objective(beta, loglik)
    for _ in range(_OUTER):
        gradient, hessian = -score / total, info / total
        trial = _descend(gradient, hessian, beta, l1, l2)
        step = trial - beta
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
        size = 1.0
        while True:
            candidate = beta + size * step
            loglik_new, score_new, info_new = loglik_derivatives(candidate, x, sets)
            value = objective(candidate, loglik_new)
            if value <= best + 1e-14 or size < 1e-4:
                break
            size /= 2
        done = best - value < 1e-12 * (1 + abs(best))
        beta, best, loglik, score, info = candidate, value, loglik_new, score_new, info_new
        if done:
            break
    return beta, loglik


def _descend(gradient: np.ndarray, hessian: np.ndarray, beta: np.ndarray, l1: float, l2: float) -> np.ndarray:
    """Minimiser of the penalised quadratic model around `beta`, by coordinate descent over an active set."""
    new = beta.copy()
    slope = gradient.copy()  # gradient of the quadratic at `new`
    diagonal = np.diag(hessian).copy()
    active = (new != 0) | (np.abs(slope) > l1)
    active &= diagonal > 0
    for _ in range(20):
        for _ in range(_INNER):
            largest = 0.0
            for j in np.flatnonzero(active):
                old = new[j]
                raw = diagonal[j] * old - slope[j]
                value = np.sign(raw) * max(abs(raw) - l1, 0.0) / (diagonal[j] + l2)
                if value != old:
                    slope += hessian[:, j] * (value - old)
                    new[j] = value
                    largest = max(largest, abs(value - old) * np.sqrt(diagonal[j]))
            if largest < 1e-10:
                break
        wanting = (np.abs(slope) > l1 * (1 + 1e-9)) & ~active & (diagonal > 0)
        if not wanting.any():
            break
        active |= wanting
    return new
