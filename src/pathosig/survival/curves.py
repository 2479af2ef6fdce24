"""Kaplan-Meier curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import ConfigError
from pathosig.survival.data import as_events, as_weights, fix_times, outcome


@dataclass(frozen=True, kw_only=True)
class KaplanMeier:
    """A Kaplan-Meier curve.

    Attributes
    ----------
    time
        float[m]: all distinct times of events and censorings.
    n_risk, n_event, n_censor
        [m]: number at risk, events and censorings at each time.
    survival, lower, upper
        float[m]: estimate from each time until the next, and its pointwise confidence interval.
    std_err
        float[m]: Greenwood's standard error of log survival; with fractional weights the robust standard error of survival.
    n
        Number of patients.
    conf_type, conf_level
        Scale and level of the confidence intervals.
    entry_times, exit_times
        float[n] of each patient, only with delayed entry.

    Examples
    --------
    >>> curve = kaplan_meier([1, 2, 3, 4, 5], [1, 0, 1, 1, 0])
    >>> curve.median[0], curve.at_risk([0, 3]), round(curve.survival_at(3)[0], 3)
    (4.0, array([5, 3]), 0.533)
    """

    time: np.ndarray
    n_risk: np.ndarray
    n_event: np.ndarray
    n_censor: np.ndarray
    survival: np.ndarray
    std_err: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    n: int
    conf_type: str
    conf_level: float
    entry_times: np.ndarray | None = None
    exit_times: np.ndarray | None = None

    def survival_at(self, t: Any) -> Any:
        """Estimate, and lower and upper end of its confidence interval, at a time or at several times."""
        index = np.searchsorted(self.time, np.asarray(t, float), side="right")
        values = [np.concatenate([[1.0], v])[index] for v in (self.survival, self.lower, self.upper)]
        return tuple(float(v) if np.ndim(t) == 0 else v for v in values)

    def quantile(self, q: float) -> tuple[float, float, float]:
        """Time at which survival decreases to 1 - q, with its confidence interval; inf if it never does.

        If the curve is flat at exactly 1 - q, this is the midpoint of the flat part, as in R.
        """
        target = 1 - q
        return tuple(self._crossing(v, target) for v in (self.survival, self.lower, self.upper))  # type: ignore[return-value]

    def _crossing(self, curve: np.ndarray, target: float) -> float:
        steps = self.n_event > 0
        tolerance = np.sqrt(np.finfo(float).eps)
        finite = np.isfinite(curve)
        below = finite & (curve < target + tolerance)
        if not below.any():
            return float("inf")
        first = int(np.argmax(below))
        if abs(curve[first] - target) < tolerance:
            later = np.flatnonzero(finite & steps & (curve < target - tolerance))
            later = later[later > first]
            return (
                float((self.time[first] + self.time[later[0]]) / 2) if len(later) else float(self.time[first])
            )
        return float(self.time[first])

    @property
    def median(self) -> tuple[float, float, float]:
        """Median survival time with its confidence interval; inf if it is not reached."""
        return self.quantile(0.5)

    def at_risk(self, t: Any) -> Any:
        """Number at risk just before a time, or before several times."""
        times = np.asarray(t, float)
        if self.entry_times is not None and self.exit_times is not None:
            inside = (self.entry_times[:, None] < times.ravel()) & (self.exit_times[:, None] >= times.ravel())
            counts = inside.sum(axis=0).reshape(times.shape)
        else:
            index = np.searchsorted(self.time, times, side="left")
            counts = np.concatenate([self.n_risk, [0]])[index]
        return int(counts) if np.ndim(t) == 0 else counts

    def to_frame(self) -> pd.DataFrame:
        """One row per time."""
        names = ("time", "n_risk", "n_event", "n_censor", "survival", "lower", "upper")
        return pd.DataFrame({name: getattr(self, name) for name in names})


def kaplan_meier(
    time: Any,
    event: Any,
    *,
    conf_type: Literal["log", "log-log", "plain"] = "log",
    groups: Any = None,
    entry: Any = None,
    conf_level: float = 0.95,
    weights: Any = None,
) -> Any:
    """Kaplan-Meier estimate of survival with Greenwood confidence intervals.

    Parameters
    ----------
    time, event
        [n] times >= 0 in any unit, and events: True or 1 if it happened, False or 0 if the patient was censored.
    conf_type
        Scale of the confidence intervals: ``log`` (R's default), ``log-log`` (as in R, there is no interval before the first
        event) or ``plain``.
    groups
        [n] labels. If given, there is a curve for each group; rows with a missing label are left out.
    entry
        [n] times of delayed entry.
    conf_level
        Confidence level of the pointwise intervals.
    weights
        [n] case weights >= 0. As in R, standard errors are robust (infinitesimal jackknife) if a weight is not a whole
        number.

    Returns
    -------
    KaplanMeier, or a dict of them by group label if `groups` is given

    Raises
    ------
    ConfigError
        If `conf_type` is unknown.
    InputError
        E_TIME, E_EVENT, E_WEIGHT, or if lengths differ.

    References
    ----------
    R: survival::survfit.

    Examples
    --------
    >>> curve = kaplan_meier([1, 2, 3, 4, 5], [1, 0, 1, 1, 0])
    >>> curve.to_frame()[["time", "n_risk", "n_event", "survival"]]
       time  n_risk  n_event  survival
    0   1.0       5        1  0.800000
    1   2.0       4        0  0.800000
    2   3.0       3        1  0.533333
    3   4.0       2        1  0.266667
    4   5.0       1        0  0.266667
    >>> estimate, lower, upper = curve.survival_at(3.5)
    >>> round(estimate, 3), round(lower, 3), round(upper, 3)
    (0.533, 0.214, 1.0)
    >>> curve.median[0]
    4.0
    """
    if conf_type not in ("log", "log-log", "plain"):
        raise ConfigError(f"kaplan_meier: conf_type {conf_type!r}; expected log, log-log or plain.")
    t, d, start = outcome(time, event, entry=entry, what="kaplan_meier")
    w = as_weights(weights, len(t))
    if groups is None:
        return _one_curve(t, d, start, w, conf_type, conf_level)
    labels = np.asarray(groups)
    present = [g for g in sorted_labels(labels)]
    return {
        g: _one_curve(
            t[labels == g],
            d[labels == g],
            None if start is None else start[labels == g],
            w[labels == g],
            conf_type,
            conf_level,
        )
        for g in present
    }


def sorted_labels(labels: np.ndarray) -> list[Any]:
    """Distinct labels, sorted; missing ones are left out.

    Parameters
    ----------
    labels
        [n] numbers or text; None and NaN count as missing.

    Returns
    -------
    The labels, in ascending order.

    Examples
    --------
    >>> sorted_labels(np.array(["high", None, "low", "high"], dtype=object))
    ['high', 'low']
    """
    present = [v for v in labels.tolist() if v is not None and v == v]
    return sorted(set(present), key=lambda v: (str(type(v)), v))


def _one_curve(
    t: np.ndarray, d: np.ndarray, start: np.ndarray | None, w: np.ndarray, conf_type: str, level: float
) -> KaplanMeier:
    kept = w > 0
    if start is not None:
        kept &= start < t
        start = start[kept]
    t, d, w = t[kept], d[kept], w[kept]
    if start is None:
        (t,) = fix_times(t)
    else:
        t, start = fix_times(t, start)
    grid, which = np.unique(t, return_inverse=True)
    which = which.ravel()
    deaths = np.bincount(which[d], weights=w[d], minlength=len(grid))
    left = np.bincount(which[~d], weights=w[~d], minlength=len(grid))
    risk = np.cumsum((deaths + left)[::-1])[::-1].astype(float)
    if start is not None:
        order = np.argsort(start)
        total = np.concatenate([[0.0], np.cumsum(w[order])])
        risk = risk - (total[-1] - total[np.searchsorted(start[order], grid, side="left")])
    with np.errstate(divide="ignore", invalid="ignore"):
        hazard = np.where(risk > 0, deaths / risk, 0.0)
        survival = np.cumprod(1 - hazard)
        variance = np.cumsum(np.where(deaths > 0, deaths / (risk * (risk - deaths)), 0.0))
    robust = bool((w % 1 != 0).any())
    se = np.sqrt(variance)
    if robust:
        se = _jackknife(t, d, start, w, grid, hazard, risk, survival)
    lower, upper = _limits(survival, se, conf_type, level)
    if robust:  # R gives the standard error of S itself here, not of log S
        with np.errstate(invalid="ignore"):
            se = np.where(survival > 0, se * survival, 0.0)
    return KaplanMeier(
        time=grid,
        n_risk=_whole(risk),
        n_event=_whole(deaths),
        n_censor=_whole(left),
        survival=survival,
        std_err=se,
        lower=lower,
        upper=upper,
        n=len(t),
        conf_type=conf_type,
        conf_level=level,
        entry_times=start,
        exit_times=None if start is None else t,
    )


def _jackknife(
    t: np.ndarray,
    d: np.ndarray,
    start: np.ndarray | None,
    w: np.ndarray,
    grid: np.ndarray,
    hazard: np.ndarray,
    risk: np.ndarray,
    survival: np.ndarray,
) -> np.ndarray:
    """Robust standard error of log S at each time, float[m].

    With dN_i and Y_i of patient i, d log S(t) / d w_i = -sum_{s <= t} (dN_i(s) - Y_i(s) h(s)) / (R(s) (1 - h(s))). The variance
    is the sum over patients of (w_i d log S / d w_i)^2; it is infinite once S = 0, because 0 has no logarithm.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = np.where((risk > 0) & (hazard < 1), 1 / (risk * (1 - hazard)), 0.0)
    drift = np.concatenate([[0.0], np.cumsum(hazard * unit)])
    place = np.searchsorted(grid, t)
    begin = np.zeros(len(t), int) if start is None else np.searchsorted(grid, start, side="right")
    total = np.zeros(len(grid))
    for i in range(len(t)):  # one row at a time, because an n x m matrix would be too large for large cohorts
        influence = drift[np.clip(np.arange(1, len(grid) + 1), begin[i], place[i] + 1)] - drift[begin[i]]
        if d[i]:
            influence[place[i] :] -= unit[place[i]]
        total += (w[i] * influence) ** 2
    return np.asarray(np.where(survival > 0, np.sqrt(total), np.inf))


def _whole(values: np.ndarray) -> np.ndarray:
    rounded = np.rint(values)
    return rounded.astype(int) if np.allclose(values, rounded) else values


def _limits(s: np.ndarray, se: np.ndarray, conf_type: str, level: float) -> tuple[np.ndarray, np.ndarray]:
    z = stats.norm.ppf(0.5 + level / 2)
    with np.errstate(all="ignore"):
        if conf_type == "plain":
            lower, upper = s - z * se * s, s + z * se * s
        elif conf_type == "log":
            lower, upper = s * np.exp(-z * se), s * np.exp(z * se)
        else:
            wide = z * se / np.log(s)
            lower, upper = np.exp(np.log(s) * np.exp(-wide)), np.exp(np.log(s) * np.exp(wide))
            lower, upper = (
                np.where(s == 1, np.nan, lower),
                np.where(s == 1, np.nan, upper),
            )  # undefined, as in R
    nothing = (s <= 0) | ~np.isfinite(se)
    lower, upper = np.where(nothing, np.nan, lower), np.where(nothing, np.nan, upper)
    return np.clip(lower, 0, 1), np.clip(upper, 0, 1)


def reverse_kaplan_meier(time: Any, event: Any, **options: Any) -> Any:
    """Reverse Kaplan-Meier estimate of follow-up, in which censoring is the event; its `median` is the median follow-up.

    Parameters
    ----------
    time, event
        As in `kaplan_meier`: True means that the event happened, not that the patient was censored.
    **options
        Passed to `kaplan_meier`.

    Returns
    -------
    KaplanMeier, or a dict of them by group label if `groups` is given

    References
    ----------
    Schemper M, Smith TL. A note on quantifying follow-up in studies of failure time. Control Clin Trials 1996; 17:
    343.

    Examples
    --------
    >>> reverse_kaplan_meier([1, 2, 3, 4, 5], [1, 0, 1, 0, 0]).median[0]
    4.0
    """
    return kaplan_meier(time, ~as_events(event), **options)
