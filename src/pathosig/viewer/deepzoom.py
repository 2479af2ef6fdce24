"""Geometry of deep-zoom tiles: pure arithmetic on levels, columns and rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

TILE = 512
"""Width of a served tile in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """What to read for one tile.

    Attributes
    ----------
    x, y, width, height
        In level-0 pixels.
    out
        Size of the tile as served, in pixels.
    downsample
        Level-0 pixels per pixel of the tile.
    """

    x: int
    y: int
    width: int
    height: int
    out: tuple[int, int]
    downsample: int


def max_level(width: int, height: int) -> int:
    """The level of full resolution: level 0 is one pixel, each level doubles."""
    return math.ceil(math.log2(max(width, height, 1)))


def tile_region(size: tuple[int, int], level: int, column: int, row: int) -> Region | None:
    """The region of a slide that a tile shows; None when there is no such tile.

    Parameters
    ----------
    size
        Width and height of the slide in level-0 pixels.
    level, column, row
        Address of the tile.
    """
    top = max_level(*size)
    if not 0 <= level <= top or column < 0 or row < 0:
        return None
    downsample = 1 << (top - level)
    x, y = column * TILE * downsample, row * TILE * downsample
    if x >= size[0] or y >= size[1]:
        return None
    width = min(TILE * downsample, size[0] - x)
    height = min(TILE * downsample, size[1] - y)
    out = (max(1, math.ceil(width / downsample)), max(1, math.ceil(height / downsample)))
    return Region(x=x, y=y, width=width, height=height, out=out, downsample=downsample)


def source_level(downsamples: Sequence[float], wanted: float) -> int:
    """The coarsest stored level that is at least as fine as `wanted` (with a little slack for rounding)."""
    fine = [i for i, d in enumerate(downsamples) if d <= wanted * 1.01]
    return max(fine, key=lambda i: downsamples[i]) if fine else 0


def parse_index(text: str) -> int | None:
    """A non-negative decimal number of at most nine ASCII digits, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
