"""Dearraying: finding the cores of a tissue microarray with their rows and columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage

from pathosig.core.errors import ConfigError, SlideError
from pathosig.core.spec import Spec
from pathosig.core.words import counted
from pathosig.slides.otsu import otsu
from pathosig.tma import lattice

_DUST = 0.1
"""A place with less than this proportion of the tissue of a typical core holds dust, not a core."""

_SPARSE = 10
"""The colour of the glass is the median of every tenth of its pixels."""

_PITCH_SIDE_PX, _PITCH_PX = 1000, 40
"""Side of the reduced image on which the pitch is measured, and the pitch in pixels of the image on which spots are searched.
Cores are then about 25 pixels wide; a larger image takes longer and gives the same cores. Centres come from the full image."""

_WHOLE = 0.4
"""A spot on the grid with more than this proportion of the area of a typical core is a core, not debris."""


@dataclass(frozen=True, kw_only=True)
class TmaSpec(Spec):
    """How the cores of a tissue microarray are found.

    Attributes
    ----------
    rows
        Number of rows of the array; 0 if it is to be determined from the image.
    columns
        Number of columns of the array; 0 if it is to be determined from the image.
    min_tissue
        A core with less than this proportion of the tissue of a typical core gets the status ``poor`` and is left out.
    margin
        Margin around a core, as a fraction of its diameter.
    max_side_px
        Longer side, in pixels, of the low-power image in which cores are searched.
    """

    section: ClassVar[str] = "tma"
    rows: int = 0
    columns: int = 0
    min_tissue: float = 0.15
    margin: float = 0.08
    max_side_px: int = 2400

    def __post_init__(self) -> None:
        if self.rows < 0 or self.columns < 0:
            raise ConfigError("[tma] rows and columns must be 0 (determined from the image) or more.")
        if not 0 <= self.min_tissue < 1 or not 0 <= self.margin < 1:
            raise ConfigError("[tma] min_tissue and margin must lie in [0, 1).")
        if self.max_side_px < 200:
            raise ConfigError("[tma] max_side_px must be 200 or more.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Core:
    """One place of the array.

    Attributes
    ----------
    row, column
        Position in the array, counted from 1 at its top left corner as scanned.
    x, y
        Centre, in pixels of the image that was searched.
    diameter
        Diameter of a typical core of this array, in the same pixels.
    tissue
        Tissue area relative to a typical core of this array; 0 where the core is missing.
    status
        ``ok``, ``poor`` (little tissue) or ``missing``.
    """

    row: int
    column: int
    x: float
    y: float
    diameter: float
    tissue: float
    status: str


def dearray(rgb: np.ndarray, spec: TmaSpec | None = None) -> list[Core]:
    """Cores of a tissue microarray seen at low power, row by row, including missing ones.

    Parameters
    ----------
    rgb
        uint8[h, w, 3] with glass brighter than tissue. The array may be rotated by up to 12 degrees, may be
        bent, and may have empty places. A core should be at least about 15 pixels wide.
    spec
        Settings; with its numbers of rows and columns where they are known.

    Returns
    -------
    list[Core]
        One core for each place of the grid.

    Raises
    ------
    SlideError
        E_TMA if the image shows no grid of cores.
    """
    spec = spec or TmaSpec()
    mask = darkness_mask(rgb)
    pitch = _pitch(mask)
    points, mass = _spots(mask, pitch)
    usual = float(np.median(mass)) if len(mass) else 0.0
    solid = mass > 0.2 * usual
    points, mass = points[solid], mass[solid]
    if len(points) < 4:
        raise SlideError(
            f"no array of cores was found ({counted(len(points), 'core-like spot')}). Is it a TMA? If it is, give rows and "
            "columns under [tma] in study.toml.",
            code="E_TMA",
        )
    whole = mass > _WHOLE * float(np.median(mass))
    grid = lattice.fit(points, pitch, rows=spec.rows, columns=spec.columns, whole=whole)
    diameter = _diameter(mask, points, pitch)
    return [
        _core(mask, place, grid, diameter, usual_mass=float(np.median(mass)), spec=spec)
        for place in grid.places()
    ]


def darkness_mask(rgb: np.ndarray) -> np.ndarray:
    """Mask of whatever is darker or more coloured than the glass, bool[h, w].

    The threshold is 0.6 of Otsu's threshold of the distance from the colour of the glass, and 8 at least.

    Parameters
    ----------
    rgb
        uint8[h, w, 3], glass brighter than tissue.
    """
    bright = rgb.max(axis=2)
    level = int(np.argmax(np.bincount(bright.ravel(), minlength=256)[128:])) + 128
    near = (bright >= max(level - 3, 0)) & (bright <= min(level + 3, 255))
    glass = np.median(rgb[near][::_SPARSE], axis=0).astype(np.float32)
    distance = np.zeros(bright.shape, np.float32)
    for channel in range(3):
        np.maximum(distance, glass[channel] - rgb[..., channel], out=distance)
    distance = ndimage.gaussian_filter(distance, 0.8)
    counts = np.bincount(np.clip(distance, 0, 255).astype(np.uint8).ravel(), minlength=256).astype(float)
    threshold = float(otsu(counts, np.arange(256)))
    foreground: np.ndarray = distance > max(8.0, 0.6 * threshold)
    return foreground


def _smaller(mask: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares of `factor` x `factor` pixels, float32; squares that cross the edge are filled up with glass."""
    height, width = (-(-n // factor) * factor for n in mask.shape)
    padded = np.zeros((height, width), np.float32)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    means: np.ndarray = padded.reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3))
    return means


def _pitch(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`lattice.pitch_of`, measured on a reduced image if cores are still wide enough in it."""
    factor = max(1, max(mask.shape) // _PITCH_SIDE_PX)
    if factor > 1:
        try:
            right, down = lattice.pitch_of(_smaller(mask, factor))
        except SlideError:  # perhaps there are many cores, too small for the reduced image
            return lattice.pitch_of(mask)
        if min(np.hypot(*right), np.hypot(*down)) >= _PITCH_PX / 2:
            return factor * right, factor * down
    return lattice.pitch_of(mask)


def _spots(mask: np.ndarray, pitch: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Centres (x, y) of core-sized spots, float[n, 2], and their mask areas, float[n]."""
    side = min(float(np.hypot(*pitch[0])), float(np.hypot(*pitch[1])))
    factor = max(1, int(side / _PITCH_PX))
    field = _smaller(mask, factor)
    smooth = ndimage.gaussian_filter(field, side / factor * 0.18, mode="constant")
    reach = max(3, int(side / factor * 0.55) | 1)
    peak = (smooth == ndimage.maximum_filter(smooth, reach)) & (smooth > 0.04)
    labels, count = ndimage.label(peak, structure=np.ones((3, 3)))
    if not count:
        return np.empty((0, 2)), np.empty(0)
    start = np.array(ndimage.center_of_mass(peak, labels, range(1, count + 1)))[:, ::-1]
    start = (start + 0.5) * factor - 0.5
    centres = [_centroid(mask, point, side * 0.5) for point in start]
    centres = [_centroid(mask, point[:2], side * 0.45) for point in centres]
    values = np.array(centres)
    return values[:, :2], values[:, 2]


def _centroid(mask: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """(x, y, area) of the mask within a circle; the centre itself where it is empty."""
    x0, y0 = (max(0, int(c - radius)) for c in centre)
    window = mask[y0 : int(centre[1] + radius) + 2, x0 : int(centre[0] + radius) + 2]
    y, x = np.nonzero(window)
    x, y = x + x0, y + y0
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2
    if not inside.any():
        return np.array([centre[0], centre[1], 0.0])
    return np.array([x[inside].mean(), y[inside].mean(), float(inside.sum())])


def _diameter(mask: np.ndarray, points: np.ndarray, pitch: tuple[np.ndarray, np.ndarray]) -> float:
    """Diameter of a typical core: twice the upper quartile of the radii that hold 97 % of the mask around each point."""
    side = min(float(np.hypot(*pitch[0])), float(np.hypot(*pitch[1])))
    radii = []
    for cx, cy in points:
        x0, y0 = max(0, int(cx - side / 2)), max(0, int(cy - side / 2))
        y, x = np.nonzero(mask[y0 : int(cy + side / 2) + 1, x0 : int(cx + side / 2) + 1])
        distance = np.hypot(x + x0 - cx, y + y0 - cy)
        distance = distance[distance < 0.5 * side]
        if len(distance):
            radii.append(np.quantile(distance, 0.97))
    return float(min(2 * np.quantile(radii, 0.75) / 0.985, side)) if radii else side * 0.7


def _core(
    mask: np.ndarray,
    place: lattice.Place,
    grid: lattice.Grid,
    diameter: float,
    *,
    usual_mass: float,
    spec: TmaSpec,
) -> Core:
    expected = np.array([place.x, place.y])
    centre = grid.points[place.point] if place.point >= 0 else expected
    x, y, area = _centroid(mask, centre, diameter * 0.52)
    tissue = area / usual_mass if usual_mass else 0.0
    status = "ok" if tissue >= spec.min_tissue else "poor" if tissue >= _DUST else "missing"
    if status == "missing":
        x, y, tissue = expected[0], expected[1], 0.0
    return Core(
        row=place.row,
        column=place.column,
        x=float(x),
        y=float(y),
        diameter=diameter,
        tissue=round(float(tissue), 4),
        status=status,
    )
