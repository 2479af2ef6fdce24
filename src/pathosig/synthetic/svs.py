"""Writes pyramids that OpenSlide recognises as Aperio, with their mpp; equal pixels give equal bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pathosig.core.records import atomic_path
from pathosig.slides.pyramid import resample

_TILE = 256
_QUALITY = 88


def write_svs(path: Path, pixels: np.ndarray, *, mpp: float = 0.5, levels: int = 2) -> None:
    """Write a pyramid of tiled JPEG images.

    Parameters
    ----------
    path
        File to write.
    pixels
        uint8[h, w, 3]: level 0.
    mpp
        Micrometres per pixel at level 0.
    levels
        Number of further levels; each has a quarter of the width and height of the level before.
    """
    import tifffile  # belongs to the extra `slides`, which simulated embeddings do not need

    height, width = pixels.shape[:2]
    power = round(10 / mpp)
    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=False) as tiff:
        for level in range(levels + 1):
            factor = 4**level
            size = (width // factor, height // factor)
            if min(size) < 16:
                break
            image = resample(pixels, size) if level else pixels
            text = (
                f"Aperio Image Library v12.0.15 \r\n{width}x{height} [0,0 {width}x{height}] ({_TILE}x{_TILE}) "
                f"JPEG/RGB Q={_QUALITY}|AppMag = {power}|MPP = {mpp:.4f}"
            )
            tiff.write(
                image,
                tile=(_TILE, _TILE),
                photometric="rgb",  # stored as YCbCr
                compression="jpeg",
                compressionargs={"level": _QUALITY},
                description=text,
                metadata=None,
                software=False,
                subfiletype=1 if level else 0,
            )
