"""Random-effects meta-analysis of hazard ratios over validation cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from pathosig.core.words import counted
from pathosig.survival import pool_random_effects
from pathosig.validation.analysis import Analysis
from pathosig.validation.results import Pooled, PooledCohort, PooledEffect
from pathosig.validation.values import HazardRatio, NotEstimable, attempt, finite, numbers

FEWEST_COHORTS = 3
_EFFECTS: tuple[Literal["hr_sd", "hr_group"], ...] = ("hr_sd", "hr_group")


def pooled(analyses: Sequence[Analysis]) -> tuple[Pooled, ...]:
    """Hazard ratios of each endpoint pooled over three or more validation cohorts by a random-effects model.

    Parameters
    ----------
    analyses
        All analyses of a validation; only those of validation cohorts are used.

    Returns
    -------
    For each endpoint, the pooled hazard ratio per SD and that of the high against the low risk group.

    References
    ----------
    R: metafor::rma(test = "knha").

    Examples
    --------
    >>> from functools import partial
    >>> row = partial(Analysis, endpoint="os", unit="months", role="validation", primary=True, n=90, events=40)
    >>> def ratio(hr):
    ...     coef = float(np.log(hr))
    ...     return HazardRatio(hr=hr, lower=hr / 1.5, upper=hr * 1.5, p=0.01, n=90, events=40, coef=coef, se=0.2)
    >>> cohorts = [row(cohort=name, hr_sd=ratio(hr)) for name, hr in (("v1", 1.5), ("v2", 1.8), ("v3", 1.4))]
    >>> pool = pooled(cohorts)[0]
    >>> pool.effect, round(pool.result.estimate, 2), round(pool.result.lower, 2)
    ('hr_sd', 1.56, 1.13)
    """
    validations = [a for a in analyses if a.role == "validation"]
    out = []
    for endpoint in dict.fromkeys(a.endpoint for a in analyses):
        for effect in _EFFECTS:
            cohorts = {
                a.cohort: value
                for a in validations
                if a.endpoint == endpoint
                and isinstance(value := getattr(a, effect), HazardRatio)
                and value.se
            }
            few = NotEstimable(
                reason=f"{counted(len(cohorts), 'validation cohort')}; pooling needs {FEWEST_COHORTS}"
            )
            result = few if len(cohorts) < FEWEST_COHORTS else attempt(_pool, cohorts)
            out.append(Pooled(endpoint=endpoint, effect=effect, result=result))
    return tuple(out)


def _pool(cohorts: dict[str, HazardRatio]) -> PooledEffect:
    coef = np.array([h.coef for h in cohorts.values()], float)
    se = np.array([h.se for h in cohorts.values()], float)
    pool = pool_random_effects(coef, se)
    weight = 1 / (se**2 + pool.tau2)
    percent = 100 * weight / weight.sum()
    return PooledEffect.of(
        np.exp(pool.estimate),
        np.exp(pool.lower),
        np.exp(pool.upper),
        p=finite(pool.p),
        cohorts=tuple(
            PooledCohort(cohort=name, estimate=h.hr, lower=h.lower, upper=h.upper, weight=float(w))
            for (name, h), w in zip(cohorts.items(), percent, strict=True)
        ),
        tau2=finite(pool.tau2),
        i2=finite(pool.i2),
        prediction=numbers(np.exp([pool.prediction_lower, pool.prediction_upper])),
    )
