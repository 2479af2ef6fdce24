"""Kaplan-Meier curves, log-rank tests, restricted means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats

from pathosig.core.errors import ConfigError, NotEstimableError
from pathosig.survival.data import as_events, as_times, codes, fix_times
from pathosig.survival.tables import adjust_p

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class KaplanMeier:
    """One survival curve.

    Attributes
    ----------
    time
        float[m]: all distinct times, events and censorings.
    n_risk, n_event, n_censor
        Counts at each time.
    survival, lower, upper
        Estimate and pointwise confidence limits after each time.
    std_err
        Greenwood's standard error of log survival.
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
        """(estimate, lower, upper) at time t, or three arrays for several times."""
        index = np.searchsorted(self.time, np.asarray(t, float), side="right")
        values = [np.concatenate([[1.0], v])[index] for v in (self.survival, self.lower, self.upper)]
        return tuple(float(v) if np.ndim(t) == 0 else v for v in values)

    def quantile(self, q: float) -> tuple[float, float, float]:
        """Time at which survival falls to 1 - q, with its limits; inf where it never does.

        Where the curve is flat at exactly 1 - q the midpoint of the flat part is taken, as R does.
        """
        target = 1 - q
        return tuple(self._crossing(v, target) for v in (self.survival, self.lower, self.upper))  # type: ignore[return-value]

    def _crossing(self, curve: np.ndarray, target: float) -> float:
        steps = self.n_event > 0
        tolerance = np.sqrt(np.finfo(float).eps)
        known = np.isfinite(curve)
        below = known & (curve < target + tolerance)
        if not below.any():
            return float("inf")
        first = int(np.argmax(below))
        if abs(curve[first] - target) < tolerance:
            later = np.flatnonzero(known & steps & (curve < target - tolerance))
            later = later[later > first]
            return float((self.time[first] + self.time[later[0]]) / 2) if len(later) else float(self.time[first])
        return float(self.time[first])

    @property
    def median(self) -> tuple[float, float, float]:
        """Median survival with its limits; inf where it is not reached."""
        return self.quantile(0.5)

    def at_risk(self, t: Any) -> Any:
        """Number at risk just before time t."""
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
        import pandas as pd

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
    """Kaplan-Meier estimate with Greenwood limits.

    Parameters
    ----------
    time, event
        [n]; rows with a missing time are left out.
    conf_type
        ``log`` (R's default), ``log-log`` or ``plain``.
    groups
        [n] labels: one curve each.
    entry
        [n] times of delayed entry.
    weights
        [n] case weights.

    Returns
    -------
    KaplanMeier, or dict of them by group label where `groups` is given

    Raises
    ------
    ConfigError
        On an unknown `conf_type`.

    References
    ----------
    R: survival::survfit.
    """
    if conf_type not in ("log", "log-log", "plain"):
        raise ConfigError(f"kaplan_meier: conf_type {conf_type!r}; expected log, log-log or plain.")
    t, d = as_times(time), as_events(event)
    start = None if entry is None else as_times(entry, name="entry")
    w = np.ones(len(t)) if weights is None else np.asarray(weights, float)
    if groups is None:
        return _one_curve(t, d, start, w, conf_type, conf_level)
    labels = np.asarray(groups)
    present = [g for g in _labels(labels)]
    return {
        g: _one_curve(t[labels == g], d[labels == g], None if start is None else start[labels == g], w[labels == g], conf_type, conf_level)
        for g in present
    }


def _labels(labels: np.ndarray) -> list[Any]:
    known = [v for v in labels.tolist() if v is not None and v == v]
    return sorted(set(known), key=lambda v: (str(type(v)), v))


def _one_curve(
    t: np.ndarray, d: np.ndarray, start: np.ndarray | None, w: np.ndarray, conf_type: str, level: float
) -> KaplanMeier:
    kept = np.isfinite(t)
    if start is not None:
        kept &= np.isfinite(start) & (start < t)
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
    se = np.sqrt(variance)
    lower, upper = _limits(survival, se, conf_type, level)
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
            lower, upper = np.where(s == 1, 1.0, lower), np.where(s == 1, 1.0, upper)
    nothing = (s <= 0) | ~np.isfinite(se)
    lower, upper = np.where(nothing, np.nan, lower), np.where(nothing, np.nan, upper)
    return np.clip(lower, 0, 1), np.clip(upper, 0, 1)


def reverse_kaplan_meier(time: Any, event: Any, **options: Any) -> Any:
    """Follow-up: the Kaplan-Meier estimate of censoring (Schemper & Smith 1996); `.median` is the median follow-up."""
    return kaplan_meier(time, ~as_events(event), **options)


@dataclass(frozen=True, kw_only=True)
class LogRank:
    """A (weighted, stratified) log-rank test.

    Attributes
    ----------
    statistic, df, p
        Chi-square test.
    groups
        Labels; n, observed, expected per group.
    variance
        float[k, k] of observed - expected.
    """

    statistic: float
    df: int
    p: float
    groups: tuple[Any, ...]
    n: np.ndarray
    observed: np.ndarray
    expected: np.ndarray
    variance: np.ndarray

    def to_frame(self) -> pd.DataFrame:
        """One row per group."""
        import pandas as pd

        return pd.DataFrame({"group": self.groups, "n": self.n, "observed": self.observed, "expected": self.expected})


def logrank(time: Any, event: Any, groups: Any, *, strata: Any = None, rho: float = 0.0) -> LogRank:
    """Log-rank test (rho = 0) or Peto & Peto's modification (rho = 1) of two or more groups.

    Parameters
    ----------
    time, event, groups
        [n]; rows with a missing time or group are left out.
    strata
        [n] labels, or [n, s].
    rho
        Power of the left-continuous Kaplan-Meier estimate that weights the times.

    Raises
    ------
    NotEstimableError
        If there are fewer than two groups or no event.

    References
    ----------
    R: survival::survdiff. Harrington & Fleming (1982), Biometrika 69.
    """
    t, d = as_times(time), as_events(event)
    labels = np.asarray(groups)
    kept = np.isfinite(t) & np.array([v is not None and v == v for v in labels.tolist()], bool)
    if strata is not None:
        raw = np.asarray(strata)
        raw = raw.reshape(len(raw), -1)
        kept &= np.array([all(v is not None and v == v for v in row) for row in raw.tolist()], bool)
    t, d, labels = t[kept], d[kept], labels[kept]
    names = _labels(labels)
    if len(names) < 2:
        raise NotEstimableError(f"logrank: found groups {names}; at least two are needed.")
    if not d.any():
        raise NotEstimableError("logrank: no event at all.")
    member = np.stack([labels == g for g in names], axis=1)
    stratum = codes(None if strata is None else np.asarray(strata)[kept], len(t))
    k = len(names)
    observed, expected, variance = np.zeros(k), np.zeros(k), np.zeros((k, k))
    (t,) = fix_times(t)
    for s in np.unique(stratum):
        part = stratum == s
        o, e, v = _logrank_sums(t[part], d[part], member[part], rho)
        observed, expected, variance = observed + o, expected + e, variance + v
    used = expected > 0
    difference = (observed - expected)[used][1:]
    block = variance[np.ix_(used, used)][1:, 1:]
    df = int(used.sum()) - 1
    if df < 1:
        raise NotEstimableError("logrank: no event while two groups were at risk.")
    statistic = float(difference @ np.linalg.pinv(block) @ difference)
    return LogRank(
        statistic=statistic,
        df=df,
        p=float(stats.chi2.sf(statistic, df)),
        groups=tuple(names),
        n=member.sum(axis=0),
        observed=observed,
        expected=expected,
        variance=variance,
    )


def _logrank_sums(t: np.ndarray, d: np.ndarray, member: np.ndarray, rho: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    grid, which = np.unique(t, return_inverse=True)
    which = which.ravel()
    k = member.shape[1]
    risk, dead = np.zeros((len(grid), k)), np.zeros((len(grid), k))
    np.add.at(risk, which, member.astype(float))
    np.add.at(dead, which[d], member[d].astype(float))
    risk = np.cumsum(risk[::-1], axis=0)[::-1]
    n, m = risk.sum(axis=1), dead.sum(axis=1)
    weight = np.ones(len(grid))
    if rho:
        km = np.concatenate([[1.0], np.cumprod(1 - m / n)[:-1]])
        weight = km**rho
    some = m > 0
    risk, dead, n, m, weight = risk[some], dead[some], n[some], m[some], weight[some]
    share = risk / n[:, None]
    scale = weight**2 * m * (n - m) / np.maximum(n - 1, 1)
    variance = np.diag(scale @ share) - (share * scale[:, None]).T @ share
    return weight @ dead, (weight * m) @ share, variance


def pairwise_logrank(
    time: Any, event: Any, groups: Any, *, strata: Any = None, rho: float = 0.0, adjust: str = "BH"
) -> pd.DataFrame:
    """Log-rank tests of all pairs of groups with adjusted p (R: survminer::pairwise_survdiff).

    Returns
    -------
    DataFrame with group_1, group_2, statistic, p, p_adjusted
    """
    import pandas as pd

    labels, t, d = np.asarray(groups), np.asarray(time, float), as_events(event)
    names = _labels(labels)
    rows = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            pair = (labels == first) | (labels == second)
            layers = None if strata is None else np.asarray(strata)[pair]
            test = logrank(t[pair], d[pair], labels[pair], strata=layers, rho=rho)
            rows.append((first, second, test.statistic, test.p))
    frame = pd.DataFrame(rows, columns=["group_1", "group_2", "statistic", "p"])
    frame["p_adjusted"] = adjust_p(frame["p"].to_numpy(), adjust)
    return frame


@dataclass(frozen=True, kw_only=True, slots=True)
class RestrictedMean:
    """Mean survival time up to tau: estimate, standard error and limits."""

    tau: float
    estimate: float
    se: float
    lower: float
    upper: float


@dataclass(frozen=True, kw_only=True)
class RestrictedMeanDifference:
    """Restricted means of two groups and their difference (second minus first)."""

    groups: Mapping[Any, RestrictedMean]
    difference: float
    se: float
    lower: float
    upper: float
    p: float
    tau: float


def rmst(time: Any, event: Any, *, tau: float | None = None, groups: Any = None, conf_level: float = 0.95) -> Any:
    """Restricted mean survival time, of one sample or the difference of two.

    Parameters
    ----------
    tau
        Horizon in units of time; the smallest of the groups' largest times without it.
    groups
        [n] labels of two groups.

    Returns
    -------
    RestrictedMean or RestrictedMeanDifference

    Raises
    ------
    NotEstimableError
        If tau lies beyond a group's follow-up.

    References
    ----------
    R: survRM2::rmst2. Uno et al. (2014), JCO 32.
    """
    t, d = as_times(time), as_events(event)
    z = stats.norm.ppf(0.5 + conf_level / 2)
    if groups is None:
        horizon = float(np.nanmax(t)) if tau is None else tau
        return _restricted(t, d, horizon, z)
    labels = np.asarray(groups)
    names = _labels(labels)
    if len(names) != 2:
        raise NotEstimableError(f"rmst: found groups {names}; exactly two are needed.")
    horizon = min(float(t[labels == g].max()) for g in names) if tau is None else tau
    means = {g: _restricted(t[labels == g], d[labels == g], horizon, z) for g in names}
    first, second = (means[g] for g in names)
    difference = second.estimate - first.estimate
    se = float(np.hypot(first.se, second.se))
    return RestrictedMeanDifference(
        groups=means,
        difference=difference,
        se=se,
        lower=difference - z * se,
        upper=difference + z * se,
        p=float(2 * stats.norm.sf(abs(difference) / se)) if se > 0 else float("nan"),
        tau=horizon,
    )


def _restricted(t: np.ndarray, d: np.ndarray, tau: float, z: float) -> RestrictedMean:
    curve = kaplan_meier(t, d)
    last_event = d[t == t.max()].any()
    if tau <= 0 or (tau > t.max() and not last_event):
        raise NotEstimableError(f"rmst: tau {tau:g} lies beyond the follow-up of {t.max():g}.")
    inside = curve.time <= tau
    times = curve.time[inside]
    edges = np.concatenate([[0.0], times, [tau]])
    heights = np.concatenate([[1.0], curve.survival[inside]])
    areas = np.diff(edges) * heights
    estimate = float(areas.sum())
    after = np.cumsum(areas[::-1])[::-1][1:]  # area to the right of each time
    n, m = curve.n_risk[inside].astype(float), curve.n_event[inside].astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        term = np.where((m > 0) & (n > m), m / (n * (n - m)), 0.0)
    se = float(np.sqrt(np.sum(after**2 * term)))
    return RestrictedMean(tau=tau, estimate=estimate, se=se, lower=estimate - z * se, upper=estimate + z * se)
