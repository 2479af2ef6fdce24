"""Overall error of predicted survival: Brier score and its integral against the null model, per cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pathosig.core.errors import NotEstimableError, PathosigError
from pathosig.signature.model import Signature
from pathosig.survival import brier, ibs, kaplan_meier
from pathosig.validation.analysis import BrierAt, Grid, IntegratedBrier
from pathosig.validation.values import Estimate, finite

GRID_POINTS = 50
_AT_RISK = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionErrors:
    """Brier score at each horizon and its integral."""

    brier: tuple[BrierAt, ...]
    ibs: IntegratedBrier


def overall_error(
    signature: Signature,
    score: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    *,
    per_year: float,
    horizons: Sequence[float],
    bootstraps: int = 200,
    seed: int = 0,
) -> PredictionErrors:
    """IPCW scores of the frozen predictions and of the null model.

    The null model gives everybody the cohort's own Kaplan-Meier estimate, so it is never miscalibrated: a signature
    that beats it discriminates and is calibrated. ``difference`` is signature minus null (below 0 is better), with
    paired percentile limits; in each resample weights and null model are estimated anew.

    Raises
    ------
    NotEstimableError
        If fewer than ten patients are followed to the shortest horizon.
    """
    last = float(np.sort(time)[::-1][_AT_RISK - 1]) if len(time) >= _AT_RISK else 0.0
    last = min(last, float(signature.baseline.until))
    reached = [years for years in horizons if years * per_year <= last]
    if not reached or not event.any():
        message = (
            f"overall error: follow-up with {_AT_RISK} at risk ends at {last:g}, before the first horizon."
        )
        raise NotEstimableError(message)
    when = np.array([years * per_year for years in reached])
    grid = np.linspace(when[-1] / GRID_POINTS, when[-1], GRID_POINTS)
    at, along = signature.survival_at(score, when), signature.survival_at(score, grid)
    own, null = brier(at, time, event, times=when), brier(_null(time, event, when), time, event, times=when)
    total = ibs(along, time, event, times=grid), ibs(_null(time, event, grid), time, event, times=grid)
    draws = []
    rng = np.random.default_rng(seed)
    for _ in range(bootstraps):
        rows = rng.integers(0, len(time), len(time))
        t, d = time[rows], event[rows]
        try:
            draws.append(
                [
                    *(brier(at[rows], t, d, times=when) - brier(_null(t, d, when), t, d, times=when)),
                    ibs(along[rows], t, d, times=grid) - ibs(_null(t, d, grid), t, d, times=grid),
                ]
            )
        except PathosigError:
            continue
    limits = np.quantile(draws, [0.025, 0.975], axis=0) if draws else np.full((2, len(when) + 1), np.nan)
    by_horizon = tuple(
        BrierAt(years=years, **_error(float(when[j]), own[j], null[j], limits[:, j]))
        for j, years in enumerate(reached)
    )
    whole = _error(float(when[-1]), *total, limits[:, -1])
    span = Grid(start=float(grid[0]), end=float(grid[-1]), points=GRID_POINTS)
    return PredictionErrors(brier=by_horizon, ibs=IntegratedBrier(grid=span, **whole))


def _null(time: np.ndarray, event: np.ndarray, when: np.ndarray) -> np.ndarray:
    curve = kaplan_meier(time, event)
    level = np.concatenate([[1.0], curve.survival])
    return np.asarray(level[np.searchsorted(curve.time, when, side="right")])


def _error(when: float, score: float, null: float, limits: np.ndarray) -> dict[str, Any]:
    return {
        "time": when,
        "score": finite(score),
        "null": finite(null),
        "scaled": finite(1 - score / null) if null > 0 else None,
        "difference": Estimate.of(score - null, *limits),
    }
