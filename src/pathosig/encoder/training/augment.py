"""Two random views of every tile, rendered for a whole batch on the device that trains.

Drawing random numbers (`view_params`) and rendering pixels (this file) are separate, so that
rendering can be checked pixel by pixel. Every view is one colour map on the source tile followed by
one bilinear sampling: flips, transposes, quarter turns, rotation, scale and crop are multiplied into
a single 2 x 3 matrix.

A GPU renders the whole batch at once. A CPU renders one tile after the other, so that its planes stay
in the cache, and skips work without effect: only the window that the sampling reads is coloured, and a
tile that is only flipped or turned by quarters is copied.

References
----------
Zhang et al., npj Digital Medicine 2024 (views of ``paper``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pathosig.encoder.training.view_params import BRIGHTNESS, HUE, NOISE, Preset, ViewParams, draw

CPU_CHUNK = 1  # tiles rendered at a time on a CPU; their planes then stay in the cache


class Views(nn.Module):
    """Renders two normalised views of uint8 tiles.

    Parameters
    ----------
    preset
        ``paper``: as published, no normalisation, black fill. ``recommended``: stain jitter,
        crops of at least half the tile, reflected borders, normalised with `mean` and `std`.
    mean, std
        Mean and standard deviation of the backbone's normalisation, on the scale 0..1.
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
        """Two views, float32 (n, 3, h, w) each, of uint8 (n, h, w, 3); the same seed gives the same views.

        Tiles `start` to `start` + n of a batch of `total` get the same views as in the whole batch.
        """
        generator = torch.Generator().manual_seed(seed)
        drawn = [draw(self.preset, view, total or len(tiles), generator) for view in (0, 1)]
        mine = [params.rows(start, start + len(tiles)) for params in drawn]
        return self.render(tiles, mine[0]), self.render(tiles, mine[1])

    def plain(self, tiles: torch.Tensor) -> torch.Tensor:
        """The tiles without augmentation, normalised: float32 (n, 3, h, w)."""
        return tiles.permute(0, 3, 1, 2).float() / 255 * self.scale + self.shift

    @torch.no_grad()
    def render(self, tiles: torch.Tensor, params: ViewParams) -> torch.Tensor:
        """One view with these parameters: float32 (n, 3, h, w), channels last in memory."""
        step = CPU_CHUNK if tiles.device.type == "cpu" else max(len(tiles), 1)
        out = _empty_like_tiles(tiles)
        for start in range(0, len(tiles), step):
            rows = params.rows(start, start + step)
            noise = _noise_streams(rows, tiles.device)
            out[start : start + step] = self._render(tiles[start : start + step], rows, noise)
        return out

    def _render(self, tiles: torch.Tensor, params: ViewParams, noise: list[torch.Generator]) -> torch.Tensor:
        """Apply the colour map, then sample."""
        alone = params.matrix[0].tolist() if len(tiles) == 1 else None
        size = (tiles.shape[1], tiles.shape[2])
        seen = _whole(size) if alone is None else _window(alone, size, self.fill)
        x = tiles[:, seen.top : seen.bottom, seen.left : seen.right].permute(0, 3, 1, 2)
        if params.stain is not None and params.offset is not None:
            x = restain(_unit(x), params.stain.to(x.device), params.offset.to(x.device))
        else:
            x = _recolour(x, params, noise, seen)
        if alone is not None and _only_turned(alone, size):
            x = _turned(x, alone)
        else:
            matrix = params.matrix if alone is None else torch.tensor([seen.matrix(alone)])
            x = _sample(x, matrix, size, self.fill)
        return x if self.preset == "paper" else x.mul_(self.scale).add_(self.shift)


# -- the window -----------------------------------------------------------------------------

Rows = list[list[float]]  # a sampling matrix, 2 x 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The part of a tile of `size` (h, w) to which the colour map is applied, in pixels."""

    top: int
    bottom: int
    left: int
    right: int
    size: tuple[int, int]

    def matrix(self, of_tile: Rows) -> Rows:
        """The matrix that samples from the window what `of_tile` samples from the tile."""
        h, w = self.size
        out = []
        for (a, b, c), first, last, whole in zip(
            of_tile, (self.left, self.top), (self.right, self.bottom), (w, h), strict=True
        ):
            length = last - first
            zoom = whole / length
            out.append([a * zoom, b * zoom, c * zoom + (whole - 2 * first) / length - 1])
        return out


def _whole(size: tuple[int, int]) -> Window:
    return Window(top=0, bottom=size[0], left=0, right=size[1], size=size)


def _window(matrix: Rows, size: tuple[int, int], fill: str) -> Window:
    """The part of a tile that sampling with `matrix` reads, with a margin of about two pixels."""
    ends = []
    for (a, b, c), whole in zip(matrix, reversed(size), strict=True):
        reach = abs(a) + abs(b)
        if fill == "reflection" and abs(c) + reach > 1:
            ends.append((0, whole))
            continue
        first = math.floor((c - reach + 1) * whole / 2) - 2
        last = math.ceil((c + reach + 1) * whole / 2) + 2
        ends.append((min(max(first, 0), whole - 1), max(min(last, whole), 1)))
    (left, right), (top, bottom) = ends
    return Window(top=top, bottom=bottom, left=left, right=right, size=size)


# -- placing --------------------------------------------------------------------------------


def _empty_like_tiles(tiles: torch.Tensor) -> torch.Tensor:
    """Uninitialised float32 (n, 3, h, w), channels last."""
    if tiles.device.type == "cpu":
        # NumPy requests huge pages from Linux and torch does not; this halves the time of the first access.
        return torch.from_numpy(np.empty(tiles.shape, np.float32)).permute(0, 3, 1, 2)
    return torch.empty(tiles.shape, device=tiles.device).permute(0, 3, 1, 2)


def _only_turned(matrix: Rows, size: tuple[int, int]) -> bool:
    """Whether `matrix` only flips, transposes and turns by quarters, so that no pixel is interpolated."""
    (a, b, c), (d, e, f) = matrix
    flipped = (abs(a), abs(b), c, abs(d), abs(e), f) == (1, 0, 0, 0, 1, 0)
    transposed = (abs(a), abs(b), c, abs(d), abs(e), f) == (0, 1, 0, 1, 0, 0)
    return flipped or (transposed and size[0] == size[1])


def _turned(x: torch.Tensor, matrix: Rows) -> torch.Tensor:
    """The result of sampling (n, 3, h, w) with such a matrix."""
    (a, b, _), (d, e, _) = matrix
    if b:
        x, a, e = x.mT, d, b
    return x.flip([axis for axis, sign in ((2, e), (3, a)) if sign < 0])


def _sample(x: torch.Tensor, matrix: torch.Tensor, size: tuple[int, int], fill: str) -> torch.Tensor:
    """Bilinear sampling of (n, 3, any, any) to (n, 3, *size)."""
    # Separate planes of x and y are faster to fill than pairs.
    planes = torch.empty((len(x), 2, *size), device=x.device)
    grid = sampling_grid(matrix.to(x.device), planes.permute(0, 2, 3, 1))
    furthest = float(matrix.abs().sum(2).max()) if fill == "reflection" else 0.0
    # A single reflection is faster here than in `grid_sample`.
    if fill == "reflection" and furthest <= 3:
        fill = "border"
        if furthest > 1:
            planes.lerp_(planes.clamp(-1, 1), 2.0)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode=fill, align_corners=False)


def sampling_grid(matrix: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Fill `grid` (n, h, w, 2) as `affine_grid` does, in a fraction of its time on a CPU."""
    h, w = grid.shape[1:3]
    a, b, c = matrix[:, :, None, None].unbind(4)
    down, across = b * _centres(h, matrix.device)[:, None] + c, a * _centres(w, matrix.device)
    torch.add(down, across, out=grid.permute(0, 3, 1, 2))
    return grid


@lru_cache(maxsize=16)
def _centres(length: int, device: torch.device) -> torch.Tensor:
    """Centres of the pixels along a side, whose edges are at -1 and 1."""
    return (torch.arange(length, device=device) * 2 + 1) / length - 1


# -- colours --------------------------------------------------------------------------------


def _unit(x: torch.Tensor, *, planar: bool = False) -> torch.Tensor:
    """Convert uint8 to float32 in 0..1, with the strides of `x` or as planes."""
    layout = torch.contiguous_format if planar else torch.preserve_format
    return x.to(torch.float32, memory_format=layout).mul_(1 / 255)


def restain(x: torch.Tensor, matrix: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Map the optical densities of x, (n, 3, h, w) in 0..1; the result is clipped to 0..1 and `x` is overwritten."""
    n, _, h, w = x.shape
    logs = x.clamp_(1 / 255, 1).log_().flatten(2)  # the density with a negative sign, here and below
    mapped = torch.bmm(matrix, logs).sub_(offset[:, :, None])
    return mapped.exp_().clamp_(max=1).reshape(n, 3, h, w)


def _noise_streams(params: ViewParams, device: torch.device) -> list[torch.Generator]:
    """One random stream for each colour operation of these tiles."""
    seeds = [params.noise_seed + 7919 * index for index in range(params.ops.shape[1])]
    return [torch.Generator(device=device).manual_seed(seed) for seed in seeds]


def _recolour(
    tiles: torch.Tensor, params: ViewParams, noise: list[torch.Generator], seen: Window
) -> torch.Tensor:
    """The colour changes of ``paper``: each tile gets two of four operations, each clipped to 0..1."""
    columns = params.ops.T.tolist()
    planar = any(op in (NOISE, HUE) for column in columns for op in column)
    x = _unit(tiles, planar=planar)
    for stream, column, factors in zip(noise, columns, params.factors.to(x.device).unbind(1), strict=True):
        for op, rows in _groups(column, x.device):
            chosen = x[rows]
            if op == NOISE:
                _add_noise_(chosen, stream, seen)
            elif op == BRIGHTNESS:
                chosen.mul_(factors[rows, 0, None, None, None]).clamp_(max=1)
            else:
                scale_hue_saturation_(chosen, factors[rows, 1], factors[rows, 2])
            if len(chosen) < len(x):
                x[rows] = chosen
    return x


def _groups(ops: list[int], device: torch.device) -> Iterator[tuple[int, slice | torch.Tensor]]:
    """Every operation that was drawn, with its tiles; a slice, which avoids copies, if it is drawn for all."""
    for op in (NOISE, BRIGHTNESS, HUE):
        rows = [i for i, drawn in enumerate(ops) if drawn == op]
        if len(rows) == len(ops):
            yield op, slice(None)
        elif rows:
            yield op, torch.tensor(rows, device=device)


def _add_noise_(x: torch.Tensor, generator: torch.Generator, seen: Window) -> None:
    """Add uniform noise from -0.1 to 0.1 in 65,536 steps; 64 random bits give four values.

    The noise is drawn for the whole tile, so that the noise of a pixel does not depend on the window.
    """
    shape = (len(x), 3, *seen.size)
    values = math.prod(shape)
    bits = torch.randint(-(2**63), 2**63 - 1, (-(-values // 4),), device=x.device, generator=generator)
    steps = bits.view(torch.int16)[:values].reshape(shape)
    steps = steps[:, :, seen.top : seen.bottom, seen.left : seen.right].to(torch.float32)
    x.add_(steps.add_(0.5), alpha=0.1 / 32768).clamp_(0, 1)


def scale_hue_saturation_(x: torch.Tensor, hue: torch.Tensor, saturation: torch.Tensor) -> None:
    """Multiply the hue (0..1, wrapping around) and the saturation (clipped) in HSV, in place.

    Parameters
    ----------
    x
        (n, 3, h, w) in 0..1; overwritten.
    hue, saturation
        (n,) factors, not negative.

    Notes
    -----
    The hue in turns is q / 6 for q = 1 + (green + blue - red - least) / chroma in 0..3, and 1 - q / 6
    where green < blue. This avoids a case for each largest channel, because comparisons are slow on a CPU.
    """
    red, green, blue = x.unbind(1)
    hue, saturation = hue[:, None, None] / 6, saturation[:, None, None]
    value, least = torch.maximum(red, green), torch.minimum(red, green)
    torch.maximum(value, blue, out=value)
    torch.minimum(least, blue, out=least)
    chroma = value - least
    # (3 - q) / 6, scaled, with the sign of green - blue; the hue is half a turn minus this.
    turn = (red - green).add_(least.sub_(blue))
    torch.addcmul(2 * hue, turn, hue / torch.clamp(chroma, min=1e-8, out=least), out=turn)
    turn.copysign_(torch.sub(green, blue, out=least))
    torch.sub(3 * hue, turn, out=turn).frac_()
    depth = torch.minimum(chroma.mul_(saturation), value, out=chroma)
    # The distance of each channel below the value, as a proportion of the depth (Smith's hexcone), is
    # clamp(2 - 6 |turn - 1/2|, 0, 1) for red and clamp(6 |turn - 1/3 or 2/3| - 1, 0, 1) for the others.
    for channel, centre, sign, base in ((0, 1 / 2, 1, -2), (1, 1 / 3, -1, 1), (2, 2 / 3, -1, 1)):
        share = torch.sub(turn, centre, out=least).abs_().clamp_(1 / 6, 1 / 3)
        top = torch.add(value, depth, alpha=base, out=x[:, channel])
        torch.addcmul(top, depth, share, value=6 * sign, out=x[:, channel])
