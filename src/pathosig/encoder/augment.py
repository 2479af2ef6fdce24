"""Two views of every tile, made for a whole batch at once on the device that trains.

Drawing (random numbers only) and rendering (pixels only) are apart, so that rendering can be
checked pixel by pixel and costs the same whatever was drawn. Every view is one colour map on
the source tile followed by one bilinear sampling: flips, transposes, quarter turns, rotation,
scale and crop are multiplied into a single 2 x 3 matrix.

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
from torch import nn
from torch.nn import functional

Preset = Literal["paper", "recommended"]

# Rows: haematoxylin, eosin, DAB as optical density of red, green, blue (Ruifrok and Johnston).
STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
KEEP, NOISE, BRIGHTNESS, HUE = range(4)
CPU_CHUNK = 2  # tiles at a time on the CPU: the planes then stay in the cache


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewParams:
    """What was drawn for one view of n tiles.

    Attributes
    ----------
    matrix
        (n, 2, 3): normalised output coordinates -> input coordinates, as `affine_grid` takes them.
    ops
        (n, d) colour operations in order (KEEP, NOISE, BRIGHTNESS, HUE); d = 0 in ``recommended``.
    factors
        (n, d, 3): brightness, hue and saturation factors of each draw.
    stain, offset
        (n, 3, 3) and (n, 3): optical density od -> stain @ od + offset; d = 0 in ``paper``.
    noise_seed
        Seed of the pixel noise.
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


class Views(nn.Module):
    """uint8 tiles -> two normalised views.

    Parameters
    ----------
    preset
        ``paper``: as published, no normalisation, black fill. ``recommended``: stain jitter,
        crops of at least half the tile, reflected borders, normalised with `mean` and `std`.
    mean, std
        The backbone's, on the scale 0..1.
    """

    def __init__(
        self, preset: Preset, *, mean: tuple[float, ...] = (0.0,) * 3, std: tuple[float, ...] = (1.0,) * 3
    ) -> None:
        super().__init__()
        self.preset: Preset = preset
        plain = preset == "paper"
        scale = torch.ones(3) if plain else 1 / torch.tensor(std)
        shift = torch.zeros(3) if plain else -torch.tensor(mean) / torch.tensor(std)
        self.scale: torch.Tensor
        self.shift: torch.Tensor
        self.register_buffer("scale", scale.reshape(1, 3, 1, 1))
        self.register_buffer("shift", shift.reshape(1, 3, 1, 1))
        self.fill: Literal["zeros", "reflection"] = "zeros" if plain else "reflection"

    def forward(
        self, tiles: torch.Tensor, *, seed: int, start: int = 0, total: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """uint8 (n, h, w, 3) -> two float32 (n, 3, h, w); the same seed gives the same views.

        Tiles `start` .. `start` + n of a batch of `total` get the views that the whole batch would give them.
        """
        generator = torch.Generator().manual_seed(seed)
        drawn = [draw(self.preset, view, total or len(tiles), generator) for view in (0, 1)]
        mine = [params.rows(start, start + len(tiles)) for params in drawn]
        return self.render(tiles, mine[0]), self.render(tiles, mine[1])

    def plain(self, tiles: torch.Tensor) -> torch.Tensor:
        """The tiles as they are, normalised: float32 (n, 3, h, w)."""
        return tiles.permute(0, 3, 1, 2).float() / 255 * self.scale + self.shift

    @torch.no_grad()
    def render(self, tiles: torch.Tensor, params: ViewParams) -> torch.Tensor:
        """One view: float32 (n, 3, h, w), channels last in memory."""
        n, h, w = tiles.shape[:3]
        device = tiles.device
        step = min(CPU_CHUNK, n) if device.type == "cpu" else n
        out = torch.empty((n, 3, h, w), device=device, memory_format=torch.channels_last)
        x = torch.empty((step, 3, h, w), device=device)
        grid = torch.empty((step, h, w, 2), device=device)
        for start in range(0, n, max(step, 1)):
            part = tiles[start : start + step]
            rows = params.rows(start, start + len(part))
            torch.mul(part.permute(0, 3, 1, 2).contiguous(), 1 / 255, out=x[: len(part)])
            out[start : start + len(part)] = self._render(x[: len(part)], rows, grid[: len(part)])
        return out

    def _render(self, x: torch.Tensor, params: ViewParams, grid: torch.Tensor) -> torch.Tensor:
        """Colour, then place; `x` (n, 3, h, w) in 0..1 is overwritten, `grid` is scratch."""
        if params.stain is not None and params.offset is not None:
            x = restain(x, params.stain.to(x.device), params.offset.to(x.device))
        for draw_index in range(params.ops.shape[1]):
            x = _recolour(x, params, draw_index)
        sampling_grid(params.matrix.to(x.device), grid)
        x = functional.grid_sample(x, grid, mode="bilinear", padding_mode=self.fill, align_corners=False)
        return x.mul_(self.scale).add_(self.shift)


# -- drawing --------------------------------------------------------------------------------


def draw(preset: Preset, view: int, n: int, generator: torch.Generator) -> ViewParams:
    """Random parameters of view 0 (a) or 1 (b) of n tiles, on the CPU."""
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
    """Flips and a transpose with probability one half each, then a quarter turn: (n, 3, 3)."""
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
    """Rotation within +-45 degrees and a scale factor (> 1 enlarges): output -> input, (n, 3, 3)."""
    angle = _uniform(-math.pi / 4, math.pi / 4, n, generator)
    factor = _uniform(*scale, n, generator)
    out = _rotation(angle.cos(), angle.sin())
    out[:, :2, :2] /= factor[:, None, None]
    return out


def _crop(n: int, area: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    """Random resized crop: area uniform, log aspect uniform in 3/4..4/3, position uniform."""
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
    """Crops of at least half the area; half of the tiles turn freely within +-45 degrees as well."""
    half = (torch.rand(n, generator=generator) < 0.5)[:, None, None]
    turned = _affine(n, (1.0, 1.0), generator)
    return torch.where(half, turned, _identity(n)) @ _crop(n, (0.5, 1.0), generator)


def _stain_jitter(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Each stain's strength x (1 +- .2) and + (+-.02), exposure +- .05: as a map of optical density."""
    stains = torch.tensor(STAINS)
    stains = stains / stains.norm(dim=1, keepdim=True)
    strength = 1 + 0.2 * (2 * torch.rand((n, 3), generator=generator) - 1)
    added = 0.02 * (2 * torch.rand((n, 3), generator=generator) - 1)
    exposure = 0.05 * (2 * torch.rand((n, 1), generator=generator) - 1)
    # od (column) = stains^T a, with a the amounts; jittered: stains^T (strength * a + added)
    to_amounts = torch.linalg.inv(stains.T)
    matrix = stains.T @ (strength[:, :, None] * to_amounts)
    return matrix, added @ stains + exposure


# -- rendering ------------------------------------------------------------------------------


def sampling_grid(matrix: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Fill `grid` (n, h, w, 2) as `affine_grid` does, in a quarter of its time on a CPU."""
    h, w = grid.shape[1:3]
    ys = ((torch.arange(h, device=matrix.device) * 2 + 1) / h - 1)[None, :, None]
    xs = ((torch.arange(w, device=matrix.device) * 2 + 1) / w - 1)[None, None, :]
    for axis in range(2):
        a, b, c = (matrix[:, axis, j, None, None] for j in range(3))
        torch.add(b * ys + c, a * xs, out=grid[..., axis])
    return grid


def restain(x: torch.Tensor, matrix: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Map optical densities: x (n, 3, h, w) in 0..1 -> the same, clipped to 0..1; `x` is overwritten."""
    n, _, h, w = x.shape
    density = x.clamp_(1 / 255, 1).log_().neg_().reshape(n, 3, h * w)
    mapped = torch.baddbmm(offset[:, :, None], matrix, density)
    return mapped.neg_().exp_().clamp_(0, 1).reshape(n, 3, h, w)


def _recolour(x: torch.Tensor, params: ViewParams, index: int) -> torch.Tensor:
    """One draw of ``paper``: each tile gets one of four operations, clipped to 0..1."""
    device = x.device
    ops = params.ops[:, index]
    factors = params.factors[:, index].to(device)
    generator = torch.Generator(device=device).manual_seed(params.noise_seed + 7919 * index)
    for rows in _groups(ops == NOISE, device):
        part = x[rows]
        x[rows] = _noise(part, generator).add_(part).clamp_(0, 1)
    for rows in _groups(ops == BRIGHTNESS, device):
        x[rows] = (x[rows] * factors[rows, 0, None, None, None]).clamp_(0, 1)
    for rows in _groups(ops == HUE, device):
        x[rows] = scale_hue_saturation_(x[rows], factors[rows, 1], factors[rows, 2])
    return x


def _groups(chosen: torch.Tensor, device: torch.device) -> list[torch.Tensor] | list[slice]:
    """The chosen tiles: one by one on the CPU (no copies), all at once elsewhere."""
    rows = chosen.nonzero()[:, 0]
    if device.type == "cpu":
        return [slice(i, i + 1) for i in rows.tolist()]
    return [rows.to(device)] if len(rows) else []


def _noise(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Uniform in -0.1 .. 0.1, in 65,536 steps: four values from every random 64 bits."""
    words = -(-like.numel() // 4)
    bits = torch.randint(-(2**63), 2**63 - 1, (words,), device=like.device, generator=generator)
    steps = bits.view(torch.int16)[: like.numel()].reshape(like.shape)
    return steps.to(torch.float32).add_(0.5).mul_(0.1 / 32768)


def scale_hue_saturation(x: torch.Tensor, hue: torch.Tensor, saturation: torch.Tensor) -> torch.Tensor:
    """Multiply the hue (0..1, wrapping) and the saturation (clipped) of HSV.

    Parameters
    ----------
    x
        (n, 3, h, w) in 0..1.
    hue, saturation
        (n,) factors.
    """
    return scale_hue_saturation_(x.clone(), hue, saturation)


def scale_hue_saturation_(x: torch.Tensor, hue: torch.Tensor, saturation: torch.Tensor) -> torch.Tensor:
    """`scale_hue_saturation` in place: on a CPU fresh memory costs more than the arithmetic."""
    red, green, blue = x.unbind(1)
    value, chroma = x.amax(1), x.amin(1)
    torch.sub(value, chroma, out=chroma)
    inverse = chroma.clamp_min(1e-8).reciprocal_()
    angle, part, chosen = red - green, blue - red, value - green
    angle.mul_(inverse).add_(4)
    angle.lerp_(part.mul_(inverse).add_(2), _is_zero(chosen))
    torch.sub(green, blue, out=part)
    torch.sub(value, red, out=chosen)
    angle.lerp_(part.mul_(inverse), _is_zero(chosen))
    _wrap(angle, part)
    _wrap(angle.mul_(hue[:, None, None]), part)
    depth = torch.minimum(chroma.mul_(saturation[:, None, None]), value, out=chosen)
    # How far each channel lies below the value, as a share of the depth (Smith's hexcone).
    for channel, (centre, sign, level) in enumerate(((3.0, -1.0, 2.0), (2.0, 1.0, -1.0), (4.0, 1.0, -1.0))):
        torch.sub(angle, centre, out=part).abs_().mul_(sign).add_(level).clamp_(0, 1)
        torch.addcmul(value, depth, part, value=-1, out=x[:, channel])
    return x


def _is_zero(x: torch.Tensor) -> torch.Tensor:
    """1.0 where x == 0, 0.0 where x > 0, in place; comparisons and `where` are ten times slower on a CPU."""
    return x.mul_(-1e30).add_(1).clamp_(0, 1)


def _wrap(angle: torch.Tensor, scratch: torch.Tensor) -> None:
    """Bring angles into 0..6, in place."""
    angle.sub_(torch.div(angle, 6, out=scratch).floor_().mul_(6))
