"""The censoring distribution, and inverse-probability-of-censoring weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from pathosig.core.errors import InputError
from pathosig.survival.data import as_events


def censoring_before(
    t: np.ndarray, d: np.ndarray, at: np.ndarray | None = None, *, entry: np.ndarray | None = None
) -> np.ndarray:
    """G(t-), the Kaplan-Meier estimate of censoring just before each time, float[n].

    Of tied times, events come before censorings (R's convention): a patient with an event at t is not at risk of being
    censored at t.

    Parameters
    ----------
    t, d
        float[n] times and bool[n] events.
    at
        float[m] times at which the estimate is wanted; by default the times of the patients.
    entry
        float[n] times of delayed entry.

    Returns
    -------
    float[n], or float[m] with `at`: probabilities.

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
    """Weights of deaths up to a horizon and of patients observed beyond it, float[n] each, with delayed entry.

    A death at t has the weight S(t-) / Y(t), the size of the step of the Kaplan-Meier estimate per death; a patient under
    observation just after the horizon h has the weight S(h) / Y(h+). Without delayed entry these are the usual weights
    1 / (n G), because S(t-) / Y(t) = 1 / (n G(t-)).

    Parameters
    ----------
    t, d
        float[n] times and bool[n] events.
    entry
        float[n] times of delayed entry, each less than its `t`.
    horizon
        A time in the same unit.

    Returns
    -------
    Two arrays float[n]: weights of deaths up to the horizon, and weights of patients observed beyond it. All of them
    together sum to 1.

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
    """Whether the follow-up of each patient ended with a competing event, bool[n]; all False for None.

    Parameters
    ----------
    competing
        [n] of 0/1 or booleans, or None.
    event, entry
        bool[n], and float[n] times of delayed entry or None; competing events cannot be combined with delayed entry.
    what
        Name of the calling function, for error messages.

    Returns
    -------
    bool[n].

    Raises
    ------
    InputError
        If lengths differ, a patient has both events, or `entry` is given.

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
            f"{what}: rows {both[:5].tolist()} have both the event and the competing event; expected at most one of them."
        )
    return other
