"""Cox regression with Efron or Breslow ties, strata, weights, delayed entry, robust standard errors and elastic net."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy import stats

from pathosig.survival.coxfit import CoxFit, Test
from pathosig.survival.data import as_columns, as_weights, fix_times, outcome
from pathosig.survival.groups import group_codes, labelled_codes
from pathosig.survival.likelihood import loglik_derivatives, score_residuals
from pathosig.survival.newton import Climb, independent, inverse, maximise
from pathosig.survival.path import elastic_net
from pathosig.survival.risksets import RiskSets, risk_sets


def cox(
    X: Any,
    time: Any,
    event: Any,
    *,
    ties: Literal["efron", "breslow"] = "efron",
    strata: Any = None,
    cluster: Any = None,
    penalty: float = 0.0,
    l1_ratio: float = 0.0,
    weights: Any = None,
    entry: Any = None,
    conf_level: float = 0.95,
) -> CoxFit:
    """Cox proportional hazards regression by Newton's method.

    Parameters
    ----------
    X
        [n, p] numbers, array or DataFrame; rows with missing values are left out and counted in `n_missing`.
    time, event
        [n]; time >= 0 in any unit; event is True (or 1) if it happened, False (or 0) if the patient was censored.
    ties
        ``efron`` (R's default) or ``breslow``.
    strata
        [n] labels of strata, each with its own baseline hazard; or [n, s] labels whose combinations are the strata.
    cluster
        [n] labels of clusters, for robust (sandwich) standard errors.
    penalty, l1_ratio
        Elastic net: minimises ``-loglik / n + penalty * (l1_ratio |b|_1 + (1 - l1_ratio) / 2 |b|^2)``, which is glmnet's
        objective without standardisation. Standard errors then ignore the bias of the penalty.
    weights
        [n] case weights >= 0; rows of weight 0 are left out. As in R, weights that are not whole numbers give robust
        standard errors, in which every row is a cluster of its own unless `cluster` is given.
    entry
        [n] times of delayed entry; rows whose entry is not before their time are left out.
    conf_level
        Confidence level of the intervals.

    Returns
    -------
    CoxFit

    Raises
    ------
    NotEstimableError
        If there is no event among complete rows.
    InputError
        E_TIME, E_EVENT, E_WEIGHT, E_GROUP, or if lengths differ.

    Notes
    -----
    A column that is constant, or a linear combination of earlier columns, has no estimate (NaN, where coxph gives NA). A
    column that separates events is marked in `separated`, and its coefficient is large but arbitrary. Neither affects the
    estimates of other columns, which are those to which coxph converges.

    Examples
    --------
    >>> from pathosig.survival import cox
    >>> fit = cox([[0.2], [1.5], [0.3], [2.0], [0.1]], [5, 1, 4, 2, 6], [1, 1, 0, 1, 0])
    >>> f"{fit.hr[0]:.2f}"
    '6.14'

    References
    ----------
    R: survival::coxph, basehaz; glmnet with penalty. Efron (1977), JASA 72; Therneau & Grambsch (2000).
    """
    x_all, names = as_columns(X)
    t, d, start = outcome(time, event, entry=entry, rows=len(x_all), what="cox")
    w = as_weights(weights, len(t))
    kept = np.isfinite(x_all).all(axis=1) & (w > 0)
    if start is not None:
        kept &= start < t
    strata_codes, labels = labelled_codes(strata, len(t), what="strata")
    fixed = fix_times(t[kept]) if start is None else fix_times(t[kept], start[kept])
    sets = risk_sets(
        fixed[0],
        d[kept],
        stratum=strata_codes[kept],
        weight=w[kept],
        entry=None if start is None else fixed[1],
        ties=ties,
    )
    x = x_all[kept][sets.order]
    means = _centre(x, sets.weight)
    spread = np.maximum(x.std(axis=0), 1e-300) if len(x) else np.ones(x.shape[1])
    # With columns on one scale, lengths of steps, tolerances and collinearity mean the same for all of them.
    z = (x - x.mean(axis=0)) / spread
    zero = np.zeros(x.shape[1])
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        loglik0, score0, info0 = loglik_derivatives(zero, z, sets)
        usable = independent(z, info0, sets.stratum)
        rows = z[:, usable]
        ridge = penalty * (1 - l1_ratio) * len(x) / spread[usable] ** 2
        if penalty > 0 and l1_ratio > 0:
            beta = elastic_net(x[:, usable] - x[:, usable].mean(axis=0), sets, penalty, l1_ratio)
            climb = Climb(
                beta=beta * spread[usable], iterations=0, converged=True, endless=np.zeros(len(beta), bool)
            )
        else:
            climb = _climb(rows, sets, ridge)
        beta = climb.beta
        loglik, _, info = loglik_derivatives(beta, rows, sets)
        covariance = inverse(info + np.diag(ridge))
        naive = np.sqrt(np.diag(covariance))
        robust = cluster is not None or bool((w % 1 != 0).any())
        if robust:
            groups = np.arange(len(t)) if cluster is None else group_codes(cluster, len(t), what="cluster")
            residuals = score_residuals(beta, rows, sets) * sets.weight[:, None]
            summed = np.zeros((groups.max() + 1, len(beta)))
            np.add.at(summed, groups[kept][sets.order], residuals)
            influence = summed @ covariance
            covariance = influence.T @ influence
    wald = _quadratic(beta, covariance)
    score_stat = _quadratic(score0[usable], info0[np.ix_(usable, usable)])
    scale = spread[usable]
    full = np.full((x.shape[1], x.shape[1]), 0.0)
    full[np.ix_(usable, usable)] = covariance / np.outer(scale, scale)
    coef, se = _spread_out(beta / scale, usable), _spread_out(np.sqrt(np.diag(covariance)) / scale, usable)
    runaway = np.zeros(x.shape[1], bool)
    runaway[usable] = climb.endless
    width = stats.norm.ppf(0.5 + conf_level / 2) * se
    with np.errstate(over="ignore"):
        lower, upper = np.exp(coef - width), np.exp(coef + width)
    df = int(usable.sum())
    converged = climb.converged or bool(climb.endless.any())
    return CoxFit(
        names=names,
        coef=coef,
        se=se,
        naive_se=_spread_out(naive / scale, usable),
        z=coef / se,
        p=2 * stats.norm.sf(np.abs(coef / se)),
        lower=lower,
        upper=upper,
        covariance=full,
        loglik=loglik,
        loglik_null=loglik0,
        lr_test=_chi2(2 * (loglik - loglik0), df),
        wald_test=_chi2(wald, df),
        score_test=_chi2(score_stat, df),
        means=means,
        n=int(kept.sum()),
        n_events=int(sets.event.sum()),
        n_missing=int((~kept).sum()),
        ties=ties,
        iterations=climb.iterations,
        converged=converged,
        conf_level=conf_level,
        robust=robust,
        separated=runaway,
        warnings=_notes(names, usable, runaway, converged, int(sets.event.sum())),
        kept=kept,
        sets=sets,
        x=x,
        strata=labels,
    )


def _centre(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Value that R subtracts from each column: its weighted mean, but 0 if it holds only -1, 0 and 1 (nocenter)."""
    if not x.size:
        return np.zeros(x.shape[1])
    plain = np.isin(x, (-1.0, 0.0, 1.0)).all(axis=0)
    return np.asarray(np.where(plain, 0.0, np.average(x, axis=0, weights=weight)))


def _climb(x: np.ndarray, sets: RiskSets, ridge: np.ndarray) -> Climb:
    """Maximum of the partial likelihood minus ridge b^2 / 2."""

    def at(beta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        loglik, score, info = loglik_derivatives(beta, x, sets)
        return loglik - float(ridge @ beta**2) / 2, score - ridge * beta, info + np.diag(ridge)

    return maximise(at, np.zeros(x.shape[1]))


def _spread_out(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    out = np.full(len(usable), np.nan)
    out[usable] = values
    return out


def _quadratic(vector: np.ndarray, matrix: np.ndarray) -> float:
    """Quadratic form v' M^-1 v with M scaled to a diagonal of 1; columns without a variance are left out."""
    diagonal = np.diag(matrix)
    there = np.isfinite(diagonal) & (diagonal > 0)
    if not there.any():
        return 0.0
    scale = 1 / np.sqrt(diagonal[there])
    v = vector[there] * scale
    return float(
        v @ np.linalg.pinv(matrix[np.ix_(there, there)] * np.outer(scale, scale), hermitian=True) @ v
    )


def _chi2(statistic: float, df: int) -> Test:
    return Test(statistic=statistic, df=df, p=float(stats.chi2.sf(statistic, df)) if df else 1.0)


def _notes(
    names: tuple[str, ...], usable: np.ndarray, separated: np.ndarray, converged: bool, events: int
) -> tuple[str, ...]:
    out = [
        f"column {n} is constant or a combination of earlier columns and has no estimate"
        for n, u in zip(names, usable, strict=True)
        if not u
    ]
    out += [
        f"column {n} separates events (infinite estimate); use firth_cox"
        for n, s in zip(names, separated, strict=True)
        if s
    ]
    if not converged:
        out.append("Newton's method did not converge")
    if events == 1:
        out.append("there is only one event")
    return tuple(out)
