"""Opening slides: the file is inspected first, then a reader is selected; files that cannot be read are refused early."""

from __future__ import annotations

import errno
import importlib
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pathosig.core.errors import SlideError
from pathosig.core.fingerprints import file_of
from pathosig.core.remote import url_of
from pathosig.slides.backends.kfb_layout import is_kfb
from pathosig.slides.backends.ngff import is_zarr
from pathosig.slides.backends.tiff_choice import choose
from pathosig.slides.coded import CodedReader, coded
from pathosig.slides.icc import ConvertedReader, to_srgb
from pathosig.slides.reader import SlideReader
from pathosig.slides.region import RegionReader, TurnedReader
from pathosig.slides.staging import is_read_by_ranges, staged

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_GROUP = "pathosig.readers"
_OWN_SUFFIXES = {".kfb": "kfb", ".isyntax": "isyntax", ".czi": "czi", ".zarr": "ome-zarr"}
_REPLACEABLE = {"kfb", "isyntax", "czi"}
"""Readers of closed formats, which readers of other packages replace, such as that of the vendor."""

BUILT_IN = {
    "tiff": "pathosig.slides.backends.tiff:TiffReader",
    "openslide": "pathosig.slides.backends.openslide:OpenSlideReader",
    "ndpi": "pathosig.slides.backends.ndpi:NdpiReader",
    "flat": "pathosig.slides.backends.flat:FlatReader",
    "ome-zarr": "pathosig.slides.backends.omezarr:OmeZarrReader",
    "kfb": "pathosig.slides.backends.kfb:KfbReader",
    "czi": "pathosig.slides.backends.czi:open_czi",
    "isyntax": "pathosig.slides.backends.isyntax:ISyntaxReader",
}
"""The readers of this package; pyproject.toml registers the same."""

_SLIDE_SUFFIXES = {".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".tiff", ".tif", ".btf", ".dcm"}
_MAGIC = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"BM": "BMP"}
_FLAT = {"PNG", "JPEG", "BMP"}
_FLAT_SUFFIX = {"PNG": ".png", "JPEG": ".jpg", "BMP": ".bmp"}


def open_slide(
    path: Path | str,
    *,
    reader: str = "auto",
    mpp: float | None = None,
    region: tuple[int, int, int, int] | None = None,
    icc: str = "off",
) -> SlideReader:
    """Open a slide of any known format.

    Parameters
    ----------
    path
        A slide file; a folder that is one slide (DICOM files or OME-Zarr); or an address such as ``s3://bucket/slide.svs``.
        TIFF files in object storage are read in ranges, and other files are copied to this machine first (see
        `staging.staged`).
    reader
        ``auto``, or the name of a reader. Built-in readers are tiff, openslide, ndpi, flat, ome-zarr, kfb, czi and isyntax;
        others come from the plug-in group ``pathosig.readers``, whose readers named kfb, czi or isyntax replace built-in ones.
    mpp
        Micrometres per level-0 pixel; takes precedence over the header.
    region
        (x, y, width, height) in level-0 pixels, if only this part is to be read, such as a core of a microarray.
    icc
        ``off`` for pixels as they are stored, ``srgb`` for pixels in sRGB if the slide has an ICC profile.

    Returns
    -------
    SlideReader
        Label and macro images are never read. If a file has several scans, `info.warnings` says so, and the path followed by
        ``#1``, ``#2`` and so on opens each of them.

    Raises
    ------
    SlideError
        E_NOT_FILE, E_FORMAT, E_CODEC, E_PHOTOMETRIC, E_BITDEPTH, E_TOO_LARGE, E_MPP_RANGE or E_MPP_ANISO; each message names
        the file and says what to do.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "S01.png"
    >>> Image.new("RGB", (300, 200), (200, 150, 190)).save(path)
    >>> with open_slide(path, mpp=0.5) as slide:
    ...     print(slide.info.level_sizes, slide.info.mpp, slide.read_level(0, 10, 10, 2, 1).tolist())
    ((300, 200),) 0.5 [[[200, 150, 190], [200, 150, 190]]]
    """
    path, scan = _scan_of(Path(path))
    wanted = _Wanted(mpp=mpp, region=region, icc=icc, scan=scan)
    if not url_of(path):
        return _opened(path, reader, wanted)
    if reader in ("auto", "tiff") and is_read_by_ranges(path):
        return _opened(path, "tiff", wanted)
    copy = staged(path)
    try:
        return _opened(copy.path, reader, wanted, done=copy.release)
    except BaseException:
        copy.release()
        raise


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """How a slide is to be opened."""

    mpp: float | None
    region: tuple[int, int, int, int] | None
    icc: str
    scan: int | None


def _opened(
    path: Path, reader: str, wanted: _Wanted, *, done: Callable[[], None] | None = None
) -> SlideReader:
    """Open a slide on this machine, or a TIFF in object storage; `done` is called when it is closed."""
    kind = "tiff" if url_of(path) else _look(path)
    scan = wanted.scan
    with coded(path.name, "E_FORMAT"):
        name = _choose(path, kind) if reader == "auto" else reader
        opener = _opener(name)
        options: dict[str, int] = {} if scan is None else {"scan": scan}
        if options and name != "tiff":
            raise SlideError(
                f"{path.name}#{scan}: only TIFF files have numbered scans.",
                code="E_NOT_FILE",
            )
        source: SlideReader = opener(path, mpp=wanted.mpp, **options)
    if wanted.icc == "srgb" and (profile := icc_profile(source)):
        source = _in_srgb(source, profile, path.name)
    opened: SlideReader = CodedReader(source, path.name, done=done)
    turn = getattr(source, "orientation", 1)
    if turn != 1:
        opened = TurnedReader(opened, turn)
    return RegionReader(opened, wanted.region) if wanted.region is not None else opened


def icc_profile(reader: SlideReader) -> bytes:
    """ICC profile of a slide; empty if it has none, or if its reader does not support profiles.

    Parameters
    ----------
    reader
        An opened slide.

    Returns
    -------
    The bytes of the profile.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "S01.png"
    >>> Image.new("RGB", (30, 20)).save(path)
    >>> with open_slide(path) as slide:
    ...     print(icc_profile(slide))
    b''
    """
    profile = getattr(reader, "icc_profile", None)
    return bytes(profile()) if profile is not None else b""


def _in_srgb(source: SlideReader, profile: bytes, name: str) -> SlideReader:
    try:
        convert = to_srgb(profile, name)
    except SlideError:
        source.close()
        raise
    if hasattr(source, "convert"):
        source.convert = convert
        return source
    return ConvertedReader(source, convert)


def _scan_of(path: Path) -> tuple[Path, int | None]:
    """A path without the number of a scan at its end (as in ``slide.ome.tif#2``), and this number or None."""
    file = file_of(path)
    return file, None if file == path else int(path.name.rpartition("#")[2])


def _opener(name: str) -> Callable[..., SlideReader]:
    """The class or function of a reader; looking up built-in ones as plug-ins would take longer than opening a slide.

    Raises
    ------
    ConfigError
        If there is no reader with this name.
    """
    built_in = BUILT_IN.get(name)
    other = _registered_by_others(name) if name in _REPLACEABLE else None
    if built_in is not None and other is None:
        module, _, attribute = built_in.partition(":")
        factory: Callable[..., SlideReader] = getattr(importlib.import_module(module), attribute)
        return factory
    from pathosig.core import plugins  # imports importlib.metadata

    opener: Callable[..., SlideReader] = other.load() if other is not None else plugins.load(_GROUP, name)
    return opener


@cache
def _registered_by_others(name: str) -> EntryPoint | None:
    """The reader that another package registers under the name of a built-in reader."""
    from importlib.metadata import entry_points  # takes as long as detecting the tissue of a slide

    points = [point for point in entry_points(group=_GROUP, name=name) if point.value != BUILT_IN[name]]
    return min(points, key=lambda point: point.value, default=None)


def _look(path: Path) -> str:
    """Kind of a file by its first bytes: tiff, dicom, czi, kfb, PNG, JPEG, GIF, BMP or other; or folder.

    Raises
    ------
    SlideError
        E_NOT_FILE or E_READ if the file cannot be read, E_FORMAT if it is empty.
    """
    name = path.name
    try:
        mode = path.stat().st_mode
    except OSError as error:
        dangling = path.is_symlink()
        what = "is a link to a file that does not exist" if dangling else f"cannot be read ({error.strerror})"
        raise SlideError(f"{name}: {what}. Check the path in slides.csv.", code="E_NOT_FILE") from error
    if stat.S_ISDIR(mode):
        return "folder"
    if not stat.S_ISREG(mode):
        raise SlideError(f"{name}: is not a regular file. Check the path in slides.csv.", code="E_NOT_FILE")
    try:
        with path.open("rb") as handle:
            head = handle.read(132)
    except OSError as error:
        code = "E_READ" if error.errno == errno.EIO else "E_NOT_FILE"
        raise SlideError(f"{name}: cannot be read ({error.strerror}).", code=code) from error
    if not head:
        raise SlideError(f"{name}: has zero bytes. Copy it again.", code="E_FORMAT")
    if head[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return "tiff"
    if head[128:132] == b"DICM":
        return "dicom"
    if head.startswith(b"ZISRAWFILE"):
        return "czi"
    if is_kfb(head):
        return "kfb"
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "other")


def _choose(path: Path, kind: str) -> str:
    """Name of the reader for a file."""
    suffix = path.suffix.lower()
    if kind == "folder":
        if suffix == ".zarr" or is_zarr(path):
            return "ome-zarr"
        if not any(path.glob("*")):
            raise SlideError(
                f"{path.name}: is an empty folder; a folder must hold the DICOM files of one slide.",
                code="E_FORMAT",
            )
        return "openslide"
    if suffix == ".mrxs":  # the file itself is a small JPEG of the slide; the pixels are in its folder
        if not (path.with_suffix("") / "Slidedat.ini").is_file():
            raise SlideError(
                f"{path.name}: lacks its folder {path.stem} with Slidedat.ini. An MRXS slide consists of a file and a folder with "
                "the same name; copy both.",
                code="E_FORMAT",
            )
        return "openslide"
    if kind in _FLAT:
        if suffix in _SLIDE_SUFFIXES:
            raise SlideError(
                f"{path.name}: is a {kind} file, although its name is that of another format. Rename it to {_FLAT_SUFFIX[kind]} "
                "and give its mpp in slides.csv.",
                code="E_FORMAT",
            )
        return "flat"
    if kind in ("czi", "kfb"):
        return kind
    if suffix in _OWN_SUFFIXES:
        return _OWN_SUFFIXES[suffix]
    if kind == "tiff":
        return choose(path)
    return "openslide"
