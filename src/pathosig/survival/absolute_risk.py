"""Absolute risks of a Cox model with confidence intervals, from a few stored numbers at each horizon.

With covariates centred at c, H0 the cumulative hazard of a patient with covariates c, and terms as in `likelihood`,

    H(t | x)     = exp((x - c)'b) H0(t)
    var H(t | x) = exp(2 (x - c)'b) [ A(t) + q'V q ],      q = B(t) - (x - c) H0(t)
    A(t) = sum_{terms <= t} v / S0^2,   B(t) = sum_{terms <= t} (S1 / S0) v / S0

so that a prediction needs only H0, A and B at the horizons, b, and its covariance V.

References
----------
R: survival::survfit.coxph with newdata. Therneau TM, Grambsch PM. Modeling Survival Data, 2000, section 10.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from pathosig.survival.likelihood import term_sums

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from pathosig.survival.coxfit import CoxFit


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineHazard:
    """Cumulative hazard of a patient whose covariates are 0, at some times.

    Attributes
    ----------
    hazard
        float[m]: H0.
    variance
        float[m]: A, the variance of H0 if the coefficients were known.
    gradient
        float[m, p]: B, from which the variance due to the estimated coefficients is computed.
    """

    hazard: NDArray[np.float64]
    variance: NDArray[np.float64]
    gradient: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class AbsoluteRisk:
    """Probability of an event by each time with its confidence interval on the log(-log S) scale: float[n, m] each."""

    risk: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


def hazard_at(fit: CoxFit, times: ArrayLike) -> BaselineHazard:
    """Baseline hazard of a Cox model, and its variance, at some times.

    Parameters
    ----------
    fit
        A model of centred covariates, without strata or case weights.
    times
        [m], in the unit of the times to which the model was fitted.

    Returns
    -------
    BaselineHazard
        With one entry for each time.

    References
    ----------
    R: survival::survfit(coxph), which reports the same hazard and its variance.

    Examples
    --------
    >>> from pathosig.survival import cox
    >>> x = np.array([[0.2], [1.5], [0.3], [2.0], [0.1]])
    >>> fit = cox(x - x.mean(axis=0), [5, 1, 4, 2, 6], [1, 1, 0, 1, 0])
    >>> hazard_at(fit, [2, 5]).hazard.round(3)
    array([0.183, 1.862])
    """
    beta = np.nan_to_num(fit.coef)
    sets = fit.sets
    risk = sets.weight * np.exp(fit.x @ beta)
    s0 = term_sums(sets, risk)
    mean = term_sums(sets, risk[:, None] * fit.x) / s0[:, None]
    when = sets.time[sets.end - 1][sets.term_group]
    step = sets.term_weight / s0
    by = np.atleast_1d(np.asarray(times, float))[:, None] >= when[None, :]
    return BaselineHazard(
        hazard=np.asarray(by @ step),
        variance=np.asarray(by @ (step / s0)),
        gradient=np.asarray(by @ (step[:, None] * mean)),
    )


def absolute_risk(
    x: ArrayLike, coef: ArrayLike, covariance: ArrayLike, base: BaselineHazard, *, conf_level: float = 0.95
) -> AbsoluteRisk:
    """Absolute risks of new patients at the times of `base`, with confidence intervals.

    Parameters
    ----------
    x
        float[n, p], centred at the same values as the covariates of the model.
    coef, covariance
        float[p] log hazard ratios and their covariance float[p, p].
    base
        Baseline at the m times of prediction, from `hazard_at`.
    conf_level
        Confidence level of the intervals.

    Returns
    -------
    AbsoluteRisk
        float[n, m] risks, 0 to 1, with their intervals.

    References
    ----------
    R: survival::survfit(coxph, newdata, conf.type = "log-log").

    Examples
    --------
    >>> from pathosig.survival import cox
    >>> x = np.array([[0.2], [1.5], [0.3], [2.0], [0.1], [0.9]])
    >>> centre = x.mean(axis=0)
    >>> fit = cox(x - centre, [5, 1, 4, 2, 6, 3], [1, 1, 0, 1, 0, 0])
    >>> risks = absolute_risk([[0.5]] - centre, fit.coef, fit.covariance, hazard_at(fit, [2, 5]))
    >>> risks.risk.round(3), risks.lower.round(3), risks.upper.round(3)
    (array([[0.061, 0.67 ]]), array([[0.001, 0.14 ]]), array([[0.964, 1.   ]]))
    """
    z, b, v = (np.asarray(a, float) for a in (x, coef, covariance))
    ratio = np.exp(z @ b)[:, None]
    hazard = ratio * base.hazard
    slope = base.gradient[None, :, :] - z[:, None, :] * base.hazard[None, :, None]
    variance = ratio**2 * (base.variance + np.einsum("nmp,pq,nmq->nm", slope, v, slope))
    width = float(stats.norm.ppf(0.5 + conf_level / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.where(hazard > 0, np.exp(width * np.sqrt(variance) / hazard), 1.0)
    return AbsoluteRisk(
        risk=-np.expm1(-hazard), lower=-np.expm1(-hazard / spread), upper=-np.expm1(-hazard * spread)
    )
