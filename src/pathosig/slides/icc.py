"""ICC profiles: conversion of the colours of a scanner to sRGB by LittleCMS, before any resampling."""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Callable

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.holes import read_with_holes
from pathosig.slides.reader import ContextClose, SlideInfo, SlideReader

try:
    from pathosig.slides import _resample
except ImportError:  # no compiler was available when the package was built
    COMPILED = False
else:
    COMPILED = hasattr(_resample, "recolour")
"""Whether colours are looked up by a compiled loop; results are identical in either case."""

_MAX_BYTES = 1 << 24

_CELL = np.dtype(
    {
        "names": ["base_red", "place", "mark", "green_blue"],
        "formats": [("i2", 6), "u4", "i2", ("i2", 6)],
        "offsets": [0, 0, 12, 16],
        "itemsize": 32,
    }
)
"""A cell of 8 x 8 x 16 colours; `_resample.c` describes the format."""

_LINEAR, _LISTED = 128, 256
_CELLS = 1 << 14

_SIDES = np.array((8, 8, 16))
_INSIDE = np.stack(np.meshgrid(*map(np.arange, _SIDES), indexing="ij"), axis=-1).reshape(-1, 3)
"""Colours of a cell relative to its corner, int[1024, 3]."""

_TERMS = np.column_stack([np.ones(len(_INSIDE)), _INSIDE])
_FIT = np.linalg.pinv(_TERMS)
"""Matrix of the least-squares fit of a linear function to a cell, float64[4, 1024]."""

_REFITS = 8
"""Number of rounds in which functions of cells with clipped colours are fitted again."""

_PLACES = np.array([1, 1 << 8, 1 << 16], np.uint32)
"""Factors of red, green and blue in the number of a colour."""

_AT_ONCE = 256
"""Cells that are converted together, which limits the size of intermediate arrays."""


def profile_name(profile: bytes) -> str:
    """The description in an ICC profile, at most 80 characters; empty without a profile, ``unreadable`` if it is damaged.

    Parameters
    ----------
    profile
        Bytes of the profile.

    Returns
    -------
    The text.

    Examples
    --------
    >>> from PIL import ImageCms
    >>> profile_name(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    'sRGB built-in'
    >>> profile_name(b"damaged"), profile_name(b"")
    ('unreadable', '')
    """
    if not profile:
        return ""
    from PIL import ImageCms

    try:
        return str(ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))).strip()[:80]
    except (ImageCms.PyCMSError, OSError, ValueError):
        return "unreadable"


def to_srgb(profile: bytes, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function that converts uint8[h, w, 3] of a profile to sRGB, as `PIL.ImageCms.profileToProfile` does by default.

    Parameters
    ----------
    profile
        An ICC profile for RGB.
    name
        Name of the file, for error messages.

    Returns
    -------
    A function that returns the converted array, which may be its argument, converted in place.

    Raises
    ------
    SlideError
        E_ICC if the profile is damaged or not for RGB.

    Examples
    --------
    >>> from PIL import ImageCms
    >>> convert = to_srgb(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), "S01.svs")
    >>> convert(np.full((1, 1, 3), 120, np.uint8)).tolist()
    [[[120, 120, 120]]]
    """
    from PIL import ImageCms

    try:
        if len(profile) > _MAX_BYTES:
            raise ValueError("too large")
        return _transform(profile)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise SlideError(
            f"{name}: its ICC profile cannot be used ({str(error)[:80]}). Set [tiles] icc to off, or replace the profile.",
            code="E_ICC",
        ) from error


@functools.lru_cache(maxsize=2)
def _transform(profile: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """The conversion of a profile, which is kept for further slides of the same scanner."""
    from PIL import Image, ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB")

    def convert(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(pixels)), transform))

    return Remembered(convert)


class Remembered:
    """A conversion of colours by a table, exact to one grey level; LittleCMS itself would take longer than decoding.

    Colours are divided into cells of 8 x 8 x 16. If a linear function is exact to one grey level for all 1,024 colours of a cell, as
    it is in nearly all cells of smooth profiles, it is used; the colours of other cells are stored one by one. A cell has 32 bytes, so
    that the cells of a stained slide fit the processor's nearest cache. Cells are filled when they are first used.

    Parameters
    ----------
    convert
        Function from uint8[h, w, 3] to new colours; the new colour of a pixel must not depend on other pixels.
    """

    def __init__(self, convert: Callable[[np.ndarray], np.ndarray]) -> None:
        self._convert = convert
        self._cells = _aligned_cells()
        self._listed: np.ndarray = np.zeros(0, np.uint32)
        self._lock = threading.Lock()

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """The converted pixels, in place if the array is contiguous and writable."""
        if not (pixels.flags.writeable and pixels.flags.c_contiguous):
            pixels = np.array(pixels, order="C")
        rest, look_up = pixels.reshape(-1, 3), _resample.recolour if COMPILED else _recolour
        while (done := look_up(rest, self._cells, self._listed)) < len(rest):
            rest = rest[done:]
            self._learn(rest)
        return pixels

    def _learn(self, pixels: np.ndarray) -> None:
        """Fill the cells of the colours of some pixels."""
        present: np.ndarray = np.zeros(_CELLS, bool)
        present[_numbers(pixels)] = True
        with self._lock:
            numbers = np.flatnonzero(present & (self._cells["mark"] == 0))
            for start in range(0, len(numbers), _AT_ONCE):
                self._fill(numbers[start : start + _AT_ONCE])

    def _fill(self, numbers: np.ndarray) -> None:
        corners = _SIDES * np.stack((numbers >> 9, numbers >> 4 & 31, numbers & 15), axis=1)
        new = self._convert((corners[:, None] + _INSIDE).astype(np.uint8))
        fit = _fitted(new)
        cells: np.ndarray = np.zeros(len(numbers), _CELL)
        cells["base_red"][:, ::2] = np.rint(
            8 * fit[:, 0] + 4
        )  # plus half a level, because the result is rounded down later
        cells["base_red"][:, 1::2] = np.rint(128 * fit[:, 1])
        cells["green_blue"][:, ::2] = np.rint(128 * fit[:, 2])
        cells["green_blue"][:, 1::2] = np.rint(128 * fit[:, 3])
        far = np.abs(_linear(cells[:, None], _INSIDE).astype(np.int16) - new).max(axis=(1, 2)) > 1
        cells["mark"] = np.where(far, _LISTED, _LINEAR)
        cells["place"][far] = np.arange(far.sum()) + len(self._listed) // len(_INSIDE)
        self._listed = np.concatenate([self._listed, (new[far].astype(np.uint32) @ _PLACES).ravel()])
        marks = cells["mark"].copy()
        cells["mark"] = 0
        self._cells[numbers] = cells
        self._cells["mark"][numbers] = (
            marks  # marks are set last, because other threads use a cell as soon as it is marked
        )


def _fitted(new: np.ndarray) -> np.ndarray:
    """Linear functions of the colours in cells, float64[n, 4, 3], whose clipped values approximate uint8[n, 1024, 3].

    A value of 0 or 255 may be clipped, so that the function may have a value beyond it there. Functions are therefore fitted again
    with such values replaced by the values of the function beyond 0 or 255.
    """
    fit = _FIT @ new.astype(np.float64)
    at_ends = np.flatnonzero(((new == 0) | (new == 255)).any(axis=(1, 2)))
    wanted, ends = new[at_ends].astype(np.float64), new[at_ends]
    for _ in range(_REFITS if len(at_ends) else 0):
        linear = _TERMS @ fit[at_ends]
        wanted = np.where(
            ends == 255, np.maximum(linear, 255), np.where(ends == 0, np.minimum(linear, 0), wanted)
        )
        fit[at_ends] = _FIT @ wanted
    return np.asarray(fit)


def _aligned_cells() -> np.ndarray:
    """Array of all cells, aligned such that each lies within one line of the processor's cache, as the compiled loop requires."""
    room: np.ndarray = np.zeros(_CELLS + 1, _CELL)
    first = -room.ctypes.data % _CELL.itemsize
    return room.view(np.uint8)[first : first + (_CELL.itemsize * _CELLS)].view(_CELL)


def _numbers(pixels: np.ndarray) -> np.ndarray:
    """Numbers of the cells of pixels, int[n]."""
    red, green, blue = (pixels[..., k].astype(np.int32) for k in range(3))
    return np.asarray(red >> 3 << 9 | green >> 3 << 4 | blue >> 4)


def _linear(cells: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """New colours by the linear functions of cells, uint8[..., 3]; `inside`, int[..., 3], is relative to their corners."""
    dr, dg, db = (inside[..., k : k + 1].astype(np.int32) for k in range(3))
    first, second = cells["base_red"].astype(np.int32), cells["green_blue"].astype(np.int32)
    sums = 16 * first[..., ::2] + first[..., 1::2] * dr + second[..., ::2] * dg + second[..., 1::2] * db
    return np.clip(sums >> 7, 0, 255).astype(np.uint8)


def _recolour(pixels: np.ndarray, cells: np.ndarray, listed: np.ndarray) -> int:
    """The same as the compiled loop of this name: replaces colours, unless one is in an empty cell; returns their number."""
    chosen, inside = cells[_numbers(pixels)], pixels % _SIDES.astype(np.uint8)
    if not chosen["mark"].all():
        return 0
    new = _linear(chosen, inside)
    by_list = chosen["mark"] == _LISTED
    places = (chosen["place"][by_list].astype(np.int64) << 10) + inside[by_list] @ np.array([128, 16, 1])
    new[by_list] = listed[places][:, None] >> np.array([0, 8, 16], np.uint32) & 255
    pixels[...] = new
    return len(pixels)


class ConvertedReader(ContextClose):
    """A reader that converts the pixels of another reader, for readers that cannot convert tiles themselves."""

    def __init__(self, source: SlideReader, convert: Callable[[np.ndarray], np.ndarray]) -> None:
        self.source, self._convert = source, convert
        self.info: SlideInfo = source.info

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a level in sRGB; pixels outside the slide are white."""
        return self._convert(self.source.read_level(level, x, y, width, height))

    def read_with_holes(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, int]:
        """As `read_level`, but pixels that cannot be decoded are white; also returns their number."""
        pixels, lost = read_with_holes(self.source, level, (x, y, width, height))
        return self._convert(pixels), lost

    def close(self) -> None:
        """Close the slide."""
        self.source.close()
