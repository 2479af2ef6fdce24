"""Which reader takes a TIFF: the fast paths here, or OpenSlide for makers that lay files out in ways of their own."""

from __future__ import annotations

from pathlib import Path

from pathosig.core.errors import SlideError
from pathosig.slides.backends.tiff_tags import read_pages

_TAKEN_HERE = {"aperio", "generic-tiff", "philips", None}
"""Vendors, as OpenSlide names them, whose files are read by `TiffReader`."""


def choose(path: Path) -> str:
    """The reader for a TIFF: ``tiff`` or ``ndpi`` (the fast paths) or ``openslide``.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    SlideError
        If the file is damaged or truncated.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "S01.tif"
    >>> Image.new("RGB", (64, 64)).save(path)
    >>> choose(path)
    'tiff'
    """
    try:
        pages = read_pages(path)
    except SlideError as error:
        if (
            error.code == "E_FORMAT" and _openslide_vendor(path) == "hamamatsu"
        ):  # beyond 4 GB its links are of another kind
            return _hamamatsu(path)
        raise
    # what OpenSlide says of these itself; importing it costs a tenth of a slide's tissue and tiles
    if pages[0].description.startswith("Aperio"):
        return "tiff"
    vendor = _openslide_vendor(path)
    if vendor == "hamamatsu":
        return _hamamatsu(path)
    return "tiff" if vendor in _TAKEN_HERE else "openslide"


def _hamamatsu(path: Path) -> str:
    from pathosig.slides.backends.ndpi import readable

    return "ndpi" if readable(path) else "openslide"


def _openslide_vendor(path: Path) -> str | None:
    import openslide

    try:
        vendor: str | None = openslide.OpenSlide.detect_format(str(path))
    except openslide.OpenSlideError:
        return None
    return vendor
