"""What happened in each group: stacked bars with exact tests, and cumulative incidence under competing risks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pathosig.figures.km import KmCurve, nice_ticks
from pathosig.figures.palette import ARTEFACT, GROUPS, MUTED, group_colour, is_dark
from pathosig.figures.style import (
    COLUMN,
    PAGE,
    axes_at,
    bare,
    new_figure,
    note,
    p_text,
    shortened,
    spread,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

CATEGORIES = {"no event": "#DCE3EA", "competing event": ARTEFACT, "event": "#8C2D04"}
"""Colours of outcomes; none of them is a risk group's."""


@dataclass(frozen=True, kw_only=True)
class StackedBar:
    """One bar: its label and the patients in each category."""

    label: str
    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class BarPanel:
    """One variable of a page of stacked bars.

    Attributes
    ----------
    title
        The variable.
    bars
        One per group.
    p, test
        p-value and name of the test.
    n
        Patients with a value of the variable; 0 leaves it out.
    """

    title: str
    bars: Sequence[StackedBar]
    p: float | None = None
    test: str = "Fisher"
    n: int = 0


def stacked_bars(
    bars: Sequence[StackedBar],
    *,
    title: str,
    y_label: str = "Patients (%)",
    p: float | None = None,
    test: str = "",
) -> Figure:
    """Proportions of the categories in each bar, with counts inside and the test below the title.

    Parameters
    ----------
    bars
        From left to right; categories in the order of first appearance, bottom up.
    title, y_label
        Title and vertical axis.
    p, test
        p-value and name of the test, such as ``Fisher's exact test``.
    """
    with style():
        figure = new_figure(COLUMN, 2.75)
        axes = axes_at(figure, (0.5, 0.42, 1.95, 1.86))
        figure.text(0.03, 0.945, shortened(title), weight="bold", fontsize=8)
        if p is not None:
            figure.text(0.03, 0.885, f"{test + ' ' if test else ''}{p_text(p)}", fontsize=6.5, color=MUTED)
        if not bars:
            note(axes, "No patients to show.")
            return figure
        _draw_bars(axes, bars, y_label)
    return figure


def bar_panels(panels: Sequence[BarPanel], *, columns: int = 4) -> Figure:
    """Stacked bars of several variables side by side, row by row, levels named beside the bars.

    Raises
    ------
    ValueError
        If there is no panel.
    """
    if not panels:
        message = "bar_panels needs at least one panel."
        raise ValueError(message)
    with style():
        rows, height = -(-len(panels) // columns), 2.25
        step = PAGE / columns
        figure = new_figure(PAGE, rows * height)
        for i, panel in enumerate(panels):
            row, column = divmod(i, columns)
            left, bottom = column * step, (rows - 1 - row) * height
            inset = 0.44 if column == 0 else 0.3
            axes = axes_at(figure, (left + inset, bottom + 0.38, step - inset - 0.52, height - 0.86))
            size = f"n = {panel.n:,}; " if panel.n else ""
            words = f"{size}{panel.test + ' ' if panel.test else ''}{p_text(panel.p)}"
            head = bare(axes_at(figure, (left, bottom + height - 0.44, step, 0.4)))
            head.patch.set_visible(False)
            head.text(0.04, 0.72, shortened(panel.title, 24), weight="bold", fontsize=7.5, va="center")
            head.text(0.04, 0.3, words, fontsize=6, color=MUTED, va="center")
            _draw_bars(axes, panel.bars, "Patients (%)" if column == 0 else "", small=True)
    return figure


def _draw_bars(axes: Axes, bars: Sequence[StackedBar], y_label: str, *, small: bool = False) -> None:
    categories = list(dict.fromkeys(c for b in bars for c in b.counts))
    order = (5, 4, 2, 3, 6, 7)  # not the colours of the risk groups
    colours = {c: CATEGORIES.get(c, GROUPS[order[i % 6]]) for i, c in enumerate(categories)}
    middles: dict[str, float] = {}
    for i, bar in enumerate(bars):
        total, base = sum(bar.counts.values()), 0.0
        for category in categories:
            count = bar.counts.get(category, 0)
            height = 100 * count / total if total else 0.0
            axes.bar(
                i, height, bottom=base, width=0.7, color=colours[category], linewidth=0.5, edgecolor="white"
            )
            middles[category] = base + height / 2
            if height > (9 if small else 5):
                ink = "white" if is_dark(colours[category]) else "black"
                between = " · " if not small or height < 16 else "\n"
                text = f"{count}" if small and height < 16 else f"{count}{between}{height:.0f}%"
                axes.text(
                    i,
                    base + height / 2,
                    text,
                    ha="center",
                    va="center",
                    fontsize=5.8,
                    color=ink,
                    linespacing=1.1,
                )
            base += height
    axes.set_xticks(range(len(bars)), [f"{b.label}\nn = {sum(b.counts.values())}" for b in bars])
    axes.tick_params(axis="x", length=0, labelsize=6)
    axes.set_xlim(-0.5, len(bars) - 0.5)
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.set_ylabel(y_label)
    _name_levels(axes, middles, colours, len(bars))


def _name_levels(axes: Axes, middles: Mapping[str, float], colours: Mapping[str, str], n: int) -> None:
    """Names of the categories at the height where the last bar has them, pushed apart."""
    names = sorted(middles, key=lambda c: -middles[c])
    places = spread([middles[c] for c in names], step=7.5, low=3.0, high=97.0)
    for name, y in zip(names, places, strict=True):
        x = n - 0.52
        axes.plot([x], [y], "s", color=colours[name], markersize=4, clip_on=False)
        axes.text(x + 0.1, y, shortened(name, 18), fontsize=5.8, va="center", ha="left", clip_on=False)


def cumulative_incidence_plot(
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    title: str,
    unit: str,
    y_label: str = "Cumulative incidence (%)",
    competing: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    p: float | None = None,
    p_competing: float | None = None,
    at_risk: Sequence[KmCurve] = (),
) -> Figure:
    """Aalen-Johansen curves of the event of interest (solid) and of the competing one (dotted).

    Parameters
    ----------
    curves
        Group -> ``time``, ``estimate`` and optionally ``lower``, ``upper``.
    title, unit, y_label
        Labels.
    competing
        The same for the competing event.
    p, p_competing
        Gray's test of the event and of the competing event.
    at_risk
        Kaplan-Meier curves of the same groups; their numbers at risk stand under the axis.
    """
    with style():
        rows = 0.13 * len(at_risk) + 0.16 if at_risk else 0.0
        figure = new_figure(COLUMN, 3.0 + rows)
        place = (0.62, 0.45 + rows, 2.74, 1.85)
        axes = axes_at(figure, place)
        axes.set_title(shortened(title), x=-0.54 / 2.74, pad=34)
        if not curves:
            note(axes, "No patients to show.")
            return figure
        ends = {c.label: float(c.time[-1]) for c in at_risk if len(c.time)}
        for i, (name, curve) in enumerate(curves.items()):
            both = [curve, *([competing[name]] if competing and name in competing else [])]
            # A curve goes on to the end of its group's follow-up, not to its last event.
            ends[name] = max([ends.get(name, 0.0), *(float(t) for c in both for t in c["time"])])
            for cause, drawn in enumerate(both):
                _incidence(axes, drawn, group_colour(name, i), until=ends[name], dotted=cause == 1)
        longest = max(ends.values())
        ticks = nice_ticks(longest, unit)
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.set_xlim(0, longest * 1.02)
        axes.set_ylim(0, min(100, axes.get_ylim()[1] * 1.05))
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.set_xlabel(f"Time ({unit})", labelpad=2)
        axes.set_ylabel(y_label)
        _incidence_legend(axes, list(curves), bool(competing), p, p_competing)
        if at_risk:
            _numbers_at_risk(axes_at(figure, (place[0], 0.04, place[2], rows)), at_risk, ticks, longest, rows)
    return figure


def _incidence(
    axes: Axes,
    curve: Mapping[str, Sequence[float]],
    colour: str,
    *,
    until: float,
    dotted: bool = False,
) -> None:
    """One curve with its band, from 0 to the end of follow-up."""

    def steps(key: str) -> NDArray[np.floating]:
        values = np.concatenate([[0.0], np.asarray(curve[key], float)])
        return np.append(values, values[-1]) * 100

    time = np.concatenate([[0.0], np.asarray(curve["time"], float), [until]])
    look: dict[str, Any] = (
        {"linestyle": (0, (1, 1.2)), "linewidth": 1.1} if dotted else {"linestyle": "-", "linewidth": 1.3}
    )
    axes.step(time, steps("estimate"), where="post", color=colour, **look)
    if not dotted and "lower" in curve and "upper" in curve:
        axes.fill_between(
            time, steps("lower"), steps("upper"), step="post", color=colour, alpha=0.15, linewidth=0
        )


def _incidence_legend(
    axes: Axes, names: Sequence[str], competing: bool, p: float | None, p_competing: float | None
) -> None:
    """Over the panel: groups by colour, causes by line, Gray's test of each."""
    lines = [("Event", "-", p, 1.125), ("Competing", ":", p_competing, 1.045)]
    for what, dash, value, y in lines[: 2 if competing else 1]:
        for i, name in enumerate(names):
            x = 0.13 + 0.24 * i
            axes.plot(
                [x, x + 0.06],
                [y, y],
                color=group_colour(name, i),
                linestyle=dash,
                linewidth=1.3,
                transform=axes.transAxes,
                clip_on=False,
            )
            axes.text(x + 0.075, y, name, transform=axes.transAxes, fontsize=6.3, va="center")
        axes.text(-0.2, y, what, transform=axes.transAxes, fontsize=6.3, va="center", color=MUTED)
        if value is not None:
            axes.text(
                1.0,
                y,
                f"Gray's test {p_text(value)}",
                transform=axes.transAxes,
                fontsize=6.3,
                va="center",
                ha="right",
            )


def _numbers_at_risk(
    axes: Axes, at_risk: Sequence[KmCurve], ticks: Sequence[float] | np.ndarray, longest: float, height: float
) -> None:
    bare(axes)
    axes.patch.set_visible(False)
    axes.set_xlim(0, longest * 1.02)
    axes.set_ylim(height, 0)
    axes.text(-0.2 * longest, 0.05, "At risk", fontsize=6, color=MUTED, va="center")
    for i, curve in enumerate(at_risk):
        y = 0.05 + 0.13 * (i + 1)
        colour = group_colour(curve.label, i)
        axes.text(-0.2 * longest, y, curve.label, fontsize=6, color=colour, va="center", weight="bold")
        for tick, (risk, _, _) in zip(ticks, curve.counts_at(ticks), strict=True):
            axes.text(float(tick), y, f"{risk}", fontsize=6, ha="center", va="center")
