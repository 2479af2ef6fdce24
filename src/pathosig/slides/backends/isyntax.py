"""Reader of iSyntax slides (Philips), which uses the package pyisyntax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends.bounds import check_declared
from pathosig.slides.backends.trial import try_elsewhere
from pathosig.slides.reader import ContextClose, SlideInfo
from pathosig.slides.resolution import checked_mpp

_CACHED_TILES = 200
"""Tiles of 256 x 256 pixels with their wavelet coefficients; the default of the package, 2000, takes about a gigabyte."""

_TRIAL = """
import sys
from isyntax import ISyntax
slide = ISyntax.open(sys.argv[1], cache_size=64)
width, height = slide.level_dimensions[-1]
if width * height <= 16_000_000:
    slide.read_region(0, 0, width, height, slide.level_count - 1)
"""


class ISyntaxReader(ContextClose):
    """An iSyntax slide; label and macro image are never read.

    Some damaged files crash the library, so that each file is first opened in a separate process.

    Raises
    ------
    SlideError
        E_FORMAT, also if the package pyisyntax is not installed; E_TOO_LARGE, E_MPP_RANGE or E_MPP_ANISO.
    """

    def __init__(self, path: Path, *, mpp: float | None = None) -> None:
        self.path = path
        try:
            from isyntax import ISyntax
        except ImportError as error:
            raise SlideError(
                f"{path.name}: iSyntax slides need the package pyisyntax, which is not installed. "
                "Install it with: pip install 'pathosig[isyntax]'",
                code="E_FORMAT",
            ) from error
        if not _is_isyntax(_head(path)):
            raise SlideError(
                f"{path.name}: is not an iSyntax file, or is damaged. Copy it again.",
                code="E_FORMAT",
            )
        try_elsewhere(path, _TRIAL, "iSyntax")
        self._slide: Any = ISyntax.open(path, cache_size=_CACHED_TILES)
        try:
            self.info = self._info(mpp)
        except SlideError:
            self._slide.close()
            raise

    def _info(self, table_mpp: float | None) -> SlideInfo:
        sizes = tuple((int(w), int(h)) for w, h in self._slide.level_dimensions)
        downsamples = tuple(float(d) for d in self._slide.level_downsamples)
        if not sizes or min(min(size) for size in sizes) < 1 or downsamples[0] != 1.0:
            raise SlideError(f"{self.path.name}: has no level of full resolution.", code="E_FORMAT")
        check_declared(sizes[0], self.path.stat().st_size, self.path.name)
        x, y = (_known(value) for value in (self._slide.mpp_x, self._slide.mpp_y))
        mpp, source = checked_mpp(x, y, given=table_mpp, name=self.path.name)
        return SlideInfo(
            level_sizes=sizes, downsamples=downsamples, mpp=mpp, mpp_source=source, vendor="philips-isyntax"
        )

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a level; pixels outside the slide, and pixels that were not scanned, are white.

        Raises
        ------
        SlideError
            E_PIXELS if the library cannot decode them.
        """
        out = np.full((height, width, 3), 255, np.uint8)
        total_w, total_h = self.info.level_sizes[level]
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, total_w), min(y + height, total_h)
        if x1 <= x0 or y1 <= y0:  # the library itself does not check this
            return out
        try:
            rgba = self._slide.read_region(x0, y0, x1 - x0, y1 - y0, level)
        except Exception as error:  # the types of its errors are known only after its import
            raise SlideError(
                f"{self.path.name}: pixels at ({x}, {y}) of level {level} cannot be decoded "
                f"({type(error).__name__}).",
                code="E_PIXELS",
            ) from error
        out[y0 - y : y1 - y, x0 - x : x1 - x] = _on_white(np.asarray(rgba))
        return out

    def close(self) -> None:
        """Close the file."""
        self._slide.close()


def _is_isyntax(head: bytes) -> bool:
    """Whether the first bytes of a file are those of an iSyntax file."""
    return b"<DataObject" in head[:200] and b"DPUfsImport" in head


def _head(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(400)


def _known(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) and value > 0 else None  # a 32-bit number


def _on_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
