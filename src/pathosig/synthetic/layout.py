"""The layout of a simulated slide: where there is tissue, and of which type."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pathosig.tiles.grid import tissue_fraction

TILE = 224
_SCALE = 8
"""Level-0 pixels per pixel of the label map."""

REGION_TILES = 5
_BLUR_PX = 3
"""Radius of the filter that smooths outlines, in pixels of the label map."""


def slide_size(tiles: int, tile: int = TILE) -> tuple[int, int]:
    """(width, height) in level-0 pixels of a slide with room for about `tiles` tiles of tissue of side `tile`."""
    area = tiles * tile * tile * 1.35
    side = int(np.sqrt(area / 0.62))
    return (side // 16 + 1) * 16, int(side * 0.95) // 16 * 16


CORE_REGION_PX = 2 * TILE
"""Regions of a core are two tiles wide, so that a core contains several tissue types."""


def label_map(
    size: tuple[int, int], shares: np.ndarray, rng: np.random.Generator, *, tile: int = TILE
) -> np.ndarray:
    """Tissue type of every pixel of a slide, at 1/8 of its size.

    Regions of one type have random curved outlines and are about five tiles wide; neither they nor the piece of tissue
    are aligned with the grid of tiles.

    Parameters
    ----------
    size
        (width, height) in level-0 pixels.
    shares
        float[types]: intended shares of the types. Each region is more likely to get a type that still lacks area.
    rng
        Generator for outlines and types.
    tile
        Side of a tile in level-0 pixels.

    Returns
    -------
    uint8[h, w]
        0 for glass, 1 + type for tissue.
    """
    width, height = size[0] // _SCALE, size[1] // _SCALE
    yy, xx = np.mgrid[:height, :width].astype(np.float32)
    cx, cy = width * rng.uniform(0.47, 0.53), height * rng.uniform(0.47, 0.53)
    angle = np.arctan2(yy - cy, xx - cx)
    radius = np.hypot((xx - cx) / (0.46 * width), (yy - cy) / (0.46 * height))
    outline = 0.97 + sum(
        0.035 * rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 6)
    )
    tissue = radius < np.minimum(outline, 1.04)
    return np.where(tissue, _regions(tissue, shares, REGION_TILES * tile / _SCALE, rng) + 1, 0).astype(
        np.uint8
    )


def core_label_map(
    side: int, proportions: np.ndarray, rng: np.random.Generator, *, torn: bool = False
) -> np.ndarray:
    """Tissue type of every pixel of a microarray core, at 1/8 of the size of its slide.

    Parameters
    ----------
    side
        Diameter of the core in pixels of the label map.
    proportions
        float[types]: intended proportions of the tissue types.
    rng
        Generator for outlines and types.
    torn
        Whether one side of the core is missing.

    Returns
    -------
    uint8[side, side]
        0 for glass, 1 + type for tissue.
    """
    yy, xx = np.mgrid[:side, :side].astype(np.float32) - (side - 1) / 2
    angle = np.arctan2(yy, xx)
    outline = 0.94 + 0.02 * np.cos(3 * angle + rng.uniform(0, 2 * np.pi))
    tissue = np.hypot(xx, yy) < outline * side / 2
    if torn:
        direction = rng.uniform(0, 2 * np.pi)
        tissue &= xx * np.cos(direction) + yy * np.sin(direction) < 0.15 * side
    return np.where(tissue, _regions(tissue, proportions, CORE_REGION_PX / _SCALE, rng) + 1, 0).astype(
        np.uint8
    )


def _regions(tissue: np.ndarray, shares: np.ndarray, spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Type of every pixel, int[h, w], in regions with curved outlines whose areas approximate the intended shares."""
    height, width = tissue.shape
    yy, xx = np.mgrid[:height, :width].astype(np.float32)
    centres = _centres(width, height, spacing, rng)
    bend = 0.28 * spacing
    wx = bend * ndimage.gaussian_filter(rng.normal(size=(height, width)), 34)
    wy = bend * ndimage.gaussian_filter(rng.normal(size=(height, width)), 34)
    wx, wy = (bend * w / max(float(w.std()), 1e-9) * 0.5 for w in (wx, wy))
    distance = np.stack([np.hypot(xx + wx - x, yy + wy - y) for x, y in centres])
    owner = distance.argmin(axis=0)
    area = np.bincount(owner[tissue], minlength=len(centres)).astype(float)
    wanted = shares * area.sum()
    kind = np.zeros(len(centres), int)
    for region in np.argsort(-area):
        need = np.clip(wanted, 0, None)
        probability = need**2 / (need**2).sum() if need.sum() > 0 else shares
        kind[region] = rng.choice(len(shares), p=probability)
        wanted[kind[region]] -= area[region]
    return np.asarray(kind[owner])


def _centres(width: int, height: int, spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Centres of regions on a staggered grid with jitter and a random offset, float[n, 2]."""
    offset = rng.uniform(0, spacing, 2)
    points = []
    for row, y in enumerate(np.arange(-spacing, height + spacing, spacing)):
        for x in np.arange(-spacing, width + spacing, spacing):
            shift = 0.5 * spacing * (row % 2)
            points.append((x + shift + offset[0], y + offset[1]))
    jitter = rng.uniform(-0.15, 0.15, (len(points), 2)) * spacing
    return np.array(points) + jitter


def true_shares(labels: np.ndarray, n_types: int) -> np.ndarray:
    """Shares of the types in the tissue of a label map, float[n_types]."""
    counts = np.bincount(labels.ravel(), minlength=n_types + 1)[1 : n_types + 1]
    return np.asarray(counts / max(counts.sum(), 1))


def tile_fractions(labels: np.ndarray, xy: np.ndarray, tile: float, n_types: int) -> np.ndarray:
    """Proportion of each type in tiles.

    Parameters
    ----------
    labels
        uint8[h, w]: label map.
    xy, tile
        Corners, int[n, 2], and side in level-0 pixels.
    n_types
        Number of types.

    Returns
    -------
    float[n, n_types]
        The remainder of each row to 1 is glass.
    """
    return np.stack([tissue_fraction(labels == t + 1, xy, tile, _SCALE) for t in range(n_types)], axis=1)


def enlarge(labels: np.ndarray) -> np.ndarray:
    """The label map at level 0, with smooth outlines, uint8[8 h, 8 w]."""
    out = np.repeat(np.repeat(labels, _SCALE, axis=0), _SCALE, axis=1)
    blocks = out.reshape(labels.shape[0], _SCALE, labels.shape[1], _SCALE)
    reach = 2 * _BLUR_PX + 3  # pixels further away do not contribute to the interpolation
    row, column = np.nonzero(ndimage.maximum_filter(labels, reach) != ndimage.minimum_filter(labels, reach))
    if not len(row):
        return out
    values = np.unique(labels)
    around = np.arange(3)
    shares = []
    for value in values:
        soft = ndimage.gaussian_filter((labels == value).astype(np.float32), 0.8, radius=_BLUR_PX)
        soft = np.pad(soft, 1, mode="edge")
        shares.append(soft[(row[:, None] + around)[:, :, None], (column[:, None] + around)[:, None, :]])
    along = _bilinear_weights()
    grown = np.einsum("ai,vnij,bj->vnab", along, np.stack(shares), along, optimize=True)
    blocks[row, :, column, :] = values[grown.argmax(axis=0)]
    return out


def _bilinear_weights() -> np.ndarray:
    """Bilinear weights of the previous pixel, the pixel and the next pixel, for each of its 8 parts, float32[8, 3]."""
    place = (np.arange(_SCALE) + 0.5) / _SCALE - 0.5
    return np.stack([np.maximum(-place, 0), 1 - np.abs(place), np.maximum(place, 0)], axis=1).astype(
        np.float32
    )
