"""The colour of bare glass, which is neutral in H&E; a tint indicates wrong colours, stained glass or another lamp."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_BRIGHTEST = 0.02
"""Proportion of pixels that count as the brightest background; it is small because some slides have little glass."""

_TINT, _DARK, _APART = 24, 110, 15
_FEWEST = 4


def glass_colour(rgb: np.ndarray) -> tuple[int, int, int]:
    """Colour of the brightest background of a slide: red, green and blue, each 0 to 255.

    Parameters
    ----------
    rgb
        uint8[h, w, 3], the slide at low power. Pure white, which marks areas that were not scanned, is ignored if at least 5 %
        of the pixels have another colour.
    """
    flat = rgb.reshape(-1, 3)
    flat = flat[:: max(1, len(flat) // 200_000)]
    scanned = flat[(flat != 255).any(axis=1)]
    if len(scanned) < 0.05 * len(flat):
        scanned = flat
    level = scanned.astype(np.int32).sum(axis=1)
    count = max(1, int(_BRIGHTEST * len(scanned)))
    brightest = scanned[np.argpartition(level, len(level) - count)[len(level) - count :]]
    red, green, blue = (int(v) for v in np.median(brightest, axis=0))
    return red, green, blue


def glass_warning(colour: tuple[int, int, int]) -> str | None:
    """A warning if the background is tinted or dark; None otherwise.

    Parameters
    ----------
    colour
        Red, green and blue of the background, each 0 to 255.

    Examples
    --------
    >>> glass_warning((243, 241, 240))
    >>> glass_warning((240, 128, 131))
    'W_BACKGROUND the background is tinted (red 240, green 128, blue 131), but that of H&E is neutral: check the colours of the slide'
    """
    tint = max(colour) - min(colour)
    said = f"red {colour[0]}, green {colour[1]}, blue {colour[2]}"
    if max(colour) < _DARK:
        return f"W_BACKGROUND the background is dark ({said}), as in fluorescence; that of H&E is bright"
    if tint > _TINT:
        return f"W_BACKGROUND the background is tinted ({said}), but that of H&E is neutral: check the colours of the slide"
    return None


def disagreeing(colours: Mapping[str, tuple[int, int, int]]) -> tuple[str, ...]:
    """Slides whose background has another tint than that of most slides of the study, sorted by name.

    Parameters
    ----------
    colours
        Colour of the background of each slide, as `glass_colour` gives it. With fewer than four slides the result is empty.
    """
    if len(colours) < _FEWEST:
        return ()
    names = sorted(colours)
    tints = np.array([colours[name] for name in names], float)
    # Brightness depends on the lamp, tint on the scanner; a wrong tint may also be an error.
    tints -= tints.mean(axis=1, keepdims=True)
    apart = np.abs(tints - np.median(tints, axis=0)).max(axis=1)
    return tuple(name for name, distance in zip(names, apart, strict=True) if distance > _APART)
