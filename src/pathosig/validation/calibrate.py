"""Calibration of a frozen model: observed against expected risk, and the calibration slope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from pathosig.core.clinical import UNITS
from pathosig.core.errors import NotEstimableError
from pathosig.survival import cox, kaplan_meier
from pathosig.survival.baseline import Baseline
from pathosig.validation.analysis import Calibration, CalibrationAt, CalibrationGroup, UpdatedSlope
from pathosig.validation.values import Z95, Estimate, finite

FEWEST_OF_A_GROUP = 5


class Predicts(Protocol):
    """A frozen model that predicts survival from scores or linear predictors, with times in the unit of its baseline."""

    @property
    def baseline(self) -> Baseline:
        """Survival at a predictor of 0."""
        ...

    def survival_at(self, predictor: np.ndarray, times: Sequence[float] | np.ndarray, /) -> np.ndarray:
        """Predicted survival, float[n, n_times]."""
        ...


def calibration_of(
    model: Predicts,
    score: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    *,
    per_year: float,
    horizons: Sequence[float],
    entry: np.ndarray | None = None,
) -> Calibration:
    """Calibration in one cohort: slope, and observed against expected risk at each horizon that follow-up reaches.

    Parameters
    ----------
    model
        The frozen model.
    score
        float[n]: its score or linear predictor.
    time, event
        float[n] and bool[n] of the cohort.
    per_year
        Units of time in a year.
    horizons
        Horizons in years; those with fewer than five patients at risk or five earlier events are left out.
    entry
        float[n] times of delayed entry.

    Returns
    -------
    Calibration

    Raises
    ------
    NotEstimableError
        If the score does not vary or there is no event.

    References
    ----------
    See `survival.calibration`.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> rng = np.random.default_rng(0)
    >>> score = rng.normal(size=200)
    >>> time = rng.exponential(20 * np.exp(-score))
    >>> def survival_at(predictor, times):
    ...     return np.exp(-np.outer(np.exp(predictor), np.asarray(times) / 20))
    >>> model = SimpleNamespace(survival_at=survival_at, baseline=SimpleNamespace(unit="months", until=time.max()))
    >>> result = calibration_of(model, score, time, np.ones(200, bool), per_year=12.0, horizons=[1.0])
    >>> round(result.slope.estimate, 2), round(result.horizons[0].ratio, 2)
    (0.89, 0.94)
    """
    if not score.std() > 0 or not event.any():
        message = "calibration: the score does not vary, or there is no event."
        raise NotEstimableError(message)
    fit = cox(score[:, None], time, event, entry=entry)
    slope, se = float(fit.coef[0]), float(fit.se[0])
    rows: list[CalibrationAt] = []
    for years in horizons:
        when = years * per_year
        if (time >= when).sum() < FEWEST_OF_A_GROUP or (event & (time <= when)).sum() < FEWEST_OF_A_GROUP:
            continue
        predicted = 1 - model.survival_at(score, [years * UNITS[model.baseline.unit]])[:, 0]
        if not np.isfinite(predicted).all():
            continue
        rows.append(_observed(predicted, time, event, entry, years=years, when=when))
    return Calibration(
        slope=Estimate.of(slope, slope - Z95 * se, slope + Z95 * se, se=finite(se)),
        horizons=tuple(rows),
        updated=UpdatedSlope(
            slope=slope, note="updated: coefficient re-estimated in this cohort; not a validation"
        ),
    )


def _observed(
    predicted: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    entry: np.ndarray | None,
    *,
    years: float,
    when: float,
) -> CalibrationAt:
    curve = kaplan_meier(time, event, entry=entry)
    place = int(np.searchsorted(curve.time, when, side="right")) - 1
    survival = float(curve.survival[place]) if place >= 0 else 1.0
    se = survival * float(curve.std_err[place]) if place >= 0 else 0.0

    def in_group(rows: np.ndarray) -> tuple[float, float, float]:
        late = None if entry is None else entry[rows]
        alive, lower, upper = kaplan_meier(time[rows], event[rows], entry=late).survival_at(when)
        return 1 - alive, 1 - upper, 1 - lower

    groups = calibration_groups(predicted, time, in_group, when=when)
    return observed_against(predicted, 1 - survival, se, years=years, when=when, groups=groups)


def observed_against(
    predicted: np.ndarray,
    observed: float,
    se: float,
    *,
    years: float,
    when: float,
    groups: tuple[CalibrationGroup, ...],
) -> CalibrationAt:
    """Observed over expected risk at a horizon, with a confidence interval on the logarithmic scale.

    Parameters
    ----------
    predicted
        float[n]: predicted risks, 0 to 1.
    observed, se
        Observed risk of the cohort and its standard error.
    years, when
        The horizon in years, and in the unit of time.
    groups
        From `calibration_groups`.

    Returns
    -------
    CalibrationAt

    Examples
    --------
    >>> row = observed_against(np.array([0.2, 0.4]), 0.33, 0.05, years=1.0, when=12.0, groups=())
    >>> round(row.expected, 2), round(row.ratio, 2)
    (0.3, 1.1)
    """
    expected = float(predicted.mean())
    ratio = observed / expected if expected > 0 else float("nan")
    spread = np.exp(Z95 * se / observed) if observed > 0 else float("nan")
    return CalibrationAt(
        years=years,
        time=when,
        observed=finite(observed),
        expected=finite(expected),
        ratio=finite(ratio),
        lower=finite(ratio / spread),
        upper=finite(ratio * spread),
        groups=groups,
    )


def calibration_groups(
    predicted: np.ndarray,
    time: np.ndarray,
    observe: Callable[[np.ndarray], tuple[float, float, float]],
    *,
    when: float,
) -> tuple[CalibrationGroup, ...]:
    """Observed and expected risk in groups of patients with similar predictions.

    Groups with fewer than five patients, or whose follow-up does not reach the horizon, are left out.

    Parameters
    ----------
    predicted
        float[n]: predicted risks, 0 to 1.
    time
        float[n]: follow-up times.
    observe
        Function from bool[n], which selects patients, to their observed risk with the ends of its confidence interval.
    when
        The horizon, in the unit of `time`.

    Returns
    -------
    tuple of CalibrationGroup
        In ascending order of predicted risk.

    Examples
    --------
    >>> risk, time = np.linspace(0, 1, 50), np.full(50, 30.0)
    >>> [g.n for g in calibration_groups(risk, time, lambda rows: (0.5, 0.4, 0.6), when=12.0)]
    [25, 25]
    """
    n_groups = max(2, min(5, len(predicted) // 25))
    edges = np.quantile(predicted, np.linspace(0, 1, n_groups + 1)[1:-1])
    place = np.searchsorted(edges, predicted, side="right")
    out = []
    for number in range(n_groups):
        rows = place == number
        if rows.sum() < FEWEST_OF_A_GROUP or time[rows].max() < when:
            continue
        risk, lower, upper = observe(rows)
        out.append(
            CalibrationGroup(
                expected=float(predicted[rows].mean()),
                observed=finite(risk),
                lower=finite(lower),
                upper=finite(upper),
                n=int(rows.sum()),
            )
        )
    return tuple(out)
