"""Tests of proportional hazards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats

from pathosig.core.errors import ConfigError
from pathosig.survival.coxfit import CoxFit, term_sums
from pathosig.survival.curves import kaplan_meier

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class PhTest:
    """Score tests of proportional hazards, per column and global."""

    names: tuple[str, ...]
    statistic: np.ndarray
    p: np.ndarray
    global_statistic: float
    global_df: int
    global_p: float
    transform: str

    def to_frame(self) -> pd.DataFrame:
        """One row per column, then GLOBAL."""
        import pandas as pd

        return pd.DataFrame(
            {
                "name": [*self.names, "GLOBAL"],
                "statistic": [*self.statistic, self.global_statistic],
                "df": [*[1] * len(self.names), self.global_df],
                "p": [*self.p, self.global_p],
            }
        )


def ph_test(fit: CoxFit, transform: Literal["km", "rank", "identity", "log"] = "km") -> PhTest:
    """Score test for a coefficient that changes with a function of time (cox.zph of survival 3).

    Parameters
    ----------
    fit
        From `cox`.
    transform
        g(t): ``km`` 1 - Kaplan-Meier (left-continuous), ``rank``, ``identity`` or ``log``.

    Raises
    ------
    ConfigError
        On an unknown transform.

    References
    ----------
    R: survival::cox.zph (>= 3.0). Grambsch & Therneau (1994), Biometrika 81.
    """
    sets = fit.sets
    event_time = sets.time[sets.end - 1]
    g_time = _transformed(fit, event_time, transform)
    x = fit.x - fit.means
    beta = np.nan_to_num(fit.coef)
    eta = x @ beta
    risk = sets.weight * np.exp(eta - eta.max(initial=0.0))
    term, fraction, v = sets.term_group, sets.term_fraction, sets.term_weight
    s0 = term_sums(sets, risk)
    weighted = risk[:, None] * x
    mean = (sets.at_risk(weighted)[term] - fraction[:, None] * sets.deaths(weighted)[term]) / s0[:, None]
    p = x.shape[1]
    outer = (x[:, :, None] * x[:, None, :]).reshape(len(x), p * p) * risk[:, None]
    second = (sets.at_risk(outer)[term] - fraction[:, None] * sets.deaths(outer)[term]) / s0[:, None]
    variance = second.reshape(-1, p, p) - mean[:, :, None] * mean[:, None, :]
    count = np.bincount(term, minlength=sets.n_groups)
    weights_of = np.bincount(sets.group[sets.event], weights=sets.weight[sets.event], minlength=sets.n_groups)
    centre = np.average(g_time, weights=weights_of)
    g = g_time - centre
    observed = sets.deaths(sets.weight[:, None] * x)
    expected = np.zeros_like(observed)
    np.add.at(expected, term, v[:, None] * mean)
    score = g @ (observed - expected)
    del count
    gt = g[term]
    i11 = np.einsum("e,eij->ij", v, variance)
    i12 = np.einsum("e,eij->ij", v * gt, variance)
    i22 = np.einsum("e,eij->ij", v * gt * gt, variance)
    usable = np.isfinite(fit.coef)
    statistic = np.full(p, np.nan)
    full = np.block([[i11, i12], [i12.T, i22]])
    for j in np.flatnonzero(usable):
        index = [*np.flatnonzero(usable), p + j]
        u = np.zeros(len(index))
        u[-1] = score[j]
        block = full[np.ix_(index, index)]
        if np.linalg.matrix_rank(block) == len(index):  # a handful of events leave no information over time
            statistic[j] = u @ np.linalg.solve(block, u)
    keep = np.flatnonzero(usable)
    index = [*keep, *(p + keep)]
    u = np.concatenate([np.zeros(len(keep)), score[keep]])
    total = float(u @ np.linalg.pinv(full[np.ix_(index, index)]) @ u) if len(keep) else 0.0
    return PhTest(
        names=fit.names,
        statistic=statistic,
        p=stats.chi2.sf(statistic, 1),
        global_statistic=total,
        global_df=len(keep),
        global_p=float(stats.chi2.sf(total, max(len(keep), 1))),
        transform=transform,
    )


def _transformed(fit: CoxFit, times: np.ndarray, transform: str) -> np.ndarray:
    if transform == "identity":
        return times
    if transform == "log":
        return np.log(times)
    if transform == "rank":
        ranks = stats.rankdata(fit.sets.time)  # of all times, censored ones too
        lookup = dict(zip(fit.sets.time.tolist(), ranks.tolist(), strict=True))
        return np.array([lookup[t] for t in times.tolist()])
    if transform == "km":
        curve = kaplan_meier(fit.sets.time, fit.sets.event, entry=fit.sets.entry)
        before = np.concatenate([[1.0], curve.survival])
        return np.asarray(1 - before[np.searchsorted(curve.time, times, side="left")])
    raise ConfigError(f"ph_test: transform {transform!r}; expected km, rank, identity or log.")
