"""Paired differences of frozen models in C-index, and in Brier score and net benefit at one horizon."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pathosig.core.errors import PathosigError
from pathosig.core.pool import over_processes
from pathosig.survival import brier, decision_curve, harrell_c, uno_c
from pathosig.survival.resampled import counts_of, resampled_benefit, resampled_c
from pathosig.validation.analysis import AtHorizon, NetBenefit, NetBenefitGain
from pathosig.validation.resampled import ResampledError
from pathosig.validation.values import Estimate, finite, numbers

THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))
COMPARED = (0.2, 0.4, 0.6, 0.8)
_MANY = 2000
"""With more patients, resamples are evaluated one by one in several processes, as the cost of all at once grows with n^2."""


def paired_limits(
    difference: Callable[[Any], list[float]], resamples: Sequence[Any], width: int, *, workers: int = 1
) -> np.ndarray:
    """Percentile intervals of paired differences over resamples, float[2, width]; NaN if no difference could be computed.

    Parameters
    ----------
    difference
        Function from a resample to a list of `width` differences. With several workers it must be possible to pickle it.
    resamples
        Arguments of `difference`: int[n] rows of each resample, or any other description of it.
    width
        Number of differences.
    workers
        Number of processes; the result does not depend on it.

    Returns
    -------
    float[2, width]: the quantiles .025 and .975 of each difference.

    Examples
    --------
    >>> first, second = np.array([0.9, 0.7, 0.8]), np.array([0.5, 0.6, 0.7])
    >>> rows = [np.array([0, 1, 2]), np.array([0, 0, 1]), np.array([2, 2, 1])]
    >>> paired_limits(lambda chosen: [float((first - second)[chosen].mean())], rows, 1).round(3).ravel()
    array([0.105, 0.295])
    """
    rows = over_processes(partial(_attempted, difference), resamples, workers=workers, label="resamples")
    return limits_of(np.array([row for row in rows if row is not None], float).reshape(-1, width))


def limits_of(table: np.ndarray) -> np.ndarray:
    """Quantiles .025 and .975 of the finite values of each column, float[2, m]; NaN for a column without finite values.

    Parameters
    ----------
    table
        float[resamples, m].

    Returns
    -------
    float[2, m].

    Examples
    --------
    >>> limits_of(np.array([[0.0, np.nan], [1.0, np.nan], [np.nan, np.nan]]))
    array([[0.025,   nan],
           [0.975,   nan]])
    """
    out = np.full((2, table.shape[1]), np.nan)
    for j, column in enumerate(table.T):
        usable = column[np.isfinite(column)]
        if len(usable):
            out[:, j] = np.quantile(usable, [0.025, 0.975])
    return out


def c_gain(
    pair: tuple[np.ndarray, np.ndarray],
    time: np.ndarray,
    event: np.ndarray,
    *,
    draws: np.ndarray,
    tau: float | None = None,
    workers: int = 1,
) -> Estimate:
    """C of the first score minus that of the second in the same patients, with a paired percentile interval.

    Parameters
    ----------
    pair
        Two scores, float[n] each, without missing values.
    time, event
        float[n] and bool[n].
    draws
        int[resamples, n]: rows of every resample.
    tau
        Horizon of Uno's C; None for Harrell's C.
    workers
        Number of processes, which are used only for many patients; the result does not depend on it.

    Returns
    -------
    Estimate
        The difference, from -1 to 1.

    Examples
    --------
    >>> time, event = np.arange(1.0, 6.0), np.ones(5, bool)
    >>> draws = np.random.default_rng(0).integers(0, 5, (20, 5))
    >>> c_gain((-time, np.zeros(5)), time, event, draws=draws)
    Estimate(estimate=0.5, lower=0.5, upper=0.5, se=None, p=None, n=None)
    """
    difference = partial(_c_difference, pair, time, event, tau)
    if len(time) > _MANY:
        limits = paired_limits(difference, list(draws), 1, workers=workers)
    else:
        c = resampled_c(np.array(pair), time, event, counts_of(draws, len(time)), tau=tau)
        limits = limits_of(c[:, :1] - c[:, 1:])
    return Estimate.of(*difference(np.arange(len(time))), *limits[:, 0])


def _c_difference(
    pair: tuple[np.ndarray, np.ndarray],
    time: np.ndarray,
    event: np.ndarray,
    tau: float | None,
    rows: np.ndarray,
) -> list[float]:
    index = harrell_c if tau is None else partial(uno_c, tau=tau)
    first, second = (index(score[rows], time[rows], event[rows]).c for score in pair)
    return [first - second]


def _attempted(difference: Callable[[Any], list[float]], resample: Any) -> list[float] | None:
    try:
        return difference(resample)
    except PathosigError:
        return None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _AtHorizon:
    """Combined minus clinical model in some rows: difference in Brier score, then in net benefit at each threshold."""

    pair: Mapping[str, np.ndarray]
    time: np.ndarray
    event: np.ndarray
    when: float
    competing: np.ndarray | None = None

    def __call__(self, rows: np.ndarray) -> list[float]:
        t, d = self.time[rows], self.event[rows]
        other = None if self.competing is None else self.competing[rows]
        errors = [
            float(brier(1 - v[rows, None], t, d, times=[self.when], competing=other)[0])
            for v in self.pair.values()
        ]
        risks = {k: v[rows] for k, v in self.pair.items()}
        curves = decision_curve(
            risks, t, d, horizon=self.when, thresholds=COMPARED, competing=other
        ).net_benefit
        return [errors[0] - errors[1], *(curves["combined"] - curves["clinical"])]

    def at_once(self, draws: np.ndarray) -> np.ndarray:
        """The same for all resamples at once, float[resamples, 1 + thresholds]."""
        counts, when = counts_of(draws, len(self.time)), np.array([self.when])
        errors, benefits = [], []
        for risk in (self.pair["combined"], self.pair["clinical"]):
            error = ResampledError(1 - risk[:, None], self.time, self.event, when, competing=self.competing)
            errors.append(error.scores(counts)[0])
            benefits.append(
                resampled_benefit(
                    risk,
                    self.time,
                    self.event,
                    counts,
                    horizon=self.when,
                    thresholds=np.array(COMPARED),
                    competing=self.competing,
                )
            )
        return np.hstack([errors[0] - errors[1], benefits[0] - benefits[1]])


def at_horizon(
    risks: Mapping[str, np.ndarray],
    time: np.ndarray,
    event: np.ndarray,
    when: float,
    draws: np.ndarray,
    *,
    competing: np.ndarray | None = None,
    workers: int = 1,
) -> AtHorizon:
    """Brier scores and net benefit of frozen models, and their differences, at one horizon.

    Parameters
    ----------
    risks
        float[n] predicted probability of an event by `when` for each model; must have clinical and combined.
    time, event
        float[n] and bool[n] of a validation cohort.
    when
        Horizon in the unit of time.
    draws
        int[resamples, n]: rows of each resample.
    competing
        bool[n]: whose follow-up ended with a competing event; risks are then cumulative incidences.
    workers
        Number of processes; the result does not depend on it.

    Returns
    -------
    AtHorizon

    References
    ----------
    See `survival.brier` and `survival.decision_curve`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> time, event = rng.exponential(10, 60), np.ones(60, bool)
    >>> risks = {"clinical": np.full(60, 0.4), "combined": np.where(time < 5, 0.7, 0.2)}
    >>> result = at_horizon(risks, time, event, 5.0, rng.integers(0, 60, (5, 60)))
    >>> {name: round(value, 3) for name, value in result.brier.items()}
    {'clinical': 0.23, 'combined': 0.057}
    """
    score = {
        k: float(brier(1 - v[:, None], time, event, times=[when], competing=competing)[0])
        for k, v in risks.items()
    }
    pair = {k: risks[k] for k in ("combined", "clinical")}

    difference = _AtHorizon(pair=pair, time=time, event=event, when=when, competing=competing)
    if len(time) > _MANY:
        limits = paired_limits(difference, list(draws), 1 + len(COMPARED), workers=workers)
    else:
        limits = limits_of(difference.at_once(draws))
    curve, at = (
        decision_curve(models, time, event, horizon=when, thresholds=cuts, competing=competing).net_benefit
        for models, cuts in ((dict(risks), THRESHOLDS), (pair, COMPARED))
    )
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
