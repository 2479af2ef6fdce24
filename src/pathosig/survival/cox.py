"""Cox regression: Efron or Breslow ties, strata, weights, delayed entry, robust SE, elastic net."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats

from pathosig.core.errors import InputError, NotEstimableError
from pathosig.survival.coxfit import CoxFit, Test, term_sums
from pathosig.survival.data import (
    RiskSets,
    as_columns,
    as_events,
    as_times,
    codes,
    fix_times,
    labelled_codes,
    risk_sets,
)

if TYPE_CHECKING:
    pass

_MAX_ITER = 50
_EPS = 1e-11
_SEPARATED = 12.0
"""Largest |coefficient x SD of the column| that data with finite estimates give."""


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
        [n, p] numbers, array or DataFrame; rows with missing values are left out and counted.
    time, event
        [n]; time >= 0, event True where it happened.
    ties
        ``efron`` (R's default) or ``breslow``.
    strata
        [n] labels: a baseline hazard each.
    cluster
        [n] labels: robust (sandwich) standard errors, one contribution a cluster.
    penalty, l1_ratio
        Elastic net, minimising ``-loglik / n + penalty * (l1_ratio |b|_1 + (1 - l1_ratio) / 2 |b|^2)``, glmnet's
        scale without standardisation; standard errors then ignore the penalty's bias.
    weights
        [n] case weights > 0. Weights that are not whole numbers give robust standard errors, as in R, every row a
        cluster of its own where none are named.
    entry
        [n] times of delayed entry, < time.
    conf_level
        Of the intervals.

    Returns
    -------
    CoxFit

    Raises
    ------
    NotEstimableError
        If there is no event among complete rows.
    InputError
        E_TIME, E_EVENT, or lengths that differ.

    References
    ----------
    R: survival::coxph, basehaz; glmnet with penalty. Efron (1977), JASA 72; Therneau & Grambsch (2000).
    """
    x_all, names = as_columns(X)
    t, d = as_times(time), as_events(event)
    if not len(x_all) == len(t) == len(d):
        raise InputError(f"cox: X has {len(x_all)} rows, time {len(t)}, event {len(d)}.")
    start = None if entry is None else as_times(entry, name="entry")
    w = np.ones(len(t)) if weights is None else np.asarray(weights, float)
    kept = np.isfinite(x_all).all(axis=1) & np.isfinite(t) & np.isfinite(w) & (w > 0)
    if start is not None:
        kept &= np.isfinite(start) & (start < t)
    (strata_codes, labels), cluster_codes = labelled_codes(strata, len(t)), codes(cluster, len(t))
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
    means = np.average(x, axis=0, weights=sets.weight) if x.shape[1] else np.zeros(0)
    centred = x - means
    if penalty > 0 and l1_ratio > 0:
        from pathosig.survival.path import elastic_net

        beta, iterations, converged = elastic_net(centred, sets, penalty, l1_ratio), 0, True
    else:
        beta, iterations, converged = _newton(centred, sets, penalty)
    loglik, _, info = loglik_derivatives(beta, centred, sets)
    zero = np.zeros_like(beta)
    loglik0, score0, info0 = loglik_derivatives(zero, centred, sets)
    usable = _usable(info0, centred, sets)  # not at beta: under separation its information vanishes
    covariance = _inverse(info + penalty * (1 - l1_ratio) * len(x) * np.eye(len(beta)), usable)
    naive = _root(np.diag(covariance), usable)
    robust = cluster is not None or bool((w % 1 != 0).any())
    if robust:
        residuals = score_residuals(beta, centred, sets) * sets.weight[:, None]
        groups = (np.arange(len(t)) if cluster is None else cluster_codes)[kept][sets.order]
        summed = np.zeros((groups.max() + 1, len(beta)))
        np.add.at(summed, groups, residuals)
        influence = summed @ covariance
        covariance = influence.T @ influence
    se = _root(np.diag(covariance), usable)
    coef = np.where(usable, beta, np.nan)
    z = coef / se
    width = stats.norm.ppf(0.5 + conf_level / 2) * se
    with np.errstate(over="ignore"):
        lower, upper = np.exp(coef - width), np.exp(coef + width)
    df = int(usable.sum())
    inside = np.ix_(usable, usable)
    wald = float(beta[usable] @ np.linalg.pinv(covariance[inside]) @ beta[usable]) if df else 0.0
    score_stat = float(score0 @ _inverse(info0, usable) @ score0)
    notes = _notes(names, usable, coef, naive, centred, converged, int(sets.event.sum()))
    return CoxFit(
        names=names,
        coef=coef,
        se=se,
        naive_se=naive,
        z=z,
        p=2 * stats.norm.sf(np.abs(z)),
        lower=lower,
        upper=upper,
        covariance=covariance,
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
        iterations=iterations,
        converged=converged,
        conf_level=conf_level,
        robust=robust,
        warnings=notes,
        kept=kept,
        sets=sets,
        x=x,
        strata=labels,
    )


def _chi2(statistic: float, df: int) -> Test:
    return Test(statistic=statistic, df=df, p=float(stats.chi2.sf(statistic, df)) if df else 1.0)


def _notes(
    names: tuple[str, ...],
    usable: np.ndarray,
    coef: np.ndarray,
    se: np.ndarray,
    x: np.ndarray,
    converged: bool,
    events: int,
) -> tuple[str, ...]:
    out = [
        f"column {n} is constant or repeats others; no estimate"
        for n, u in zip(names, usable, strict=True)
        if not u
    ]
    spread = np.abs(np.nan_to_num(coef)) * x.std(axis=0) if len(coef) else np.zeros(0)
    # a rare column has a small SD: there a huge effect over its range without any information tells
    effect = np.abs(np.nan_to_num(coef)) * np.ptp(x, axis=0) if len(coef) else spread
    flat = (effect > 10) & ~(np.abs(coef) > 0.1 * se)
    out += [
        f"column {n} separates events (infinite estimate); use firth_cox"
        for n, s, f in zip(names, spread, flat, strict=True)
        if s > _SEPARATED or f
    ]
    if not converged:
        out.append("Newton's method did not converge")
    if events == 1:
        out.append("there is one event only")
    return tuple(out)


def loglik_derivatives(
    beta: np.ndarray, x: np.ndarray, sets: RiskSets
) -> tuple[float, np.ndarray, np.ndarray]:
    """Log partial likelihood, its gradient[p] and the information[p, p] at beta; rows of x as in `sets`."""
    eta = x @ beta
    eta = eta - eta.max(initial=0.0) if len(eta) else eta
    risk = sets.weight * np.exp(eta)
    g, f, v = sets.term_group, sets.term_fraction, sets.term_weight
    s0 = term_sums(sets, risk)
    weighted = risk[:, None] * x
    s1 = sets.at_risk(weighted)[g] - f[:, None] * sets.deaths(weighted)[g]
    per_event = sets.weight * sets.event
    if not (s0 > 0).all():  # a step so long that risks underflow: the caller halves it
        return -np.inf, np.zeros_like(beta), np.zeros((len(beta), len(beta)))
    mean = s1 / s0[:, None]
    loglik = float(per_event @ eta - v @ np.log(s0))
    score = per_event @ x - v @ mean
    info = (x * (risk * exposure(sets, v / s0))[:, None]).T @ x - (mean * v[:, None]).T @ mean
    return loglik, score, info


def exposure(sets: RiskSets, terms: np.ndarray) -> np.ndarray:
    """For each row the sum of terms over event terms it is at risk for, tied deaths counted down (Efron)."""
    g = sets.term_group
    shape = (sets.n_groups, *terms.shape[1:])
    total, down = np.zeros(shape), np.zeros(shape)
    np.add.at(total, g, terms)
    fraction = sets.term_fraction.reshape(-1, *[1] * (terms.ndim - 1))
    np.add.at(down, g, fraction * terms)
    out = sets.spread(total)
    out[sets.event] -= down[sets.group[sets.event]]
    return out


def score_residuals(beta: np.ndarray, x: np.ndarray, sets: RiskSets) -> np.ndarray:
    """Score residuals, unweighted, [n, p] in the order of `sets` (R: residuals(type="score"))."""
    eta = x @ beta
    eta = eta - eta.max(initial=0.0)
    risk = sets.weight * np.exp(eta)
    g, f, v = sets.term_group, sets.term_fraction, sets.term_weight
    s0 = term_sums(sets, risk)
    weighted = risk[:, None] * x
    mean = (sets.at_risk(weighted)[g] - f[:, None] * sets.deaths(weighted)[g]) / s0[:, None]
    a = exposure(sets, v / s0)
    b = exposure(sets, (v / s0)[:, None] * mean)
    out = -np.exp(eta)[:, None] * (x * a[:, None] - b)
    count = np.bincount(g, minlength=sets.n_groups)
    average = np.zeros((sets.n_groups, x.shape[1]))
    np.add.at(average, g, mean)
    average /= count[:, None]
    out[sets.event] += x[sets.event] - average[sets.group[sets.event]]
    return out


def _root(variance: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Standard errors; NaN where there is no estimate or the likelihood is flat to rounding."""
    return np.sqrt(np.where(usable & (variance > 0), variance, np.nan))


def _newton(x: np.ndarray, sets: RiskSets, ridge: float) -> tuple[np.ndarray, int, bool]:
    """Maximiser of the (ridge-penalised) partial likelihood."""
    beta = np.zeros(x.shape[1])
    penalty = ridge * len(x)
    loglik, score, info = loglik_derivatives(beta, x, sets)
    value = loglik
    usable = _usable(info, x, sets)
    for iteration in range(1, _MAX_ITER + 1):
        gradient = score - penalty * beta
        step = _inverse(info + penalty * np.eye(len(beta)), usable) @ gradient
        for _ in range(30):
            trial = beta + step
            loglik, score, info = loglik_derivatives(trial, x, sets)
            new = loglik - penalty / 2 * float(trial @ trial)
            if np.isfinite(new) and new >= value - 1e-10 * abs(value):
                break
            step = step / 2
        small = abs(new - value) <= _EPS * (abs(value) + 1e-8) and np.max(
            np.abs(step), initial=0.0
        ) < 1e-7 * (1 + np.max(np.abs(trial), initial=0.0))
        beta, value = trial, new
        if small:
            return beta, iteration, True
        if np.any(np.abs(beta) * x.std(axis=0) > 2 * _SEPARATED):  # runs away: infinite estimate
            return beta, iteration, False
    return beta, _MAX_ITER, False


def _usable(info: np.ndarray, x: np.ndarray, sets: RiskSets) -> np.ndarray:
    """Columns that carry information of their own within strata, earlier ones first (R's NA coefficients)."""
    scale = np.sqrt(np.maximum(np.diag(info), 0))
    if not len(x):
        return scale > 0
    largest = 1 + np.abs(x).max(axis=0, initial=0.0)
    within = x - _stratum_means(x, sets.stratum)
    usable = (within.std(axis=0) > 1e-12 * largest) & (scale > 0)
    if not usable.any():
        return usable
    columns = np.flatnonzero(usable)
    normal = within[:, columns] / within[:, columns].std(axis=0)
    upper = np.linalg.qr(normal, mode="r")
    rank = np.abs(np.diag(upper)) > 1e-8 * np.sqrt(len(x))
    if len(rank) == len(columns) and not rank.all():
        usable[columns[~rank]] = False
    elif len(rank) < len(columns):
        usable[columns[len(rank) :]] = False
    return usable


def _stratum_means(x: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Mean of each column in the row's own stratum, [n, p]."""
    labels, which = np.unique(stratum, return_inverse=True)
    if len(labels) == 1:
        return np.broadcast_to(x.mean(axis=0), x.shape)
    sums = np.zeros((len(labels), x.shape[1]))
    np.add.at(sums, which.ravel(), x)
    means: np.ndarray = (sums / np.bincount(which.ravel())[:, None])[which.ravel()]
    return means


def _inverse(info: np.ndarray, usable: np.ndarray) -> np.ndarray:
    out = np.zeros_like(info)
    if usable.any():
        inside = np.ix_(usable, usable)
        block = info[inside]
        try:
            out[inside] = np.linalg.inv(block)
        except np.linalg.LinAlgError:
            out[inside] = np.linalg.pinv(block)
    return out


def require_events(event: np.ndarray, minimum: int, what: str) -> None:
    """Raise unless there are enough events.

    Raises
    ------
    NotEstimableError
        With the count found and the count needed.
    """
    found = int(np.sum(event))
    if found < minimum:
        raise NotEstimableError(f"{what}: {found} events; at least {minimum} are needed.", code="E_EVENTS")
