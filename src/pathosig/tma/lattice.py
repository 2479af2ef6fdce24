"""Fits a grid, which may be bent, rotated and incomplete, through scattered points: rows and columns of a microarray."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from pathosig.core.errors import SlideError

_MAX_TURN = np.deg2rad(14)
_NEAR = 0.38
"""A point belongs to a place if their distance is at most this proportion of the pitch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One place of a grid; `point` is the index of the point there, or -1."""

    row: int
    column: int
    x: float
    y: float
    point: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """A smooth map from (row, column) to (x, y): a polynomial whose degree may differ along rows and columns.

    Attributes
    ----------
    coef
        float[terms, 2] coefficients.
    degrees
        Highest power of the row, highest power of the column, and highest sum of the two.
    """

    coef: np.ndarray
    degrees: tuple[int, int, int]

    def at(self, places: np.ndarray) -> np.ndarray:
        """Points (x, y) of places given as (row, column): float[n, 2]."""
        predicted: np.ndarray = _terms(places, self.degrees) @ self.coef
        return predicted


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Points and their places in a grid.

    Attributes
    ----------
    points
        float[n, 2]: (x, y).
    places_of
        Maps (row, column), counted from 0, to the index of the point there.
    rows, columns
        Size of the grid.
    surface
        Expected positions of the places.
    """

    points: np.ndarray
    places_of: dict[tuple[int, int], int]
    rows: int
    columns: int
    surface: Surface

    def places(self) -> Iterator[Place]:
        """All places row by row; rows and columns are counted from 1."""
        places = [(row, column) for row in range(self.rows) for column in range(self.columns)]
        shifts = _shifts(self.points, self.places_of, self.surface)
        for (row, column), expected in zip(places, self.surface.at(np.array(places, float)), strict=True):
            x, y = _local(shifts, row, column, expected)
            point = self.places_of.get((row, column), -1)
            yield Place(row=row + 1, column=column + 1, x=float(x), y=float(y), point=point)


def pitch_of(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps from a core to its right and to its lower neighbour, each float[2] (x, y) in pixels.

    These are the nearest peaks of the autocorrelation of the mask. No single core has to be recognised for them, so that
    fragmented and touching cores do no harm.

    Parameters
    ----------
    mask
        bool[h, w]: True where there is tissue.

    Raises
    ------
    SlideError
        E_TMA if the mask has no repeating pattern.
    """
    height, width = mask.shape
    shape = (fft.next_fast_len(2 * height, real=True), fft.next_fast_len(2 * width, real=True))
    field = ndimage.gaussian_filter(mask.astype(np.float32), 1.5)
    spectrum = fft.rfft2(field - field.mean(), shape)
    corr = fft.irfft2(np.abs(spectrum) ** 2, shape)
    corr = fft.fftshift(corr)[
        shape[0] // 2 - height // 2 : shape[0] // 2 + height // 2 + 1,
        shape[1] // 2 - width // 2 : shape[1] // 2 + width // 2 + 1,
    ]
    right = _first_peak(corr, 0.0)
    down = _first_peak(corr, np.pi / 2)
    if right is None or down is None:
        raise SlideError("no repeating pattern of cores was found. Is it a TMA?", code="E_TMA")
    return right, down


def _first_peak(corr: np.ndarray, axis: float) -> np.ndarray | None:
    """The peak of an autocorrelation nearest to its centre within a sector around a direction: (x, y) from the centre."""
    cy, cx = corr.shape[0] // 2, corr.shape[1] // 2
    longest = int(min(cx, cy) * 0.98)
    angles = axis + np.linspace(-_MAX_TURN, _MAX_TURN, 57)
    radii = np.arange(3, longest)
    xs = cx + radii[:, None] * np.cos(angles)
    ys = cy + radii[:, None] * np.sin(angles)
    polar = ndimage.map_coordinates(corr, [ys, xs], order=1, mode="nearest")
    profile = ndimage.gaussian_filter1d(polar.max(axis=1), 1.0)
    top = float(corr[cy, cx])
    lowest = profile[0]
    for index in range(1, len(profile) - 1):
        lowest = min(lowest, profile[index])
        window = profile[index : index + max(4, index // 3)]
        if (
            profile[index] == window.max()
            and profile[index] - lowest > 0.04 * top
            and profile[index] > profile[index - 1]
        ):
            angle = angles[int(np.argmax(polar[index]))]
            step: np.ndarray = radii[index] * np.array([np.cos(angle), np.sin(angle)])
            return step
    return None


def fit(
    points: np.ndarray,
    pitch: tuple[np.ndarray, np.ndarray],
    *,
    rows: int = 0,
    columns: int = 0,
    whole: np.ndarray | None = None,
) -> Grid:
    """Assign points that lie on a grid, which may be bent, to its rows and columns.

    Parameters
    ----------
    points
        float[n, 2].
    pitch
        Steps to the right and to the lower neighbour, as `pitch_of` gives them.
    rows, columns
        Size of the grid if it is known; 0 for the size that the points span.
    whole
        bool[n]: which points are whole cores. An outer line that contains a whole core is kept, however empty it is.

    Returns
    -------
    Grid
        Points are labelled from neighbour to neighbour; a smooth surface through all of them gives the positions of
        places without a point.

    Raises
    ------
    SlideError
        E_TMA if fewer than four points form a connected grid.
    """
    walks = [(_walk(points, steps), steps) for steps in _steps(pitch)]
    labels, pitch = max(walks, key=lambda walk: len(walk[0]))  # the first one wins ties
    for _ in range(3):
        if len(labels) < 4:
            raise SlideError("fewer than four cores form a grid. Is it a TMA?", code="E_TMA")
        surface = _surface(points, labels)
        labels = _reassign(points, labels, surface, pitch)
    none = np.zeros(len(points), bool)
    labels, size = _trimmed(labels, rows, columns, none if whole is None else whole)
    return Grid(
        points=points,
        places_of=labels,
        rows=size[0],
        columns=size[1],
        surface=_surface(points, labels),
    )


def _steps(pitch: tuple[np.ndarray, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The measured steps, and the steps of a rectangular grid that keeps one of them.

    In a bent array with few rows the autocorrelation may peak between the two lower neighbours, so that the measured step
    down is oblique.
    """
    right, down = pitch
    stretch = float(np.hypot(*down) / np.hypot(*right))
    below = np.array([-right[1], right[0]]) * stretch
    beside = np.array([down[1], -down[0]]) / stretch
    return [(right, down), (right, below), (beside, down)]


def _walk(points: np.ndarray, pitch: tuple[np.ndarray, np.ndarray]) -> dict[tuple[int, int], int]:
    """Labels of the largest connected patch, from neighbour to neighbour with steps that adapt to the local bend."""
    side = min(float(np.hypot(*p)) for p in pitch)
    todo = set(range(len(points)))
    best: dict[tuple[int, int], int] = {}
    middle = np.median(points, axis=0)
    order = [int(i) for i in np.argsort(((points - middle) ** 2).sum(axis=1))]
    for seed in order:
        if seed not in todo or len(best) > len(points) / 2:
            continue
        todo.discard(seed)
        labels = {(0, 0): seed}
        queue = deque([(0, 0, np.array(pitch[0]), np.array(pitch[1]))])
        while queue:
            row, column, u, v = queue.popleft()
            here = points[labels[(row, column)]]
            for dr, dc, step in ((0, 1, u), (0, -1, -u), (1, 0, v), (-1, 0, -v)):
                key = (row + dr, column + dc)
                if key in labels:
                    continue
                squared = ((points - (here + step)) ** 2).sum(axis=1)
                index = int(np.argmin(squared))
                if squared[index] > (_NEAR * side) ** 2 or index not in todo:
                    continue
                todo.discard(index)
                labels[key] = index
                moved = points[index] - here
                nu = 0.8 * u + 0.2 * moved * dc if dc else u
                nv = 0.8 * v + 0.2 * moved * dr if dr else v
                queue.append((*key, nu, nv))
        if len(labels) > len(best):
            best = labels
    return best


def _terms(places: np.ndarray, degrees: tuple[int, int, int]) -> np.ndarray:
    r, c = places[:, 0] / 10.0, places[:, 1] / 10.0
    powers = [(i, j) for i in range(degrees[0] + 1) for j in range(degrees[1] + 1) if i + j <= degrees[2]]
    return np.stack([r**i * c**j for i, j in powers], axis=1)


def _surface(points: np.ndarray, labels: dict[tuple[int, int], int]) -> Surface:
    """Robust polynomial from (row, column) to (x, y); its degree grows with the number of points and of lines."""
    places = np.array(list(labels), float)
    target = points[list(labels.values())]
    most = 3 if len(places) >= 40 else 2 if len(places) >= 15 else 1
    # A few long rows can bend along their length as a large array does, so each axis gets the degree its lines allow.
    lines = [len(np.unique(places[:, axis])) for axis in (0, 1)]
    along = [min(most, 3 if n >= 6 else 2 if n >= 4 else 1) for n in lines]
    degrees = (along[0], along[1], max(along))
    design = _terms(places, degrees)
    keep = np.ones(len(places), bool)
    for _ in range(3):
        coef: np.ndarray = np.linalg.lstsq(design[keep], target[keep], rcond=None)[0]
        error = np.hypot(*(design @ coef - target).T)
        keep = error <= max(3.5 * float(np.median(error)), 1e-6)
        if keep.sum() < 2 * design.shape[1]:
            keep[:] = True
    return Surface(coef=coef, degrees=degrees)


def _shifts(
    points: np.ndarray, labels: dict[tuple[int, int], int], surface: Surface
) -> dict[tuple[int, int], np.ndarray]:
    """Offset (x, y) of the point of each place from the position that the surface predicts, float[2] each."""
    if not labels:
        return {}
    shifts = points[list(labels.values())] - surface.at(np.array(list(labels), float))
    return dict(zip(labels, shifts, strict=True))


def _local(
    shifts: dict[tuple[int, int], np.ndarray], row: int, column: int, expected: np.ndarray
) -> np.ndarray:
    """The position of a place, shifted by the median offset of its neighbours if at least three of them have one."""
    around = [(row + dr, column + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1) if dr or dc]
    near = [shifts[place] for place in around if place in shifts]
    if len(near) < 3:
        return expected
    moved: np.ndarray = expected + np.median(near, axis=0)
    return moved


def _reassign(
    points: np.ndarray,
    labels: dict[tuple[int, int], int],
    surface: Surface,
    pitch: tuple[np.ndarray, np.ndarray],
) -> dict[tuple[int, int], int]:
    """Give every place in or near the grid the point closest to the position that surface and neighbours predict."""
    side = min(float(np.hypot(*p)) for p in pitch)
    rows, columns = (sorted({place[i] for place in labels}) for i in (0, 1))
    span = [(r, c) for r in range(rows[0] - 2, rows[-1] + 3) for c in range(columns[0] - 2, columns[-1] + 3)]
    expected = surface.at(np.array(span, float))
    shifts = _shifts(points, labels, surface)
    pairs = []
    for place, there in zip(span, expected, strict=True):
        distance = np.hypot(*(points - _local(shifts, *place, there)).T)
        pairs += [(float(distance[i]), place, int(i)) for i in np.nonzero(distance < _NEAR * side)[0]]
    taken: dict[tuple[int, int], int] = {}
    used: set[int] = set()
    for _, place, index in sorted(pairs):
        if place not in taken and index not in used:
            taken[place] = index
            used.add(index)
    return taken


def _trimmed(
    labels: dict[tuple[int, int], int], rows: int, columns: int, whole: np.ndarray
) -> tuple[dict[tuple[int, int], int], tuple[int, int]]:
    """Labels without nearly empty outer lines, which are debris, or cut to the given size; counted from 0."""
    kept = dict(labels)
    for axis, wanted in ((0, rows), (1, columns)):
        lines = np.array([place[axis] for place in kept])
        low, high = int(lines.min()), int(lines.max())
        counts = np.bincount(lines - low)
        solid = np.bincount(lines - low, weights=whole[list(kept.values())])
        if wanted:
            padded = np.concatenate([np.zeros(wanted), counts, np.zeros(wanted)])
            sums = [padded[s : s + wanted].sum() for s in range(len(padded) - wanted + 1)]
            low, high = low + int(np.argmax(sums)) - wanted, low + int(np.argmax(sums)) - 1
        else:
            usual = float(np.median(counts))
            keep = np.nonzero((counts >= 0.2 * usual) | (solid > 0))[0]
            low, high = low + int(keep[0]), low + int(keep[-1])
        kept = {p: i for p, i in kept.items() if low <= p[axis] <= high}
        shift = (low, 0) if axis == 0 else (0, low)
        kept = {(p[0] - shift[0], p[1] - shift[1]): i for p, i in kept.items()}
        if axis == 0:
            size_rows = high - low + 1
        else:
            size_columns = high - low + 1
    return kept, (size_rows, size_columns)
