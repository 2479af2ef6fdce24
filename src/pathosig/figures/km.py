"""Kaplan-Meier figures in KMunicate style: bands, extended risk table, medians, test and hazard ratio.

References
----------
Morris TP et al. Proposals on Kaplan-Meier plots in medical research and a survey of stakeholder
views: KMunicate. BMJ Open 2019; 9: e030215.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pathosig.core.words import counted
from pathosig.figures.palette import INK, MUTED, group_colour
from pathosig.figures.style import (
    COLUMN,
    axes_at,
    bare,
    estimate_text,
    new_figure,
    note,
    number,
    p_text,
    style,
)
from pathosig.figures.uncertainty import why_too_wide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class KmCurve:
    """One group's Kaplan-Meier estimate.

    Attributes
    ----------
    label
        Name of the group as printed.
    time, estimate, lower, upper
        Steps of the curve, ascending, without the point at 0: float[n_steps]. Limits may be NaN.
    n_risk, n_event, n_censor
        Counts at each step: at risk just before it, events and censored at it.
    n, events
        Totals.
    median
        Median survival with its limits; None where not reached.

    Examples
    --------
    >>> curve = KmCurve(
    ...     label="high", time=[2, 5, 9], estimate=[0.8, 0.6, 0.3], lower=[0.6, 0.4, 0.1], upper=[1, 0.9, 0.7],
    ...     n_risk=[10, 7, 4], n_event=[2, 2, 2], n_censor=[0, 1, 0], n=10, events=6
    ... )
    >>> curve.counts_at([0, 6])
    [(10, 0, 0), (4, 1, 4)]
    """

    label: str
    time: Sequence[float]
    estimate: Sequence[float]
    lower: Sequence[float]
    upper: Sequence[float]
    n_risk: Sequence[float]
    n_event: Sequence[float]
    n_censor: Sequence[float]
    n: int
    events: int
    median: tuple[float | None, float | None, float | None] = (None, None, None)

    def counts_at(self, ticks: Iterable[float]) -> list[tuple[int, int, int]]:
        """At risk, censored so far, events so far at each tick."""
        time = np.asarray(self.time, float)
        events, censored = np.cumsum(self.n_event), np.cumsum(self.n_censor)
        out = []
        for tick in ticks:
            before = int(np.searchsorted(time, tick, side="left"))
            upto = int(np.searchsorted(time, tick, side="right"))
            risk = float(self.n_risk[before]) if before < len(time) else 0.0
            done = (float(censored[upto - 1]), float(events[upto - 1])) if upto else (0.0, 0.0)
            out.append((round(risk), round(done[0]), round(done[1])))
        return out


@dataclass(frozen=True, kw_only=True)
class KmData:
    """What one Kaplan-Meier panel shows.

    Attributes
    ----------
    title, unit
        Panel title; unit of time such as ``months``.
    curves
        One per group, in the order of the legend.
    endpoint
        Printed on the vertical axis, such as ``Overall survival``.
    logrank_p, hr, hr_label
        Test of all groups; hazard ratio with limits; what against what.
    tick
        Distance of the risk table's columns; chosen when None.
    """

    title: str
    unit: str
    curves: Sequence[KmCurve]
    endpoint: str = "Survival"
    logrank_p: float | None = None
    hr: tuple[float | None, float | None, float | None] | None = None
    hr_label: str = ""
    tick: float | None = None


def km_figure(data: KmData, *, width: float = COLUMN, curve_height: float = 2.15) -> Figure:
    """One Kaplan-Meier panel with its extended risk table (at risk, censored, events).

    Parameters
    ----------
    data
        Curves and the numbers printed with them.
    width, curve_height
        Inches; the risk table adds its own height.
    """
    with style():
        table = _table_height(data)
        figure = new_figure(width, curve_height + table + _header_height(data) + 0.66)
        _panel(figure, data, (0.0, 0.0, width), curve_height)
    return figure


def km_grid(panels: Sequence[KmData], *, columns: int = 2, curve_height: float = 1.9) -> Figure:
    """Several Kaplan-Meier panels on one page, row by row.

    Raises
    ------
    ValueError
        If there is no panel.
    """
    if not panels:
        message = "km_grid needs at least one panel."
        raise ValueError(message)
    with style():
        columns = min(columns, len(panels))
        rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
        heights = [
            curve_height + max(_table_height(p) for p in row) + max(_header_height(p) for p in row) + 0.80
            for row in rows
        ]
        figure = new_figure(3.6 * columns, sum(heights))
        top = sum(heights)
        for row, height in zip(rows, heights, strict=True):
            top -= height
            for j, panel in enumerate(row):
                slack = max(_table_height(p) for p in row) - _table_height(panel)
                _panel(figure, panel, (3.6 * j, top + slack, 3.6), curve_height)
    return figure


def nice_ticks(longest: float, unit: str) -> NDArray[np.floating]:
    """Five to nine round time points from 0 to about `longest`, in multiples that suit the unit."""
    if not math.isfinite(longest) or longest <= 0:
        return np.array([0.0, 1.0])
    families: dict[str, list[float]] = {
        "months": [1, 2, 3, 6, 12, 24, 36, 60, 120],
        "days": [5, 10, 30, 60, 90, 180, 365, 730, 1095, 1825],
        "weeks": [1, 2, 4, 13, 26, 52, 104, 156, 260],
        "years": [0.25, 0.5, 1, 2, 5, 10],
    }
    steps = families.get(unit, [m * 10.0**e for e in range(-3, 6) for m in (1, 2, 5)])
    step = next((s for s in steps if longest / s <= 8.5), steps[-1])
    return np.arange(0, math.floor(longest / step + 1e-9) + 1) * float(step)


_ROW = 0.135
_LINE = 0.118
_DASHES: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")


def _table_height(data: KmData) -> float:
    return 0.10 + (len(data.curves) + 1) * _ROW


def _panel(figure: Figure, data: KmData, place: tuple[float, float, float], curve_height: float) -> None:
    left, bottom, width = place
    table = _table_height(data)
    inner_left, inner_width = left + 0.72, width - 0.72 - 0.14
    header = _header_height(data)
    axes = axes_at(figure, (inner_left, bottom + table + 0.36, inner_width, curve_height))
    axes.set_title(data.title, x=-0.62 / inner_width, pad=6 + 72 * header)
    if not data.curves:
        note(axes, "No patients to show.")
        return
    longest = max((float(c.time[-1]) for c in data.curves if len(c.time)), default=1.0)
    ticks = nice_ticks(longest, data.unit) if data.tick is None else np.arange(0, longest + 1e-9, data.tick)
    for i, curve in enumerate(data.curves):
        _draw_curve(axes, curve, group_colour(curve.label, i), i)
    axes.set_xlim(0, longest * 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    axes.set_ylabel(f"{data.endpoint} (%)")
    axes.set_xlabel(f"Time ({data.unit})", labelpad=2)
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    _draw_header(figure, data, (left + 0.10, bottom + table + 0.40 + curve_height, width - 0.2, header))
    _draw_table(figure, data, (inner_left, bottom + 0.02, inner_width, table), ticks)


def _draw_curve(axes: Axes, curve: KmCurve, colour: str, position: int) -> None:
    time = np.concatenate([[0.0], np.asarray(curve.time, float)])
    estimate = np.concatenate([[1.0], np.asarray(curve.estimate, float)])
    lower = np.concatenate([[1.0], np.asarray(curve.lower, float)])
    upper = np.concatenate([[1.0], np.asarray(curve.upper, float)])
    # A missing interval, as after the last drop to 0, keeps the last known one: the band goes on to the end.
    lower, upper = (_carried(v) for v in (lower, upper))
    lower = np.minimum(lower, estimate)
    axes.fill_between(time, lower, upper, step="post", color=colour, alpha=0.16, linewidth=0)
    dashes = _DASHES[position % 4] if position >= 2 else "-"
    axes.step(time, estimate, where="post", color=colour, linestyle=dashes, solid_capstyle="butt")
    censored = np.concatenate([[0], np.asarray(curve.n_censor, float)]) > 0
    axes.plot(time[censored], estimate[censored], "|", color=colour, markersize=4.6, markeredgewidth=0.9)
    median = curve.median[0]
    if median is not None and math.isfinite(median):
        look: dict[str, Any] = {"color": colour, "linewidth": 0.6, "linestyle": (0, (2, 2))}
        axes.plot([0, median], [0.5, 0.5], **look)
        axes.plot([median, median], [0, 0.5], **look)


def _carried(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """The values with gaps filled by the last known one."""
    place = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), 0))
    return np.asarray(values[place])


def _test_lines(data: KmData) -> list[tuple[str, bool]]:
    """Hazard ratio and test as printed over the curves, and whether a line is small and grey."""
    test = "" if data.logrank_p is None else f"log-rank {p_text(data.logrank_p)}"
    effect, why = "", ""
    if data.hr is not None:
        effect = f"HR {data.hr_label}".strip() + " " + estimate_text(*data.hr).replace("(", "(95% CI ", 1)
        why = why_too_wide(*data.hr[1:])
    lines = (
        [(test, False), (f"{effect}: {why}", True)]
        if why
        else [("; ".join(filter(None, (effect, test))), False)]
    )
    return [line for line in lines if line[0]]


def _header_height(data: KmData) -> float:
    return _LINE * (len(data.curves) + len(_test_lines(data))) + 0.04 if data.curves else 0.0


def _draw_header(figure: Figure, data: KmData, box: tuple[float, float, float, float]) -> None:
    """Test and medians over the panel, never in it: no curve, band or mark is hidden behind them."""
    _, _, width, height = box
    axes = bare(axes_at(figure, box))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.patch.set_visible(False)
    y = height - _LINE / 2
    for line, pale in _test_lines(data):
        axes.text(0, y, line, va="center", fontsize=5.6 if pale else 6.5, color=MUTED if pale else INK)
        y -= _LINE
    for i, curve in enumerate(data.curves):
        dashes = _DASHES[i % 4] if i >= 2 else "-"
        axes.plot([0, 0.2], [y, y], color=group_colour(curve.label, i), linewidth=1.6, linestyle=dashes)
        text = f"{curve.label}, n = {curve.n}, {counted(curve.events, 'event')}: median {_median_text(curve, data.unit)}"
        axes.text(0.27, y, text, va="center", fontsize=6.5)
        y -= _LINE


def _median_text(curve: KmCurve, unit: str) -> str:
    median, lower, upper = curve.median
    finite = [v for v in curve.median if v is not None and math.isfinite(v)]
    digits = 0 if max(finite, default=0.0) >= 100 else 1
    ends = ["NR" if v is None or not math.isfinite(v) else number(v, digits) for v in (lower, upper)]
    span = f" ({ends[0]}–{ends[1]})" if ends != ["NR", "NR"] else ""
    if median is None or not math.isfinite(median):
        return f"not reached{span}"
    return f"{number(median, digits)}{span} {unit}"


def _draw_table(
    figure: Figure, data: KmData, box: tuple[float, float, float, float], ticks: NDArray[np.floating]
) -> None:
    """One row per group: patients at risk and, in brackets, events so far; where they would touch, at every second tick."""
    left, bottom, width, height = box
    axes = bare(axes_at(figure, (left, bottom, width, height)))
    longest = max((float(c.time[-1]) for c in data.curves if len(c.time)), default=1.0)
    per_inch = longest * 1.02 / width
    axes.set_xlim(0, longest * 1.02)
    axes.set_ylim(height, 0)
    axes.patch.set_visible(False)
    axes.text(-0.62 * per_inch, 0.08, "At risk (events so far)", fontsize=5.8, color=MUTED, va="center")
    cells = [[f"{at_risk} ({events})" for at_risk, _, events in c.counts_at(ticks)] for c in data.curves]
    # At 5.8 points a digit is 0.051 inches wide, and space and brackets together 0.09.
    needed = max((0.051 * (len(cell) - 3) + 0.09 for row in cells for cell in row), default=0.0) + 0.04
    between = float(ticks[1] - ticks[0]) / per_inch if len(ticks) > 1 else needed
    every = max(1, math.ceil(needed / between))
    for i, (curve, row) in enumerate(zip(data.curves, cells, strict=True)):
        y = 0.08 + (i + 1) * _ROW
        colour = group_colour(curve.label, i)
        axes.text(-0.62 * per_inch, y, curve.label, color=colour, weight="bold", va="center", fontsize=6.2)
        for tick, cell in list(zip(ticks, row, strict=True))[::every]:
            axes.text(tick, y, cell, ha="center", va="center", fontsize=5.8)
