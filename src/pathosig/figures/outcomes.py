"""Recurrence and response by group: stacked bars, and cumulative incidence under competing risks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pathosig.figures.km import nice_ticks
from pathosig.figures.palette import GROUPS, MUTED, group_colour, is_dark
from pathosig.figures.style import COLUMN, axes_at, new_figure, note, p_text, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class StackedBar:
    """One bar: its label and the patients in each category."""

    label: str
    counts: Mapping[str, int]


def stacked_bars(
    bars: Sequence[StackedBar],
    *,
    title: str,
    y_label: str = "Patients (%)",
    p: float | None = None,
    test: str = "",
) -> Figure:
    """Shares of the categories in each bar, with counts inside and the test beneath the title.

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
        figure = new_figure(COLUMN, 2.9)
        axes = axes_at(figure, (0.5, 0.5, 1.95, 1.9))
        figure.text(0.03, 0.945, title, weight="bold", fontsize=8)
        if p is not None:
            figure.text(0.03, 0.885, f"{test + ' ' if test else ''}{p_text(p)}", fontsize=6.5, color=MUTED)
        if not bars:
            note(axes, "No patients to show.")
            return figure
        categories = list(dict.fromkeys(c for b in bars for c in b.counts))
        colours = {c: GROUPS[(5, 1, 2, 3, 4, 6)[i % 6]] for i, c in enumerate(categories)}
        for i, bar in enumerate(bars):
            total, base = sum(bar.counts.values()), 0.0
            for category in categories:
                count = bar.counts.get(category, 0)
                height = 100 * count / total if total else 0.0
                axes.bar(i, height, bottom=base, width=0.66, color=colours[category], linewidth=0)
                if height > 5:
                    ink = "white" if is_dark(colours[category]) else "black"
                    axes.text(
                        i,
                        base + height / 2,
                        f"{count}\n{height:.0f}%",
                        ha="center",
                        va="center",
                        fontsize=6,
                        color=ink,
                        linespacing=1.1,
                    )
                base += height
        axes.set_xticks(range(len(bars)), [f"{b.label}\nn = {sum(b.counts.values())}" for b in bars])
        axes.tick_params(axis="x", length=0)
        axes.set_xlim(-0.6, len(bars) - 0.4)
        axes.set_ylim(0, 100)
        axes.set_ylabel(y_label)
        handles = [axes.bar(0, 0, color=colours[c], label=c) for c in reversed(categories)]
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0), handlelength=0.9)
    return figure


def cumulative_incidence_plot(
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    title: str,
    unit: str,
    y_label: str = "Cumulative incidence (%)",
    competing: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    p: float | None = None,
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
    p
        Gray's test.
    """
    with style():
        figure = new_figure(COLUMN, 2.7)
        axes = axes_at(figure, (0.5, 0.45, 2.85, 1.95))
        axes.set_title(title)
        if not curves:
            note(axes, "No patients to show.")
            return figure
        longest = 0.0
        for i, (name, curve) in enumerate(curves.items()):
            colour = group_colour(name, i)
            time = np.concatenate([[0.0], np.asarray(curve["time"], float)])
            estimate = np.concatenate([[0.0], np.asarray(curve["estimate"], float)]) * 100
            axes.step(time, estimate, where="post", color=colour, label=name)
            if "lower" in curve and "upper" in curve:
                lower, upper = (
                    np.concatenate([[0.0], np.asarray(curve[k], float)]) * 100 for k in ("lower", "upper")
                )
                axes.fill_between(time, lower, upper, step="post", color=colour, alpha=0.15, linewidth=0)
            if competing and name in competing:
                other = competing[name]
                axes.step(
                    [0.0, *other["time"]],
                    np.array([0.0, *other["estimate"]]) * 100,
                    where="post",
                    color=colour,
                    linestyle=":",
                    linewidth=1.0,
                    label=f"{name}, competing event",
                )
            longest = max(longest, float(time[-1]))
        ticks = nice_ticks(longest, unit)
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.set_xlim(0, longest * 1.02)
        axes.set_ylim(0, min(100, axes.get_ylim()[1] * 1.15))
        axes.grid(axis="y")
        axes.set_xlabel(f"Time ({unit})")
        axes.set_ylabel(y_label)
        heading = None if p is None else f"Gray's test {p_text(p)}"
        axes.legend(loc="upper left", title=heading, title_fontsize=6.5, alignment="left")
    return figure
