"""A nomogram: points of every variable add up to a total, under which the predicted risks stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pathosig.figures.palette import GRID, INK, MUTED
from pathosig.figures.style import PAGE, axes_at, bare, new_figure, note, shortened, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXAMPLE = "#009E73"


@dataclass(frozen=True, kw_only=True)
class NomogramScale:
    """One variable of the model.

    Attributes
    ----------
    label
        Name as printed.
    marks
        Points and printed value of every tick.
    ends
        Points at the ends of the line.
    example
        Points of the patient that is marked; None without one.
    """

    label: str
    marks: Sequence[tuple[float, str]]
    ends: tuple[float, float]
    example: float | None = None


@dataclass(frozen=True, kw_only=True)
class RiskMarks:
    """Totals at which the risk takes round values: total points and the printed risk of every tick."""

    label: str
    marks: Sequence[tuple[float, str]]


def nomogram_figure(
    scales: Sequence[NomogramScale], risks: Sequence[RiskMarks], *, totals: tuple[float, float]
) -> Figure:
    """Scales to read a patient's risk by hand.

    Parameters
    ----------
    scales
        Variables in points, from 0 to 100.
    risks
        One scale of risks per horizon, in total points.
    totals
        Lowest and highest total that is drawn.
    """
    with style():
        rows = len(scales) + 2 + len(risks)
        height = 0.36 * rows + 0.42
        figure = new_figure(PAGE, height)
        names = [shortened(s.label, 30) for s in scales]
        widest = max((len(n) for n in [*names, *(r.label for r in risks)]), default=0)
        margin = min(2.5, max(1.3, 0.074 * widest + 0.2))
        box = (margin, 0.08, PAGE - margin - 0.3, height - 0.16)
        axes = bare(axes_at(figure, box))
        if not scales:
            note(axes, "The model has no variables.")
            return figure
        axes.set_xlim(-3, 103)
        axes.set_ylim(rows - 0.1, -0.75)
        _scale(axes, 0, "Points", [(10.0 * i, f"{10 * i}") for i in range(11)], above=True)
        for tick in range(0, 101, 10):
            axes.plot([tick, tick], [0, len(scales) + 0.3], color=GRID, linewidth=0.5, zorder=0)
        for row, (scale, name) in enumerate(zip(scales, names, strict=True), start=1):
            _scale(axes, row, name, scale.marks, ends=scale.ends)
        first = len(scales) + 1
        low, high = totals
        step = next(s for s in (1, 2, 5, 10, 20, 50, 100) if (high - low) / s <= 12 or s == 100)
        inside = [t for t in range(0, int(high) + 1, step) if low <= t <= high]
        _scale(axes, first, "Total points", [(_place(t, totals), f"{t}") for t in inside], ends=(0, 100))
        for row, risk in enumerate(risks, start=first + 1):
            marks = [(_place(t, totals), text) for t, text in risk.marks if low <= t <= high]
            _scale(axes, row, risk.label, marks, colour=MUTED)
        parts = [s.example for s in scales if s.example is not None]
        if len(parts) == len(scales):
            _example(axes, parts, (first, rows - 1), _place(sum(parts), totals))
    return figure


def _place(total: float, totals: tuple[float, float]) -> float:
    """Where a total lies between the ends of its scale, 0 to 100."""
    return 100 * (total - totals[0]) / max(totals[1] - totals[0], 1e-9)


def _scale(
    axes: Axes,
    row: int,
    label: str,
    marks: Sequence[tuple[float, str]],
    *,
    colour: str = INK,
    above: bool = False,
    ends: tuple[float, float] | None = None,
) -> None:
    """A line with its ticks; a text that would touch its neighbour goes to the other side of the line."""
    where = axes.get_yaxis_transform()
    axes.text(-0.015, row, label, ha="right", va="center", transform=where, fontsize=7, weight="bold")
    if not marks:
        return
    places = [p for p, _ in marks]
    line = ends or (min(places), max(places))
    axes.plot(line, [row, row], color=colour, linewidth=1.4, solid_capstyle="butt", zorder=2)
    reach = {-1: -99.0, 1: -99.0}
    for place, text in sorted(marks):
        half = 0.42 * len(text) + 0.5
        side = -1 if above else 1
        if place - half < reach[side]:
            side = -side
        if place - half < reach[side]:
            continue
        reach[side] = place + half
        axes.plot([place, place], [row, row + 0.13 * side], color=colour, linewidth=0.8, zorder=2)
        axes.text(
            place,
            row + 0.19 * side,
            text,
            ha="center",
            va="top" if side > 0 else "bottom",
            fontsize=5.8,
            zorder=3,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3},
        )


def _example(axes: Axes, parts: Sequence[float], rows: tuple[int, int], total: float) -> None:
    """One patient: a diamond on every scale, and the total down the risks."""
    look: dict[str, Any] = {"color": EXAMPLE, "markersize": 4.6, "markeredgecolor": "white", "zorder": 6}
    for row, points in enumerate(parts, start=1):
        axes.plot([points], [row], "D", **look)
    first, last = rows
    axes.plot([total, total], [first, last], color=EXAMPLE, linewidth=0.8, zorder=2)
    for row in range(first, last + 1):
        axes.plot([total], [row], "D", **look)
