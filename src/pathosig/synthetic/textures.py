"""Procedural H&E textures: one periodic RGB image for each tissue type, computed from a seed.

Every texture consists of two densities, of haematoxylin and eosin, which are periodic (so that the texture
repeats without a seam) and are converted to colours by the Beer-Lambert law. Sizes are those of real tissue
at 0.5 um per pixel: a tumour nucleus is about 10 um wide, a lymphocyte 7 um, a gland 60 um.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pathosig.synthetic.strokes import (
    Field,
    fibres,
    lattice,
    nearest_centre,
    smooth_noise,
    stamp_nuclei,
)

HAEMATOXYLIN = np.array([0.62, 0.74, 0.32], dtype=np.float32)
EOSIN = np.array([0.10, 0.88, 0.40], dtype=np.float32)


class _Stains:
    """Densities of haematoxylin and eosin of one texture, float32[size, size] each."""

    def __init__(self, size: int) -> None:
        self.h: Field = np.zeros((size, size), dtype=np.float32)
        self.e: Field = np.zeros((size, size), dtype=np.float32)

    def rgb(self, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """Colours of the stains in bright-field light, with the noise of a camera, uint8[size, size, 3]."""
        density = np.clip(self.h, 0, None)[..., None] * HAEMATOXYLIN
        density = density + np.clip(self.e, 0, None)[..., None] * EOSIN
        light = 244.0 * np.exp(-density)
        light = ndimage.gaussian_filter(light, (0.6, 0.6, 0), mode="wrap")
        light += rng.normal(0.0, 1.6, size=light.shape)
        return np.clip(light, 0, 255).astype(np.uint8)


def _stroma(rng: np.random.Generator, size: int, vary: float) -> _Stains:
    """Wavy collagen with thin, spindle-shaped nuclei."""
    out = _Stains(size)
    strand, slope = fibres(rng, size, width=2.2, length=30.0, wave=26.0)
    fine, _ = fibres(rng, size, width=1.0, length=14.0, wave=10.0)
    out.e += 0.36 + 0.10 * strand + 0.05 * fine + 0.04 * smooth_noise(rng, size, 40)
    out.e *= np.where(strand < -1.1, 0.45, 1.0)
    out.h += 0.03
    spots = lattice(rng, size, 34.0 * (1 + 0.12 * vary))
    stamp_nuclei(out.h, rng, spots, radius=(9.5, 2.3), depth=0.95, angle=_along(slope, spots))
    return out


def _muscle(rng: np.random.Generator, size: int, vary: float) -> _Stains:
    """Broad, deeply eosinophilic parallel bundles."""
    out = _Stains(size)
    bundle, slope = fibres(rng, size, width=9.0, length=120.0, wave=18.0)
    fine, _ = fibres(rng, size, width=1.6, length=60.0, wave=18.0)
    out.e += 0.72 + 0.12 * bundle + 0.05 * fine + 0.05 * vary
    out.e *= np.where(bundle < -1.35, 0.35, 1.0)
    spots = lattice(rng, size, 46.0 * (1 + 0.1 * vary))
    stamp_nuclei(out.h, rng, spots, radius=(12.0, 2.8), depth=0.8, angle=_along(slope, spots))
    return out


def _tumour(rng: np.random.Generator, size: int, vary: float) -> _Stains:
    """Solid sheets of large, uneven nuclei, separated by thin clefts."""
    out = _Stains(size)
    nests = np.abs(smooth_noise(rng, size, 26))
    cleft = nests < 0.07
    out.e += 0.25 + 0.05 * smooth_noise(rng, size, 6) + 0.14 * cleft
    out.h += 0.20 + 0.04 * smooth_noise(rng, size, 9)
    spots = lattice(rng, size, 17.5 * (1 + 0.1 * vary), jitter=0.42)
    spots = spots[~cleft[_pixel(spots, size)]]
    stamp_nuclei(out.h, rng, spots, radius=(7.6, 6.2), depth=0.95, spread=0.28, nucleoli=True)
    return out


def _lymphocytes(rng: np.random.Generator, size: int, vary: float) -> _Stains:
    """Densely packed, small, round, dark nuclei with hardly any cytoplasm."""
    out = _Stains(size)
    crowd = smooth_noise(rng, size, 35)
    out.e += 0.17 + 0.04 * smooth_noise(rng, size, 5)
    out.h += 0.07 + 0.02 * crowd
    spots = lattice(rng, size, 12.2 * (1 + 0.1 * vary), jitter=0.36)
    keep = crowd[_pixel(spots, size)] + rng.normal(0, 0.5, len(spots)) > -1.5
    stamp_nuclei(out.h, rng, spots[keep], radius=(4.9, 4.5), depth=1.55, spread=0.1)
    return out


def _glands(rng: np.random.Generator, size: int, vary: float) -> _Stains:
    """Tubules: a pale lumen, tall cytoplasm and a ring of basal nuclei, in loose stroma."""
    out = _stroma(rng, size, vary)
    centres = lattice(rng, size, 124.0 * (1 + 0.12 * vary), jitter=0.16)
    distance, owner, angle = nearest_centre(centres, size)
    wobble = smooth_noise(rng, size, 18)
    radius = rng.uniform(44, 58, len(centres))[owner] * (1 + 0.09 * wobble)
    depth = distance / radius
    inside = depth < 1.0
    out.h[inside] = 0.10
    out.e[inside] = 0.34 + 0.05 * smooth_noise(rng, size, 4)[inside]
    lumen = depth < 0.46
    out.h[lumen], out.e[lumen] = 0.02, 0.05 + 0.03 * np.clip(wobble[lumen], 0, None)
    ring, turn = [], []
    for centre in centres:
        steps = np.linspace(0, 2 * np.pi, 34, endpoint=False) + rng.uniform(0, 0.2)
        row, column = (np.round(centre).astype(int) % size).T
        reach = 0.80 * radius[row, column] + rng.normal(0, 2.2, len(steps))
        ring.append(centre + np.stack([np.sin(steps), np.cos(steps)], axis=1) * reach[:, None])
        turn.append(steps)
    spots = np.concatenate(ring) % size
    stamp_nuclei(out.h, rng, spots, radius=(6.6, 3.6), depth=1.05, spread=0.14, angle=np.concatenate(turn))
    del angle
    return out


def _necrosis(rng: np.random.Generator, size: int, vary: float) -> _Stains:
    """Amorphous pink material with granular debris, ghost cells and nuclear dust."""
    out = _Stains(size)
    grain = smooth_noise(rng, size, 1.3)
    clumps = smooth_noise(rng, size, 7)
    out.e += 0.52 + 0.10 * grain + 0.11 * clumps + 0.05 * vary
    out.h += 0.06 + 0.03 * clumps
    dust = lattice(rng, size, 17.0 * (1 + 0.12 * vary), jitter=0.5)
    dust = dust[rng.random(len(dust)) < 0.55]
    stamp_nuclei(out.h, rng, dust, radius=(1.9, 1.6), depth=1.1, spread=0.4)
    ghosts = lattice(rng, size, 40.0, jitter=0.45)
    stamp_nuclei(out.h, rng, ghosts, radius=(6.0, 5.0), depth=0.22, spread=0.2)
    return out


def _mucin(rng: np.random.Generator, size: int, vary: float) -> _Stains:
    """Pale blue pools with wisps and a few floating cells."""
    out = _Stains(size)
    wisps, _ = fibres(rng, size, width=2.8, length=36.0, wave=60.0)
    out.h += 0.21 + 0.05 * wisps + 0.04 * smooth_noise(rng, size, 24) + 0.02 * vary
    out.e += 0.07 + 0.03 * np.clip(wisps, 0, None)
    hosts = lattice(rng, size, 110.0, jitter=0.45)
    cells = np.concatenate([hosts + rng.normal(0, 10, hosts.shape) for _ in range(5)]) % size
    stamp_nuclei(out.h, rng, cells, radius=(5.5, 4.6), depth=0.75, spread=0.2)
    return out


def _keratin(rng: np.random.Generator, size: int, vary: float) -> _Stains:
    """Squamous whorls: concentric, bright pink lamellae."""
    out = _Stains(size)
    centres = lattice(rng, size, 170.0 * (1 + 0.1 * vary), jitter=0.25)
    distance, _, _ = nearest_centre(centres, size)
    warped = distance + 9 * smooth_noise(rng, size, 22)
    rings = np.sin(2 * np.pi * warped / 13.0) + 0.5 * smooth_noise(rng, size, 2)
    core = np.exp(-((distance / 55.0) ** 2))
    out.e += 0.34 + 0.10 * rings + 0.50 * core
    out.h += 0.08 * (1 - core)
    spots = lattice(rng, size, 26.0, jitter=0.42)
    spots = spots[core[_pixel(spots, size)] < 0.4]
    stamp_nuclei(out.h, rng, spots, radius=(6.8, 4.6), depth=0.8, spread=0.2)
    return out


_RECIPES: dict[str, Callable[[np.random.Generator, int, float], _Stains]] = {
    "tumour": _tumour,
    "lymphocytes": _lymphocytes,
    "stroma": _stroma,
    "glands": _glands,
    "necrosis": _necrosis,
    "mucin": _mucin,
    "keratin": _keratin,
    "muscle": _muscle,
}
TEXTURE_NAMES: tuple[str, ...] = tuple(_RECIPES)


def texture(
    name: str, seed: tuple[int, ...], *, size: int = 1024, vary: float = 0.0
) -> npt.NDArray[np.uint8]:
    """The texture of one tissue type, which repeats without a seam.

    Parameters
    ----------
    name
        One of ``TEXTURE_NAMES``.
    seed
        Seed as a tuple of integers; the same seed gives the same bytes.
    size
        Width and height in pixels of 0.5 um.
    vary
        Variant of the type, from -1 to 1: changes the density of the cells within the range of the type.

    Returns
    -------
    uint8[size, size, 3]

    Raises
    ------
    KeyError
        If ``name`` is not a known texture.

    Examples
    --------
    >>> texture("stroma", (0,), size=128).shape
    (128, 128, 3)
    """
    rng = np.random.default_rng(seed)
    return _RECIPES[name](rng, size, vary).rgb(rng)


def _pixel(spots: npt.NDArray[np.float64], size: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    rows, columns = (np.floor(spots).astype(np.intp) % size).T
    return rows, columns


def _along(slope: Field, spots: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Direction of the fibre under each nucleus, in radians."""
    return np.arctan(slope[_pixel(spots, slope.shape[0])]).astype(np.float64)
