"""Overall error of predicted survival in a cohort: Brier score and integrated Brier score, compared with a null model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pathosig.core.clinical import UNITS
from pathosig.core.errors import NotEstimableError
from pathosig.validation.analysis import BrierAt, Grid, IntegratedBrier
from pathosig.validation.calibrate import Predicts
from pathosig.validation.resampled import ResampledError, batches, multinomial
from pathosig.validation.values import Estimate, finite

GRID_POINTS = 50
_AT_RISK = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionErrors:
    """Brier score at each horizon, and the integrated Brier score."""

    brier: tuple[BrierAt, ...]
    ibs: IntegratedBrier


def overall_error(
    frozen: Predicts,
    score: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    *,
    per_year: float,
    horizons: Sequence[float],
    bootstraps: int = 200,
    seed: int = 0,
    entry: np.ndarray | None = None,
    competing: np.ndarray | None = None,
) -> PredictionErrors:
    """Brier scores, weighted by the inverse probability of censoring, of frozen predictions and of a null model.

    The null model predicts for all patients the Kaplan-Meier estimate of the cohort (with competing events the Aalen-Johansen
    estimate). It is calibrated by construction, so that a better model must discriminate and be well calibrated.
    ``difference`` is the score of the model minus that of the null model (below 0 the model is better), with a paired
    percentile interval; the weights and the null model are estimated again in each resample.

    Parameters
    ----------
    frozen
        The frozen model.
    score
        float[n]: its score or linear predictor.
    time, event
        float[n] and bool[n] of the cohort.
    per_year
        Units of time in a year.
    horizons
        Horizons in years.
    bootstraps, seed
        Number of resamples for the intervals of differences, and their seed.
    entry
        float[n] times of delayed entry.
    competing
        bool[n]: whether the follow-up of each patient ended with a competing event; `frozen` then predicts
        1 - cumulative incidence.

    Returns
    -------
    PredictionErrors

    Raises
    ------
    NotEstimableError
        If fewer than ten patients are followed up to the shortest horizon, or there is no event.

    References
    ----------
    Graf et al. (1999), Stat. Med. 18. See `survival.brier`.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> rng = np.random.default_rng(0)
    >>> score = rng.normal(size=100)
    >>> time = rng.exponential(20 * np.exp(-score))
    >>> def survival_at(predictor, times):
    ...     return np.exp(-np.outer(np.exp(predictor), np.asarray(times) / 20))
    >>> model = SimpleNamespace(survival_at=survival_at, baseline=SimpleNamespace(unit="months", until=time.max()))
    >>> errors = overall_error(model, score, time, np.ones(100, bool), per_year=12.0, horizons=[1.0], bootstraps=5)
    >>> round(errors.brier[0].score, 3), round(errors.brier[0].null, 3)
    (0.149, 0.248)
    """
    of_model = UNITS[frozen.baseline.unit] / per_year  # units of time of the model in one unit of the cohort
    last = float(np.sort(time)[::-1][_AT_RISK - 1]) if len(time) >= _AT_RISK else 0.0
    last = min(last, frozen.baseline.until / of_model)
    reached = [years for years in horizons if years * per_year <= last]
    if not reached or not event.any():
        message = (
            f"overall error: follow-up with {_AT_RISK} at risk ends at {last:g}, before the first horizon."
        )
        raise NotEstimableError(message)
    when = np.array([years * per_year for years in reached])
    grid = np.linspace(when[-1] / GRID_POINTS, when[-1], GRID_POINTS)
    both = np.concatenate([when, grid])
    predicted = frozen.survival_at(score, both * of_model)
    error = ResampledError(predicted, time, event, both, entry=entry, competing=competing)
    whole_cohort = np.ones((1, len(time)))
    model, null = _summary(error, whole_cohort, grid)[0]
    rng = np.random.default_rng(seed)
    draws = [
        np.subtract(*np.swapaxes(_summary(error, multinomial(rng, size, len(time)), grid), 0, 1))
        for size in batches(bootstraps, len(time))
    ]
    limits = (
        np.nanquantile(np.concatenate(draws), [0.025, 0.975], axis=0)
        if draws
        else np.full((2, len(model)), np.nan)
    )
    by_horizon = tuple(
        BrierAt(years=years, **_error(float(when[j]), model[j], null[j], limits[:, j]))
        for j, years in enumerate(reached)
    )
    whole = _error(float(when[-1]), model[-1], null[-1], limits[:, -1])
    span = Grid(start=float(grid[0]), end=float(grid[-1]), points=GRID_POINTS)
    return PredictionErrors(brier=by_horizon, ibs=IntegratedBrier(grid=span, **whole))


def _summary(error: ResampledError, weights: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Brier scores at the horizons and their integral, of the model and of the null model: float[b, 2, horizons + 1]."""
    scores = np.stack(error.scores(weights), axis=1)
    along = scores[..., -len(grid) :]
    total = np.trapezoid(along, grid, axis=-1) / (grid[-1] - grid[0])
    return np.concatenate([scores[..., : -len(grid)], total[..., None]], axis=-1)


def _error(when: float, score: float, null: float, limits: np.ndarray) -> dict[str, Any]:
    return {
        "time": when,
        "score": finite(score),
        "null": finite(null),
        "scaled": finite(1 - score / null) if null > 0 else None,
        "difference": Estimate.of(score - null, *limits),
    }
