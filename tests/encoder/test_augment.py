"""The batched views against one tile at a time, with numpy, scipy and scikit-image."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from skimage.color import hsv2rgb, rgb2hsv

from pathosig.encoder.augment import (
    BRIGHTNESS,
    HUE,
    NOISE,
    STAINS,
    Views,
    draw,
    restain,
    sampling_grid,
    scale_hue_saturation,
)

PRESETS = ("paper", "recommended")


def _one_tile(tile, params, i, fill):
    """The view of tile i of the batch, in plain numpy; noise draws are not reproduced."""
    x = tile.astype(np.float64) / 255
    if params.stain is not None:
        density = -np.log(np.clip(x, 1 / 255, 1))
        x = np.exp(-(density @ params.stain[i].double().numpy().T + params.offset[i].double().numpy())).clip(
            0, 1
        )
    for op, (bright, hue, saturation) in zip(params.ops[i].tolist(), params.factors[i].tolist(), strict=True):
        if op == BRIGHTNESS:
            x = (x * bright).clip(0, 1)
        elif op == HUE:
            hsv = rgb2hsv(x)
            hsv[..., 0] = (hsv[..., 0] * hue) % 1
            hsv[..., 1] = (hsv[..., 1] * saturation).clip(0, 1)
            x = hsv2rgb(hsv)
    h, w = tile.shape[:2]
    ys, xs = (2 * np.arange(h) + 1) / h - 1, (2 * np.arange(w) + 1) / w - 1
    gx, gy = np.meshgrid(xs, ys)
    m = params.matrix[i].double().numpy()
    to_x, to_y = (m[r, 0] * gx + m[r, 1] * gy + m[r, 2] for r in range(2))
    at = [((to_y + 1) * h - 1) / 2, ((to_x + 1) * w - 1) / 2]
    mode = {"zeros": {"mode": "grid-constant", "cval": 0.0}, "reflection": {"mode": "reflect"}}[fill]
    return np.stack([map_coordinates(x[..., c], at, order=1, **mode) for c in range(3)])


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("view", [0, 1])
def test_batched_view_equals_one_tile_at_a_time(coloured_tiles, preset, view):
    params = draw(preset, view, 32, torch.Generator().manual_seed(3))
    tiles = torch.from_numpy(coloured_tiles[:32])
    views = Views(preset)
    rendered = views.render(tiles, params).numpy()
    checked = 0
    for i in range(32):
        if (params.ops[i] == NOISE).any():
            continue
        expected = _one_tile(coloured_tiles[i], params, i, views.fill)
        assert np.abs(rendered[i] - expected).max() < 2e-5
        checked += 1
    assert checked >= 10


def test_noise_stays_within_a_tenth_and_changes_every_pixel(coloured_tiles):
    params = draw("paper", 0, 32, torch.Generator().manual_seed(3))
    params.matrix[:] = torch.eye(3)[:2]
    noisy = [i for i in range(32) if (params.ops[i] == NOISE).sum() == 1 and (params.ops[i] == 0).sum() == 1]
    rendered = Views("paper").render(torch.from_numpy(coloured_tiles[:32]), params).numpy()
    assert noisy
    for i in noisy:
        moved = rendered[i] - coloured_tiles[i].transpose(2, 0, 1) / 255
        assert np.abs(moved).max() <= 0.1 + 1e-6
        assert moved.std() > 0.03


@pytest.mark.parametrize("preset", PRESETS)
def test_same_seed_same_views_and_another_seed_others(coloured_tiles, preset):
    views = Views(preset)
    tiles = torch.from_numpy(coloured_tiles[:8])
    first, again, other = (views(tiles, seed=s) for s in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], first[1])


def test_views_of_a_tile_do_not_depend_on_where_the_batch_is_cut(coloured_tiles):
    params = draw("recommended", 0, 12, torch.Generator().manual_seed(0))
    tiles = torch.from_numpy(coloured_tiles[:12])
    whole = Views("recommended").render(tiles, params)
    part = Views("recommended").render(tiles[5:9], params.rows(5, 9))
    assert torch.equal(whole[5:9], part)
    views = Views("recommended")
    both = [views(tiles, seed=4)[1], views(tiles[6:], seed=4, start=6, total=12)[1]]
    assert torch.equal(both[0][6:], both[1])


def test_recommended_views_have_no_black_corner(coloured_tiles):
    tiles = torch.full((64, 32, 32, 3), 200, dtype=torch.uint8)
    dark = {}
    for preset in PRESETS:
        a, b = Views(preset)(tiles, seed=0)
        dark[preset] = min(a.amin().item(), b.amin().item())
    assert dark["paper"] < 0.05
    assert dark["recommended"] > 0.5


def test_recommended_jitter_keeps_nuclei_blue_where_hue_rotation_turns_them_green():
    nucleus = torch.tensor([90, 60, 130], dtype=torch.uint8).expand(256, 8, 8, 3).contiguous()
    greenest = {}
    for preset in PRESETS:
        params = draw(preset, 1, 256, torch.Generator().manual_seed(1))
        params.matrix[:] = torch.eye(3)[:2]
        if preset == "paper":
            params.ops[:] = HUE
        rgb = Views(preset).render(nucleus, params)[:, :, 4, 4]
        greenest[preset] = (rgb[:, 1] - rgb[:, [0, 2]].amax(1)).max().item()
    assert greenest["paper"] > 0.05
    assert greenest["recommended"] < -0.05


def test_normalisation_is_part_of_recommended_only(coloured_tiles):
    tiles = torch.from_numpy(coloured_tiles[:4])
    scaled = Views("recommended", mean=(0.5,) * 3, std=(0.25,) * 3).plain(tiles)
    raw = Views("paper", mean=(0.5,) * 3, std=(0.25,) * 3).plain(tiles)
    torch.testing.assert_close(scaled, (raw - 0.5) / 0.25)
    assert raw.min() >= 0
    assert raw.max() <= 1


def test_crops_of_recommended_cover_at_least_half_the_area():
    params = draw("recommended", 0, 2000, torch.Generator().manual_seed(0))
    area = torch.linalg.det(params.matrix[:, :, :2]).abs()
    assert area.min() >= 0.5 - 1e-4
    assert area.max() <= 1 + 1e-4


def test_grid_equals_affine_grid():
    matrix = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.affine_grid(matrix, [5, 3, 9, 14], align_corners=False)
    torch.testing.assert_close(
        sampling_grid(matrix, torch.empty(5, 9, 14, 2)), expected, rtol=1e-5, atol=1e-6
    )


def test_unchanged_stains_give_the_same_picture():
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    torch.testing.assert_close(
        restain(x.clone(), torch.eye(3).repeat(3, 1, 1), torch.zeros(3, 3)), x, rtol=1e-5, atol=1e-6
    )
    assert np.linalg.matrix_rank(np.array(STAINS)) == 3


def test_unit_factors_leave_hue_and_saturation_alone():
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    x[:, :, :2] = 0.5  # grey: no hue at all
    torch.testing.assert_close(scale_hue_saturation(x, torch.ones(2), torch.ones(2)), x, rtol=1e-5, atol=1e-6)
