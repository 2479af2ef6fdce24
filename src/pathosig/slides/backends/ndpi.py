"""Hamamatsu NDPI: each level is one large JPEG, which is decoded in pieces between its restart markers."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from pathosig.core.errors import SlideError
from pathosig.slides.backends.bounds import check_declared, check_decoded
from pathosig.slides.backends.jpeg import Piece, decode_jpeg, shrunk
from pathosig.slides.backends.source import ByteSource, read_error
from pathosig.slides.backends.tiff_tags import JPEG
from pathosig.slides.backends.tiled import Grid, TiledReader, whole
from pathosig.slides.reader import SlideInfo
from pathosig.slides.resolution import checked_mpp, from_resolution_tags, power_warning

_MAX_WHOLE = 40_000_000
"""Most pixels of a level without restart markers; such a level is decoded as a whole."""

_MAX_PIECE = 16_000_000
_ROWS = 64
"""Rows of pixels decoded together. More rows would take more memory; fewer would need more calls of the decoder."""

_LENS, _FOCUS, _STARTS, _STARTS_HIGH = 65421, 65424, 65426, 65432
_YCBCR = 6
_HEADER = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layout:
    """How a level's JPEG is divided into intervals.

    ``header`` is all before its data, ``starts`` are the offsets of the intervals in the file, and ``interval`` is their
    (width, height).
    """

    header: bytes
    size_at: int
    starts: np.ndarray
    end: int
    interval: tuple[int, int]
    across: int
    stacked: int
    halved_colour: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Level:
    """A level treated as tiled.

    ``span`` is (start, length) of its JPEG in the file; ``layout`` is None if the level is decoded as a whole.
    """

    grid: Grid
    layout: _Layout | None
    span: tuple[int, int]
    resolution: tuple[float | None, float | None, int]


class NdpiReader(TiledReader):
    """An NDPI slide whose JPEGs have restart markers, so that only the intervals needed are decoded.

    Intervals that lie below one another are decoded together as one small JPEG. With the chroma subsampling that scanners
    write, 4:4:4 and 4:2:2, rows share no colour samples, so the pixels equal those of decoding each interval alone, as
    OpenSlide does. OpenSlide 4.0 cannot decode intervals with 4:2:0; here they are decoded without smoothing colour
    across the border of two pieces.

    Raises
    ------
    SlideError
        E_FORMAT for damaged files and for those without a list of restart markers (see `readable`).
    """

    def __init__(self, path: Path, *, mpp: float | None = None) -> None:
        self.path = path
        levels_and_power = _levels(path)
        if levels_and_power is None:
            raise SlideError(
                f"{path.name}: does not list its restart markers; read it with the reader openslide.",
                code="E_FORMAT",
            )
        levels, power = levels_and_power
        self._levels = levels
        x, y, unit = levels[0].resolution
        header = from_resolution_tags(x, y, unit) if unit == 3 else (None, None)
        value, source = checked_mpp(*header, given=mpp, name=path.name)
        width = levels[0].grid.size[0]
        info = SlideInfo(
            level_sizes=tuple(level.grid.size for level in levels),
            downsamples=tuple(whole(width / level.grid.size[0]) for level in levels),
            mpp=value,
            mpp_source=source,
            vendor="hamamatsu",
            objective_power=power,
            warnings=power_warning(value, power),
        )
        super().__init__(tuple(level.grid for level in levels), info)
        self._source = ByteSource(path)

    def _decode(self, level: int, index: int, shrink: int) -> np.ndarray:
        """The pixels of a stack of intervals at 1/shrink of its size, uint8[h, w, 3]."""
        declared = self._levels[level]
        try:
            if declared.layout is None:
                width, height = declared.grid.size
                piece = Piece(size=(width, height), inside=(width, height))
                pixels = decode_jpeg(self._whole(declared), piece, 1, np.empty((height, width, 3), np.uint8))
                return shrunk(pixels, shrink) if shrink > 1 else pixels
            return self._stack(declared.grid.size[1], declared.layout, index, shrink)
        except SlideError:
            raise
        except Exception as error:  # on damaged data the decoder raises many kinds of exception
            raise SlideError(
                f"{self.path.name}: piece {index} of level {level} cannot be decoded.", code="E_PIXELS"
            ) from error

    def _whole(self, level: _Level) -> bytes:
        start, count = level.span
        data = self._source.read(start, count)
        if len(data) != count:
            raise SlideError(f"{self.path.name}: an image lies beyond the end of the file.", code="E_PIXELS")
        return data

    def _stack(self, height: int, layout: _Layout, index: int, shrink: int) -> np.ndarray:
        row, column = divmod(index, layout.across)
        top = row * layout.stacked
        rows = min(layout.stacked, height // layout.interval[1] - top)
        pieces = [self._piece(layout, (top + k) * layout.across + column) for k in range(rows)]
        if shrink == 2 and layout.halved_colour:
            # at half size the decoder handles subsampled colour differently: only 38 dB PSNR against area means
            return shrunk(self._jpeg(layout, pieces, 1), 2)
        return self._jpeg(layout, pieces, shrink)

    def _jpeg(self, layout: _Layout, pieces: list[bytes], shrink: int) -> np.ndarray:
        """Decode intervals as a JPEG of their own, with its size set in the header and its restart markers counted from 0."""
        width, height = layout.interval[0], layout.interval[1] * len(pieces)
        header = bytearray(layout.header)
        struct.pack_into(">HH", header, layout.size_at, height, width)
        parts = [bytes(header)]
        for k, piece in enumerate(pieces):
            parts += [piece, bytes((0xFF, 0xD9 if k == len(pieces) - 1 else 0xD0 + k % 8))]
        small = Piece(size=(width, height), inside=(width, height))
        out = np.empty((height // shrink, width // shrink, 3), np.uint8)
        return decode_jpeg(b"".join(parts), small, shrink, out)

    def _piece(self, layout: _Layout, number: int) -> bytes:
        """The data of an interval without the marker that follows it.

        Raises
        ------
        SlideError
            E_PIXELS if the interval does not end with a marker.
        """
        start = int(layout.starts[number])
        stop = int(layout.starts[number + 1]) if number + 1 < len(layout.starts) else layout.end
        data = self._source.read(start, stop - start)
        if len(data) != stop - start or len(data) < 2 or data[-2] != 0xFF or data[-1] < 0xD0:
            raise SlideError(f"{self.path.name}: has no restart marker where one is listed.", code="E_PIXELS")
        return data[:-2]

    def close(self) -> None:
        """Close the file and drop decoded tiles."""
        super().close()
        self._source.close()


def readable(path: Path) -> bool:
    """Whether the JPEG of level 0 has restart markers that the file lists, so that `NdpiReader` can read the slide.

    Parameters
    ----------
    path
        A TIFF file.

    Returns
    -------
    Whether all levels can be read by `NdpiReader`.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "S01.tif"
    >>> Image.new("RGB", (64, 64)).save(path)
    >>> readable(path)
    False
    """
    return _levels(path) is not None


def _levels(path: Path) -> tuple[tuple[_Level, ...], float | None] | None:
    """The levels of focal plane 0 and the nominal magnification, or None if level 0 cannot be read in pieces."""
    try:
        with tifffile.TiffFile(path) as file, path.open("rb") as handle:
            pages = [page for page in file.pages if _is_level(page)]
            cut = [_level(page, handle) for page in pages]
            power = float(pages[0].tags.valueof(_LENS)) if pages else None
    except SlideError:
        raise
    except OSError as error:
        raise read_error(path.name, error) from error
    except Exception as error:  # on a damaged structure tifffile raises many kinds of exception
        raise SlideError(
            f"{path.name}: has a damaged NDPI structure ({type(error).__name__}). Copy it again.",
            code="E_FORMAT",
        ) from error
    kept: list[_Level] = []
    for level in cut:
        if level is not None and (not kept or level.grid.size[0] < kept[-1].grid.size[0]):
            kept.append(level)
    if not cut or cut[0] is None or cut[0].layout is None:
        return None
    width, height = kept[0].grid.size
    size = path.stat().st_size
    check_declared((width, height), size, path.name)
    check_decoded(width * height, size, path.name)
    end = cut[0].layout.end
    if end > size:
        raise SlideError(
            f"{path.name}: is truncated: the end of its first image is missing. Copy it again.",
            code="E_FORMAT",
        )
    return tuple(kept), power


def _is_level(page: Any) -> bool:
    tags = page.tags
    return float(tags.valueof(_LENS) or 0) > 0 and not int(tags.valueof(_FOCUS) or 0)


def _level(page: Any, handle: Any) -> _Level | None:
    tags = page.tags
    width, height = int(tags.valueof(256)), int(tags.valueof(257))
    start, count = int(tags.valueof(273)[0]), int(tags.valueof(279)[0])
    if int(tags.valueof(259)) != JPEG or int(tags.valueof(278)) != height or int(tags.valueof(262)) != _YCBCR:
        return None
    layout = _layout(page, handle, (width, height), (start, start + count))
    if layout is None and width * height > _MAX_WHOLE:
        return None
    tile = (width, height) if layout is None else (layout.interval[0], layout.interval[1] * layout.stacked)
    return _Level(
        grid=Grid(size=(width, height), tile=tile, shrinkable=layout is not None),
        layout=layout,
        span=(start, count),
        resolution=(_ratio(tags.valueof(282)), _ratio(tags.valueof(283)), int(tags.valueof(296) or 2)),
    )


def _layout(page: Any, handle: Any, size: tuple[int, int], span: tuple[int, int]) -> _Layout | None:
    """Where the intervals lie, or None if the JPEG has none or they do not cover the image exactly."""
    listed = page.tags.valueof(_STARTS)
    if listed is None:
        return None
    starts = np.atleast_1d(listed).astype(np.int64)
    high = page.tags.valueof(_STARTS_HIGH)
    if high is not None:
        starts = starts + (np.atleast_1d(high).astype(np.int64) << 32)
    handle.seek(span[0])
    header = _header(handle.read(_HEADER))
    if header is None:
        return None
    data, size_at, mcu, blocks = header
    interval = (blocks * mcu[0], mcu[1])
    if not blocks or size[0] % interval[0] or size[1] % interval[1] or interval[0] * interval[1] > _MAX_PIECE:
        return None
    starts = starts + span[0]
    across = size[0] // interval[0]
    whole = len(starts) == across * (size[1] // interval[1]) and starts[0] == span[0] + len(data)
    if not whole or np.any(np.diff(starts) < 2) or starts[-1] >= span[1]:
        return None
    return _Layout(
        header=data,
        size_at=size_at,
        starts=starts,
        end=span[1],
        interval=interval,
        across=across,
        stacked=max(1, _ROWS // interval[1]),
        halved_colour=mcu != (8, 8),
    )


def _header(data: bytes) -> tuple[bytes, int, tuple[int, int], int] | None:
    """(bytes before the data, offset of the size, (width, height) of an MCU, MCUs per interval) of a baseline JPEG."""
    at, size_at, blocks = 2, 0, 0
    mcu = (0, 0)
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        length = struct.unpack_from(">H", data, at + 2)[0]
        if marker in (0xC0, 0xC1):
            size_at = at + 5
            sampling = [data[at + 11 + 3 * k] for k in range(data[at + 9])]
            mcu = (8 * max(s >> 4 for s in sampling), 8 * max(s & 15 for s in sampling))
        elif 0xC2 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return None  # such as progressive, whose intervals cannot be decoded one by one
        elif marker == 0xDD:
            blocks = struct.unpack_from(">H", data, at + 4)[0]
        at += 2 + length
        if marker == 0xDA:
            return (data[:at], size_at, mcu, blocks) if size_at and at <= len(data) else None
    return None


def _ratio(value: Any) -> float | None:
    if isinstance(value, tuple) and len(value) == 2:
        return value[0] / value[1] if value[1] else None
    return float(value) if value else None
