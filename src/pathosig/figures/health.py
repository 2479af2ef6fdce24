"""Health of a codebook as a table of bars, and its stability over K."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pathosig.figures.palette import GROUPS, INK, MUTED
from pathosig.figures.style import COLUMN, PAGE, axes_at, bare, new_figure, note, shortened, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS: tuple[tuple[str, str], ...] = (
    ("share", "Share of tiles"),
    ("steadiness", "Steadiness"),
    ("bootstrap_jaccard", "Stability, refits"),
    ("top_slide", "Biggest slide"),
    ("top_patient", "Biggest patient"),
    ("top_site", "Biggest site"),
)
"""Keys of a row of `health_figure` and their headings; all are shares in 0..1."""


VERDICTS = {
    "stable": "#00695C",
    "fair": "#8A6100",
    "weak": "#8A6100",
    "dominated": "#8A6100",
    "near empty": "#8A6100",
    "unstable": "#B71C1C",
    "drop": "#B71C1C",
}
"""Colours of the words in the last column."""


def health_figure(
    rows: Sequence[Mapping[str, float | str | None]],
    colours: Sequence[str],
    *,
    title: str = "",
) -> Figure:
    """One row per HPC or coarse group with small bars for proportion, steadiness, stability and dominance.

    Parameters
    ----------
    rows
        Mappings with ``label`` (what the row is about), any of the keys in `COLUMNS`, and ``verdict`` (see `VERDICTS`).
    colours
        Hex colour of every row.
    title
        Title of the figure.
    """
    with style():
        labels = [shortened(str(row["label"]), 32) for row in rows]
        left = max(0.85, 0.38 + 0.047 * max((len(n) for n in labels), default=0))
        top = 0.0 if title else -0.3
        keys = [c for c in COLUMNS if any(_number(r.get(c[0])) is not None for r in rows)]
        line = 0.135
        height = 0.65 + top + max(len(rows), 1) * line
        figure = new_figure(PAGE, height)
        axes = bare(axes_at(figure, (0, 0, PAGE, height)))
        axes.set_xlim(0, PAGE)
        axes.set_ylim(height, 0)
        axes.text(0.08, 0.14, title, weight="bold", fontsize=8, va="center")
        if not rows:
            note(axes, "No health figures.")
            return figure
        each = (PAGE - left - 0.85) / max(len(keys), 1)
        for j, (_, heading) in enumerate(keys):
            axes.text(left + j * each, 0.40 + top, heading, fontsize=6, color=MUTED, va="center")
        if any("verdict" in row for row in rows):
            axes.text(PAGE - 0.75, 0.40 + top, "Verdict", fontsize=6, color=MUTED, va="center")
        axes.plot([0.06, PAGE - 0.06], [0.50 + top, 0.50 + top], color=INK, linewidth=0.6)
        tops = {key: _top(rows, key) for key, _ in keys}
        for i, row in enumerate(rows):
            y = 0.59 + top + i * line
            axes.plot([0.14], [y], "s", color=colours[i], markersize=5)
            axes.text(0.24, y, labels[i], va="center", fontsize=6.3)
            for j, (key, _) in enumerate(keys):
                _bar(axes, _number(row.get(key)), (left + j * each, y, each - 0.48), (key, tops[key]))
            verdict = str(row.get("verdict") or "")
            colour = VERDICTS.get(verdict, MUTED)
            axes.text(PAGE - 0.75, y, verdict, va="center", fontsize=6, color=colour)
    return figure


def _top(rows: Sequence[Mapping[str, float | str | None]], key: str) -> float:
    if key != "share":
        return 1.0
    return max((v for r in rows if (v := _number(r.get(key))) is not None), default=1.0) or 1.0


def _bar(
    axes: Axes, value: float | None, place: tuple[float, float, float], scale: tuple[str, float]
) -> None:
    x, y, width = place
    key, top = scale
    if value is None:
        axes.text(x, y, "–", va="center", fontsize=6, color=MUTED)
        return
    colour = "#9CB9D6"
    if key == "steadiness":
        colour = "#7CC3A8" if value >= 0.5 else "#F0C36D" if value >= 0.3 else "#E58F7B"
    elif key.endswith("jaccard"):
        colour = "#7CC3A8" if value >= 0.75 else "#F0C36D" if value >= 0.5 else "#E58F7B"
    elif key.startswith("top_") and value > 0.5:
        colour = "#F0C36D"
    axes.barh([y], [width * min(value / top, 1.0)], left=x, height=0.085, color=colour, linewidth=0)
    axes.text(
        x + width + 0.03,
        y,
        f"{100 * value:.1f}%" if key == "share" else f"{value:.2f}",
        va="center",
        fontsize=6,
    )


def _number(value: float | str | None) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def stability_figure(
    k: Sequence[float], series: Mapping[str, Sequence[float]], *, title: str, chosen: float | None = None
) -> Figure:
    """Stability and prediction strength over K, with the K in use marked."""
    with style():
        figure = new_figure(COLUMN, 2.3)
        axes = axes_at(figure, (0.5, 0.42, 2.85, 1.6))
        axes.set_title(title)
        if not series:
            note(axes, "Not computed.")
            return figure
        for i, (name, values) in enumerate(series.items()):
            axes.plot(k, values, "-o", color=GROUPS[i], markersize=3, label=name)
        if chosen is not None:
            axes.axvline(chosen, color=MUTED, linewidth=0.8, linestyle=(0, (3, 2)))
            axes.annotate(
                f"K = {chosen:g}",
                (chosen, 1.0),
                xytext=(3, 0),
                textcoords="offset points",
                fontsize=6,
                color=MUTED,
                va="top",
            )
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("Number of HPCs, K")
        axes.set_ylabel("Agreement")
        axes.legend(loc="lower right")
    return figure
