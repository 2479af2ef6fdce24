"""Quality of tiles, measured for the whole slide at once on a low-power image."""

from __future__ import annotations

import numpy as np

from pathosig.tiles.grid import bands
from pathosig.tiles.spec import TileSpec
from pathosig.tissue.artefacts import is_ink, pen_mask
from pathosig.tissue.mask import background_colour, channel_mean, channel_range, optical_density

QUALITY_COLUMNS = ("blur", "pen", "fold", "background", "saturation")
_MARGIN = 5
"""Pixels around tiles that decide what is a stroke of pen, or out of focus, in it."""

_SHARP = 0.03
"""Mean squared Laplacian of optical density, relative to the squared density, of tissue in focus."""

_GLASS = 0.045
_FOLDED, _LEAST_FOLD, _REDDER = 1.9, 0.25, 0.05
"""A fold is this many times as dense as the slide's usual tissue, at least this dense, and not bluer by more:
layers multiply density and keep the colour, crowds of nuclei shift it towards haematoxylin."""

_SAMPLE = 100_000


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
        blur: lack of detail against tissue in focus, mean over the stained area; pen, fold, background:
        shares of the area;
        saturation: mean of (max - min) / max.
    """
    background = background_colour(rgb)
    usual = _usual(rgb, background)
    sums = {name: np.zeros(len(xy), np.float32) for name in (*QUALITY_COLUMNS, "stained")}
    for band in bands(xy, tile, downsample, height=len(rgb)):
        top, left = max(band.top - _MARGIN, 0), max(band.first - _MARGIN, 0)
        inner = (slice(band.top - top, band.bottom - top), slice(band.first - left, band.last - left))
        part = rgb[top : band.bottom + _MARGIN, left : band.last + _MARGIN]
        maps = _maps(part, background, usual)
        for name, values in maps.items():
            sums[name][band.members] = band.means(np.asarray(values[inner], np.float32))
    sums["blur"] /= np.maximum(sums["stained"], 1e-4)
    return {name: np.clip(sums[name], 0, 1) for name in QUALITY_COLUMNS}


def _usual(rgb: np.ndarray, background: np.ndarray) -> tuple[float, float]:
    """(density, share of red in it) of the slide's usual tissue."""
    step = max(1, round(np.sqrt(rgb.shape[0] * rgb.shape[1] / _SAMPLE)))
    density = optical_density(rgb[::step, ::step], background)
    mean = channel_mean(density)
    tissue = (mean > 2 * _GLASS) & ~is_ink(density)
    if not tissue.any():
        return 1.0, 1.0
    found = density[tissue]
    return float(np.median(mean[tissue])), float(np.median(found[:, 0] / (3 * mean[tissue])))


def _maps(rgb: np.ndarray, background: np.ndarray, usual: tuple[float, float]) -> dict[str, np.ndarray]:
    """What is averaged over tiles; ``stained`` is the area that ``blur`` is a share of."""
    density = optical_density(rgb, background)
    mean = channel_mean(density)
    pen = pen_mask(density)
    low, high = channel_range(rgb)
    laplacian = np.zeros_like(mean)
    inner = -4 * mean[1:-1, 1:-1] + mean[:-2, 1:-1] + mean[2:, 1:-1] + mean[1:-1, :-2] + mean[1:-1, 2:]
    laplacian[1:-1, 1:-1] = inner
    around = box_mean(mean)
    detail = box_mean(laplacian**2) / np.maximum(box_mean(mean**2), 1e-4)
    stained = around > 2 * _GLASS
    dense = around > np.maximum(_FOLDED * usual[0], _LEAST_FOLD)
    layered = box_mean(np.ascontiguousarray(density[..., 0])) < (usual[1] + _REDDER) * 3 * around
    return {
        "pen": pen,
        "fold": dense & layered & ~pen,
        "background": mean < _GLASS,
        "saturation": (high - low) / np.maximum(high, 1).astype(np.float32),
        "blur": np.clip(1 - detail / _SHARP, 0, 1) * stained,
        "stained": stained,
    }


def box_mean(values: np.ndarray) -> np.ndarray:
    """Mean over 5 x 5 pixels, fewer at the edges, float32[h, w]."""
    out = values
    for axis in (0, 1):
        padded = np.concatenate([out.take([0, 0], axis), out, out.take([-1, -1], axis)], axis=axis)
        n = out.shape[axis]
        parts = [padded[i : i + n] if axis == 0 else padded[:, i : i + n] for i in range(5)]
        out = (parts[0] + parts[1] + parts[2] + parts[3] + parts[4]) * np.float32(0.2)
    return out


def excluded(columns: dict[str, np.ndarray], spec: TileSpec) -> dict[str, np.ndarray]:
    """Which tiles the Spec leaves out, by reason, bool[n] each."""
    return {
        "blur": columns["blur"] > spec.max_blur,
        "pen": columns["pen"] > spec.max_pen,
        "fold": columns["fold"] > spec.max_fold,
        "background": columns["background"] > spec.max_background,
        "saturation": columns["saturation"] < spec.min_saturation,
    }
