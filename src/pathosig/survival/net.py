"""Elastic net with a cross-validated penalty."""

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
        float[n, p] without missing values, and the outcome.
    l1_ratio
        1 for the lasso.
    folds, seed
        Number of folds, and the seed of their draw.
    groups
        Labels whose rows stay in one fold.

    Returns
    -------
    float[p] and the penalty.

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
