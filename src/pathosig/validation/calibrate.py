"""Calibration of the frozen signature: observed against expected, slope, and what an update would change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from pathosig.core.clinical import UNITS
from pathosig.core.errors import NotEstimableError
from pathosig.signature.model import Baseline
from pathosig.survival import cox, kaplan_meier
from pathosig.validation.analysis import Calibration, CalibrationAt, CalibrationGroup, UpdatedSlope
from pathosig.validation.values import Z95, Estimate, finite


class Predicts(Protocol):
    """A frozen model: survival at some times (in the unit of its baseline) from scores or linear predictors."""

    @property
    def baseline(self) -> Baseline:
        """Survival where the predictor is 0."""
        ...

    def survival_at(self, predictor: np.ndarray, times: Sequence[float] | np.ndarray, /) -> np.ndarray:
        """float[n, n_times]."""
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
    """Calibration in one cohort: slope, O/E and groups at each horizon follow-up reaches.

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
        Years.

    Returns
    -------
    `Calibration`.

    Raises
    ------
    NotEstimableError
        If the score does not vary or there is no event.

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
        if (time >= when).sum() < 5 or (event & (time <= when)).sum() < 5:
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
    observed, expected = 1 - survival, float(predicted.mean())
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
        groups=_groups(predicted, time, event, entry, when),
    )


def _groups(
    predicted: np.ndarray, time: np.ndarray, event: np.ndarray, entry: np.ndarray | None, when: float
) -> tuple[CalibrationGroup, ...]:
    n_groups = max(2, min(5, len(predicted) // 25))
    edges = np.quantile(predicted, np.linspace(0, 1, n_groups + 1)[1:-1])
    place = np.searchsorted(edges, predicted, side="right")
    out = []
    for number in range(n_groups):
        rows = place == number
        if rows.sum() < 5 or time[rows].max() < when:  # nobody of the group is followed to the horizon
            continue
        late = None if entry is None else entry[rows]
        s, lower, upper = kaplan_meier(time[rows], event[rows], entry=late).survival_at(when)
        out.append(
            CalibrationGroup(
                expected=float(predicted[rows].mean()),
                observed=finite(1 - s),
                lower=finite(1 - upper),
                upper=finite(1 - lower),
                n=int(rows.sum()),
            )
        )
    return tuple(out)
