"""Open slides kept at hand for the viewer, and JPEG tiles made from them."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pathosig.core.errors import SlideError
from pathosig.slides import open_slide, read_overview
from pathosig.slides.pyramid import resample
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
    """A place on the shelf. The slide is opened under its own lock, so that a slow one holds up no other.

    `is_open` is true from the moment that its reader begins to open, `is_read` while a reader uses it.
    """

    reader: SlideReader | None = None
    is_open: bool = False
    is_read: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    overview: tuple[np.ndarray, float] | None = None


class SlideShelf:
    """Readers that stay open, the least recently used closed first; safe for threads.

    Never more than `OPEN_SLIDES` are open. A slide is closed only while nobody reads it; a reader that waits for it opens it again.
    """

    def __init__(self, icc: str = "off") -> None:
        """Nothing is open yet; `icc` says as in `open_slide` which colours are shown."""
        self._icc = icc
        self._open: OrderedDict[str, _OpenSlide] = OrderedDict()
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(OPEN_SLIDES)

    def info(self, specimen: Specimen) -> SlideInfo:
        """Facts of a slide.

        Raises
        ------
        SlideError
            If it cannot be opened.
        """
        with self._borrowed(specimen) as (_, reader):
            return reader.info

    def jpeg(self, specimen: Specimen, region: Region) -> bytes:
        """One deep-zoom tile.

        Raises
        ------
        SlideError
            If the slide cannot be opened or decoded.
        """
        with self._borrowed(specimen) as (slide, reader):
            info = reader.info
            level = source_level(info.downsamples, region.downsample)
            scale = info.downsamples[level]
            if region.width / scale * (region.height / scale) > MAX_PIXELS:
                return _encode(_from_overview(slide, reader, region))
            width, height = (max(1, round(v / scale)) for v in (region.width, region.height))
            pixels = reader.read_level(level, round(region.x / scale), round(region.y / scale), width, height)
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

    def overview(self, specimen: Specimen, size: int) -> bytes:
        """The whole slide as JPEG, its longer side at most `size` pixels.

        Raises
        ------
        SlideError
            If the slide cannot be opened or decoded.
        """
        with self._borrowed(specimen) as (_, reader):
            pixels, _ = read_overview(reader, 1e-6, max_side=size)
        return _encode(pixels)

    def close(self) -> None:
        """Close every slide that nobody uses."""
        with self._lock:
            self._drop(keep=0)

    @contextmanager
    def _borrowed(self, specimen: Specimen) -> Iterator[tuple[_OpenSlide, SlideReader]]:
        """A slide for one reader at a time; it stays open until it is given back."""
        with self._lock:
            slide = self._open.setdefault(specimen.id, _OpenSlide())
            slide.users += 1
            self._open.move_to_end(specimen.id)
        try:
            with slide.lock, self._turns:
                with self._lock:
                    slide.is_read = True
                    if not slide.is_open:
                        self._drop(keep=OPEN_SLIDES - 1)
                        slide.is_open = True
                try:
                    if slide.reader is None:
                        slide.reader = open_slide(
                            specimen.path, mpp=specimen.mpp, region=specimen.region, icc=self._icc
                        )
                    yield slide, slide.reader
                finally:
                    with self._lock:
                        slide.is_read, slide.is_open = False, slide.reader is not None
        finally:
            with self._lock:
                slide.users -= 1
                if not slide.users and not slide.is_open:
                    self._open.pop(specimen.id, None)

    def _drop(self, *, keep: int) -> None:
        """Close the slides used longest ago until `keep` are open; those that somebody reads stay."""
        for name in list(self._open):
            slide = self._open[name]
            if sum(each.is_open for each in self._open.values()) <= keep:
                return
            if slide.is_read or slide.reader is None:
                continue
            slide.reader.close()
            slide.reader, slide.overview, slide.is_open = None, None, False
            if not slide.users:
                del self._open[name]


def _from_overview(slide: _OpenSlide, reader: SlideReader, region: Region) -> np.ndarray:

    if slide.overview is None:
        slide.overview = read_overview(reader, 1e-6, max_side=OVERVIEW_PX)
    image, scale = slide.overview
    x, y, w, h = (v / scale for v in (region.x, region.y, region.width, region.height))
    if w < 1 or h < 1:
        message = "a region smaller than a pixel of the overview cannot be shown."
        raise SlideError(message, code="E_PIXELS")
    return resample(image, region.out, box=(x, y, w, h))


def _encode(pixels: np.ndarray) -> bytes:

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="JPEG", quality=85)
    return buffer.getvalue()
