"""Quality of tiles, measured for the whole slide at once on a low-power image."""

from __future__ import annotations

import numpy as np

from pathosig.tiles.grid import TileSpec, tissue_fraction
from pathosig.tissue.artefacts import pen_mask
from pathosig.tissue.mask import background_colour, optical_density

QUALITY_COLUMNS = ("blur", "pen", "fold", "background", "saturation")
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
    density = optical_density(rgb, background_colour(rgb))
    mean = density.mean(axis=-1)
    pen = pen_mask(density)
    low, high = rgb.min(axis=-1), rgb.max(axis=-1)
    saturation = (high - low) / np.maximum(high, 1)
    fold = (mean > 0.75) & (density[..., 1] > 0.9) & ~pen
    glass = mean < 0.045
    laplacian = np.zeros_like(mean)
    inner = -4 * mean[1:-1, 1:-1] + mean[:-2, 1:-1] + mean[2:, 1:-1] + mean[1:-1, :-2] + mean[1:-1, 2:]
    laplacian[1:-1, 1:-1] = inner
    maps = {"pen": pen, "fold": fold, "background": glass, "saturation": saturation}
    columns = {
        name: tissue_fraction(np.asarray(m, np.float32), xy, tile, downsample) for name, m in maps.items()
    }
    stained = np.maximum(_mean(mean**2, xy, tile, downsample), 1e-4)
    detail = _mean(laplacian**2, xy, tile, downsample) / stained
    columns["blur"] = (1 - np.clip(detail / _SHARP, 0, 1)).astype(np.float32)
    return {name: columns[name] for name in QUALITY_COLUMNS}


def _mean(values: np.ndarray, xy: np.ndarray, tile: float, downsample: float) -> np.ndarray:
    peak = float(values.max(initial=0.0)) or 1.0
    return tissue_fraction(values / peak, xy, tile, downsample) * peak


def excluded(columns: dict[str, np.ndarray], spec: TileSpec) -> dict[str, np.ndarray]:
    """Which tiles the Spec leaves out, by reason, bool[n] each."""
    return {
        "blur": columns["blur"] > spec.max_blur,
        "pen": columns["pen"] > spec.max_pen,
        "fold": columns["fold"] > spec.max_fold,
        "background": columns["background"] > spec.max_background,
        "saturation": columns["saturation"] < spec.min_saturation,
    }
