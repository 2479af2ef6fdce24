"""Maximally selected cut-points, with p-values that account for the search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from pathosig.core.errors import ConfigError, NotEstimableError
from pathosig.survival.data import fix_times, outcome


@dataclass(frozen=True, kw_only=True)
class Cutpoint:
    """A maximally selected cut-point.

    Attributes
    ----------
    cutpoint
        Patients with a value above it are high, the others low.
    statistic, p
        Standardised log-rank statistic of this cut, and its p-value adjusted for the search.
    method
        How p was computed.
    n_low, n_high
        Patients in each group.
    cuts, statistics
        float[m]: all cuts that were tried, and their statistics.

    Examples
    --------
    >>> best = max_selected_cutpoint([1, 2, 3, 4, 5, 6], [9, 8, 7, 3, 2, 1], [1] * 6, min_prop=0.3, permutations=99)
    >>> best.cutpoint, best.cuts
    (2.0, array([1., 2., 3., 4.]))
    """

    cutpoint: float
    statistic: float
    p: float
    method: str
    n_low: int
    n_high: int
    cuts: np.ndarray
    statistics: np.ndarray


def logrank_scores(time: Any, event: Any) -> np.ndarray:
    """Log-rank scores: event indicator minus estimated cumulative hazard.

    Parameters
    ----------
    time, event
        [n].

    Returns
    -------
    float[n]; the scores sum to 0 if no times are tied.

    References
    ----------
    R: exactRankTests::cscores.

    Examples
    --------
    >>> logrank_scores([1, 2, 3, 4], [1, 0, 1, 1]).round(3)
    array([ 0.75, -0.25,  0.25, -0.75])
    """
    t, d, _ = outcome(time, event, what="logrank_scores")
    (t,) = fix_times(t)
    grid, which = np.unique(t, return_inverse=True)
    which = which.ravel()
    deaths = np.bincount(which[d], minlength=len(grid))
    # the number at risk at a tied time is that of the last patient of the tie, as rank(ties = "max") gives it
    risk = len(t) - np.cumsum(np.bincount(which, minlength=len(grid))) + 1
    return np.asarray(d - np.cumsum(deaths / risk)[which])


def max_selected_cutpoint(
    x: Any,
    time: Any,
    event: Any,
    *,
    min_prop: float = 0.1,
    p: Literal["permutation", "lau92", "lau94"] = "permutation",
    permutations: int = 9999,
    seed: int = 0,
) -> Cutpoint:
    """The cut-point of x with the largest standardised log-rank statistic.

    Parameters
    ----------
    x, time, event
        [n]; rows with missing values are left out.
    min_prop
        Smallest proportion of patients on either side, above 0 and below 0.5.
    p
        How p is computed: ``permutation``, (1 + hits) / (1 + permutations); or one of the approximations of Lausen and
        Schumacher, ``lau92`` and ``lau94``.
    permutations, seed
        Number and seed of the permutations; use at least 9,999 in a report.

    Returns
    -------
    Cutpoint

    Raises
    ------
    NotEstimableError
        If no cut leaves enough patients on both sides.
    ConfigError
        On an unknown method.

    References
    ----------
    R: maxstat::maxstat.test, survminer::surv_cutpoint. Lausen & Schumacher (1992), Biometrics 48; (1996) CSDA 21.

    Examples
    --------
    >>> x = np.arange(40)
    >>> time = np.random.default_rng(0).exponential(np.where(x < 25, 30.0, 5.0))
    >>> best = max_selected_cutpoint(x, time, np.ones(40), permutations=199)
    >>> best.cutpoint, best.n_low, best.n_high, best.p
    (24.0, 25, 15, 0.055)
    """
    if p not in ("permutation", "lau92", "lau94"):
        raise ConfigError(f"max_selected_cutpoint: p = {p!r}; expected permutation, lau92 or lau94.")
    values = np.asarray(x, float)
    t, d, _ = outcome(time, event, rows=len(values), what="max_selected_cutpoint")
    kept = np.isfinite(values)
    values, t, d = values[kept], t[kept], d[kept]
    n = len(values)
    scores = logrank_scores(t, d)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    last = np.flatnonzero(
        np.append(np.diff(ordered) > 0, False)
    )  # last of each tie, except the largest value
    low = last + 1  # patients at or below each cut; as in maxstat, its bounds are rounded down on both sides
    last = last[(low >= max(1, np.floor(n * min_prop))) & (low <= np.floor(n * (1 - min_prop)))]
    if not len(last):
        raise NotEstimableError(f"max_selected_cutpoint: no cut leaves {min_prop:.0%} on both sides.")
    m = last + 1
    total, squares = scores.sum(), float((scores**2).sum())
    spread = np.sqrt(m * (n - m) / (n**2 * (n - 1.0)) * (n * squares - total**2))
    sums = np.cumsum(scores[order])[last]
    statistics = np.abs(sums - m / n * total) / spread
    best = int(statistics.argmax())
    top = float(statistics[best])
    if p == "lau92":
        value = _lau92(top, min_prop)
    elif p == "lau94":
        value = _lau94(top, n, m)
    else:
        value = _permutation(scores, order, last, m, spread, top, permutations, seed)
    return Cutpoint(
        cutpoint=float(ordered[last[best]]),
        statistic=top,
        p=float(min(1.0, value)),
        method=p,
        n_low=int(m[best]),
        n_high=int(n - m[best]),
        cuts=ordered[last],
        statistics=statistics,
    )


def _lau92(b: float, share: float) -> float:
    if b < 1:
        return 1.0
    density = stats.norm.pdf(b)
    return float(4 * density / b + density * (b - 1 / b) * np.log((1 - share) ** 2 / share**2))


def _lau94(b: float, n: int, m: np.ndarray) -> float:
    m1, m2 = m[:-1], m[1:]
    t = np.sqrt(1 - m1 * (n - m2) / ((n - m1) * m2))
    extra = np.sum(np.exp(-(b**2) / 2) / np.pi * (t - (b**2 / 4 - 1) * t**3 / 6))
    return float(2 * stats.norm.sf(b) + extra)


def _permutation(
    scores: np.ndarray,
    order: np.ndarray,
    last: np.ndarray,
    m: np.ndarray,
    spread: np.ndarray,
    top: float,
    count: int,
    seed: int,
) -> float:
    rng = np.random.default_rng(seed)
    n, reached, done = len(scores), 0, 0
    centre = m / n * scores.sum()
    while done < count:
        block = min(500, count - done)
        shuffled = rng.permuted(np.broadcast_to(scores, (block, n)), axis=1)
        sums = np.cumsum(shuffled, axis=1)[:, last]
        reached += int((np.abs((sums - centre) / spread).max(axis=1) >= top - 1e-12).sum())
        done += block
    return (reached + 1) / (count + 1)


def beside_ties(score: np.ndarray, value: float, level: float) -> float:
    """A quantile of scores, or the middle of the gap below it if ties at the quantile would make the split more uneven.

    When many patients share one score (because they have none of the selected phenotypes), that score may be the quantile.
    If it is also the highest score, nobody lies above it.

    Parameters
    ----------
    score
        float[n].
    value, level
        A quantile of the scores, and its level, the proportion of scores that should lie below it.

    Returns
    -------
    The cut-off.

    Examples
    --------
    >>> beside_ties(np.repeat([1.0, 2.0], [4, 6]), 2.0, 0.5)
    1.5
    """
    below = score[score < value]
    if not len(below) or (score > value).sum() + len(below) == len(score):
        return value
    other = float((below.max() + value) / 2)
    uneven = [abs(float((score > cut).mean()) - (1 - level)) for cut in (value, other)]
    one_patient = 1 / len(score)
    return other if uneven[1] + one_patient < uneven[0] else value
