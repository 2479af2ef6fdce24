"""DICOM slides: which files form a slide, and whether they are complete and plausible. OpenSlide reads the pixels."""

from __future__ import annotations

import contextlib
import logging
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathosig.core.errors import SlideError
from pathosig.slides.backends.bounds import check_declared, check_decoded
from pathosig.slides.backends.j2k import Codestream, read_header

if TYPE_CHECKING:
    from pydicom import Dataset

logging.getLogger("pydicom").addHandler(logging.NullHandler())  # else it prints paths of damaged files
_WSI = "1.2.840.10008.5.1.4.1.1.77.1.6"
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
"""Transfer syntaxes of frames in JPEG 2000."""

_CODESTREAM_HEAD = 1 << 14
_FRAMES_LOOKED_AT = 3
_DEFLATED = "1.2.840.10008.1.2.1.99"
"""Refused, because the whole file would have to be inflated, to any size, before anything can be checked."""

PLAIN = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}
"""Transfer syntaxes in which pixels are not stored in separate frames."""

_WANTED = [
    "ImageType",
    "SeriesInstanceUID",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "Rows",
    "Columns",
    "TotalPixelMatrixRows",
    "TotalPixelMatrixColumns",
]
_MAX_TILE = 64_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One file of a series.

    Attributes
    ----------
    series
        Series Instance UID.
    volume
        Whether it is a level of the slide and not its label, overview or thumbnail.
    resampled
        Whether it was made from a finer level.
    syntax
        Transfer syntax UID.
    frames
        Number of tiles that it declares.
    tile, matrix
        (width, height) of a tile and of the level.
    colours
        Photometric Interpretation.
    samples, bits
        Samples per pixel and bits per sample.
    pixels_at
        Offset of the pixel data element in the file.
    """

    path: Path
    series: str
    volume: bool
    resampled: bool
    syntax: str
    frames: int
    tile: tuple[int, int]
    matrix: tuple[int, int]
    colours: str
    samples: int
    bits: int
    pixels_at: int


def is_dicom(path: Path) -> bool:
    """Whether a file begins like a DICOM file.

    Parameters
    ----------
    path
        Any path. A path that cannot be read as a file gives False.

    Returns
    -------
    Whether the file has the mark ``DICM``.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "IM1"
    >>> _ = path.write_bytes(bytes(128) + b"DICM")
    >>> is_dicom(path), is_dicom(path.parent)
    (True, False)
    """
    try:
        with path.open("rb") as handle:
            return handle.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_instance(path: Path) -> Instance | None:
    """The facts of one DICOM file of a slide; None for other kinds of DICOM files.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Instance or None

    Raises
    ------
    SlideError
        E_FORMAT if the file is not a DICOM file or its header is damaged; E_CODEC if it is deflated as a whole.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "IM1.dcm"
    >>> _ = path.write_bytes(b"no header")
    >>> read_instance(path)
    Traceback (most recent call last):
        ...
    pathosig.core.errors.SlideError: IM1.dcm: is not a DICOM file, or is damaged. Copy it again.
    """
    import pydicom

    if not is_dicom(path):
        raise SlideError(f"{path.name}: is not a DICOM file, or is damaged. Copy it again.", code="E_FORMAT")
    try:
        if str(pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID", "")) == _DEFLATED:
            raise SlideError(
                f"{path.name}: is deflated as a whole. Export it with compressed frames.", code="E_CODEC"
            )
        with path.open("rb") as handle:
            header = pydicom.dcmread(handle, stop_before_pixels=True, specific_tags=_WANTED)
            at = handle.tell()
        if str(header.file_meta.get("MediaStorageSOPClassUID", "")) != _WSI:
            return None
        return _instance(path, header, at)
    except (OSError, SlideError):
        raise
    except Exception as error:  # on damaged data pydicom raises many kinds of exception
        raise SlideError(
            f"{path.name}: has a damaged DICOM header ({type(error).__name__}). Copy it again.",
            code="E_FORMAT",
        ) from error


def _instance(path: Path, header: Dataset, at: int) -> Instance:
    kind = [str(value).strip() for value in _listed(header.get("ImageType"))]
    return Instance(
        path=path,
        series=str(header.get("SeriesInstanceUID", "")),
        volume=len(kind) > 2 and kind[2] == "VOLUME",
        resampled=bool(kind) and kind[-1] == "RESAMPLED",
        syntax=str(header.file_meta.get("TransferSyntaxUID", "")),
        frames=int(header.get("NumberOfFrames") or 1),
        tile=(int(header.get("Columns") or 0), int(header.get("Rows") or 0)),
        matrix=(
            int(header.get("TotalPixelMatrixColumns") or 0),
            int(header.get("TotalPixelMatrixRows") or 0),
        ),
        colours=str(header.get("PhotometricInterpretation", "")),
        samples=int(header.get("SamplesPerPixel") or 0),
        bits=int(header.get("BitsAllocated") or 0),
        pixels_at=at,
    )


def _listed(value: Any) -> list[Any]:
    if value is None or isinstance(value, str):
        return [value] if value else []
    return list(value)


def slide_instances(path: Path) -> list[Instance]:
    """The levels of the slide in a folder, or the one level in a file.

    Parameters
    ----------
    path
        A folder of DICOM files, or one of the files.

    Returns
    -------
    One `Instance` for each level.

    Raises
    ------
    SlideError
        E_FORMAT if there is no slide, more than one, or a damaged file; and the errors of `read_instance`, E_TOO_LARGE,
        E_BITDEPTH and E_PHOTOMETRIC.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "S01"
    >>> folder.mkdir()
    >>> slide_instances(folder)
    Traceback (most recent call last):
        ...
    pathosig.core.errors.SlideError: S01: is a folder without DICOM files of a slide; give the slide file itself.
    """
    files = (
        [path]
        if path.is_file()
        else [p for p in sorted(path.iterdir()) if p.is_file() and not p.name.startswith(".")]
    )
    instances = []
    for file in files:
        if is_dicom(file) or file.suffix.lower() == ".dcm":
            try:
                instance = read_instance(file)
            except SlideError as error:
                raise SlideError(
                    str(error) if file == path else f"{path.name}: {error}", code=error.code
                ) from error
            instances += [instance] if instance is not None else []
    levels = [i for i in instances if i.volume] or (instances if path.is_file() else [])
    if not levels:
        what = (
            "is not a DICOM file of a whole slide"
            if path.is_file()
            else "is a folder without DICOM files of a slide; give the slide file itself"
        )
        raise SlideError(f"{path.name}: {what}.", code="E_FORMAT")
    series = sorted({i.series for i in levels})
    if len(series) > 1:
        example = [next(i.path.name for i in levels if i.series == uid) for uid in series[:2]]
        raise SlideError(
            f"{path.name}: contains DICOM files of {len(series)} slides (series), such as {example[0]} and {example[1]}. "
            "Put each slide into a folder of its own.",
            code="E_FORMAT",
        )
    for level in levels:
        _check(level, path.name)
    return levels


def _check(level: Instance, name: str) -> None:
    """Refuse declarations that are impossible or not those of H&E, because libopenslide trusts them.

    Raises
    ------
    SlideError
        E_FORMAT, E_TOO_LARGE, E_BITDEPTH, E_PHOTOMETRIC.
    """
    said = f"{name}: {level.path.name}" if name != level.path.name else name
    if min(*level.tile, level.frames) < 1 or min(level.matrix) < 0:
        raise SlideError(
            f"{said} declares tiles of {level.tile[0]} x {level.tile[1]} pixels. Copy it again.",
            code="E_FORMAT",
        )
    width, height = level.matrix if min(level.matrix) else level.tile
    size = level.path.stat().st_size
    check_declared((width, height), size, said)
    check_decoded(level.frames * level.tile[0] * level.tile[1], size, said, slow=True)
    if level.tile[0] * level.tile[1] > _MAX_TILE or level.frames > size:
        raise SlideError(
            f"{said} declares {width} x {height} pixels in {size} bytes, which is impossible. Copy it again.",
            code="E_TOO_LARGE",
        )
    if level.bits != 8:
        raise SlideError(
            f"{said} has {level.bits} bits per channel; expected 8. Convert it.", code="E_BITDEPTH"
        )
    if level.samples != 3 or not (level.colours.startswith("YBR") or level.colours == "RGB"):
        raise SlideError(
            f"{said} has the colours {level.colours or 'unspecified'} with {level.samples} samples per pixel; expected RGB or YBR "
            "with 3. Convert it to RGB.",
            code="E_PHOTOMETRIC",
        )
    heads = _first_codestreams(level)
    if heads and all(set(head.depths) != {8} for head in heads):
        raise SlideError(
            f"{said} has frames whose channels do not have the 8 bits that it declares. Convert it.",
            code="E_BITDEPTH",
        )
    if heads and all(head.size != level.tile for head in heads):
        raise SlideError(
            f"{said} has frames of {heads[0].size[0]} x {heads[0].size[1]} pixels; it declares {level.tile[0]} x {level.tile[1]}. "
            "Copy it again.",
            code="E_FORMAT",
        )


def _first_codestreams(level: Instance) -> list[Codestream]:
    """Heads of the first frames in JPEG 2000, whose depth and offset OpenSlide takes as they come.

    There are none for other frames. A damaged frame is lost alone, so several are read.
    """
    heads: list[Codestream] = []
    if level.syntax not in JPEG_2000:
        return heads
    with level.path.open("rb") as handle:
        at = level.pixels_at + 12
        for number in range(1 + min(level.frames, _FRAMES_LOOKED_AT)):
            handle.seek(at)
            length = struct.unpack("<II", handle.read(8).ljust(8, b"\0"))[1]
            if number:  # the first item is the table of offsets
                with contextlib.suppress(ValueError):
                    heads.append(read_header(handle.read(min(length, _CODESTREAM_HEAD))))
            at += 8 + length
    return heads


def series_instances(level: Instance) -> list[Instance]:
    """All levels of the slide to which a file belongs; the others are in the same folder.

    Parameters
    ----------
    level
        One of the levels.

    Returns
    -------
    list of Instance

    Raises
    ------
    SlideError
        E_FORMAT, E_TOO_LARGE, E_BITDEPTH or E_PHOTOMETRIC, as for `slide_instances`.

    Examples
    --------
    >>> import tempfile
    >>> level = Instance(
    ...     path=Path(tempfile.mkdtemp()) / "IM1.dcm", series="1.2", volume=True, resampled=False, syntax="", frames=1,
    ...     tile=(2, 2), matrix=(2, 2), colours="RGB", samples=3, bits=8, pixels_at=0,
    ... )
    >>> series_instances(level)  # its folder is empty
    []
    """
    levels = []
    for file in sorted(level.path.parent.iterdir()):
        if file.is_file() and is_dicom(file):
            with contextlib.suppress(SlideError):  # a damaged file is no level that OpenSlide would read
                instance = read_instance(file)
                if instance is not None and instance.volume and instance.series == level.series:
                    levels.append(instance)
    for other in levels:
        _check(other, level.path.name)
    return levels
