"""The base of readers of slides that are grids of compressed tiles: tiles are decoded at the size needed and joined."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends.bounds import SHARED_BYTES
from pathosig.slides.backends.scatter import Scatter, parts
from pathosig.slides.pyramid import ReadPlan
from pathosig.slides.reader import ContextClose, SlideInfo
from pathosig.slides.reading import draw_scaled

CACHE_BYTES = 48_000_000
_SHRUNK_LIMIT = 60_000_000
_MOST_PIECE = 200_000_000
"""Bytes of a decoded piece that may be kept although it is larger than the cache, such as the only strip of an image."""
_LOOKAHEAD = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """How a level is cut into compressed tiles.

    Attributes
    ----------
    size
        (width, height) of the level.
    tile
        (width, height) of its tiles.
    shrinkable
        Whether its tiles can be decoded at a half, a quarter and an eighth of their size, as JPEGs can.
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    shrinkable: bool

    @property
    def across(self) -> int:
        """Number of tiles in a row."""
        return -(-self.size[0] // self.tile[0])

    @property
    def down(self) -> int:
        """Number of tiles in a column."""
        return -(-self.size[1] // self.tile[1])

    def divides(self, shrink: int) -> bool:
        """Whether tiles have a whole number of pixels at 1/shrink of their size."""
        return not (self.tile[0] % shrink or self.tile[1] % shrink)


class TiledReader(ContextClose, ABC):
    """Assembles pixels from the tiles that `_decode` returns, and caches decoded tiles.

    Parameters
    ----------
    grids
        The levels, finest first.
    info
        Facts of the slide.
    """

    def __init__(self, grids: tuple[Grid, ...], info: SlideInfo) -> None:
        self.info = info
        self._grids = grids
        self._cache: OrderedDict[tuple[int, int, int], np.ndarray] = OrderedDict()
        self._cached_bytes = 0
        self._cache_limit = CACHE_BYTES
        self._spare: list[np.ndarray] = []
        self._shared: dict[tuple[Hashable, int], np.ndarray] = {}
        self.convert: Callable[[np.ndarray], np.ndarray] | None = None
        """A conversion of the colours of decoded tiles; to be set before anything is read."""

    @abstractmethod
    def _decode(self, level: int, index: int, shrink: int) -> np.ndarray:
        """One compressed tile at 1/shrink of its size, uint8[h, w, 3].

        Raises
        ------
        SlideError
            E_PIXELS if it cannot be decoded.
        """

    def _decoded(self, level: int, index: int, shrink: int) -> np.ndarray:
        """A decoded tile after the conversion of colours."""
        same = self._same(level, index)
        if same is not None and (kept := self._shared.get((same, shrink))) is not None:
            return kept
        pixels = self._decode(level, index, shrink)
        pixels = pixels if self.convert is None else self.convert(pixels)
        if same is not None:
            pixels.flags.writeable = False  # the same array serves all places with these pixels
            if sum(kept.nbytes for kept in list(self._shared.values())) > SHARED_BYTES:
                self._shared.clear()
            self._shared[same, shrink] = pixels
        return pixels

    def _same(self, level: int, index: int) -> Hashable:
        """A key that is equal for tiles stored as the same bytes, so that they are decoded once; None for all other tiles."""
        return None

    def _buffer(self, level: int, shrink: int) -> np.ndarray:
        """Memory for a decoded tile, reused from a dropped tile if possible: new memory costs a tenth of decoding."""
        width, height = self._grids[level].tile
        shape = (height // shrink, width // shrink, 3)
        try:
            spare = self._spare.pop()
        except IndexError:  # also where another thread was quicker
            return np.empty(shape, np.uint8)
        return spare if spare.shape == shape else np.empty(shape, np.uint8)

    def _tile(self, level: int, index: int, shrink: int) -> np.ndarray:
        """Decode a tile that is not in the cache, and add it."""
        pixels = self._decoded(level, index, shrink)
        self._remember((level, index, shrink), pixels)
        return pixels

    def _remember(self, key: tuple[int, int, int], pixels: np.ndarray) -> None:
        self._cache[key] = pixels
        self._cached_bytes += pixels.nbytes
        while self._cached_bytes > self._cache_limit and len(self._cache) > 1:
            dropped = self._cache.popitem(last=False)[1]
            self._cached_bytes -= dropped.nbytes
            self._give_back(dropped)

    def _give_back(self, pixels: np.ndarray) -> None:
        """Keep the memory of a tile for reuse by `_buffer`."""
        if len(self._spare) < 2 and pixels.flags.owndata and pixels.flags.writeable:
            self._spare.append(pixels)

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a level, white outside the slide."""
        return self._assemble(level, x, y, width, height, 1)

    def _assemble(self, level: int, x: int, y: int, width: int, height: int, shrink: int) -> np.ndarray:
        """Pixels of a level at 1/shrink of its size; coordinates are in shrunk pixels."""
        out = np.empty((height, width, 3), np.uint8)
        self._fill(out, level, x, y, shrink)
        return out

    def _fill(self, out: np.ndarray, level: int, x: int, y: int, shrink: int, *, lossy: bool = False) -> int:
        """Write the pixels at (x, y) into `out`, white outside the slide. Returns the number of lost tiles.

        With `lossy` set, tiles that cannot be decoded are white and counted; otherwise the first one raises an error.
        """
        grid = self._grids[level]
        height, width = out.shape[:2]
        full = (-(-grid.size[0] // shrink), -(-grid.size[1] // shrink))
        if x < 0 or y < 0 or x + width > full[0] or y + height > full[1]:
            out[:] = 255
        columns = parts(x, width, grid.tile[0] // shrink, full[0])
        cache, lost = self._cache, 0
        for row, to_rows, from_rows in parts(y, height, grid.tile[1] // shrink, full[1]):
            strip, first = out[to_rows], row * grid.across
            for column, to_columns, from_columns in columns:
                key = (level, first + column, shrink)
                tile = cache.get(key)
                if tile is not None:
                    cache.move_to_end(key)
                elif lossy:
                    try:
                        tile = self._tile(*key)
                    except SlideError as error:
                        if error.code == "E_READ":
                            raise
                        strip[:, to_columns] = 255
                        lost += 1
                        continue
                else:
                    tile = self._tile(*key)
                strip[:, to_columns] = tile[from_rows, from_columns]
        return lost

    def read_with_holes(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, int]:
        """Pixels of a level, white where a tile cannot be decoded, and at most how many pixels are lost in this way."""
        out = np.empty((height, width, 3), np.uint8)
        lost = self._fill(out, level, x, y, 1, lossy=True)
        tile = self._grids[level].tile
        return out, min(lost * tile[0] * tile[1], width * height)

    def read_level_shrunk(self, level: int, factor: int) -> tuple[np.ndarray, float] | None:
        """A whole level and the proportion of its tiles that are lost (white).

        It is decoded at the smallest of 1/1, 1/2, 1/4 and 1/8 of its size that its tiles allow and that is not below
        1/`factor`. None if the result would be too large.
        """
        grid = self._grids[level]
        most = factor if grid.shrinkable else 1
        shrink = max((k for k in (1, 2, 4, 8) if k <= most and grid.divides(k)), default=1)
        width, height = -(-grid.size[0] // shrink), -(-grid.size[1] // shrink)
        if width * height > _SHRUNK_LIMIT:
            return None
        self._cache_limit = 0  # every tile is needed only once
        try:
            out = np.empty((height, width, 3), np.uint8)
            lost = self._fill(out, level, 0, 0, shrink, lossy=True)
        finally:
            self._cache_limit = CACHE_BYTES
        return out, lost / (grid.across * grid.down)

    def tile_source(
        self, plan: ReadPlan, xy: np.ndarray, size_px: int, threads: int
    ) -> Callable[[int, int, np.ndarray], None]:
        """A function of (x, y in level-0 pixels, out uint8[size, size, 3]) that draws a tile, called in the order of `xy`."""
        shrink = self._shrink(plan, xy)
        downsample = plan.level_downsample * shrink
        scale = plan.scale / shrink
        self._cache_limit = self._enough(plan.level, xy, size_px * scale, shrink)

        def read(left: int, top: int, width: int, height: int) -> np.ndarray:
            return self._assemble(plan.level, left, top, width, height, shrink)

        def draw(x: int, y: int, out: np.ndarray) -> None:
            if abs(scale - 1) < 1e-9:
                left, top = round(x / downsample), round(y / downsample)
                self._fill(out, plan.level, left, top, shrink)
                return
            out[:] = draw_scaled(read, x / downsample, y / downsample, scale, size_px)

        if threads <= 1:
            return draw
        return _Ahead(self, draw, xy, size_px * scale, plan.level, shrink, downsample, threads)

    def block_source(self, plan: ReadPlan, xy: np.ndarray, size_px: int, threads: int) -> Scatter | None:
        """A `Scatter` that fills blocks of these tiles, or None if drawing them needs rescaling."""
        shrink = self._shrink(plan, xy)
        if not len(xy) or abs(plan.scale / shrink - 1) >= 1e-9:
            return None
        grid = self._grids[plan.level]
        corners = np.rint(np.asarray(xy) / (plan.level_downsample * shrink)).astype(int)
        piece = (
            3 * grid.tile[0] * grid.tile[1] // shrink**2
        )  # one that is larger than the cache is kept while it is needed
        return Scatter(
            grid.across,
            tuple(-(-side // shrink) for side in grid.size),
            tuple(side // shrink for side in grid.tile),
            corners,
            size_px=size_px,
            decode=functools.partial(self._decoded, plan.level, shrink=shrink),
            give_back=self._give_back,
            limit=max(CACHE_BYTES, piece) if piece <= _MOST_PIECE else CACHE_BYTES,
            threads=threads,
        )

    def _enough(self, level: int, xy: np.ndarray, side: float, shrink: int) -> int:
        """Bytes of decoded tiles worth caching: if tiles are read row by row, the compressed rows that one row touches."""
        grid = self._grids[level]
        if not len(xy) or np.any(np.diff(np.asarray(xy)[:, 1]) < 0):
            return CACHE_BYTES
        width, height = grid.tile[0] // shrink, grid.tile[1] // shrink
        return min(CACHE_BYTES, int(side / height + 2) * (grid.across + 1) * width * height * 3)

    def _shrink(self, plan: ReadPlan, xy: np.ndarray) -> int:
        """1 or 2: the divisor of the size at which JPEG tiles are decoded.

        Half size is used only if it is not below the target resolution and the corners of all tiles stay on whole pixels.
        """
        grid = self._grids[plan.level]
        if plan.exact or not grid.shrinkable or not grid.divides(2):
            return 1
        corners = np.asarray(xy, float) / plan.level_downsample / 2
        # with 4 and 8, decoding from DCT coefficients has a PSNR below 40 dB against area means
        whole = not np.any(np.abs(corners - np.rint(corners)) > 1e-6)
        return 2 if plan.scale * 1.001 >= 2 and whole else 1

    def indices(self, level: int, x: int, y: int, width: int, height: int, shrink: int) -> list[int]:
        """Numbers of the compressed tiles that cover a part of a level; coordinates are in shrunk pixels."""
        grid = self._grids[level]
        tile_w, tile_h = grid.tile[0] // shrink, grid.tile[1] // shrink
        columns = range(max(x // tile_w, 0), min(-(-(x + width) // tile_w), grid.across))
        rows = range(max(y // tile_h, 0), min(-(-(y + height) // tile_h), grid.down))
        return [row * grid.across + column for row in rows for column in columns]

    def close(self) -> None:
        """Drop the decoded tiles."""
        self._cache.clear()
        self._shared.clear()
        self._cached_bytes = 0


class _Ahead:
    """Decodes the compressed tiles of the next tiles in threads while the current tile is drawn."""

    def __init__(
        self,
        reader: TiledReader,
        draw: Callable[[int, int, np.ndarray], None],
        xy: np.ndarray,
        side: float,
        level: int,
        shrink: int,
        downsample: float,
        threads: int,
    ) -> None:
        self._reader, self._draw = reader, draw
        self._level, self._shrink = level, shrink
        self._needs = [
            reader.indices(
                level, int(x // downsample), int(y // downsample), int(side) + 2, int(side) + 2, shrink
            )
            for x, y in np.asarray(xy)
        ]
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._jobs: dict[int, Future[np.ndarray]] = {}
        self._position = 0
        self._asked = 0

    def __call__(self, x: int, y: int, out: np.ndarray) -> None:
        reader = self._reader
        while self._asked < min(len(self._needs), self._position + _LOOKAHEAD):
            for index in self._needs[self._asked]:
                if index not in self._jobs and (self._level, index, self._shrink) not in reader._cache:
                    self._jobs[index] = self._pool.submit(reader._decoded, self._level, index, self._shrink)
            self._asked += 1
        for index in self._needs[self._position]:
            job = self._jobs.pop(index, None)
            if job is not None and job.exception() is None:
                reader._remember((self._level, index, self._shrink), job.result())
        self._position += 1
        try:
            self._draw(x, y, out)
        finally:
            if self._position == len(self._needs):
                self._pool.shutdown()


def whole(downsample: float) -> float:
    """A downsample factor, rounded if it is nearly whole: such a factor is meant to be whole, and level sizes are rounded.

    Parameters
    ----------
    downsample
        Level-0 pixels per pixel of a level.

    Returns
    -------
    The downsample factor, rounded if it is within 1 % of a whole number.

    Examples
    --------
    >>> whole(4.0006), whole(2.7)
    (4.0, 2.7)
    """
    return float(round(downsample)) if abs(downsample - round(downsample)) < 0.01 * downsample else downsample
