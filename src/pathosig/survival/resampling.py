"""Bootstrap of Cox models and C-indices on given resamples, so that results can be compared with R's on the same resamples."""

from __future__ import annotations

from typing import Any

import numpy as np

from pathosig.core.errors import InputError, NotEstimableError
from pathosig.survival.cox import cox
from pathosig.survival.data import as_columns, fix_times, outcome
from pathosig.survival.replicates import fit_replicates

_BATCHED_COLUMNS = 12
"""Above this number one model at a time is as fast: the cost of the batch grows with the square of the number of columns."""

_BLOCK = 256
"""Deaths that are compared with all patients at a time."""


def bootstrap_cox(X: Any, time: Any, event: Any, indices: Any, *, ties: str = "efron") -> np.ndarray:
    """Coefficients of a Cox model in each resample, float[resamples, p]; NaN where a resample has no event.

    Parameters
    ----------
    X, time, event
        As in `cox`.
    indices
        int[resamples, n]: row numbers from 0.
    ties
        ``efron`` or ``breslow``.

    Returns
    -------
    float[resamples, p] log hazard ratios.

    Raises
    ------
    InputError
        If `indices` is not a matrix of row numbers.

    References
    ----------
    R: coxph(..., data[i, ]) in a loop over resamples. Here all resamples are fitted together, and those that do not
    converge are fitted again by `cox`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, time = rng.normal(size=30), rng.exponential(size=30)
    >>> bootstrap_cox(x, time, np.ones(30), rng.integers(0, 30, (3, 30))).ravel().round(2)
    array([ 0.32,  0.51, -0.02])
    """
    x, _ = as_columns(X)
    t, d, _ = outcome(time, event, rows=len(x), what="bootstrap_cox")
    draws = _checked(indices, len(t), "bootstrap_cox")
    rows = np.flatnonzero(np.isfinite(x).all(axis=1))
    out = np.full((len(draws), x.shape[1]), np.nan)
    converged = np.zeros(len(draws), bool)
    if x.shape[1] and d[rows].any() and x.shape[1] <= _BATCHED_COLUMNS:
        counts = np.stack([np.bincount(chosen, minlength=len(t)) for chosen in draws])[:, rows]
        out, converged = fit_replicates(x[rows], fix_times(t[rows])[0], d[rows], counts, ties=ties)
    for row in np.flatnonzero(~converged):  # separation, no event or a constant column: fitted one by one
        chosen = draws[row]
        try:
            out[row] = cox(x[chosen], t[chosen], d[chosen], ties=ties).coef  # type: ignore[arg-type]
        except NotEstimableError:
            out[row] = np.nan
    return out


def _checked(indices: Any, n: int, what: str) -> np.ndarray:
    draws = np.asarray(indices)
    if draws.ndim != 2 or draws.min(initial=0) < 0 or draws.max(initial=0) >= n:
        raise InputError(f"{what}: indices {draws.shape}; expected int[resamples, n] of rows 0..{n - 1}.")
    return draws


def bootstrap_c(score: Any, time: Any, event: Any, indices: Any) -> np.ndarray:
    """Harrell's C of a fixed score in each resample, float[resamples]; NaN where a resample has no comparable pairs.

    Parameters
    ----------
    score, time, event
        [n]; higher scores mean higher risk.
    indices
        int[resamples, n]: row numbers from 0.

    Returns
    -------
    float[resamples] in 0..1.

    Raises
    ------
    InputError
        If `indices` is not a matrix of row numbers.

    References
    ----------
    R: survival::concordance of the drawn rows.

    Examples
    --------
    >>> bootstrap_c([3, 1, 2], [1, 3, 2], [1, 1, 1], [[0, 1, 2], [0, 0, 1], [1, 1, 1]])
    array([ 1.,  1., nan])
    """
    s = np.asarray(score, float)
    t, d, _ = outcome(time, event, rows=len(s), what="bootstrap_c")
    draws = _checked(indices, len(t), "bootstrap_c")
    scored = np.isfinite(s)
    times = np.array([np.bincount(row, minlength=len(t)) for row in draws], float)
    drawn = times.reshape(len(draws), len(t))[:, scored]
    s, d, t = s[scored], d[scored], fix_times(t[scored])[0]
    # How often each patient is drawn weighs the pairs of all patients, which are compared once: blocks of deaths by all others.
    concordant, compared = np.zeros((2, len(draws)))
    for deaths in np.array_split(np.flatnonzero(d), -(-d.sum() // _BLOCK) or 1):
        is_longer = (t > t[deaths, None]) | ((t == t[deaths, None]) & ~d)
        beaten = is_longer * ((s < s[deaths, None]) + (s == s[deaths, None]) / 2)
        concordant += np.sum(drawn[:, deaths] * (drawn @ beaten.T), axis=1)
        compared += np.sum(drawn[:, deaths] * (drawn @ is_longer.T), axis=1)
    return np.divide(concordant, compared, out=np.full(len(draws), np.nan), where=compared > 0)
