"""Opening slides: look at the file first, then choose a reader; refuse early and in words."""

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
"""Readers of closed formats, for which another package may have a better one, such as the vendor's own."""

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
"""The readers of this package, as they are registered in pyproject.toml too."""

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
        A slide file, or a folder that is one slide: DICOM files, OME-Zarr; or an address such as ``s3://bucket/slide.svs``,
        of which TIFF files are read in parts, others copied to this machine first (see `staging.staged`).
    reader
        ``auto``, or the name of a reader (built-in: tiff, openslide, ndpi, flat, ome-zarr, kfb, czi, isyntax;
        others through the plug-in group ``pathosig.readers``). Of kfb, czi and isyntax, another package's wins.
    mpp
        Micrometres per level-0 pixel where the header has none; wins over the header.
    region
        (x, y, width, height) in level-0 pixels: the slide then is that part, as for a TMA core.
    icc
        ``off``: pixels as they are stored; ``srgb``: in sRGB where the slide has an ICC profile.

    Returns
    -------
    SlideReader
        Label and macro images are never read. A file that holds several scans says so in `info.warnings`; the path with
        ``#1``, ``#2`` ... at its end opens each.

    Raises
    ------
    SlideError
        E_NOT_FILE, E_FORMAT, E_CODEC, E_PHOTOMETRIC, E_BITDEPTH, E_TOO_LARGE, E_MPP_RANGE, E_MPP_ANISO.

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
    """A slide of this machine, or a TIFF elsewhere; `done` is called when it is closed."""
    kind = "tiff" if url_of(path) else _look(path)
    scan = wanted.scan
    with coded(path.name, "E_FORMAT"):
        name = _choose(path, kind) if reader == "auto" else reader
        opener = _opener(name)
        options: dict[str, int] = {} if scan is None else {"scan": scan}
        if options and name != "tiff":
            raise SlideError(
                f"{path.name}: #{scan} was asked for; scans are numbered in TIFF files only.",
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
    """The bytes of a slide's ICC profile; nothing where it has none or where its reader does not know.

    Parameters
    ----------
    reader
        An opened slide.

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
    """A path without the number of a scan at its end (``slide.ome.tif#2``), and that number."""
    file = file_of(path)
    return file, None if file == path else int(path.name.rpartition("#")[2])


def _opener(name: str) -> Callable[..., SlideReader]:
    """The class or function that opens slides; to look up a built-in one would cost more than to open a slide.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    built_in = BUILT_IN.get(name)
    other = _registered_by_others(name) if name in _REPLACEABLE else None
    if built_in is not None and other is None:
        module, _, attribute = built_in.partition(":")
        factory: Callable[..., SlideReader] = getattr(importlib.import_module(module), attribute)
        return factory
    from pathosig.core import plugins  # loads importlib.metadata

    opener: Callable[..., SlideReader] = other.load() if other is not None else plugins.load(_GROUP, name)
    return opener


@cache
def _registered_by_others(name: str) -> EntryPoint | None:
    """What another package registers under the name of a reader of this one."""
    from importlib.metadata import entry_points  # costs as much as a slide's tissue

    points = [point for point in entry_points(group=_GROUP, name=name) if point.value != BUILT_IN[name]]
    return min(points, key=lambda point: point.value, default=None)


def _look(path: Path) -> str:
    """What the first bytes say: tiff | dicom | czi | kfb | PNG | JPEG | ... | folder | other.

    Raises
    ------
    SlideError
        If there is nothing that can be read.
    """
    name = path.name
    try:
        mode = path.stat().st_mode
    except OSError as error:
        dangling = path.is_symlink()
        what = "is a link to a file that is not there" if dangling else f"cannot be read ({error.strerror})"
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
    """The reader for a file."""
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
    if suffix == ".mrxs":  # itself a small JPEG of the slide; the pixels lie in its folder
        if not (path.with_suffix("") / "Slidedat.ini").is_file():
            raise SlideError(
                f"{path.name}: lacks its folder {path.stem} with Slidedat.ini. An MRXS slide is a file and the folder of the "
                "same name beside it; copy both.",
                code="E_FORMAT",
            )
        return "openslide"
    if kind in _FLAT:
        if suffix in _SLIDE_SUFFIXES:
            raise SlideError(
                f"{path.name}: is a {kind} file in spite of its name. Rename it to {_FLAT_SUFFIX[kind]} "
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
