"""Decoding one compressed piece of a TIFF. The size that its data declare is checked before a decoder runs."""

from __future__ import annotations

import struct
import zlib

import imagecodecs
import numpy as np

from pathosig.slides.backends.colour import PALETTE, RGB, YCBCR, scaled_bits, to_rgb, ycbcr_to_rgb
from pathosig.slides.backends.j2k import decode_j2k
from pathosig.slides.backends.jpeg import Piece, whole_jpeg
from pathosig.slides.backends.tiff_tags import (
    APERIO_RGB,
    APERIO_YCBCR,
    DEFLATE,
    JPEG,
    JPEG2000,
    LZW,
    NONE,
    PACKBITS,
    WEBP,
    Page,
)

_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def decode_piece(data: bytes, page: Page, piece: Piece, *, tables: bytes) -> np.ndarray:
    """A piece at its full size, uint8[h, w, 3]. A piece that is stored only up to the edge of the image is white beyond it.

    Parameters
    ----------
    data
        The bytes of the piece. For planes that are stored separately see `decode_planes`.
    page, piece
        The declarations of the page, and the size of the piece.
    tables
        The tag JPEGTables of the page.

    Returns
    -------
    uint8[h, w, 3].

    Raises
    ------
    ValueError
        If the size, bit depth or number of samples is not the declared one. Codecs raise other exceptions too.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from pathosig.slides.backends.tiff_tags import read_pages
    >>> path = Path(tempfile.mkdtemp()) / "S01.tif"
    >>> Image.new("RGB", (4, 2), (200, 30, 100)).save(path)  # a strip of uncompressed pixels
    >>> piece = Piece(size=(4, 2), inside=(4, 2))
    >>> decode_piece(bytes([200, 30, 100] * 8), read_pages(path)[0], piece, tables=b"")[0, :2].tolist()
    [[200, 30, 100], [200, 30, 100]]
    """
    if page.compression == JPEG and page.samples == 3 and page.planar == 1:
        return _filled(whole_jpeg(data, piece, tables, rgb=page.photometric == RGB), piece)
    if page.compression in JPEG2000:
        samples, colours = decode_j2k(data, piece.size, piece.inside)
        _expect(samples, page.samples)
        declared = page.photometric == YCBCR and page.compression not in APERIO_RGB
        turned = colours != "ycbcr" and not declared and page.compression != APERIO_YCBCR
        if colours == "ycbcr" and page.photometric == RGB:
            return _filled(ycbcr_to_rgb(samples[..., :3], page), piece)
        return _filled(to_rgb(samples, page, converted=turned), piece)
    if page.compression in WEBP:
        return _filled(_webp(data, page, piece), piece)
    return _filled(to_rgb(_plane_samples(data, page, piece, tables=tables), page), piece)


def decode_planes(parts: list[bytes], page: Page, piece: Piece, *, tables: bytes) -> np.ndarray:
    """A piece whose samples are stored in separate planes, uint8[h, w, 3].

    Parameters
    ----------
    parts
        The bytes of each plane.
    page, piece
        The declarations of the page, and the size of the piece.
    tables
        The tag JPEGTables of the page.

    Returns
    -------
    uint8[h, w, 3].

    Raises
    ------
    ValueError
        As for `decode_piece`, and if the planes have different sizes.

    Examples
    --------
    >>> import tempfile
    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from pathosig.slides.backends.tiff_tags import read_pages
    >>> path = Path(tempfile.mkdtemp()) / "S01.tif"
    >>> Image.new("RGB", (4, 2)).save(path)
    >>> page = replace(read_pages(path)[0], planar=2)
    >>> planes = [bytes([value] * 8) for value in (200, 30, 100)]
    >>> decode_planes(planes, page, Piece(size=(4, 2), inside=(4, 2)), tables=b"")[0, 0].tolist()
    [200, 30, 100]
    """
    planes = [_plane_samples(data, page, piece, tables=tables) for data in parts]
    if len({plane.shape for plane in planes}) != 1:
        raise ValueError("planes of different sizes")
    return _filled(to_rgb(np.concatenate(planes, axis=2), page), piece)


def _plane_samples(data: bytes, page: Page, piece: Piece, *, tables: bytes) -> np.ndarray:
    """The samples of a piece before conversion to RGB, uint8[h, w, s]; s is 1 for a plane that is stored separately."""
    if page.compression == JPEG:
        return whole_jpeg(data, piece, tables, rgb=False, gray=True)
    count = 1 if page.planar == 2 else page.samples
    if page.photometric == YCBCR and page.subsampling != (1, 1) and page.planar == 1:
        return _subsampled(data, page, piece)
    width, height = piece.size
    row = -(-width * count * page.bits // 8)
    raw = _unpacked(data, page, row * height)
    inside_row = -(-piece.inside[0] * count * page.bits // 8)
    if (
        len(raw) < row * piece.inside[1] and len(raw) == inside_row * piece.inside[1]
    ):  # stored only up to the edge of the image
        width, row = piece.inside[0], inside_row
    rows = min(len(raw) // row, height)
    if rows < piece.inside[1]:
        raise ValueError(f"it has {len(raw)} bytes of pixels, expected {row * piece.inside[1]}")
    values = scaled_bits(
        raw[: rows * row].reshape(rows, row), width * count, page.bits, indices=page.photometric == PALETTE
    )
    samples = values.reshape(rows, width, count)
    if page.predictor == 2:  # differences from the pixel to the left
        samples = np.add.accumulate(samples, axis=1, dtype=np.uint8)
    return samples


def _subsampled(data: bytes, page: Page, piece: Piece) -> np.ndarray:
    """YCbCr stored in units of h x v values of Y, one of Cb and one of Cr. Colours are repeated, as in libtiff."""
    h, v = page.subsampling
    (width, height), unit = piece.size, h * v + 2
    across, down = -(-width // h), -(-height // v)
    raw = _unpacked(data, page, across * down * unit)
    down = min(down, len(raw) // (across * unit))
    if down * v < piece.inside[1]:
        raise ValueError(f"it has only {len(raw)} bytes of pixels")
    units = raw[: across * down * unit].reshape(down, across, unit)
    y = units[..., : h * v].reshape(down, across, v, h).transpose(0, 2, 1, 3).reshape(down * v, across * h)
    colours = [np.repeat(np.repeat(units[..., h * v + k], v, axis=0), h, axis=1) for k in (0, 1)]
    return np.stack((y, *colours), axis=-1)[:height, :width]


def _unpacked(data: bytes, page: Page, expected: int) -> np.ndarray:
    """The decompressed bytes, at most as many as expected, uint8[n].

    Raises
    ------
    ValueError
        If the stream is damaged. Codecs raise other exceptions too.
    """
    if page.fill_order == 2:
        data = data.translate(_REVERSED)
    if page.compression in NONE:
        return np.frombuffer(data, np.uint8, count=min(len(data), expected))
    if page.compression in DEFLATE:
        stream = zlib.decompressobj()
        pixels = stream.decompress(data, expected)
        stream.decompress(stream.unconsumed_tail, 1)  # raises an error if the checksum at the end is wrong
        return np.frombuffer(pixels, np.uint8)
    if page.compression == LZW:
        return np.frombuffer(imagecodecs.lzw_decode(data, out=expected), np.uint8)
    if page.compression == PACKBITS:
        data = _packbits_runs(data, expected)
        return np.frombuffer(imagecodecs.packbits_decode(data, out=expected), np.uint8)
    return np.frombuffer(imagecodecs.zstd_decode(_zstd_frame(data), out=expected), np.uint8)


def _packbits_runs(data: bytes, expected: int) -> bytes:
    """The runs that give the expected bytes. A piece without a declared length reaches to the next one, and over any padding."""
    at = count = 0
    while count < expected and at < len(data):
        head = data[at]
        count += head + 1 if head < 128 else (257 - head) % 129
        at += head + 2 if head < 128 else 1 + (head > 128)
    return data[:at]


def _zstd_frame(data: bytes) -> bytes:
    """The first frame (RFC 8878, section 3.1.1), without the padding behind it of a piece that has no declared length."""
    if data[:4] != b"\x28\xb5\x2f\xfd" or len(data) < 9:
        return data
    flags = data[4]
    is_single = flags >> 5 & 1
    at = 6 - is_single + (0, 1, 2, 4)[flags & 3] + (is_single, 2, 4, 8)[flags >> 6]
    while at + 3 <= len(data):
        block = int.from_bytes(data[at : at + 3], "little")
        at += 4 if block >> 1 & 3 == 1 else 3 + (block >> 3)
        if block & 1:
            return data[: at + 4 * (flags >> 2 & 1)]
    return data


def _filled(pixels: np.ndarray, piece: Piece) -> np.ndarray:
    """The pixels of a piece at its full size, white beyond the part that is stored.

    Raises
    ------
    ValueError
        If the part inside the image is incomplete, or the pixels exceed the piece.
    """
    width, height = piece.size
    if pixels.shape[:2] == (height, width):
        return pixels
    if (
        pixels.shape[0] < piece.inside[1]
        or pixels.shape[1] < piece.inside[0]
        or pixels.shape[0] > height
        or pixels.shape[1] > width
    ):
        raise ValueError(f"it has {pixels.shape[1]} x {pixels.shape[0]} pixels, expected {width} x {height}")
    out = np.full((height, width, 3), 255, np.uint8)
    out[: pixels.shape[0], : pixels.shape[1]] = pixels
    return out


def _expect(samples: np.ndarray, count: int) -> None:
    if samples.shape[2] != count:
        raise ValueError(f"it has {samples.shape[2]} samples per pixel, expected {count}")


def _webp(data: bytes, page: Page, piece: Piece) -> np.ndarray:
    """The pixels of a WebP piece, whose header gives its size."""
    width, height = _webp_size(data)
    if width > piece.size[0] or height > piece.size[1]:
        raise ValueError(f"it has {width} x {height} pixels, expected {piece.size[0]} x {piece.size[1]}")
    pixels = imagecodecs.webp_decode(data)
    if page.samples == 3 and pixels.shape[2] == 4 and pixels[..., 3].min() == 255:
        pixels = pixels[..., :3]
    elif page.samples == 4 and pixels.shape[2] == 3:  # libwebp does not store alpha that is opaque everywhere
        pixels = np.concatenate((pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)), axis=2)
    _expect(pixels, page.samples)
    return to_rgb(pixels, page, converted=True)


def _webp_size(data: bytes) -> tuple[int, int]:
    """(width, height) that a WebP file declares.

    Raises
    ------
    ValueError
        If the data are not WebP.
    """
    kind = data[12:16]
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        raise ValueError("it is not WebP")
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("it is an unknown kind of WebP")
