"""Growing, shrinking and labelling of masks, smoothing: what SciPy's image package does, without its import.

That import costs more than all the tissue of a slide. Pieces and smoothing agree with SciPy to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BAND = 32


def dilated(mask: np.ndarray, radius: int) -> np.ndarray:
    """A mask grown by an octagon of `radius` pixels, bool[h, w]; beyond the edge is nothing.

    Steps of a cross and of a square by turns.
    """
    out = mask
    for step in range(radius):
        grown = out.copy()
        source = out if step % 2 == 0 else grown  # the second axis of a square sees what the first has grown
        grown[1:] |= out[:-1]
        grown[:-1] |= out[1:]
        source = source.copy() if source is grown else source
        grown[:, 1:] |= source[:, :-1]
        grown[:, :-1] |= source[:, 1:]
        out = grown
    return out if radius else mask.copy()


def eroded(mask: np.ndarray, radius: int) -> np.ndarray:
    """A mask shrunk by an octagon; what lies beyond the edge counts as inside."""
    shrunk: np.ndarray = ~dilated(~mask, radius)
    return shrunk


def closed(mask: np.ndarray, radius: int) -> np.ndarray:
    """Without gaps narrower than two radii."""
    return eroded(dilated(mask, radius), radius)


def opened(mask: np.ndarray, radius: int) -> np.ndarray:
    """Without parts narrower than two radii."""
    return dilated(eroded(mask, radius), radius)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """The connected pieces of a mask, neighbours across edges, in the order of their first pixels.

    Attributes
    ----------
    labels
        int32[h, w]: 0 outside, else the number of the piece, from 1.
    areas
        int[n]: pixels.
    boxes
        int[n, 4]: top, left, bottom, right; the last two exclusive.
    """

    labels: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray

    def chosen(self, keep: np.ndarray) -> np.ndarray:
        """The pieces that bool[n] says, as bool[h, w]."""
        return np.asarray(np.concatenate([[False], keep])[self.labels])


def pieces(mask: np.ndarray) -> Pieces:
    """Connected pieces of bool[h, w]: runs of pixels in rows, joined where they touch those of the next row."""
    height, width = mask.shape
    line = np.zeros(height * (width + 1) + 2, np.int8)  # a gap before each row: runs end with it
    line[1:-1].reshape(height, width + 1)[:, 1:] = mask
    steps = np.diff(line)
    start, stop = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    parent = _joined(start, stop, width + 1)
    roots, number = np.unique(parent, return_inverse=True)
    marks = np.zeros(height * (width + 1), np.int32)
    marks[start] = number + 1
    ends = stop < len(marks)
    marks[stop[ends]] -= number[ends] + 1
    labels = np.cumsum(marks, dtype=np.int32).reshape(height, width + 1)[:, 1:]
    row, n = start // (width + 1), len(roots)
    boxes = np.empty((n, 4), np.int64)
    boxes[:, :2], boxes[:, 2:] = max(height, width), 0
    for column, values in enumerate((row, start % (width + 1) - 1)):
        np.minimum.at(boxes[:, column], number, values)
    for column, values in enumerate((row + 1, (stop - 1) % (width + 1)), start=2):
        np.maximum.at(boxes[:, column], number, values)
    areas = np.bincount(number, stop - start, minlength=n).astype(np.int64)
    return Pieces(labels=labels, areas=areas, boxes=boxes)


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
    tall = np.pad(values, ((radius, radius), (0, 0)), mode="symmetric")
    out = np.empty_like(values)
    for top in range(0, len(values), _BAND):  # in the cache
        part = tall[top : top + _BAND + 2 * radius].astype(np.float64)
        once = _taps(part, kernel).astype(np.float32)
        wide = np.pad(once, ((0, 0), (radius, radius)), mode="symmetric").astype(np.float64)
        out[top : top + _BAND] = _taps(wide.T, kernel).T
    return out


def _taps(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Weighted sums along the first axis of as many neighbours as the kernel has, in SciPy's order."""
    radius = len(kernel) // 2
    n = len(values) - 2 * radius
    total = values[radius : radius + n] * kernel[radius]
    for i in range(radius):
        total += (values[i : i + n] + values[2 * radius - i : 2 * radius - i + n]) * kernel[i]
    return np.asarray(total)
