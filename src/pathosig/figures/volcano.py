"""Volcano of the univariable screen: log hazard ratio against q."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pathosig.figures.palette import ARTEFACT, INK, MUTED, NEGATIVE, POSITIVE
from pathosig.figures.style import COLUMN, axes_at, bare, new_figure, note, shortened, spread, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class VolcanoPoint:
    """One candidate; NaN where it could not be estimated."""

    name: str
    log_hr: float
    q: float
    selected: bool = False


LONG = 14
"""With a longer name among those shown, points carry numbers and the names stand under the figure."""

MOST_NAMED = 24
"""Of more selected candidates, as ridge has them, only the first `label_at_most` are named."""


def volcano_plot(
    rows: Sequence[VolcanoPoint],
    *,
    title: str,
    x_label: str = "log hazard ratio per SD",
    threshold: float = 0.05,
    label_at_most: int = 8,
) -> Figure:
    """Every candidate's log HR against its q-value; the significant and the selected are named.

    Parameters
    ----------
    rows
        The candidates.
    title, x_label
        Panel title and horizontal axis.
    threshold
        q-value of the dashed line.
    label_at_most
        Names printed at most, the smallest q first; selected ones always unless they are more than `MOST_NAMED`.

    Examples
    --------
    >>> points = [VolcanoPoint(name="HPC 07", log_hr=0.8, q=0.001, selected=True), VolcanoPoint(name="HPC 02", log_hr=0.1, q=0.6)]
    >>> figure = volcano_plot(points, title="Candidates")
    >>> figure.axes[0].get_title(loc="left")
    'Candidates'
    """
    with style():
        points = [
            (r.log_hr, -math.log10(max(r.q, 1e-12)), r.name, r.selected)
            for r in rows
            if math.isfinite(r.log_hr) and math.isfinite(r.q)
        ]
        cut = -math.log10(threshold)
        chosen = sum(p[3] for p in points)
        few = chosen <= MOST_NAMED
        ranked = sorted(points, key=lambda p: (-int(p[3] and few), -p[1]))
        named = [p for p in ranked if p[3] or p[1] >= cut][: max(label_at_most, chosen if few else 0)]
        key = [p[2] for p in named] if any(len(p[2]) > LONG for p in named) else []
        below = 0.12 * len(key) + 0.08 if key else 0.0
        figure = new_figure(COLUMN, 2.9 + below)
        axes = axes_at(figure, (0.5, 0.45 + below, 2.85, 2.15))
        axes.set_title(title)
        if not points:
            note(axes, "No candidate could be estimated.")
            return figure
        for x, y, _, selected in points:
            colour = (POSITIVE if x > 0 else NEGATIVE) if y >= cut else ARTEFACT
            axes.plot(
                [x],
                [y],
                "o",
                markersize=4.6 if selected else 3.2,
                color=colour,
                zorder=4 if selected else 3,
                markeredgecolor=INK if selected else "white",
                markeredgewidth=0.9 if selected else 0.3,
            )
        widest = 1.5 * max(abs(x) for x, *_ in points) or 1.0
        axes.set_xlim(-widest, widest)
        axes.set_ylim(0, 1.12 * max(cut, *(y for _, y, *_ in points)))
        axes.axhline(cut, color=MUTED, linewidth=0.7, linestyle=(0, (3, 2)))
        axes.axvline(0, color=MUTED, linewidth=0.5)
        axes.text(
            0,
            cut,
            f"q = {threshold:g}",
            fontsize=6,
            color=MUTED,
            va="center",
            ha="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
        axes.set_xlabel(f"← protective\u2003\u2003{x_label}\u2003\u2003harmful →")
        axes.set_ylabel("−log10 q (Benjamini–Hochberg)")
        if key:
            named = [(x, y, str(i), selected) for i, (x, y, _, selected) in enumerate(named, start=1)]
            _key(axes_at(figure, (0.1, 0.04, COLUMN - 0.2, below)), key, below)
        _labels(axes, named, cut)
    return figure


def _key(axes: Axes, names: Sequence[str], height: float) -> None:
    """Long names under the figure, by the number at their point."""
    bare(axes)
    axes.patch.set_visible(False)
    axes.set_ylim(height, 0)
    for i, name in enumerate(names):
        axes.text(0.03, 0.06 + 0.12 * i, f"{i + 1}", fontsize=5.8, ha="right", va="center", weight="bold")
        axes.text(0.05, 0.06 + 0.12 * i, shortened(name, 62), fontsize=5.8, va="center")


def _labels(axes: Axes, points: Sequence[tuple[float, float, str, bool]], cut: float) -> None:
    """Names in one column per side, beyond the outermost point: none on another, on a point or on the line of q."""
    low, high = axes.get_ylim()
    edge = axes.get_xlim()[1] / 1.5
    step = (high - low) * 0.043
    for side in (1, -1):
        mine = sorted((p for p in points if (p[0] > 0) == (side > 0)), key=lambda p: -p[1])
        above = [p for p in mine if p[1] >= cut]
        places = spread([p[1] for p in above], step=step, low=cut + 0.7 * step, high=high - step / 2)
        below = [p[1] for p in mine if p[1] < cut]
        places += spread(below, step=step, low=low + step / 2, high=cut - 0.7 * step)
        for (x, y, name, selected), place in zip(mine, places, strict=True):
            axes.annotate(
                shortened(name, 20),
                (x, y),
                xytext=(side * edge * 1.1, place),
                fontsize=5.8,
                va="center",
                ha="left" if side > 0 else "right",
                weight="bold" if selected else "normal",
                arrowprops={
                    "arrowstyle": "-",
                    "linewidth": 0.35,
                    "color": MUTED,
                    "shrinkA": 1,
                    "shrinkB": 2.5,
                },
            )
