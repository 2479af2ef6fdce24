"""Slides of compressed pieces that may lie anywhere: pieces are found by position, decoded when needed and cached."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends.cache import PieceCache, bytes_kept
from pathosig.slides.reader import ContextClose, SlideInfo

_CELL, _CELLS = 64, 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """Where the pieces of one level lie, in pixels of that level.

    Attributes
    ----------
    x, y, width, height
        int64[n], in pixels of the level.
    number
        int64[n]: the number of each piece in the file. A piece with a higher number is painted over one with a lower
        number.
    """

    x: np.ndarray
    y: np.ndarray
    width: np.ndarray
    height: np.ndarray
    number: np.ndarray

    def sorted_by_y(self) -> Pieces:
        """The same pieces from top to bottom."""
        order = np.argsort(self.y, kind="stable")
        return Pieces(
            x=self.x[order],
            y=self.y[order],
            width=self.width[order],
            height=self.height[order],
            number=self.number[order],
        )

    def touching(self, left: int, top: int, right: int, bottom: int) -> np.ndarray:
        """Positions of the pieces that touch an area, in painting order. The pieces must be sorted by y."""
        first = np.searchsorted(self.y, top - int(self.height.max(initial=0)), side="right")
        last = np.searchsorted(self.y, bottom, side="left")
        near = slice(int(first), int(last))
        hit = (
            (self.y[near] + self.height[near] > top)
            & (self.x[near] < right)
            & (self.x[near] + self.width[near] > left)
        )
        positions = np.flatnonzero(hit) + int(first)
        return positions[np.argsort(self.number[positions], kind="stable")]


def whole_levels(
    levels: tuple[Pieces, ...], downsamples: tuple[float, ...], size: tuple[int, int]
) -> list[int]:
    """The levels that cover all that level 0 covers. A level that lacks a part would show tissue as white.

    Parameters
    ----------
    levels
        Finest first.
    downsamples
        Level-0 pixels per pixel of each level.
    size
        (width, height) of level 0.

    Returns
    -------
    The numbers of these levels; 0 is always among them.

    Examples
    --------
    >>> def pieces(*boxes):
    ...     x, y, width, height = np.array(boxes).T
    ...     return Pieces(x=x, y=y, width=width, height=height, number=np.arange(len(boxes)))
    >>> finest = pieces((0, 0, 512, 512), (512, 0, 512, 512))
    >>> half, quarter = pieces((0, 0, 512, 256)), pieces((0, 0, 128, 128))  # the quarter lacks its right side
    >>> whole_levels((finest, half, quarter), (1.0, 2.0, 4.0), (1024, 512))
    [0, 1]
    """
    step = max(_CELL, -(-max(size) // _CELLS))
    finest = _covered(levels[0], downsamples[0], size, step=step)
    return [0] + [
        number
        for number in range(1, len(levels))
        if not (finest & ~_covered(levels[number], downsamples[number], size, step=step)).any()
    ]


def _covered(pieces: Pieces, downsample: float, size: tuple[int, int], *, step: int) -> np.ndarray:
    """Which cells of `step` level-0 pixels have their centre on a piece, bool[rows, columns]."""
    cells = np.zeros((-(-size[1] // step), -(-size[0] // step)), bool)
    starts, ends = [], []
    for start, length in ((pieces.y, pieces.height), (pieces.x, pieces.width)):
        starts.append(np.maximum(np.ceil(start * downsample / step - 0.5), 0).astype(int))
        ends.append(np.maximum(np.ceil((start + length) * downsample / step - 0.5), 0).astype(int))
    for top, bottom, left, right in zip(starts[0], ends[0], starts[1], ends[1], strict=True):
        cells[top:bottom, left:right] = True
    return cells


class MosaicReader(ContextClose, ABC):
    """A reader whose levels are pieces; `_decode` gives the pixels of one. What no piece covers is white."""

    info: SlideInfo

    def __init__(self, levels: tuple[Pieces, ...]) -> None:
        self._levels = tuple(pieces.sorted_by_y() for pieces in levels)
        self._cache = PieceCache(max(bytes_kept(*self.piece_px(i)) for i in range(len(levels))))

    @abstractmethod
    def _decode(self, number: int) -> np.ndarray:
        """Pixels of a piece, uint8[h, w, 3], of the size its level declares."""

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a level. They are white outside the slide and where nothing is stored.

        Raises
        ------
        SlideError
            E_PIXELS if a piece that the area touches cannot be decoded.
        """
        return self._painted(level, (x, y, width, height), lossy=False)[0]

    def read_with_holes(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, int]:
        """Pixels of a level, white where a piece cannot be decoded, and the number of pixels lost in this way."""
        return self._painted(level, (x, y, width, height), lossy=True)

    def _painted(self, level: int, box: tuple[int, int, int, int], *, lossy: bool) -> tuple[np.ndarray, int]:
        x, y, width, height = box
        out, lost = np.full((height, width, 3), 255, np.uint8), 0
        total_w, total_h = self.info.level_sizes[level]
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, total_w), min(y + height, total_h)
        if x1 <= x0 or y1 <= y0:
            return out, 0
        pieces = self._levels[level]
        for place in pieces.touching(x0, y0, x1, y1):
            px, py = int(pieces.x[place]), int(pieces.y[place])
            left, right = max(px, x0), min(px + int(pieces.width[place]), x1)
            top, bottom = max(py, y0), min(py + int(pieces.height[place]), y1)
            try:
                pixels = self._decoded(int(pieces.number[place]))
            except SlideError as error:
                if not lossy or error.code == "E_READ":
                    raise
                lost += (right - left) * (bottom - top)
                continue
            out[top - y : bottom - y, left - x : right - x] = pixels[
                top - py : bottom - py, left - px : right - px
            ]
        return out, min(lost, width * height)

    def piece_px(self, level: int) -> tuple[int, int]:
        """Largest (width, height) of a level's pieces, in pixels of that level."""
        pieces = self._levels[level]
        return int(pieces.width.max(initial=1)), int(pieces.height.max(initial=1))

    def _decoded(self, number: int) -> np.ndarray:
        return self._cache.get(number, lambda: self._decode(number))

    def close(self) -> None:
        """Drop the decoded pieces."""
        self._cache.clear()
