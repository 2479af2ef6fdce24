"""Reader of flat images (PNG, JPEG and BMP) as slides with one level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin

from pathosig.core.errors import SlideError
from pathosig.slides.reader import ContextClose, SlideInfo
from pathosig.slides.resolution import checked_mpp

_MAX_PIXELS = 400_000_000
_SMALL, _MAX_RATIO = 40_000_000, 40
"""Pixels that any file may have, and pixels per byte for larger images; more indicate a decompression bomb."""

_MAX_SCANNED = 2_000_000_000
"""Largest product of pixels and scans of a JPEG; each scan of a progressive JPEG processes all pixels again."""


class FlatReader(ContextClose):
    """One image, which is decoded when it is first read and then kept in memory.

    Raises
    ------
    SlideError
        E_TOO_LARGE, before anything is decoded; E_BITDEPTH, E_PHOTOMETRIC or E_FORMAT.
    """

    def __init__(self, path: Path, *, mpp: float | None = None) -> None:
        self.path = path
        size = _size(path)
        _guard(path, size)
        value, source = checked_mpp(None, None, given=mpp, name=path.name)
        self.info = SlideInfo(
            level_sizes=(size,), downsamples=(1.0,), mpp=value, mpp_source=source, vendor="flat"
        )
        self._pixels: np.ndarray | None = None
        self._damage: SlideError | None = None

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of the image; pixels outside it are white."""
        if self._damage is not None:  # decoding a damaged image again would take as long and fail again
            raise SlideError(str(self._damage), code=self._damage.code)
        if self._pixels is None:
            try:
                self._pixels = _load(self.path)
            except SlideError as error:
                self._damage = error
                raise
        out = np.full((height, width, 3), 255, np.uint8)
        total_w, total_h = self.info.level_sizes[0]
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, total_w), min(y + height, total_h)
        if x1 > x0 and y1 > y0:
            out[y0 - y : y1 - y, x0 - x : x1 - x] = self._pixels[y0:y1, x0:x1]
        return out

    def close(self) -> None:
        """Drop the pixels."""
        self._pixels = None


def _guard(path: Path, size: tuple[int, int]) -> None:
    pixels = size[0] * size[1]
    file_bytes = path.stat().st_size
    if pixels > min(_MAX_PIXELS, max(_SMALL, _MAX_RATIO * file_bytes)) or pixels > 20_000 * file_bytes:
        raise SlideError(
            f"{path.name}: declares {size[0]} x {size[1]} pixels in {path.stat().st_size} bytes, which is too large for an "
            "image without tiles. Convert it to a tiled TIFF.",
            code="E_TOO_LARGE",
        )


def _size(path: Path) -> tuple[int, int]:
    """(width, height) of an image with 8 bits per channel; its dpi are those of a screen or printer and are ignored."""
    try:
        with path.open("rb") as handle:
            image = _plugin(path)(handle)
            size: tuple[int, int] = image.size
            mode = image.mode
    except (OSError, ValueError, SyntaxError) as error:
        raise SlideError(
            f"{path.name}: cannot be read as an image. Copy it again.", code="E_FORMAT"
        ) from error
    with path.open("rb") as handle:
        head = handle.read(26)
    if mode.startswith(("I", "F")) or (head.startswith(b"\x89PNG") and head[24:25] == b"\x10"):
        raise SlideError(
            f"{path.name}: has more than 8 bits per channel. Convert it to 8-bit RGB.", code="E_BITDEPTH"
        )
    if mode in ("CMYK", "LAB", "HSV"):
        raise SlideError(f"{path.name}: colours are {mode}. Convert it to RGB.", code="E_PHOTOMETRIC")
    if head.startswith(b"\xff\xd8") and size[0] * size[1] > 1_000_000:
        scans = path.read_bytes().count(b"\xff\xda")
        if scans * size[0] * size[1] > _MAX_SCANNED:
            raise SlideError(
                f"{path.name}: is a JPEG with {scans} scans. Convert it to a baseline JPEG.",
                code="E_TOO_LARGE",
            )
    return size


def _load(path: Path) -> np.ndarray:
    """All pixels, with transparent ones on white.

    The size has been checked before, so that Pillow's own limit, which all threads share, need not be changed.

    Raises
    ------
    SlideError
        E_FORMAT if the image is damaged.
    """
    try:
        with path.open("rb") as handle:
            reader = _plugin(path)(handle)
            if reader.mode not in ("RGBA", "LA", "PA") and "transparency" not in reader.info:
                return np.asarray(reader.convert("RGB"))
            rgba = reader.convert("RGBA")
            white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
            return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise SlideError(f"{path.name}: is damaged ({error}).", code="E_FORMAT") from error


def _plugin(path: Path) -> Any:
    """Pillow's class for a file, which opens it without the limit of `Image.open`."""
    with path.open("rb") as handle:
        head = handle.read(8)
    if head.startswith(b"\x89PNG"):
        return PngImagePlugin.PngImageFile
    return BmpImagePlugin.BmpImageFile if head.startswith(b"BM") else JpegImagePlugin.JpegImageFile
