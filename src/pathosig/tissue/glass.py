"""The colour of bare glass: neutral in H&E, so that a tint betrays wrong colours, a stained slide or another lamp."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_BRIGHTEST = 0.02
"""Proportion of the slide taken for its brightest ground: slides full of tissue have little glass."""

_TINT, _DARK, _APART = 32, 110, 15
_FEWEST = 4


def glass_colour(rgb: np.ndarray) -> tuple[int, int, int]:
    """Colour of the brightest ground of a slide, each 0 to 255.

    Parameters
    ----------
    rgb
        uint8[h, w, 3], the slide at low power. Pure white, which stands for what was not scanned, is left out where there is other ground.
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
    """A warning where the ground is tinted or dark, or None.

    >>> glass_warning((243, 241, 240))
    >>> glass_warning((240, 128, 131))
    'W_BACKGROUND the brightest ground is tinted (red 240, green 128, blue 131), where that of H&E is neutral: look at its colours'
    """
    tint = max(colour) - min(colour)
    said = f"red {colour[0]}, green {colour[1]}, blue {colour[2]}"
    if max(colour) < _DARK:
        return f"W_BACKGROUND the brightest ground is dark ({said}), as in fluorescence; H&E lies on bright glass"
    if tint > _TINT:
        return f"W_BACKGROUND the brightest ground is tinted ({said}), where that of H&E is neutral: look at its colours"
    return None


def disagreeing(colours: Mapping[str, tuple[int, int, int]]) -> tuple[str, ...]:
    """Slides whose ground has another tint than that of most slides of the study, sorted.

    Parameters
    ----------
    colours
        slide -> colour of its ground, as `glass_colour` gives it.
    """
    if len(colours) < _FEWEST:
        return ()
    names = sorted(colours)
    tints = np.array([colours[name] for name in names], float)
    tints -= tints.mean(
        axis=1, keepdims=True
    )  # brightness differs between lamps, tint between scanners and errors
    apart = np.abs(tints - np.median(tints, axis=0)).max(axis=1)
    return tuple(name for name, distance in zip(names, apart, strict=True) if distance > _APART)
