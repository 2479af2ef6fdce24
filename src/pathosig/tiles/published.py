"""The published tiling rule: a grid of 23 x 23 tiles over the image of a core, of which the dark ones are kept."""

from __future__ import annotations

import numpy as np

from pathosig.slides.otsu import otsu
from pathosig.tiles.grid import tissue_fraction

PICTURE_PX = 5000
"""Longer side, in pixels, to which the published procedure scales the image of a core."""

TILE_PX = 224
LOOK_PX = 1250
"""Longer side of the image on which darkness is measured here; a smaller image leaves the mean of a tile as it is."""

_BELOW_OTSU = 15.0


def published_mpp(size: tuple[int, int], mpp: float) -> float:
    """Micrometres per pixel of an image whose longer side is scaled to 5,000 pixels.

    Parameters
    ----------
    size
        (width, height) in level-0 pixels.
    mpp
        Micrometres per level-0 pixel.

    Returns
    -------
    float

    References
    ----------
    Zhang et al. (2024), npj Digital Medicine.

    Examples
    --------
    >>> published_mpp((10_000, 10_000), 0.25)
    0.5
    """
    return mpp * max(size) / PICTURE_PX


def published_grid(size: tuple[int, int]) -> np.ndarray:
    """Corners of the published grid of tiles of 224 x 224 pixels.

    The last row and column end at the edge of the image; in a square image they overlap their neighbours by 152 of
    the 224 pixels.

    Parameters
    ----------
    size
        (width, height) in level-0 pixels; the longer side corresponds to 5,000 pixels of the scaled image.

    Returns
    -------
    int32[n, 2]
        (x, y) of the corners in level-0 pixels, row by row.

    References
    ----------
    Zhang et al. (2024), npj Digital Medicine.

    Examples
    --------
    >>> len(published_grid((5000, 5000)))
    529
    >>> published_grid((5000, 5000))[-2:].tolist()
    [[4704, 4776], [4776, 4776]]
    """
    scale = max(size) / PICTURE_PX
    axes = []
    for length in size:
        side = length / scale
        if side < TILE_PX:
            return np.empty((0, 2), np.int32)
        corners = np.arange(0, side - TILE_PX + 1e-6, TILE_PX)
        if side - TILE_PX - corners[-1] > 0.5:
            corners = np.append(corners, side - TILE_PX)
        axes.append(np.floor(corners * scale + 1e-6))
    xx, yy = np.meshgrid(*axes)
    return np.stack([xx.ravel(), yy.ravel()], axis=1).astype(np.int32)


def darkness(rgb: np.ndarray, xy: np.ndarray, tile: float, downsample: float) -> tuple[np.ndarray, float]:
    """Mean darkness of tiles, and the darkness above which the published rule keeps a tile.

    Parameters
    ----------
    rgb
        uint8[h, w, 3]: the image of a core, scaled down.
    xy, tile
        int[n, 2] corners and side in level-0 pixels.
    downsample
        Level-0 pixels per pixel of `rgb`.

    Returns
    -------
    darkness
        float32[n] in 0..255: mean of 255 - value over the pixels and the three colours of a tile.
    threshold
        Otsu's threshold of the darkness of all pixels, less 15.

    Notes
    -----
    The rule keeps a tile if ``sum(255 - value) > (Otsu - 15) * 224**2 * 3``. It judges how dark a tile is, not how
    much of it is tissue: pale stroma is left out, whereas a few dark nuclei on glass are kept.

    References
    ----------
    Zhang et al. (2024), npj Digital Medicine. Otsu (1979), IEEE Trans. SMC 9(1).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> picture = rng.integers(225, 250, (100, 100, 3)).astype(np.uint8)
    >>> picture[:, :50] = rng.integers(60, 200, (100, 50, 3))
    >>> values, threshold = darkness(picture, np.array([[0, 0], [60, 0]]), 40, 1.0)
    >>> (values > threshold).tolist()
    [True, False]
    """
    dark = 255 - rgb
    counts = np.bincount(dark.ravel(), minlength=256).astype(float)
    means = tissue_fraction(dark.mean(axis=2, dtype=np.float32) / 255, xy, tile, downsample) * 255
    return means, float(otsu(counts, np.arange(256.0))) - _BELOW_OTSU
