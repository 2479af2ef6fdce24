"""Alluvial figures: how patients move between classifications."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pathosig.figures.palette import group_colour, rgb
from pathosig.figures.style import PAGE, axes_at, bare, new_figure, note, shortened, spread, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GAP = 0.02


def alluvial_plot(
    stages: Sequence[str], patients: Sequence[Sequence[str]], *, title: str = "", colour_by: int = 0
) -> Figure:
    """Bands between the columns of categories, one unit of height per patient.

    Parameters
    ----------
    stages
        Names of the columns from left to right.
    patients
        One tuple per patient with its category in every column, as text.
    title
        Title of the figure.
    colour_by
        The column whose categories colour the bands.

    Examples
    --------
    >>> patients = [("low", "SCLC-A"), ("high", "SCLC-N"), ("high", "SCLC-A")]
    >>> figure = alluvial_plot(["Risk", "Subtype"], patients, title="Risk groups and subtypes")
    >>> len(figure.axes)
    1
    """
    with style():
        width = min(PAGE, 1.8 * max(len(stages), 2))
        figure = new_figure(width, 2.85)
        axes = bare(axes_at(figure, (0.15, 0.2, width - 0.3, 2.4)))
        figure.text(0.02, 0.955, shortened(title, 90), weight="bold", fontsize=8)
        if not patients:
            note(axes, "No patients to show.")
            return figure
        orders = [_order(patients, j) for j in range(len(stages))]
        colours = {c: group_colour(c, i) for i, c in enumerate(orders[colour_by])}
        blocks = [_blocks(patients, j, order) for j, order in enumerate(orders)]
        axes.set_xlim(-0.28, len(stages) - 1 + 0.28)
        axes.set_ylim(-_GAP * 6, 1.0 + _GAP)
        for j in range(len(stages) - 1):
            _bands(axes, patients, j, (blocks[j], blocks[j + 1]), (colour_by, colours))
        for j, name in enumerate(stages):
            axes.text(j, -_GAP * 2.5, name, ha="center", va="top", weight="bold")
            middles = [(low + high) / 2 for low, high in blocks[j].values()]
            places = spread(middles, step=0.06, low=0.0, high=1.0)
            for (category, (low, high)), place in zip(blocks[j].items(), places, strict=True):
                face = colours[category] if j == colour_by else "#4A4F57"
                axes.fill_between([j - 0.035, j + 0.035], low, high, color=face, linewidth=0, zorder=4)
                side = -1 if j == 0 else 1
                count = sum(p[j] == category for p in patients)
                axes.text(
                    j + 0.05 * side,
                    place,
                    f"{shortened(category, 22)} ({count})",
                    va="center",
                    ha="right" if side < 0 else "left",
                    fontsize=6.2,
                    zorder=5,
                    bbox={"facecolor": "white", "alpha": 0.65, "edgecolor": "none", "pad": 0.6},
                )
    return figure


def _order(patients: Sequence[Sequence[str]], column: int) -> list[str]:
    rank = {"low": 0, "intermediate": 1, "heterogeneous": 2, "high": 3, "not assessable": 4}
    return sorted({p[column] for p in patients}, key=lambda c: (rank.get(c.lower(), 2), c))


def _blocks(
    patients: Sequence[Sequence[str]], column: int, order: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Lower and upper end of each category, the first on top; together with the gaps they fill 0..1."""
    counts = Counter(p[column] for p in patients)
    room = 1.0 - _GAP * (len(order) - 1)
    out, top = {}, 1.0
    for category in order:
        height = room * counts[category] / len(patients)
        out[category] = (top - height, top)
        top -= height + _GAP
    return out


def _bands(
    axes: Axes,
    patients: Sequence[Sequence[str]],
    column: int,
    blocks: tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]],
    colouring: tuple[int, dict[str, str]],
) -> None:
    colour_by, colours = colouring
    left, right = blocks
    flows = Counter((p[column], p[column + 1], p[colour_by]) for p in patients)
    places: list[dict[tuple[str, str, str], tuple[float, float]]] = []
    for side, block in ((0, left), (1, right)):
        room = sum(high - low for low, high in block.values())
        cursor = {c: high for c, (_, high) in block.items()}
        at = {}
        keys = list(left), list(right), list(colours)
        for key in sorted(
            flows,
            key=lambda k: (keys[side].index(k[side]), keys[1 - side].index(k[1 - side]), keys[2].index(k[2])),
        ):
            height = room * flows[key] / len(patients)
            at[key] = (cursor[key[side]] - height, cursor[key[side]])
            cursor[key[side]] -= height
        places.append(at)
    t = np.linspace(0, 1, 40)
    ease = t * t * (3 - 2 * t)
    x = column + 0.035 + (1 - 0.07) * t
    for key in sorted(flows, key=lambda k: -flows[k]):  # narrow bands on top
        (a_low, a_high), (b_low, b_high) = places[0][key], places[1][key]
        # Opaque tints with pale edges: where translucent bands cross, they turn brown.
        axes.fill_between(
            x,
            a_low + (b_low - a_low) * ease,
            a_high + (b_high - a_high) * ease,
            facecolor=_tint(colours[key[2]]),
            edgecolor="#FFFFFF",
            linewidth=0.5,
        )


def _tint(colour: str) -> str:
    """The colour mixed with white."""
    return "#{:02X}{:02X}{:02X}".format(*(round(255 - 0.5 * (255 - c)) for c in rgb(colour)))
