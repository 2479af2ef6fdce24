"""Frames of DICOM files: whether they are complete, and whether their headers agree with the file."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends.dicom import JPEG_2000, PLAIN, Instance
from pathosig.slides.backends.j2k import Codestream, read_header

_HEAD_BYTES = 1 << 14
_ITEM = 0xE000FFFE
_LOST_SHARE = 0.02


class FrameHeads:
    """The frames of the levels of a slide whose headers have been checked.

    OpenSlide checks the sizes of frames in JPEG and their numbers of components, but in JPEG 2000 it ignores their depth, sign and
    offset, which gives wrong pixels. A frame is checked once, before it is decoded for the first time.

    Parameters
    ----------
    levels
        The files of the slide.

    Examples
    --------
    >>> FrameHeads([]).check((512, 512), (0.0, 0.0, 64, 64))  # nothing in JPEG 2000
    """

    def __init__(self, levels: list[Instance]) -> None:
        self._levels: dict[tuple[int, int], list[_Frames]] = {}
        for level in levels:
            if level.syntax in JPEG_2000:
                self._levels.setdefault(level.matrix, []).append(_Frames(level))

    def check(self, level_size: tuple[int, int], box: tuple[float, float, int, int]) -> None:
        """Check the frames that a region touches.

        Parameters
        ----------
        level_size
            (width, height) of the level.
        box
            (x, y, width, height) in pixels of the level; it may lie partly outside.

        Raises
        ------
        ValueError
            If a frame does not have the declared size, or channels of 8 unsigned bits; also if its header is damaged.
        """
        for frames in self._levels.get(level_size, ()):
            frames.check(box)


class _Frames:
    """The frames of one level. Their places and whether they form a full grid are read with the first region."""

    def __init__(self, level: Instance) -> None:
        self._level = level
        self._across = -(-level.matrix[0] // level.tile[0])
        self._down = -(-level.matrix[1] // level.tile[1])
        self._places: np.ndarray | None = None
        self._is_full = False
        self._checked = np.zeros(level.frames, bool)

    def check(self, box: tuple[float, float, int, int]) -> None:
        with self._level.path.open("rb") as handle:
            if self._places is None:
                self._is_full, table = _organisation(self._level.path)
                self._places = _places(handle, self._level, table)
            touched = self._touched(box)
            for frame in touched[~self._checked[touched]].tolist():
                handle.seek(int(self._places[frame]))
                self._check_head(handle)
                self._checked[frame] = True

    def _touched(self, box: tuple[float, float, int, int]) -> np.ndarray:
        """Numbers of the frames in a box. All frames, if it is not known where each lies."""
        if not self._is_full or self._across * self._down != self._level.frames:
            return np.arange(self._level.frames)
        x, y, width, height = box
        tile_w, tile_h = self._level.tile
        columns = np.arange(
            max(0, math.floor(x / tile_w)), min(self._across, math.ceil((x + width) / tile_w))
        )
        rows = np.arange(max(0, math.floor(y / tile_h)), min(self._down, math.ceil((y + height) / tile_h)))
        return np.asarray((rows[:, None] * self._across + columns).ravel())

    def _check_head(self, handle: BinaryIO) -> None:
        tag, length = struct.unpack("<II", handle.read(8).ljust(8, b"\0"))
        if tag != _ITEM:
            raise ValueError("a frame is not where it should be")
        head = read_header(handle.read(min(length, _HEAD_BYTES)))
        if problem := _deviation(head, self._level.tile):
            raise ValueError(problem)


def _deviation(head: Codestream, tile: tuple[int, int]) -> str:
    """How a frame differs from what the file declares; empty if it does not."""
    if head.size != tile:
        return f"a frame of {head.size[0]} x {head.size[1]} pixels, expected {tile[0]} x {tile[1]}"
    if set(head.depths) != {8}:
        return f"a frame with channels of {head.depths} bits, expected 8"
    if set(head.steps) != {(1, 1)}:
        return f"a frame with channels sampled at {head.steps}"
    return ""


def _organisation(path: Path) -> tuple[bool, bytes]:
    """Whether the frames form a full grid, row by row, and the extended table of their offsets, which is often missing."""
    import pydicom

    wanted = ["DimensionOrganizationType", "ExtendedOffsetTable"]
    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=wanted)
    return str(header.get("DimensionOrganizationType", "")) == "TILED_FULL", bytes(
        header.get("ExtendedOffsetTable") or b""
    )


def _places(handle: BinaryIO, level: Instance, extended: bytes) -> np.ndarray:
    """Offsets of the frames in the file, int64[frames]: from a table if there is one, otherwise by visiting the frames in turn.

    Libdicom, which OpenSlide uses, chooses in the same order.

    Frames that are missing are placed at the end of the file.

    Raises
    ------
    ValueError
        If a table is damaged.
    """
    start = level.pixels_at + 12
    handle.seek(start)
    size = struct.unpack("<II", handle.read(8).ljust(8, b"\0"))[1]
    first = start + 8 + size
    if extended or size:
        table = extended or handle.read(min(size, 4 * level.frames))
        offsets = np.frombuffer(table, "<u8" if extended else "<u4").astype(np.int64)
        if len(offsets) < level.frames or np.any(offsets < 0):
            raise ValueError(f"a table of {len(offsets)} frames, expected {level.frames}")
        return np.asarray(offsets[: level.frames] + first)
    places = []
    for _ in range(level.frames):
        handle.seek(first)
        tag, length = struct.unpack("<II", handle.read(8).ljust(8, b"\0"))
        places.append(first)
        first = first + 8 + length if tag == _ITEM else handle.seek(0, 2)
    return np.array(places, np.int64)


def damage(levels: list[Instance]) -> tuple[str, ...]:
    """Warnings about lost frames and about a finest level that seems to be missing.

    Parameters
    ----------
    levels
        From `slide_instances`.

    Returns
    -------
    The warnings; none for a complete slide.

    Raises
    ------
    SlideError
        E_FORMAT if a level is truncated so that more than 2 % of its frames are lost.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "IM1.dcm"
    >>> _ = path.write_bytes(bytes(12))  # a frame of 2 x 2 pixels without a header
    >>> level = Instance(
    ...     path=path, series="1.2", volume=True, resampled=True, syntax="1.2.840.10008.1.2.1", frames=1,
    ...     tile=(2, 2), matrix=(2, 2), colours="RGB", samples=3, bits=8, pixels_at=0,
    ... )
    >>> damage([level])
    ('all DICOM files of this slide are resampled; its finest level may be missing',)
    """
    warnings = []
    for level in levels:
        declared, whole = _frames(level)
        if declared - whole > _LOST_SHARE * declared:
            raise SlideError(
                f"{level.path.parent.name}: {level.path.name} is truncated: {declared - whole} of {declared} frames are lost. "
                "Copy it again.",
                code="E_FORMAT",
            )
        if whole < declared:
            warnings.append(f"{declared - whole} of {declared} frames of {level.path.name} are lost")
    if all(level.resampled for level in levels):
        warnings.append("all DICOM files of this slide are resampled; its finest level may be missing")
    return tuple(warnings)


def _frames(level: Instance) -> tuple[int, int]:
    """Numbers of declared and of completely stored frames. Frames are counted only if the end of the file is missing, else (1, 1)."""
    if level.syntax in PLAIN or _ends(level.path):
        return 1, 1
    with level.path.open("rb") as handle:
        return level.frames, min(level.frames, _stored(handle, level.pixels_at + 12))


def _ends(path: Path) -> bool:
    """Whether the delimiter that ends the frames is near the end of the file (padding may follow it)."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        handle.seek(max(0, size - 4096))
        return b"\xfe\xff\xdd\xe0\0\0\0\0" in handle.read()


def _stored(handle: BinaryIO, start: int) -> int:
    """Number of complete frames. The first item is the table of offsets and not a frame."""
    size = handle.seek(0, 2)
    items, at = -1, start
    while at + 8 <= size:
        handle.seek(at)
        tag, length = struct.unpack("<II", handle.read(8))
        at += 8 + length
        if tag != 0xE000FFFE or at > size:
            break
        items += 1
    return max(0, items)
