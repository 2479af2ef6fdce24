"""Two-dimensional maps of tiles or patients (PCA, UMAP)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pathosig.figures.palette import GROUPS, MUTED
from pathosig.figures.style import COLUMN, axes_at, new_figure, note, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def embedding_map(
    points: NDArray[np.floating],
    labels: Sequence[str],
    *,
    title: str,
    axis_names: tuple[str, str] = ("PC 1", "PC 2"),
    colours: dict[str, str] | None = None,
    label_in_place: bool = True,
) -> Figure:
    """Points coloured by label; every label is written at the median of its points.

    Parameters
    ----------
    points
        float[n, 2].
    labels
        Category of every point.
    title, axis_names
        Labels of the panel.
    colours
        Label -> hex colour; the group palette otherwise.
    label_in_place
        Whether to write labels into the map, the most frequent first, none over another; a legend is drawn when there are at most eight.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(30, 2))
    >>> figure = embedding_map(points, ["HPC 00", "HPC 01"] * 15, title="Training tiles")
    >>> figure.axes[0].get_title(loc="left")
    'Training tiles'
    """
    with style():
        points = np.asarray(points, float)
        figure = new_figure(COLUMN, 3.35)
        axes = axes_at(figure, (0.35, 0.35, 3.05, 2.7))
        axes.set_title(title)
        if not len(points):
            note(axes, "No tiles to show.")
            return figure
        categories = sorted(set(labels))
        palette = colours or {c: GROUPS[i % len(GROUPS)] for i, c in enumerate(categories)}
        size = float(np.clip(9000 / max(len(points), 1), 1.5, 9))
        faces = np.array([palette[label] for label in labels])
        order = np.random.default_rng(0).permutation(len(points))
        axes.scatter(
            points[order, 0],
            points[order, 1],
            s=size,
            c=faces[order],
            linewidths=0,
            alpha=0.75,
            rasterized=len(points) > 1000,  # as vectors, 3,000 points are two thirds of a megabyte
        )
        axes.margins(0.04)
        axes.autoscale_view()
        for category, (x, y) in _places(points, labels, axes) if label_in_place else ():
            axes.text(
                x,
                y,
                category.removeprefix("HPC "),
                fontsize=6,
                weight="bold",
                ha="center",
                va="center",
                bbox={
                    "facecolor": "white",
                    "alpha": 0.75,
                    "edgecolor": palette[category],
                    "linewidth": 0.8,
                    "boxstyle": "round,pad=0.15",
                },
            )
        if len(categories) <= 8:
            for category in categories:
                axes.plot([], [], "o", color=palette[category], markersize=4, label=category)
            axes.legend(loc="best", handletextpad=0.1, frameon=True, framealpha=0.8, edgecolor="none")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(axis_names[0], color=MUTED)
        axes.set_ylabel(axis_names[1], color=MUTED)
    return figure


def _places(
    points: NDArray[np.floating], labels: Sequence[str], axes: Axes
) -> list[tuple[str, tuple[float, float]]]:
    """Categories, the most frequent first, at the median of their points; those that would cover another are left out."""
    array = np.asarray(labels)
    names, counts = np.unique(array, return_counts=True)
    kept: list[tuple[str, tuple[float, float]]] = []
    taken: list[NDArray[np.floating]] = []
    width = 4.2 * max(len(name.removeprefix("HPC ")) for name in names) + 4
    for name in names[np.argsort(-counts, kind="stable")]:
        x, y = np.median(points[array == name], axis=0)
        at = axes.transData.transform((x, y)) * 72 / axes.get_figure().dpi  # type: ignore[union-attr]
        if all(abs(at[0] - other[0]) > width or abs(at[1] - other[1]) > 9.5 for other in taken):
            kept.append((str(name), (float(x), float(y))))
            taken.append(at)
    return kept
