"""Competing risks: cumulative incidence by cause, and Gray's test of groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import ConfigError, InputError, NotEstimableError
from pathosig.survival.curves import sorted_labels
from pathosig.survival.data import as_numbers, as_times, fix_times
from pathosig.survival.gray import gray_sums
from pathosig.survival.groups import group_codes


@dataclass(frozen=True, kw_only=True)
class IncidenceCurve:
    """Cumulative incidence of one cause in one group.

    Attributes
    ----------
    cause, group
        Code of the cause; label of the group (None without groups).
    time
        float[m]: distinct times at which this cause happened.
    estimate, variance, lower, upper
        float[m]: incidence from each time until the next (0 before the first), its variance and pointwise confidence
        interval.
    n, n_events
        Patients, and events of this cause.

    Examples
    --------
    >>> curve = cumulative_incidence([1, 2, 3, 4, 5], [1, 2, 0, 1, 0]).curve(cause=1)
    >>> estimate, lower, upper = curve.incidence_at(3)
    >>> round(estimate, 2), round(lower, 2), round(upper, 2)
    (0.2, 0.0, 0.62)
    """

    cause: int
    group: Any
    time: np.ndarray
    estimate: np.ndarray
    variance: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    n: int
    n_events: int

    def incidence_at(self, t: Any) -> tuple[Any, Any, Any]:
        """Estimate, and lower and upper end of its confidence interval, at a time or at several times."""
        index = np.searchsorted(self.time, np.asarray(t, float), side="right")
        values = [np.concatenate([[0.0], v])[index] for v in (self.estimate, self.lower, self.upper)]
        if np.ndim(t) == 0:
            return float(values[0]), float(values[1]), float(values[2])
        return values[0], values[1], values[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class GrayTest:
    """Gray's test of equal cumulative incidence of one cause in all groups.

    Examples
    --------
    >>> result = cumulative_incidence([1, 2, 3, 4, 5, 6], [1, 1, 2, 1, 0, 1], groups=list("aabbab"))
    >>> test = result.test(cause=1)
    >>> round(test.statistic, 2), test.df, round(test.p, 2)
    (1.0, 1, 0.32)
    """

    cause: int
    statistic: float
    df: int
    p: float


@dataclass(frozen=True, kw_only=True)
class CumulativeIncidence:
    """Cumulative incidence curves by cause and group, and Gray's test of each cause.

    Attributes
    ----------
    curves
        Sorted by group, then by cause.
    tests
        One per cause; empty without groups.

    Examples
    --------
    >>> result = cumulative_incidence([1, 2, 3, 4, 5], [1, 2, 0, 1, 0])
    >>> result.to_frame()[["cause", "time", "estimate"]]
       cause  time  estimate
    0      1   1.0       0.2
    1      1   4.0       0.5
    2      2   2.0       0.2
    """

    curves: tuple[IncidenceCurve, ...]
    tests: tuple[GrayTest, ...]

    def curve(self, cause: int = 1, group: Any = None) -> IncidenceCurve:
        """The curve of a cause, and of a group if there are groups.

        Raises
        ------
        InputError
            If there is no such curve.
        """
        for curve in self.curves:
            if curve.cause == cause and curve.group == group:
                return curve
        available = [(c.group, c.cause) for c in self.curves]
        message = (
            f"cumulative_incidence: no curve of cause {cause} in group {group!r}; there are {available}."
        )
        raise InputError(message)

    def test(self, cause: int = 1) -> GrayTest:
        """Gray's test of a cause.

        Raises
        ------
        InputError
            If there is no such test.
        """
        for test in self.tests:
            if test.cause == cause:
                return test
        raise InputError(f"cumulative_incidence: no test of cause {cause}; were groups given?")

    def to_frame(self) -> pd.DataFrame:
        """One row per curve and time."""
        names = ("time", "estimate", "variance", "lower", "upper")
        parts = [
            pd.DataFrame({"group": c.group, "cause": c.cause, **{n: getattr(c, n) for n in names}})
            for c in self.curves
            if len(c.time)
        ]
        return pd.concat(parts, ignore_index=True)


def as_causes(event: Any) -> np.ndarray:
    """Codes of causes as int[n], where 0 means censored, from integers or booleans.

    Parameters
    ----------
    event
        [n] integers or booleans.

    Returns
    -------
    int[n], at least 0.

    Raises
    ------
    InputError
        E_EVENT for missing, negative or fractional codes.

    Examples
    --------
    >>> as_causes([0, 1, 2, 1])
    array([0, 1, 2, 1])
    """
    raw = np.asarray(event)
    values = as_numbers(raw, "event", "E_EVENT", "0 (censored), 1, 2 ... (causes)")
    if not (np.isfinite(values).all() and (values >= 0).all() and (values == np.rint(values)).all()):
        raise InputError(
            f"event: found {sorted(set(raw.tolist()), key=str)[:5]}; expected 0 (censored), 1, 2 ... (causes).",
            code="E_EVENT",
        )
    return values.astype(int)


def cumulative_incidence(
    time: Any,
    event: Any,
    *,
    groups: Any = None,
    strata: Any = None,
    rho: float = 0.0,
    conf_type: Literal["log-log", "plain"] = "log-log",
    conf_level: float = 0.95,
) -> CumulativeIncidence:
    """Aalen-Johansen cumulative incidence of every cause, with Gray's test where there are groups.

    Parameters
    ----------
    time
        [n] times >= 0, none of them missing; rows with a missing group are left out.
    event
        int[n]: 0 for censored, 1, 2, ... for the causes.
    groups
        [n] labels. If given, there are curves for each group and a test for each cause.
    strata
        [n] labels that stratify the tests (not the curves).
    rho
        The tests weight event times by (1 - incidence) to the power of `rho`; 0 for Gray's usual test.
    conf_type
        Scale of the confidence intervals: ``log-log`` for log(-log F), ``plain`` for F itself.
    conf_level
        Confidence level of the pointwise intervals.

    Returns
    -------
    CumulativeIncidence

    Raises
    ------
    NotEstimableError
        If there is no event, or `groups` has only one label.
    InputError
        E_TIME, E_EVENT, E_GROUP (a stratum is missing), or if lengths differ.
    ConfigError
        If `conf_type` is unknown.

    References
    ----------
    R: cmprsk::cuminc (Aalen's variance). Aalen (1978), Ann. Stat. 6; Gray (1988), Ann. Stat. 16.

    Examples
    --------
    >>> result = cumulative_incidence([1, 2, 3, 4, 5], [1, 2, 0, 1, 0])
    >>> curve = result.curve(cause=1)
    >>> curve.time, curve.estimate.round(3)
    (array([1., 4.]), array([0.2, 0.5]))
    """
    if conf_type not in ("log-log", "plain"):
        raise ConfigError(f"cumulative_incidence: conf_type {conf_type!r}; expected log-log or plain.")
    t, cause = as_times(time), as_causes(event)
    labels = None if groups is None else np.asarray(groups)
    layers = None if strata is None else np.asarray(strata)
    if any(len(v) != len(t) for v in (cause, labels, layers) if v is not None):
        raise InputError("cumulative_incidence: time, event, groups and strata differ in length.")
    group_codes(layers, len(t), what="strata")
    kept = np.ones(len(t), bool)
    if labels is not None:
        kept &= np.array([v is not None and v == v for v in labels.tolist()], bool)
    (t,) = fix_times(t[kept])
    cause = cause[kept]
    if not (cause > 0).any():
        raise NotEstimableError("cumulative_incidence: no event at all.", code="E_EVENTS")
    causes = [int(c) for c in np.unique(cause) if c > 0]
    z = float(stats.norm.ppf(0.5 + conf_level / 2))
    if labels is None:
        curves = [_curve(t, cause, c, None, conf_type, z) for c in causes]
        return CumulativeIncidence(curves=tuple(curves), tests=())
    labels = labels[kept]
    names = sorted_labels(labels)
    if len(names) < 2:
        raise NotEstimableError(f"cumulative_incidence: found groups {names}; at least two are needed.")
    curves = [_curve(t[labels == g], cause[labels == g], c, g, conf_type, z) for g in names for c in causes]
    member = np.stack([labels == g for g in names], axis=1)
    stratum = group_codes(None if layers is None else layers[kept], len(t), what="strata")
    tests = [_gray(t, cause, c, member, stratum, rho) for c in causes]
    return CumulativeIncidence(curves=tuple(curves), tests=tuple(tests))


def _curve(
    t: np.ndarray, cause: np.ndarray, which: int, group: Any, conf_type: str, z: float
) -> IncidenceCurve:
    grid, place = np.unique(t, return_inverse=True)
    place = place.ravel()
    risk = np.cumsum(np.bincount(place, minlength=len(grid))[::-1])[::-1].astype(float)
    mine = np.bincount(place[cause == which], minlength=len(grid)).astype(float)
    other = np.bincount(place[(cause > 0) & (cause != which)], minlength=len(grid)).astype(float)
    survival = np.cumprod(1 - (mine + other) / risk)
    before = np.concatenate([[1.0], survival[:-1]])
    estimate = np.cumsum(before * mine / risk)
    variance = _variance(risk, (mine, other), before, survival, estimate)
    happened = mine > 0
    estimate, variance = estimate[happened], np.maximum(variance[happened], 0.0)
    lower, upper = _limits(estimate, np.sqrt(variance), conf_type, z)
    return IncidenceCurve(
        cause=which,
        group=group,
        time=grid[happened],
        estimate=estimate,
        variance=variance,
        lower=lower,
        upper=upper,
        n=len(t),
        n_events=int(mine.sum()),
    )


def _variance(
    risk: np.ndarray,
    counts: tuple[np.ndarray, np.ndarray],
    before: np.ndarray,
    after: np.ndarray,
    incidence: np.ndarray,
) -> np.ndarray:
    """Aalen's variance, float[times]; tied events are treated as draws without replacement.

    `counts` are the events of the cause and of the others; `before` and `after` are survival just before and after each time.
    """
    alive = after > 0
    inverse = np.where(alive, 1 / np.where(alive, after, 1.0), 0.0)
    mine, other = counts
    v1, v2, v3 = np.zeros(len(risk)), np.zeros(len(risk)), np.zeros(len(risk))
    for count, own in ((np.where(alive, other, 0.0), 0.0), (mine, 1.0)):
        tied = np.where(count > 1, 1 - (count - 1) / np.maximum(risk - 1, 1), 1.0)
        increment = before**2 * tied * count / risk**2
        weight = own + incidence * inverse
        v1 += weight**2 * increment
        v2 += weight * inverse * increment
        v3 += inverse**2 * increment
    return np.asarray(np.cumsum(v1) + incidence**2 * np.cumsum(v3) - 2 * incidence * np.cumsum(v2))


def _limits(f: np.ndarray, se: np.ndarray, conf_type: str, z: float) -> tuple[np.ndarray, np.ndarray]:
    if conf_type == "plain":
        return np.clip(f - z * se, 0, 1), np.clip(f + z * se, 0, 1)
    certain = (f <= 0) | (f >= 1)
    with np.errstate(all="ignore"):
        width = z * se / np.abs(f * np.log(f))
        lower, upper = f ** np.exp(width), f ** np.exp(-width)
    return np.where(certain, f, lower), np.where(certain, f, upper)


def _gray(
    t: np.ndarray, cause: np.ndarray, which: int, member: np.ndarray, stratum: np.ndarray, rho: float
) -> GrayTest:
    k = member.shape[1]
    score, variance = np.zeros(k), np.zeros((k, k))
    for s in np.unique(stratum):
        part = stratum == s
        mine = cause[part] == which
        u, v = gray_sums(t[part], mine, (cause[part] > 0) & ~mine, member[part], rho)
        score, variance = score + u, variance + v
    block, u = variance[:-1, :-1], score[:-1]
    df = int(np.linalg.matrix_rank(block))
    statistic = float(u @ np.linalg.pinv(block) @ u) if df else float("nan")
    p = float(stats.chi2.sf(statistic, df)) if df else float("nan")
    return GrayTest(cause=which, statistic=statistic, df=df, p=p)
