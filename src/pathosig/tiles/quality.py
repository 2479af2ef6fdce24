"""Quality of tiles, measured for the whole slide at once on a low-power image."""

from __future__ import annotations

import numpy as np

from pathosig.tiles.grid import bands
from pathosig.tiles.spec import TileSpec
from pathosig.tissue.artefacts import is_ink, pen_mask
from pathosig.tissue.mask import background_colour, channel_mean, channel_range, optical_density

QUALITY_COLUMNS = ("blur", "pen", "fold", "background", "saturation")
_MARGIN = 5
"""Pixels that are read around a band of tiles, because pen and focus are judged from neighbouring pixels too."""

_SHARP = 0.03
"""Mean squared Laplacian of the optical density, relative to the squared density, in tissue that is in focus."""

_GLASS = 0.045
_FOLDED, _LEAST_FOLD = 1.9, 0.25
"""A fold is this many times as dense as the slide's usual tissue and as its tissue of the same colour, and at least
this dense. Overlapping layers multiply the density and keep the colour. Crowded nuclei and blood are dense without
being folded; how dense they are is measured in each slide."""

_REDDER, _DENSER = 0.05, 1.5
"""A colour is that of crowded nuclei if its proportion of red exceeds the usual one by more than the first number.
The density expected of any other colour is at most the second number times the usual density: otherwise a fold
whose colour occurs nowhere else in the slide would be compared only with itself."""

_COLOURS, _LEAST_SHARE, _LEAST_BLOCKS = 50, 0.002, 20
"""Bins of the proportion of red in the density; the proportion and number of blocks from which a bin counts as one
of the slide's colours."""

_BLOCK, _BLOCKS = 5, 20_000
"""Side in pixels of the blocks from which colours are measured, and roughly how many blocks of a slide are used."""


def quality(rgb: np.ndarray, xy: np.ndarray, tile: float, downsample: float) -> dict[str, np.ndarray]:
    """Quality columns of tiles.

    Parameters
    ----------
    rgb
        uint8[h, w, 3]: the whole slide at low power.
    xy, tile
        int[n, 2] corners, and side of a tile, in level-0 pixels.
    downsample
        Level-0 pixels per pixel of `rgb`.

    Returns
    -------
    dict of float32[n], all in 0..1
        blur: lack of detail compared with tissue in focus, averaged over the stained area; pen, fold, background:
        proportion of the tile's area; saturation: mean of (max - min) / max.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = np.full((64, 128, 3), 245, np.uint8)  # glass
    >>> image[:, :64] = rng.integers(60, 220, (64, 64, 1)) * np.array([1.0, 0.6, 0.9])  # tissue
    >>> columns = quality(image, np.array([[0, 0], [1024, 0]]), 1024, 16)
    >>> columns["background"].round(2)
    array([0., 1.], dtype=float32)
    """
    background = background_colour(rgb)
    folded = _folded(rgb, background)
    means = np.zeros((len(QUALITY_COLUMNS) + 1, len(xy)), np.float32)
    for band in bands(xy, tile, downsample, height=len(rgb)):
        top, left = max(band.top - _MARGIN, 0), max(band.first - _MARGIN, 0)
        maps = _maps(rgb[top : band.bottom + _MARGIN, left : band.last + _MARGIN], background, folded)
        inner = maps[:, band.top - top : band.bottom - top, band.first - left : band.last - left]
        means[:, band.members] = band.means(inner)
    *columns, stained = means
    columns[0] /= np.maximum(stained, 1e-4)
    return {name: np.clip(column, 0, 1) for name, column in zip(QUALITY_COLUMNS, columns, strict=True)}


def _folded(rgb: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Density above which tissue counts as folded, for each bin of its proportion of red, float32[_COLOURS]."""
    height, width = rgb.shape[:2]
    step = max(_BLOCK, round(np.sqrt(height * width / _BLOCKS)))
    rows, columns = (
        np.add.outer(np.arange(0, max(n - _BLOCK + 1, 1), step), np.arange(min(_BLOCK, n)))
        for n in (height, width)
    )
    pixels = rgb[rows.T[:, None, :, None], columns.T[None, :, None, :]]
    density = optical_density(pixels, background).mean(axis=(0, 1)).reshape(-1, 3)
    mean = channel_mean(density)
    tissue = (mean > 2 * _GLASS) & ~is_ink(density)
    if not tissue.any():
        return np.full(_COLOURS, np.inf, np.float32)
    mean = mean[tissue]
    colour = _colour(density[tissue, 0], mean)
    least = max(_LEAST_BLOCKS, _LEAST_SHARE * len(mean))
    usual = np.full(_COLOURS, np.inf)  # tissue of a rare colour never counts as folded
    for number in np.flatnonzero(np.bincount(colour, minlength=_COLOURS) >= least):
        usual[number] = _median(mean[colour == number])
    plain = slice(int((_median(density[tissue, 0] / (3 * mean)) + _REDDER) * _COLOURS) + 1)
    usual[plain] = np.minimum(usual[plain], _DENSER * _median(mean))
    usual = np.maximum(usual, _median(mean))
    return np.maximum(_FOLDED * usual, _LEAST_FOLD).astype(np.float32)


def _median(values: np.ndarray) -> np.floating:
    """Median of all values; `np.median` would import `numpy.ma` in every worker, to look for NaN."""
    ordered = np.sort(values, axis=None)
    n = len(ordered)
    middle: np.floating = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return middle


def _colour(red: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Bin of the proportion of red in the summed density of the three channels, int[...]."""
    share = red * np.float32(_COLOURS / 3) / np.maximum(mean, np.float32(1e-6))
    return np.minimum(share.astype(np.intp), _COLOURS - 1)


def _maps(rgb: np.ndarray, background: np.ndarray, folded: np.ndarray) -> np.ndarray:
    """Maps to average over tiles, float32[6, h, w]: QUALITY_COLUMNS, and the stained area, which divides ``blur``."""
    rgb = np.moveaxis(np.ascontiguousarray(np.moveaxis(rgb, -1, 0)), 0, -1)  # each channel contiguous
    density = optical_density(rgb, background)
    mean = channel_mean(density)
    pen = pen_mask(density)
    low, high = channel_range(rgb)
    laplacian = np.zeros_like(mean)
    inner = -4 * mean[1:-1, 1:-1] + mean[:-2, 1:-1] + mean[2:, 1:-1] + mean[1:-1, :-2] + mean[1:-1, 2:]
    laplacian[1:-1, 1:-1] = inner
    around, red, squares, detail = _box_mean(np.stack([mean, density[..., 0], mean**2, laplacian**2]))
    detail /= np.maximum(squares, 1e-4)
    stained = around > 2 * _GLASS
    maps = np.empty((len(QUALITY_COLUMNS) + 1, *mean.shape), np.float32)
    maps[0] = np.clip(1 - detail / _SHARP, 0, 1) * stained
    maps[1] = pen
    maps[2] = (around > folded[_colour(red, around)]) & ~pen
    maps[3] = mean < _GLASS
    maps[4] = (high - low) / np.maximum(high, 1).astype(np.float32)
    maps[5] = stained
    return maps


def _box_mean(values: np.ndarray) -> np.ndarray:
    """Mean over 5 x 5 pixels, with the pixels at the edges repeated, float32[..., h, w]."""
    out = values
    for axis in (-2, -1):
        padded = np.concatenate([out.take([0, 0], axis), out, out.take([-1, -1], axis)], axis=axis)
        n = out.shape[axis]
        parts = [padded[..., i : i + n, :] if axis == -2 else padded[..., i : i + n] for i in range(5)]
        out = parts[0] + parts[1]
        for value in parts[2:]:
            out += value
        out *= np.float32(0.2)
    return out


def excluded(columns: dict[str, np.ndarray], spec: TileSpec) -> dict[str, np.ndarray]:
    """Which tiles the settings leave out, bool[n] for each reason.

    Parameters
    ----------
    columns
        float[n] for each quality column, from `quality`.
    spec
        Bounds on each column.

    Returns
    -------
    dict of bool[n]
        Reason -> whether a tile is left out for it.

    Examples
    --------
    >>> from pathosig.tiles.spec import TileSpec
    >>> columns = {name: np.array([0.0, 0.9]) for name in ("blur", "pen", "fold", "background", "saturation")}
    >>> for reason, rows in excluded(columns, TileSpec(max_blur=0.5, max_background=0.95)).items():
    ...     print(reason, rows)
    blur [False  True]
    pen [False  True]
    fold [False  True]
    background [False False]
    saturation [False False]
    """
    return {
        "blur": columns["blur"] > spec.max_blur,
        "pen": columns["pen"] > spec.max_pen,
        "fold": columns["fold"] > spec.max_fold,
        "background": columns["background"] > spec.max_background,
        "saturation": columns["saturation"] < spec.min_saturation,
    }
