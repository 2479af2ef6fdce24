"""Decoding of JPEG pieces of a TIFF, from its tables and abbreviated JPEGs, with the colours that the TIFF declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import imagecodecs
import numpy as np
import simplejpeg

from pathosig.slides.pyramid import resample

_ADOBE = b"\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00"
"""Adobe marker without its last byte, which is 0 for RGB and 1 for YCbCr components."""

_END, _SCAN = b"\xff\xd9", b"\xff\xda"
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xCB}

_SCANNED, _SCANNED_PER_BYTE = 4_000_000, 2_000
"""Largest product of pixels and scans of any piece, and per byte of a larger one; each scan processes all pixels again."""


_COMMON = {"Gray", "444", "422", "420", "440", "411"}
"""Subsamplings that simplejpeg decodes, by its names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A tile or strip: its (width, height), and that of the part of it that lies inside the image."""

    size: tuple[int, int]
    inside: tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frame:
    """The frame header of a JPEG: (width, height), bits per sample, and (horizontal, vertical) sampling of each component."""

    size: tuple[int, int]
    bits: int
    sampling: tuple[tuple[int, int], ...]

    @property
    def is_subsampled(self) -> bool:
        """Whether components have different sizes."""
        return len(set(self.sampling)) > 1


def joined(data: bytes, tables: bytes, *, rgb: bool) -> bytes:
    r"""A complete JPEG with three components, from the tables of a page and the abbreviated JPEG of a piece.

    As in libtiff and OpenSlide, the photometric interpretation of the TIFF determines whether the components are RGB or YCbCr, and
    JFIF and Adobe markers are ignored. Subsampled components cannot be RGB, and libtiff refuses them; here they are YCbCr if a marker
    declares it. A missing end marker is added, but missing pixels still cause an error in the decoder.

    Parameters
    ----------
    data
        The abbreviated JPEG.
    tables
        JPEGTables of the page; may be empty.
    rgb
        Whether the TIFF declares RGB; otherwise it declares YCbCr.

    Returns
    -------
    The bytes of the JPEG.

    Raises
    ------
    ValueError
        If the TIFF declares RGB, but the components are subsampled and no marker declares YCbCr.

    Examples
    --------
    >>> joined(b"\xff\xd8<scan>", b"\xff\xd8<tables>\xff\xd9", rgb=False)[:17]
    b'\xff\xd8\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00'
    """
    head = tables[2:-2] if len(tables) > 4 else b""
    body = data[2:]
    if rgb:
        frame = _frame(data)
        if frame is not None and frame.is_subsampled:
            if not (_marks_ycbcr(head) or _marks_ycbcr(body)):
                raise ValueError("RGB that is subsampled")
            rgb = False
    if b"Adobe" in data or b"Adobe" in head or (rgb and (b"JFIF" in data or b"JFIF" in head)):
        head, body = _without_marks(head), _without_marks(body)
    mark = _ADOBE + (b"\0" if rgb else b"\1")
    end = b"" if data.endswith(_END) or data.rstrip(b"\0").endswith(_END) else _END
    return b"".join((b"\xff\xd8", mark, head, body, end))


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and stop of each segment before the first scan; `data` begins after the first marker of the file."""
    at = 0
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xFF:  # fill byte
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] in (0xD8, 0xDA) or length < 2:
            return
        yield data[at + 1], at, at + 2 + length
        at += 2 + length


def _frame(data: bytes) -> _Frame | None:
    """The frame header of a JPEG; None if there is none."""
    for marker, start, stop in _segments(data[2:]):
        if marker in _FRAMES:
            segment = data[2 + start : 2 + stop]
            if len(segment) < 10 + 3 * segment[9]:
                return None
            sampling = tuple((segment[11 + 3 * k] >> 4, segment[11 + 3 * k] & 15) for k in range(segment[9]))
            size = (int.from_bytes(segment[7:9], "big"), int.from_bytes(segment[5:7], "big"))
            return _Frame(size=size, bits=segment[4], sampling=sampling)
    return None


def _is_mark(data: bytes, marker: int, start: int) -> bool:
    """Whether a segment declares colours, which JFIF and Adobe segments do."""
    return (marker == 0xE0 and data[start + 4 : start + 9] == b"JFIF\0") or (
        marker == 0xEE and data[start + 4 : start + 9] == b"Adobe"
    )


def _marks_ycbcr(data: bytes) -> bool:
    """Whether a JFIF or Adobe marker declares YCbCr."""
    return any(
        _is_mark(data, marker, start) and (marker == 0xE0 or data[start + 15 : start + 16] == b"\1")
        for marker, start, _ in _segments(data)
    )


def _without_marks(data: bytes) -> bytes:
    """The data without JFIF and Adobe segments."""
    out, at = [], 0
    for marker, start, stop in _segments(data):
        if _is_mark(data, marker, start):
            out.append(data[at:start])
            at = stop
    return b"".join((*out, data[at:]))


def whole_jpeg(data: bytes, piece: Piece, tables: bytes, *, rgb: bool, gray: bool = False) -> np.ndarray:
    """A JPEG piece at full size, uint8[h, w, 3], or uint8[h, w, 1] if it is grey.

    Parameters
    ----------
    data, tables, rgb
        As for `joined`.
    piece
        Declared size of the piece.
    gray
        Whether it has one component.

    Returns
    -------
    uint8[h, w, 3] or uint8[h, w, 1].

    Raises
    ------
    ValueError
        If it is damaged, or its size or its components are not as declared.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> buffer = io.BytesIO()
    >>> Image.new("L", (16, 8), 200).save(buffer, "JPEG")
    >>> whole_jpeg(buffer.getvalue(), Piece(size=(16, 8), inside=(16, 8)), b"", rgb=False, gray=True).shape
    (8, 16, 1)
    """
    data = _plain(data, tables) if gray else joined(data, tables, rgb=rgb)
    size, sampling = _checked_header(data, piece, gray=gray)
    if not sampling:
        return _decoded_elsewhere(data, size)
    return np.asarray(simplejpeg.decode_jpeg(data, "GRAY" if gray else "RGB"))


def _plain(data: bytes, tables: bytes) -> bytes:
    end = b"" if data.rstrip(b"\0").endswith(_END) else _END
    return (tables[:-2] if len(tables) > 4 else b"\xff\xd8") + data[2:] + end


def _decoded_elsewhere(data: bytes, size: tuple[int, int]) -> np.ndarray:
    """Decode a JPEG with a subsampling that the interface of TurboJPEG does not support, by that of libjpeg-turbo."""
    pixels = np.asarray(imagecodecs.jpeg8_decode(data, outcolorspace="RGB"))
    if pixels.shape != (size[1], size[0], 3) or pixels.dtype != np.uint8:
        raise ValueError(f"pixels of the shape {pixels.shape}")
    return pixels


def _checked_header(data: bytes, piece: Piece, *, gray: bool) -> tuple[tuple[int, int], str]:
    """(width, height) of a JPEG that fits its piece, and the name of its subsampling, which is empty if it is uncommon.

    Raises
    ------
    ValueError
        If the JPEG is larger than its piece or smaller than the part inside the image, or if its components or its number of
        scans are wrong.
    """
    try:
        height, width, colours, sampling = simplejpeg.decode_jpeg_header(data)
        sampling = sampling if sampling in _COMMON else ""
        if (colours == "Gray") != gray or colours in ("CMYK", "YCCK"):
            raise ValueError(f"components of {colours}")
    except (ValueError, KeyError):
        frame = _frame(data)
        if gray or frame is None or len(frame.sampling) != 3 or frame.bits != 8:
            raise
        (width, height), sampling = frame.size, ""
    full, inside = piece.size, piece.inside
    if width > full[0] or height > full[1] or width < inside[0] or height < inside[1]:
        raise ValueError(f"{width} x {height} pixels, expected {full[0]} x {full[1]}")
    if data.count(_SCAN) * width * height > max(width * height, _SCANNED + _SCANNED_PER_BYTE * len(data)):
        raise ValueError("too many scans")
    return (width, height), sampling


def decode_jpeg(data: bytes, piece: Piece, shrink: int, out: np.ndarray) -> np.ndarray:
    """A JPEG with three components at 1/shrink of its size, uint8[h / shrink, w / shrink, 3].

    Parameters
    ----------
    data
        A complete JPEG; see `joined`.
    piece
        Declared size of the piece, whose sides `shrink` divides.
    shrink
        1, 2, 4 or 8.
    out
        Buffer uint8[h / shrink, w / shrink, 3], which may be used for the result.

    Returns
    -------
    uint8[h / shrink, w / shrink, 3]; it may share memory with `out`.

    Raises
    ------
    ValueError
        If it is damaged, or its size or its components are not as declared.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> buffer = io.BytesIO()
    >>> Image.new("RGB", (32, 16), (200, 30, 100)).save(buffer, "JPEG", quality=95)
    >>> out = np.empty((8, 16, 3), np.uint8)
    >>> decode_jpeg(buffer.getvalue(), Piece(size=(32, 16), inside=(32, 16)), 2, out).shape
    (8, 16, 3)
    """
    (width, height), sampling = _checked_header(data, piece, gray=False)
    whole = (width, height) == piece.size
    if sampling and (shrink == 1 or sampling != "411"):
        pixels = simplejpeg.decode_jpeg(
            data,
            "RGB",
            min_height=max(1, height // shrink),
            min_width=max(1, width // shrink),
            min_factor=shrink,
            buffer=out if whole else None,
        )
    else:
        # decoding 4:1:1 at half size would lose half of its resolution of colour
        full = simplejpeg.decode_jpeg(data, "RGB") if sampling else _decoded_elsewhere(data, (width, height))
        pixels = np.asarray(full)
        pixels = pixels if shrink == 1 else shrunk(pixels, shrink)
        if whole:
            return pixels
    if whole and pixels.shape == out.shape:
        return out
    if whole:
        raise ValueError("a tile of another size than declared")
    out[:] = 255
    out[: pixels.shape[0], : pixels.shape[1]] = pixels[: out.shape[0], : out.shape[1]]
    return out


def shrunk(pixels: np.ndarray, shrink: int) -> np.ndarray:
    """Pixels at 1/shrink of their size; each is the mean of the pixels that it replaces.

    Parameters
    ----------
    pixels
        uint8[h, w, 3].
    shrink
        1, 2, 4 or 8.

    Returns
    -------
    uint8[h // shrink, w // shrink, 3]

    Examples
    --------
    >>> pixels = np.zeros((2, 4, 3), np.uint8)
    >>> pixels[:, 1] = 100
    >>> shrunk(pixels, 2)[..., 0]
    array([[50,  0]], dtype=uint8)
    """
    return resample(pixels, (pixels.shape[1] // shrink, pixels.shape[0] // shrink))
