"""Pen marks, which are distinguished from H&E by their colour."""

from __future__ import annotations

import numpy as np

from pathosig.tissue.morphology import dilated, opened


def is_ink(density: np.ndarray) -> np.ndarray:
    """Whether the colour of each pixel cannot be a mixture of haematoxylin and eosin.

    H&E absorbs green most: the optical density of green is higher than that of red and of blue. Blue, green and black ink
    have other proportions, and red ink absorbs green and blue equally.

    Parameters
    ----------
    density
        float32[..., 3]: decadic optical densities of red, green and blue.

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
    """`is_ink` of pixels that absorb light, given as float32[n] of each colour."""
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
    """Mask of pen marks: strokes of ink with a margin.

    Parameters
    ----------
    density
        float32[h, w, 3]: decadic optical densities, as for `is_ink`.

    Returns
    -------
    bool[h, w]
    """
    return strokes(is_ink(density))


def strokes(ink: np.ndarray) -> np.ndarray:
    """Ink without single pixels, which may be nuclei or dust, with a margin of two pixels: bool[h, w]."""
    return dilated(opened(ink, 1), 2) if ink.any() else ink
