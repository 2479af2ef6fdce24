"""ICC profiles: colours of a scanner turned into sRGB by LittleCMS, before anything is resampled."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.reader import ContextClose, SlideInfo, SlideReader

_MAX_BYTES = 1 << 24


def profile_name(profile: bytes) -> str:
    """What a profile calls itself, at most 80 characters; nothing where there is none, ``unreadable`` where it is damaged."""
    if not profile:
        return ""
    from PIL import ImageCms

    try:
        return str(ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))).strip()[:80]
    except (ImageCms.PyCMSError, OSError, ValueError):
        return "unreadable"


def to_srgb(profile: bytes, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function that turns uint8[h, w, 3] of a profile into sRGB, as `PIL.ImageCms.profileToProfile` does by default.

    Parameters
    ----------
    profile
        An ICC profile of RGB.
    name
        Of the file, for messages.

    Raises
    ------
    SlideError
        E_ICC if it is damaged or none of RGB.
    """
    from PIL import Image, ImageCms

    try:
        if len(profile) > _MAX_BYTES:
            raise ValueError("too large")
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise SlideError(
            f"{name}: its ICC profile cannot be used ({str(error)[:80]}). Set [tiles] icc to off, or replace the profile.",
            code="E_ICC",
        ) from error

    def convert(pixels: np.ndarray) -> np.ndarray:
        image = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(ImageCms.applyTransform(image, transform))

    return convert


class ConvertedReader(ContextClose):
    """A reader whose pixels are converted as they are read, for readers that cannot do so tile by tile."""

    def __init__(self, source: SlideReader, convert: Callable[[np.ndarray], np.ndarray]) -> None:
        self.source, self._convert = source, convert
        self.info: SlideInfo = source.info

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a level in sRGB; outside the slide white."""
        return self._convert(self.source.read_level(level, x, y, width, height))

    def close(self) -> None:
        """Close the slide."""
        self.source.close()
