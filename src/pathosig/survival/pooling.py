"""Random-effects meta-analysis of the estimates of several cohorts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats

from pathosig.core.errors import NotEstimableError
from pathosig.core.words import counted


@dataclass(frozen=True, kw_only=True, slots=True)
class Pooled:
    """A pooled estimate, on the scale of the estimates that were pooled (such as log hazard ratios).

    Attributes
    ----------
    estimate, se, lower, upper, p
        Pooled estimate, its standard error, Hartung-Knapp confidence interval and p-value.
    tau2
        Variance between cohorts.
    i2
        Percentage of the total variance that lies between cohorts, 0 to 100.
    q, q_p
        Cochran's test of heterogeneity.
    prediction_lower, prediction_upper
        Prediction interval of the effect in a new cohort.
    k
        Number of cohorts.

    Examples
    --------
    >>> pooled = pool_random_effects([0.5, 0.7, 0.2], [0.2, 0.25, 0.15])
    >>> round(float(np.exp(pooled.estimate)), 2), pooled.k  # the pooled hazard ratio
    (1.52, 3)
    """

    estimate: float
    se: float
    lower: float
    upper: float
    p: float
    tau2: float
    i2: float
    q: float
    q_p: float
    prediction_lower: float
    prediction_upper: float
    k: int


def pool_random_effects(estimates: Any, se: Any, *, conf_level: float = 0.95) -> Pooled:
    """Pooled estimate with REML variance between cohorts, Hartung-Knapp confidence interval and prediction interval.

    Parameters
    ----------
    estimates, se
        [k], k >= 3: estimates of the cohorts (log hazard ratios) and their standard errors.
    conf_level
        Confidence level of the interval and of the prediction interval.

    Returns
    -------
    Pooled
        On the scale of `estimates`.

    Raises
    ------
    NotEstimableError
        With fewer than three cohorts.

    References
    ----------
    R: metafor::rma(yi, sei = , method = "REML", test = "knha"), predict(). IntHout et al. (2014).

    Examples
    --------
    >>> pooled = pool_random_effects([0.5, 0.7, 0.2], [0.2, 0.25, 0.15])
    >>> round(pooled.estimate, 3), round(pooled.lower, 2), round(pooled.upper, 2), round(pooled.i2, 1)
    (0.419, -0.21, 1.04, 42.6)
    """
    y, s = np.asarray(estimates, float), np.asarray(se, float)
    k = len(y)
    if k < 3:
        raise NotEstimableError(f"pool_random_effects: {counted(k, 'cohort')}; at least 3 are needed.")
    v = s**2

    def negative(tau2: float) -> float:
        w = 1 / (v + tau2)
        mu = (w @ y) / w.sum()
        return float(0.5 * (np.log(v + tau2).sum() + np.log(w.sum()) + w @ (y - mu) ** 2))

    def slope(tau2: float) -> float:
        w = 1 / (v + tau2)
        mu = (w @ y) / w.sum()
        return float(w @ w * -1 / w.sum() + w.sum() - (w**2) @ (y - mu) ** 2)

    top = 10 * (y.var() + v.max()) + 1e-9
    if slope(0.0) >= 0:
        tau2 = 0.0
        best = optimize.minimize_scalar(negative, bounds=(0, top), method="bounded", options={"xatol": 1e-14})
        if best.fun < negative(0.0) - 1e-12:
            tau2 = float(best.x)
    else:
        tau2 = float(optimize.brentq(slope, 0.0, top, xtol=1e-15)) if slope(top) > 0 else top
    w = 1 / (v + tau2)
    mu = float((w @ y) / w.sum())
    se_mu = float(np.sqrt((w @ (y - mu) ** 2) / ((k - 1) * w.sum())))
    quantile = stats.t.ppf(0.5 + conf_level / 2, k - 1)
    fixed = 1 / v
    q = float(fixed @ (y - (fixed @ y) / fixed.sum()) ** 2)
    typical = (k - 1) * fixed.sum() / (fixed.sum() ** 2 - (fixed**2).sum())
    spread = quantile * np.sqrt(tau2 + se_mu**2)
    return Pooled(
        estimate=mu,
        se=se_mu,
        lower=float(mu - quantile * se_mu),
        upper=float(mu + quantile * se_mu),
        p=float(2 * stats.t.sf(abs(mu / se_mu), k - 1)) if se_mu > 0 else float("nan"),
        tau2=tau2,
        i2=float(100 * tau2 / (tau2 + typical)),
        q=q,
        q_p=float(stats.chi2.sf(q, k - 1)),
        prediction_lower=float(mu - spread),
        prediction_upper=float(mu + spread),
        k=k,
    )
