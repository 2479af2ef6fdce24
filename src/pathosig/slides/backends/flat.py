"""Flat images: PNG, JPEG, BMP and TIFF without tiles, as slides of one level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.reader import ContextClose, SlideInfo
from pathosig.slides.resolution import checked_mpp, from_resolution_tags

_MAX_PIXELS = 400_000_000
_MAX_RATIO = 2_000
"""Pixels per byte of file: beyond it a file is a decompression bomb, not an image."""


class FlatReader(ContextClose):
    """One image, decoded when first read and kept.

    Raises
    ------
    SlideError
        E_TOO_LARGE before anything is decoded; E_BITDEPTH, E_PHOTOMETRIC, E_FORMAT.
    """

    def __init__(self, path: Path, *, mpp: float | None = None) -> None:
        self.path = path
        size, header_mpp, self._load = _tiff(path) if _is_tiff(path) else _raster(path)
        _guard(path, size)
        value, source = checked_mpp(*header_mpp, given=mpp, name=path.name)
        self.info = SlideInfo(
            level_sizes=(size,), downsamples=(1.0,), mpp=value, mpp_source=source, vendor="flat"
        )
        self._pixels: np.ndarray | None = None

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels; outside the image white."""
        if self._pixels is None:
            self._pixels = self._load()
        out = np.full((height, width, 3), 255, np.uint8)
        total_w, total_h = self.info.level_sizes[0]
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, total_w), min(y + height, total_h)
        if x1 > x0 and y1 > y0:
            out[y0 - y : y1 - y, x0 - x : x1 - x] = self._pixels[y0:y1, x0:x1]
        return out

    def close(self) -> None:
        """Drop the pixels."""
        self._pixels = None


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(2) in (b"II", b"MM")


def _guard(path: Path, size: tuple[int, int]) -> None:
    pixels = size[0] * size[1]
    if pixels > _MAX_PIXELS or pixels > _MAX_RATIO * max(path.stat().st_size, 1):
        raise SlideError(
            f"{path.name}: declares {size[0]} x {size[1]} pixels in {path.stat().st_size} bytes; too large for an "
            "image without tiles. Convert it to a tiled TIFF.",
            code="E_TOO_LARGE",
        )


def _raster(path: Path) -> tuple[tuple[int, int], tuple[float | None, float | None], Any]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            size, mode, dpi = image.size, image.mode, image.info.get("dpi")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SlideError(
            f"{path.name}: cannot be read as an image. Copy it again.", code="E_FORMAT"
        ) from error
    if mode.startswith(("I", "F")):
        raise SlideError(
            f"{path.name}: has more than 8 bits a channel. Convert it to 8-bit RGB.", code="E_BITDEPTH"
        )
    if mode in ("CMYK", "LAB", "YCbCr") and mode != "YCbCr":
        raise SlideError(f"{path.name}: colours are {mode}. Convert it to RGB.", code="E_PHOTOMETRIC")
    del dpi  # screen resolution of an export, never the microscope's

    def load() -> np.ndarray:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            with Image.open(path) as image:
                rgba = image.convert("RGBA")
                white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
                return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise SlideError(f"{path.name}: is damaged ({error}).", code="E_FORMAT") from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit

    return size, (None, None), load


def _tiff(path: Path) -> tuple[tuple[int, int], tuple[float | None, float | None], Any]:
    from pathosig.slides.backends.tiff_tags import first_page, to_rgb

    page = first_page(path)

    def load() -> np.ndarray:
        import tifffile

        try:
            with tifffile.TiffFile(path) as file:
                return to_rgb(file.pages[0], file.pages[0].asarray(), path)
        except SlideError:
            raise
        except Exception as error:  # tifffile and codecs raise many kinds on damaged data
            raise SlideError(f"{path.name}: pixels cannot be decoded ({error}).", code="E_FORMAT") from error

    return page.size, from_resolution_tags(page.resolution), load
