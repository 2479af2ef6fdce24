"""TIFF slides in tiles or strips, read fast: each compressed piece is read once and decoded at the size that is needed."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends.bounds import check_decoded
from pathosig.slides.backends.jpeg import Piece, decode_jpeg, joined, shrunk
from pathosig.slides.backends.source import ByteSource, state_of
from pathosig.slides.backends.tiff_bands import Band, most_lost, read_band
from pathosig.slides.backends.tiff_codecs import decode_piece, decode_planes
from pathosig.slides.backends.tiff_names import planes_declared
from pathosig.slides.backends.tiff_pages import Choice, Level, Scan, choose_scans, fluorescence
from pathosig.slides.backends.tiff_scale import scale_of
from pathosig.slides.backends.tiff_tags import JPEG, Page, read_pages, read_values
from pathosig.slides.backends.tiled import CACHE_BYTES, Grid, TiledReader, whole
from pathosig.slides.reader import SlideInfo
from pathosig.slides.resolution import checked_mpp, power_warning

_SMALL_LEVEL = 4_000_000
"""Pixels up to which a page of the right shape may be a label or macro image; a larger one may be another scan."""

_POINTS, _LEAST_POINTS, _FAR, _BARE = 6, 3, 30, 20
_ENOUGH_POINTS = 9
"""Points of tissue at which two large pages are compared."""

_LOOK = 5_000_000
"""Pixels that are decoded in the time that comparing two pages takes otherwise."""

_STEP = 7
"""Has no common factor with the number of points, so that the first points are spread over the whole image."""

_DARK = 60

_choices: OrderedDict[tuple[Path, int, int | str], Choice] = OrderedDict()
"""The choices made for the files that this process opened last. Each core of a microarray opens the file of its slide, and
telling levels from other images means decoding pieces of both."""
_MOST_CHOICES = 4


class TiffReader(TiledReader):
    """A TIFF slide. A pass over its tiles decodes each compressed piece at most once.

    Attributes
    ----------
    orientation
        The tag Orientation: 1 if the image is stored upright. `open_slide` undoes any other value.
    scans
        Number of slides in the file.

    Parameters
    ----------
    scan
        Number of the scan to read, from 1, if the file has several; None reads the one that `choose_scans` prefers.

    Raises
    ------
    SlideError
        E_FORMAT for damaged and truncated files; E_CODEC, E_PHOTOMETRIC, E_BITDEPTH, E_TOO_LARGE.
    """

    def __init__(self, path: Path, *, mpp: float | None = None, scan: int | None = None) -> None:
        self.path = path
        self._file_bytes, _ = state_of(path)
        pages = read_pages(path)
        self._source = ByteSource(path)
        try:
            self._looked_at = 0
            self._bands: list[tuple[Band, ...]] = []
            self._shares: list[bool] = []
            self._open(pages, mpp, scan)
        except BaseException:
            self._source.close()
            raise

    def _open(self, pages: tuple[Page, ...], mpp: float | None, number: int | None) -> None:
        super().__init__(
            (),
            SlideInfo(level_sizes=((1, 1),), downsamples=(1.0,), mpp=None, mpp_source="missing", vendor=""),
        )
        choice = self._choice(pages)
        scan = self._scan(choice, number)
        self.scans = len(choice.scans)
        self._use(scan.levels)
        if scan.composed and self._is_dark():
            raise fluorescence(self.path.name, "three gray images on a dark background")
        page = scan.levels[0][0]
        scale = scale_of(pages[0], page, scan.image)
        value, source = checked_mpp(*scale.mpp, given=mpp, name=self.path.name, tags=scale.tags)
        sizes = tuple(level[0].size for level in scan.levels)
        if (
            scale.vendor == "philips"
        ):  # each level is half the one before, although whole tiles of padding are stored
            sizes = tuple((page.size[0] >> k, page.size[1] >> k) for k in range(len(sizes)))
            self._grids = tuple(
                Grid(size=size, tile=grid.tile, shrinkable=grid.shrinkable)
                for size, grid in zip(sizes, self._grids, strict=True)
            )
        self.orientation = page.orientation if 1 <= page.orientation <= 8 else 1
        warnings = choice.warnings if number is None else ()
        self.info = SlideInfo(
            level_sizes=sizes,
            downsamples=tuple(whole(sizes[0][0] / size[0]) for size in sizes),
            mpp=value,
            mpp_source=source,
            vendor=scale.vendor,
            objective_power=scale.power,
            warnings=(
                *warnings,
                *(scale.warnings if source != "given" else ()),
                *power_warning(value, scale.power),
                *self._lost_pieces(pages),
            ),
        )

    def _choice(self, pages: tuple[Page, ...]) -> Choice:
        key = (self.path, *state_of(self.path))
        choice = _choices.get(key)
        if choice is None:
            self._check_planes(pages)
            choice = choose_scans(pages, self.path.name, self._alike)
            scans = tuple(replace(scan, levels=self._sound(scan.levels)) for scan in choice.scans)
            choice = replace(choice, scans=scans)
            _choices[key] = choice
            while len(_choices) > _MOST_CHOICES:
                with contextlib.suppress(KeyError):  # another thread was quicker
                    _choices.popitem(last=False)
        return choice

    def _sound(self, levels: tuple[Level, ...]) -> tuple[Level, ...]:
        """The levels without a smallest one that is a sub-image and does not look like the others, such as one whose pixels are lost.

        Tissue is found in the smallest level. Levels that are refused by their colours are kept, so that the slide is refused.
        """
        while len(levels) > 1 and levels[-1][0].parent:
            self._use(levels)
            if self._alike(levels[-2], levels[-1]):
                break
            levels = levels[:-1]
        return levels

    def _check_planes(self, pages: tuple[Page, ...]) -> None:
        """Refuse planes that are stored behind the first without a page of their own, which would not be read."""
        first = pages[0]
        stored = sum(page.size == first.size for page in pages)
        planes = planes_declared(first.description, first.size[0] * first.size[1] * first.samples)
        if planes > stored:
            raise SlideError(
                f"{self.path.name}: declares {planes} planes in {stored} page(s), so the others could not be read. Save it as RGB.",
                code="E_FORMAT",
            )

    def _scan(self, choice: Choice, number: int | None) -> Scan:
        if number is None:
            return choice.scans[choice.default]
        if not 1 <= number <= len(choice.scans):
            raise SlideError(
                f"{self.path.name}: has {len(choice.scans)} scan(s), so #{number} does not exist.",
                code="E_NOT_FILE",
            )
        return choice.scans[number - 1]

    def _use(self, levels: tuple[Level, ...]) -> None:
        """Make these levels the current ones and read where their pieces lie."""
        bands = [
            tuple(read_band(page, self._source, self._file_bytes, self.path.name) for page in level)
            for level in levels
        ]
        self._bands = bands
        self._shares = [bool(level[0].shared.any()) for level in bands]
        self._grids = tuple(
            Grid(
                size=level[0].page.size,
                tile=level[0].page.piece,
                shrinkable=len(level) == 1
                and level[0].page.compression == JPEG
                and level[0].page.samples == 3
                and level[0].page.planar == 1,
            )
            for level in bands
        )
        self._cache.clear()
        self._cached_bytes = 0

    def _lost_pieces(self, pages: tuple[Page, ...]) -> tuple[str, ...]:
        lost = int(sum(band.beyond(self._file_bytes) for band in self._bands[0]))
        total = sum(len(band.offsets) for band in self._bands[0])
        if lost > most_lost(total):
            raise SlideError(
                f"{self.path.name}: is truncated: {lost} of {total} tiles lie beyond its end. Copy it again.",
                code="E_FORMAT",
            )
        warnings = [f"{lost} of {total} tiles lie beyond the end of the file"] if lost else []
        others = sum(any(band.beyond(self._file_bytes) for band in level) for level in self._bands[1:])
        used = {band.page.number for level in self._bands for band in level}
        others += sum(self._ends_beyond(page) for page in pages if page.number not in used)
        if others:
            warnings.append(f"the file is cut short: the ends of {others} of its smaller images are missing")
        return tuple(warnings)

    def _ends_beyond(self, page: Page) -> bool:
        """Whether a part of an image that is not read lies beyond the end of the file."""
        if page.offsets is None or page.counts is None or page.offsets.count > 1 << 20:
            return False
        offsets, counts = (
            read_values(self._source, values, 1 << 20, little=page.little).astype(np.float64)
            for values in (page.offsets, page.counts)
        )
        n = min(len(offsets), len(counts))
        return bool(np.any(offsets[:n] + counts[:n] > self._file_bytes))

    # -- which page is what --------------------------------------------------------------------------

    def _alike(self, above: Level, below: Level) -> bool:
        """Whether a page looks like a finer page at lower resolution: mean colours agree at points that are not bare glass."""
        large = below[0].size[0] * below[0].size[1] > _SMALL_LEVEL
        if large and below[0].subfile & 1:  # a label may be declared as a reduced image, but it is small
            return True
        self._looked_at += _LOOK + sum(_compared_pixels(page) for page in (*above, *below))
        check_decoded(self._looked_at, self._file_bytes, self.path.name)
        try:
            self._use((above, below))
        except SlideError:
            return False
        ratio = above[0].size[0] / below[0].size[0]
        side = max(1, min(16, int(64 / ratio)))
        differences: list[float] = []
        for point in range(_POINTS**2):
            if large and len(differences) >= _ENOUGH_POINTS:
                break
            place = divmod(point * _STEP % _POINTS**2, _POINTS)
            y, x = (
                int((k + 0.5) / _POINTS * (size - side))
                for k, size in zip(place, below[0].size[::-1], strict=True)
            )
            try:
                fine = self.read_level(
                    0, round(x * ratio), round(y * ratio), round(side * ratio), round(side * ratio)
                )
                coarse = self.read_level(1, x, y, side, side)
            except SlideError:
                continue
            a, b = (image.reshape(-1, 3).mean(axis=0) for image in (fine, coarse))
            if min(a.min(), b.min()) < 255 - _BARE:
                differences.append(float(np.abs(a - b).max()))
        return len(differences) < _LEAST_POINTS or float(np.median(differences)) <= _FAR

    def _is_dark(self) -> bool:
        """Whether the background of the slide is dark, as in fluorescence."""
        width, height = self._grids[-1].size
        side = min(16, width, height)
        levels = []
        for row in range(_POINTS):
            for column in range(_POINTS):
                x, y = (
                    int((k + 0.5) / _POINTS * (size - side))
                    for k, size in zip((column, row), (width, height), strict=True)
                )
                try:
                    levels.append(
                        float(self.read_level(len(self._grids) - 1, x, y, side, side).mean(axis=(0, 1)).max())
                    )
                except SlideError:
                    continue
        return bool(levels) and float(np.median(levels)) < _DARK

    # -- decoding one compressed piece ------------------------------------------------------------------

    def _raw(self, band: Band, index: int) -> bytes:
        offset, count = int(band.offsets[index]), int(band.counts[index])
        if count < 0 or offset < 0 or offset + count > self._file_bytes:
            raise SlideError(f"{self.path.name}: a tile lies beyond the end of the file.", code="E_PIXELS")
        return self._source.read(offset, count)

    def _piece(self, level: int, index: int) -> Piece:
        grid = self._grids[level]
        width, height = grid.tile
        row, column = divmod(index, grid.across)
        return Piece(
            size=grid.tile,
            inside=(min(width, grid.size[0] - column * width), min(height, grid.size[1] - row * height)),
        )

    def _same(self, level: int, index: int) -> Hashable:
        bands = self._bands[level]
        if not self._shares[level]:
            return None
        step = bands[0].page.across * bands[0].page.down
        stored = [(band, plane * step + index) for band in bands for plane in range(band.page.planes)]
        if not all(band.shared[n] for band, n in stored):
            return None
        places = tuple((int(band.offsets[n]), int(band.counts[n])) for band, n in stored)
        return level, self._piece(level, index).inside, places

    def _decode(self, level: int, index: int, shrink: int) -> np.ndarray:
        bands, grid = self._bands[level], self._grids[level]
        width, height = grid.tile
        piece = self._piece(level, index)
        try:
            if grid.shrinkable:
                band = bands[0]
                if not band.counts[index]:
                    return np.full((height // shrink, width // shrink, 3), 255, np.uint8)
                data = joined(self._raw(band, index), band.tables, rgb=band.page.photometric == 2)
                return decode_jpeg(data, piece, shrink, self._buffer(level, shrink))
            pixels = self._pixels(bands, index, piece)
        except SlideError:
            raise
        except Exception as error:  # on damaged data codecs raise many kinds of exception
            raise SlideError(
                f"{self.path.name}: tile {index} of level {level} cannot be decoded ({error}).",
                code="E_PIXELS",
            ) from error
        return shrunk(pixels, shrink) if shrink > 1 else pixels

    def _pixels(self, bands: tuple[Band, ...], index: int, piece: Piece) -> np.ndarray:
        """A piece that is not a colour JPEG, at its full size, uint8[h, w, 3]."""
        first = bands[0]
        if len(bands) == 3:
            parts = [self._pixels((band,), index, piece)[..., :1] for band in bands]
            return np.concatenate(parts, axis=2)
        if first.page.planes > 1:
            step = first.page.across * first.page.down
            numbers = [plane * step + index for plane in range(first.page.planes)]
            if not any(first.counts[n] for n in numbers):
                return np.full((piece.size[1], piece.size[0], 3), 255, np.uint8)
            return decode_planes(
                [self._raw(first, n) for n in numbers], first.page, piece, tables=first.tables
            )
        if not first.counts[index]:
            return np.full((piece.size[1], piece.size[0], 3), 255, np.uint8)
        return decode_piece(self._raw(first, index), first.page, piece, tables=first.tables)

    def icc_profile(self) -> bytes:
        """The ICC profile of the slide; empty if it has none."""
        page = self._bands[0][0].page
        return (
            b""
            if page.icc is None
            else bytes(read_values(self._source, page.icc, 1 << 24, little=page.little).tobytes())
        )

    def close(self) -> None:
        """Close the file and drop the decoded tiles."""
        super().close()
        self._source.close()


def _compared_pixels(page: Page) -> int:
    """Most pixels that are decoded to compare a page; a large piece is not kept, but decoded for each point again."""
    piece = page.piece[0] * page.piece[1]
    pieces = page.across * page.down if 3 * piece <= CACHE_BYTES else _POINTS**2
    return min(_POINTS**2, pieces) * piece
