"""Reading tiles and overviews at a physical resolution, in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends.cache import bytes_kept
from pathosig.slides.holes import Attempts, read_with_holes
from pathosig.slides.pyramid import ReadPlan, resample
from pathosig.slides.reader import SlideReader

_BLOCK = 16
_MOST_LOST = 0.5
"""Proportion of a low-power image that may be lost; if more is lost, reading fails."""

_OVERVIEW_LIMIT = 48_000_000
"""Largest number of pixels of a level that are decoded together for an overview; larger levels are read in strips."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TileBlock:
    """A block of tiles, in the order of the list of tiles.

    Attributes
    ----------
    index
        int[n]: positions in the list of tiles.
    tiles
        uint8[n, size, size, 3].
    failed
        bool[n]: whether the pixels of each tile could not be decoded; such tiles are white.

    Examples
    --------
    >>> block = TileBlock(index=np.arange(2), tiles=np.zeros((2, 8, 8, 3), np.uint8), failed=np.array([False, True]))
    >>> block.index[~block.failed]  # positions of the tiles that were read
    array([0])
    """

    index: np.ndarray
    tiles: np.ndarray
    failed: np.ndarray


def read_tiles(
    reader: SlideReader,
    plan: ReadPlan,
    xy: np.ndarray,
    size_px: int,
    *,
    threads: int = 1,
    block: int = _BLOCK,
) -> Iterator[TileBlock]:
    """Tiles at the resolution of a plan, block by block, in the order of `xy`.

    Parameters
    ----------
    reader
        An opened slide.
    plan
        From `plan_read`.
    xy
        int[n, 2]: top left corners in level-0 pixels; the order of `reading_order` is the fastest.
    size_px
        Side of the tiles in target pixels.
    threads
        Number of threads that decode compressed tiles, if the reader supports them.
    block
        Number of tiles per block.

    Yields
    ------
    TileBlock
        Tiles that cannot be decoded are marked as failed and do not affect other tiles.

    Raises
    ------
    SlideError
        E_READ if the disk keeps failing.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from pathosig.slides import open_slide, plan_read
    >>> path = Path(tempfile.mkdtemp()) / "S01.png"
    >>> Image.new("RGB", (300, 200), (200, 150, 190)).save(path)
    >>> with open_slide(path, mpp=0.5) as slide:
    ...     for block in read_tiles(slide, plan_read(slide.info, 1.0), np.array([[0, 0], [64, 0]]), 32):
    ...         print(block.index, block.tiles.shape, block.failed)
    [0 1] (2, 32, 32, 3) [False False]
    """
    xy = np.asarray(xy).reshape(-1, 2)
    fill = _filler(reader, plan, xy, size_px=size_px, threads=threads)
    for start in range(0, len(xy), block):
        n = len(xy[start : start + block])
        tiles = np.empty((n, size_px, size_px, 3), np.uint8)
        failed = np.zeros(n, bool)
        fill(start, tiles, failed)
        yield TileBlock(index=np.arange(start, start + n), tiles=tiles, failed=failed)


def _filler(
    reader: SlideReader, plan: ReadPlan, xy: np.ndarray, *, size_px: int, threads: int
) -> Callable[[int, np.ndarray, np.ndarray], None]:
    """A function that reads a block; its arguments are the position of the first tile, the tiles, and the marks of lost tiles."""
    by_blocks = getattr(reader, "block_source", None)
    fill: Callable[[int, np.ndarray, np.ndarray], None] | None
    fill = by_blocks(plan, xy, size_px, threads) if by_blocks is not None else None
    if fill is not None:
        return fill
    source = getattr(reader, "tile_source", None)
    draw = source(plan, xy, size_px, threads) if source is not None else None

    def one_by_one(start: int, tiles: np.ndarray, failed: np.ndarray) -> None:
        for row, (x, y) in enumerate(xy[start : start + len(tiles)]):
            try:
                if draw is not None:
                    draw(int(x), int(y), tiles[row])
                else:
                    tiles[row] = _read_one(reader, plan, x, y, size_px)
            except SlideError as error:
                if error.code == "E_READ":  # the disk has failed, not the tile
                    raise
                failed[row] = True
                tiles[row] = 255

    return one_by_one


def reading_order(reader: SlideReader, plan: ReadPlan, xy: np.ndarray) -> np.ndarray:
    """An order of tiles in which few stored pieces of the slide have to be decoded twice.

    Tiles are read row by row. If a row of tiles crosses more stored pieces than the reader keeps in memory, they are read by
    columns of pieces instead; CZI and OME-Zarr may have pieces of 2,048 pixels and more.

    Parameters
    ----------
    reader
        An opened slide.
    plan
        From `plan_read`.
    xy
        int[n, 2]: top left corners in level-0 pixels, row by row.

    Returns
    -------
    int[n]
        Positions in `xy`.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> corners = np.array([[x, y] for y in (0, 2048) for x in range(0, 20_000, 2048)])
    >>> plan = SimpleNamespace(level=0, level_downsample=1.0)
    >>> for side in (256, 4096):
    ...     print(reading_order(SimpleNamespace(piece_px=lambda level: (side, side)), plan, corners)[:8])
    [0 1 2 3 4 5 6 7]
    [ 0  1 10 11  2  3 12 13]
    """
    piece_px = getattr(reader, "piece_px", None)
    xy = np.asarray(xy).reshape(-1, 2)
    if piece_px is None or not len(xy):
        return np.arange(len(xy))
    width, height = piece_px(plan.level)
    column = (xy[:, 0] / plan.level_downsample).astype(np.int64) // width
    across = int(column.max() - column.min()) + 2
    if 2 * across * width * height * 3 <= bytes_kept(width, height):
        return np.arange(len(xy))
    return np.argsort(column, kind="stable")


def read_all_tiles(
    reader: SlideReader, plan: ReadPlan, xy: np.ndarray, size_px: int, *, threads: int = 1
) -> np.ndarray:
    """All tiles in one array; see `read_tiles` for large numbers of tiles.

    Parameters
    ----------
    reader
        An opened slide.
    plan
        From `plan_read`.
    xy
        int[n, 2]: top left corners in level-0 pixels.
    size_px
        Side of the tiles in target pixels.
    threads
        Number of threads that decode compressed tiles, if the reader supports them.

    Returns
    -------
    uint8[n, size_px, size_px, 3]

    Raises
    ------
    SlideError
        E_PIXELS if any tile cannot be decoded.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from pathosig.slides import open_slide, plan_read
    >>> path = Path(tempfile.mkdtemp()) / "S01.png"
    >>> Image.new("RGB", (300, 200), (200, 150, 190)).save(path)
    >>> with open_slide(path, mpp=0.5) as slide:
    ...     tiles = read_all_tiles(slide, plan_read(slide.info, 1.0), np.array([[0, 0], [64, 0]]), 32)
    >>> tiles.shape, tiles[0, 0, 0].tolist()
    ((2, 32, 32, 3), [200, 150, 190])
    """
    blocks = list(read_tiles(reader, plan, xy, size_px, threads=threads))
    if not blocks:
        return np.empty((0, size_px, size_px, 3), np.uint8)
    lost = int(sum(b.failed.sum() for b in blocks))
    if lost:
        raise SlideError(f"{lost} of {len(xy)} tiles cannot be decoded.", code="E_PIXELS")
    return np.concatenate([b.tiles for b in blocks])


def _read_one(reader: SlideReader, plan: ReadPlan, x: int, y: int, size_px: int) -> np.ndarray:
    x_level, y_level = x / plan.level_downsample, y / plan.level_downsample
    if plan.scale == 1.0:
        return reader.read_level(plan.level, round(x_level), round(y_level), size_px, size_px)
    return draw_scaled(
        lambda left, top, w, h: reader.read_level(plan.level, left, top, w, h),
        x_level,
        y_level,
        plan.scale,
        size_px,
    )


def draw_scaled(read: object, x: float, y: float, scale: float, size_px: int) -> np.ndarray:
    """A tile at any position and scale of a level, by resampling of the pixels that it covers.

    Parameters
    ----------
    read
        Function ``read(x, y, width, height)`` that returns uint8[height, width, c] of the level.
    x, y
        Top left corner in pixels of the level, which may be fractions.
    scale
        Pixels of the level per pixel of the tile.
    size_px
        Side of the tile in pixels.

    Returns
    -------
    uint8[size_px, size_px, c]

    Examples
    --------
    >>> level = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    >>> draw_scaled(lambda x, y, w, h: level[y : y + h, x : x + w], 2.0, 0.0, 2.0, 2)[..., 0]
    array([[ 7,  9],
           [23, 25]], dtype=uint8)
    """
    side = size_px * scale
    left, top = int(np.floor(x + 1e-6)), int(np.floor(y + 1e-6))
    width = int(np.ceil(x + side - 1e-6)) - left
    height = int(np.ceil(y + side - 1e-6)) - top
    image = read(left, top, width, height)  # type: ignore[operator]
    fraction_x, fraction_y = (0.0 if abs(v) < 1e-6 else v for v in (x - left, y - top))
    return resample(image, (size_px, size_px), box=(fraction_x, fraction_y, side, side))


def read_overview(reader: SlideReader, mpp: float = 8.0, *, max_side: int = 6000) -> tuple[np.ndarray, float]:
    """The whole slide at low power, from the coarsest level that is fine enough.

    Parameters
    ----------
    reader
        An opened slide.
    mpp
        Micrometres per pixel of the image; a slide whose mpp is unknown, or coarser, is not reduced more than `max_side` requires.
    max_side
        Largest width and height of the image in pixels.

    Returns
    -------
    The image, uint8[h, w, 3], and the number of level-0 pixels per pixel of the image; pixels that cannot be decoded are white.

    Raises
    ------
    SlideError
        If more than half of the pixels cannot be decoded in any level.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from pathosig.slides import open_slide
    >>> path = Path(tempfile.mkdtemp()) / "S01.png"
    >>> Image.new("RGB", (320, 160), (200, 150, 190)).save(path)
    >>> with open_slide(path, mpp=0.5) as slide:
    ...     image, downsample = read_overview(slide, mpp=8.0)
    >>> image.shape, downsample
    ((10, 20, 3), 16.0)
    """
    info = reader.info
    width, height = info.level_sizes[0]
    wanted = max(1.0, (mpp / info.mpp) if info.mpp else 1.0, max(width, height) / max_side)
    levels = [i for i, d in enumerate(info.downsamples) if d <= wanted * 1.01] or [0]
    size = (max(1, round(width / wanted)), max(1, round(height / wanted)))
    errors: list[SlideError] = []
    best: tuple[float, np.ndarray] | None = None
    for level in sorted(levels, reverse=True):
        try:
            image, lost = _overview_from(reader, level, size)
        except SlideError as error:
            if error.code == "E_READ":
                raise
            errors.append(error)
            continue
        if not lost:
            return image, width / size[0]
        if best is None or lost < best[0]:
            best = (lost, image)
    if best is not None and best[0] <= _MOST_LOST:  # all levels have lost pixels; this one has the fewest
        return best[1], width / size[0]
    raise (
        errors[0]
        if errors
        else SlideError(
            f"{best[0] if best else 1:.0%} of its low-power image cannot be decoded.", code="E_PIXELS"
        )
    )


def _overview_from(reader: SlideReader, level: int, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """A level resampled to a size, and the proportion of its pixels that cannot be decoded, which are white."""
    info = reader.info
    width, height = info.level_sizes[level]
    shrunk = getattr(reader, "read_level_shrunk", None)
    if shrunk is not None:
        overview = shrunk(level, max(1, int(min(width / size[0], height / size[1]) + 0.01)))
        if overview is not None:
            return resample(overview[0], size), overview[1]
    if width * height <= _OVERVIEW_LIMIT:
        image, lost = read_with_holes(reader, level, (0, 0, width, height))
        return resample(image, size), lost / (width * height)
    scale = height / size[1]
    rows_at_once = max(1, int(_OVERVIEW_LIMIT / width / scale))
    out = np.empty((size[1], size[0], 3), np.uint8)
    lost, attempts = 0, Attempts()
    for top in range(0, size[1], rows_at_once):
        bottom = min(size[1], top + rows_at_once)
        y0, y1 = int(top * scale), min(height, int(np.ceil(bottom * scale)))
        strip, more = read_with_holes(reader, level, (0, y0, width, y1 - y0), attempts=attempts)
        lost += more
        box = (0.0, top * scale - y0, float(width), (bottom - top) * scale)
        out[top:bottom] = resample(strip, (size[0], bottom - top), box=box)
    return out, lost / (width * height)
