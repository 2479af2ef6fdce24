"""Elements of procedural textures: noise, fibres, lattices and nuclei, all periodic."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage, spatial

Field = npt.NDArray[np.float32]
"""One periodic density, float32[size, size]."""
Points = npt.NDArray[np.float64]
"""Positions (row, column) in pixels, float64[n, 2]."""
_AT_ONCE = 256
"""Number of nuclei drawn at once."""


def smooth_noise(rng: np.random.Generator, size: int, sigma: float | tuple[float, float]) -> Field:
    """Periodic Gaussian noise of unit variance, with correlation length ``sigma`` (rows, columns) in pixels."""
    rows, columns = (sigma, sigma) if isinstance(sigma, (int, float)) else sigma
    white = rng.standard_normal((size, size), dtype=np.float32)
    fy = fft.fftfreq(size).astype(np.float32)[:, None]
    fx = fft.rfftfreq(size).astype(np.float32)[None, :]
    kernel = np.exp(-2 * np.pi**2 * ((fy * rows) ** 2 + (fx * columns) ** 2)).astype(np.float32)
    kernel[0, 0] = 0.0
    field = fft.irfft2(fft.rfft2(white) * kernel, s=(size, size))
    return np.asarray(field / field.std(), dtype=np.float32)


def fibres(
    rng: np.random.Generator, size: int, *, width: float, length: float, wave: float
) -> tuple[Field, Field]:
    """A density of wavy strands with unit variance, and the slope (rise over run) of the strand at every pixel."""
    strands = smooth_noise(rng, size, (width, length))
    shift = wave * smooth_noise(rng, size, 70.0)
    rows, columns = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    bent = ndimage.map_coordinates(strands, [rows + shift, columns], order=1, mode="grid-wrap")
    slope = -np.gradient(shift, axis=1)
    return bent.astype(np.float32), slope.astype(np.float32)


def lattice(rng: np.random.Generator, size: int, spacing: float, *, jitter: float = 0.4) -> Points:
    """Points about ``spacing`` pixels apart, on a staggered periodic grid with jitter."""
    count = max(2, 2 * round(size / spacing / 2))
    step = size / count
    rows, columns = np.meshgrid(np.arange(count), np.arange(count), indexing="ij")
    columns = columns + 0.5 * (rows % 2)
    grid = np.stack([rows.ravel(), columns.ravel()], axis=1) + 0.25
    return np.asarray((grid + rng.uniform(-jitter, jitter, grid.shape)) * step % size)


def nearest_centre(centres: Points, size: int) -> tuple[Field, npt.NDArray[np.intp], Field]:
    """For every pixel, the periodic distance to the nearest centre, the centre's index, and the angle from it."""
    rows, columns = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    tree = spatial.KDTree(centres, boxsize=size)
    distance, owner = tree.query(np.stack([rows.ravel(), columns.ravel()], axis=1))
    owner = owner.reshape(size, size)
    delta_row = rows - centres[owner, 0]
    delta_column = columns - centres[owner, 1]
    angle = np.arctan2(delta_row, delta_column)
    return distance.reshape(size, size).astype(np.float32), owner, angle.astype(np.float32)


def stamp_nuclei(
    density: Field,
    rng: np.random.Generator,
    spots: Points,
    *,
    radius: tuple[float, float],
    depth: float,
    spread: float = 0.18,
    angle: npt.NDArray[np.float64] | None = None,
    nucleoli: bool = False,
) -> None:
    """Draw one elliptic nucleus at every spot into ``density``, in place.

    ``radius`` is (long, short) in pixels, ``depth`` the stain at the centre, ``spread`` the coefficient of
    variation of size and stain, and ``angle`` the direction of the long axis (random if it is None).
    """
    size = density.shape[0]
    turn = rng.uniform(0, np.pi, len(spots)) if angle is None else angle + rng.normal(0, 0.2, len(spots))
    scale = np.clip(rng.normal(1, spread, (len(spots), 2)), 0.5, 1.7)
    stain = np.clip(rng.normal(1, spread, len(spots)), 0.5, 1.6) * depth
    chromatin = 1 + 0.16 * smooth_noise(rng, size, 1.4)
    reach = int(np.ceil(max(radius) * 1.7)) + 2
    span = np.arange(-reach, reach + 1)
    for start in range(0, len(spots), _AT_ONCE):  # batches limit memory
        some = slice(start, start + _AT_ONCE)
        middle = spots[some].astype(np.intp)
        dy, dx = np.moveaxis(span[None, :, None] - (spots[some] - middle)[:, None, :], 2, 0)
        dy, dx = dy[:, :, None], dx[:, None, :]
        cos, sin = np.cos(turn[some])[:, None, None], np.sin(turn[some])[:, None, None]
        grow_long, grow_short = scale[some].T[:, :, None, None]
        along = (dx * cos + dy * sin) / (radius[0] * grow_long)
        across = (dy * cos - dx * sin) / (radius[1] * grow_short)
        edge = np.sqrt(along * along + across * across)
        shape = np.clip((1.12 - edge) / 0.24, 0, 1) * (0.8 + 0.2 * edge)
        if nucleoli:
            shape = shape * (0.82 + 0.5 * (edge < 0.28))
        rows = (middle[:, :1] + span)[:, :, None] % size
        columns = (middle[:, 1:] + span)[:, None, :] % size
        drawn = stain[some][:, None, None] * shape * chromatin[rows, columns]
        np.maximum.at(density, (rows, columns), drawn.astype(np.float32))
