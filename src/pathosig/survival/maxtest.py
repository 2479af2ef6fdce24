"""Permutation test of whether any of many columns is associated with survival."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pathosig.core.errors import InputError
from pathosig.survival.cutpoint import logrank_scores
from pathosig.survival.data import outcome
from pathosig.survival.groups import group_codes

_BLOCK = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class MaxTest:
    """The largest of many standardised statistics against its permutation distribution.

    Attributes
    ----------
    statistic
        Largest |Z|.
    column
        Position of the column with the largest statistic.
    p
        (1 + number of permutations that reach the statistic) / (1 + number of permutations).
    p_se
        Monte Carlo standard error of p.
    adjusted
        float[p]: step-down adjusted p-value of every column (Westfall and Young).
    permutations
        Number of permutations.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(60, 3))
    >>> test = max_test(x, np.exp(-x[:, 1]), np.ones(60, bool), permutations=99)
    >>> test.column, test.adjusted
    (1, array([0.45, 0.01, 0.45]))
    """

    statistic: float
    column: int
    p: float
    p_se: float
    adjusted: np.ndarray
    permutations: int


def max_test(
    X: Any, time: Any, event: Any, *, strata: Any = None, permutations: int = 9999, seed: int = 0
) -> MaxTest:
    """Permutation test of the largest log-rank score statistic among the columns.

    With log-rank scores a_i (event minus cumulative hazard), column x and its permutation variance within strata,

        Z_j = sum_i (x_ij - mean) a_i / sqrt( sum_strata sum (x_ij - mean)^2 sum (a_i - mean)^2 / (n_s - 1) ),

    and max_j |Z_j| is compared with its values when (time, event) are permuted among patients. The p-value tests the null
    hypothesis that no column is associated with survival, and is valid whichever columns are selected afterwards.

    Parameters
    ----------
    X
        [n, p] without missing values; a column without variation has the statistic 0.
    time, event
        [n].
    strata
        [n] labels of strata; patients are permuted within them.
    permutations, seed
        Number of permutations, and seed of their random order.

    Returns
    -------
    MaxTest

    Raises
    ------
    InputError
        E_TIME, E_EVENT, E_GROUP, if X has missing values, or if lengths differ.

    References
    ----------
    Westfall PH, Young SS. Resampling-Based Multiple Testing, 1993, algorithm 2.8.

    Examples
    --------
    >>> import numpy as np
    >>> from pathosig.survival import max_test
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(100, 20))
    >>> time = rng.exponential(np.exp(-x[:, 3]))
    >>> test = max_test(x, time, np.ones(100, bool), permutations=199)
    >>> test.column, test.p
    (3, 0.005)
    """
    x = np.asarray(X, float)
    t, d, _ = outcome(time, event, rows=len(x), what="max_test")
    if not np.isfinite(x).all():
        raise InputError("max_test: X has missing values; expected none.")
    stratum = group_codes(strata, len(t), what="strata")
    scores = logrank_scores(t, d)
    centred, variance = np.zeros_like(x), np.zeros(x.shape[1])
    rows = [np.flatnonzero(stratum == s) for s in np.unique(stratum)]
    for inside in rows:
        centred[inside] = x[inside] - x[inside].mean(0)
        spread = scores[inside] - scores[inside].mean()
        variance += (centred[inside] ** 2).sum(0) * (spread @ spread) / max(len(inside) - 1, 1)
    scale = np.where(variance > 1e-20, 1 / np.sqrt(np.maximum(variance, 1e-300)), 0.0)
    z = np.abs(scores @ centred) * scale
    order = np.argsort(-z, kind="stable")
    rng = np.random.default_rng(seed)
    reached, done = np.zeros(x.shape[1]), 0
    while done < permutations:
        size = min(_BLOCK, permutations - done)
        mixed = np.empty((size, len(t)))
        for inside in rows:
            mixed[:, inside] = rng.permuted(np.broadcast_to(scores[inside], (size, len(inside))), axis=1)
        null = (np.abs(mixed @ centred) * scale)[:, order]
        # largest statistic of each column and those ranked after it
        largest = np.maximum.accumulate(null[:, ::-1], axis=1)[:, ::-1]
        reached += (largest >= z[order] - 1e-12).sum(0)
        done += size
    stepped = np.maximum.accumulate((1 + reached) / (1 + permutations))
    adjusted = np.empty_like(stepped)
    adjusted[order] = stepped
    p = float(stepped[0]) if len(stepped) else 1.0
    return MaxTest(
        statistic=float(z.max(initial=0.0)),
        column=int(order[0]) if len(order) else -1,
        p=p,
        p_se=float(np.sqrt(p * (1 - p) / permutations)),
        adjusted=adjusted,
        permutations=permutations,
    )
