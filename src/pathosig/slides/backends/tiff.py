"""The fast path: tiled TIFF slides, compressed tiles read once and decoded at the size that is needed."""

from __future__ import annotations

import dataclasses
import functools
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends.scatter import Scatter, parts
from pathosig.slides.backends.source import ByteSource
from pathosig.slides.backends.tiff_codecs import decode_jpeg, decode_other, shrunk
from pathosig.slides.backends.tiff_tags import CODECS, JPEG, PageFacts, header_mpp, read_pages
from pathosig.slides.pyramid import ReadPlan
from pathosig.slides.reader import ContextClose, SlideInfo
from pathosig.slides.reading import draw_scaled
from pathosig.slides.resolution import checked_mpp, power_warning

_MAX_PIXELS = 4e11
_MAX_PIXELS_PER_BYTE = 20_000
_LOST_SHARE = 0.02
"""Share of level-0 tiles beyond the end of the file from which a slide counts as truncated."""

_CACHE_BYTES = 48_000_000
_SHRUNK_LIMIT = 60_000_000
_LOOKAHEAD = 24
_VENDORS = {"aperio", "generic-tiff", "philips", None}


def choose(path: Path) -> str:
    """The reader for a TIFF: ``tiff`` or ``ndpi`` (the fast paths), ``openslide`` or ``flat``.

    Raises
    ------
    SlideError
        If the file is damaged, truncated, or stored in a way no reader here takes.
    """
    page = read_pages(path)[0]
    # what OpenSlide says of these itself; importing it costs a tenth of a slide's tissue and tiles
    vendor = "aperio" if page.tiled and page.description.startswith("Aperio") else _openslide_vendor(path)
    if vendor == "hamamatsu":
        from pathosig.slides.backends.ndpi import readable

        return "ndpi" if readable(path) else "openslide"
    if vendor not in _VENDORS:
        return "openslide"
    if not page.tiled:
        return "flat" if vendor is None else "openslide"
    _guard(path, page)
    if page.compression not in CODECS:
        raise SlideError(
            f"{path.name}: tiles are compressed with TIFF codec {page.compression}, which no reader here decodes. "
            "Convert the slide to JPEG or JPEG 2000 tiles.",
            code="E_CODEC",
        )
    if page.predictor not in (1, 2):
        raise SlideError(
            f"{path.name}: tiles are stored with TIFF predictor {page.predictor}; expected none or horizontal.",
            code="E_CODEC",
        )
    return "tiff" if page.planar == 1 else "openslide"


def _openslide_vendor(path: Path) -> str | None:
    import openslide

    try:
        found: str | None = openslide.OpenSlide.detect_format(str(path))
    except openslide.OpenSlideError:
        return None
    return found


def _guard(path: Path, page: PageFacts) -> None:
    """Refuse what cannot be true or cannot be read, before anything is allocated."""
    width, height = page.size
    size = path.stat().st_size
    if width * height > min(_MAX_PIXELS, _MAX_PIXELS_PER_BYTE * size):
        raise SlideError(
            f"{path.name}: declares {width} x {height} pixels in {size} bytes, which cannot be. Copy it again.",
            code="E_TOO_LARGE",
        )
    if page.bits != 8:
        raise SlideError(
            f"{path.name}: has {page.bits} bits a channel; expected 8. Convert it, choosing the range yourself.",
            code="E_BITDEPTH",
        )
    if page.photometric not in (0, 1, 2, 6) or page.samples not in (1, 3, 4):
        raise SlideError(
            f"{path.name}: colours are stored as photometric {page.photometric} with {page.samples} samples; "
            "expected RGB, YCbCr or gray.",
            code="E_PHOTOMETRIC",
        )


class TiffReader(ContextClose):
    """A tiled TIFF; compressed tiles are decoded at most once per pass.

    Raises
    ------
    SlideError
        E_FORMAT for truncated files, and what `choose` raises.
    """

    def __init__(self, path: Path, *, mpp: float | None = None) -> None:
        self.path = path
        pages = read_pages(path)
        _guard(path, pages[0])
        x, y, power, vendor = header_mpp(pages[0])
        self._levels = _halved(pages) if vendor == "philips" else _pyramid(pages)
        self._cache: OrderedDict[tuple[int, int, int], np.ndarray] = OrderedDict()
        self._cached_bytes = 0
        self._cache_limit = _CACHE_BYTES
        self._spare: list[np.ndarray] = []
        value, source = checked_mpp(x, y, given=mpp, name=path.name)
        width = pages[0].size[0]
        self.info = SlideInfo(
            level_sizes=tuple(p.size for p in self._levels),
            downsamples=tuple(_downsample(width / p.size[0]) for p in self._levels),
            mpp=value,
            mpp_source=source,
            vendor=vendor,
            objective_power=power,
            warnings=(*power_warning(value, power), *self._lost_tiles(pages)),
        )
        self._file = ByteSource(path)  # last: nothing above may leave it open

    def _lost_tiles(self, pages: list[PageFacts]) -> tuple[str, ...]:
        page = self._levels[0]
        size = self.path.stat().st_size
        lost, *others = (p.beyond(size) for p in pages)
        if lost > _LOST_SHARE * len(page.offsets):
            raise SlideError(
                f"{self.path.name}: is truncated, {lost} of {len(page.offsets)} tiles lie beyond its end. Copy it again.",
                code="E_FORMAT",
            )
        found = [f"{lost} of {len(page.offsets)} tiles lie beyond the end of the file"] if lost else []
        if any(others):
            found.append(
                f"the file is cut short: {sum(map(bool, others))} of its smaller images lack their end"
            )
        return tuple(found)

    # -- decoding one compressed tile ------------------------------------------------------

    def _raw(self, page: PageFacts, index: int) -> bytes:
        data = self._file.read(page.offsets[index], page.counts[index])
        if len(data) != page.counts[index]:
            raise SlideError(f"{self.path.name}: a tile lies beyond the end of the file.", code="E_PIXELS")
        return data

    def _decode(self, level: int, index: int, shrink: int) -> np.ndarray:
        """One compressed tile at 1/shrink of its size, uint8[h, w, 3]."""
        page = self._levels[level]
        if not page.counts[index]:
            return np.full((page.tile[1] // shrink, page.tile[0] // shrink, 3), 255, np.uint8)
        data = self._raw(page, index)
        try:
            if page.compression == JPEG:
                return decode_jpeg(data, page, shrink, self._buffer(page, shrink))
            pixels = decode_other(data, page)
        except Exception as error:  # codecs raise many kinds on damaged data
            raise SlideError(
                f"{self.path.name}: tile {index} of level {level} cannot be decoded.", code="E_PIXELS"
            ) from error
        return shrunk(pixels, shrink) if shrink > 1 else pixels

    def _buffer(self, page: PageFacts, shrink: int) -> np.ndarray:
        """Memory for a decoded tile, that of a dropped one where it fits: fresh pages cost a tenth of decoding."""
        shape = (page.tile[1] // shrink, page.tile[0] // shrink, 3)
        try:
            spare = self._spare.pop()
        except IndexError:  # also where another thread was quicker
            return np.empty(shape, np.uint8)
        return spare if spare.shape == shape else np.empty(shape, np.uint8)

    def _tile(self, level: int, index: int, shrink: int) -> np.ndarray:
        """A tile that is not in the cache; it is afterwards."""
        pixels = self._decode(level, index, shrink)
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
        """Memory that the next decoded tile may have."""
        if len(self._spare) < 2 and pixels.flags.owndata:
            self._spare.append(pixels)

    # -- assembling -----------------------------------------------------------------------

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a level; outside the slide white."""
        return self._assemble(level, x, y, width, height, 1)

    def _assemble(self, level: int, x: int, y: int, width: int, height: int, shrink: int) -> np.ndarray:
        """Pixels of a level at 1/shrink, coordinates in shrunk pixels."""
        out = np.empty((height, width, 3), np.uint8)
        self._fill(out, level, x, y, shrink)
        return out

    def _fill(self, out: np.ndarray, level: int, x: int, y: int, shrink: int) -> None:
        """Write the pixels at (x, y) into `out`; outside the slide white."""
        page = self._levels[level]
        height, width = out.shape[:2]
        full = (-(-page.size[0] // shrink), -(-page.size[1] // shrink))
        if x < 0 or y < 0 or x + width > full[0] or y + height > full[1]:
            out[:] = 255
        columns = parts(x, width, page.tile[0] // shrink, full[0])
        cache = self._cache
        for row, to_rows, from_rows in parts(y, height, page.tile[1] // shrink, full[1]):
            strip, first = out[to_rows], row * page.across
            for column, to_columns, from_columns in columns:
                key = (level, first + column, shrink)
                tile = cache.get(key)
                if tile is None:
                    tile = self._tile(*key)
                else:
                    cache.move_to_end(key)
                strip[:, to_columns] = tile[from_rows, from_columns]

    def read_level_shrunk(self, level: int, factor: int) -> np.ndarray | None:
        """A whole level at a half, quarter or eighth, or None where that saves nothing."""
        page = self._levels[level]
        shrink = max((k for k in (1, 2, 4, 8) if k <= factor), default=1)
        width, height = -(-page.size[0] // shrink), -(-page.size[1] // shrink)
        if page.compression != JPEG or width * height > _SHRUNK_LIMIT:
            return None
        self._cache_limit = 0  # every tile is needed once
        try:
            return self._assemble(level, 0, 0, width, height, shrink)
        finally:
            self._cache_limit = _CACHE_BYTES

    def tile_source(
        self, plan: ReadPlan, xy: np.ndarray, size_px: int, threads: int
    ) -> Callable[[int, int, np.ndarray], None]:
        """A function (x, y in level-0 pixels, out uint8[size, size, 3]) for tiles asked for in order."""
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
        """What fills blocks of these tiles, or None where they are not pixels of decoded tiles as they are."""
        shrink = self._shrink(plan, xy)
        if not len(xy) or abs(plan.scale / shrink - 1) >= 1e-9:
            return None
        corners = np.rint(np.asarray(xy) / (plan.level_downsample * shrink)).astype(int)
        return Scatter(
            self._levels[plan.level],
            shrink,
            corners,
            size_px=size_px,
            decode=functools.partial(self._decode, plan.level, shrink=shrink),
            give_back=self._give_back,
            limit=_CACHE_BYTES,
            threads=threads,
        )

    def _enough(self, level: int, xy: np.ndarray, side: float, shrink: int) -> int:
        """Bytes of decoded tiles worth keeping: for tiles asked for row by row, the rows that one row touches."""
        page = self._levels[level]
        if not len(xy) or np.any(np.diff(np.asarray(xy)[:, 1]) < 0):
            return _CACHE_BYTES
        width, height = page.tile[0] // shrink, page.tile[1] // shrink
        return min(_CACHE_BYTES, int(side / height + 2) * (page.across + 1) * width * height * 3)

    def _shrink(self, plan: ReadPlan, xy: np.ndarray) -> int:
        """How far JPEG tiles are decoded small: never below the target, only where corners stay whole pixels."""
        page = self._levels[plan.level]
        if plan.exact or page.compression != JPEG:
            return 1
        corners = np.asarray(xy, float) / plan.level_downsample
        for shrink in (2,):  # at 4 and 8 the DCT low-pass is below 40 dB against area averages
            whole = not np.any(np.abs(corners / shrink - np.rint(corners / shrink)) > 1e-6)
            if (
                shrink <= plan.scale * 1.001
                and whole
                and not (page.tile[0] % shrink or page.tile[1] % shrink)
            ):
                return shrink
        return 1

    def indices(self, level: int, x: int, y: int, width: int, height: int, shrink: int) -> list[int]:
        """Compressed tiles that cover a part of a level, coordinates in shrunk pixels."""
        page = self._levels[level]
        tile_w, tile_h = page.tile[0] // shrink, page.tile[1] // shrink
        across, down = page.across, -(-page.size[1] // page.tile[1])
        columns = range(max(x // tile_w, 0), min(-(-(x + width) // tile_w), across))
        rows = range(max(y // tile_h, 0), min(-(-(y + height) // tile_h), down))
        return [row * across + column for row in rows for column in columns]

    def close(self) -> None:
        """Close the file and drop decoded tiles."""
        self._cache.clear()
        self._cached_bytes = 0
        self._file.close()


class _Ahead:
    """Decodes the compressed tiles of the next few tiles in threads while the current one is drawn."""

    def __init__(
        self,
        reader: TiffReader,
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
                    self._jobs[index] = self._pool.submit(reader._decode, self._level, index, self._shrink)
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


def _pyramid(pages: list[PageFacts]) -> tuple[PageFacts, ...]:
    """The tiled images that are level 0 seen smaller; thumbnails, labels and macros are left out."""
    base = pages[0]
    ratio = base.size[0] / base.size[1]
    levels = [base]
    for page in pages[1:]:
        smaller = page.size[0] < levels[-1].size[0]
        slack = 0.02 + 2 / min(page.size)
        if page.tiled and smaller and abs(page.size[0] / page.size[1] / ratio - 1) < slack:
            levels.append(page)
    return tuple(levels)


def _halved(pages: list[PageFacts]) -> tuple[PageFacts, ...]:
    """Philips' levels: each half of the one before, though stored with whole tiles of padding."""
    width, height = pages[0].size
    tiled = [
        p for p in pages if p.tiled and p.tile == pages[0].tile and p.photometric == pages[0].photometric
    ]
    return tuple(dataclasses.replace(p, size=(width >> k, height >> k)) for k, p in enumerate(tiled))


def _downsample(value: float) -> float:
    """Whole downsamples are whole: level sizes are rounded, pyramids are not."""
    return float(round(value)) if abs(value - round(value)) < 0.01 * value else value
