"""Where tiles lie: a grid of physical size, and how much of each is tissue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from pathosig.core.errors import ConfigError
from pathosig.core.spec import Spec


@dataclass(frozen=True, kw_only=True)
class TileSpec(Spec):
    """Size of tiles, and which are kept.

    Attributes
    ----------
    size_px
        Side of a tile in pixels at `mpp`.
    mpp
        Micrometres per pixel of the tiles.
    stride_px
        Distance between tiles in pixels at `mpp`; the side without it, so that no area is used twice.
    min_tissue
        Lowest share of tissue in a tile.
    edge
        What happens at the right and lower edge of the slide: drop | pad (white).
    mpp_tolerance
        How much coarser than `mpp` a slide's finest level may be, as a fraction.
    exact
        Decode at full size and average areas instead of decoding JPEG at half size.
    quality_mpp
        Micrometres per pixel at which quality is measured.
    max_blur
        Highest blur (0 sharp .. 1 nothing in focus) of a kept tile.
    max_pen
        Highest share of pen in a kept tile.
    max_fold
        Highest share of folded tissue (very dark and strongly coloured) in a kept tile.
    max_background
        Highest share of glass in a kept tile.
    min_saturation
        Lowest mean saturation (0..1) of a kept tile.
    """

    section: ClassVar[str] = "tiles"
    size_px: int = 224
    mpp: float = 0.5
    stride_px: int | None = None
    min_tissue: float = 0.6
    edge: Literal["drop", "pad"] = "drop"
    mpp_tolerance: float = 0.05
    exact: bool = False
    quality_mpp: float = 4.0
    max_blur: float = 0.5
    max_pen: float = 0.1
    max_fold: float = 0.2
    max_background: float = 0.8
    min_saturation: float = 0.0

    def __post_init__(self) -> None:
        if self.size_px < 16 or (self.stride_px is not None and self.stride_px < 1):
            raise ConfigError("[tiles] size_px must be at least 16 and stride_px at least 1.")
        if self.mpp <= 0 or self.quality_mpp <= 0:
            raise ConfigError("[tiles] mpp and quality_mpp must be above 0.")
        for name in ("min_tissue", "max_blur", "max_pen", "max_fold", "max_background", "min_saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"[tiles] {name} must lie between 0 and 1.")


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
        Side and distance of tiles in level-0 pixels; fractions are allowed and do not add up along the grid.
    edge
        ``drop`` leaves out tiles that reach over the edge, ``pad`` keeps them.
    multiple
        Corners are rounded to multiples of this, which lets JPEG be decoded small.

    Returns
    -------
    int32[n, 2], (x, y)
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
    """Share of each tile that a mask covers, from integrals along rows of tiles.

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
    float32[n] in 0..1; area beyond the mask counts as none.
    """
    out = np.zeros(len(xy), np.float32)
    for band in bands(xy, tile, downsample, height=mask.shape[0]):
        rows = mask[band.top : band.bottom].astype(np.float32, copy=False)
        out[band.members] = band.means(rows)
    return np.clip(out, 0, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """Rows of a low-power image that one row of tiles covers.

    Attributes
    ----------
    members
        int[n]: the tiles, as positions in the list of corners.
    top, bottom
        First row, and the row after the last.
    weights
        float32[bottom - top]: share of each row that is covered.
    left, side
        float[n] left edges, and the side, in pixels of the image.
    """

    members: np.ndarray
    top: int
    bottom: int
    weights: np.ndarray
    left: np.ndarray
    side: float

    def means(self, rows: np.ndarray) -> np.ndarray:
        """Mean of the band's rows (float32[bottom - top, w]) over each tile, float64[n]."""
        sums = np.zeros(rows.shape[1] + 1)  # the integral along the band, linear between its points
        np.cumsum(self.weights @ rows, dtype=np.float64, out=sums[1:])
        at = np.arange(len(sums))
        total = np.interp(self.left + self.side, at, sums) - np.interp(self.left, at, sums)
        return np.asarray(total / self.side**2)


def bands(xy: np.ndarray, tile: float, downsample: float, *, height: int) -> Iterator[Band]:
    """The rows of tiles, each with the rows of a low-power image of `height` pixels that it covers.

    Parameters
    ----------
    xy, tile
        int[n, 2] corners and side in level-0 pixels.
    downsample
        Level-0 pixels per pixel of the image.
    """
    xy = np.asarray(xy)
    order = np.argsort(xy[:, 1], kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(xy[order, 1]) != 0]) if len(xy) else np.empty(0, int)
    for members in np.split(order, starts[1:]) if len(xy) else ():
        low = max(0.0, xy[members[0], 1] / downsample)
        high = min(float(height), (xy[members[0], 1] + tile) / downsample)
        if high <= low:
            continue
        top, bottom = int(np.floor(low)), int(np.ceil(high))
        rows = np.arange(top, bottom)
        weights = np.minimum(rows + 1, high) - np.maximum(rows, low)
        yield Band(
            members=members,
            top=top,
            bottom=bottom,
            weights=weights.astype(np.float32),
            left=xy[members, 0] / downsample,
            side=tile / downsample,
        )
