"""Random parameters of the views of a batch of tiles, which are always drawn on the CPU.

References
----------
Zhang et al., npj Digital Medicine 2024 (views of ``paper``); Tellez et al., Medical Image
Analysis 2019 (jitter in stain space); Ruifrok and Johnston 2001 (stain vectors).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

Preset = Literal["paper", "recommended"]

# Rows are haematoxylin, eosin and DAB; columns are the optical densities of red, green and blue (Ruifrok and Johnston).
STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
KEEP, NOISE, BRIGHTNESS, HUE = range(4)


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewParams:
    """Random parameters of one view of n tiles.

    Attributes
    ----------
    matrix
        (n, 2, 3): maps normalised output coordinates to input coordinates, as in `affine_grid`.
    ops
        (n, d): colour operations in order (KEEP, NOISE, BRIGHTNESS or HUE); d = 0 for ``recommended``.
    factors
        (n, d, 3): factors of brightness, hue and saturation for each operation.
    stain, offset
        (n, 3, 3) and (n, 3): map an optical density od to stain @ od + offset; None for ``paper``.
    noise_seed
        Seed of the noise of pixels.
    """

    matrix: torch.Tensor
    ops: torch.Tensor
    factors: torch.Tensor
    stain: torch.Tensor | None
    offset: torch.Tensor | None
    noise_seed: int

    def rows(self, start: int, stop: int) -> ViewParams:
        """The parameters of some of the tiles."""
        return ViewParams(
            matrix=self.matrix[start:stop],
            ops=self.ops[start:stop],
            factors=self.factors[start:stop],
            stain=None if self.stain is None else self.stain[start:stop],
            offset=None if self.offset is None else self.offset[start:stop],
            noise_seed=self.noise_seed + start,
        )


def draw(preset: Preset, view: int, n: int, generator: torch.Generator) -> ViewParams:
    """Draw random parameters of view 0 (a) or 1 (b) of n tiles, on the CPU."""
    dihedral = _dihedral(n, generator)
    if preset == "paper":
        placed = _paper_geometry(view, n, generator)
        ops = torch.randint(0, 4, (n, 2), generator=generator)
        m, s = ((0.25, 0.30), (0.40, 0.40))[view]
        spread = torch.tensor([m, s, s])
        factors = 1 + (2 * torch.rand((n, 2, 3), generator=generator) - 1) * spread
        stain = offset = None
    else:
        placed = _recommended_geometry(n, generator)
        ops = torch.zeros((n, 0), dtype=torch.int64)
        factors = torch.ones((n, 0, 3))
        stain, offset = _stain_jitter(n, generator)
    seed = int(torch.randint(0, 2**62, (1,), generator=generator).item())
    matrix = (dihedral @ placed)[:, :2]
    return ViewParams(matrix=matrix, ops=ops, factors=factors, stain=stain, offset=offset, noise_seed=seed)


def _uniform(low: float, high: float, n: int, generator: torch.Generator) -> torch.Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def _identity(n: int) -> torch.Tensor:
    return torch.eye(3).repeat(n, 1, 1)


def _dihedral(n: int, generator: torch.Generator) -> torch.Tensor:
    """Two flips and a transpose, each with probability one half, then a random number of quarter turns: (n, 3, 3)."""
    coin = torch.rand((n, 3), generator=generator) < 0.5
    turns = torch.randint(0, 4, (n,), generator=generator)
    flip = _identity(n)
    flip[:, 0, 0] = torch.where(coin[:, 0], -1.0, 1.0)
    flip[:, 1, 1] = torch.where(coin[:, 1], -1.0, 1.0)
    swap = torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])
    transpose = torch.where(coin[:, 2, None, None], swap, torch.eye(3))
    cosine = torch.tensor([1.0, 0.0, -1.0, 0.0])[turns]
    sine = torch.tensor([0.0, 1.0, 0.0, -1.0])[turns]
    return flip @ transpose @ _rotation(cosine, sine)


def _rotation(cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    out = _identity(len(cosine))
    out[:, 0, 0] = out[:, 1, 1] = cosine
    out[:, 0, 1], out[:, 1, 0] = -sine, sine
    return out


def _affine(n: int, scale: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    """Rotation by at most 45 degrees and a scale factor (above 1 enlarges), from output to input: (n, 3, 3)."""
    angle = _uniform(-math.pi / 4, math.pi / 4, n, generator)
    factor = _uniform(*scale, n, generator)
    out = _rotation(angle.cos(), angle.sin())
    out[:, :2, :2] /= factor[:, None, None]
    return out


def _crop(n: int, area: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    """Random resized crops with uniform area, log-uniform aspect ratio from 3/4 to 4/3 and uniform position: (n, 3, 3)."""
    tries = 10
    share = area[0] + (area[1] - area[0]) * torch.rand((n, tries), generator=generator)
    log_ratio = (2 * torch.rand((n, tries), generator=generator) - 1) * math.log(4 / 3)
    width, height = (share * log_ratio.exp()).sqrt(), (share / log_ratio.exp()).sqrt()
    fits = (width <= 1) & (height <= 1)
    first = fits.float().argmax(1, keepdim=True)
    none = ~fits.any(1)
    width = torch.where(none, 1.0, width.gather(1, first)[:, 0])
    height = torch.where(none, 1.0, height.gather(1, first)[:, 0])
    out = _identity(n)
    out[:, 0, 0], out[:, 1, 1] = width, height
    out[:, 0, 2] = (1 - width) * (2 * torch.rand(n, generator=generator) - 1)
    out[:, 1, 2] = (1 - height) * (2 * torch.rand(n, generator=generator) - 1)
    return out


def _paper_geometry(view: int, n: int, generator: torch.Generator) -> torch.Tensor:
    half = (torch.rand(n, generator=generator) < 0.5)[:, None, None]
    if view == 0:
        return torch.where(half, _affine(n, (0.5, 2.0), generator), _identity(n))
    crop = _crop(n, (0.08, 1.0), generator)
    mirrored = torch.rand(n, generator=generator) < 0.5
    crop[:, 0, 0] = torch.where(mirrored, -crop[:, 0, 0], crop[:, 0, 0])
    return torch.where(half, crop, _affine(n, (0.8, 2.4), generator))


def _recommended_geometry(n: int, generator: torch.Generator) -> torch.Tensor:
    """Crops of at least half the area; half of the tiles are also rotated by up to 45 degrees."""
    half = (torch.rand(n, generator=generator) < 0.5)[:, None, None]
    turned = _affine(n, (1.0, 1.0), generator)
    return torch.where(half, turned, _identity(n)) @ _crop(n, (0.5, 1.0), generator)


def _stain_jitter(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A map of optical densities that varies each stain by a factor within 1 +- 0.2 plus an amount within +-0.02.

    The exposure varies within +-0.05.
    """
    stains = torch.tensor(STAINS)
    stains = stains / stains.norm(dim=1, keepdim=True)
    strength = 1 + 0.2 * (2 * torch.rand((n, 3), generator=generator) - 1)
    added = 0.02 * (2 * torch.rand((n, 3), generator=generator) - 1)
    exposure = 0.05 * (2 * torch.rand((n, 1), generator=generator) - 1)
    # With a the amounts of the stains, od = stains^T a becomes stains^T (strength * a + added).
    to_amounts = torch.linalg.inv(stains.T)
    matrix = stains.T @ (strength[:, :, None] * to_amounts)
    return matrix, added @ stains + exposure
