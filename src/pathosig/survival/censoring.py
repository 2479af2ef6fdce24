"""The censoring distribution, and the weights that make up for censored patients."""

from __future__ import annotations

from typing import Any

import numpy as np

from pathosig.core.errors import InputError
from pathosig.survival.data import as_events


def censoring_before(
    t: np.ndarray, d: np.ndarray, at: np.ndarray | None = None, *, entry: np.ndarray | None = None
) -> np.ndarray:
    """G(t-), the Kaplan-Meier estimate of censoring just before each time, float[n].

    A patient whose event ties with a censoring was still at risk of it (R's convention).

    Parameters
    ----------
    t, d
        float[n] times and bool[n] events.
    at
        float[m] times at which the estimate is wanted; the patients' own times without it.
    entry
        float[n] times of delayed entry.

    Returns
    -------
    float[n] or float[m] of probabilities.

    Examples
    --------
    >>> t, d = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, True])
    >>> censoring_before(t, d)
    array([1.        , 1.        , 0.66666667, 0.66666667])
    """
    grid, which = np.unique(t, return_inverse=True)
    which = which.ravel()
    deaths = np.bincount(which[d], minlength=len(grid))
    left = np.bincount(which[~d], minlength=len(grid))
    risk = _under_observation(grid, which, entry) - deaths
    with np.errstate(divide="ignore", invalid="ignore"):
        g = np.cumprod(np.where(left > 0, 1 - left / risk, 1.0))
    before = np.concatenate([[1.0], g])
    times = t if at is None else at
    return np.asarray(before[np.searchsorted(grid, times, side="left")])


def _under_observation(grid: np.ndarray, which: np.ndarray, entry: np.ndarray | None) -> np.ndarray:
    """Patients with entry < time <= exit at each time of the grid, int[m]."""
    risk = np.cumsum(np.bincount(which, minlength=len(grid))[::-1])[::-1]
    if entry is None:
        return np.asarray(risk)
    return np.asarray(risk - (len(entry) - np.searchsorted(np.sort(entry), grid, side="left")))


def truncation_weights(
    t: np.ndarray, d: np.ndarray, entry: np.ndarray, horizon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the deaths up to a horizon and of those observed beyond it, float[n] each, with delayed entry.

    A death at t stands for S(t-) / Y(t), the jump of the Kaplan-Meier estimate; somebody under observation just after
    the horizon h for S(h) / Y(h+). Without delayed entry these are the usual 1 / (n G): S(t-) / Y(t) = 1 / (n G(t-)).

    Parameters
    ----------
    t, d
        float[n] times and bool[n] events.
    entry
        float[n] times of delayed entry, each below its `t`.
    horizon
        A time in the same unit.

    Returns
    -------
    Two arrays of float[n]: weights of deaths up to the horizon, and of patients observed beyond it. They sum to 1
    together.

    Examples
    --------
    >>> t, d = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, True])
    >>> dead, alive = truncation_weights(t, d, np.zeros(4), 2.5)
    >>> dead, alive
    (array([0.25, 0.  , 0.  , 0.  ]), array([0.   , 0.   , 0.375, 0.375]))
    """
    grid, which = np.unique(t, return_inverse=True)
    which = which.ravel()
    risk = _under_observation(grid, which, entry).astype(float)
    deaths = np.bincount(which[d], minlength=len(grid))
    with np.errstate(divide="ignore", invalid="ignore"):
        survival = np.cumprod(np.where(risk > 0, 1 - deaths / risk, 1.0))
        jump = np.where(risk > 0, np.concatenate([[1.0], survival[:-1]]) / risk, 0.0)
    alive = (t > horizon) & (entry <= horizon)
    last = int(np.searchsorted(grid, horizon, side="right"))
    left = float(survival[last - 1]) if last else 1.0
    return np.where(d & (t <= horizon), jump[which], 0.0), alive * (left / max(int(alive.sum()), 1))


def competing_events(competing: Any, event: np.ndarray, entry: np.ndarray | None, *, what: str) -> np.ndarray:
    """Whether each patient's follow-up ended with a competing event, bool[n]; nobody's for None.

    Parameters
    ----------
    competing
        As the caller was given it.
    event, entry
        bool[n], and times of delayed entry, with which competing events cannot be weighed.
    what
        Name of the caller, for messages.

    Raises
    ------
    InputError
        If lengths differ, a patient has both events, or entry is delayed.

    Examples
    --------
    >>> competing_events([0, 1], np.array([True, False]), None, what="example").tolist()
    [False, True]
    """
    if competing is None:
        return np.zeros(len(event), bool)
    other = as_events(competing)
    if entry is not None:
        raise InputError(f"{what}: competing events are not supported with delayed entry.")
    if len(other) != len(event):
        raise InputError(f"{what}: competing has {len(other)} values for {len(event)} patients.")
    both = np.flatnonzero(other & event)
    if len(both):
        raise InputError(
            f"{what}: the event and the competing one in the same row, at rows {both[:5].tolist()}."
        )
    return other
