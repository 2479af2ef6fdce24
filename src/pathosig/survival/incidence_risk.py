"""Absolute risks under competing events, with confidence intervals: the Aalen-Johansen product and its delta-method error.

In the notation of `incidence_model`, let a_u and b_u be the increments at u of a patient's cumulative hazards of the event and of
the competing events, d = a + b, and F(t) the risk by t. Then

    F = sum_u S(u-) f(a_u, b_u),        f(a, b) = (1 - exp(-d)) a / d
    dF / da_u = S(u-) f_a - (F(t) - F(u)),      dF / db_u = S(u-) f_b - (F(t) - F(u))

Let h_k(u) be the increment of the hazard of cause k at covariates 0, with variance A_k(u) and gradient -B_k(u) in the
coefficients (see `absolute_risk`), r_k the patient's hazard ratio, V_k the covariance of the coefficients, and g_k(u) the
derivative of F by a_u (or b_u), times r_k. Then

    var F = sum_k [ sum_u g_k(u)^2 A_k(u) + q_k'V_k q_k ],     q_k = sum_u g_k(u) (x h_k(u) - B_k(u))

References
----------
Andersen PK et al. Statistical Models Based on Counting Processes, 1993, VII.2.3. Ozenne B et al. R Journal 2017; 9: 440.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from pathosig.core.errors import InputError
from pathosig.survival.absolute_risk import AbsoluteRisk, hazard_at

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from pathosig.survival.coxfit import CoxFit


@dataclass(frozen=True, kw_only=True, slots=True)
class CauseHazard:
    """A Cox model of one cause, with the cumulative hazard at covariates 0 and the terms of the standard error of risks.

    Attributes
    ----------
    coef, covariance
        float[p] and float[p, p]: log hazard ratios and their covariance.
    time
        float[m]: times of the cause's events, increasing.
    hazard, variance, gradient
        float[m], float[m], float[m, p]: H0, A and B of `absolute_risk` at these times.

    Examples
    --------
    >>> from pathosig.survival import cox
    >>> x = np.array([[-1.0], [0.0], [0.5], [0.5]])
    >>> cause = CauseHazard.of(cox(x, [2.0, 4.0, 5.0, 7.0], [0, 1, 1, 0]))
    >>> cause.time
    array([4., 5.])
    """

    coef: NDArray[np.float64]
    covariance: NDArray[np.float64]
    time: NDArray[np.float64]
    hazard: NDArray[np.float64]
    variance: NDArray[np.float64]
    gradient: NDArray[np.float64]

    @classmethod
    def of(cls, fit: CoxFit) -> CauseHazard:
        """From a model in which the other causes are censored. Its covariates should be centred."""
        grid, hazard = fit.baseline_hazard()
        time = grid[np.diff(hazard, prepend=0.0) > 0]
        base = hazard_at(fit, time)
        return cls(
            coef=np.nan_to_num(fit.coef),
            covariance=np.nan_to_num(fit.covariance),
            time=time,
            hazard=base.hazard,
            variance=base.variance,
            gradient=base.gradient,
        )

    def jumps(self, grid: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """The increments of hazard, variance and gradient at each time of a grid that contains all of `time`."""
        place = np.searchsorted(grid, self.time)
        out = []
        for total in (self.hazard, self.variance, self.gradient):
            steps = np.zeros((len(grid), *total.shape[1:]))
            steps[place] = np.diff(total, axis=0, prepend=np.zeros((1, *total.shape[1:])))
            out.append(steps)
        return tuple(out)


def incidence_risk(
    x: ArrayLike, causes: Sequence[CauseHazard], times: ArrayLike, *, conf_level: float = 0.95
) -> AbsoluteRisk:
    """Cumulative incidence of the first cause in new patients, with intervals on the scale of log(-log(1 - F)).

    Parameters
    ----------
    x
        float[n, p]: covariates, centred like those of the models.
    causes
        The models of the event and then of the events that compete with it.
    times
        [m], in the unit of the models and not beyond the last follow-up.
    conf_level
        Confidence level of the intervals.

    Returns
    -------
    `AbsoluteRisk` with arrays float[n, m].

    Raises
    ------
    InputError
        If a model does not have the number of columns of `x`.

    References
    ----------
    R: riskRegression::predict(CSC(...), se = TRUE), which takes its standard error from the influence function instead.

    Examples
    --------
    >>> from pathosig.survival import cox
    >>> rng = np.random.default_rng(0)
    >>> x, time, cause = rng.normal(size=(100, 1)), rng.exponential(10, 100), rng.integers(0, 3, 100)
    >>> causes = [CauseHazard.of(cox(x - x.mean(), time, cause == k)) for k in (1, 2)]
    >>> risks = incidence_risk([[0.0]], causes, [5, 10])
    >>> risks.risk.round(2), risks.lower.round(2), risks.upper.round(2)
    (array([[0.07, 0.2 ]]), array([[0.03, 0.13]]), array([[0.15, 0.3 ]]))
    """
    z, wanted = np.atleast_2d(np.asarray(x, float)), np.atleast_1d(np.asarray(times, float))
    if any(len(cause.coef) != z.shape[1] for cause in causes):
        raise InputError(
            f"incidence_risk: x has {z.shape[1]} columns, but the models have {[len(c.coef) for c in causes]}."
        )
    grid = np.unique(np.concatenate([cause.time for cause in causes]))
    jumps = [cause.jumps(grid) for cause in causes]
    ends = np.searchsorted(grid, wanted, side="right")
    risk, variance = np.zeros((2, len(z), len(wanted)))
    for i, row in enumerate(z):
        ratios = [float(np.exp(row @ cause.coef)) for cause in causes]
        rise = np.array([r * h for r, (h, _, _) in zip(ratios, jumps, strict=True)])
        d = rise.sum(axis=0)
        before = np.exp(-(np.cumsum(d) - d))
        share = np.divide(rise[0], d, out=np.zeros_like(d), where=d > 0)
        happens = -np.expm1(-d)
        total = np.cumsum(before * happens * share)
        # Derivatives of f by a and b where d > 0; without an event of these causes at a time there is no increment.
        by_other = share * np.exp(-d) - np.divide(happens * share, d, out=np.zeros_like(d), where=d > 0)
        by_first = by_other + np.divide(happens, d, out=np.zeros_like(d), where=d > 0)
        for j, end in enumerate(ends):
            if end == 0:
                continue
            risk[i, j] = total[end - 1]
            later = total[end - 1] - total[:end]
            for k, (cause, (h, a, b)) in enumerate(zip(causes, jumps, strict=True)):
                slope = ratios[k] * (before[:end] * (by_other if k else by_first)[:end] - later)
                shift = slope @ (h[:end, None] * row - b[:end])
                variance[i, j] += slope**2 @ a[:end] + shift @ cause.covariance @ shift
    return _with_interval(risk, variance, conf_level)


def _with_interval(risk: np.ndarray, variance: np.ndarray, conf_level: float) -> AbsoluteRisk:
    """Limits on the scale log(-log(1 - F)), whose standard error is that of F divided by -(1 - F) log(1 - F)."""
    width = float(stats.norm.ppf(0.5 + conf_level / 2))
    hazard = -np.log1p(-risk)
    scale = (1 - risk) * hazard
    error = np.divide(np.sqrt(variance), scale, out=np.zeros_like(risk), where=scale > 0)
    spread = np.exp(width * error)
    return AbsoluteRisk(risk=risk, lower=-np.expm1(-hazard / spread), upper=-np.expm1(-hazard * spread))
