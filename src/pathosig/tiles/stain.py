"""Stain normalisation of batches of tiles to a reference, by Macenko's or Reinhard's method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from pathosig.core.errors import ConfigError, NotEstimableError
from pathosig.tissue.artefacts import is_ink

Method = Literal["macenko", "reinhard"]
METHODS = ("macenko", "reinhard")

_LAMP = 240.0
_BETA = 0.15
"""Optical density (natural logarithm) below which a pixel is glass; this and the lamp's intensity are as in Macenko's
paper."""

_ALPHA = 1.0
"""The percentiles alpha and 100 - alpha of the angle give the two stains."""

_SAMPLE_SIDE = 48
"""Statistics are computed from about this many rows and columns of a tile."""

_LEAST_STAINED, _LEAST_FITTED, _MOST_INK, _LEAST_ANGLE = 0.05, 0.02, 0.35, np.deg2rad(4.0)
"""A tile can be assessed if at least these proportions of its pixels are stained, and absorb in every channel, at most
this proportion is ink, and the angle between its two stains is at least this."""

_LARGEST_GAIN = 4.0
_CHUNK, _BAND = 16, 12_544
"""Tiles fitted at once, and pixels recoloured at once; these stay in the processor's cache."""

_RGB_TO_LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
_LMS_TO_LAB = np.diag(1 / np.sqrt([3.0, 6.0, 2.0])) @ np.array([[1.0, 1, 1], [1, 1, -2], [1, -1, 0]])


def fit_reference(tiles: np.ndarray, method: Method) -> dict[str, object]:
    """The reference that `normalise` takes, as plain numbers that can be written as JSON.

    Parameters
    ----------
    tiles
        uint8[n, h, w, 3]: a few dozen tissue tiles, drawn from many of the training slides.
    method
        ``macenko`` or ``reinhard``.

    Returns
    -------
    dict
        macenko: ``stains`` (two unit vectors of optical density, haematoxylin first) and ``strength``
        (99th percentile of the concentration of each); reinhard: ``mean`` and ``std`` of l, alpha, beta.
        Each is the median over the tiles that can be assessed; ``n_tiles`` is their number.

    Raises
    ------
    NotEstimableError
        E_STAIN if no tile shows two stains.
    ConfigError
        If the tiles have another type or shape, or the method is unknown.

    References
    ----------
    See `normalise`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> amounts = rng.gamma(2, 0.2, (4, 64, 64, 2))  # haematoxylin and eosin in every pixel
    >>> density = amounts @ np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
    >>> reference = fit_reference((255 * np.exp(-density)).astype(np.uint8), "macenko")
    >>> reference["n_tiles"], np.round(reference["stains"], 1)
    (4, array([[0.6, 0.7, 0.3],
           [0.1, 1. , 0.1]]))
    """
    _check(tiles, method)
    light = _sample(tiles)
    density = -np.log(light)
    stains, angle = _stain_vectors(density)
    good = _assessable(density, angle)
    if not good.any():
        raise NotEstimableError(
            f"stain reference: none of {len(tiles)} tiles shows two stains. Use slides stained with H&E, or set "
            '[encoder] stain = "none".',
            code="E_STAIN",
        )
    common: dict[str, object] = {"method": method, "n_tiles": int(good.sum())}
    if method == "macenko":
        vectors = np.median(stains[good], axis=0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        strength = np.median(_strength(density[good], stains[good]), axis=0)
        return {**common, "stains": vectors.round(6).tolist(), "strength": strength.round(6).tolist()}
    mean, std = _colour_moments(light[good])
    return {
        **common,
        "mean": np.median(mean, axis=0).round(6).tolist(),
        "std": np.median(std, axis=0).round(6).tolist(),
    }


def normalise(tiles: np.ndarray, reference: Mapping[str, object]) -> np.ndarray:
    """Tiles in the colours of the reference.

    Every tile is fitted by itself, so the result does not depend on the other tiles of a batch. Tiles that
    cannot be assessed (glass, a single stain, ink) are returned unchanged.

    Parameters
    ----------
    tiles
        uint8[n, h, w, 3].
    reference
        From `fit_reference`.

    Returns
    -------
    uint8[n, h, w, 3]

    Raises
    ------
    ConfigError
        If the tiles have another type or shape, or the method of the reference is unknown.

    References
    ----------
    Macenko, M. et al. (2009). A method for normalizing histology slides for quantitative analysis. ISBI.
    Reinhard, E. et al. (2001). Color transfer between images. IEEE Computer Graphics and Applications 21(5).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> amounts = rng.gamma(2, 0.3, (4, 64, 64, 2))  # haematoxylin and eosin in every pixel
    >>> stains = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
    >>> dark, pale = ((255 * np.exp(-factor * amounts @ stains)).astype(np.uint8) for factor in (1.0, 0.7))
    >>> [round(float(tiles.mean())) for tiles in (dark, pale, normalise(pale, fit_reference(dark, "macenko")))]
    [158, 180, 161]
    """
    _check(tiles, str(reference.get("method")))
    out = np.empty_like(tiles)
    scratch = np.empty((2, 4 * _BAND), np.float32)
    change = _macenko_change if reference["method"] == "macenko" else _reinhard_change
    for start in range(0, len(tiles), _CHUNK):
        chunk = tiles[start : start + _CHUNK]
        good, before, matrix, after = change(_sample(chunk), reference)
        for row, tile in enumerate(chunk):
            if good[row]:
                mixes = (before[row], matrix[row], after[row])
                _recolour(tile, out[start + row], *mixes, scratch=scratch)
            else:
                out[start + row] = tile
    return out


Change = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Which tiles change, bool[n]; then, as float32[n, 3, 3] each, the mixture before the powers, the powers, and the mixture
after them (`_recolour`). Empty mixtures mean that colours are not mixed."""


def _macenko_change(light: np.ndarray, reference: Mapping[str, object]) -> Change:
    density = -np.log(light)
    stains, angle = _stain_vectors(density)
    gain = np.asarray(reference["strength"]) / np.maximum(_strength(density, stains), 1e-6)
    gain = np.clip(gain, 1 / _LARGEST_GAIN, _LARGEST_GAIN)
    matrix = np.asarray(reference["stains"]).T @ (gain[:, :, None] * _unmixing(stains))
    none = np.empty((len(light), 0), np.float32)
    return _assessable(density, angle), none, _rows(matrix), none


def _reinhard_change(light: np.ndarray, reference: Mapping[str, object]) -> Change:
    density = -np.log(np.ascontiguousarray(light[:, :, ::4]))
    _, angle = _stain_vectors(density)
    mean, std = _colour_moments(light)
    gain = np.clip(np.asarray(reference["std"]) / np.maximum(std, 1e-6), 1 / _LARGEST_GAIN, _LARGEST_GAIN)
    back = np.linalg.inv(_LMS_TO_LAB)
    matrix = back @ (gain[:, :, None] * _LMS_TO_LAB)
    factor = np.exp((np.asarray(reference["mean"]) - gain * mean) @ back.T)
    after = _LAMP * np.linalg.inv(_RGB_TO_LMS) * factor[:, None, :]
    before = np.broadcast_to(_RGB_TO_LMS / _LAMP, matrix.shape)
    return _assessable(density, angle), _rows(before), _rows(matrix), _rows(after)


def _rows(matrices: np.ndarray) -> np.ndarray:
    """Transposed matrices, float32[n, 3, 3]: they are derived for column vectors, but pixels are rows."""
    return np.ascontiguousarray(matrices.transpose(0, 2, 1), np.float32)


def _check(tiles: np.ndarray, method: str) -> None:
    if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[3] != 3:
        raise ConfigError(
            f"stain: tiles are {tiles.dtype}{list(tiles.shape)}; expected uint8[n, height, width, 3]."
        )
    if method not in METHODS:
        raise ConfigError(f"stain: method {method!r}; expected one of {', '.join(METHODS)}.")


def _sample(tiles: np.ndarray) -> np.ndarray:
    """(pixel + 1) / lamp of evenly spaced pixels, float32[n, 3, m]."""
    step = max(1, -(-min(tiles.shape[1:3]) // _SAMPLE_SIDE))
    pixels = tiles[:, step // 2 :: step, step // 2 :: step].reshape(len(tiles), -1, 3).transpose(0, 2, 1)
    return (pixels.astype(np.float32) + 1) / np.float32(_LAMP)


def _stain_vectors(density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of the two stains, float64[n, 2, 3], and the angle between them, float64[n]."""
    stained = _dense(density)
    count = np.maximum(stained.sum(axis=1), 1)
    held = density * stained[:, None]
    mean = held.sum(axis=2) / count[:, None]
    centred = (density - mean[:, :, None]) * stained[:, None]
    moments = np.matmul(centred, centred.transpose(0, 2, 1)).astype(np.float64)
    axes = np.linalg.eigh(moments / count[:, None, None])[1][:, :, :0:-1]  # largest, second: [n, 3, 2]
    sign = np.where((axes * mean[:, :, None]).sum(axis=1) < 0, -1.0, 1.0)  # towards the stained pixels
    axes = axes * sign[:, None, :]
    plane = np.matmul(axes.transpose(0, 2, 1).astype(np.float32), density)
    slopes = plane[:, 1] / np.maximum(plane[:, 0], np.float32(1e-6))  # ordered as the angles are
    slopes[~stained] = np.inf
    slopes.sort(axis=1)
    ends = np.arctan(np.stack([_quantile(slopes, count, q / 100) for q in (_ALPHA, 100 - _ALPHA)], axis=1))
    vectors = np.cos(ends)[..., None] * axes[:, None, :, 0] + np.sin(ends)[..., None] * axes[:, None, :, 1]
    flipped = vectors[:, 0, 0] < vectors[:, 1, 0]  # haematoxylin absorbs more red than eosin
    vectors[flipped] = vectors[flipped][:, ::-1]
    return vectors, ends[:, 1] - ends[:, 0]


def _quantile(ordered: np.ndarray, count: np.ndarray, q: float) -> np.ndarray:
    """Linear quantile of the first `count` values of each sorted row."""
    at = q * (count - 1)
    low = np.floor(at).astype(int)
    rows = np.arange(len(ordered))
    a, b = ordered[rows, low], ordered[rows, np.minimum(low + 1, count - 1)]
    a, b = (np.where(np.isfinite(v), v, 0.0) for v in (a, b))  # rows without any value
    return np.asarray(a + (b - a) * (at - low), np.float64)


def _dense(density: np.ndarray) -> np.ndarray:
    """Pixels that absorb in every channel, bool[n, m]; stain vectors are fitted to these."""
    return np.minimum(np.minimum(density[:, 0], density[:, 1]), density[:, 2]) >= _BETA


def _unmixing(stains: np.ndarray) -> np.ndarray:
    return np.linalg.pinv(stains.transpose(0, 2, 1))


def _strength(density: np.ndarray, stains: np.ndarray) -> np.ndarray:
    """99th percentile of the concentration of each stain, float64[n, 2]."""
    amounts = np.matmul(_unmixing(stains).astype(np.float32), density)
    amounts.sort(axis=2)
    counts = np.full(len(amounts), amounts.shape[2])
    return np.stack([_quantile(amounts[:, i], counts, 0.99) for i in range(2)], axis=1)


def _assessable(density: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Tiles with enough stain, of two kinds, and not covered by ink, bool[n]."""
    few = np.ascontiguousarray(density[:, :, ::3])
    share = (few.mean(axis=1) >= _BETA).mean(axis=1)
    enough = (share >= _LEAST_STAINED) & (_dense(few).mean(axis=1) >= _LEAST_FITTED)
    decadic = np.clip(few, 0, None) / np.float32(np.log(10))
    ink = is_ink(decadic.transpose(0, 2, 1)).mean(axis=1)
    return enough & (ink <= _MOST_INK) & (angle >= _LEAST_ANGLE)


def _colour_moments(light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of l, alpha, beta (natural logarithms), float64[n, 3] each."""
    lms = np.log(np.matmul(_RGB_TO_LMS.astype(np.float32), light))
    lab = np.matmul(_LMS_TO_LAB.astype(np.float32), lms)
    mean = lab.mean(axis=2, keepdims=True)
    lab -= mean
    return mean[..., 0].astype(np.float64), np.sqrt((lab * lab).mean(axis=2, dtype=np.float64))


def _recolour(
    tile: np.ndarray,
    out: np.ndarray,
    before: np.ndarray,
    matrix: np.ndarray,
    after: np.ndarray,
    *,
    scratch: np.ndarray,
) -> None:
    """Recolour a tile into `out`: pixels + 1 are mixed by `before`, raised to the powers in `matrix`, and mixed by `after`.

    Each of the three is float32[3, 3]. Where `before` and `after` are empty, intensities are divided by the lamp's
    before taking powers and multiplied by it afterwards.
    """
    source, target = tile.reshape(-1, 3), out.reshape(-1, 3)
    for start in range(0, len(source), _BAND):
        band = slice(start, start + _BAND)
        _recolour_band(source[band], target[band], before, matrix, after, scratch=scratch)


def _recolour_band(
    source: np.ndarray,
    target: np.ndarray,
    before: np.ndarray,
    matrix: np.ndarray,
    after: np.ndarray,
    *,
    scratch: np.ndarray,
) -> None:
    if before.size:
        values = _mixed_powers(source, before, matrix, after, scratch=scratch)
    else:
        pixels, values = (buffer[: 3 * len(source)].reshape(-1, 3) for buffer in scratch)
        np.add(source, np.float32(1), out=pixels)
        pixels *= np.float32(1 / _LAMP)
        np.log(pixels, out=pixels)
        np.matmul(pixels, matrix, out=values)
        np.exp(values, out=values)
        values *= np.float32(_LAMP)
        values -= np.float32(0.5)  # - 1, and + 0.5 to round
    np.clip(values, 0, 255, out=values)
    np.copyto(target, values, casting="unsafe")


def _mixed_powers(
    source: np.ndarray, before: np.ndarray, matrix: np.ndarray, after: np.ndarray, *, scratch: np.ndarray
) -> np.ndarray:
    """Colours as `_recolour` describes them, minus 0.5, float32[n, 3]; by planes, mixing takes a quarter of the time."""
    n = len(source)
    planes, mixed = (buffer[: 4 * n].reshape(4, n) for buffer in scratch)
    np.add(source.T, np.float32(1), out=planes[:3])
    np.matmul(before.T, planes[:3], out=mixed[:3])
    np.log(mixed[:3], out=mixed[:3])
    np.matmul(matrix.T, mixed[:3], out=planes[:3])
    np.exp(planes[:3], out=planes[:3])
    planes[3] = -0.5  # - 1, and + 0.5 to round
    weights = np.concatenate([after, np.ones((1, 3), np.float32)])
    values: np.ndarray = np.matmul(planes.T, weights, out=scratch[1, : 3 * n].reshape(n, 3))
    return values
