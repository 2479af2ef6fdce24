"""The signature on one page: a nomogram of the score, with the cut-off and the predicted survival."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from pathosig.figures.palette import GRID, HIGH, INK, LOW, MUTED
from pathosig.figures.style import PAGE, axes_at, bare, new_figure, note, shortened, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Term:
    """One term of the score.

    Attributes
    ----------
    label
        Name as printed.
    coefficient
        Change of the score per unit of the transformed feature.
    low, high
        Range of the feature in the discovery cohort (usually its 1st and 99th percentile).
    center
        Discovery mean that is subtracted.
    percent
        Whether the feature is a proportion, printed in per cent.
    """

    label: str
    coefficient: float
    low: float
    high: float
    center: float
    percent: bool = True


def equation_figure(
    terms: Sequence[Term],
    *,
    cutoff: float,
    score_range: tuple[float, float],
    survival: Sequence[tuple[str, float]] = (),
    title: str = "",
    example: Sequence[float] = (),
) -> Figure:
    """Scales to read a patient's score by hand: each proportion gives a contribution, and their sum is the score.

    Parameters
    ----------
    terms
        Terms of the score.
    cutoff, score_range
        Cut-off between low and high; lowest and highest score drawn.
    survival
        Rows such as ``("Survival at 36 months", s0)`` with the baseline survival s0: a score s means s0^exp(s).
    title
        Title of the figure.
    example
        One patient's value of every term, marked on all scales; none is marked when empty.
    """
    with style():
        top = 0.30 if title else 0.10
        rows = len(terms) + 2 + len(survival)
        height = top + 0.36 * rows + 0.30
        figure = new_figure(PAGE, height)
        names = [shortened(t.label, 30) for t in terms]
        margin = min(2.5, max(1.55, 0.074 * max((len(n) for n in names), default=0) + 0.2))
        axes = bare(axes_at(figure, (margin, 0.06, PAGE - margin - 0.3, height - top - 0.06)))
        figure.text(0.08 / PAGE, 1 - 0.15 / height, title, weight="bold", fontsize=8, va="center")
        if not terms:
            note(axes, "The signature has no terms.")
            return figure
        values = [t.coefficient * (v - t.center) for t in terms for v in (t.low, t.high)]
        parts = [t.coefficient * (v - t.center) for t, v in zip(terms, example, strict=False)]
        left, right = (pick(*values, *parts, sum(parts), *score_range, cutoff) for pick in (min, max))
        pad = 0.04 * (right - left)
        axes.set_xlim(left - pad, right + pad)
        axes.set_ylim(rows + 0.02, -0.55)
        common = round_values(left, right, at_most=9)
        signed = [f"{v:+.3g}".replace("-", "−") if v else "0" for v in common]
        _scale(axes, 0, (common, signed), ("Contribution", INK))
        for tick in common:
            axes.plot([tick, tick], [0.1, len(terms) + 1], color=GRID, linewidth=0.6, zorder=0)
        for i, term in enumerate(terms, start=1):
            ticks = round_values(term.low, term.high)
            places = [term.coefficient * (v - term.center) for v in ticks]
            texts = [f"{100 * v:.3g}%" if term.percent else f"{v:.3g}".replace("-", "−") for v in ticks]
            _scale(axes, i, (places, texts), (names[i - 1], HIGH if term.coefficient > 0 else LOW))
        span = _widened(score_range, [sum(parts)] if len(parts) == len(terms) else [], cutoff)
        ticks = round_values(*span)
        texts = [f"{v:.3g}".replace("-", "−") for v in ticks]
        axes.plot(span, [len(terms) + 1] * 2, color=INK, linewidth=1.6, solid_capstyle="butt")
        _scale(axes, len(terms) + 1, (ticks, texts), ("Score (sum)", INK))
        for j, (label, baseline) in enumerate(survival):
            _survival(axes, len(terms) + 2 + j, (label, baseline), span)
        _cutoff(axes, cutoff, (len(terms) + 1, rows - 1))
        if len(parts) == len(terms):
            _example(axes, parts, rows - 1)
    return figure


def _widened(span: tuple[float, float], shown: Sequence[float], cutoff: float) -> tuple[float, float]:
    """The range of scores that includes everything marked on it."""
    return min(*span, *shown, cutoff), max(*span, *shown, cutoff)


def _survival(axes: Axes, row: int, head: tuple[str, float], span: tuple[float, float]) -> None:
    """Survival along the score, s0^exp(score), with a tick at its round values and at both ends of the scale."""
    label, baseline = head
    ends = [baseline ** math.exp(score) for score in span]  # survival falls as the score rises
    choices = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
    round_ones = [p for p in choices if ends[1] <= p <= ends[0]]
    if len(round_ones) < 3:  # a score with little effect needs finer steps
        round_ones = [p for p in round_values(ends[1], ends[0], at_most=5) if 0 < p < 1]
    gap = 0.06 * (axes.get_xlim()[1] - axes.get_xlim()[0])
    places = [math.log(math.log(p) / math.log(baseline)) for p in round_ones]
    inner = [
        (x, f"{100 * p:.3g}%")
        for x, p in zip(places, round_ones, strict=True)
        if span[0] + gap < x < span[1] - gap
    ]
    outer = [(x, _per_cent(p)) for x, p in zip(span, ends, strict=True)]
    marks = sorted([*inner, *outer])
    _scale(axes, row, ([x for x, _ in marks], [text for _, text in marks]), (label, MUTED))


def _per_cent(p: float) -> str:
    """A probability at the end of a scale, never rounded to certainty."""
    return "<1%" if p < 0.01 else ">99%" if p > 0.99 else f"{100 * p:.0f}%"


def _cutoff(axes: Axes, cutoff: float, rows: tuple[int, int]) -> None:
    first, last = rows
    axes.plot(
        [cutoff, cutoff],
        [first - 0.2, last + 0.55],
        color=INK,
        linewidth=0.8,
        linestyle=(0, (3, 2)),
        zorder=1,
    )
    text = "cut-off " + f"{cutoff:.3g}".replace("-", "−")
    axes.text(cutoff, last + 0.58, text, fontsize=6, ha="center", va="top")


def _example(axes: Axes, parts: Sequence[float], last: int) -> None:
    """One patient: a diamond on every term, their sum on the score and down the survival scales."""
    score = sum(parts)
    look: dict[str, Any] = {"color": "#009E73", "markersize": 4.6, "markeredgecolor": "white", "zorder": 6}
    for i, part in enumerate(parts, start=1):
        axes.plot([part], [i], "D", **look)
    row = len(parts) + 1
    axes.plot([score, score], [row, last], color="#009E73", linewidth=0.8, zorder=2)
    for at in range(row, last + 1):
        axes.plot([score], [at], "D", **look)


def round_values(low: float, high: float, *, at_most: int = 6) -> list[float]:
    """Round numbers for the ticks of a scale from `low` to `high`.

    Examples
    --------
    >>> round_values(38.5, 82.3)
    [40.0, 50.0, 60.0, 70.0, 80.0]
    """
    ticks = MaxNLocator(nbins=at_most, steps=[1, 2, 5, 10]).tick_values(low, high)
    span = high - low
    return [float(t) for t in ticks if low - 0.02 * span <= t <= high + 0.02 * span]


def _scale(axes: Axes, row: int, marks: tuple[Sequence[float], Sequence[str]], head: tuple[str, str]) -> None:
    places, names = marks
    label, colour = head
    axes.text(
        -0.015,
        row,
        label,
        ha="right",
        va="center",
        transform=axes.get_yaxis_transform(),
        fontsize=7,
        color=INK,
        weight="bold",
    )
    if not len(places):
        return
    axes.plot([min(places), max(places)], [row, row], color=colour, linewidth=1.6, solid_capstyle="butt")
    low, high = axes.get_xlim()
    last = -np.inf
    for place, name in sorted(zip(places, names, strict=True)):
        axes.plot([place, place], [row, row + 0.14], color=colour, linewidth=0.8)
        if place - last > (high - low) * 0.04:
            axes.text(
                place,
                row + 0.19,
                name,
                ha="center",
                va="top",
                fontsize=5.8,
                zorder=3,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4},
            )
            last = place
