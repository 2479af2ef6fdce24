"""Error and net benefit of frozen models at one horizon, and their paired differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pathosig.core.errors import PathosigError
from pathosig.survival import brier, decision_curve
from pathosig.validation.analysis import AtHorizon, NetBenefit, NetBenefitGain
from pathosig.validation.values import Estimate, finite, numbers

THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))
COMPARED = (0.2, 0.4, 0.6, 0.8)
_LARGE, _FEW = 2_000, 200


def affordable(bootstraps: int, n: int) -> int:
    """Resamples for differences of C-indices: at most 200 above 2,000 patients, as the time of each grows with n^2."""
    return bootstraps if n <= _LARGE else min(bootstraps, _FEW)


def paired_limits(
    difference: Callable[[np.ndarray], list[float]], draws: np.ndarray, width: int
) -> np.ndarray:
    """Percentile limits of differences over resamples: float[2, width]; NaN where none could be computed.

    Parameters
    ----------
    difference
        Rows of a resample -> `width` differences; both models see the same rows.
    draws
        int[resamples, n].
    width
        How many differences.
    """
    resampled = []
    for rows in draws:
        try:
            resampled.append(difference(rows))
        except PathosigError:
            continue
    table = np.array(resampled, float).reshape(-1, width)
    out = np.full((2, width), np.nan)
    for j in range(width):
        finite_ones = table[np.isfinite(table[:, j]), j]
        if len(finite_ones):
            out[:, j] = np.quantile(finite_ones, [0.025, 0.975])
    return out


def at_horizon(
    risks: Mapping[str, np.ndarray], time: np.ndarray, event: np.ndarray, when: float, draws: np.ndarray
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
    """
    score = {k: float(brier(1 - v[:, None], time, event, times=[when])[0]) for k, v in risks.items()}
    pair = {k: risks[k] for k in ("combined", "clinical")}

    def differences(rows: np.ndarray) -> list[float]:
        t, d = time[rows], event[rows]
        errors = [float(brier(1 - v[rows, None], t, d, times=[when])[0]) for v in pair.values()]
        curves = decision_curve(
            {k: v[rows] for k, v in pair.items()}, t, d, horizon=when, thresholds=COMPARED
        ).net_benefit
        return [errors[0] - errors[1], *(curves["combined"] - curves["clinical"])]

    limits = paired_limits(differences, draws, 1 + len(COMPARED))
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
