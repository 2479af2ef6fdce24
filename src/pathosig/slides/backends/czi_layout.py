"""The layout of CZI files (ZEISS): directory of subblocks and scaling, which are read without decoding pixels."""

from __future__ import annotations

import math
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends.bounds import check_declared, check_decoded
from pathosig.slides.backends.source import ByteSource
from pathosig.slides.backends.xml import parse_xml

_SEGMENT = 32
_MAX_XML = 64_000_000
_MAX_BLOCK = 64_000_000
"""Largest number of pixels of a subblock; ZEN writes 4 to 6 million."""

RAW, JPEG_XR, ZSTD0, ZSTD1 = 0, 4, 5, 6
_CODECS = {1: "JPEG", 2: "LZW"}
GRAY8, BGR24, BGRA32 = 0, 3, 9
_DEEP = {
    1: "Gray16",
    2: "Gray32Float",
    4: "Bgr48",
    8: "Bgr96Float",
    10: "Gray64",
    11: "Bgr192",
    12: "Gray32",
    13: "Gray64",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Subblock:
    """Position of a subblock in the slide and in the file.

    Attributes
    ----------
    x, y, width, height
        Position and size in level-0 pixels, relative to the origin of the file.
    stored
        (width, height) in stored pixels.
    order
        Subblocks of higher order cover those of lower order.
    pixels, codec
        Codes of the pixel type and of the compression.
    place, entry_bytes
        Position in the file, and size of its entry in the directory.
    planes
        Position along each further dimension.
    """

    x: int
    y: int
    width: int
    height: int
    stored: tuple[int, int]
    order: int
    pixels: int
    codec: int
    place: int
    entry_bytes: int
    planes: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class CziFacts:
    """Directory and metadata of a CZI file.

    Attributes
    ----------
    blocks
        Subblocks of the plane that is read.
    origin
        (x, y) of the top left corner of the slide in the coordinates of the subblocks.
    size
        (width, height) of level 0, which is the bounding box of all scenes.
    mpp
        Micrometres per level-0 pixel in x and y; None if unknown.
    power
        Nominal magnification of the objective; None if unknown.
    warnings
        Sentences for the user.
    """

    blocks: tuple[Subblock, ...]
    origin: tuple[int, int]
    size: tuple[int, int]
    mpp: tuple[float | None, float | None]
    power: float | None
    warnings: tuple[str, ...]


def read_facts(path: Path, source: ByteSource) -> CziFacts:
    """Read and check directory and metadata of a CZI file, before any pixel is decoded.

    Parameters
    ----------
    path
        Path of the file.
    source
        The same file, opened.

    Returns
    -------
    CziFacts

    Raises
    ------
    SlideError
        E_FORMAT if the file is not CZI, damaged, truncated or has several images; E_BITDEPTH or E_PHOTOMETRIC if pixels are not
        8-bit colours or grey; E_CODEC if the compression is not supported; E_TOO_LARGE.

    Examples
    --------
    >>> import tempfile
    >>> from contextlib import closing
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "S01.czi"
    >>> _ = path.write_bytes(b"not a slide")
    >>> with closing(ByteSource(path)) as source:
    ...     read_facts(path, source)
    Traceback (most recent call last):
        ...
    pathosig.core.errors.SlideError: S01.czi: is not a CZI file, or is damaged. Copy it again.
    """
    file_bytes = path.stat().st_size
    head = source.read(0, _SEGMENT + 80)
    if not head.startswith(b"ZISRAWFILE") or len(head) < _SEGMENT + 80:
        raise SlideError(
            f"{path.name}: is not a CZI file, or is damaged. Copy it again.",
            code="E_FORMAT",
        )
    file_part, directory, metadata = struct.unpack_from("<iqq", head, _SEGMENT + 48)
    if file_part:
        raise SlideError(
            f"{path.name}: is part {file_part} of a slide that consists of several files. Export it as one file.",
            code="E_FORMAT",
        )
    blocks = _read_directory(source, directory, file_bytes, path.name)
    blocks, warnings = _one_plane(blocks, path.name)
    _check_pixels(blocks, path.name)
    finest = [b for b in blocks if (b.width, b.height) == b.stored]
    if not finest:
        raise SlideError(f"{path.name}: has no subblocks of full resolution.", code="E_FORMAT")
    left, top = min(b.x for b in finest), min(b.y for b in finest)
    width = max(b.x + b.width for b in finest) - left
    height = max(b.y + b.height for b in finest) - top
    check_declared((width, height), file_bytes, path.name)
    check_decoded(sum(math.prod(b.stored) for b in blocks), file_bytes, path.name)
    mpp, power = _metadata(source, metadata, file_bytes)
    return CziFacts(
        blocks=blocks, origin=(left, top), size=(width, height), mpp=mpp, power=power, warnings=warnings
    )


def _damaged(name: str) -> SlideError:
    return SlideError(
        f"{name}: its directory of subblocks is damaged or lies beyond the end of the file. Copy it again.",
        code="E_FORMAT",
    )


def _read_directory(source: ByteSource, place: int, file_bytes: int, name: str) -> tuple[Subblock, ...]:
    head = source.read(place, _SEGMENT + 128) if 0 < place < file_bytes else b""
    if not head.startswith(b"ZISRAWDIRECTORY") or len(head) < _SEGMENT + 128:
        raise _damaged(name)
    used, count = struct.unpack_from("<qi", head, 24)
    if not 0 <= used <= file_bytes - place - _SEGMENT or not 0 < count <= used // 32:
        raise _damaged(name)
    data = source.read(place + _SEGMENT + 128, used - 128)
    blocks, at = [], 0
    try:
        for _ in range(count):
            block, at = _read_entry(data, at)
            blocks.append(block)
    except (struct.error, KeyError, ValueError) as error:
        raise _damaged(name) from error
    if any(not 0 < b.place <= file_bytes - _SEGMENT for b in blocks):
        raise SlideError(
            f"{name}: is truncated: subblocks lie beyond its end. Copy it again.", code="E_FORMAT"
        )
    return tuple(blocks)


def _read_entry(data: bytes, at: int) -> tuple[Subblock, int]:
    """The entry at a position of the directory, and the position of the next entry."""
    schema, pixels, place, file_part, codec, dims = struct.unpack_from("<2siqii6xi", data, at)
    if schema != b"DV" or file_part or not 0 < dims <= 32:
        raise ValueError("no entry")
    dimensions = {}
    for number in range(dims):
        axis, start, size, stored = struct.unpack_from("<4sii4xi", data, at + 32 + 20 * number)
        dimensions[axis.rstrip(b"\0 ").decode("ascii")] = (
            start,
            size,
            stored or size,
        )  # 0 means the same size
    x, width, stored_w = dimensions.pop("X")
    y, height, stored_h = dimensions.pop("Y")
    if not (0 < stored_w <= width and 0 < stored_h <= height):
        raise ValueError("no pixels")
    if any(size > 1 for axis, (_, size, _) in dimensions.items() if axis not in "SM"):
        raise ValueError("several planes in one subblock")
    order = dimensions.pop("M", (0, 1, 1))[0]
    dimensions.pop("S", None)
    block = Subblock(
        x=x,
        y=y,
        width=width,
        height=height,
        stored=(stored_w, stored_h),
        order=order,
        pixels=pixels,
        codec=codec,
        place=place,
        entry_bytes=32 + 20 * dims,
        planes={axis: start for axis, (start, _, _) in dimensions.items()},
    )
    return block, at + block.entry_bytes


def _one_plane(blocks: tuple[Subblock, ...], name: str) -> tuple[tuple[Subblock, ...], tuple[str, ...]]:
    """The subblocks of one plane, which is the middle one of several focal planes; no other dimension may have several."""
    warnings: list[str] = []
    for axis in sorted({axis for b in blocks for axis in b.planes}):
        starts = sorted({b.planes.get(axis, 0) for b in blocks})
        if len(starts) == 1:
            continue
        if axis == "C":
            raise SlideError(
                f"{name}: has {len(starts)} channels, as in fluorescence; expected one colour channel (Bgr24). "
                "Export it as RGB, or drop the slide.",
                code="E_PHOTOMETRIC",
            )
        if axis != "Z":
            raise SlideError(
                f"{name}: has {len(starts)} images in dimension {axis}; expected one. Export one of them.",
                code="E_FORMAT",
            )
        middle = starts[len(starts) // 2]
        blocks = tuple(b for b in blocks if b.planes.get(axis, 0) == middle)
        warnings.append(f"{len(starts)} focal planes; the middle one is read")
    return blocks, tuple(warnings)


def _check_pixels(blocks: tuple[Subblock, ...], name: str) -> None:
    kinds, codecs = Counter(b.pixels for b in blocks), Counter(b.codec for b in blocks)
    deep = [_DEEP[kind] for kind in kinds if kind in _DEEP]
    if deep:
        raise SlideError(
            f"{name}: pixels are {', '.join(deep)}, with more than 8 bits per channel. Convert it to 8-bit RGB.",
            code="E_BITDEPTH",
        )
    unknown = [kind for kind in kinds if kind not in (GRAY8, BGR24, BGRA32)]
    if unknown:
        raise SlideError(
            f"{name}: pixels have the unknown type {unknown[0]}. Convert it to 8-bit RGB.",
            code="E_PHOTOMETRIC",
        )
    other = [codec for codec in codecs if codec not in (RAW, JPEG_XR, ZSTD0, ZSTD1)]
    if not other and any(b.codec == JPEG_XR and b.pixels == BGRA32 for b in blocks):
        other = [JPEG_XR]
    if other:
        raise SlideError(
            f"{name}: is compressed with {_CODECS.get(other[0], f'method {other[0]}')}, which is not supported. Save it with "
            "JPEG XR or zstd, or convert it to a tiled TIFF.",
            code="E_CODEC",
        )
    if any(math.prod(b.stored) > _MAX_BLOCK for b in blocks):
        raise SlideError(
            f"{name}: has subblocks of more than {_MAX_BLOCK} pixels. Convert it to a tiled TIFF.",
            code="E_TOO_LARGE",
        )


def _metadata(
    source: ByteSource, place: int, file_bytes: int
) -> tuple[tuple[float | None, float | None], float | None]:
    """Micrometres per pixel in x and y, and objective power, from the metadata; None for values that are missing."""
    head = source.read(place, _SEGMENT + 8) if 0 < place < file_bytes else b""
    if not head.startswith(b"ZISRAWMETADATA") or len(head) < _SEGMENT + 8:
        return (None, None), None
    (size,) = struct.unpack_from("<i", head, _SEGMENT)
    if not 0 < size <= min(_MAX_XML, file_bytes):
        return (None, None), None
    text = source.read(place + _SEGMENT + 256, size).rstrip(b"\0")
    root = parse_xml(text)
    if root is None:
        return (None, None), None
    x, y = (_number(root, f"./Metadata/Scaling/Items/Distance[@Id='{axis}']/Value") for axis in "XY")
    return (x and x * 1e6, y and y * 1e6), _power(root)


def _power(root: Element) -> float | None:
    used = root.find("./Metadata/Information/Image/ObjectiveSettings/ObjectiveRef")
    objectives = root.findall("./Metadata/Information/Instrument/Objectives/Objective")
    wanted = used.get("Id") if used is not None else None
    matching = [o for o in objectives if o.get("Id") == wanted] or (
        objectives if len(objectives) == 1 else []
    )
    return _number(matching[0], "./NominalMagnification") if matching else None


def _number(node: Element, where: str) -> float | None:
    try:
        value = float(node.findtext(where) or "nan")
    except ValueError:
        return None
    return value if np.isfinite(value) and value > 0 else None
