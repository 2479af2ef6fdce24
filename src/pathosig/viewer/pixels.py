"""Open slides kept at hand for the viewer, and JPEG tiles made from them."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.viewer.deepzoom import Region, source_level

if TYPE_CHECKING:
    from pathosig.core.study import Specimen
    from pathosig.slides import SlideInfo, SlideReader

OPEN_SLIDES = 6
MAX_PIXELS = 24_000_000
"""Source pixels one tile may decode; slides without a pyramid are then shown from their overview."""
OVERVIEW_PX = 3000


@dataclass(kw_only=True)
class _OpenSlide:
    reader: SlideReader
    lock: threading.Lock = field(default_factory=threading.Lock)
    overview: tuple[np.ndarray, float] | None = None


class SlideShelf:
    """At most `OPEN_SLIDES` readers, the least recently used closed first; safe for threads."""

    def __init__(self) -> None:
        """Nothing is open yet."""
        self._open: OrderedDict[str, _OpenSlide] = OrderedDict()
        self._lock = threading.Lock()

    def info(self, specimen: Specimen) -> SlideInfo:
        """Facts of a slide.

        Raises
        ------
        SlideError
            If it cannot be opened.
        """
        return self._take(specimen).reader.info

    def jpeg(self, specimen: Specimen, region: Region) -> bytes:
        """One deep-zoom tile.

        Raises
        ------
        SlideError
            If the slide cannot be opened or decoded.
        """
        from pathosig.slides.pyramid import resample

        slide = self._take(specimen)
        with slide.lock:
            info = slide.reader.info
            level = source_level(info.downsamples, region.downsample)
            scale = info.downsamples[level]
            if region.width / scale * (region.height / scale) > MAX_PIXELS:
                return _encode(self._from_overview(slide, region))
            width, height = (max(1, round(v / scale)) for v in (region.width, region.height))
            pixels = slide.reader.read_level(
                level, round(region.x / scale), round(region.y / scale), width, height
            )
        return _encode(resample(pixels, region.out))

    def thumbnail(self, specimen: Specimen, place: tuple[int, int, int], size: int) -> bytes:
        """A square at (x, y) of a width in level-0 pixels, as JPEG of `size` pixels.

        Raises
        ------
        SlideError
            If the slide cannot be opened or decoded.
        """
        x, y, width = place
        down = max(1, width // size)
        return self.jpeg(
            specimen, Region(x=x, y=y, width=width, height=width, out=(size, size), downsample=down)
        )

    def close(self) -> None:
        """Close every slide."""
        with self._lock:
            while self._open:
                _, slide = self._open.popitem()
                with slide.lock:
                    slide.reader.close()

    def _take(self, specimen: Specimen) -> _OpenSlide:
        from pathosig.slides import open_slide

        with self._lock:
            slide = self._open.get(specimen.id)
            if slide is None:
                reader = open_slide(specimen.path, mpp=specimen.mpp, region=specimen.region)
                slide = self._open[specimen.id] = _OpenSlide(reader=reader)
            self._open.move_to_end(specimen.id)
            while len(self._open) > OPEN_SLIDES:
                _, oldest = self._open.popitem(last=False)
                with oldest.lock:
                    oldest.reader.close()
            return slide

    def _from_overview(self, slide: _OpenSlide, region: Region) -> np.ndarray:
        from pathosig.slides import read_overview
        from pathosig.slides.pyramid import resample

        if slide.overview is None:
            slide.overview = read_overview(slide.reader, 1e-6, max_side=OVERVIEW_PX)
        image, scale = slide.overview
        x, y, w, h = (v / scale for v in (region.x, region.y, region.width, region.height))
        if w < 1 or h < 1:
            message = "a region smaller than a pixel of the overview cannot be shown."
            raise SlideError(message, code="E_PIXELS")
        return resample(image, region.out, box=(x, y, w, h))


def _encode(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="JPEG", quality=85)
    return buffer.getvalue()
