"""Tests of proportional hazards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import ConfigError, InputError
from pathosig.survival.coxfit import CoxFit
from pathosig.survival.curves import kaplan_meier
from pathosig.survival.likelihood import term_sums


@dataclass(frozen=True, kw_only=True)
class PhTest:
    """Score tests of proportional hazards, for each term and for all terms together.

    Attributes
    ----------
    names
        Names of the terms: of the columns, or those given to `ph_test`.
    statistic, df, p
        Chi-square test of each term; NaN if the data hold no information about its change over time.
    global_statistic, global_df, global_p
        Test of all terms together.
    transform
        Function of time with which coefficients may change.

    Examples
    --------
    >>> from pathosig.survival import cox
    >>> test = ph_test(cox([0, 1, 0, 1, 1, 0, 1, 0], [1, 2, 3, 4, 5, 6, 7, 8], [1, 1, 1, 0, 1, 1, 0, 1]), "rank")
    >>> test.names, test.global_df, round(test.global_p, 3)
    (('x1',), 1, 0.722)
    """

    names: tuple[str, ...]
    statistic: np.ndarray
    df: np.ndarray
    p: np.ndarray
    global_statistic: float
    global_df: int
    global_p: float
    transform: str

    def to_frame(self) -> pd.DataFrame:
        """One row per term, then the row GLOBAL."""
        return pd.DataFrame(
            {
                "name": [*self.names, "GLOBAL"],
                "statistic": [*self.statistic, self.global_statistic],
                "df": [*self.df, self.global_df],
                "p": [*self.p, self.global_p],
            }
        )


def ph_test(
    fit: CoxFit,
    transform: Literal["km", "rank", "identity", "log"] = "km",
    *,
    terms: Sequence[str] | None = None,
) -> PhTest:
    """Score tests of coefficients that change with a function of time (cox.zph of survival 3).

    Parameters
    ----------
    fit
        From `cox`.
    transform
        The function of time: ``km``, which is 1 - Kaplan-Meier (left-continuous), ``rank``, ``identity`` or ``log``.
    terms
        Name of the term to which each column belongs. Columns with the same name, such as the levels of a category, are
        tested together, as cox.zph does by default. By default every column is a term of its own.

    Returns
    -------
    PhTest

    Raises
    ------
    ConfigError
        If the transform is unknown.
    InputError
        If the number of `terms` is not that of the columns; E_TIME if an event happened at time 0 and the transform is
        ``log``.

    References
    ----------
    R: survival::cox.zph (>= 3.0). Grambsch & Therneau (1994), Biometrika 81.

    Examples
    --------
    >>> from pathosig.survival import cox
    >>> fit = cox([0, 1, 0, 1, 1, 0, 1, 0], [1, 2, 3, 4, 5, 6, 7, 8], [1, 1, 1, 0, 1, 1, 0, 1])
    >>> ph_test(fit).to_frame().round(3)
         name  statistic  df      p
    0      x1       0.04   1  0.842
    1  GLOBAL       0.04   1  0.842
    """
    sets = fit.sets
    event_time = sets.time[sets.end - 1]
    g_time = _transformed(fit, event_time, transform)
    x = fit.x - fit.means
    beta = np.nan_to_num(fit.coef)
    eta = x @ beta
    risk = sets.weight * np.exp(eta - eta.max(initial=0.0))
    term, v = sets.term_group, sets.term_weight
    s0 = term_sums(sets, risk)
    mean = term_sums(sets, risk[:, None] * x) / s0[:, None]
    p = x.shape[1]
    outer = (x[:, :, None] * x[:, None, :]).reshape(len(x), p * p) * risk[:, None]
    second = term_sums(sets, outer) / s0[:, None]
    variance = second.reshape(-1, p, p) - mean[:, :, None] * mean[:, None, :]
    weights_of = np.bincount(sets.group[sets.event], weights=sets.weight[sets.event], minlength=sets.n_groups)
    centre = np.average(g_time, weights=weights_of)
    g = g_time - centre
    observed = sets.deaths(sets.weight[:, None] * x)
    expected = np.zeros_like(observed)
    np.add.at(expected, term, v[:, None] * mean)
    score = g @ (observed - expected)
    gt = g[term]
    i11 = np.einsum("e,eij->ij", v, variance)
    i12 = np.einsum("e,eij->ij", v * gt, variance)
    i22 = np.einsum("e,eij->ij", v * gt * gt, variance)
    usable = (
        np.isfinite(fit.coef) & ~fit.separated
    )  # a column that separates events has no information to test
    keep = np.flatnonzero(usable)
    full = np.block([[i11, i12], [i12.T, i22]])
    names = np.array(fit.names if terms is None else terms, dtype=object)
    if len(names) != p:
        raise InputError(f"ph_test: {len(names)} terms for {p} columns.")
    order = tuple(dict.fromkeys(names))
    columns = [keep[names[keep] == name] for name in order]
    statistic = np.array([_statistic(score, full, keep, of_term) for of_term in columns])
    df = np.array([max(len(of_term), 1) for of_term in columns])
    index = [*keep, *(p + keep)]
    u = np.concatenate([np.zeros(len(keep)), score[keep]])
    total = float(u @ np.linalg.pinv(full[np.ix_(index, index)]) @ u) if len(keep) else 0.0
    return PhTest(
        names=order,
        statistic=statistic,
        df=df,
        p=stats.chi2.sf(statistic, df),
        global_statistic=total,
        global_df=len(keep),
        global_p=float(stats.chi2.sf(total, max(len(keep), 1))),
        transform=transform,
    )


def _statistic(score: np.ndarray, full: np.ndarray, keep: np.ndarray, tested: np.ndarray) -> float:
    """Score statistic of the change over time of some columns, given all constant effects; NaN without information.

    It is u' I^-1 u, where u = (0, score of the tested columns) and I is the information matrix of all constant effects and
    of the changes that are tested.
    """
    index = [*keep, *(len(score) + tested)]
    u = np.concatenate([np.zeros(len(keep)), score[tested]])
    block = full[np.ix_(index, index)]
    size = np.sqrt(np.maximum(np.diag(block), 0.0))
    if not len(tested) or not (size > 0).all():  # very few events hold no information about change over time
        return float("nan")
    scaled = block / np.outer(size, size)
    if np.linalg.matrix_rank(scaled, tol=1e-9, hermitian=True) < len(index):
        return float("nan")
    return float(u / size @ np.linalg.solve(scaled, u / size))


def _transformed(fit: CoxFit, times: np.ndarray, transform: str) -> np.ndarray:
    if transform == "identity":
        return times
    if transform == "log":
        if (times <= 0).any():
            raise InputError(
                "ph_test: an event at time 0 has no logarithm. Use transform='km' or 'rank'.", code="E_TIME"
            )
        return np.log(times)
    if transform == "rank":
        ranks = stats.rankdata(fit.sets.time)  # of all times, including censored ones
        lookup = dict(zip(fit.sets.time.tolist(), ranks.tolist(), strict=True))
        return np.array([lookup[t] for t in times.tolist()])
    if transform == "km":
        curve = kaplan_meier(fit.sets.time, fit.sets.event, entry=fit.sets.entry)
        before = np.concatenate([[1.0], curve.survival])
        return np.asarray(1 - before[np.searchsorted(curve.time, times, side="left")])
    raise ConfigError(f"ph_test: transform {transform!r}; expected km, rank, identity or log.")
