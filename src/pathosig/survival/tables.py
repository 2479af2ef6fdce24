"""Tests of contingency tables and of groups, and corrections for multiple testing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import comb, gammaln

from pathosig.core.errors import ConfigError, NotEstimableError

_MATRIX = 20_000_000
_PER_NODE = 30
_PER_SPLIT = 12
_FEW_CELLS = 8
_SAME = 1e-7
"""R's relative tolerance within which two tables count as equally likely."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableTest:
    """The result of a test.

    Attributes
    ----------
    method
        Name of the test, with "(Monte Carlo)" if p was simulated.
    statistic, df
        Test statistic and degrees of freedom; None where a test has none.
    p
        p-value.
    p_se
        Monte Carlo standard error of a simulated p; 0 if p was computed.

    Examples
    --------
    >>> test = wilcoxon([1, 2, 3, 4], [5, 6, 7, 8])
    >>> test.method, test.statistic, round(test.p, 4)
    ('Wilcoxon rank sum', 0.0, 0.0286)
    """

    method: str
    statistic: float | None
    df: int | None
    p: float
    p_se: float = 0.0


def adjust_p(p: Any, method: str = "BH") -> np.ndarray:
    """P-values adjusted for multiple testing.

    Parameters
    ----------
    p
        float[n] in 0..1; missing values stay missing and do not count as tests.
    method
        BH, BY, holm, hochberg, bonferroni or none.

    Returns
    -------
    float[n] in 0..1.

    Raises
    ------
    ConfigError
        If the method is unknown.

    References
    ----------
    R: stats::p.adjust.

    Examples
    --------
    >>> adjust_p([0.01, 0.04, 0.03], "BH"), adjust_p([0.01, 0.04, 0.03], "holm")
    (array([0.03, 0.04, 0.04]), array([0.03, 0.06, 0.06]))
    """
    values = np.asarray(p, float)
    out = np.full(values.shape, np.nan)
    finite = np.isfinite(values)
    x = values[finite]
    n = len(x)
    if not n:
        return out
    order = np.argsort(x)
    ranked, rank = x[order], np.arange(1, n + 1)
    if method in ("BH", "BY"):
        factor = (1 / rank).sum() if method == "BY" else 1.0
        adjusted = np.minimum.accumulate((ranked * n * factor / rank)[::-1])[::-1]
    elif method == "holm":
        adjusted = np.maximum.accumulate(ranked * (n - rank + 1))
    elif method == "hochberg":
        adjusted = np.minimum.accumulate((ranked * (n - rank + 1))[::-1])[::-1]
    elif method == "bonferroni":
        adjusted = ranked * n
    elif method == "none":
        adjusted = ranked
    else:
        raise ConfigError(
            f"adjust_p: method {method!r}; expected BH, BY, holm, hochberg, bonferroni or none."
        )
    back = np.empty(n)
    back[order] = np.minimum(adjusted, 1)
    out[finite] = back
    return out


def chi_square(table: Any, *, correct: bool = True) -> TableTest:
    """Pearson's chi-square test of a contingency table.

    Parameters
    ----------
    table
        int[r, c] counts; empty rows and columns are left out.
    correct
        Whether to apply Yates' continuity correction to 2 x 2 tables.

    Returns
    -------
    TableTest

    Raises
    ------
    NotEstimableError
        If fewer than two rows or two columns have counts.

    References
    ----------
    R: stats::chisq.test.

    Examples
    --------
    >>> test = chi_square([[10, 20], [20, 10]])
    >>> round(test.statistic, 2), test.df, round(test.p, 4)
    (5.4, 1, 0.0201)
    """
    counts = _filled(table)
    answer = stats.chi2_contingency(counts, correction=correct and counts.shape == (2, 2))
    return TableTest(
        method="chi-square", statistic=float(answer.statistic), df=int(answer.dof), p=float(answer.pvalue)
    )


def _filled(table: Any) -> np.ndarray:
    counts = np.asarray(table, float)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(counts.shape) < 2:
        raise NotEstimableError("table test: at least two rows and two columns with counts are needed.")
    return counts


def fisher_exact(
    table: Any, *, workspace: int = 40_000_000, tables: int = 200_000, seed: int = 0
) -> TableTest:
    """Fisher's exact test of an r x c table (R: stats::fisher.test).

    The probability of a table with margins R_i and C_j and total N is prod R_i! prod C_j! / (N! prod x_ij!), and p is the sum
    over all tables that are not more likely than the observed one. They are enumerated column by column. If this takes more
    than `workspace` steps, p is estimated from simulated tables as (1 + hits) / (1 + tables), with its standard error.

    Parameters
    ----------
    table
        int[r, c] counts; empty rows and columns are left out.
    workspace
        Largest number of steps of the exact enumeration; 40 million take about a second.
    tables, seed
        Number of simulated tables, and the seed.

    Returns
    -------
    TableTest

    Raises
    ------
    NotEstimableError
        If fewer than two rows or two columns have counts.

    References
    ----------
    Mehta CR, Patel NR. JASA 1983; 78: 427. Patefield WM. Appl Stat 1981; 30: 91 (simulation).

    Examples
    --------
    >>> from pathosig.survival import fisher_exact
    >>> round(fisher_exact([[3, 1], [1, 3]]).p, 4)
    0.4857
    """
    counts = _filled(table).astype(int)
    if counts.shape[0] > counts.shape[1]:
        counts = counts.T
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    log_factorial = gammaln(np.arange(counts.sum() + 1) + 1)
    constant = log_factorial[rows].sum() + log_factorial[columns].sum() - log_factorial[counts.sum()]
    observed = constant - log_factorial[counts].sum()
    try:
        p = _network(rows, np.sort(columns), log_factorial, constant, observed, workspace)
    except _TooLarge:
        drawn = stats.random_table(rows, columns, seed=np.random.default_rng(seed)).rvs(tables)
        likelihood = constant - log_factorial[drawn].sum(axis=(1, 2))
        p = (1 + int((likelihood <= observed + _SAME).sum())) / (1 + tables)
        error = float(np.sqrt(p * (1 - p) / tables))
        return TableTest(method="Fisher's exact (Monte Carlo)", statistic=None, df=None, p=p, p_se=error)
    return TableTest(method="Fisher's exact", statistic=None, df=None, p=min(1.0, p))


class _TooLarge(Exception):
    """The exact enumeration would take more steps than allowed."""


def _network(
    rows: np.ndarray, columns: np.ndarray, lf: np.ndarray, constant: float, observed: float, workspace: int
) -> float:
    """Sum of the probabilities of all tables that are not more likely than the observed one.

    A node consists of the remaining row totals after some columns and the log-probability so far. Rows are interchangeable, so
    that remaining totals are sorted; equal nodes are merged, with their number of ways. If no table of a node can be more likely
    than the observed one, the node is counted at once: all its completions together have the weight
    S! / (prod left_i! prod C_j!), where left_i are the remaining row totals and S is their sum. If every table of a node is more
    likely than the observed one, the node is dropped.
    """
    left = np.sort(rows)[None, :]
    past, ways = np.zeros(1), np.ones(1)
    radix = (int(rows.max()) + 1) ** np.arange(len(rows), dtype=float)
    limit = observed - constant + _SAME
    p, spent = 0.0, 0.0
    for place, column in enumerate(columns[:-1]):
        later = columns[place + 1 :]
        best, base = _best_completion(int(rows.max()), later, lf), lf[later].sum()
        states, where = np.unique(left, axis=0, return_inverse=True)
        sizes = np.bincount(where.ravel())
        branches = _n_splits(states, int(column))
        spent += float(branches @ (sizes + _PER_SPLIT))
        if spent > workspace or (branches * sizes).max() > _MATRIX:
            raise _TooLarge
        grown: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for state, members in zip(
            states, np.split(np.argsort(where.ravel()), np.cumsum(sizes)[:-1]), strict=True
        ):
            splits = _splits(state, int(column))
            rest = np.sort(state - splits, axis=1)
            value = past[members][None, :] - lf[splits].sum(axis=1)[:, None]
            own = lf[rest].sum(axis=1)
            ahead = best[rest].sum(axis=1)[:, None]
            whole = value + ahead <= limit
            all_ways = np.exp(value + constant + (lf[rest[0].sum()] - own - base)[:, None]) * ways[members]
            p += float(all_ways[whole].sum())
            least = np.maximum(-own, -base)[:, None]
            split, member = np.nonzero(~whole & (value + least <= limit))
            grown.append((rest[split], value[split, member], ways[members][member]))
            spent += _PER_NODE * len(split)
            if spent > workspace:
                raise _TooLarge
        left, past, ways = (np.concatenate(parts) for parts in zip(*grown, strict=True))
        if not len(left):
            return p
        key = left @ radix
        order = np.lexsort((past, key))
        key, past = key[order], past[order]
        new = np.append(True, (np.diff(key) != 0) | (np.diff(past) > 1e-9))
        left, past = left[order][new], past[new]
        ways = np.add.reduceat(ways[order], np.flatnonzero(new))
    value = past - lf[left].sum(axis=1)
    counted = value <= limit
    return p + float((ways[counted] * np.exp(value[counted] + constant)).sum())


def _best_completion(largest: int, columns: np.ndarray, lf: np.ndarray) -> np.ndarray:
    """Largest contribution of a row to the log-probability of the last columns, by its remaining total: float[largest + 1].

    Lagrange's bound: with multipliers m_j = log C_j - mean, max sum_ij -log x_ij! <= sum_i g(left_i), where g(s) is the maximum
    of sum_j (-log x_j! + m_j x_j) over x_1 + ... = s, minus s sum_j m_j C_j / S.
    """
    multiplier = np.log(columns) - np.log(columns).mean()
    count = np.arange(largest + 1)
    best = -lf[: largest + 1] + multiplier[0] * count
    for m in multiplier[1:]:
        single = -lf[: largest + 1] + m * count
        best = np.array([(best[: s + 1] + single[s::-1]).max() for s in count])
    return np.asarray(best - count * float(multiplier @ columns) / columns.sum())


def _n_splits(limits: np.ndarray, total: int) -> np.ndarray:
    """Number of ways to distribute `total` over cells with the limits of each row, float[n]; an upper bound for many cells.

    By inclusion and exclusion over the sets S of cells whose limit is exceeded:
    sum_S (-1)^|S| C(total - sum_S (limit + 1) + r - 1, r - 1), with r the number of cells.
    """
    cells = limits.shape[1]
    if cells > _FEW_CELLS:
        free = float(comb(total + cells - 1, cells - 1))
        return np.asarray(np.minimum(np.prod(np.minimum(limits, total) + 1.0, axis=1), free))
    ways = np.zeros(len(limits))
    for chosen in range(1 << cells):
        inside = [cell for cell in range(cells) if chosen >> cell & 1]
        rest = total - (limits[:, inside] + 1).sum(axis=1)
        ways += (-1.0) ** len(inside) * np.where(
            rest >= 0, comb(np.maximum(rest, 0) + cells - 1, cells - 1), 0.0
        )
    return np.asarray(np.rint(ways))


def _splits(limits: np.ndarray, total: int) -> np.ndarray:
    """All ways to distribute `total` over cells with the given limits, int[ways, cells]."""
    out = np.zeros((1, 0), int)
    taken = np.zeros(1, int)
    for cell, limit in enumerate(limits):
        rest = int(limits[cell + 1 :].sum())
        low = np.maximum(0, total - taken - rest)
        high = np.minimum(limit, total - taken)
        count = np.maximum(high - low + 1, 0)
        value = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
        out = np.column_stack([np.repeat(out, count, axis=0), value])
        taken = np.repeat(taken, count) + value
    return out


def wilcoxon(x: Any, y: Any) -> TableTest:
    """Wilcoxon's rank-sum test.

    The p-value is exact if there are no ties and each group has fewer than 50 values; otherwise it is that of the normal
    approximation with continuity correction.

    Parameters
    ----------
    x, y
        [n] and [m] numbers of the two groups; missing ones are left out.

    Returns
    -------
    TableTest

    Raises
    ------
    NotEstimableError
        If a group is empty.

    References
    ----------
    R: stats::wilcox.test.

    Examples
    --------
    >>> test = wilcoxon([1, 2, 3, 4], [5, 6, 7, 8])
    >>> test.statistic, round(test.p, 4)
    (0.0, 0.0286)
    """
    a, b = (np.asarray(v, float)[np.isfinite(np.asarray(v, float))] for v in (x, y))
    if not len(a) or not len(b):
        raise NotEstimableError("wilcoxon: a group is empty; both need at least one number.")
    both = np.concatenate([a, b])
    exact = len(a) < 50 and len(b) < 50 and len(np.unique(both)) == len(both)
    answer = stats.mannwhitneyu(a, b, method="exact" if exact else "asymptotic", use_continuity=True)
    return TableTest(
        method="Wilcoxon rank sum", statistic=float(answer.statistic), df=None, p=float(answer.pvalue)
    )


def kruskal(values: Any, groups: Any) -> TableTest:
    """Kruskal-Wallis test of equal distributions in all groups.

    Parameters
    ----------
    values
        [n] numbers; missing ones are left out.
    groups
        [n] labels.

    Returns
    -------
    TableTest

    Raises
    ------
    NotEstimableError
        If there are fewer than two groups.

    References
    ----------
    R: stats::kruskal.test.

    Examples
    --------
    >>> test = kruskal([1, 2, 3, 4, 5, 6], list("aabbcc"))
    >>> round(test.statistic, 3), test.df, round(test.p, 3)
    (4.571, 2, 0.102)
    """
    v, g = np.asarray(values, float), np.asarray(groups)
    kept = np.isfinite(v)
    parts = [v[kept & (g == name)] for name in sorted(set(g[kept].tolist()), key=str)]
    if len(parts) < 2:
        raise NotEstimableError("kruskal: at least two groups are needed.")
    if np.ptp(v[kept]) == 0:
        return TableTest(method="Kruskal-Wallis", statistic=0.0, df=len(parts) - 1, p=1.0)
    answer = stats.kruskal(*parts)
    return TableTest(
        method="Kruskal-Wallis", statistic=float(answer.statistic), df=len(parts) - 1, p=float(answer.pvalue)
    )
