"""Elastic-net Cox regression with a cross-validated penalty."""

from __future__ import annotations

from typing import Any

import numpy as np

from pathosig.survival.path import cox_path
from pathosig.survival.ridge import fold_of, partial_loglik


def cross_validated_net(
    x: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    *,
    l1_ratio: float = 1.0,
    folds: int = 5,
    seed: int = 0,
    groups: Any = None,
) -> tuple[np.ndarray, float]:
    """Coefficients[p] at the penalty with the best cross-validated partial likelihood, and that penalty.

    Parameters
    ----------
    x, time, event
        float[n, p], float[n] and bool[n], without missing values.
    l1_ratio
        Mixing of the penalties: 1 for the lasso, towards 0 for ridge; above 0.
    folds, seed
        Number of folds, and the seed of the random assignment to folds.
    groups
        [n] labels; rows with the same label stay in one fold.

    Returns
    -------
    Coefficients float[p] on the scale of the data, and the penalty on the scale of `cox_path`.

    Raises
    ------
    NotEstimableError
        If there is no event.

    References
    ----------
    Verweij PJM, van Houwelingen HC. Cross-validation in survival analysis. Stat Med 1993; 12: 2305.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(40, 3))
    >>> coef, penalty = cross_validated_net(x, rng.exponential(np.exp(-x[:, 0])), np.ones(40, bool), folds=3)
    >>> coef.round(2), round(penalty, 3)
    (array([0.79, 0.  , 0.  ]), 0.156)
    """
    full = cox_path(x, time, event, l1_ratio=l1_ratio, n_lambda=30, min_ratio=0.05)
    fold = fold_of(len(event), event, min(folds, int(event.sum())), np.random.default_rng(seed), groups)
    gain = np.zeros(len(full.lambdas))
    for k in np.unique(fold):
        train = fold != k
        path = cox_path(x[train], time[train], event[train], l1_ratio=l1_ratio, lambdas=full.lambdas)
        for j, beta in enumerate(path.coef):
            gain[j] += partial_loglik(x @ beta, time, event) - partial_loglik(
                x[train] @ beta, time[train], event[train]
            )
    best = int(np.argmax(gain))
    return full.coef[best], float(full.lambdas[best])
