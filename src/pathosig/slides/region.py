"""Readers of a part of a slide, and of a slide that is rotated or mirrored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pathosig.slides.holes import Box, read_with_holes
from pathosig.slides.pyramid import ReadPlan
from pathosig.slides.reader import ContextClose, SlideReader


class RegionReader(ContextClose):
    """The part (x, y, width, height) of the slide of another reader, in its level-0 pixels."""

    def __init__(self, parent: SlideReader, region: tuple[int, int, int, int]) -> None:
        self.parent = parent
        self.region = region
        width, height = region[2:]
        sizes = tuple((max(1, round(width / d)), max(1, round(height / d))) for d in parent.info.downsamples)
        self.info = replace(parent.info, level_sizes=sizes)

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a level; (x, y) is relative to the corner of the region."""
        dx, dy = self._corner(level)
        return self.parent.read_level(level, x + dx, y + dy, width, height)

    def read_with_holes(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, int]:
        """As `read_level`, but pixels that cannot be decoded are white; also returns their number."""
        dx, dy = self._corner(level)
        return read_with_holes(self.parent, level, (x + dx, y + dy, width, height))

    def _corner(self, level: int) -> tuple[int, int]:
        """Corner of the region in pixels of a level."""
        downsample = self.info.downsamples[level]
        return round(self.region[0] / downsample), round(self.region[1] / downsample)

    def tile_source(
        self, plan: ReadPlan, xy: np.ndarray, size_px: int, threads: int
    ) -> Callable[[int, int, np.ndarray], None] | None:
        """`tile_source` of the reader of the whole slide, shifted to the region; None if it has none."""
        source = getattr(self.parent, "tile_source", None)
        if source is None:
            return None
        x0, y0 = self.region[:2]
        draw: Callable[[int, int, np.ndarray], None] = source(
            plan, np.asarray(xy) + np.array([x0, y0]), size_px, threads
        )
        return lambda x, y, out: draw(x + x0, y + y0, out)

    def block_source(
        self, plan: ReadPlan, xy: np.ndarray, size_px: int, threads: int
    ) -> Callable[[int, np.ndarray, np.ndarray], None] | None:
        """`block_source` of the reader of the whole slide, shifted to the region; None if it has none."""
        source = getattr(self.parent, "block_source", None)
        block_reader: Callable[[int, np.ndarray, np.ndarray], None] | None = None
        if source is not None:
            block_reader = source(plan, np.asarray(xy) + np.array(self.region[:2]), size_px, threads)
        return block_reader

    def icc_profile(self) -> bytes:
        """ICC profile of the whole slide; empty if it has none."""
        profile = getattr(self.parent, "icc_profile", None)
        return bytes(profile()) if profile is not None else b""

    def close(self) -> None:
        """Close the whole slide."""
        self.parent.close()


class TurnedReader(ContextClose):
    """A slide that must be rotated or mirrored to be shown, by the Orientation tag of TIFF (2 to 8)."""

    def __init__(self, parent: SlideReader, orientation: int) -> None:
        self.parent = parent
        self._swapped = orientation in (5, 6, 7, 8)
        self._mirrored = orientation in (2, 3, 6, 7)
        """Whether columns run from right to left after rows and columns have been swapped."""
        self._flipped = orientation in (3, 4, 7, 8)
        info = parent.info
        sizes = tuple((h, w) if self._swapped else (w, h) for w, h in info.level_sizes)
        self.info = replace(info, level_sizes=sizes)

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a level as they are shown."""
        return self._turned(self.parent.read_level(level, *self._stored(level, (x, y, width, height))))

    def read_with_holes(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, int]:
        """As `read_level`, but pixels that cannot be decoded are white; also returns their number."""
        pixels, lost = read_with_holes(self.parent, level, self._stored(level, (x, y, width, height)))
        return self._turned(pixels), lost

    def _stored(self, level: int, box: Box) -> Box:
        """The part of the stored image that corresponds to a part of the image as shown."""
        x, y, width, height = box
        total_w, total_h = self.info.level_sizes[level]
        if self._mirrored:
            x = total_w - x - width
        if self._flipped:
            y = total_h - y - height
        return (y, x, height, width) if self._swapped else (x, y, width, height)

    def _turned(self, stored: np.ndarray) -> np.ndarray:
        """Stored pixels as they are shown."""
        pixels = stored.transpose(1, 0, 2) if self._swapped else stored
        return np.ascontiguousarray(pixels[:: -1 if self._flipped else 1, :: -1 if self._mirrored else 1])

    def close(self) -> None:
        """Close the slide."""
        self.parent.close()
