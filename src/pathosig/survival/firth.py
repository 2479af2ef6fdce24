"""Firth's penalised Cox regression: finite estimates under separation and with sparse columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from pathosig.survival.data import as_columns, as_weights, fix_times, outcome
from pathosig.survival.groups import group_codes
from pathosig.survival.likelihood import loglik_derivatives, score_residuals, term_sums
from pathosig.survival.newton import Derivatives, independent, inverse, maximise
from pathosig.survival.risksets import RiskSets, risk_sets

_STEP = 1e-4
_MAX_ITER = 40
_NOISE = 1e-13
_LONGEST = 1.0
"""Longest step in standard deviations (coxphf's maxstep); a longer one could end where there is no information left."""
_WIDENINGS = 12


@dataclass(frozen=True, kw_only=True)
class FirthFit:
    """A Cox model with Firth's penalty.

    Attributes
    ----------
    names
        Names of the p columns.
    coef, se
        float[p] log hazard ratios and their standard errors; NaN for columns without an estimate.
    lower, upper, p
        float[p] confidence interval of the hazard ratio, and p-value, from the penalised profile likelihood; with clusters
        or fractional weights from robust Wald tests.
    loglik
        Penalised log partial likelihood.
    n, n_events
        Rows used, and events among them.
    converged
        Whether the maximisation converged.

    Examples
    --------
    >>> fit = firth_cox([1, 1, 1, 0, 0, 0], [1, 2, 3, 4, 5, 6], [1, 1, 1, 0, 0, 0])
    >>> fit.to_frame()[["name", "hr", "p"]].round(2)
      name    hr     p
    0   x1  13.0  0.04
    """

    names: tuple[str, ...]
    coef: np.ndarray
    se: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p: np.ndarray
    loglik: float
    n: int
    n_events: int
    converged: bool

    @property
    def hr(self) -> np.ndarray:
        """Hazard ratios, float[p]."""
        return np.exp(self.coef)

    def to_frame(self) -> pd.DataFrame:
        """One row per column: name, coef, hr, lower, upper, se, p."""
        names = ("coef", "hr", "lower", "upper", "se", "p")
        return pd.DataFrame({"name": self.names, **{n: getattr(self, n) for n in names}})


def firth_cox(
    X: Any,
    time: Any,
    event: Any,
    *,
    ties: str = "breslow",
    strata: Any = None,
    weights: Any = None,
    cluster: Any = None,
    entry: Any = None,
    conf_level: float = 0.95,
) -> FirthFit:
    """Cox regression with Firth's penalty: finite estimates under separation and with sparse columns.

    Parameters
    ----------
    X, time, event, strata, weights, entry
        As in `cox`; rows with missing values are left out. Columns that are constant, or a linear combination of earlier
        ones, have no estimate (NaN), and the other estimates are those of the model without them.
    ties
        ``breslow``, as in coxphf, or ``efron``.
    cluster
        [n] labels of clusters. Standard errors are then robust, and intervals and p-values are Wald's instead of those of the
        profile likelihood. The same holds for weights that are not whole numbers, with every row a cluster of its own.
    conf_level
        Confidence level of the intervals.

    Returns
    -------
    FirthFit

    Raises
    ------
    NotEstimableError
        If there is no event.
    InputError
        As in `cox`.

    References
    ----------
    R: coxphf::coxphf. Heinze & Schemper (2001), Biometrics 57.

    Examples
    --------
    >>> x, time, event = [1, 1, 1, 0, 0, 0], [1, 2, 3, 4, 5, 6], [1, 1, 1, 0, 0, 0]  # cox would give infinity
    >>> fit = firth_cox(x, time, event)
    >>> fit.hr.round(1), fit.lower.round(2), fit.upper.round(0)
    (array([13.]), array([1.17]), array([1783.]))
    """
    x_all, names = as_columns(X)
    t, d, start = outcome(time, event, entry=entry, rows=len(x_all), what="firth_cox")
    w = as_weights(weights, len(t))
    kept = np.isfinite(x_all).all(axis=1) & (w > 0)
    if start is not None:
        kept &= start < t
    fixed = fix_times(t[kept]) if start is None else fix_times(t[kept], start[kept])
    sets = risk_sets(
        fixed[0],
        d[kept],
        stratum=group_codes(strata, len(t), what="strata")[kept],
        weight=w[kept],
        entry=None if start is None else fixed[1],
        ties=ties,
    )
    x = x_all[kept][sets.order]
    scale = np.maximum(x.std(axis=0), 1e-300) if len(x) else np.ones(x.shape[1])
    z = (x - x.mean(axis=0)) / scale
    usable = independent(z, loglik_derivatives(np.zeros(x.shape[1]), z, sets)[2], sets.stratum)
    z, scale = z[:, usable], scale[usable]
    table = np.full((5, x.shape[1]), np.nan)  # coef, se, lower, upper, p
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        peak = _Penalised(z, sets).climb(np.zeros(z.shape[1]), np.arange(z.shape[1]))
        beta = peak.beta
        covariance = inverse(loglik_derivatives(beta, z, sets)[2])
        if cluster is not None or bool((w % 1 != 0).any()):
            groups = np.arange(len(t)) if cluster is None else group_codes(cluster, len(t), what="cluster")
            summed = np.zeros((groups.max() + 1, len(beta)))
            residuals = score_residuals(beta, z, sets) * sets.weight[:, None]
            np.add.at(summed, groups[kept][sets.order], residuals)
            se = np.sqrt(((summed @ covariance) ** 2).sum(axis=0))
            width = stats.norm.ppf(0.5 + conf_level / 2) * se
            limits, p = (beta - width, beta + width), 2 * stats.norm.sf(np.abs(beta / se))
        else:
            se = np.sqrt(np.diag(covariance))
            limits, p = _profiles(_Penalised(z, sets), peak, se, conf_level)
    table[:, usable] = [
        beta / scale,
        se / scale,
        np.exp(limits[0] / scale),
        np.exp(limits[1] / scale),
        p,
    ]
    coef, errors, lower, upper, p_values = table
    return FirthFit(
        names=names,
        coef=coef,
        se=errors,
        lower=lower,
        upper=upper,
        p=p_values,
        loglik=peak.value
        + float(np.log(scale).sum()),  # on the scale of the data, not of standardised columns
        n=int(kept.sum()),
        n_events=int(sets.event.sum()),
        converged=peak.converged,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Peak:
    beta: np.ndarray
    value: float
    converged: bool


@dataclass(frozen=True, slots=True)
class _Penalised:
    """Firth's objective l*(b) = l(b) + log det I(b) / 2 on standardised columns."""

    x: np.ndarray
    sets: RiskSets

    def derivatives(self, beta: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient of the objective.

        dl*/db_k = U_k + tr(I^-1 dI/db_k) / 2. With m and C the mean and covariance of x over a risk set, and
        q = x' I^-1 x, tr(I^-1 dI/db_k) = sum_terms v (E[x_k q] - m_k E[q] - 2 (C I^-1 m)_k), a third central moment.
        """
        x, sets, p = self.x, self.sets, self.x.shape[1]
        loglik, score, info = loglik_derivatives(beta, x, sets)
        if not np.isfinite(loglik) or np.linalg.eigvalsh(info).min(initial=1.0) < _NOISE * sets.weight.sum():
            return -np.inf, np.zeros(
                p
            )  # the information, and so its determinant, is only rounding error here
        logdet = np.linalg.slogdet(info)[1]
        inner = np.linalg.inv(info)
        eta = x @ beta
        risk = sets.weight * np.exp(eta - eta.max(initial=0.0))
        s0 = term_sums(sets, risk)[:, None]
        outer = (x[:, :, None] * x[:, None, :]).reshape(len(x), p * p)
        quadratic = ((x @ inner) * x).sum(axis=1, keepdims=True)
        columns = np.concatenate([x, quadratic, x * quadratic, outer], axis=1)
        moments = term_sums(sets, risk[:, None] * columns) / s0
        mean, q, third = moments[:, :p], moments[:, p : p + 1], moments[:, p + 1 : 2 * p + 1]
        covariance = moments[:, 2 * p + 1 :].reshape(-1, p, p) - mean[:, :, None] * mean[:, None, :]
        bend = np.einsum("tij,tj->ti", covariance, mean @ inner)
        return loglik + 0.5 * logdet, score + 0.5 * sets.term_weight @ (third - mean * q - 2 * bend)

    def climb(self, start: np.ndarray, free: np.ndarray) -> _Peak:
        """Maximum over the free columns, with the coefficients of the others fixed."""

        def placed(values: np.ndarray) -> np.ndarray:
            beta = start.copy()
            beta[free] = values
            return beta

        def at(values: np.ndarray) -> Derivatives:
            value, gradient = self.derivatives(placed(values))
            if not np.isfinite(value):
                return value, gradient[free], np.eye(len(free))
            curvature = np.empty((len(free), len(free)))
            for j, step in enumerate(_STEP * np.eye(len(free))):
                up = self.derivatives(placed(values + step))[1][free]
                down = self.derivatives(placed(values - step))[1][free]
                curvature[j] = (down - up) / (2 * _STEP)
            curvature = (curvature + curvature.T) / 2
            if not np.isfinite(curvature).all() or np.linalg.eigvalsh(curvature).min() <= 0:
                # the information, as in coxphf, which is always positive
                info = loglik_derivatives(placed(values), self.x, self.sets)[2]
                curvature = info[np.ix_(free, free)]
            return value, gradient[free], curvature

        climb = maximise(at, start[free], gain=1e-13, longest=_LONGEST, max_iter=_MAX_ITER)
        beta = placed(climb.beta)
        return _Peak(beta=beta, value=self.derivatives(beta)[0], converged=climb.converged)


def _profiles(
    penalised: _Penalised, peak: _Peak, se: np.ndarray, conf_level: float
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Profile-likelihood interval and p-value of every column: 2 (l*(b) - max l*(b | b_j)) compared with chi-square(1)."""
    everything = np.arange(len(peak.beta))
    target = peak.value - stats.chi2.ppf(conf_level, 1) / 2
    lower, upper, p = (np.full(len(everything), np.nan) for _ in range(3))
    for j in range(len(everything)):
        others = everything[everything != j]
        latest = peak.beta

        def profile(b: float, j: int = j, others: np.ndarray = others) -> float:
            nonlocal latest
            start = latest.copy()
            start[j] = b
            if not np.isfinite(penalised.derivatives(start)[0]):
                start = np.zeros(len(start))
                start[j] = b
            if not np.isfinite(penalised.derivatives(start)[0]):
                return -np.inf
            best = penalised.climb(start, others)
            latest = best.beta
            return best.value

        p[j] = stats.chi2.sf(max(0.0, 2 * (peak.value - profile(0.0))), 1)
        for side, sign in ((lower, -1.0), (upper, 1.0)):
            latest = peak.beta
            side[j] = _crossing(profile, peak.beta[j], sign * se[j], target)
    return (lower, upper), p


def _crossing(profile: Callable[[float], float], centre: float, step: float, target: float) -> float:
    """Where the profile decreases to the target, searched outwards from the estimate; infinity if it never does."""
    inner, reach = centre, centre + 2 * step

    def gap(b: float) -> float:
        return (
            max(profile(b), target - 1e3) - target
        )  # far from the estimate the value is -inf, which brentq cannot use

    for _ in range(_WIDENINGS):
        if gap(reach) < 0:
            if gap(inner) <= 0:
                return inner
            return float(optimize.brentq(gap, inner, reach, xtol=1e-8, maxiter=200, disp=False))
        inner, reach = reach, reach + (reach - centre)
    return float(np.sign(step) * np.inf)
