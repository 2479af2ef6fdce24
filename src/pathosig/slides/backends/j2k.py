"""Decoding of JPEG 2000 pieces; the header of the codestream is checked before OpenJPEG allocates memory."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import numpy as np

_MAX_PIXELS = 16_800_000
_MAX_BLOCKS = 400_000
"""Largest number of code-blocks and precincts; the decoder keeps a structure for each of them, even if they are small."""

_SRGB, _SYCC = (16).to_bytes(4, "big"), (18).to_bytes(4, "big")


@dataclass(frozen=True, kw_only=True, slots=True)
class Codestream:
    """The header of a codestream.

    Attributes
    ----------
    size
        (width, height).
    steps
        (horizontal, vertical) distance between the samples of each component.
    depths
        Bits of each component; negative for signed components.
    blocks
        Number of code-blocks and precincts.
    """

    size: tuple[int, int]
    steps: tuple[tuple[int, int], ...]
    depths: tuple[int, ...]
    blocks: int


def decode_j2k(data: bytes, size: tuple[int, int], inside: tuple[int, int]) -> tuple[np.ndarray, str]:
    """Samples of a JPEG 2000 piece, and the colour space in its JP2 header: ``ycbcr``, or an empty text.

    Parameters
    ----------
    data
        A codestream, or a JP2 file with a codestream.
    size, inside
        (width, height) of the piece, and of the part of it that lies inside the image.

    Returns
    -------
    Samples uint8[h, w, s], and the colour space.

    Raises
    ------
    ValueError
        If size or depth are not as expected; OpenJPEG raises other exceptions for damaged data.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> buffer = io.BytesIO()
    >>> Image.new("RGB", (16, 8), (200, 30, 100)).save(buffer, "JPEG2000")
    >>> samples, colours = decode_j2k(buffer.getvalue(), (16, 8), (16, 8))
    >>> samples.shape, samples[0, 0].tolist(), colours
    ((8, 16, 3), [200, 30, 100], '')
    """
    import imagecodecs  # of the extra `slides`; the head of a codestream is read without it

    stream, space = _unwrapped(data)
    declared = read_header(stream)
    width, height = declared.size
    if width > size[0] or height > size[1] or width < inside[0] or height < inside[1]:
        raise ValueError(f"{width} x {height} pixels, expected {size[0]} x {size[1]}")
    if width * height > _MAX_PIXELS or declared.blocks > _MAX_BLOCKS:
        raise ValueError("too large to decode")
    if any(depth != 8 for depth in declared.depths) or not 1 <= len(declared.depths) <= 4:
        raise ValueError(f"components of {declared.depths} bits")
    if all(step == (1, 1) for step in declared.steps):
        samples = np.asarray(imagecodecs.jpeg2k_decode(stream))
        samples = samples[..., None] if samples.ndim == 2 else samples
    else:
        samples = _subsampled(stream, declared)
    if samples.shape != (height, width, len(declared.depths)) or samples.dtype != np.uint8:
        raise ValueError(f"{samples.shape} {samples.dtype} samples")
    return samples, space


def _subsampled(stream: bytes, declared: Codestream) -> np.ndarray:
    """Samples of components of different sizes, whose samples Pillow repeats.

    The codestream is put into a JP2 file that declares sRGB, because Pillow would treat the bare codestream as YCbCr and
    convert it.
    """
    from PIL import Image

    width, height = declared.size
    n = len(declared.depths)
    if n != 3:
        raise ValueError(f"{n} components of different sizes")
    header = _box(b"ihdr", struct.pack(">IIHBBBB", height, width, n, 7, 7, 0, 0)) + _box(
        b"colr", b"\x01\0\0" + _SRGB
    )
    file = (
        _box(b"jP  ", b"\r\n\x87\n")
        + _box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
        + _box(b"jp2h", header)
        + _box(b"jp2c", stream)
    )
    with Image.open(io.BytesIO(file), formats=("JPEG2000",)) as image:
        pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != n:
        raise ValueError("components that are not read together")
    return pixels


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(data), kind) + data


def _unwrapped(data: bytes) -> tuple[bytes, str]:
    """The codestream of a JP2 file (or the given codestream), and ``ycbcr`` if the file declares it.

    Raises
    ------
    ValueError
        If there is no codestream.
    """
    if data[:2] == b"\xff\x4f":
        return data, ""
    at, space = 0, ""
    for _ in range(64):
        if at + 8 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 16 if length == 1 else 8
        if length == 1 and at + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, at + 8)
        end = len(data) if length == 0 else at + length
        if kind == b"jp2c":
            return data[at + head : end], space
        if kind == b"jp2h":
            end = at + head  # its boxes follow
        elif kind == b"colr" and data[at + head : at + head + 1] == b"\x01":
            space = "ycbcr" if data[at + head + 3 : at + head + 7] == _SYCC else space
        if end <= at:
            break
        at = end
    raise ValueError("no JPEG 2000 codestream")


def read_header(stream: bytes) -> Codestream:
    """Read the main header of a codestream.

    Parameters
    ----------
    stream
        The codestream, or its first bytes up to the first tile.

    Returns
    -------
    `Codestream`.

    Raises
    ------
    ValueError
        If it is damaged or cut off.

    Examples
    --------
    >>> import imagecodecs
    >>> data = imagecodecs.jpeg2k_encode(np.zeros((8, 16, 3), np.uint8), codecformat="j2k")
    >>> read_header(bytes(data)).size
    (16, 8)
    """
    if stream[:4] != b"\xff\x4f\xff\x51":
        raise ValueError("no codestream")
    try:
        return _header(stream)
    except (struct.error, IndexError) as error:
        raise ValueError("a header that is cut off") from error


def _header(stream: bytes) -> Codestream:
    x1, y1, x0, y0, tile_w, tile_h, tile_x, tile_y, n = struct.unpack_from(">8IH", stream, 8)
    if not (x0 < x1 and y0 < y1 and tile_w and tile_h and 1 <= n <= 4 and tile_x <= x0 and tile_y <= y0):
        raise ValueError("sizes that cannot be")
    parts = [struct.unpack_from("3B", stream, 42 + 3 * k) for k in range(n)]
    if any(not dx or not dy for _, dx, dy in parts):
        raise ValueError("components without samples")
    width, height = x1 - x0, y1 - y0
    tiles = -(-(x1 - tile_x) // tile_w) * -(-(y1 - tile_y) // tile_h)
    blocks = tiles
    at = 4 + struct.unpack_from(">H", stream, 4)[0]
    for _ in range(256):
        marker, length = struct.unpack_from(">HH", stream, at)
        if marker == 0xFF90:  # the first tile
            break
        if marker == 0xFF52:
            blocks += _blocks(
                stream[at + 4 + 5 : at + 2 + length],
                stream[at + 4],
                (min(width, tile_w), min(height, tile_h)),
                tiles * n,
            )
        elif marker == 0xFF53:
            blocks += _blocks(
                stream[at + 6 : at + 2 + length],
                stream[at + 5],
                (min(width, tile_w), min(height, tile_h)),
                tiles,
            )
        at += 2 + length
    depths = tuple((1 + (depth & 0x7F)) * (-1 if depth & 0x80 else 1) for depth, _, _ in parts)
    return Codestream(
        size=(width, height), steps=tuple((dx, dy) for _, dx, dy in parts), depths=depths, blocks=blocks
    )


def _blocks(coding: bytes, style: int, size: tuple[int, int], times: int) -> int:
    """Number of code-blocks and precincts of components, from the coding style (levels, block and precinct sizes) of COD or COC."""
    if len(coding) < 5:
        raise ValueError("a coding style that is cut off")
    levels = coding[0]
    if levels > 32 or coding[1] > 8 or coding[2] > 8:
        raise ValueError("a coding style that cannot be")
    block = (1 << (coding[1] + 2)) * (1 << (coding[2] + 2))
    total = size[0] * size[1] // block + 3 * levels + 1
    sizes = coding[5 : 6 + levels] if style & 1 else b""
    for level, precinct in enumerate(sizes):
        down = levels - level
        w, h = -(-size[0] // (1 << down)), -(-size[1] // (1 << down))
        total += -(-w // (1 << (precinct & 15))) * -(-h // (1 << (precinct >> 4)))
    return total * times
