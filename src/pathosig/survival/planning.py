"""Sample size for developing a survival model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleSize:
    """Number of patients that each of Riley's criteria requires, and the number that meets all of them.

    Attributes
    ----------
    n
        Largest number over the criteria.
    events, events_per_parameter
        Expected number of events among `n` patients, and per candidate parameter.
    n_shrinkage
        Criterion 1: the expected shrinkage factor is at least the target.
    n_optimism
        Criterion 2: the optimism of R2 is at most .05 of its maximum.
    n_risk
        Criterion 3: overall risk; as in pmsampsize, it is reported at the larger of the two other numbers.
    shrinkage
        Expected uniform shrinkage factor at `n`.
    max_r2
        Largest possible Cox-Snell R2 at this event rate.
    risk, risk_lower, risk_upper
        Overall risk by `timepoint`, and its 95 % confidence interval with `n` patients.
    risk_margin, n_risk_margin
        `risk_upper` - `risk`, and the number of patients at which it equals the margin asked for.

    Examples
    --------
    >>> plan = sample_size(10, rate=0.1, timepoint=5, mean_followup=4, nagelkerke_r2=0.15)
    >>> plan.n, round(plan.events_per_parameter, 1)
    (719, 28.8)
    """

    n: int
    events: float
    events_per_parameter: float
    n_shrinkage: int
    n_optimism: int
    n_risk: int
    shrinkage: float
    max_r2: float
    risk: float
    risk_lower: float
    risk_upper: float
    risk_margin: float
    n_risk_margin: int


def sample_size(
    parameters: int,
    rate: float,
    timepoint: float,
    mean_followup: float,
    *,
    r2: float | None = None,
    nagelkerke_r2: float | None = None,
    shrinkage: float = 0.9,
    margin: float = 0.05,
) -> SampleSize:
    """Smallest number of patients for developing a survival model, by Riley's three criteria.

    Parameters
    ----------
    parameters
        Number of candidate parameters, including those that are tried and then dropped.
    rate
        Events per patient and unit of time.
    timepoint, mean_followup
        Time by which the overall risk is estimated, and mean follow-up, both in the same unit.
    r2, nagelkerke_r2
        Anticipated Cox-Snell R2, or the same as a proportion of its maximum; give one of the two.
    shrinkage
        Target of criterion 1, between 0 and 1.
    margin
        Half-width of the interval of the overall risk for `n_risk_margin`, which `n` does not take into account (as in
        pmsampsize).

    Returns
    -------
    SampleSize

    Raises
    ------
    ConfigError
        If a value is impossible, or R2 is above its maximum.

    References
    ----------
    R: pmsampsize(type = "s"), including its rounding. Riley et al. (2019), Stat. Med. 38.

    Examples
    --------
    >>> plan = sample_size(10, rate=0.1, timepoint=5, mean_followup=4, nagelkerke_r2=0.15)
    >>> plan.n, plan.n_shrinkage, round(plan.events)
    (719, 719, 288)
    """
    if parameters < 1 or not min(rate, timepoint, mean_followup) > 0 or not 0 < shrinkage < 1:
        raise ConfigError(
            f"sample_size: parameters {parameters}, rate {rate}, timepoint {timepoint}, mean_followup "
            f"{mean_followup}, shrinkage {shrinkage}; all must be positive, shrinkage below 1."
        )
    if (r2 is None) == (nagelkerke_r2 is None):
        raise ConfigError("sample_size: give either r2 (Cox-Snell) or nagelkerke_r2.")
    reference = 10_000
    events = np.ceil(round(rate * mean_followup * reference, 6))
    log_null = events * np.log(events / reference) - events
    exact_max = 1 - np.exp(2 * log_null / reference)
    max_r2 = float(np.round(exact_max, 2))
    anticipated = float(r2) if r2 is not None else float(nagelkerke_r2 or 0) * max_r2
    if not 0 < anticipated < min(max_r2, shrinkage):
        raise ConfigError(
            f"sample_size: Cox-Snell R2 {anticipated:g}; expected between 0 and {min(max_r2, shrinkage):g}."
        )
    first = _needed(parameters, anticipated, shrinkage)
    small_difference = float(np.round(anticipated / (anticipated + 0.05 * max_r2), 3))
    second = _needed(parameters, anticipated, small_difference)
    n = max(first, second)
    risk, lower, upper = _overall_risk(n, rate, timepoint, mean_followup)
    # by how much the rate may be higher for the risk to be higher by the margin
    slack = -np.log1p(-min(risk + margin, 1 - 1e-12)) / timepoint - rate
    exposure = rate * (1.96 / slack) ** 2
    return SampleSize(
        n=n,
        events=n * rate * mean_followup,
        events_per_parameter=n * rate * mean_followup / parameters,
        n_shrinkage=first,
        n_optimism=second,
        n_risk=n,
        shrinkage=max(shrinkage, small_difference),
        max_r2=max_r2,
        risk=risk,
        risk_lower=lower,
        risk_upper=upper,
        risk_margin=upper - risk,
        n_risk_margin=int(np.ceil(exposure / mean_followup)),
    )


def _needed(parameters: int, r2: float, shrinkage: float) -> int:
    """Number of patients at which the expected shrinkage factor has the given value (Riley's equation 11)."""
    return int(np.ceil(parameters / ((shrinkage - 1) * np.log(1 - r2 / shrinkage))))


def _overall_risk(n: int, rate: float, timepoint: float, followup: float) -> tuple[float, float, float]:
    half = 1.96 * np.sqrt(rate / np.round(followup * n, 1))
    risk, lower, upper = (float(1 - np.exp(-r * timepoint)) for r in (rate, rate - half, rate + half))
    return risk, max(lower, 0.0), upper
