"""Overall error of predicted survival: Brier score and integrated Brier score."""

from __future__ import annotations

from typing import Any

import numpy as np

from pathosig.core.errors import InputError
from pathosig.survival.censoring import censoring_before, competing_events, truncation_weights
from pathosig.survival.data import outcome


def brier(
    prediction: Any, time: Any, event: Any, *, times: Any, entry: Any = None, competing: Any = None
) -> np.ndarray:
    """Brier score with inverse-probability-of-censoring weights, float[m].

    BS(h) = mean_i [ S_i(h)^2 1(t_i <= h, event) / G(t_i-) + (1 - S_i(h))^2 1(t_i > h) / G(h) ]

    With competing events, S is 1 - cumulative incidence, competing events add (1 - S_i(h))^2 1(t_i <= h) / G(t_i-), and only
    patients with neither event count as censored.

    Parameters
    ----------
    prediction
        float[n, m]: predicted survival at `times`, 0 to 1; or [m], the same prediction for all patients.
    time, event
        [n]: outcome in the evaluated cohort, whose own Kaplan-Meier estimate of censoring gives the weights.
    times
        [m] horizons in the unit of time.
    entry
        [n] times of delayed entry; weights are then those of `censoring.truncation_weights`.
    competing
        [n]: whether the follow-up of each patient ended with a competing event.

    Returns
    -------
    float[m]; 0 is perfect, and a constant prediction of one half scores 0.25 without censoring.

    Raises
    ------
    InputError
        If shapes do not match, a patient has both events, or `entry` and `competing` are both given.

    References
    ----------
    R: riskRegression::Score(metrics = "brier"). Graf et al. (1999), Stat. Med. 18.

    Examples
    --------
    >>> survival = [[0.9], [0.8], [0.1]]  # predicted at time 4
    >>> brier(survival, [5, 6, 1], [1, 0, 1], times=4).round(3)
    array([0.02])
    >>> brier([0.5], [5, 6, 1], [1, 0, 1], times=4)  # the same prediction for everybody
    array([0.25])
    >>> brier(survival, [5, 6, 1], [1, 0, 0], times=4, competing=[0, 0, 1]).round(3)
    array([0.287])
    """
    t, d, start = outcome(time, event, entry=entry, what="brier")
    other = competing_events(competing, d, start, what="brier")
    grid = np.atleast_1d(np.asarray(times, float))
    survival = np.asarray(prediction, float)
    if survival.ndim < 2:
        survival = np.broadcast_to(np.atleast_1d(survival), (len(t), len(grid)))
    if survival.shape != (len(t), len(grid)):
        raise InputError(f"brier: prediction is {survival.shape}; expected {(len(t), len(grid))}.")
    if start is not None:
        seen = start < t
        out = np.empty(len(grid))
        for j, horizon in enumerate(grid):
            dead, alive = truncation_weights(t[seen], d[seen], start[seen], horizon)
            s = survival[seen, j]
            out[j] = dead @ s**2 + alive @ (1 - s) ** 2
        return out
    ended = d | other
    dead_weight = np.where(ended, 1 / censoring_before(t, ended), 0.0)
    out = np.empty(len(grid))
    for j, horizon in enumerate(grid):
        after = censoring_before(t, ended, np.array([np.nextafter(horizon, np.inf)]))[0]
        died, gone = d & (t <= horizon), other & (t <= horizon)
        alive = t > horizon
        loss = np.where(died, survival[:, j] ** 2 * dead_weight, 0.0)
        loss = loss + np.where(gone, (1 - survival[:, j]) ** 2 * dead_weight, 0.0)
        if alive.any():
            loss = loss + np.where(alive, (1 - survival[:, j]) ** 2 / after, 0.0)
        out[j] = loss.mean()
    return out


def ibs(prediction: Any, time: Any, event: Any, *, times: Any, entry: Any = None) -> float:
    """Integrated Brier score: the Brier score averaged over a grid of times by the trapezoidal rule.

    Parameters
    ----------
    prediction, time, event, entry
        As in `brier`.
    times
        [m] the grid, increasing, m >= 2; report it with the result.

    Returns
    -------
    One number on the scale of `brier`: 0 is perfect.

    Raises
    ------
    InputError
        If the grid has fewer than two times.

    References
    ----------
    Graf et al. (1999), Stat. Med. 18. R: riskRegression::Score, averaged over the same times.

    Examples
    --------
    >>> curves = [[0.9, 0.8], [0.9, 0.9], [0.4, 0.1]]
    >>> round(ibs(curves, [5, 6, 3], [1, 0, 1], times=[2, 4]), 4)
    0.0733
    """
    grid = np.atleast_1d(np.asarray(times, float))
    if len(grid) < 2:
        raise InputError("ibs: the grid needs at least two times.")
    score = brier(prediction, time, event, times=grid, entry=entry)
    return float(np.trapezoid(score, grid) / (grid[-1] - grid[0]))
