"""Growing, shrinking and labelling of masks, smoothing: what SciPy's image package does, without its import.

That import costs more than all the tissue of a slide. Pieces and smoothing agree with SciPy to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BAND = 16


def dilated(mask: np.ndarray, radius: int) -> np.ndarray:
    """A mask grown by an octagon of `radius` pixels, bool[h, w]; beyond the edge is nothing.

    Steps of a cross and of a square by turns.
    """
    out = np.packbits(mask, axis=1)  # eight pixels a byte
    for step in range(radius):
        wide = out | (out + out) | (out >> 1)
        wide[:, :-1] |= out[:, 1:] >> 7
        wide[:, 1:] |= out[:, :-1] << 7
        tall = wide.copy() if step % 2 else out  # the second axis of a square sees what the first has grown
        wide[1:] |= tall[:-1]
        wide[:-1] |= tall[1:]
        out = wide
    return np.unpackbits(out, axis=1, count=mask.shape[1]).view(bool)


def eroded(mask: np.ndarray, radius: int) -> np.ndarray:
    """A mask shrunk by an octagon; what lies beyond the edge counts as inside."""
    shrunk: np.ndarray = ~dilated(~mask, radius)
    return shrunk


def closed(mask: np.ndarray, radius: int) -> np.ndarray:
    """Without gaps narrower than two radii; what lies between a mask and the edge is no gap, for nothing is beyond it."""
    room = ((radius, radius), (radius, radius))
    whole = eroded(dilated(np.pad(mask, room), radius), radius)
    return whole[radius : radius + mask.shape[0], radius : radius + mask.shape[1]]


def opened(mask: np.ndarray, radius: int) -> np.ndarray:
    """Without parts narrower than two radii."""
    return dilated(eroded(mask, radius), radius)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """The connected pieces of a mask, neighbours across edges, in the order of their first pixels.

    Attributes
    ----------
    shape
        (h, w) of the mask.
    runs
        int[2, r]: where runs of pixels start and end in the mask with a column before its first.
    number
        int[r]: the piece of each run, from 0.
    areas
        int[n]: pixels.
    boxes
        int[n, 4]: top, left, bottom, right; the last two exclusive.
    """

    shape: tuple[int, int]
    runs: np.ndarray
    number: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray

    def chosen(self, keep: np.ndarray) -> np.ndarray:
        """The pieces that bool[n] says, as bool[h, w]."""
        height, width = self.shape
        marks = np.zeros(height * (width + 1) + 1, np.int8)
        start, stop = self.runs[:, keep[self.number]]
        marks[start], marks[stop] = 1, -1
        inside = np.cumsum(marks[:-1], dtype=np.int8).view(bool)
        return np.asarray(inside.reshape(height, width + 1)[:, 1:])


def pieces(mask: np.ndarray) -> Pieces:
    """Connected pieces of bool[h, w]: runs of pixels in rows, joined where they touch those of the next row."""
    height, width = mask.shape
    line = np.zeros(height * (width + 1) + 2, bool)  # a gap before each row: runs end with it
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
    """For each run the first run of its piece; `stride` leads to the pixel below."""
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
    """Gaussian smoothing of float32[h, w], four sigma wide, mirrored at the edges."""
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    kernel /= kernel.sum()
    rows, columns = (np.pad(np.arange(n), radius, mode="symmetric") for n in values.shape)
    out = np.empty_like(values)
    for top in range(0, len(values), _BAND):  # in the cache
        band = values[rows[top : top + _BAND + 2 * radius]].astype(np.float64)
        once = _taps(band, kernel).astype(np.float32)
        out[top : top + _BAND] = _taps(once.T[columns].astype(np.float64), kernel).T
    return out


def _taps(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Weighted sums along the first axis of as many neighbours as the kernel has, in SciPy's order."""
    radius = len(kernel) // 2
    n = len(values) - 2 * radius
    total = values[radius : radius + n] * kernel[radius]
    for i in range(radius):
        pair = values[i : i + n] + values[2 * radius - i : 2 * radius - i + n]
        pair *= kernel[i]
        total += pair
    return np.asarray(total)
