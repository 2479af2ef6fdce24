"""Tests of tables and groups, and corrections for many tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from pathosig.core.errors import ConfigError, NotEstimableError


@dataclass(frozen=True, kw_only=True, slots=True)
class TableTest:
    """A test: its name, statistic (None for exact tests), degrees of freedom and p."""

    method: str
    statistic: float | None
    df: int | None
    p: float


def adjust_p(p: Any, method: str = "BH") -> np.ndarray:
    """Adjusted p-values; missing ones stay missing and do not count.

    Parameters
    ----------
    p
        float[n] in 0..1.
    method
        BH | BY | holm | hochberg | bonferroni | none.

    Raises
    ------
    ConfigError
        On an unknown method.

    References
    ----------
    R: stats::p.adjust.
    """
    values = np.asarray(p, float)
    out = np.full(values.shape, np.nan)
    known = np.isfinite(values)
    x = values[known]
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
    out[known] = back
    return out


def chi_square(table: Any, *, correct: bool = True) -> TableTest:
    """Pearson's chi-square test; Yates' correction on 2 x 2 tables (R: stats::chisq.test).

    Raises
    ------
    NotEstimableError
        If fewer than two rows or columns hold anything.
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


def fisher_exact(table: Any, *, workspace: int = 2_000_000) -> TableTest:
    """Fisher's exact test of an r x c table, exact p by a walk over columns (R: stats::fisher.test).

    Parameters
    ----------
    table
        int[r, c].
    workspace
        Most states kept at once.

    Raises
    ------
    NotEstimableError
        If the table is too large for `workspace`; use `chi_square`.
    """
    from scipy.special import gammaln

    counts = _filled(table).astype(int)
    if counts.shape[0] > counts.shape[1]:
        counts = counts.T
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    log_factorial = gammaln(np.arange(counts.sum() + 1) + 1)
    constant = log_factorial[rows].sum() + log_factorial[columns].sum() - log_factorial[counts.sum()]
    observed = constant - log_factorial[counts].sum()
    p = _network(rows, columns, log_factorial, constant, observed, workspace)
    return TableTest(method="Fisher's exact", statistic=None, df=None, p=min(1.0, p))


def _network(
    rows: np.ndarray, columns: np.ndarray, lf: np.ndarray, constant: float, observed: float, workspace: int
) -> float:
    """Sum of the probabilities of tables no likelier than the observed one.

    States after each column are the rows' remaining totals; within a state the distribution of the
    accumulated log-probability is kept, equal values merged.
    """
    states: dict[tuple[int, ...], dict[float, float]] = {tuple(sorted(rows.tolist())): {0.0: 1.0}}
    for column in columns[:-1]:
        following: dict[tuple[int, ...], dict[float, float]] = {}
        size = 0
        for left, past in states.items():
            for split in _splits(left, int(column)):
                rest = tuple(sorted(a - b for a, b in zip(left, split, strict=True)))
                cost = -float(lf[list(split)].sum())
                target = following.setdefault(rest, {})
                for value, multiplicity in past.items():
                    key = round(value + cost, 9)
                    target[key] = target.get(key, 0.0) + multiplicity
                    size += 1
            if size > 20 * workspace:
                raise NotEstimableError(
                    "fisher_exact: the table is too large for an exact p; use chi_square."
                )
        states = following
    total = 0.0
    for left, past in states.items():
        last = constant - float(lf[list(left)].sum())
        for value, multiplicity in past.items():
            probability = value + last
            if probability <= observed + 1e-7:
                total += multiplicity * float(np.exp(probability))
    return total


def _splits(limits: tuple[int, ...], total: int) -> Any:
    """All ways to take `total` from cells with the given limits."""
    if len(limits) == 1:
        if total <= limits[0]:
            yield (total,)
        return
    rest = sum(limits[1:])
    for first in range(max(0, total - rest), min(limits[0], total) + 1):
        for others in _splits(limits[1:], total - first):
            yield (first, *others)


def wilcoxon(x: Any, y: Any) -> TableTest:
    """Wilcoxon rank-sum test (R: stats::wilcox.test): exact below 50 without ties, else normal with correction."""
    a, b = (np.asarray(v, float)[np.isfinite(np.asarray(v, float))] for v in (x, y))
    if not len(a) or not len(b):
        raise NotEstimableError("wilcoxon: an empty group.")
    both = np.concatenate([a, b])
    exact = len(a) < 50 and len(b) < 50 and len(np.unique(both)) == len(both)
    answer = stats.mannwhitneyu(a, b, method="exact" if exact else "asymptotic", use_continuity=True)
    return TableTest(
        method="Wilcoxon rank sum", statistic=float(answer.statistic), df=None, p=float(answer.pvalue)
    )


def kruskal(values: Any, groups: Any) -> TableTest:
    """Kruskal-Wallis test (R: stats::kruskal.test).

    Raises
    ------
    NotEstimableError
        If there are fewer than two groups.
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
