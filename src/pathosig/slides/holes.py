"""Reading parts of a slide in which some pixels cannot be decoded; these pixels are white."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.reader import SlideReader

_SMALLEST = 32
"""Parts with at most this side, in pixels, are trimmed instead of halved, for readers that do not know their tiles."""

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of a level."""

Lattice = tuple[int, int, int, int]
"""x and y of the corner of a tile, and width and height of all tiles, in pixels of a level."""


@dataclass(slots=True)
class Attempts:
    """Number of further reads that may fail before failing parts are given up without division, as in badly damaged slides."""

    left: int = 1_000


def read_with_holes(
    reader: SlideReader, level: int, box: Box, *, attempts: Attempts | None = None
) -> tuple[np.ndarray, int]:
    """Pixels of a part of a level, and the number of pixels that cannot be decoded, which are white.

    Readers that decode tiles themselves have a method of this name, which leaves out lost tiles. For other readers a part that
    fails is divided in two. Readers that know their tiles (`lattice`) are divided between tiles; otherwise a part is halved until
    it is small, and then what can be read is trimmed off its four sides. In all cases only the pixels of lost tiles are lost.

    Parameters
    ----------
    reader
        An opened slide.
    level
        Number of the level.
    box
        (x, y, width, height) in pixels of the level; pixels outside the slide are white and do not count as lost.
    attempts
        Allowed failures, which may be shared by the parts of an image; by default 1,000.

    Returns
    -------
    (uint8[height, width, 3], pixels lost)

    Raises
    ------
    SlideError
        E_READ if the disk keeps failing.

    Examples
    --------
    >>> class Cut:
    ...     def read_level(self, level, x, y, width, height):
    ...         if x + width > 50:
    ...             raise SlideError("lost", code="E_PIXELS")
    ...         return np.zeros((height, width, 3), np.uint8)
    >>> pixels, lost = read_with_holes(Cut(), 0, (0, 0, 64, 32))
    >>> pixels.shape, lost
    ((32, 64, 3), 448)
    """
    by_tiles = getattr(reader, "read_with_holes", None)
    if by_tiles is not None:
        pixels, lost = by_tiles(level, *box)
        return np.asarray(pixels), int(lost)
    lattice = getattr(reader, "lattice", None)
    return _in_halves(reader, level, box, None if lattice is None else lattice(level), attempts or Attempts())


def _in_halves(
    reader: SlideReader, level: int, box: Box, lattice: Lattice | None, attempts: Attempts
) -> tuple[np.ndarray, int]:
    try:
        return reader.read_level(level, *box), 0
    except SlideError as error:
        if error.code == "E_READ":
            raise
    x, y, width, height = box
    out = np.full((height, width, 3), 255, np.uint8)
    attempts.left -= 1
    cut = _cut(box, lattice) if attempts.left > 0 else None
    if cut is None:
        if lattice is not None or attempts.left <= 0:
            return out, width * height
        return out, _trimmed(reader, level, box, out, attempts)
    lost = 0
    for left, top, w, h in cut:
        part, more = _in_halves(reader, level, (left, top, w, h), lattice, attempts)
        out[top - y : top - y + h, left - x : left - x + w] = part
        lost += more
    return out, lost


def _trimmed(reader: SlideReader, level: int, box: Box, out: np.ndarray, attempts: Attempts) -> int:
    """Write the columns and rows at the sides of a box that can be read, and return the number of pixels between them.

    A strip can be read if it does not touch a lost tile, so that the widest strip at each side is found by bisection.
    """
    x, y, width, height = box
    left, top, right, bottom = 0, 0, width, height

    def read(a: int, b: int, c: int, d: int) -> bool:
        try:
            out[b:d, a:c] = reader.read_level(level, x + a, y + b, c - a, d - b)
        except SlideError as error:
            if error.code == "E_READ":
                raise
            attempts.left -= 1
            return False
        return True

    left += _widest(right - left, lambda n: read(left, top, left + n, bottom))
    right -= _widest(right - left, lambda n: read(right - n, top, right, bottom))
    top += _widest(bottom - top, lambda n: read(left, top, right, top + n))
    bottom -= _widest(bottom - top, lambda n: read(left, bottom - n, right, bottom))
    return (right - left) * (bottom - top)


def _widest(side: int, can_be_read: Callable[[int], bool]) -> int:
    """Largest width below `side` that can be read; if a width can be read, so can all smaller ones.

    Examples
    --------
    >>> [_widest(32, lambda n, most=most: n <= most) for most in (0, 1, 13, 31)]
    [0, 1, 13, 31]
    """
    low, high = 0, side
    while high - low > 1:
        n = (low + high) // 2 if low else 1  # inside a hole not even the first column can be read
        if can_be_read(n):
            low = n
        else:
            high = n
    return low


def _cut(box: Box, lattice: Lattice | None) -> tuple[Box, Box] | None:
    """Two parts of a box, divided across its longer side; None if it cannot be divided any more."""
    x, y, width, height = box
    if lattice is None:
        if max(width, height) <= _SMALLEST:
            return None
        across, down = width // 2, height // 2
    else:
        across, down = (
            _middle(start, side, origin, step)
            for start, side, origin, step in ((x, width, *lattice[::2]), (y, height, *lattice[1::2]))
        )
        if not across and not down:
            return None
    if across and (width >= height or not down):
        return (x, y, across, height), (x + across, y, width - across, height)
    return (x, y, width, down), (x, y + down, width, height - down)


def _middle(start: int, side: int, origin: int, step: int) -> int:
    """Position at which a side is divided: the border of tiles nearest to its middle; 0 if the side lies within one tile.

    Examples
    --------
    >>> _middle(0, 1000, 0, 256), _middle(100, 200, 0, 256), _middle(256, 256, 0, 256)
    (512, 156, 0)
    """
    first, last = (start - origin) // step + 1, (start + side - 1 - origin) // step
    if first > last:
        return 0
    nearest = round((start + side / 2 - origin) / step)
    return int(min(max(nearest, first), last) * step + origin - start)
