"""Discrimination: Harrell's and Uno's C, time-dependent AUC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import NotEstimableError
from pathosig.survival.censoring import censoring_before, competing_events, truncation_weights
from pathosig.survival.data import fix_times, outcome
from pathosig.survival.pairs import pairs_before


@dataclass(frozen=True, kw_only=True, slots=True)
class Concordance:
    """A C-index, 0 to 1; 0.5 is chance, and above it patients with higher scores have earlier events.

    Attributes
    ----------
    c, se, lower, upper
        Estimate, infinitesimal jackknife standard error and confidence interval.
    concordant, discordant, tied
        Weighted numbers of concordant and discordant pairs, and of pairs with the same score.
    tau
        Horizon, or None.
    n, n_events
        Patients used, and events among them.

    Examples
    --------
    >>> index = harrell_c([3, 1, 2, 4], [2, 3, 4, 5], [1, 1, 1, 0])
    >>> index.concordant, index.discordant, index.tied, round(index.c, 2)
    (2.0, 4.0, 0.0, 0.33)
    """

    c: float
    se: float
    lower: float
    upper: float
    concordant: float
    discordant: float
    tied: float
    tau: float | None
    n: int
    n_events: int


def harrell_c(
    score: Any,
    time: Any,
    event: Any,
    *,
    entry: Any = None,
    tau: float | None = None,
    conf_level: float = 0.95,
) -> Concordance:
    """Harrell's C of a risk score; higher scores mean higher risk.

    Parameters
    ----------
    score, time, event
        [n]; rows with a missing score are left out.
    entry
        [n] times of delayed entry. A patient who dies is compared with patients under observation at that time.
    tau
        Pairs whose earlier time is beyond `tau` are left out.
    conf_level
        Confidence level of the interval.

    Returns
    -------
    Concordance

    Raises
    ------
    NotEstimableError
        If no pair can be compared.
    InputError
        E_TIME, E_EVENT, or if lengths differ.

    References
    ----------
    R: survival::concordance(Surv(time, event) ~ score, reverse = TRUE).

    Examples
    --------
    >>> from pathosig.survival import harrell_c
    >>> harrell_c([3, 2, 1], [1, 2, 3], [True, True, False]).c
    1.0
    """
    s, t, d, start = _arrays(score, time, event, entry)
    return _concordance(s, t, d, start, np.ones(len(t)), tau, conf_level)


def uno_c(
    score: Any,
    time: Any,
    event: Any,
    *,
    entry: Any = None,
    tau: float | None = None,
    conf_level: float = 0.95,
) -> Concordance:
    """Uno's C, which weights pairs by 1/G(t-)^2, where G is the censoring distribution of the evaluated cohort.

    Parameters
    ----------
    score, time, event, entry
        As in `harrell_c`; with `entry`, G is estimated from patients under observation (R has no such option).
    tau
        Horizon; by default that of `default_tau`, the last time with at least 10 patients at risk.
    conf_level
        Confidence level of the interval.

    Returns
    -------
    Concordance
        Its `tau` is the horizon that was used.

    Raises
    ------
    NotEstimableError
        If no pair can be compared.
    InputError
        E_TIME, E_EVENT, or if lengths differ.

    References
    ----------
    R: survival::concordance(timewt = "n/G2"). Uno et al. (2011), Stat. Med. 30.

    Examples
    --------
    >>> score, time, event = [4, 1, 3, 2, 5], [2, 9, 4, 6, 3], [1, 0, 0, 1, 1]
    >>> round(uno_c(score, time, event, tau=9).c, 3), harrell_c(score, time, event).c
    (0.892, 0.875)
    """
    s, t, d, start = _arrays(score, time, event, entry)
    horizon = default_tau(t) if tau is None else tau
    return _concordance(s, t, d, start, 1 / censoring_before(t, d, entry=start) ** 2, horizon, conf_level)


def default_tau(time: Any, at_risk: int = 10) -> float:
    """The last time with at least `at_risk` patients at risk (the largest time in smaller cohorts).

    Parameters
    ----------
    time
        [n] observed times.
    at_risk
        Number of patients that must still be at risk.

    Returns
    -------
    A time in the unit of `time`.

    Examples
    --------
    >>> default_tau(range(1, 31))
    21.0
    """
    t = np.sort(np.asarray(time, float))
    return float(t[-at_risk]) if len(t) >= at_risk else float(t[-1])


def _arrays(
    score: Any, time: Any, event: Any, entry: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    s = np.asarray(score, float).ravel()
    t, d, start = outcome(time, event, entry=entry, rows=len(s), what="C-index")
    kept = np.isfinite(s)
    if start is None:
        return s[kept], fix_times(t[kept])[0], d[kept], None
    kept &= start < t
    fixed, late = fix_times(t[kept], start[kept])
    return s[kept], fixed, d[kept], late


def _concordance(
    s: np.ndarray,
    t: np.ndarray,
    d: np.ndarray,
    entry: np.ndarray | None,
    weight: np.ndarray,
    tau: float | None,
    level: float,
) -> Concordance:
    usable = d & (t <= tau) if tau is not None else d
    # A patient censored at the time of a death counts as longer-lived; two deaths at the same time are not compared.
    moment = np.unique(t, return_inverse=True)[1].ravel() * 2
    early, last = moment[usable], moment + ~d
    w = weight[usable]
    beaten = pairs_before(s[usable], early, w, s, last)
    if entry is not None:  # patients who entered later were not under observation
        begins = np.unique(np.concatenate([t[usable], entry]), return_inverse=True)[1].ravel() * 2
        deaths = len(w)
        beaten = beaten - pairs_before(s[usable], begins[:deaths], w, s, begins[deaths:] + 1)
    gain, pairs = beaten.later_lower + beaten.later_same / 2, beaten.later_all
    gain[usable] += w * (beaten.lower + beaten.same / 2)
    pairs[usable] += w * beaten.all
    up, same = float(w @ beaten.lower), float(w @ beaten.same)
    totals = np.array([up, float(w @ (beaten.all - beaten.lower - beaten.same)), same])
    count = totals.sum()
    if count == 0:
        raise NotEstimableError("C-index: no two patients can be compared, because there are too few events.")
    c = float((totals[0] + totals[2] / 2) / count)
    se = float(np.sqrt(np.sum(((gain - c * pairs) / count) ** 2)))
    z = stats.norm.ppf(0.5 + level / 2)
    return Concordance(
        c=c,
        se=se,
        lower=max(0.0, c - z * se),
        upper=min(1.0, c + z * se),
        concordant=float(totals[0]),
        discordant=float(totals[1]),
        tied=float(totals[2]),
        tau=tau,
        n=len(t),
        n_events=int(d.sum()),
    )


@dataclass(frozen=True, kw_only=True)
class TimeAuc:
    """Cumulative/dynamic AUC at several times.

    Attributes
    ----------
    times, auc, se, lower, upper
        float[m]: horizons, estimates, standard errors and confidence intervals; NaN at times without cases or controls.
    n_cases, n_controls, n_censored
        int[m]: patients with the event by each time, controls, and patients censored by then.

    Examples
    --------
    >>> curve = time_auc([4, 1, 3, 2, 5], [2, 9, 4, 6, 3], [1, 0, 0, 1, 1], times=[5, 7])
    >>> curve.to_frame()[["times", "auc", "n_cases", "n_controls"]]
       times  auc  n_cases  n_controls
    0    5.0  1.0        2           2
    1    7.0  1.0        3           1
    """

    times: np.ndarray
    auc: np.ndarray
    se: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    n_cases: np.ndarray
    n_controls: np.ndarray
    n_censored: np.ndarray

    def to_frame(self) -> pd.DataFrame:
        """One row per time."""
        return pd.DataFrame({name: getattr(self, name) for name in self.__dataclass_fields__})


def time_auc(
    score: Any,
    time: Any,
    event: Any,
    *,
    times: Any,
    entry: Any = None,
    competing: Any = None,
    conf_level: float = 0.95,
) -> TimeAuc:
    """Cumulative/dynamic AUC with inverse-probability-of-censoring weights (marginal Kaplan-Meier).

    Cases are patients with the event up to and including a horizon, controls are patients observed beyond it. As in
    riskRegression, an event exactly at the horizon is a case; timeROC counts only events before the horizon.

    With competing events, controls are all patients without the event by the horizon: those observed beyond it and those with
    a competing event (definition (ii) of Blanche et al., AUC_2 of timeROC).

    Parameters
    ----------
    score, time, event
        [n]; higher scores mean higher risk.
    times
        [m] horizons in the unit of time.
    entry
        [n] times of delayed entry. Weights are then those of `censoring.truncation_weights`, and the standard error treats
        them as known.
    competing
        [n]: whether the follow-up of each patient ended with a competing event.
    conf_level
        Confidence level of the intervals.

    Returns
    -------
    TimeAuc
        With one entry per horizon; NaN at a horizon without cases or without controls.

    Raises
    ------
    InputError
        E_TIME, E_EVENT, if lengths differ, a patient has both events, or `entry` and `competing` are both given.

    References
    ----------
    R: riskRegression::Score(metrics = "auc"), timeROC::timeROC(weighting = "marginal", iid = TRUE) away from ties.
    Blanche, Dartigues & Jacqmin-Gadda (2013), Stat. Med. 32.

    Examples
    --------
    >>> result = time_auc([4, 1, 3, 2, 5], [2, 9, 4, 6, 3], [1, 0, 0, 1, 1], times=[5, 7])
    >>> result.auc, result.n_cases, result.n_controls
    (array([1., 1.]), array([2, 3]), array([2, 1]))
    """
    s, t, d, start = _arrays(score, time, event, entry)
    other = competing_events(competing, d, start, what="time_auc")
    horizons = np.atleast_1d(np.asarray(times, float))
    rows = [_auc_at(s, t, d, other, h, start) for h in horizons]
    table = np.array([r[:2] for r in rows])
    counts = np.array([r[2:] for r in rows], int)
    z = stats.norm.ppf(0.5 + conf_level / 2)
    auc, se = table.T
    return TimeAuc(
        times=horizons,
        auc=auc,
        se=se,
        lower=np.clip(auc - z * se, 0, 1),
        upper=np.clip(auc + z * se, 0, 1),
        n_cases=counts[:, 0],
        n_controls=counts[:, 1],
        n_censored=counts[:, 2],
    )


def _auc_at(
    s: np.ndarray,
    t: np.ndarray,
    d: np.ndarray,
    other: np.ndarray,
    horizon: float,
    entry: np.ndarray | None,
) -> tuple[float, float, int, int, int]:
    ended = d | other
    case, control = d & (t <= horizon), (t > horizon) | other
    if entry is not None:
        control &= entry <= horizon
    numbers = (int(case.sum()), int(control.sum()), int((~ended & (t <= horizon)).sum()))
    if not case.any() or not control.any():
        return (np.nan, np.nan, *numbers)
    n = len(t)
    if entry is None:
        before = 1 / censoring_before(t, ended)
        w = np.where(case, before, 0.0)
        beyond = 1 / censoring_before(t, ended, np.array([np.nextafter(horizon, np.inf)]))[0]
        v = np.where(t > horizon, beyond, np.where(other, before, 0.0))
    else:
        w, v = truncation_weights(t, d, entry, horizon)
    beaten = _weight_below(s, s[control], v[control])  # for a case: weighted proportion of lower controls
    auc = float(np.sum(w * beaten) / np.sum(w))
    won = 1 - _weight_below(s, s[case], w[case])  # for a control: weighted proportion of higher cases
    influence = n * w / w.sum() * (beaten - auc) + n * v / v.sum() * (won - auc)
    if entry is None:
        share = w / w.sum() * (beaten - auc) + v / v.sum() * (won - auc)
        influence = influence + _censoring_influence(t, ended, share, horizon)
    return (auc, float(influence.std(ddof=1) / np.sqrt(n)), *numbers)  # n - 1, as timeROC


def _weight_below(s: np.ndarray, others: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """For each score, the weighted proportion of `others` below it, where ties count half: float[n]."""
    order = np.argsort(others)
    ranked, total = others[order], np.concatenate([[0.0], np.cumsum(weight[order])])
    sides = [total[np.searchsorted(ranked, s, side=side)] for side in ("left", "right")]
    return np.asarray((sides[0] + sides[1]) / 2 / total[-1])


def _censoring_influence(t: np.ndarray, ended: np.ndarray, share: np.ndarray, horizon: float) -> np.ndarray:
    """Contribution of the estimated censoring distribution to the influence of each patient on the AUC.

    All patients observed until a time are at risk of being censored at it (riskRegression's convention for ties).
    """
    n = len(t)
    grid, which = np.unique(t, return_inverse=True)
    which = which.ravel()
    left = np.bincount(which[~ended], minlength=len(grid)).astype(float)
    risk = np.cumsum(np.bincount(which, minlength=len(grid))[::-1])[::-1].astype(float)
    # total of the terms weighted by G(u-) with u after each grid time; terms of patients beyond the horizon depend on G(horizon)
    value = np.bincount(which, weights=share, minlength=len(grid))
    beyond = np.concatenate([np.cumsum(value[::-1])[::-1][1:], [0.0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        hazard = np.where(left > 0, left / risk, 0.0)
        jump = np.where((left > 0) & (grid <= horizon), beyond / risk, 0.0)
    compensator = np.cumsum(np.where(grid <= horizon, jump * hazard, 0.0))
    direct = np.where(~ended, jump[which], 0.0)
    return np.asarray(n * (direct - compensator[which]))
