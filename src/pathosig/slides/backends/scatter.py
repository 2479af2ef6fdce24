"""Tiles cut from compressed tiles without rescaling: each compressed tile is decoded once and copied into all that need it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from pathosig.core.errors import SlideError

Part = tuple[int, slice, slice]
"""A compressed tile along one axis: its number, the pixels to write, and the pixels of it to copy."""

_Decoded = dict[int, np.ndarray | SlideError]
"""By number of the compressed tile: its pixels, or the error that decoding it raised."""

_Place = tuple[int, np.ndarray, slice, slice, slice]
"""A part of a block to write: number of the tile, the rows of it, their columns; rows and columns of the compressed tile."""


def parts(start: int, length: int, tile: int, end: int) -> list[Part]:
    """The compressed tiles along one axis that a range of pixels touches.

    Parameters
    ----------
    start, length
        The range, in pixels of the level. It may begin before 0 and extend beyond the end.
    tile
        Length of a compressed tile.
    end
        Length of the level.

    Returns
    -------
    For each tile touched: its number, the slice of the range, and the slice of the compressed tile.

    Examples
    --------
    >>> parts(200, 100, 256, 1000)
    [(0, slice(0, 56, None), slice(200, 256, None)), (1, slice(56, 100, None), slice(0, 44, None))]
    """
    low, high = max(start, 0), min(start + length, end)
    touched = []
    for number in range(low // tile, -(-high // tile) if low < high else 0):
        base = number * tile
        a, b = max(base, low), min(base + tile, high)
        touched.append((number, slice(a - start, b - start), slice(a - base, b - base)))
    return touched


class Scatter:
    """Fills blocks of tiles. Decoded tiles that later blocks need are kept, up to `limit` bytes.

    Parameters
    ----------
    across
        Number of compressed tiles in a row.
    full, tile
        (width, height) of the level and of its compressed tiles, in pixels at the size at which they are decoded.
    corners
        int[n, 2]: top-left corners (x, y) of all tiles in the same pixels, in the order of the blocks.
    size_px
        Side of the tiles in pixels.
    decode
        Returns the pixels of the compressed tile with a given number.
    give_back
        Receives an array that is no longer needed, so that its memory can be reused.
    limit
        Most bytes of decoded tiles kept for later blocks.
    threads
        Number of threads that decode the compressed tiles of a block.
    """

    def __init__(
        self,
        across: int,
        full: tuple[int, ...],
        tile: tuple[int, ...],
        corners: np.ndarray,
        *,
        size_px: int,
        decode: Callable[[int], np.ndarray],
        give_back: Callable[[np.ndarray], None],
        limit: int,
        threads: int = 1,
    ) -> None:
        self._across, self._limit = across, limit
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode") if threads > 1 else None
        self._decode, self._give_back = decode, give_back
        self._corners: Sequence[tuple[int, int]] = [(int(x), int(y)) for x, y in corners]
        self._columns, self._rows = (
            {v: parts(v, size_px, tile[axis], full[axis]) for v in set(corners[:, axis].tolist())}
            for axis in (0, 1)
        )
        self._last: dict[int, int] = {}
        for position, (x, y) in enumerate(self._corners):
            for row, _, _ in self._rows[y]:
                for column, _, _ in self._columns[x]:
                    self._last[row * self._across + column] = position
        self._kept: dict[int, np.ndarray] = {}
        self._kept_bytes = 0

    def __call__(self, start: int, tiles: np.ndarray, failed: np.ndarray) -> None:
        """Write the tiles from position `start` on into `tiles`, uint8[n, size, size, 3].

        Tiles with a part that cannot be decoded are marked in `failed`, bool[n], and white.

        Raises
        ------
        SlideError
            E_READ if the disk keeps failing.
        """
        stop = start + len(tiles)
        wanted = self._places(start, tiles)
        jobs = self._jobs(wanted)
        for number, places in wanted.items():
            try:
                pixels = self._pixels(number, jobs)
            except SlideError as error:
                if error.code == "E_READ":  # the disk fails, not the tile
                    raise
                failed[[place[0] for place in places]] = True
                continue
            for _, strip, to_columns, from_rows, from_columns in places:
                strip[:, to_columns] = pixels[from_rows, from_columns]
            if self._last[number] >= stop:
                self._keep(number, pixels)
            else:
                self._give_back(pixels)
        tiles[failed] = 255
        if self._pool is not None and stop == len(self._corners):
            self._pool.shutdown()

    def _jobs(self, wanted: Iterable[int]) -> dict[int, Future[_Decoded]]:
        """Starts decoding the compressed tiles that are not kept; none without threads."""
        if self._pool is None:
            return {}
        numbers = [n for n in wanted if n not in self._kept]
        size = max(
            1, -(-len(numbers) // (2 * self._threads))
        )  # starting a job costs a third of decoding a tile
        jobs: dict[int, Future[_Decoded]] = {}
        for at in range(0, len(numbers), size):
            batch = numbers[at : at + size]
            jobs |= dict.fromkeys(batch, self._pool.submit(self._decode_all, batch))
        return jobs

    def _decode_all(self, numbers: list[int]) -> _Decoded:
        decoded: _Decoded = {}
        for number in numbers:
            try:
                decoded[number] = self._decode(number)
            except SlideError as error:
                decoded[number] = error
        return decoded

    def _places(self, start: int, tiles: np.ndarray) -> dict[int, list[_Place]]:
        """The places in a block that each compressed tile is copied to."""
        places: dict[int, list[_Place]] = {}
        size = tiles.shape[1]
        for position, tile in enumerate(tiles):
            x, y = self._corners[start + position]
            columns, rows = self._columns[x], self._rows[y]
            if not _covers(columns, size) or not _covers(rows, size):
                tile[:] = 255  # beyond the slide
            for row, to_rows, from_rows in rows:
                strip, first = tile[to_rows], row * self._across
                for column, to_columns, from_columns in columns:
                    place = (position, strip, to_columns, from_rows, from_columns)
                    number = first + column
                    if number in places:
                        places[number].append(place)
                    else:
                        places[number] = [place]
        return places

    def _pixels(self, number: int, jobs: dict[int, Future[_Decoded]]) -> np.ndarray:
        kept = self._kept.pop(number, None)
        if kept is None:
            job = jobs.pop(number, None)
            pixels = self._decode(number) if job is None else job.result().pop(number)
            if isinstance(pixels, SlideError):
                raise pixels
            return pixels
        self._kept_bytes -= kept.nbytes
        return kept

    def _keep(self, number: int, pixels: np.ndarray) -> None:
        self._kept[number] = pixels
        self._kept_bytes += pixels.nbytes
        while self._kept_bytes > self._limit:  # a dropped tile is decoded again when it is needed
            dropped = self._kept.pop(next(iter(self._kept)))
            self._kept_bytes -= dropped.nbytes


def _covers(touched: list[Part], size: int) -> bool:
    return bool(touched) and touched[0][1].start == 0 and touched[-1][1].stop == size
