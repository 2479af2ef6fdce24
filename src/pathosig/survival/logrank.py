"""Log-rank tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import NotEstimableError
from pathosig.survival.curves import sorted_labels
from pathosig.survival.data import fix_times, outcome
from pathosig.survival.groups import group_codes
from pathosig.survival.tables import adjust_p


@dataclass(frozen=True, kw_only=True)
class LogRank:
    """The result of a log-rank test.

    Attributes
    ----------
    statistic, df, p
        Chi-square test.
    groups
        Labels of the k groups.
    n, observed, expected
        [k]: patients, observed events and expected events of each group.
    variance
        float[k, k] covariance of observed - expected.

    Examples
    --------
    >>> logrank([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 0, 1], ["high"] * 3 + ["low"] * 3).to_frame().round(2)
      group  n  observed  expected
    0  high  3       3.0      1.15
    1   low  3       2.0      3.85
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
        return pd.DataFrame(
            {"group": self.groups, "n": self.n, "observed": self.observed, "expected": self.expected}
        )


def logrank(time: Any, event: Any, groups: Any, *, strata: Any = None, rho: float = 0.0) -> LogRank:
    """Log-rank test (rho = 0) or Peto & Peto's modification of it (rho = 1) for two or more groups.

    Parameters
    ----------
    time, event, groups
        [n]; rows with a missing group are left out.
    strata
        [n] labels of strata, or [n, s] labels whose combinations are the strata.
    rho
        Event times are weighted by the left-continuous Kaplan-Meier estimate to the power of `rho`.

    Returns
    -------
    LogRank

    Raises
    ------
    NotEstimableError
        If there are fewer than two groups, or no event while at least two groups were at risk.
    InputError
        E_TIME, E_EVENT, E_GROUP, or if lengths differ.

    References
    ----------
    R: survival::survdiff. Harrington & Fleming (1982), Biometrika 69.

    Examples
    --------
    >>> test = logrank([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 0, 1], ["high"] * 3 + ["low"] * 3)
    >>> test.groups, test.observed, round(test.statistic, 2), round(test.p, 3)
    (('high', 'low'), array([3., 2.]), 5.05, 0.025)
    """
    labels = np.asarray(groups)
    t, d, _ = outcome(time, event, rows=len(labels), what="logrank")
    stratum = group_codes(strata, len(t), what="strata")
    kept = np.array([v is not None and v == v for v in labels.tolist()], bool)
    t, d, labels, stratum = t[kept], d[kept], labels[kept], stratum[kept]
    names = sorted_labels(labels)
    if len(names) < 2:
        raise NotEstimableError(f"logrank: found groups {names}; at least two are needed.")
    if not d.any():
        raise NotEstimableError("logrank: no event at all.")
    member = np.stack([labels == g for g in names], axis=1)
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


def _logrank_sums(
    t: np.ndarray, d: np.ndarray, member: np.ndarray, rho: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    """Log-rank tests of all pairs of groups, with adjusted p-values.

    Parameters
    ----------
    time, event, groups
        [n]; rows with a missing group are left out.
    strata
        [n] labels of strata, or [n, s] labels whose combinations are the strata.
    rho
        As in `logrank`.
    adjust
        Method of `adjust_p`.

    Returns
    -------
    DataFrame
        One row per pair of groups: group_1, group_2, statistic, p, p_adjusted.

    Raises
    ------
    NotEstimableError
        If a pair of groups has no event.

    References
    ----------
    R: survminer::pairwise_survdiff.

    Examples
    --------
    >>> pairwise_logrank([1, 2, 3, 4, 5, 6, 7, 8, 9], [1] * 9, list("aaabbbccc")).round(3)
      group_1 group_2  statistic      p  p_adjusted
    0       a       b      5.052  0.025       0.025
    1       a       c      5.052  0.025       0.025
    2       b       c      5.052  0.025       0.025
    """
    labels = np.asarray(groups)
    t, d, _ = outcome(time, event, rows=len(labels), what="pairwise_logrank")
    names = sorted_labels(labels)
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
