"""C-indices and net benefit in many bootstrap resamples at once; a resample is given by how often each patient was drawn."""

from __future__ import annotations

import numpy as np

from pathosig.survival.data import fix_times

_CELLS = 4_000_000
"""Resamples x patients that are processed together."""


def counts_of(draws: np.ndarray, n: int) -> np.ndarray:
    """How often each patient was drawn in each resample, float[resamples, n].

    Parameters
    ----------
    draws
        int[resamples, m]: row numbers, from 0, of each resample.
    n
        Number of patients.

    Returns
    -------
    float[resamples, n]; each row sums to the number of draws.

    Examples
    --------
    >>> counts_of(np.array([[0, 2, 2], [1, 1, 1]]), 3)
    array([[1., 0., 2.],
           [0., 3., 0.]])
    """
    flat = draws + np.arange(len(draws))[:, None] * n
    return np.bincount(flat.ravel(), minlength=len(draws) * n).reshape(len(draws), n).astype(float)


def resampled_c(
    scores: np.ndarray, time: np.ndarray, event: np.ndarray, counts: np.ndarray, *, tau: float | None = None
) -> np.ndarray:
    """C of several scores in each resample, float[resamples, scores]; NaN where no two patients can be compared.

    Equals `harrell_c` of the drawn rows or, with `tau`, `uno_c`, whose weights are estimated again in each resample. The
    comparisons of all pairs of patients are stored, so that time and memory grow with the square of the number of patients.

    Parameters
    ----------
    scores
        float[scores, n], without missing values.
    time, event
        float[n] and bool[n].
    counts
        float[resamples, n], from `counts_of`.
    tau
        Horizon of Uno's C; None for Harrell's C.

    Returns
    -------
    float[resamples, scores], 0 to 1.

    Examples
    --------
    >>> time, event = np.array([1.0, 2.0, 3.0]), np.array([True, True, False])
    >>> resampled_c(np.array([[3.0, 1.0, 2.0]]), time, event, np.array([[1.0, 1, 1], [2.0, 0, 1], [0, 0, 3]])).ravel()
    array([0.66666667, 1.        ,        nan])
    """
    t = fix_times(time)[0]
    cases = np.flatnonzero(event if tau is None else event & (t <= tau))
    # A patient censored at the time of a death counts as longer-lived; two deaths at the same time are not compared.
    compared = (t[cases, None] < t) | ((t[cases, None] == t) & ~event)
    beaten = [compared * (0.5 * (s[cases, None] > s) + 0.5 * (s[cases, None] >= s)) for s in scores]
    out = np.empty((len(counts), len(scores)))
    block = max(1, _CELLS // max(len(t), 1))
    for begin in range(0, len(counts), block):
        part = slice(begin, begin + block)
        drawn = counts[part]
        weight = drawn[:, cases]
        if tau is not None:
            before = censoring_in(drawn, t, event)[:, cases]
            weight = np.where(weight > 0, weight / np.where(weight > 0, before, 1.0) ** 2, 0.0)
        pairs = (weight * (drawn @ compared.T)).sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            for j, won in enumerate(beaten):
                out[part, j] = (weight * (drawn @ won.T)).sum(1) / pairs
    return out


def censoring_in(counts: np.ndarray, t: np.ndarray, d: np.ndarray) -> np.ndarray:
    """G(t-) of `censoring_before` at the time of every patient in each resample, float[resamples, n].

    Parameters
    ----------
    counts
        float[resamples, n], from `counts_of`.
    t, d
        float[n] times and bool[n] events.

    Returns
    -------
    float[resamples, n], 0 to 1.

    Examples
    --------
    >>> t, d = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, True])
    >>> censoring_in(np.array([[1.0, 1, 1, 1], [0, 2, 0, 1]]), t, d).round(2)
    array([[1.  , 1.  , 0.67, 0.67],
           [1.  , 1.  , 0.33, 0.33]])
    """
    place, died, left, risk = _by_time(counts, t, d)
    kept = risk - died
    with np.errstate(divide="ignore", invalid="ignore"):
        g = np.cumprod(np.where(left > 0, 1 - left / kept, 1.0), axis=1)
    return np.hstack([np.ones((len(counts), 1)), g])[:, place]


def resampled_benefit(
    risk: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    counts: np.ndarray,
    *,
    horizon: float,
    thresholds: np.ndarray,
    competing: np.ndarray | None = None,
) -> np.ndarray:
    """Net benefit of one model in each resample, float[resamples, k], equal to `decision_curve` of the drawn rows.

    Parameters
    ----------
    risk
        float[n]: predicted probability of an event by the horizon.
    time, event, counts
        As in `resampled_c`.
    horizon
        In the unit of time.
    thresholds
        float[k] risks from 0 to below 1.
    competing
        bool[n]: whether follow-up ended with a competing event; `risk` is then a cumulative incidence.

    Returns
    -------
    float[resamples, k], at most 1.

    Examples
    --------
    >>> risk, time, event = np.array([0.8, 0.6, 0.4, 0.1]), np.array([1.0, 6, 2, 7]), np.array([True, False, True, False])
    >>> resampled_benefit(risk, time, event, np.ones((1, 4)), horizon=5, thresholds=np.array([0.2, 0.5])).round(3)
    array([[0.438, 0.   ]])
    """
    t = fix_times(time)[0]
    out = np.empty((len(counts), len(thresholds)))
    total = counts.sum(1)
    for j, cut in enumerate(thresholds):
        above = counts * (risk >= cut)
        _, died, _, at_risk = _by_time(above, t, event)
        early = np.unique(t) <= horizon
        ended = died if competing is None else died + _by_time(above, t, competing)[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.where(ended[:, early] > 0, 1 - ended[:, early] / at_risk[:, early], 1.0)
            happens = np.where(died[:, early] > 0, died[:, early] / at_risk[:, early], 0.0)
        left = np.cumprod(steps, axis=1)
        # Aalen-Johansen estimate: the sum of S(t-) d(t) / Y(t), which without a competing event is 1 - Kaplan-Meier
        rate = (np.hstack([np.ones((len(left), 1)), left[:, :-1]]) * happens).sum(axis=1)
        size = above.sum(1)
        followed = (above * (t >= horizon)).sum(1) > 0
        rate = np.where(size == 0, 0.0, np.where(followed, rate, np.nan))
        share = size / total
        out[:, j] = rate * share - (1 - rate) * share * (cut / (1 - cut))
    return out


def _by_time(
    counts: np.ndarray, t: np.ndarray, d: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Position of each patient's time among the distinct times, and deaths, censorings and numbers at risk at each of them."""
    grid, place = np.unique(t, return_inverse=True)
    place = place.ravel()
    order = np.argsort(place, kind="stable")
    first = np.searchsorted(place[order], np.arange(len(grid)))
    died, left = (np.add.reduceat((counts * kind)[:, order], first, axis=1) for kind in (d, ~d))
    risk = np.cumsum((died + left)[:, ::-1], axis=1)[:, ::-1]
    return place, died, left, risk
