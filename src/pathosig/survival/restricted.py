"""Restricted mean survival time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from pathosig.core.errors import NotEstimableError
from pathosig.survival.curves import kaplan_meier, sorted_labels
from pathosig.survival.data import outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class RestrictedMean:
    """Mean survival time up to `tau`: estimate, standard error and confidence interval, in the unit of time."""

    tau: float
    estimate: float
    se: float
    lower: float
    upper: float


@dataclass(frozen=True, kw_only=True)
class RestrictedMeanDifference:
    """Restricted mean survival times of two groups, and their difference (second minus first group)."""

    groups: Mapping[Any, RestrictedMean]
    difference: float
    se: float
    lower: float
    upper: float
    p: float
    tau: float


def rmst(
    time: Any, event: Any, *, tau: float | None = None, groups: Any = None, conf_level: float = 0.95
) -> Any:
    """Restricted mean survival time, of one sample or the difference of two.

    Parameters
    ----------
    time, event
        [n], as in `kaplan_meier`.
    tau
        Horizon in the unit of time. By default the largest time; with groups, the largest time of the group with the
        shorter follow-up.
    groups
        [n] labels of two groups; their difference is that of the second label in sorted order minus the first.
    conf_level
        Confidence level of the intervals.

    Returns
    -------
    RestrictedMean, or RestrictedMeanDifference if `groups` is given

    Raises
    ------
    NotEstimableError
        If `tau` is not positive or lies beyond the follow-up of a group, or if `groups` has not exactly two labels.

    References
    ----------
    R: survRM2::rmst2. Uno et al. (2014), JCO 32.

    Examples
    --------
    >>> rmst([1, 2, 3, 4], [1, 1, 0, 1], tau=3).estimate
    2.25
    >>> gap = rmst([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 0], groups=["a", "b", "a", "b", "a", "b"], tau=4)
    >>> round(gap.difference, 3), round(gap.p, 2)
    (0.667, 0.46)
    """
    t, d, _ = outcome(time, event, what="rmst")
    z = stats.norm.ppf(0.5 + conf_level / 2)
    if groups is None:
        horizon = float(t.max()) if tau is None else tau
        return _restricted(t, d, horizon, z)
    labels = np.asarray(groups)
    names = sorted_labels(labels)
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
