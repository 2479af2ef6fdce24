"""DICOM folders: which of their files are one slide, and whether they are whole; OpenSlide reads the pixels."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pathosig.core.errors import SlideError

_WSI = "1.2.840.10008.5.1.4.1.1.77.1.6"
_PLAIN = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}
"""Transfer syntaxes whose pixels are not in frames of their own."""

_IMPLICIT = "1.2.840.10008.1.2"
_LONG = {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"}
_HEAD, _MAX_HEAD = 1 << 18, 1 << 26
_UNDEFINED = 0xFFFFFFFF
_MAX_DEPTH = 20
_LOST_SHARE = 0.02
_SYNTAX, _CLASS, _KIND, _SERIES, _FRAMES, _PIXELS = (
    0x00020010, 0x00020002, 0x00080008, 0x0020000E, 0x00280008, 0x7FE00010,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One file of a series.

    Attributes
    ----------
    series
        Series Instance UID.
    volume
        Whether it is a level of the slide, not its label, overview or thumbnail.
    resampled
        Whether it was made smaller from another one.
    syntax
        Transfer syntax UID.
    """

    path: Path
    series: str
    volume: bool
    resampled: bool
    syntax: str


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    try:
        with path.open("rb") as handle:
            return handle.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_instance(path: Path) -> Instance | None:
    """Facts of a whole-slide instance; None for any other DICOM file.

    Raises
    ------
    SlideError
        E_FORMAT if the file is no DICOM file or its header is damaged.
    """
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    if head[128:132] != b"DICM":
        raise SlideError(f"{path.name}: is no DICOM file or is damaged. Copy it again.", code="E_FORMAT")
    found: dict[int, str] = {}
    try:
        for tag, start, length in _elements(head):
            if tag in (_SYNTAX, _CLASS, _KIND, _SERIES):
                found[tag] = head[start : start + length].decode("ascii", "replace").strip("\0 ")
            if tag > _SERIES:
                break
    except (struct.error, RecursionError) as error:
        if found.get(_CLASS) not in (None, _WSI):
            return None
        raise SlideError(
            f"{path.name}: its DICOM header is damaged. Copy it again.", code="E_FORMAT"
        ) from error
    if found.get(_CLASS) != _WSI:
        return None
    kind = found.get(_KIND, "").split("\\")
    return Instance(
        path=path,
        series=found.get(_SERIES, ""),
        volume=len(kind) > 2 and kind[2].strip() == "VOLUME",
        resampled=kind[-1].strip() == "RESAMPLED",
        syntax=found.get(_SYNTAX, ""),
    )


def slide_instances(folder: Path) -> list[Instance]:
    """The levels of the one slide in a folder.

    Raises
    ------
    SlideError
        E_FORMAT if there is none, more than one, or a damaged file among them.
    """
    files = [p for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith(".")]
    instances = []
    for path in files:
        if is_dicom(path) or path.suffix.lower() == ".dcm":
            try:
                found = read_instance(path)
            except SlideError as error:
                raise SlideError(f"{folder.name}: {error}", code="E_FORMAT") from error
            instances += [found] if found is not None else []
    levels = [i for i in instances if i.volume]
    if not levels:
        raise SlideError(
            f"{folder.name}: is a folder without DICOM files of a slide; give the slide file itself.",
            code="E_FORMAT",
        )
    series = sorted({i.series for i in levels})
    if len(series) > 1:
        example = [next(i.path.name for i in levels if i.series == uid) for uid in series[:2]]
        raise SlideError(
            f"{folder.name}: holds DICOM files of {len(series)} slides (series), such as {example[0]} and {example[1]}. "
            "Put each slide into a folder of its own.",
            code="E_FORMAT",
        )
    return levels


def damage(levels: list[Instance]) -> tuple[str, ...]:
    """Findings worth a warning: lost frames, a finest level that seems to be missing.

    Raises
    ------
    SlideError
        E_FORMAT if a level is truncated so that more than 2 % of its frames are lost.
    """
    found = []
    for level in levels:
        declared, whole = _frames(level)
        if declared - whole > _LOST_SHARE * declared:
            raise SlideError(
                f"{level.path.parent.name}: {level.path.name} is truncated, {declared - whole} of {declared} frames are lost. "
                "Copy it again.",
                code="E_FORMAT",
            )
        if whole < declared:
            found.append(f"{declared - whole} of {declared} frames of {level.path.name} are lost")
    if all(level.resampled for level in levels):
        found.append("all DICOM files of this slide are resampled ones; its finest level may be missing")
    return tuple(found)


def _frames(level: Instance) -> tuple[int, int]:
    """(declared, stored whole) frames; counted only where the end of the file is missing."""
    if level.syntax in _PLAIN or _ends(level.path):
        return 1, 1
    with level.path.open("rb") as handle:
        head = handle.read(_MAX_HEAD)
        declared = 1
        try:
            for tag, start, length in _elements(head):
                if tag == _FRAMES:
                    declared = int(head[start : start + length].strip(b"\0 ") or b"1")
                if tag == _PIXELS:
                    return declared, min(declared, _stored(handle, start))
        except (struct.error, RecursionError, ValueError):
            pass
    return declared, 0


def _ends(path: Path) -> bool:
    """Whether the mark that closes the frames is where a whole file has it (padding may follow)."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        handle.seek(max(0, size - 4096))
        return b"\xfe\xff\xdd\xe0\0\0\0\0" in handle.read()


def _stored(handle: object, start: int) -> int:
    """Frames that are there in full; the first item is the table of offsets."""
    size = handle.seek(0, 2)  # type: ignore[attr-defined]
    items, at = -1, start
    while at + 8 <= size:
        handle.seek(at)  # type: ignore[attr-defined]
        tag, length = struct.unpack("<II", handle.read(8))  # type: ignore[attr-defined]
        at += 8 + length
        if tag != 0xE000FFFE or at > size:
            break
        items += 1
    return max(0, items)


def _elements(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(tag, start, length) of the top-level elements; ends with the pixels or with the data."""
    at, implicit = 132, False
    syntax = ""
    while at + 8 <= len(data):
        group, element = struct.unpack_from("<HH", data, at)
        implicit = group != 2 and syntax == _IMPLICIT
        tag, start, length, _ = _element(data, at, implicit=implicit)
        yield (group << 16) | element, start, length
        if tag == _SYNTAX:
            syntax = data[start : start + length].decode("ascii", "replace").strip("\0 ")
        if tag == _PIXELS:
            return
        at = _skip_items(data, start, implicit=implicit, depth=0) if length == _UNDEFINED else start + length


def _element(data: bytes, at: int, *, implicit: bool) -> tuple[int, int, int, bytes]:
    """(tag, start of the value, length, kind) of an element."""
    group, element = struct.unpack_from("<HH", data, at)
    tag = group << 16 | element
    if implicit or group == 0xFFFE:
        return tag, at + 8, struct.unpack_from("<I", data, at + 4)[0], b""
    kind = data[at + 4 : at + 6]
    if kind in _LONG:
        return tag, at + 12, struct.unpack_from("<I", data, at + 8)[0], kind
    return tag, at + 8, struct.unpack_from("<H", data, at + 6)[0], kind


def _skip_items(data: bytes, at: int, *, implicit: bool, depth: int) -> int:
    """The place behind a sequence of undefined length."""
    if depth > _MAX_DEPTH:
        raise struct.error("nested too deeply")
    while True:
        tag, start, length, _ = _element(data, at, implicit=True)
        if tag == 0xFFFEE0DD:
            return start
        if length != _UNDEFINED:
            at = start + length
            continue
        at = start
        while True:
            tag, start, length, _ = _element(data, at, implicit=implicit)
            if tag == 0xFFFEE00D:
                at = start
                break
            at = (
                _skip_items(data, start, implicit=implicit, depth=depth + 1)
                if length == _UNDEFINED
                else start + length
            )
