"""Where tiles lie: a grid of physical size, and how much of each is tissue."""

from __future__ import annotations

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
        Highest blur (0 sharp .. 1 none of the usual detail) of a kept tile.
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
    max_blur: float = 0.75
    max_pen: float = 0.1
    max_fold: float = 0.25
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
    """Share of each tile that a mask covers, from an integral image.

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
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    np.cumsum(np.cumsum(mask, axis=0, dtype=np.float64), axis=1, out=sums[1:, 1:])
    corners = np.asarray(xy, float) / downsample
    side = tile / downsample
    x0, y0 = corners[:, 0], corners[:, 1]
    total = _at(sums, x0 + side, y0 + side) - _at(sums, x0, y0 + side)
    total += _at(sums, x0, y0) - _at(sums, x0 + side, y0)
    return np.clip(total / side**2, 0, 1).astype(np.float32)


def _at(sums: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The integral image between its points, bilinear (exact for areas of whole pixels)."""
    height, width = sums.shape
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    i, j = np.minimum(y.astype(int), height - 2), np.minimum(x.astype(int), width - 2)
    v, u = y - i, x - j
    top = sums[i, j] * (1 - u) + sums[i, j + 1] * u
    bottom = sums[i + 1, j] * (1 - u) + sums[i + 1, j + 1] * u
    return np.asarray(top * (1 - v) + bottom * v)
