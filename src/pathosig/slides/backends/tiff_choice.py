"""The choice of the reader for a TIFF: the fast readers of this package, or OpenSlide for the layouts of other vendors."""

from __future__ import annotations

from pathlib import Path

from pathosig.core.errors import SlideError
from pathosig.slides.backends.tiff_tags import read_pages

_TAKEN_HERE = {"aperio", "generic-tiff", "philips", None}
"""The vendors, by OpenSlide's names, whose files `TiffReader` reads; None is a file that OpenSlide does not know."""

_FOUR_GB = 1 << 32


def choose(path: Path) -> str:
    """The reader for a TIFF: ``tiff`` or ``ndpi``, which are faster, or ``openslide``.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Name of the reader.

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
        large = (
            path.stat().st_size >= _FOUR_GB
        )  # such NDPI files have another kind of link between directories
        if error.code == "E_FORMAT" and large and _openslide_vendor(path) == "hamamatsu":
            return _hamamatsu(path)
        raise
    # OpenSlide would say the same; importing it takes a tenth of the time of a slide's tissue mask and tiles
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
