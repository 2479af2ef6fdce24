"""Quality of tiles, measured for the whole slide at once on a low-power image."""

from __future__ import annotations

import numpy as np

from pathosig.tiles.grid import TileSpec, bands
from pathosig.tissue.artefacts import pen_mask
from pathosig.tissue.mask import background_colour, channel_mean, channel_range, optical_density

QUALITY_COLUMNS = ("blur", "pen", "fold", "background", "saturation")
_MARGIN = 4
"""Rows around a row of tiles that decide what is a stroke of pen in it."""

_SHARP = 0.03
"""Mean squared Laplacian of optical density, relative to the density, of tissue in focus."""


def quality(rgb: np.ndarray, xy: np.ndarray, tile: float, downsample: float) -> dict[str, np.ndarray]:
    """Quality columns of tiles.

    Parameters
    ----------
    rgb
        uint8[h, w, 3]: the whole slide at low power.
    xy, tile
        Corners and side in level-0 pixels.
    downsample
        Level-0 pixels per pixel of `rgb`.

    Returns
    -------
    dict of float32[n], all in 0..1
        blur: 1 - detail against that of tissue in focus; pen, fold, background: shares of the area;
        saturation: mean of (max - min) / max.
    """
    background = background_colour(rgb)
    sums = {name: np.zeros(len(xy), np.float32) for name in (*QUALITY_COLUMNS, "stained")}
    for band in bands(xy, tile, downsample, height=len(rgb)):
        top = max(band.top - _MARGIN, 0)
        inner = slice(band.top - top, band.bottom - top)
        maps = _maps(rgb[top : band.bottom + _MARGIN], background)
        for name, values in maps.items():
            sums[name][band.members] = band.means(np.asarray(values[inner], np.float32))
    detail = sums["blur"] / np.maximum(sums["stained"], 1e-4)
    sums["blur"] = (1 - detail / _SHARP).astype(np.float32)
    return {name: np.clip(sums[name], 0, 1) for name in QUALITY_COLUMNS}


def _maps(rgb: np.ndarray, background: np.ndarray) -> dict[str, np.ndarray]:
    """What is averaged over tiles; ``blur`` and ``stained`` are squares of detail and of density."""
    density = optical_density(rgb, background)
    mean = channel_mean(density)
    pen = pen_mask(density)
    low, high = channel_range(rgb)
    laplacian = np.zeros_like(mean)
    inner = -4 * mean[1:-1, 1:-1] + mean[:-2, 1:-1] + mean[2:, 1:-1] + mean[1:-1, :-2] + mean[1:-1, 2:]
    laplacian[1:-1, 1:-1] = inner
    return {
        "pen": pen,
        "fold": (mean > 0.75) & (density[..., 1] > 0.9) & ~pen,
        "background": mean < 0.045,
        "saturation": (high - low) / np.maximum(high, 1).astype(np.float32),
        "blur": laplacian**2,
        "stained": mean**2,
    }


def excluded(columns: dict[str, np.ndarray], spec: TileSpec) -> dict[str, np.ndarray]:
    """Which tiles the Spec leaves out, by reason, bool[n] each."""
    return {
        "blur": columns["blur"] > spec.max_blur,
        "pen": columns["pen"] > spec.max_pen,
        "fold": columns["fold"] > spec.max_fold,
        "background": columns["background"] > spec.max_background,
        "saturation": columns["saturation"] < spec.min_saturation,
    }
