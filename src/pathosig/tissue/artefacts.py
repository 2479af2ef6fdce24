"""Pen marks, told from H&E by how they absorb."""

from __future__ import annotations

import numpy as np

from pathosig.tissue.morphology import dilated, opened

_BAND = 64


def is_ink(density: np.ndarray) -> np.ndarray:
    """Which pixels have colours that haematoxylin and eosin cannot mix, each by itself.

    H&E absorbs green most: the optical density of green is above that of red and blue. Blue, green
    and black ink are elsewhere; red ink absorbs green and blue alike.

    Parameters
    ----------
    density
        float32[..., 3]: optical densities (decadic) of red, green, blue.

    Returns
    -------
    bool[...]
    """
    r, g, b = (np.ascontiguousarray(density[..., i]) for i in range(3))
    total = r + g + b
    strong = total > 0.35
    scale = 1 / np.maximum(total, 1e-6)
    share_r, share_g, share_b = r * scale, g * scale, b * scale
    low, high = np.minimum(np.minimum(r, g), b), np.maximum(np.maximum(r, g), b)
    blue_ink = strong & (share_r > 0.46) & (share_b < 0.24)
    green_ink = strong & (share_g < 0.30) & (share_r > 0.36)
    red_ink = strong & (share_r < 0.14) & (share_b > 0.40) & (total > 0.6)
    yellow_ink = strong & (share_b > 0.62)
    black_ink = (low > 0.45) & (high - low < 0.22 * high)
    return np.asarray(blue_ink | green_ink | red_ink | yellow_ink | black_ink)


def pen_mask(density: np.ndarray) -> np.ndarray:
    """Which pixels are pen: ink in strokes, with a rim.

    Parameters
    ----------
    density
        float32[h, w, 3]: see `is_ink`.

    Returns
    -------
    bool[h, w]
    """
    ink = np.empty(density.shape[:2], bool)
    for top in range(0, len(ink), _BAND):  # a dozen temporary arrays: keep them small
        ink[top : top + _BAND] = is_ink(density[top : top + _BAND])
    if not ink.any():
        return ink
    return dilated(opened(ink, 1), 2)  # nuclei and dust are single pixels here
