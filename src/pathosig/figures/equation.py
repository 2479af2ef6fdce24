"""The signature on one page: points per share as a nomogram, with the cut-off and the survival it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pathosig.figures.palette import HIGH, INK, LOW, MUTED
from pathosig.figures.style import PAGE, axes_at, bare, new_figure, note, style

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
        Whether the feature is a share, printed in per cent.
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
    survival: Sequence[tuple[str, Sequence[float], Sequence[float]]] = (),
    title: str = "",
) -> Figure:
    """Scales to read a patient's score by hand: each share gives a contribution, their sum is the score.

    Parameters
    ----------
    terms
        Terms of the score.
    cutoff, score_range
        Cut-off between low and high; lowest and highest score drawn.
    survival
        Rows such as ``("36 months", scores, probabilities)`` to mark survival along the score.
    title
        Title of the figure.
    """
    with style():
        height = 0.55 + 0.36 * (len(terms) + 1 + len(survival)) + 0.45
        figure = new_figure(PAGE, height)
        axes = bare(axes_at(figure, (1.35, 0.1, PAGE - 1.75, height - 0.45)))
        figure.text(0.08 / PAGE, 1 - 0.15 / height, title, weight="bold", fontsize=8, va="center")
        if not terms:
            note(axes, "The signature has no terms.")
            return figure
        values = [t.coefficient * (v - t.center) for t in terms for v in (t.low, t.high)]
        left, right = min(*values, score_range[0]), max(*values, score_range[1])
        pad = 0.04 * (right - left)
        axes.set_xlim(left - pad, right + pad)
        rows = len(terms) + 1 + len(survival)
        axes.set_ylim(rows + 0.1, -0.9)
        axes.axvline(0, color="#E3E6EA", linewidth=0.8, zorder=0)
        for i, term in enumerate(terms):
            ticks = _round_values(term.low, term.high)
            places = [term.coefficient * (v - term.center) for v in ticks]
            names = [f"{100 * v:.3g}%" if term.percent else f"{v:.3g}" for v in ticks]
            _scale(axes, i, (places, names), (term.label, HIGH if term.coefficient > 0 else LOW))
        ticks = _round_values(*score_range)
        _scale(axes, len(terms), (ticks, [f"{v:.3g}".replace("-", "−") for v in ticks]), ("Score (sum)", INK))
        axes.plot(
            [cutoff, cutoff],
            [len(terms) - 0.32, rows - 0.55],
            color=HIGH,
            linewidth=0.9,
            linestyle=(0, (3, 2)),
        )
        axes.text(
            cutoff,
            len(terms) - 0.36,
            f"cut-off {cutoff:.3g}",
            color=HIGH,
            fontsize=6,
            ha="center",
            va="bottom",
        )
        for j, (label, scores, probabilities) in enumerate(survival):
            wanted = [
                p
                for p in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
                if min(probabilities) <= p <= max(probabilities)
            ]
            order = np.argsort(probabilities)
            places = list(np.interp(wanted, np.asarray(probabilities)[order], np.asarray(scores)[order]))
            _scale(axes, len(terms) + 1 + j, (places, [f"{100 * p:.0f}%" for p in wanted]), (label, MUTED))
    return figure


def _round_values(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(nbins=6, steps=[1, 2, 5, 10]).tick_values(low, high)
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
        if place - last > (high - low) * 0.035:
            axes.text(place, row + 0.20, name, ha="center", va="top", fontsize=5.8)
            last = place
