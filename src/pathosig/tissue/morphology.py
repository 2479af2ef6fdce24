"""Dilation, erosion and labelling of masks, and Gaussian smoothing, without importing scipy.ndimage.

This import would take longer than detecting the tissue of a slide. Labelling and smoothing agree exactly with SciPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BAND = 16


def dilated(mask: np.ndarray, radius: int) -> np.ndarray:
    """Dilation of a mask by an octagon of `radius` pixels, bool[h, w]; outside the image the mask is empty.

    Steps with a cross and steps with a square alternate.
    """
    out = np.packbits(mask, axis=1)  # eight pixels per byte
    for step in range(radius):
        wide = out | (out + out) | (out >> 1)
        wide[:, :-1] |= out[:, 1:] >> 7
        wide[:, 1:] |= out[:, :-1] << 7
        tall = (
            wide.copy() if step % 2 else out
        )  # in a square step the second axis starts from the result of the first
        wide[1:] |= tall[:-1]
        wide[:-1] |= tall[1:]
        out = wide
    return np.unpackbits(out, axis=1, count=mask.shape[1]).view(bool)


def eroded(mask: np.ndarray, radius: int) -> np.ndarray:
    """Erosion of a mask by an octagon of `radius` pixels, bool[h, w]; outside the image the mask is full."""
    shrunk: np.ndarray = ~dilated(~mask, radius)
    return shrunk


def closed(mask: np.ndarray, radius: int) -> np.ndarray:
    """Closing, which fills gaps narrower than two radii; gaps between the mask and the edge of the image are not filled."""
    room = ((radius, radius), (radius, radius))
    whole = eroded(dilated(np.pad(mask, room), radius), radius)
    return whole[radius : radius + mask.shape[0], radius : radius + mask.shape[1]]


def opened(mask: np.ndarray, radius: int) -> np.ndarray:
    """Opening, which removes parts narrower than two radii."""
    return dilated(eroded(mask, radius), radius)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """The 4-connected components of a mask, in the order of their first pixels.

    Attributes
    ----------
    shape
        (h, w) of the mask.
    runs
        int[2, r]: start and end of each horizontal run of pixels, as flat positions in a mask with one column more on the left.
    number
        int[r]: component of each run, from 0.
    areas
        int[n]: area of each component in pixels.
    boxes
        int[n, 4]: top, left, bottom and right of each component; bottom and right are exclusive.
    """

    shape: tuple[int, int]
    runs: np.ndarray
    number: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray

    def chosen(self, keep: np.ndarray) -> np.ndarray:
        """Mask of the components that `keep`, bool[n], selects: bool[h, w]."""
        height, width = self.shape
        marks = np.zeros(height * (width + 1) + 1, np.int8)
        start, stop = self.runs[:, keep[self.number]]
        marks[start], marks[stop] = 1, -1
        inside = np.cumsum(marks[:-1], dtype=np.int8).view(bool)
        return np.asarray(inside.reshape(height, width + 1)[:, 1:])


def pieces(mask: np.ndarray) -> Pieces:
    """The 4-connected components of bool[h, w], from runs of pixels that are joined if they touch runs of the next row."""
    height, width = mask.shape
    line = np.zeros(
        height * (width + 1) + 2, bool
    )  # a gap before each row, so that no run continues in the next
    line[1:-1].reshape(height, width + 1)[:, 1:] = mask
    runs = np.flatnonzero(line[1:] != line[:-1]).reshape(-1, 2).T
    start, stop = runs
    parent = _joined(start, stop, width + 1)
    roots, number = np.unique(parent, return_inverse=True)
    row, n = start // (width + 1), len(roots)
    boxes = np.empty((n, 4), np.int64)
    boxes[:, :2], boxes[:, 2:] = max(height, width), 0
    for column, values in enumerate((row, start % (width + 1) - 1)):
        np.minimum.at(boxes[:, column], number, values)
    for column, values in enumerate((row + 1, (stop - 1) % (width + 1)), start=2):
        np.maximum.at(boxes[:, column], number, values)
    areas = np.bincount(number, stop - start, minlength=n).astype(np.int64)
    return Pieces(shape=(height, width), runs=runs, number=number, areas=areas, boxes=boxes)


def _joined(start: np.ndarray, stop: np.ndarray, stride: int) -> np.ndarray:
    """For each run, the first run of its component; `stride` is the distance to the pixel below."""
    first = np.searchsorted(stop, start + stride, side="right")
    count = np.maximum(np.searchsorted(start, stop + stride, side="left") - first, 0)
    above = np.repeat(np.arange(len(start)), count)
    below = np.repeat(first - (np.cumsum(count) - count), count) + np.arange(len(above))
    parent = np.arange(len(start))
    while True:
        a, b = parent[above], parent[below]
        apart = a != b
        if not apart.any():
            return parent
        above, below, a, b = above[apart], below[apart], a[apart], b[apart]
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(parent, parent[parent]):
            parent = parent[parent]


def smoothed(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian smoothing of float32[h, w]; the kernel ends at four sigma, and the image is mirrored at its edges."""
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    kernel /= kernel.sum()
    rows, columns = (np.pad(np.arange(n), radius, mode="symmetric") for n in values.shape)
    out = np.empty_like(values)
    for top in range(0, len(values), _BAND):  # in bands that fit the processor's cache
        band = values[rows[top : top + _BAND + 2 * radius]].astype(np.float64)
        once = _taps(band, kernel).astype(np.float32)
        out[top : top + _BAND] = _taps(once.T[columns].astype(np.float64), kernel).T
    return out


def _taps(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolution with a symmetric kernel along the first axis; terms are added in the same order as in SciPy."""
    radius = len(kernel) // 2
    n = len(values) - 2 * radius
    total = values[radius : radius + n] * kernel[radius]
    for i in range(radius):
        pair = values[i : i + n] + values[2 * radius - i : 2 * radius - i + n]
        pair *= kernel[i]
        total += pair
    return np.asarray(total)
