"""Stacking: weights with which the scores of several models are added."""

from __future__ import annotations

import numpy as np

from pathosig.survival.cox import cox
from pathosig.survival.ridge import partial_loglik

_LEAST = 0.5


def stack_weights(left_out: np.ndarray, time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Non-negative weight of each model, float[m], by Cox regression of the outcome on their out-of-fold scores.

    Because each score was computed without its own patient, the weighted sum is calibrated too: its slope in new
    patients is near 1. Models with a negative weight are dropped and the weights of the others are estimated again.

    Parameters
    ----------
    left_out
        float[n, m]: score of each patient by each model, fitted without that patient.
    time, event
        float[n] and bool[n]: outcome of the same patients.

    Returns
    -------
    float[m]; 0 for models that are dropped or whose scores do not vary.

    References
    ----------
    Breiman L. Stacked regressions. Mach Learn 1996; 24: 49.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> risk = rng.normal(size=400)
    >>> time = rng.exponential(np.exp(-risk))
    >>> weights = stack_weights(np.column_stack([2 * risk, rng.normal(size=400)]), time, np.ones(400, bool))
    >>> bool(0.4 < weights[0] < 0.6 and 0 <= weights[1] < 0.2)
    True
    """
    out = np.zeros(left_out.shape[1])
    kept = [j for j in range(left_out.shape[1]) if np.ptp(left_out[:, j]) > 0]
    while kept:
        coef = np.nan_to_num(cox(left_out[:, kept], time, event).coef)
        if (coef >= 0).all():
            out[kept] = coef
            break
        kept = [j for j, b in zip(kept, coef, strict=True) if b > 0]
    return out


def stack_shrinkage(left_out: np.ndarray, weights: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    """Shrinkage factor, .5 to 1, of a weighted sum of models whose weights were estimated.

    It is (L - m) / L, where L is the likelihood ratio statistic of the weighted sum of out-of-fold scores and m is the number of
    models with a weight above 0.

    Parameters
    ----------
    left_out, time, event
        As for `stack_weights`.
    weights
        float[m], as `stack_weights` returns them.

    Returns
    -------
    The factor; .5 if the likelihood ratio statistic is not above 0.

    References
    ----------
    Van Houwelingen JC, Le Cessie S. Predictive value of statistical models. Stat Med 1990; 9: 1303.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> risk = rng.normal(size=60)
    >>> time, event = rng.exponential(np.exp(-0.5 * risk)), np.ones(60, bool)
    >>> round(stack_shrinkage(risk[:, None], np.array([0.5]), time, event), 2)
    0.88
    """
    ratio = 2 * (
        partial_loglik(left_out @ weights, time, event) - partial_loglik(np.zeros(len(time)), time, event)
    )
    return float(max(_LEAST, (ratio - np.count_nonzero(weights)) / ratio)) if ratio > 0 else _LEAST
