"""Forest plots: aligned text, logarithmic axis, reference at 1, arrows where an interval leaves the axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pathosig.figures.palette import GRID, INK, MUTED
from pathosig.figures.style import PAGE, axes_at, bare, estimate_text, new_figure, note, style
from pathosig.figures.uncertainty import RATIO, why_too_wide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """One line of a forest plot.

    Attributes
    ----------
    label
        Printed at the left; indented when `level` is 1.
    hr, lower, upper
        Estimate and 95% limits; None where not estimable. Infinite limits become arrows.
    n, events, p
        Printed in their columns; None leaves the cell empty.
    kind
        ``estimate`` (a square), ``heading`` (text only), ``reference`` (HR 1, no interval) or
        ``pooled`` (a diamond).
    prediction
        Limits of a prediction interval, drawn as a thin line through a pooled diamond.
    level
        0 or 1: indentation.
    remark
        Printed in place of an estimate that is missing, such as ``separation``.

    Examples
    --------
    >>> ForestRow(label="Score, per SD", hr=1.46, lower=1.2, upper=1.8).too_wide
    False
    >>> ForestRow(label="Stage IV", hr=4.0, lower=0.3, upper=60.0).too_wide
    True
    """

    label: str
    hr: float | None = None
    lower: float | None = None
    upper: float | None = None
    n: int | None = None
    events: int | None = None
    p: float | None = None
    kind: str = "estimate"
    prediction: tuple[float, float] | None = None
    level: int = 0
    remark: str = ""

    @property
    def too_wide(self) -> bool:
        """Whether the interval says nothing: the row is small and grey."""
        return bool(why_too_wide(self.lower, self.upper))


_ROW = 0.185
PALE = "#A9B1BA"
_GREY = f"Small and grey: the confidence interval has no end or spans more than a factor of {RATIO.widest:g}."


def forest_plot(
    rows: Sequence[ForestRow],
    *,
    title: str = "",
    effect: str = "Hazard ratio (95% CI)",
    p_heading: str = "p",
    left_label: str = "lower risk",
    right_label: str = "higher risk",
    width: float = PAGE,
) -> Figure:
    """A forest plot with columns label, n, events, the plot itself, estimate and p.

    Parameters
    ----------
    rows
        Lines from top to bottom.
    title, effect, p_heading
        Headings.
    left_label, right_label
        Meaning of the two directions, under the axis.
    width
        Inches; the height follows from the number of rows.

    Examples
    --------
    >>> rows = [ForestRow(label="Score, per SD", hr=1.46, lower=1.2, upper=1.8, n=380, events=194, p=0.0002)]
    >>> figure = forest_plot(rows, title="Overall survival")
    >>> "Overall survival" in [text.get_text() for text in figure.axes[0].texts]
    True
    """
    with style():
        body = max(len(rows), 1) * _ROW
        top = 0.26 + (0.22 if title else 0.0)
        foot = 0.66 if any(row.too_wide for row in rows) else 0.50
        figure = new_figure(width, body + top + foot)
        text = bare(axes_at(figure, (0, foot, width, body + top)))
        text.set_xlim(0, width)
        text.set_ylim(0, body + top)
        text.patch.set_visible(False)
        columns = _Columns.of(width, rows)
        if title:
            text.text(0.08, body + top - 0.13, title, weight="bold", fontsize=8, va="center")
        _headings(text, columns, body, effect, p_heading)
        plot = axes_at(figure, (columns.plot, foot, columns.plot_width, body))
        if not rows:
            note(plot, "Nothing to show.")
            return figure
        limits = _limits(rows)
        for i, row in enumerate(rows):
            y = body - (i + 0.5) * _ROW
            if i % 2 == 1:
                text.axhspan(y - _ROW / 2, y + _ROW / 2, color="#F5F6F8", zorder=0, linewidth=0)
            _row_text(text, columns, row, y)
            _row_mark(plot, row, y, limits)
        _axis(plot, limits, body, (left_label, right_label))
        if any(row.too_wide for row in rows):
            text.text(0.08, 0.06 - foot, _GREY, fontsize=6, color=MUTED, va="bottom")
    return figure


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """Horizontal places in inches."""

    show_n: bool
    n: float
    events: float
    plot: float
    plot_width: float
    estimate: float
    p: float

    @classmethod
    def of(cls, width: float, rows: Sequence[ForestRow]) -> _Columns:
        # A heading may run on over the columns of numbers, which are empty in its row.
        lengths = [len(r.label) + 2 * r.level - (14 if r.kind == "heading" else 0) for r in rows]
        label = min(max(1.0, 0.056 * max(lengths, default=10) + 0.25), width * 0.38)
        show_n = any(r.n is not None for r in rows)
        show_events = any(r.events is not None for r in rows)
        n = label + (0.36 if show_n else 0.0)
        events = n + (0.46 if show_events else 0.0)
        right = 1.25 + 0.58
        plot = events + 0.2
        return cls(
            show_n=show_n,
            n=n,
            events=events,
            plot=plot,
            plot_width=max(width - plot - right - 0.12, 0.9),
            estimate=width - 0.62,
            p=width - 0.08,
        )


def _headings(axes: Axes, columns: _Columns, body: float, effect: str, p_heading: str) -> None:
    y = body + 0.15
    options: dict[str, Any] = {"va": "center", "fontsize": 6.5, "color": MUTED}
    if columns.show_n:
        axes.text(columns.n, y, "n", ha="right", **options)
    if columns.events != columns.n:
        axes.text(columns.events, y, "Events", ha="right", **options)
    axes.text(columns.estimate, y, effect, ha="right", **options)
    axes.text(columns.p, y, p_heading, ha="right", **options)
    axes.axhline(body + 0.04, color=INK, linewidth=0.6)


def _row_text(axes: Axes, columns: _Columns, row: ForestRow, y: float) -> None:
    heavy = "bold" if row.kind in ("heading", "pooled") else "normal"
    axes.text(0.08 + 0.12 * row.level, y, row.label, va="center", weight=heavy)
    if row.kind == "heading":
        return
    for value, x in ((row.n, columns.n), (row.events, columns.events)):
        if value is not None:
            axes.text(x, y, f"{value:,}", ha="right", va="center")
    if row.kind == "reference":
        axes.text(columns.estimate, y, "1 (reference)", ha="right", va="center", color=MUTED)
        return
    text = row.remark if row.remark and row.hr is None else estimate_text(row.hr, row.lower, row.upper)
    pale = row.hr is None or row.too_wide
    size: dict[str, Any] = {"fontsize": 6.2, "color": MUTED} if pale else {}
    axes.text(columns.estimate, y, text, ha="right", va="center", weight=heavy, **size)
    if row.p is not None and math.isfinite(row.p):
        shown = "<0.001" if row.p < 0.001 else f"{row.p:.3f}"
        strong = "bold" if row.p < 0.05 and not pale else "normal"
        axes.text(columns.p, y, shown, ha="right", va="center", weight=strong, **size)


def _limits(rows: Sequence[ForestRow]) -> tuple[float, float]:
    """Axis limits that hold most intervals, symmetric enough, between 1/50 and 50."""
    points = [v for r in rows for v in (r.hr,) if v is not None and math.isfinite(v) and v > 0]
    ends = [
        v
        for r in rows
        for v in (r.lower, r.upper, *(r.prediction or ()))
        if v is not None and math.isfinite(v) and v > 0
    ]
    low = min([*np.maximum(ends, 1 / 12), *np.maximum(points, 1 / 50), 0.7])
    high = max([*np.minimum(ends, 12), *np.minimum(points, 50), 1.43])
    low, high = float(low) / 1.12, float(high) * 1.12
    ticks = (0.02, 0.05, 0.1, 0.2, 0.5)
    near = [t for t in ticks if t <= low < t * 1.25]
    return (near[-1] / 1.05 if near else low), high


def _row_mark(axes: Axes, row: ForestRow, y: float, limits: tuple[float, float]) -> None:
    if row.kind == "heading":
        return
    if row.kind == "reference":
        axes.plot([1], [y], "s", color=MUTED, markersize=3.2, markerfacecolor="white", markeredgewidth=0.8)
        return
    if row.hr is None or not math.isfinite(row.hr) or row.hr <= 0:
        return
    low = row.lower if row.lower is not None and math.isfinite(row.lower) and row.lower > 0 else limits[0] / 2
    high = row.upper if row.upper is not None and math.isfinite(row.upper) else limits[1] * 2
    if row.kind == "pooled":
        _diamond(axes, row, y, (low, high))
        return
    shown = (max(low, limits[0]), min(high, limits[1]))
    pale = row.too_wide
    ink = PALE if pale else INK
    axes.plot(shown, (y, y), color=ink, linewidth=1.0, solid_capstyle="butt", zorder=2)
    for end, marker, clipped in ((shown[0], "<", low < limits[0]), (shown[1], ">", high > limits[1])):
        if clipped:
            axes.plot([end], [y], marker, color=ink, markersize=3.6, clip_on=False, zorder=3)
        else:
            axes.plot([end, end], [y - 0.03, y + 0.03], color=ink, linewidth=0.8, zorder=2)
    if limits[0] <= row.hr <= limits[1]:
        size = 3.0 if row.events is None else 2.4 + 2.6 * min(1.0, math.sqrt(row.events / 200))
        axes.plot([row.hr], [y], "s", color=MUTED if pale else "#0B4F8A", markersize=size, zorder=4)


def _diamond(axes: Axes, row: ForestRow, y: float, ends: tuple[float, float]) -> None:
    from matplotlib.patches import Polygon

    if row.prediction is not None:
        axes.plot(row.prediction, (y, y), color=MUTED, linewidth=0.8, zorder=2)
    middle = row.hr if row.hr is not None else 1.0
    corners = [(ends[0], y), (middle, y + 0.06), (ends[1], y), (middle, y - 0.06)]
    colour = PALE if row.too_wide else "#0B4F8A"
    axes.add_patch(Polygon(corners, closed=True, facecolor=colour, edgecolor="none", zorder=4))


def _axis(axes: Axes, limits: tuple[float, float], body: float, sides: tuple[str, str]) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log")
    axes.set_xlim(*limits)
    axes.set_ylim(0, body)
    axes.axvline(1, color=MUTED, linewidth=0.7, linestyle=(0, (3, 2)), zorder=1)
    choices = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
    if limits[1] / limits[0] < 6:
        choices = [0.25, 0.33, 0.5, 0.67, 0.8, 1, 1.25, 1.5, 2, 3, 4]
    elif limits[1] / limits[0] < 30:
        choices = [0.05, 0.1, 0.2, 0.33, 0.5, 1, 2, 3, 5, 10, 20]
    ticks = [t for t in choices if limits[0] <= t <= limits[1]]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    for tick in ticks:
        axes.axvline(tick, color=GRID, linewidth=0.5, zorder=0)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.patch.set_visible(False)
    if axes.bbox.width / axes.figure.dpi < 1.5:
        return
    place = axes.transAxes
    middle = math.log(1 / limits[0]) / math.log(limits[1] / limits[0])
    drop = -0.27 / body
    left, right = sides
    axes.text(
        middle - 0.02, drop, f"← {left}", ha="right", va="top", fontsize=6, color=MUTED, transform=place
    )
    axes.text(
        middle + 0.02, drop, f"{right} →", ha="left", va="top", fontsize=6, color=MUTED, transform=place
    )
