"""Profiles of all patients as a heatmap, ordered by risk, under bars of clinical variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb

from pathosig.core.errors import InputError
from pathosig.core.words import counted
from pathosig.figures.palette import (
    ARTEFACT,
    HIGH,
    INK,
    LOW,
    MUTED,
    NAMED_GROUPS,
    Linkage,
    group_colour,
    leaf_order,
)
from pathosig.figures.style import PAGE, axes_at, bare, new_figure, shortened, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class ClinicalBar:
    """One clinical variable over the patients, in the order of the heatmap's columns.

    Attributes
    ----------
    name
        Printed at the left.
    values
        Numbers (drawn on a grey ramp) or text (one colour per category); None or "" is missing.
    """

    name: str
    values: Sequence[object]


def profile_heatmap(
    shares: NDArray[np.floating],
    names: Sequence[str],
    score: Sequence[float],
    *,
    cutoff: float | None = None,
    bars: Sequence[ClinicalBar] = (),
    title: str = "",
    marked: Sequence[str] = (),
    percent: bool = True,
    colours: Sequence[str] = (),
    linkage: Linkage = (),
) -> Figure:
    """Profiles (rows HPCs, columns patients) with the score above and clinical bars between.

    Parameters
    ----------
    shares
        float[n_patients, n_hpcs] in the patients' final order, usually by score.
    names
        Names of the HPCs.
    score
        Risk score of each patient in the same order.
    cutoff
        Drawn through the score panel.
    bars
        Clinical variables, in the same patient order.
    title
        Title of the figure.
    marked
        Names printed in bold: those in the signature.
    percent
        Whether the values are proportions; others are ranks in 0..1, drawn as they are.
    colours
        Colour of every row, drawn as a stripe beside it.
    linkage
        The tree over the rows, drawn beside them; the rows must stand in the order of `leaf_order`.

    Raises
    ------
    InputError
        If shares are not patients by HPCs.

    Examples
    --------
    >>> figure = profile_heatmap([[0.2, 0.8], [0.6, 0.4]], ["HPC 00", "HPC 01"], [-1.0, 1.0], cutoff=0.0, title="Profiles")
    >>> len(figure.axes) > 1
    True
    """
    shares = np.asarray(shares, float)
    if shares.shape != (len(score), len(names)):
        message = (
            f"heatmap: shares of shape {shares.shape}; expected ({len(score)} patients, {len(names)} HPCs)."
        )
        raise InputError(message)
    with style():
        row = 0.115
        body = max(len(names) * row, 0.6)
        legend = 0.16 * sum(_is_text(b) for b in bars)
        height = 0.30 + 0.64 + 0.13 * len(bars) + 0.05 + body + 0.26 + legend
        figure = new_figure(PAGE, height)
        shown = [shortened(n, 42) for n in names]
        left = min(2.7, max(1.25, 0.06 * max((len(n) for n in shown), default=0) + 0.1))
        tree = 0.55 if len(linkage) else 0.0
        stripe = 0.12 if len(colours) else 0.0
        width = PAGE - left - 0.85 - tree - stripe
        top = height - 0.30
        figure.text(0.08 / PAGE, (height - 0.14) / height, title, weight="bold", fontsize=8, va="center")
        n = len(score)
        panel = axes_at(figure, (left, top - 0.60, width, 0.55))
        _score_panel(panel, np.asarray(score, float), cutoff)
        y = top - 0.64
        legends: list[tuple[str, list[tuple[str, str]]]] = []
        for turn, bar in enumerate(bars):
            y -= 0.13
            legends += _bar(axes_at(figure, (left, y, width, 0.11)), bar, n, turn)
        y -= 0.05 + body
        axes = axes_at(figure, (left, y, width, body))
        colour_top = float(np.quantile(shares[shares > 0], 0.98)) if (shares > 0).any() else 1.0
        image = axes.imshow(
            (np.sqrt(np.clip(shares, 0, colour_top)) if percent else shares).T,
            aspect="auto",
            cmap=_ramp(),
            vmin=0,
            vmax=np.sqrt(colour_top) if percent else 1.0,
            interpolation="nearest",
        )
        axes.set_yticks(range(len(names)), shown, fontsize=5.6)
        for label, name in zip(axes.get_yticklabels(), names, strict=True):
            label.set_fontweight("bold" if name in marked else "normal")
        axes.tick_params(length=0)
        axes.set_xticks([])
        axes.set_xlabel(f"{counted(n, 'patient')}, by risk score →")
        if cutoff is not None:
            _cutoff_line(axes, np.asarray(score, float), cutoff)
        if len(colours):
            _stripe(axes_at(figure, (left + width + 0.03, y, 0.08, body)), colours)
        if len(linkage):
            _tree(axes_at(figure, (left + width + stripe + 0.04, y, tree - 0.08, body)), linkage)
        right = left + width + stripe + tree + 0.12
        bar_axes = axes_at(figure, (right, y + body - min(body, 1.0), 0.10, min(body, 1.0)))
        scale = figure.colorbar(image, cax=bar_axes)
        ticks = [t for t in (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8) if t <= colour_top]
        if percent:
            scale.set_ticks([float(np.sqrt(t)) for t in ticks], labels=[f"{100 * t:g}%" for t in ticks])
        else:
            scale.set_ticks([0.0, 1.0], labels=["lowest", "highest"])
        scale.ax.tick_params(labelsize=5.8)
        scale.set_label("Proportion (square-root scale)" if percent else "Rank among patients", fontsize=6)
        _legends(figure, legends, left)
    return figure


def _ramp() -> Colormap:
    """White to dark green: a proportion of 0 is white, and the largest is not black."""
    steps = ["#FFFFFF", "#DDEFD9", "#A5D5B0", "#57AE8B", "#1F7E6B", "#0B4A48"]
    return LinearSegmentedColormap.from_list("proportion", steps)


def _cutoff_line(axes: Axes, score: NDArray[np.float64], cutoff: float) -> None:
    """A line between the patients of low and of high risk, where both are shown in order."""
    high = int((score > cutoff).sum())
    if 0 < high < len(score):
        axes.axvline(len(score) - high - 0.5, color=INK, linewidth=0.9)


def _stripe(axes: Axes, colours: Sequence[str]) -> None:

    bare(axes).imshow([[to_rgb(c)] for c in colours], aspect="auto", interpolation="nearest")


def _tree(axes: Axes, linkage: Linkage) -> None:
    """The tree over the rows as right-angled branches, leaves at the left."""
    k = len(linkage) + 1
    place: dict[int, tuple[float, float]] = {leaf: (0.0, row) for row, leaf in enumerate(leaf_order(linkage))}
    for step, row in enumerate(linkage):
        (x1, y1), (x2, y2), x = place[int(row[0])], place[int(row[1])], float(row[2])
        axes.plot([x1, x, x, x2], [y1, y1, y2, y2], color=MUTED, linewidth=0.5, solid_capstyle="butt")
        place[k + step] = (x, (y1 + y2) / 2)
    bare(axes)
    axes.patch.set_visible(False)
    axes.set_ylim(k - 0.5, -0.5)
    axes.set_xlim(0, 1.03 * float(linkage[-1][2]) or 1.0)


def _score_panel(axes: Axes, score: NDArray[np.float64], cutoff: float | None) -> None:
    base = cutoff if cutoff is not None else float(np.nanmedian(score))
    x = np.arange(len(score))
    for mask, colour in ((score > base, HIGH), (score <= base, LOW)):
        axes.bar(x[mask], (score - base)[mask], bottom=base, width=1.0, color=colour, linewidth=0)
    axes.axhline(base, color=MUTED, linewidth=0.6)
    axes.set_xlim(-0.5, len(score) - 0.5)
    axes.set_xticks([])
    axes.set_ylabel("Score", labelpad=2)
    axes.spines["bottom"].set_visible(False)


def _is_text(bar: ClinicalBar) -> bool:
    present = [v for v in bar.values if v is not None and v == v and v != ""]
    return bool(present) and not all(isinstance(v, (int, float, np.number)) for v in present)


_PAIRS = (
    ("#009E73", "#C7E9DF"),
    ("#CC79A7", "#F3DCE9"),
    ("#E69F00", "#FBE7BF"),
    ("#5F6670", "#D5D8DC"),
    ("#79183D", "#E3C6D0"),
)
"""Dark and pale of one hue for columns of two values: each column its own hue, none that of a risk group."""


def _category_colours(categories: Sequence[str], turn: int) -> dict[str, str]:
    risk = {"low", "high"} >= {
        c.lower() for c in categories
    }  # a subtype named high or low is not a risk group
    if len(categories) > 2 or (not risk and any(c.lower() in NAMED_GROUPS for c in categories)):
        return {c: group_colour(c, i + 2) for i, c in enumerate(categories)}
    ordered = sorted(categories, key=lambda c: (not _is_absence(c), c))
    return {c: _PAIRS[turn % len(_PAIRS)][1 - i] for i, c in enumerate(ordered)}


def _is_absence(category: str) -> bool:
    """Whether a category says that something is not there, so that it gets the pale colour."""
    text = category.lower()
    return text in ("no", "none", "never", "negative", "false", "0", "absent", "untreated") or text.endswith(
        ("0", "-", "\u2212")
    )


def _bar(axes: Axes, bar: ClinicalBar, n: int, turn: int) -> list[tuple[str, list[tuple[str, str]]]]:

    present = [v for v in bar.values if v is not None and v == v and v != ""]
    out: list[tuple[str, list[tuple[str, str]]]] = []
    cells = np.ones((1, n, 3))
    if _is_text(bar):
        categories = sorted({str(v) for v in present})
        colours = _category_colours(categories, turn)
        for i, value in enumerate(bar.values):
            missing = value is None or value != value or value == ""
            cells[0, i] = to_rgb("#FFFFFF" if missing else colours[str(value)])
        out.append((bar.name, list(colours.items())))
    elif present:
        numbers = np.array([np.nan if v is None or v == "" else float(str(v)) for v in bar.values])
        low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
        level = (numbers - low) / (high - low or 1.0)
        cells[0] = np.where(np.isnan(level)[:, None], 1.0, (0.93 - 0.75 * level)[:, None])
        axes.text(
            1.01,
            0.5,
            f"{low:g} to {high:g}",
            transform=axes.transAxes,
            fontsize=5.4,
            va="center",
            color=MUTED,
        )
    bare(axes).imshow(cells, aspect="auto", interpolation="nearest")
    axes.set_yticks([0], [bar.name], fontsize=6)
    axes.tick_params(length=0)
    return out


def _legends(figure: Figure, legends: Sequence[tuple[str, list[tuple[str, str]]]], left: float) -> None:
    axes = bare(axes_at(figure, (0, 0.02, PAGE, 0.16 * len(legends) + 0.02)))
    axes.set_xlim(0, PAGE)
    axes.set_ylim(0, 0.16 * len(legends) + 0.02)
    axes.patch.set_visible(False)
    for i, (name, entries) in enumerate(legends):
        y = 0.16 * (len(legends) - i) - 0.07
        axes.text(left - 0.06, y, name, ha="right", va="center", fontsize=6, color=MUTED)
        x = left
        for label, colour in entries:
            axes.plot([x + 0.04], [y], "s", color=colour or ARTEFACT, markersize=4.5)
            axes.text(x + 0.12, y, label, va="center", fontsize=6)
            x += 0.28 + 0.055 * len(label)
