"""What a TIFF says of itself, checked before a pixel is decoded."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends.source import read_error
from pathosig.slides.resolution import from_resolution_tags, parse_number

JPEG, JPEG2000, NONE = 7, (33003, 33004, 33005, 34712), 1
CODECS = {NONE, 5, JPEG, 8, 32946, *JPEG2000, 50001, 34927}
"""Compression tags that are decoded here: none, LZW, JPEG, deflate, JPEG 2000, WebP."""

_MINISBLACK, _RGB, _PALETTE, _YCBCR = 1, 2, 3, 6
_MAX_TILE = 64_000_000
_MAX_IFDS = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class PageFacts:
    """One image of a TIFF: what is needed to decode its tiles."""

    size: tuple[int, int]
    tile: tuple[int, int]
    across: int
    compression: int
    photometric: int
    samples: int
    bits: int
    planar: int
    predictor: int
    tables: bytes | None
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    description: str
    resolution: dict[str, Any]
    reduced: bool

    @property
    def tiled(self) -> bool:
        """Whether it is stored in tiles."""
        return self.tile != (0, 0)

    def beyond(self, size: int) -> int:
        """How many of its tiles or strips end behind the last of `size` bytes."""
        n = min(len(self.offsets), len(self.counts))
        offsets, counts = (np.array(v[:n], float) for v in (self.offsets, self.counts))
        return int(np.count_nonzero(offsets + counts > size))


def read_pages(path: Path) -> list[PageFacts]:
    """Facts of all images in the main chain of a TIFF, and of the sub-images of the first.

    Raises
    ------
    SlideError
        E_FORMAT if the structure is damaged or loops.
    """
    stat = path.stat()
    return list(_read_pages(path, stat.st_size, stat.st_mtime_ns))


@functools.lru_cache(maxsize=2)
def _read_pages(path: Path, _size: int, _changed: int) -> tuple[PageFacts, ...]:
    """Choosing a reader and opening it parse the file once."""
    import tifffile

    pages: list[PageFacts] = []
    try:
        with tifffile.TiffFile(path) as file:
            for page in _chain(file, path):
                pages.append(_facts(page))
    except SlideError:
        raise
    except OSError as error:
        raise read_error(path.name, error) from error
    except Exception as error:  # tifffile raises many kinds on damaged structure
        raise SlideError(
            f"{path.name}: damaged TIFF structure ({type(error).__name__}). Copy it again.", code="E_FORMAT"
        ) from error
    if not pages:
        raise SlideError(f"{path.name}: a TIFF without images.", code="E_FORMAT")
    return tuple(pages)


def _chain(file: Any, path: Path) -> Any:
    seen: set[int] = set()
    for number, page in enumerate(file.pages):
        offset = getattr(page, "offset", number)
        if offset in seen or number > _MAX_IFDS:
            raise SlideError(f"{path.name}: its directories loop. Copy it again.", code="E_FORMAT")
        seen.add(offset)
        yield page
        if number == 0:
            yield from page.pages or ()


def first_page(path: Path) -> PageFacts:
    """Facts of the first image."""
    return read_pages(path)[0]


def _facts(page: Any) -> PageFacts:
    tags = page.tags

    def value(code: int, default: Any = None) -> Any:
        tag = tags.get(code)
        return default if tag is None else tag.value

    width, height = int(value(256, 0)), int(value(257, 0))
    if width <= 0 or height <= 0:
        raise ValueError("no size")
    bits = value(258, 1)
    resolution = {"x": _ratio(value(282)), "y": _ratio(value(283)), "unit": int(value(296, 2) or 0)}
    tile = (int(value(322, 0)), int(value(323, 0)))
    if tile[0] * tile[1] > _MAX_TILE:
        raise SlideError(
            f"{page.parent.filename}: has tiles of {tile[0]} x {tile[1]} pixels, larger than any scanner writes. "
            "Convert it to tiles of 256 to 1024 pixels.",
            code="E_TOO_LARGE",
        )
    return PageFacts(
        size=(width, height),
        tile=tile,
        across=-(-width // tile[0]) if tile[0] else 0,
        compression=int(value(259, 1)),
        photometric=int(value(262, _RGB)),
        samples=int(value(277, 1)),
        bits=max(bits) if isinstance(bits, tuple) else int(bits),
        planar=int(value(284, 1)),
        predictor=int(value(317, 1)),
        tables=value(347),
        offsets=tuple(value(324 if tile[0] else 273, ())),
        counts=tuple(value(325 if tile[0] else 279, ())),
        description=str(value(270, "") or ""),
        resolution=resolution,
        reduced=bool(int(value(254, 0)) & 1),
    )


def _ratio(value: Any) -> float | None:
    if isinstance(value, tuple) and len(value) == 2:
        return value[0] / value[1] if value[1] else None
    return float(value) if value else None


def header_mpp(page: PageFacts) -> tuple[float | None, float | None, float | None, str]:
    """(mpp x, mpp y, objective power, vendor) as the first page's description or tags say."""
    text = page.description
    if text.startswith("Aperio"):
        found = re.search(r"MPP\s*=\s*([\d.,]+)", text)
        power = re.search(r"AppMag\s*=\s*([\d.,]+)", text)
        mpp = parse_number(found.group(1)) if found else None
        return mpp, mpp, parse_number(power.group(1)) if power else None, "aperio"
    if "DPUfsImport" in text[:2000]:
        spacing = re.search(r'"DICOM_PIXEL_SPACING"[^>]*>([^<]+)<', text)
        found_mm = [parse_number(v) for v in re.findall(r"\d[\d.e-]*", spacing.group(1))] if spacing else []
        y, x = (None if v is None else 1000 * v for v in found_mm) if len(found_mm) == 2 else (None, None)
        return x, y, None, "philips"
    if "<OME" in text[:2000]:
        sizes = [re.search(rf'PhysicalSize{a}="([^"]+)"', text) for a in "XY"]
        units = [re.search(rf'PhysicalSize{a}Unit="([^"]+)"', text) for a in "XY"]
        x, y = (_ome(s, u) for s, u in zip(sizes, units, strict=True))
        return x, y, None, "ome"
    x, y = from_resolution_tags(page.resolution)
    return x, y, None, "generic-tiff"


def _ome(size: re.Match[str] | None, unit: re.Match[str] | None) -> float | None:
    factor = {"nm": 1e-3, "mm": 1e3, "cm": 1e4, "µm": 1.0, "um": 1.0}.get(unit.group(1) if unit else "µm")
    value = parse_number(size.group(1)) if size else None
    return None if value is None or factor is None else value * factor


def to_rgb(page: Any, pixels: np.ndarray, path: Path) -> np.ndarray:
    """Decoded pixels of a flat TIFF page as uint8 RGB.

    Raises
    ------
    SlideError
        E_BITDEPTH, E_PHOTOMETRIC.
    """
    if pixels.dtype != np.uint8:
        raise SlideError(
            f"{path.name}: pixels are {pixels.dtype}; expected 8 bits a channel. Convert it, choosing the range "
            "yourself.",
            code="E_BITDEPTH",
        )
    photometric = int(page.photometric)
    if photometric == _PALETTE:
        colours = np.asarray(page.colormap) >> 8
        return np.ascontiguousarray(colours.T[pixels].astype(np.uint8))
    if photometric in (0, _MINISBLACK) and pixels.ndim == 2:
        gray = 255 - pixels if photometric == 0 else pixels
        return np.repeat(gray[..., None], 3, axis=2)
    if photometric in (_RGB, _YCBCR) and pixels.ndim == 3:
        if pixels.shape[0] in (3, 4) and pixels.shape[2] not in (3, 4):
            pixels = np.moveaxis(pixels, 0, 2)
        if pixels.shape[2] == 4:
            alpha = pixels[..., 3:].astype(np.uint16)
            mixed = (pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
            return mixed.astype(np.uint8)
        return np.ascontiguousarray(pixels[..., :3])
    raise SlideError(f"{path.name}: colours are stored in a way that is not read here.", code="E_PHOTOMETRIC")
