"""Positions of tiles on a regular grid, and the proportion of each tile that is tissue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_GAP = 2.5
"""A row of tiles is split where neighbouring corners are further apart than this many sides."""


def grid(
    size: tuple[int, int],
    tile: float,
    stride: float | None = None,
    *,
    edge: str = "drop",
    multiple: int = 1,
) -> np.ndarray:
    """Top-left corners of a regular grid, row by row.

    Parameters
    ----------
    size
        (width, height) of the slide in level-0 pixels.
    tile, stride
        Side of a tile, and distance between neighbouring corners, in level-0 pixels. Fractions are allowed;
        rounding errors do not accumulate along the grid.
    edge
        ``drop`` leaves out tiles that reach over the edge, ``pad`` keeps them.
    multiple
        Corners are rounded to multiples of this many level-0 pixels, so that JPEG can be decoded at reduced size.

    Returns
    -------
    int32[n, 2]
        (x, y) of the corners in level-0 pixels.

    Examples
    --------
    >>> grid((500, 300), 224).tolist()
    [[0, 0], [224, 0]]
    >>> len(grid((500, 300), 224, edge="pad"))
    6
    """
    stride = stride or tile
    axes = []
    for length in size:
        last = length - tile if edge == "drop" else length - 1
        count = int(np.floor(last / stride + 1e-9)) + 1 if last >= 0 else 0
        corners = np.rint(np.arange(count) * stride / multiple).astype(np.int64) * multiple
        if edge == "drop":
            corners = corners[corners + tile <= length + 1e-6]
        axes.append(corners)
    xx, yy = np.meshgrid(axes[0], axes[1])
    return np.stack([xx.ravel(), yy.ravel()], axis=1).astype(np.int32)


def tissue_fraction(mask: np.ndarray, xy: np.ndarray, tile: float, downsample: float) -> np.ndarray:
    """Proportion of each tile that a mask covers.

    Parameters
    ----------
    mask
        bool[h, w] (or any weights in 0..1).
    xy
        int[n, 2]: corners in level-0 pixels.
    tile
        Side in level-0 pixels.
    downsample
        Level-0 pixels per mask pixel.

    Returns
    -------
    float32[n]
        In 0..1; area outside the mask counts as not covered.

    Examples
    --------
    >>> mask = np.zeros((4, 8), bool)
    >>> mask[:, :6] = True
    >>> tissue_fraction(mask, np.array([[0, 0], [64, 0]]), 64, 16)
    array([1. , 0.5], dtype=float32)
    """
    out = np.zeros(len(xy), np.float32)
    for band in bands(xy, tile, downsample, height=mask.shape[0]):
        piece = mask[band.top : band.bottom, band.first : band.last]
        out[band.members] = band.means(piece.astype(np.float32, copy=False))
    return np.clip(out, 0, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """The part of a low-power image that a run of neighbouring tiles in one row covers.

    Attributes
    ----------
    members
        int[n]: the tiles, as indices into the list of corners.
    top, bottom
        First row, and one past the last row.
    first, last
        First column, and one past the last column, which may lie outside the image.
    weights
        float32[bottom - top]: proportion of each row that is covered.
    left, side
        float[n] left edges of the tiles relative to `first`, and the side of a tile, in pixels of the image.
    """

    members: np.ndarray
    top: int
    bottom: int
    first: int
    last: int
    weights: np.ndarray
    left: np.ndarray
    side: float

    def means(self, rows: np.ndarray) -> np.ndarray:
        """Mean of float32[..., bottom - top, last - first] over each tile, float64[..., n]."""
        # Cumulative sums along the band: interpolated linearly, they integrate over fractions of a pixel.
        sums = np.zeros((*rows.shape[:-2], rows.shape[-1] + 2))
        np.cumsum(self.weights @ rows, axis=-1, dtype=np.float64, out=sums[..., 1:-1])
        sums[..., -1] = sums[..., -2]
        return np.asarray((_between(sums, self.left + self.side) - _between(sums, self.left)) / self.side**2)


def _between(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Linear interpolation of float[..., w] at fractional positions; beyond the end, the last value."""
    at = np.minimum(at, values.shape[-1] - 2)
    index = at.astype(np.intp)
    low = values[..., index]
    return np.asarray((values[..., index + 1] - low) * (at - index) + low)


def bands(xy: np.ndarray, tile: float, downsample: float, *, height: int) -> Iterator[Band]:
    """Runs of neighbouring tiles, each with the part of a low-power image that it covers.

    A row of tiles is split at wide gaps, so that the pixels in a gap are never read.

    Parameters
    ----------
    xy, tile
        int[n, 2] corners and side in level-0 pixels.
    downsample
        Level-0 pixels per pixel of the image.
    height
        Rows of the low-power image.

    Yields
    ------
    Band
        Every tile that overlaps the rows of the image is in exactly one band.

    Examples
    --------
    >>> corners = np.array([[0, 0], [64, 0], [0, 64]])
    >>> [(band.members.tolist(), band.top, band.bottom) for band in bands(corners, 64, 16, height=8)]
    [([0, 1], 0, 4), ([2], 4, 8)]
    """
    xy = np.asarray(xy)
    order = np.lexsort((xy[:, 0], xy[:, 1]))
    steps = np.diff(xy[order], axis=0)
    parted = (steps[:, 1] != 0) | (steps[:, 0] > _GAP * tile)
    for members in np.split(order, np.flatnonzero(parted) + 1) if len(xy) else ():
        low = max(0.0, xy[members[0], 1] / downsample)
        high = min(float(height), (xy[members[0], 1] + tile) / downsample)
        if high <= low:
            continue
        top, bottom = int(np.floor(low)), int(np.ceil(high))
        rows = np.arange(top, bottom)
        weights = np.minimum(rows + 1, high) - np.maximum(rows, low)
        left, side = xy[members, 0] / downsample, tile / downsample
        first = max(0, int(np.floor(left[0])))
        yield Band(
            members=members,
            top=top,
            bottom=bottom,
            first=first,
            last=int(np.ceil(left[-1] + side)),
            weights=weights.astype(np.float32),
            left=left - first,
            side=side,
        )
