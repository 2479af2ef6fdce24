"""Pen marks, told from H&E by how they absorb."""

from __future__ import annotations

import numpy as np

from pathosig.tissue.morphology import dilated, opened


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
    planes = [np.ascontiguousarray(density[..., i]) for i in range(3)]
    total = planes[0] + planes[1] + planes[2]
    out = np.zeros(total.shape, bool)
    strong = np.flatnonzero(total > 0.35)  # no other pixel can be ink
    out.reshape(-1)[strong] = _is_ink(*(plane.take(strong) for plane in planes))
    return out


def _is_ink(r: np.ndarray, g: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The same for float32[n] per colour, where they absorb at all."""
    total = r + g + b
    scale = 1 / total
    share_r, share_g, share_b = r * scale, g * scale, b * scale
    low, high = np.minimum(np.minimum(r, g), b), np.maximum(np.maximum(r, g), b)
    blue_ink = (share_r > 0.46) & (share_b < 0.24)
    green_ink = (share_g < 0.30) & (share_r > 0.36)
    red_ink = (share_r < 0.14) & (share_b > 0.40) & (total > 0.6)
    yellow_ink = share_b > 0.62
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
    return strokes(is_ink(density))


def strokes(ink: np.ndarray) -> np.ndarray:
    """Ink that is no single pixel, as nuclei and dust are here, with a rim, bool[h, w]."""
    return dilated(opened(ink, 1), 2) if ink.any() else ink
