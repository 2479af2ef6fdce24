"""The places of the pieces of a TIFF page, checked against the file before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends.bounds import check_declared, shared_pieces
from pathosig.slides.backends.colour import YCBCR, check_colours
from pathosig.slides.backends.source import ByteSource
from pathosig.slides.backends.tiff_tags import JPEG2000, NONE, Page, read_values

_MAX_TILE = 64_000_000
_MAX_STRIP = 400_000_000
_SMALL_STRIP = 48_000_000
"""Most pixels of a strip in any file. A larger strip must have at least one byte for every `_STRIP_RATIO` pixels."""

_STRIP_RATIO = 50
_ROWS = 256
"""Rows of uncompressed strips that are read together, because a writer may store a whole image in one strip."""

_LOST_SHARE = 0.02
_FEW = 8


def most_lost(pieces: int) -> int:
    """How many pieces of a level may lie beyond the end of the file; with more, the slide is refused as truncated.

    Parameters
    ----------
    pieces
        Number of pieces of the level.

    Returns
    -------
    2 %, and one piece of a few.

    Examples
    --------
    >>> most_lost(1000), most_lost(16), most_lost(2)
    (20, 1, 0)
    """
    return max(int(_LOST_SHARE * pieces), int(pieces >= _FEW))


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """A page of a level with the places of its pieces.

    Attributes
    ----------
    offsets, counts
        int64[planes * across * down]: places and lengths in bytes. A length of 0 is a piece that was never written; it is white.
    shared
        bool[planes * across * down]: whether another piece refers to the same bytes.
    tables
        The tag JPEGTables.
    """

    page: Page
    offsets: np.ndarray
    counts: np.ndarray
    shared: np.ndarray
    tables: bytes

    def beyond(self, file_bytes: int) -> int:
        """Number of pieces that end beyond the end of the file."""
        return int(
            np.count_nonzero((self.counts > 0) & (self.offsets + self.counts.clip(max=2**62) > file_bytes))
        )


def read_band(page: Page, source: ByteSource, file_bytes: int, name: str) -> Band:
    """A page with the places of its pieces, after its colours and sizes have been checked.

    Parameters
    ----------
    page
        The page as its directory declares it.
    source
        The open file.
    file_bytes
        Size of the file in bytes.
    name
        Name of the file, for messages.

    Returns
    -------
    `Band`.

    Raises
    ------
    SlideError
        The errors of `check_colours`; E_TOO_LARGE for tiles or images that are too large, E_FORMAT for missing places.

    Examples
    --------
    >>> import tempfile
    >>> from contextlib import closing
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from pathosig.slides.backends.source import ByteSource
    >>> from pathosig.slides.backends.tiff_tags import read_pages
    >>> path = Path(tempfile.mkdtemp()) / "S01.tif"
    >>> Image.new("RGB", (64, 64)).save(path)
    >>> with closing(ByteSource(path)) as source:
    ...     band = read_band(read_pages(path)[0], source, path.stat().st_size, path.name)
    >>> band.counts
    array([12288])
    """
    check_colours(page, name)
    check_declared(page.size, file_bytes, name)
    pixels = page.piece[0] * page.piece[1]
    if page.tiled and pixels > _MAX_TILE:
        raise SlideError(
            f"{name}: has tiles of {page.piece[0]} x {page.piece[1]} pixels, larger than any scanner writes. "
            "Convert it to tiles of 256 to 1024 pixels.",
            code="E_TOO_LARGE",
        )
    count = page.across * page.down * page.planes
    if count > 4 * file_bytes:
        raise SlideError(
            f"{name}: declares {count} tiles in {file_bytes} bytes, which is impossible. Copy it again.",
            code="E_TOO_LARGE",
        )
    offsets, counts = _places(page, count, source, file_bytes, name)
    slow = page.compression in JPEG2000
    shared = shared_pieces(offsets, counts, pixels, file_bytes=file_bytes, name=name, slow=slow)
    if (
        not page.tiled
        and page.compression in NONE
        and page.piece[1] > _ROWS
        and page.bits == 8
        and page.planar == 1
    ):
        page, offsets, counts = _thin_strips(page, offsets, counts)
        shared = np.zeros(len(offsets), bool)
        pixels = page.piece[0] * page.piece[1]
    if not page.tiled and pixels > min(
        _MAX_STRIP, max(_SMALL_STRIP, _STRIP_RATIO * int(counts.max(initial=0)))
    ):
        raise SlideError(
            f"{name}: declares {page.size[0]} x {page.size[1]} pixels in strips of {page.piece[1]} rows, which is too large for "
            "an image without tiles. Convert it to a tiled TIFF.",
            code="E_TOO_LARGE",
        )
    return Band(page=page, offsets=offsets, counts=counts, shared=shared, tables=page.tables)


def _places(
    page: Page, count: int, source: ByteSource, file_bytes: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and lengths of the pieces. A piece without a length extends to the next one."""
    if page.offsets is None:
        raise SlideError(f"{name}: does not list the places of its tiles. Copy it again.", code="E_FORMAT")
    read = [
        read_values(source, values, count, little=page.little)
        if values is not None
        else np.zeros(0, np.uint64)
        for values in (page.offsets, page.counts)
    ]
    most = np.float64(2**62)
    offsets, counts = (np.minimum(np.nan_to_num(v.astype(np.float64)), most).astype(np.int64) for v in read)
    lost = count - len(offsets)
    if lost > most_lost(count):
        raise SlideError(
            f"{name}: does not list the places of {lost} of its {count} tiles. Copy it again.",
            code="E_FORMAT",
        )
    beyond = np.full(lost, file_bytes, np.int64)  # treated as lying beyond the end, and so counted as lost
    offsets = np.concatenate([offsets, beyond])
    if len(counts) < count:
        ordered = np.unique(np.append(offsets, file_bytes))
        following = ordered[np.minimum(np.searchsorted(ordered, offsets, side="right"), len(ordered) - 1)]
        counts = np.concatenate([counts, (following - offsets)[len(counts) :]])
    else:
        offsets = np.where((offsets == 0) & (counts > 0), -1, offsets)  # overwritten, and so lost alone
    counts = np.where(offsets >= file_bytes, np.maximum(counts, 1), counts)
    return offsets, np.where(offsets == 0, 0, counts)


def _thin_strips(page: Page, offsets: np.ndarray, counts: np.ndarray) -> tuple[Page, np.ndarray, np.ndarray]:
    """An uncompressed page with tall strips, described as one with lower strips that are parts of them."""
    width, rows = page.piece
    row_bytes = width * page.samples
    starts, lengths = [], []
    per = -(-rows // _ROWS)
    if rows % _ROWS and len(offsets) > 1:  # the parts would not be equally high
        return page, offsets, counts
    if page.photometric == YCBCR and page.subsampling != (1, 1):
        return page, offsets, counts
    for offset, count in zip(offsets.tolist(), counts.tolist(), strict=True):
        for strip in range(per):
            begin = strip * _ROWS * row_bytes
            starts.append(offset + begin)
            lengths.append(max(1, min(_ROWS * row_bytes, count - begin)) if count else 0)
    thin = replace(page, piece=(width, _ROWS))
    n = thin.across * thin.down
    return thin, np.array(starts[:n], np.int64), np.array(lengths[:n], np.int64)
