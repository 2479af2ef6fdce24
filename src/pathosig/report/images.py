"""Pixels for the report: overviews of slides and tiles of the atlas, read through `pathosig.slides`.

The only module of the report that opens a slide; the slide readers are imported when the first one is.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pathosig.figures.km import KmData, km_figure
from pathosig.figures.style import svg_bytes
from pathosig.report.page import Block, Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from pathosig.slides import SlideReader

TILE_PX = 128


@contextmanager
def opened(
    path: Path, mpp: float | None, region: tuple[int, int, int, int] | None, icc: str = "off"
) -> Iterator[SlideReader]:
    """A slide or core, closed afterwards."""
    from pathosig.slides import open_slide

    reader = open_slide(path, mpp=mpp, region=region, icc=icc)
    try:
        yield reader
    finally:
        reader.close()


def overview(reader: SlideReader, size_px: int) -> tuple[NDArray[np.uint8], float]:
    """The whole slide with its longer side at most `size_px`: uint8[h, w, 3], and level-0 pixels per pixel."""
    from pathosig.slides import read_overview

    return read_overview(reader, 1e-6, max_side=size_px)


def tiles_at(
    reader: SlideReader, corners: Sequence[tuple[int, int]], width: int, *, size_px: int = TILE_PX
) -> list[NDArray[np.uint8]]:
    """Squares of `width` level-0 pixels at (x, y), resampled to `size_px` pixels: uint8[size, size, 3] each."""
    from pathosig.slides.pyramid import resample

    downsamples = reader.info.downsamples
    level = max((i for i, d in enumerate(downsamples) if d <= width / size_px * 1.01), default=0)
    side = max(1, round(width / downsamples[level]))
    out = []
    for x, y in corners:
        place = (round(x / downsamples[level]), round(y / downsamples[level]))
        out.append(resample(reader.read_level(level, *place, side, side), (size_px, size_px)))
    return out


def jpeg(pixels: NDArray[np.uint8], *, quality: int = 78) -> bytes:
    """uint8[h, w, 3] as JPEG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def picture(name: str, figure: Figure, caption: str, *, alt: str = "", wide: bool = True) -> Picture:
    """A figure as a block of the page."""
    return Picture(
        name=name, data=svg_bytes(figure), caption=caption, alt=alt or caption, wide=wide, figure=figure
    )


def km_pictures(name: str, panels: Sequence[tuple[KmData, str]], caption: str) -> list[Block]:
    """Kaplan-Meier panels as figures of one column each, so that a narrow page sets them one under the other.

    Parameters
    ----------
    name
        Name of the figures, numbered from 1 when there are several.
    panels
        Panel and its title in the caption.
    caption
        With ``{title}`` where the panel's title goes.
    """
    return [
        picture(
            name if len(panels) == 1 else f"{name}_{i}",
            km_figure(panel),
            caption.format(title=title[:1].upper() + title[1:]),
            wide=False,
        )
        for i, (panel, title) in enumerate(panels, start=1)
    ]
