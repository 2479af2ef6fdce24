"""Error and net benefit of frozen models at one horizon, and their paired differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pathosig.core.errors import PathosigError
from pathosig.core.pool import over_processes
from pathosig.survival import brier, decision_curve
from pathosig.validation.analysis import AtHorizon, NetBenefit, NetBenefitGain
from pathosig.validation.values import Estimate, finite, numbers

THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))
COMPARED = (0.2, 0.4, 0.6, 0.8)


def paired_limits(
    difference: Callable[[Any], list[float]], resamples: Sequence[Any], width: int, *, workers: int = 1
) -> np.ndarray:
    """Percentile limits of differences over resamples: float[2, width]; NaN where none could be computed.

    Parameters
    ----------
    difference
        A resample -> `width` differences; both models see the same rows. With several workers something that another
        process can be sent.
    resamples
        What it is called with: int[n] rows, or whatever else makes a resample.
    width
        How many differences.
    workers
        Processes; the result does not depend on it.
    """
    rows = over_processes(partial(_attempted, difference), resamples, workers=workers, label="resamples")
    table = np.array([row for row in rows if row is not None], float).reshape(-1, width)
    out = np.full((2, width), np.nan)
    for j in range(width):
        finite_ones = table[np.isfinite(table[:, j]), j]
        if len(finite_ones):
            out[:, j] = np.quantile(finite_ones, [0.025, 0.975])
    return out


def _attempted(difference: Callable[[Any], list[float]], resample: Any) -> list[float] | None:
    try:
        return difference(resample)
    except PathosigError:
        return None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _AtHorizon:
    """Combined minus clinical model in some rows: Brier score, then net benefit at the thresholds compared."""

    pair: Mapping[str, np.ndarray]
    time: np.ndarray
    event: np.ndarray
    when: float

    def __call__(self, rows: np.ndarray) -> list[float]:
        t, d = self.time[rows], self.event[rows]
        errors = [float(brier(1 - v[rows, None], t, d, times=[self.when])[0]) for v in self.pair.values()]
        curves = decision_curve(
            {k: v[rows] for k, v in self.pair.items()}, t, d, horizon=self.when, thresholds=COMPARED
        ).net_benefit
        return [errors[0] - errors[1], *(curves["combined"] - curves["clinical"])]


def at_horizon(
    risks: Mapping[str, np.ndarray],
    time: np.ndarray,
    event: np.ndarray,
    when: float,
    draws: np.ndarray,
    *,
    workers: int = 1,
) -> AtHorizon:
    """Brier scores, net benefit and their differences at one horizon.

    Parameters
    ----------
    risks
        Model -> float[n], probability of an event by `when`; has clinical and combined.
    time, event
        A validation cohort.
    when
        Horizon in units of time.
    draws
        int[resamples, n].
    workers
        Processes.
    """
    score = {k: float(brier(1 - v[:, None], time, event, times=[when])[0]) for k, v in risks.items()}
    pair = {k: risks[k] for k in ("combined", "clinical")}

    difference = _AtHorizon(pair=pair, time=time, event=event, when=when)
    limits = paired_limits(difference, list(draws), 1 + len(COMPARED), workers=workers)
    curve = decision_curve(dict(risks), time, event, horizon=when, thresholds=THRESHOLDS).net_benefit
    at = decision_curve(pair, time, event, horizon=when, thresholds=COMPARED).net_benefit
    gained = at["combined"] - at["clinical"]
    return AtHorizon(
        time=when,
        brier={k: finite(v) for k, v in score.items()},
        difference_brier=Estimate.of(score["combined"] - score["clinical"], *limits[:, 0]),
        net_benefit=NetBenefit(
            thresholds=THRESHOLDS,
            models={k: numbers(curve[k]) for k in risks},
            all=numbers(curve["all"]),
            none=numbers(curve["none"]),
            difference=tuple(
                NetBenefitGain.of(gained[j], *limits[:, j + 1], threshold=cut)
                for j, cut in enumerate(COMPARED)
            ),
        ),
    )
