"""Figures with tissue in them: atlas of exemplars, HPC maps beside the H&E, contact sheets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pathosig.figures.palette import HIGH, INK, LOW, MUTED, coarse_colours, rgb
from pathosig.figures.style import PAGE, axes_at, bare, coarse_name, hpc_name, new_figure, note, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from pathosig.core.phenotype_tree import PhenotypeTree

    Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class HpcExemplars:
    """The most representative tiles of one HPC or coarse group.

    Attributes
    ----------
    label, colour
        ``HPC 07`` or ``Coarse 2``, and its hex colour.
    tiles
        uint8[h, w, 3] each, the most typical first.
    caption
        Printed under the name, such as ``4.2% of tiles, harmful``.
    name
        A name given by a pathologist, if any.
    """

    label: str
    colour: str
    tiles: Sequence[Image]
    caption: str = ""
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class SlideMap:
    """One slide: its overview and its tiles.

    Attributes
    ----------
    title
        Slide id, patient, score.
    overview
        H&E thumbnail: uint8[h, w, 3].
    x, y, hpc, coarse
        Tiles: top-left corners in level-0 pixels, HPC and coarse group (-1 without), int[n].
    tile_px
        Width of a tile in level-0 pixels.
    downsample
        Level-0 pixels per overview pixel.
    mpp
        Micrometres per level-0 pixel, for the scale bar; None leaves it out.
    """

    title: str
    overview: Image
    x: NDArray[np.integer]
    y: NDArray[np.integer]
    hpc: NDArray[np.integer]
    tile_px: float
    downsample: float
    mpp: float | None = None
    coarse: NDArray[np.integer] | None = None


def atlas_montage(
    entries: Sequence[HpcExemplars], *, per_hpc: int = 8, columns: int = 2, title: str = ""
) -> Figure:
    """Rows of exemplar tiles, one row per HPC or coarse group, in one or more columns of the page."""
    with style():
        columns = max(1, min(columns, len(entries)))
        rows = math.ceil(len(entries) / columns)
        block = PAGE / columns
        label = 0.95
        cell = (block - label - 0.12) / per_hpc
        height = rows * (cell + 0.07) + 0.42
        figure = new_figure(PAGE, height)
        figure.text(0.08 / PAGE, 1 - 0.16 / height, title, weight="bold", fontsize=8, va="center")
        if not entries:
            note(axes_at(figure, (0, 0, PAGE, height)), "No exemplars.")
            return figure
        for i, entry in enumerate(entries):
            left, top = (i // rows) * block, height - 0.36 - (i % rows) * (cell + 0.07)
            text = bare(axes_at(figure, (left, top - cell, label, cell)))
            text.set_xlim(0, label)
            text.set_ylim(0, cell)
            text.fill_between([0.06, 0.13], 0, cell, color=entry.colour, linewidth=0)
            text.text(0.19, cell * 0.80, entry.label, weight="bold", va="center", fontsize=7)
            lines = [t for t in (entry.name, entry.caption) if t]
            text.text(
                0.19, cell * 0.60, "\n".join(lines), va="top", fontsize=4.8, color=MUTED, linespacing=1.05
            )
            if entry.tiles:
                strip = _strip(entry.tiles[:per_hpc])
                wide = len(entry.tiles[:per_hpc]) * cell - 0.02
                axes = bare(axes_at(figure, (left + label, top - cell, wide, cell - 0.02)))
                axes.imshow(strip, interpolation="lanczos", aspect="auto")
    return figure


def _strip(tiles: Sequence[Image]) -> Image:
    """Tiles of one size side by side with a white gap: one image draws much faster than many."""
    height, width = tiles[0].shape[:2]
    gap = max(1, round(width * 0.06))
    out = np.full((height, len(tiles) * (width + gap) - gap, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        left = i * (width + gap)
        out[:, left : left + width] = tile[:height, :width]
    return out


@dataclass(frozen=True, kw_only=True)
class RiskScale:
    """What a tile of each HPC adds to the score: float[k]; 0 is drawn pale, harmful orange, protective blue."""

    weights: NDArray[np.floating]

    @property
    def top(self) -> float:
        """The largest weight: the end of both sides of the scale."""
        return float(np.abs(self.weights).max()) or 1.0

    def colours(self, hpc: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Colours of tiles, uint8[n, 3]."""
        level = self.weights[hpc] / self.top
        pale = np.array([236.0, 236.0, 236.0])
        ends = np.where(level[:, None] > 0, rgb(HIGH), rgb(LOW)).astype(float)
        # The square root keeps weak contributions visible beside the strongest.
        strength = np.sqrt(np.abs(level))[:, None]
        return np.asarray((pale + (ends - pale) * strength).round(), np.uint8)


def slide_map(
    maps: Sequence[SlideMap],
    colours: Sequence[str],
    *,
    names: dict[int, str] | None = None,
    groups: Sequence[tuple[str, str]] = (),
    risk: RiskScale | None = None,
) -> Figure:
    """H&E overview beside the tiles in the colours of their coarse group and HPC and of their contribution to the score.

    Parameters
    ----------
    maps
        The slides, one per row.
    colours
        Hex colour of every HPC.
    names
        HPC -> name for the legend; ``HPC 07`` otherwise.
    groups
        Name and hex colour of every coarse group; without them no panel shows coarse groups.
    risk
        Weights of the HPCs in the score; without them no panel shows contributions.
    """
    with style():
        names = names or {}
        keys = [groups[g] for g in _present(m.coarse for m in maps)] if groups else []
        hpcs = [(names[h] if h in names else hpc_name(h), colours[h]) for h in _present(m.hpc for m in maps)]
        panels = 2 + bool(groups) + (risk is not None)
        width = (PAGE - 0.1 * (panels + 1)) / panels
        heights = [min(width * m.overview.shape[0] / m.overview.shape[1], 3.4) for m in maps]
        legend = _legend_height(keys) + _legend_height(hpcs)
        scale = 0.0 if risk is None else 0.40
        total = sum(heights) + 0.46 * len(maps) + legend + scale + 0.05
        figure = new_figure(PAGE, total)
        y = total
        for item, height in zip(maps, heights, strict=True):
            figure.text(0.1 / PAGE, (y - 0.13) / total, item.title, weight="bold", fontsize=7.5, va="center")
            y -= 0.44 + height
            shown = [("H&E", item.overview)]
            if groups:
                shown.append(
                    ("Coarse groups", _painted(item, item.coarse, _table_of([c for _, c in groups])))
                )
            shown.append(("Phenotypes (HPCs)", _painted(item, item.hpc, _table_of(colours))))
            if risk is not None:
                shown.append(("Contribution to the score", _painted(item, item.hpc, risk.colours)))
            for j, (label, image) in enumerate(shown):
                left = 0.1 + j * (width + 0.1)
                axes = bare(axes_at(figure, (left, y, width, height)))
                axes.imshow(image, interpolation="nearest" if j else "lanczos")
                figure.text(
                    left / PAGE, (y + height + 0.07) / total, label, fontsize=6.3, color=MUTED, va="center"
                )
                if item.mpp is not None and j == 0:
                    _scale_bar(axes, item)
            y -= 0.02
        bottom = scale
        for entries in (hpcs, keys):
            if entries:
                _legend(figure, entries, bottom)
                bottom += _legend_height(entries)
        if risk is not None:
            _risk_bar(axes_at(figure, (0.1 + (panels - 1) * (width + 0.1), 0.30, width, 0.08)), risk)
    return figure


def _present(columns: Iterable[NDArray[np.integer] | None]) -> list[int]:
    """Numbers from 0 that occur."""
    return sorted({int(v) for column in columns if column is not None for v in np.unique(column) if v >= 0})


def _table_of(colours: Sequence[str]) -> Callable[[NDArray[np.integer]], NDArray[np.uint8]]:
    table = np.array([rgb(c) for c in colours], np.uint8)
    return lambda numbers: table[numbers]


def _painted(
    item: SlideMap,
    numbers: NDArray[np.integer] | None,
    colour_of: Callable[[NDArray[np.integer]], NDArray[np.uint8]],
) -> Image:
    """The faded overview with its tiles painted over: an image, since 20,000 rectangles would be megabytes of SVG."""
    image = _faded(item.overview)
    if numbers is None:
        return image
    assigned = np.asarray(numbers) >= 0
    x, y = (np.asarray(v, float)[assigned] / item.downsample for v in (item.x, item.y))
    side = item.tile_px / item.downsample
    ends = [np.maximum(np.round(v + side), np.round(v) + 1).astype(int) for v in (x, y)]
    left, top = np.round(x).astype(int), np.round(y).astype(int)
    for x0, x1, y0, y1, colour in zip(
        left, ends[0], top, ends[1], colour_of(np.asarray(numbers)[assigned]), strict=True
    ):
        image[y0:y1, x0:x1] = colour
    return image


def _risk_bar(axes: Axes, risk: RiskScale) -> None:
    """The scale of the contributions under the last panel."""
    levels = np.linspace(-1, 1, 101)
    row = RiskScale(weights=levels).colours(np.arange(101))
    axes.imshow(row[None], aspect="auto", extent=(-1, 1, 0, 1))
    axes.set_yticks([])
    axes.set_xticks(
        [-1, 0, 1], [f"{v:.3g}".replace("-", "\u2212") for v in (-risk.top, 0.0, risk.top)], fontsize=5.8
    )
    for at, side, words in ((0, "left", "\u2190 lower risk"), (1, "right", "higher risk \u2192")):
        axes.text(at, -3.1, words, ha=side, va="center", fontsize=6, transform=axes.transAxes)


def _faded(image: Image) -> Image:
    grey = image.mean(axis=2, keepdims=True)
    return np.repeat((255 - (255 - grey) * 0.25).astype(np.uint8), 3, axis=2)


def _scale_bar(axes: Axes, item: SlideMap) -> None:
    height, width = item.overview.shape[:2]
    um_per_pixel = float(item.mpp or 1.0) * item.downsample
    target = 0.25 * width * um_per_pixel
    size = max((s for e in range(6) for s in (10**e, 2 * 10**e, 5 * 10**e) if s <= target), default=1)
    label = f"{size / 1000:g} mm" if size >= 1000 else f"{size} µm"
    x0, y0 = 0.03 * width, 0.95 * height
    axes.plot([x0, x0 + size / um_per_pixel], [y0, y0], color=INK, linewidth=2, solid_capstyle="butt")
    axes.text(
        x0,
        y0 - 0.02 * height,
        label,
        fontsize=6,
        va="bottom",
        bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.8},
    )


def coarse_legend(tree: PhenotypeTree, names: Mapping[int, str]) -> list[tuple[str, str]]:
    """Title and colour of every coarse group for `slide_map`; none where there is one group only."""
    colours = coarse_colours(tree.coarse, artefacts=tree.artefacts, linkage=tree.linkage)
    titles = [f"{coarse_name(g)} {names.get(g, '')}".rstrip() for g in range(len(colours))]
    return list(zip(titles, colours, strict=True)) if len(colours) > 1 else []


def _legend_places(entries: Sequence[tuple[str, str]]) -> list[tuple[float, int]]:
    """Left end in inches and row of every entry, each as wide as its name, at least a ninth of the page."""
    places, x, row = [], 0.0, 0
    for name, _ in entries:
        wide = max((PAGE - 0.2) / 9, 0.25 + 0.055 * len(name))
        if x and x + wide > PAGE - 0.1:
            x, row = 0.0, row + 1
        places.append((x, row))
        x += wide
    return places


def _legend_height(entries: Sequence[tuple[str, str]]) -> float:
    return 0.16 * (_legend_places(entries)[-1][1] + 1) + 0.12 if entries else 0.0


def _legend(figure: Figure, entries: Sequence[tuple[str, str]], bottom: float) -> None:
    """Names beside squares of their colours, from `bottom` inches upwards."""
    high = _legend_height(entries)
    axes = bare(axes_at(figure, (0, bottom, PAGE, high)))
    axes.set_xlim(0, PAGE)
    axes.set_ylim(0, high)
    axes.patch.set_visible(False)
    for (name, colour), (left, row) in zip(entries, _legend_places(entries), strict=True):
        x, y = 0.14 + left, high - 0.10 - 0.16 * row
        axes.plot([x], [y], "s", color=colour, markersize=5)
        axes.text(x + 0.09, y, name, va="center", fontsize=6)


def contact_sheet(
    images: Sequence[Image],
    captions: Sequence[str],
    *,
    title: str = "",
    outlines: Sequence[Sequence[NDArray[np.floating]]] = (),
    columns: int = 6,
    flags: Sequence[bool] = (),
) -> Figure:
    """Overviews of all slides of a cohort with their tissue outlined: losses of tissue are seen at a glance.

    Parameters
    ----------
    images, captions
        Overviews uint8[h, w, 3] and the text under each.
    title
        Title of the sheet.
    outlines
        Per image, rings float[n, 2] of (x, y) in pixels of the overview.
    columns
        Images per row.
    flags
        Slides to frame in red: failed, empty or with a warning.
    """
    with style():
        columns = max(1, columns)
        rows = math.ceil(len(images) / columns) or 1
        cell = (PAGE - 0.1) / columns
        words = 0.10 + 0.08 * max((c.count("\n") + 1 for c in captions), default=2)
        head = 0.30 if title or not images else 0.04
        height = rows * (cell + words) + head + 0.02
        figure = new_figure(PAGE, height)
        figure.text(0.08 / PAGE, 1 - 0.15 / height, title, weight="bold", fontsize=8, va="center")
        if not images:
            note(axes_at(figure, (0, 0, PAGE, height)), "No slides.")
        for i, image in enumerate(images):
            left, bottom = (
                0.05 + (i % columns) * cell,
                height - head - (i // columns + 1) * (cell + words) + words,
            )
            axes = bare(axes_at(figure, (left, bottom, cell - 0.06, cell - 0.02)))
            axes.imshow(image, interpolation="lanczos")
            for ring in outlines[i] if i < len(outlines) else ():
                points = np.asarray(ring, float)
                axes.plot(points[:, 0] - 0.5, points[:, 1] - 0.5, color="#00A36C", linewidth=0.8)
            axes.set_xlim(-0.5, image.shape[1] - 0.5)
            axes.set_ylim(image.shape[0] - 0.5, -0.5)
            if i < len(flags) and flags[i]:
                for spine in axes.spines.values():
                    spine.set_visible(True)
                    spine.set_color("#C62828")
                    spine.set_linewidth(1.4)
            figure.text(
                (left + (cell - 0.06) / 2) / PAGE,
                (bottom - 0.04) / height,
                captions[i],
                ha="center",
                va="top",
                fontsize=5.4,
                linespacing=1.1,
            )
    return figure
