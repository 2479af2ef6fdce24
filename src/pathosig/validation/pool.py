"""Random-effects pools of hazard ratios over validation cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from pathosig.survival import pool_random_effects
from pathosig.validation.analysis import Analysis
from pathosig.validation.results import Pooled, PooledCohort, PooledEffect
from pathosig.validation.values import HazardRatio, NotEstimable, attempt, finite, numbers

FEWEST_COHORTS = 3
_EFFECTS: tuple[Literal["hr_sd", "hr_group"], ...] = ("hr_sd", "hr_group")


def pooled(analyses: Sequence[Analysis]) -> tuple[Pooled, ...]:
    """Random-effects estimates over validation cohorts, per endpoint; from three cohorts on."""
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
            few = NotEstimable(reason=f"{len(cohorts)} validation cohorts; pooling needs {FEWEST_COHORTS}")
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
