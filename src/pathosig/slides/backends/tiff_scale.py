"""Facts about the scan in the descriptions of a TIFF: vendor, micrometres per pixel and objective."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from pathosig.slides.backends.ome import OmeImage, is_ome
from pathosig.slides.backends.tiff_tags import Page
from pathosig.slides.backends.xml import parse_xml
from pathosig.slides.resolution import first_number, from_resolution_tags, length, micrometres, parse_number

_HEAD = 1 << 16
_FIELD = re.compile(r"[^=|;\r\n]{1,40}=[^|\r\n]{0,200}")
_UNIT = re.compile(r"^unit=(.+)$", re.MULTILINE)
_POWER_KEYS = ("appmag", "objective", "objectivepower", "magnification", "mag")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Vendor, micrometres per pixel and objective of a scan.

    Attributes
    ----------
    mpp
        Micrometres per pixel in (x, y); None if no field gives them.
    tags
        Whether the value comes from resolution tags. A print resolution in them is not a scale.
    warnings
        Fields that are present but cannot be understood.
    """

    vendor: str
    mpp: tuple[float | None, float | None]
    power: float | None = None
    tags: bool = False
    warnings: tuple[str, ...] = ()


def scale_of(first: Page, page: Page, image: OmeImage | None) -> Scale:
    """The scale of a scan, from the fields of its description or else from its resolution tags.

    Parameters
    ----------
    first
        The first page of the file, which carries its description.
    page
        Level 0 of the scan.
    image
        The OME image of the scan if the file is an OME-TIFF, else None.

    Returns
    -------
    `Scale`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from pathosig.slides.backends.tiff_tags import read_pages
    >>> path = Path(tempfile.mkdtemp()) / "S01.tif"
    >>> Image.new("RGB", (64, 64)).save(path, description="Aperio Image Library v12 |AppMag = 20|MPP = 0.4990")
    >>> page = read_pages(path)[0]
    >>> scale = scale_of(page, page, None)
    >>> scale.vendor, scale.mpp
    ('aperio', (0.499, 0.499))
    """
    text = page.description or first.description
    if image is not None or is_ome(first.description):
        return _ome(page, image)
    if text.startswith("Aperio") or first.description.startswith("Aperio"):
        return _fields(text if text.startswith("Aperio") else first.description, "aperio")
    if "DPUfsImport" in first.description[:2000]:
        return _philips(first.description)
    fields = _fields(text[:_HEAD], "generic-tiff")
    if fields.mpp[0] is not None:
        return fields
    by_tags = from_resolution_tags(*page.resolution)
    if first.description.startswith("ImageJ="):
        by_tags = _imagej(first.description, page) or by_tags
    return Scale(vendor="generic-tiff", mpp=by_tags, power=fields.power, tags=True, warnings=fields.warnings)


def _imagej(text: str, page: Page) -> tuple[float | None, float | None] | None:
    """In files of ImageJ, the resolution tags count pixels per unit, and the description names the unit."""
    unit = _UNIT.search(text[:_HEAD])
    if unit is None or micrometres(1.0, unit.group(1)) is None:
        return None
    x, y = (micrometres(1 / v, unit.group(1)) if v else None for v in page.resolution[:2])
    return x, y


def _fields(text: str, vendor: str) -> Scale:
    """The scale in ``key = value`` fields, separated by ``|``, ``;`` or line ends, as Aperio and similar software write them."""
    fields: dict[str, str] = {}
    for field in re.split(r"[|;\r\n]", text[:_HEAD]):
        if _FIELD.fullmatch(field.strip()):
            key, _, value = field.partition("=")
            fields.setdefault(key.strip().lower(), value.strip())
    either = length(fields.get("mpp", ""))
    x = next((v for k in ("mpp-x", "mppx", "mpp_x") if (v := length(fields.get(k, "")))), None) or either
    y = next((v for k in ("mpp-y", "mppy", "mpp_y") if (v := length(fields.get(k, "")))), None) or either
    power = next((v for k in _POWER_KEYS if (v := first_number(fields.get(k, "")))), None)
    unread = [k for k in ("mpp", "mpp-x") if fields.get(k) and length(fields[k]) is None]
    warnings = (
        (f"the field {unread[0].upper()} of its header is not a number ({fields[unread[0]][:40]!r})",)
        if unread
        else ()
    )
    return Scale(vendor=vendor, mpp=(x, y), power=power, warnings=warnings)


def _philips(text: str) -> Scale:
    """The first DICOM_PIXEL_SPACING (row, column in millimetres) of the slide in a Philips header, not of its label or macro image."""
    root = parse_xml(text)
    for attribute in _attributes_of_slide(root) if root is not None else ():
        if attribute.get("Name") == "DICOM_PIXEL_SPACING" and attribute.text:
            pair = [parse_number(v) for v in attribute.text.replace('"', " ").split()]
            if len(pair) == 2 and pair[0] and pair[1]:
                return Scale(vendor="philips", mpp=(1000 * pair[1], 1000 * pair[0]))
    return Scale(vendor="philips", mpp=(None, None))


def _attributes_of_slide(root: Element) -> Iterator[Element]:
    """The attributes of a Philips header: those of the scanned image of type WSI, then those outside all scanned images.

    If no image has this type, all attributes.
    """
    images = [o for o in root.iter("DataObject") if o.get("ObjectType") == "DPScannedImage"]
    slides = [
        image
        for image in images
        if any(a.get("Name") == "PIM_DP_IMAGE_TYPE" and (a.text or "").strip() == "WSI" for a in image)
    ]
    for image in slides:
        yield from image.iter("Attribute")
    inside = {id(attribute) for image in images if slides for attribute in image.iter("Attribute")}
    yield from (attribute for attribute in root.iter("Attribute") if id(attribute) not in inside)


def _ome(page: Page, image: OmeImage | None) -> Scale:
    if image is not None and any(image.mpp) and not image.unit:
        return Scale(vendor="ome", mpp=image.mpp, power=image.power)
    warnings = (
        (f"PhysicalSize has the unit {image.unit!r}, which is not a known unit of length",)
        if image is not None and image.unit
        else ()
    )
    if warnings:
        return Scale(vendor="ome", mpp=(None, None), power=image.power if image else None, warnings=warnings)
    return Scale(
        vendor="ome",
        mpp=from_resolution_tags(*page.resolution),
        power=image.power if image else None,
        tags=True,
    )
