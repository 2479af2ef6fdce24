"""The layout of KFB files (KFBio): the header, the tile index and the places of label images, read without decoding anything.

References
----------
The format is not published. The layout is the one on which two independent readers agree: kfbslide (MIT) and
the fork of OpenSlide that has the driver kfbio.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends.source import ByteSource

_HEADER = 92
_IMAGE = 52
"""Bytes that describe a macro image or label image; its JPEG follows."""

_FAR = 4096

_RECORD = np.dtype(
    {
        "names": ["x", "y", "width", "height", "scale", "length", "offset"],
        "formats": ["<u4", "<u4", "<u4", "<u4", "<f4", "<u4", "<i8"],
        "offsets": [4, 8, 12, 16, 20, 32, 36],
        "itemsize": 64,
    }
)
_MAX_TILE = 4096
_SAMPLES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class KfbFacts:
    """The contents of the header and the index of a KFB file.

    Attributes
    ----------
    size
        (width, height) of level 0.
    power
        Nominal magnification, which is also the scale of level 0.
    mpp
        Micrometres per level-0 pixel, or 0 if it is not known.
    tiles
        Structured array: x, y, width and height in pixels of the tile's level; its scale; its length and offset in the
        file in bytes.
    """

    size: tuple[int, int]
    power: float
    mpp: float
    tiles: np.ndarray


def is_kfb(head: bytes) -> bool:
    r"""Whether the first bytes of a file are those of a KFB file.

    Parameters
    ----------
    head
        At least 7 bytes from the beginning of the file.

    Returns
    -------
    Whether the mark of a KFB file is there.

    Examples
    --------
    >>> is_kfb(b"\x02\x01\xee\xeeKFB"), is_kfb(b"II*\x00\x08\x00\x00")
    (True, False)
    """
    return head[1:4] == b"\x01\xee\xee" and head[4:7] == b"KFB"


def read_facts(source: ByteSource, file_bytes: int, name: str) -> KfbFacts:
    """The checked header and index of a KFB file.

    Parameters
    ----------
    source
        The opened file.
    file_bytes
        Size of the file in bytes.
    name
        Name of the file in messages.

    Returns
    -------
    `KfbFacts`.

    Raises
    ------
    SlideError
        E_FORMAT if the file is not a KFB file, is truncated or has an unknown layout; E_CODEC if its tiles are not JPEGs.

    Examples
    --------
    >>> import tempfile
    >>> from contextlib import closing
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "S01.kfb"
    >>> _ = path.write_bytes(b"not a slide")
    >>> with closing(ByteSource(path)) as source:
    ...     read_facts(source, 11, "S01.kfb")
    Traceback (most recent call last):
        ...
    pathosig.core.errors.SlideError: S01.kfb: is not a KFB file, or is damaged. Copy it again.
    """
    head = source.read(0, _HEADER)
    if len(head) < _HEADER or not is_kfb(head):
        raise SlideError(f"{name}: is not a KFB file, or is damaged. Copy it again.", code="E_FORMAT")
    count, height, width, power = struct.unpack_from("<4I", head, 16)
    codec = head[32:36].rstrip(b"\0")
    if not codec.startswith(b"JP"):
        raise SlideError(
            f"{name}: its tiles are stored as {codec.decode('ascii', 'replace')!r}; only JPEG is read. "
            "Convert the slide to a tiled TIFF.",
            code="E_CODEC",
        )
    start = struct.unpack_from("<Q", head, 68)[0]
    (mpp,) = struct.unpack_from("<f", head, 76)
    (side,) = struct.unpack_from("<I", head, 88)
    if not (count and width and height and power) or not 0 < side <= _MAX_TILE:
        raise _unknown(
            name, "its header declares no tiles, no size, no magnification or an impossible tile size"
        )
    if start + count * _RECORD.itemsize > file_bytes:
        raise SlideError(
            f"{name}: is truncated: its index of {count} tiles lies beyond its end. Copy it again.",
            code="E_FORMAT",
        )
    tiles = np.frombuffer(source.read(start, count * _RECORD.itemsize), _RECORD).copy()
    _check_places(tiles, (width, height, power), side=side, name=name)
    labels = _labels(source, struct.unpack_from("<2I", head, 52), file_bytes)
    tiles["offset"] = _offsets(source, tiles, start=start, labels=labels, name=name)
    return KfbFacts(size=(width, height), power=float(power), mpp=float(mpp), tiles=tiles)


def _check_places(tiles: np.ndarray, declared: tuple[int, int, int], *, side: int, name: str) -> None:
    width, height, power = declared
    scale = tiles["scale"]
    if not (
        np.isfinite(scale).all() and (scale > 0).all() and abs(float(scale.max()) - power) < 0.01 * power
    ):
        raise _unknown(name, f"its index has no tiles at the full scale {power}")
    down = power / scale.astype(float)
    right = tiles["x"].astype(float) + tiles["width"]
    bottom = tiles["y"].astype(float) + tiles["height"]
    sane = (tiles["width"] > 0) & (tiles["height"] > 0) & (tiles["width"] <= side) & (tiles["height"] <= side)
    sane &= (right <= width / down + side) & (bottom <= height / down + side)
    if not sane.all():
        raise _unknown(name, "its index places tiles outside the slide")


def _labels(source: ByteSource, places: tuple[int, ...], file_bytes: int) -> list[tuple[int, int]]:
    """(first byte, byte after the last) of the macro image and the label image, so that they are never read as tiles."""
    spans = []
    for place in places:
        described = source.read(place, _IMAGE) if 0 < place < file_bytes else b""
        if len(described) == _IMAGE and described[2:4] == b"\xee\xee":
            length, distance = struct.unpack_from("<2I", described, 20)
            plausible = _IMAGE <= distance < _FAR
            spans.append((place, place + (distance if plausible else _IMAGE) + length))
    return spans


def _offsets(
    source: ByteSource, tiles: np.ndarray, *, start: int, labels: list[tuple[int, int]], name: str
) -> np.ndarray:
    """Where tiles begin: at the offsets from the index that their records give, or else stored one after another."""
    length = tiles["length"].astype(np.int64)
    said = tiles["offset"]
    if not (said < 0).all():  # not every writer fills the upper 32 bits
        said = (said & 0xFFFFFFFF) - (1 << 32)
    candidates = [start + said]
    if labels:
        first = _first_jpeg(source, max(end for _, end in labels))
        if first is not None:
            candidates.append(first + np.cumsum(length) - length)
    sample = np.linspace(0, len(tiles) - 1, _SAMPLES).astype(int)
    for offsets in candidates:
        inside = any(bool(((offsets < end) & (offsets + length > begin)).any()) for begin, end in labels)
        if (offsets < _HEADER).any() or inside:
            continue
        begins = [source.read(int(offsets[i]), 2) == b"\xff\xd8" for i in sample]
        if 2 * sum(begins) > len(begins):
            return offsets
    raise _unknown(name, "there are no JPEGs at the places in its index")


def _first_jpeg(source: ByteSource, begin: int) -> int | None:
    """Where the first JPEG begins, searched within a megabyte from `begin`."""
    at = source.read(begin, 1 << 20).find(b"\xff\xd8\xff")
    return begin + at if at >= 0 else None


def _unknown(name: str, what: str) -> SlideError:
    return SlideError(
        f"{name}: is a KFB file of an unknown layout or damaged ({what}). Copy it again, or convert it to a tiled TIFF.",
        code="E_FORMAT",
    )
