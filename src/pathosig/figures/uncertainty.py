"""When a confidence interval is too wide to say anything: one rule for figures, tables and files of tables."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """What an estimate measures, and how wide its confidence interval may be.

    Attributes
    ----------
    widest
        Largest distance of the two ends, above 0; of a ratio the largest factor between them.
    ratio
        Whether the ends are compared by their factor.
    reason
        What is printed beside an estimate whose interval is wider.
    """

    widest: float
    reason: str
    ratio: bool = False


RATIO = Scale(widest=10.0, ratio=True, reason="the confidence interval spans a factor of {spread:.0f}")
"""Hazard ratios, and events observed over events expected."""

SLOPE = Scale(widest=2.0, reason="the confidence interval does not tell a slope of 0 from one of 2")
"""Calibration slopes: 0 is a score without meaning, 1 is perfect, 2 is twice the effect that was predicted."""

PROPORTION = Scale(
    widest=0.5, reason="the confidence interval covers more than half of the scale from 0 to 1"
)
"""Proportions, C-indices, Brier scores and net benefits, and the differences of two of them."""

CORRELATION = Scale(
    widest=1.0, reason="the confidence interval covers more than half of the scale from −1 to 1"
)


def time_scale(horizon: float) -> Scale:
    """The scale of a mean survival time, or of a difference of two, restricted to `horizon`."""
    return Scale(
        widest=horizon / 2, reason="the confidence interval is wider than half of the time considered"
    )


def why_too_wide(lower: float | None, upper: float | None, scale: Scale = RATIO) -> str:
    """Why an interval says nothing; empty where it says something, and for an estimate without an interval.

    An interval without any width, as a bootstrap gives after a single event, says nothing either.

    Parameters
    ----------
    lower, upper
        The ends; None where an end is missing or infinite. Without both there is no interval.
    scale
        What the estimate measures.

    Examples
    --------
    >>> why_too_wide(4.03, 54.9)
    'the confidence interval spans a factor of 14'
    >>> why_too_wide(-40, 46, SLOPE)
    'the confidence interval does not tell a slope of 0 from one of 2'
    >>> why_too_wide(0.51, 0.78, PROPORTION), why_too_wide(None, None)
    ('', '')
    >>> why_too_wide(1.0, 1.0, PROPORTION)
    'the confidence interval has no width'
    """
    if lower is None and upper is None:
        return ""
    if lower is None or upper is None or not math.isfinite(upper - lower) or (scale.ratio and lower <= 0):
        return "the confidence interval has no end"
    if lower == upper:
        return "the confidence interval has no width"
    spread = upper / lower if scale.ratio else upper - lower
    return scale.reason.format(spread=spread) if spread > scale.widest else ""
