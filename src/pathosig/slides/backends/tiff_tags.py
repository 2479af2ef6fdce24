"""The directories of a TIFF, read without trusting them: every count is checked before memory is allocated."""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends.source import ByteSource, state_of

NONE, LZW, JPEG, DEFLATE, PACKBITS, ZSTD = (1,), 5, 7, (8, 32946), 32773, 50000
APERIO_YCBCR, APERIO_RGB = 33003, (33004, 33005)
JPEG2000 = (APERIO_YCBCR, *APERIO_RGB, 34712)
WEBP = (50001, 34927)

_MAX_PAGES, _MAX_TAGS, _TAG_COST = 2_000, 4_096, 500
_MAX_SUBIMAGES = 64
_MAX_TEXT, _MAX_FIRST_TEXT = 1 << 16, 1 << 26
_MAX_TABLES = 1 << 20
_MAX_VALUES = 1 << 28
"""Most bytes of tags read from a file, over all images. No slide needs more, but many images may refer to the same bytes.
Each tag counts `_TAG_COST` bytes more, because images may share their tags as well."""

_FORMATS = {
    1: "B",
    2: "B",
    3: "H",
    4: "I",
    6: "b",
    7: "B",
    8: "h",
    9: "i",
    11: "f",
    12: "d",
    13: "I",
    16: "Q",
    17: "q",
    18: "Q",
}
_RATIOS = {5: "I", 10: "i"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Values:
    """Where the values of a tag lie, to be read when they are needed."""

    kind: int
    count: int
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One image of a TIFF as its directory declares it.

    Attributes
    ----------
    number
        Position in the main chain of images; that of the parent image for a sub-image.
    parent
        Whether this is a sub-image (SubIFD), which has a parent.
    piece
        (width, height) of its tiles, or of its strips if it has no tiles.
    across, down
        Number of tiles or strips in a row and in a column of a plane.
    bits, sample_format
        BitsPerSample and SampleFormat of every sample; 0 if samples differ.
    extra
        ExtraSamples: the meaning of the samples after the colours.
    subsampling
        (horizontal, vertical) subsampling of the colours of YCbCr.
    luma, black_white
        YCbCrCoefficients and ReferenceBlackWhite.
    offsets, counts
        Where the places and lengths of the compressed pieces are listed.
    subfile
        NewSubfileType: 1 a reduced image, 4 a mask, 9 the macro image of an Aperio slide.
    title
        The tag PageName.
    """

    number: int
    parent: bool
    size: tuple[int, int]
    piece: tuple[int, int]
    tiled: bool
    compression: int
    photometric: int
    samples: int
    bits: int
    sample_format: int
    planar: int
    predictor: int
    fill_order: int
    orientation: int
    extra: tuple[int, ...]
    subsampling: tuple[int, int]
    luma: tuple[float, ...]
    black_white: tuple[float, ...]
    colour_map: tuple[int, ...]
    tables: bytes
    icc: Values | None
    offsets: Values | None
    counts: Values | None
    subfile: int
    description: str
    title: str
    software: str
    resolution: tuple[float | None, float | None, int]
    little: bool

    @property
    def across(self) -> int:
        """Number of tiles or strips in a row."""
        return -(-self.size[0] // self.piece[0])

    @property
    def down(self) -> int:
        """Number of tiles or strips in a column."""
        return -(-self.size[1] // self.piece[1])

    @property
    def planes(self) -> int:
        """Number of separately stored planes: one for each sample, or 1 if samples are stored together."""
        return self.samples if self.planar == 2 else 1


def read_pages(path: Path) -> tuple[Page, ...]:
    """All images of a TIFF: those of the main chain, each followed by its sub-images.

    Parameters
    ----------
    path
        The file, or its address in object storage.

    Returns
    -------
    One `Page` for each image.

    Raises
    ------
    SlideError
        E_FORMAT if the structure is damaged or loops, E_READ if the disk fails.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "S01.tif"
    >>> Image.new("RGB", (64, 32)).save(path)
    >>> [(page.size, page.samples, page.bits) for page in read_pages(path)]
    [((64, 32), 3, 8)]
    """
    return _read_pages(path, *state_of(path))


@functools.lru_cache(maxsize=4)
def _read_pages(path: Path, size: int, _changed: int | str) -> tuple[Page, ...]:
    """The images; kept, so that choosing a reader and opening it parse the file only once."""
    source = ByteSource(path)
    try:
        pages = tuple(_Directories(source, size, path.name).pages())
    finally:
        source.close()
    if not pages:
        raise SlideError(f"{path.name}: is a TIFF without images. Copy it again.", code="E_FORMAT")
    return pages


class _Directories:
    """Walks the directories of one file."""

    def __init__(self, source: ByteSource, size: int, name: str) -> None:
        self._source, self._size, self._name = source, size, name
        self._budget = _MAX_VALUES
        head = source.read(0, 16)
        self._order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        if not self._order or len(head) < 8:
            raise self._damaged("its header is incomplete")
        (magic,) = struct.unpack_from(self._order + "H", head, 2)
        self._big = magic == 43
        if magic not in (42, 43) or (self._big and len(head) < 16):
            raise self._damaged("its header is not that of a TIFF")
        self._first = struct.unpack_from(
            self._order + ("Q" if self._big else "I"), head, 8 if self._big else 4
        )[0]

    def _damaged(self, what: str) -> SlideError:
        return SlideError(
            f"{self._name}: has a damaged TIFF structure ({what}). Copy it again.", code="E_FORMAT"
        )

    def pages(self) -> Iterator[Page]:
        """The images in the order of the file."""
        seen: set[int] = set()
        at, number, total = self._first, 0, 0
        while at:
            if at in seen:
                raise self._damaged("its directories loop")
            total += 1
            if total > _MAX_PAGES:
                raise self._damaged(f"more than {_MAX_PAGES} images")
            seen.add(at)
            directory = self._directory(at)
            if directory is None:  # the file is truncated, but the images before are complete
                return
            tags, following = directory
            page = self._page(tags, number, parent=False)
            if page is not None:
                yield page
            for place in self._numbers(tags.get(330), _MAX_SUBIMAGES):
                inner = self._directory(int(place)) if place not in seen else None
                total += 1
                seen.add(int(place))
                smaller = self._page(inner[0], number, parent=True) if inner is not None else None
                if smaller is not None:
                    yield smaller
            at, number = following, number + 1

    def _directory(self, at: int) -> tuple[dict[int, Values], int] | None:
        """The tags of the directory at an offset and the offset of the next one, or None if it lies beyond the file."""
        width, kind = (8, "Q") if self._big else (2, "H")
        head = self._source.read(at, width) if 0 < at < self._size else b""
        if len(head) < width:
            return None
        (count,) = struct.unpack(self._order + kind, head)
        self._budget -= _TAG_COST * count
        if count > _MAX_TAGS or self._budget < 0:
            raise self._damaged(f"{count} tags in one directory")
        entry, link = (20, 8) if self._big else (12, 4)
        data = self._source.read(at + width, count * entry + link)
        if len(data) < count * entry:
            return None
        tags: dict[int, Values] = {}
        for index in range(count):
            code, form, n = struct.unpack_from(
                self._order + ("HHQ" if self._big else "HHI"), data, index * entry
            )
            place = at + width + index * entry + (12 if self._big else 8)
            length = n * _width(form)
            if not length:
                continue
            if length > link:
                (place,) = struct.unpack_from(
                    self._order + ("Q" if self._big else "I"), data, place - at - width
                )
            if place + length <= self._size:
                tags.setdefault(code, Values(kind=form, count=n, at=place))
        tail = data[count * entry :]
        following = (
            struct.unpack(self._order + ("Q" if self._big else "I"), tail)[0] if len(tail) == link else 0
        )
        return tags, following

    def _numbers(self, values: Values | None, most: int) -> tuple[float, ...]:
        """Up to `most` numbers of a tag; none if it is missing."""
        if values is None:
            return ()
        return tuple(self._array(values, most).tolist())

    def _array(self, values: Values, most: int) -> np.ndarray:
        self._budget -= min(values.count, most) * _width(values.kind)
        if self._budget < 0:
            raise self._damaged("its tags are larger than those of any slide")
        return read_values(self._source, values, most, little=self._order == "<")

    def _text(self, values: Values | None, most: int) -> str:
        if values is None or values.kind not in (1, 2, 7):
            return ""
        data = bytes(self._array(values, most)).split(b"\0", 1)[0]
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("latin-1")

    def _page(self, tags: dict[int, Values], number: int, *, parent: bool) -> Page | None:
        """The image of a directory, or None if it declares no size."""

        def number_of(code: int, default: int) -> int:
            values = self._numbers(tags.get(code), 1)
            return int(values[0]) if values and math.isfinite(values[0]) else default

        def numbers(code: int, most: int, default: tuple[float, ...]) -> tuple[float, ...]:
            values = self._numbers(tags.get(code), most)
            return values if len(values) >= len(default) else default

        size = (number_of(256, 0), number_of(257, 0))
        if min(size) <= 0:
            return None
        tile = (number_of(322, 0), number_of(323, 0))
        tiled = tile != (0, 0)
        if tiled and min(tile) <= 0:
            raise self._damaged(f"tiles of {tile[0]} x {tile[1]} pixels")
        rows = number_of(278, size[1])
        strip = (size[0], min(rows, size[1]) if rows > 0 else size[1])
        bits = set(self._numbers(tags.get(258), 16)) or {1}
        formats = set(self._numbers(tags.get(339), 16)) or {1}
        places, lengths = ((324, 273), (325, 279)) if tiled else ((273, 324), (279, 325))
        luma = numbers(529, 3, (0.299, 0.587, 0.114))
        h, v = numbers(530, 2, (2, 2))
        photometric = number_of(262, -1)
        samples = number_of(277, 1)
        tables = tags.get(347)
        first = number == 0 and not parent
        return Page(
            number=number,
            parent=parent,
            size=size,
            piece=tile if tiled else strip,
            tiled=tiled,
            compression=number_of(259, 1),
            photometric=photometric if photometric >= 0 else (2 if samples >= 3 else 1),
            samples=samples,
            bits=int(bits.pop()) if len(bits) == 1 else 0,
            sample_format=int(formats.pop()) if len(formats) == 1 else 0,
            planar=number_of(284, 1),
            predictor=number_of(317, 1),
            fill_order=number_of(266, 1),
            orientation=number_of(274, 1),
            extra=tuple(int(e) for e in self._numbers(tags.get(338), 16)),
            subsampling=(int(h), int(v)),
            luma=luma,
            black_white=numbers(532, 6, (0, 255, 128, 255, 128, 255)),
            colour_map=tuple(int(c) for c in self._numbers(tags.get(320), 768)),
            tables=bytes(self._array(tables, _MAX_TABLES))
            if tables is not None and tables.kind in (1, 7)
            else b"",
            icc=tags.get(34675),
            offsets=next((tags[code] for code in places if code in tags), None),
            counts=next((tags[code] for code in lengths if code in tags), None),
            subfile=number_of(254, 0),
            description=self._text(tags.get(270), _MAX_FIRST_TEXT if first else _MAX_TEXT),
            title=self._text(tags.get(285), 256),
            software=self._text(tags.get(305), 256),
            resolution=(self._resolution(tags.get(282)), self._resolution(tags.get(283)), number_of(296, 2)),
            little=self._order == "<",
        )

    def _resolution(self, values: Values | None) -> float | None:
        numbers = self._numbers(values, 1)
        return float(numbers[0]) if numbers and math.isfinite(numbers[0]) and numbers[0] > 0 else None


def _width(kind: int) -> int:
    """Bytes per value of a type; 0 for an unknown type."""
    if kind in _RATIOS:
        return 8
    return struct.calcsize("<" + _FORMATS[kind]) if kind in _FORMATS else 0


def read_values(source: ByteSource, values: Values, most: int, *, little: bool) -> np.ndarray:
    """Up to `most` values of a tag, in a NumPy array of their type (float64 for ratios).

    Parameters
    ----------
    source
        The opened file.
    values
        Where the values lie.
    most
        Largest number of values read.
    little
        Whether the file is little-endian.

    Returns
    -------
    [min(count, most)], or fewer at the end of the file.

    Raises
    ------
    SlideError
        E_READ if the disk fails.

    Examples
    --------
    >>> import tempfile
    >>> from contextlib import closing
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "S01.tif"
    >>> Image.new("RGB", (64, 32)).save(path)
    >>> page = read_pages(path)[0]
    >>> with closing(ByteSource(path)) as source:
    ...     print(read_values(source, page.counts, 10, little=page.little))
    [6144]
    """
    count = min(values.count, most)
    data = source.read(values.at, count * _width(values.kind))
    order = "<" if little else ">"
    if values.kind in _RATIOS:
        pairs = np.frombuffer(data[: len(data) // 8 * 8], order + _RATIOS[values.kind]).reshape(-1, 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(pairs[:, 0] / pairs[:, 1].astype(np.float64))
    kind = np.dtype(order + _FORMATS[values.kind])
    return np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind)
