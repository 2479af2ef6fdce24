"""OME-XML: the images of a file, the places of their planes and the sizes of their pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from pathosig.slides.backends.xml import parse_xml
from pathosig.slides.resolution import length, micrometres, parse_number

_MAX_PLANES = 4_096
_MAX_STEPS = 1 << 17
"""Most planes listed by all images together; a TIFF has at most 2,000 pages, but planes may be listed many times."""

_FLUORESCENCE = re.compile(
    r"\b(dapi|hoechst|fitc|tritc|texas ?red|gfp|yfp|cfp|rfp|mcherry|cy ?[2357](\.5)?|alexa|af ?\d{3}|opal ?\d+|dylight)\b",
    re.IGNORECASE,
)
_BRIGHTFIELD = ("brightfield", "transmittedlight", "transmitted")


@dataclass(frozen=True, kw_only=True, slots=True)
class OmeImage:
    """One image of an OME file.

    Attributes
    ----------
    name
        The name in the file, often empty. Images named ``label`` or ``macro`` are not slides.
    size, depth, times, channels
        (SizeX, SizeY), SizeZ, SizeT and SizeC.
    planes
        From (z, c, t) to the number of the page that holds the plane; c counts the channels that have a page of their own.
    fluorescent
        Whether its channels name fluorescent dyes, emission wavelengths or an imaging mode with fluorescence.
    names
        Names of its channels; the name of a channel without one is empty.
    mpp
        Micrometres per pixel in (x, y); None if not given.
    unit
        The unit of PhysicalSize if it is not known as a unit of length; otherwise empty.
    power
        Nominal magnification of the objective.
    elsewhere
        Whether some of its planes lie in other files.
    """

    name: str
    size: tuple[int, int]
    depth: int
    times: int
    channels: int
    planes: Mapping[tuple[int, int, int], int]
    fluorescent: bool
    names: tuple[str, ...]
    mpp: tuple[float | None, float | None]
    unit: str
    power: float | None
    elsewhere: bool = False


def is_ome(description: str) -> bool:
    """Whether a description is OME-XML.

    Parameters
    ----------
    description
        The tag ImageDescription of the first page of a TIFF.

    Returns
    -------
    Whether the text is OME-XML.

    Examples
    --------
    >>> is_ome('<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'), is_ome("Aperio")
    (True, False)
    """
    return "<OME" in description[:2000] or ":OME" in description[:2000]


def read_images(description: str) -> tuple[OmeImage, ...]:
    """The images in the OME-XML of a file, in its order; none if the XML is damaged.

    Parameters
    ----------
    description
        ImageDescription of the first page.

    Returns
    -------
    tuple of OmeImage

    Examples
    --------
    >>> xml = '<OME><Image Name="scan"><Pixels SizeX="640" SizeY="480" SizeZ="1" SizeT="1" SizeC="3" PhysicalSizeX="0.25"'
    >>> xml += ' PhysicalSizeY="0.25"><Channel SamplesPerPixel="3"/><TiffData/></Pixels></Image></OME>'
    >>> [(image.name, image.size, image.mpp) for image in read_images(xml)]
    [('scan', (640, 480), (0.25, 0.25))]
    """
    root = parse_xml(description)
    if root is None or root.tag != "OME":
        return ()
    objectives = {
        o.get("ID", ""): parse_number(o.get("NominalMagnification") or o.get("CalibratedMagnification"))
        for o in root.iter("Objective")
    }
    files = {_file(data) for data in root.iter("TiffData")} - {""}
    steps = _Steps()
    images = (
        _image(element, objectives, root.get("UUID", "") if len(files) > 1 else None, steps)
        for element in root.iter("Image")
    )
    return tuple(image for image in images if image is not None)


def is_part(description: str) -> bool:
    """Whether a file declares that its metadata are in another file (BinaryOnly).

    Parameters
    ----------
    description
        ImageDescription of the first page.

    Returns
    -------
    Whether the metadata are elsewhere.

    Examples
    --------
    >>> is_part('<OME><BinaryOnly MetadataFile="main.ome.tif"/></OME>'), is_part("<OME/>")
    (True, False)
    """
    root = parse_xml(description)
    return root is not None and root.find("BinaryOnly") is not None


def _file(data: Element) -> str:
    """The file that a TiffData element names: its UUID, or its file name if the UUID is empty."""
    uuid = data.find("UUID")
    return "" if uuid is None else (uuid.text or "").strip() or uuid.get("FileName", "")


@dataclass(slots=True)
class _Steps:
    """Number of planes that may still be listed."""

    left: int = _MAX_STEPS


def _image(
    element: Element, objectives: Mapping[str, float | None], file: str | None, steps: _Steps
) -> OmeImage | None:
    """An image of the document. `file` is the UUID of this file if the planes lie in several files, else None."""
    pixels = element.find("Pixels")
    if pixels is None:
        return None
    x, y, z, c, t = (_count(pixels, f"Size{axis}") for axis in "XYZCT")
    if not x or not y:
        return None
    channels = pixels.findall("Channel")
    samples = max((_count(channel, "SamplesPerPixel") for channel in channels), default=1)
    units = [pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "XY"]
    sizes = [pixels.get(f"PhysicalSize{axis}") for axis in "XY"]
    mpp = [_size(value, unit) for value, unit in zip(sizes, units, strict=True)]
    convertible = [micrometres(1.0, unit) is not None for unit in units]
    used = element.find("ObjectiveSettings")
    power = objectives.get(used.get("ID", "")) if used is not None else None
    return OmeImage(
        name=element.get("Name", ""),
        size=(x, y),
        depth=max(1, z),
        times=max(1, t),
        channels=max(1, c),
        planes=_planes(pixels, (max(1, z), max(1, -(-max(1, c) // samples)), max(1, t)), steps),
        fluorescent=any(_is_fluorescent(channel) for channel in channels),
        names=tuple(channel.get("Name", "") for channel in channels),
        mpp=(mpp[0], mpp[1]),
        unit=""
        if all(convertible) or not any(sizes)
        else next(u for u, k in zip(units, convertible, strict=True) if not k),
        power=power
        if power is not None
        else (next(iter(objectives.values())) if len(objectives) == 1 else None),
        elsewhere=file is not None and any(_file(d) != file for d in pixels.findall("TiffData")),
    )


def _size(value: str | None, unit: str) -> float | None:
    """A physical size in micrometres. Some writers put the unit after the number."""
    plain = micrometres(value, unit)
    return length(value) if plain is None and value and micrometres(1.0, unit) is not None else plain


def _count(element: Element, name: str) -> int:
    value = element.get(name, "1").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else 1


def _is_fluorescent(channel: Element) -> bool:
    said = " ".join(channel.get(name, "") for name in ("Name", "Fluor"))
    mode = " ".join(
        channel.get(name, "") for name in ("ContrastMethod", "AcquisitionMode", "IlluminationType")
    ).lower()
    if "fluorescence" in mode or "epifluorescence" in mode:
        return True
    if any(word in mode for word in _BRIGHTFIELD):
        return False
    return bool(_FLUORESCENCE.search(said)) or channel.get("EmissionWavelength") is not None


def _planes(pixels: Element, counts: tuple[int, int, int], steps: _Steps) -> dict[tuple[int, int, int], int]:
    """From (z, c, t) to page. From the first plane of each TiffData element on, planes follow DimensionOrder."""
    order = [axis for axis in pixels.get("DimensionOrder", "XYZCT")[2:] if axis in "ZCT"]
    order += [axis for axis in "ZCT" if axis not in order]
    length = dict(zip("ZCT", counts, strict=True))
    total = min(counts[0] * counts[1] * counts[2], _MAX_PLANES)
    pages: dict[tuple[int, int, int], int] = {}
    for data in pixels.findall("TiffData"):
        first = {axis: _index(data, f"First{axis}") for axis in "ZCT"}
        page = _index(data, "IFD")
        whole = data.get("IFD") is None and data.get("PlaneCount") is None
        n = total if whole else min(_count(data, "PlaneCount") if data.get("PlaneCount") else 1, _MAX_PLANES)
        for step in range(n):
            if len(pages) >= _MAX_PLANES or steps.left <= 0:
                return pages
            steps.left -= 1
            place, rest = dict(first), step
            for axis in order:
                place[axis] = first[axis] + rest % length[axis]
                rest //= length[axis]
            pages.setdefault((place["Z"], place["C"], place["T"]), page + step)
    return pages


def _index(element: Element, name: str) -> int:
    value = element.get(name, "0").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0
