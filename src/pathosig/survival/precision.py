"""Sample size of a validation study, and the smallest effect that a study of a given size can detect.

With E events among n patients and an event probability p by the horizon:

    slope   se^-2 = n integral V(t) dE(t)                 V: variance of the linear predictor among patients who die at t
    O/E     se(ln O/E) = sqrt((1 - p) / (n p))
    C       se^2 = C (1 - C) (1 + (n/2 - 1) (1 - C)/(2 - C) + (n/2 - 1) C/(1 + C)) / (n^2 f (1 - f)),  f = E / n
    power   ln HR per SD = (z_{1 - alpha/2} + z_{power}) / sqrt(E)

References
----------
Riley RD et al. Minimum sample size for external validation of a clinical prediction model with a binary outcome. Stat Med
2021; 40: 4230. Riley RD et al., with a time-to-event outcome. Stat Med 2022; 41: 1280. Newcombe RG. Stat Med 2006; 25: 559.
Schoenfeld DA. Biometrics 1983; 39: 499.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from pathosig.core.errors import ConfigError

C_WIDTH, SLOPE_WIDTH, RATIO_WIDTH = 0.1, 0.4, 0.4
"""Target widths of 95 % confidence intervals: C +- .05, slope +- .2, and O/E from about .8 to 1.2."""

_Z = float(stats.norm.ppf(0.975))
_MOST = 10_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationSize:
    """Number of patients that a validation cohort needs.

    Attributes
    ----------
    n, events
        Largest of the three numbers below, and the expected number of events among so many patients.
    n_c, n_slope, n_ratio
        Patients needed for the C-index, the calibration slope, and the ratio of observed to expected events.
    """

    n: int
    events: float
    n_c: int
    n_slope: int
    n_ratio: int


def validation_size(
    *,
    c: float,
    lp_sd: float,
    event_fraction: float,
    risk: float,
    c_width: float = C_WIDTH,
    slope_width: float = SLOPE_WIDTH,
    ratio_width: float = RATIO_WIDTH,
) -> ValidationSize:
    """Number of patients needed to validate a fixed model with confidence intervals of given widths.

    Parameters
    ----------
    c, lp_sd
        Expected C-index, above .5, and standard deviation of the linear predictor.
    event_fraction
        Expected proportion of patients with an event during follow-up.
    risk
        Probability of an event by the horizon at which observed over expected events (O/E) is assessed.
    c_width, slope_width, ratio_width
        Target widths of the 95 % confidence intervals.

    Returns
    -------
    ValidationSize

    Raises
    ------
    ConfigError
        If a value is impossible.

    Examples
    --------
    >>> validation_size(c=0.70, lp_sd=0.8, event_fraction=0.5, risk=0.4)
    ValidationSize(n=416, events=208.0, n_c=416, n_slope=390, n_ratio=146)

    References
    ----------
    R: pmvalsampsize(type = "b") for C and O/E.
    """
    inside = 0.5 < c < 1 and 0 < event_fraction < 1 and 0 < risk < 1
    if not inside or not min(lp_sd, c_width, slope_width, ratio_width) > 0:
        raise ConfigError(
            f"validation_size: c {c}, lp_sd {lp_sd}, event_fraction {event_fraction}, risk {risk}; expected C in .5..1, "
            "proportions in 0..1, and positive widths."
        )
    n_slope = (2 * _Z / slope_width) ** 2 / _slope_information(lp_sd, event_fraction)
    # ratio_width is the width of the interval of an O/E of 1: exp(z se) - exp(-z se)
    se_ratio = float(np.arcsinh(ratio_width / 2)) / _Z
    n_ratio = (1 - risk) / (risk * se_ratio**2)
    n_c = _smallest(lambda n: 2 * _Z * _concordance_error(c, n, event_fraction) <= c_width)
    each = [int(np.ceil(round(v, 9))) for v in (n_c, n_slope, n_ratio)]
    n = max(each)
    return ValidationSize(n=n, events=n * event_fraction, n_c=each[0], n_slope=each[1], n_ratio=each[2])


def _slope_information(lp_sd: float, event_fraction: float) -> float:
    """Information of one patient about the calibration slope of a correct model.

    Linear predictors are assumed normal, hazards constant, and censoring exponential with the rate that gives
    `event_fraction`. Patients with high linear predictors die first, so that the variance among patients at risk, weighted
    by their hazards, is less than `lp_sd` squared.
    """
    nodes, mass = np.polynomial.hermite_e.hermegauss(41)
    lp, mass = lp_sd * nodes, mass / mass.sum()
    ratio = np.exp(lp)
    grid = np.linspace(0.0, 1.0, 2001)[1:-1]
    time = grid / (1 - grid)  # 0 to infinity
    step = np.gradient(grid) / (1 - grid) ** 2
    dying = mass * ratio * np.exp(-np.outer(time, ratio))  # density of death at each time, by predictor

    def events(rate: float) -> np.ndarray:
        return np.asarray(dying.sum(axis=1) * np.exp(-rate * time) * step)

    rate = float(brentq(lambda r: events(r).sum() - event_fraction * events(0.0).sum(), 0.0, 1e6))
    total = np.maximum(dying.sum(axis=1), 1e-300)
    mean = dying @ lp / total
    variance = dying @ lp**2 / total - mean**2
    return float((variance * events(rate)).sum())


def _concordance_error(c: float, n: float, event_fraction: float) -> float:
    """Newcombe's standard error of a C-index with n patients."""
    half = n / 2 - 1
    variance = c * (1 - c) * (1 + half * (1 - c) / (2 - c) + half * c / (1 + c))
    return float(np.sqrt(variance / (n**2 * event_fraction * (1 - event_fraction))))


def _smallest(enough: Callable[[int], bool]) -> int:
    low, high = 4, 8
    while not enough(high) and high < _MOST:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def detectable_hr(
    events: float, *, power: float = 0.8, alpha: float = 0.05, tests: int = 1, share: float | None = None
) -> float:
    """Smallest hazard ratio above 1 that a Cox model detects with a given power.

    Parameters
    ----------
    events
        Number of events.
    power, alpha
        Power, and level of the two-sided test.
    tests
        Number of tests for which the level is corrected (Bonferroni).
    share
        Proportion of patients in one of two groups, for the hazard ratio between them; None for the hazard ratio per
        standard deviation of a continuous covariate.

    Returns
    -------
    A hazard ratio above 1.

    Raises
    ------
    ConfigError
        If there are no events, or a probability is impossible.

    Examples
    --------
    >>> round(detectable_hr(100), 3), round(detectable_hr(100, share=0.5), 3)
    (1.323, 1.751)

    References
    ----------
    Schoenfeld (1983); Hsieh FY, Lavori PW. Control Clin Trials 2000; 21: 552.
    """
    if not events > 0 or not 0 < power < 1 or not 0 < alpha < 1 or tests < 1:
        raise ConfigError(
            f"detectable_hr: events {events}, power {power}, alpha {alpha}, tests {tests}; expected events above 0, "
            "probabilities in 0..1."
        )
    variance = 1.0 if share is None else share * (1 - share)
    z = float(stats.norm.ppf(1 - alpha / (2 * tests)) + stats.norm.ppf(power))
    return float(np.exp(z / np.sqrt(events * variance)))
