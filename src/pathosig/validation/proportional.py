"""Proportional hazards of a score in one cohort: tests, and hazard ratios in two periods of follow-up."""

from __future__ import annotations

import numpy as np

from pathosig.core.errors import NotEstimableError
from pathosig.survival import cox, ph_test
from pathosig.validation.analysis import Piece, ProportionalHazards
from pathosig.validation.estimates import hazard_ratio
from pathosig.validation.values import ChiSquare, HazardRatio, NotEstimable, attempt, finite


def _ph_test(column: np.ndarray, time: np.ndarray, event: np.ndarray, entry: np.ndarray | None) -> ChiSquare:
    if not column.std() > 0:
        message = "the column does not vary"
        raise NotEstimableError(message)
    test = ph_test(cox(column[:, None], time, event, entry=entry), transform="km")
    return ChiSquare(statistic=finite(test.global_statistic), df=test.global_df, p=finite(test.global_p))


def proportional(
    scaled: np.ndarray,
    high: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    entry: np.ndarray | None = None,
) -> ProportionalHazards:
    """Score tests of proportional hazards, and hazard ratios before and after the median event time.

    Parameters
    ----------
    scaled
        float[n]: score in standard deviations of discovery.
    high
        float[n]: 1 for patients at high risk, 0 for others.
    time, event
        float[n] and bool[n].
    entry
        float[n] times of delayed entry.

    Returns
    -------
    ProportionalHazards
        With fewer than 20 events there are no hazard ratios by period.

    References
    ----------
    R: survival::cox.zph.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> score = rng.normal(size=300)
    >>> time = rng.exponential(np.exp(-score))
    >>> ph = proportional(score, (score > 0).astype(float), time, np.ones(300, bool))
    >>> ph.violated, [round(piece.effect.hr, 1) for piece in ph.piecewise]
    (False, [2.8, 2.1])
    """
    score = attempt(_ph_test, scaled, time, event, entry)
    violated = isinstance(score, ChiSquare) and score.p is not None and score.p < 0.05
    pieces: tuple[Piece, ...] = ()
    if event.sum() >= 20 and scaled.std() > 0:
        middle = float(np.median(time[event]))
        pieces = (
            Piece(start=0.0, end=middle, effect=_piece(scaled, time, event, entry, 0.0, middle)),
            Piece(
                start=middle,
                end=float(time.max()),
                effect=_piece(scaled, time, event, entry, middle, float(time.max())),
            ),
        )
    return ProportionalHazards(
        score=score, group=attempt(_ph_test, high, time, event, entry), violated=violated, piecewise=pieces
    )


def _piece(
    scaled: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    entry: np.ndarray | None,
    start: float,
    end: float,
) -> HazardRatio | NotEstimable:
    """Hazard ratio in one period of follow-up."""
    inside = (time > start) | (start == 0)
    late = None
    if entry is not None:
        inside &= entry < end
        late = np.maximum(entry, start)[inside]
    happened = event & (time <= end)
    return hazard_ratio(scaled[inside], np.minimum(time, end)[inside], happened[inside], entry=late)
