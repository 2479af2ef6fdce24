"""The batched views against one tile at a time, with numpy, scipy and scikit-image."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from skimage.color import hsv2rgb, rgb2hsv

from pathosig.encoder.training import augment
from pathosig.encoder.training.augment import Views, restain, sampling_grid, scale_hue_saturation_
from pathosig.encoder.training.view_params import BRIGHTNESS, HUE, NOISE, STAINS, draw

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


@pytest.mark.parametrize("preset", PRESETS)
def test_tiles_that_are_not_square_are_sampled_alike(preset):
    tiles = np.random.default_rng(0).integers(0, 256, (24, 20, 36, 3), dtype=np.uint8)
    params = draw(preset, 0, 24, torch.Generator().manual_seed(0))
    params.ops[:] = BRIGHTNESS
    views = Views(preset)
    rendered = views.render(torch.from_numpy(tiles), params).numpy()
    for i in range(24):
        assert np.abs(rendered[i] - _one_tile(tiles[i], params, i, views.fill)).max() < 2e-5


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("view", [0, 1])
@pytest.mark.parametrize("together", [2, 32])
def test_tiles_rendered_together_as_on_a_gpu_equal_tiles_rendered_one_by_one(
    coloured_tiles, monkeypatch, preset, view, together
):
    params = draw(preset, view, 32, torch.Generator().manual_seed(6))
    params.ops[params.ops == NOISE] = HUE  # tiles rendered together share a stream of noise
    tiles = torch.from_numpy(coloured_tiles[:32])
    alone = Views(preset).render(tiles, params)
    monkeypatch.setattr(augment, "CPU_CHUNK", together)
    torch.testing.assert_close(Views(preset).render(tiles, params), alone, rtol=0, atol=2e-5)


def test_pixels_outside_what_a_view_shows_are_not_needed(coloured_tiles):
    """A crop of the left upper quarter: the rest may be anything."""
    params = draw("paper", 1, 8, torch.Generator().manual_seed(0))
    params.matrix[:] = torch.tensor([[0.3, 0.1, -0.6], [-0.1, 0.3, -0.6]])
    tiles = torch.from_numpy(coloured_tiles[:8]).clone()
    first = Views("paper").render(tiles, params)
    tiles[:, 20:] = 0
    tiles[:, :, 20:] = 0
    assert torch.equal(Views("paper").render(tiles, params), first)


@pytest.mark.parametrize("shift", [0.0, 1.5, 7.0])
@pytest.mark.parametrize("preset", PRESETS)
def test_views_that_reach_far_beyond_the_tile(coloured_tiles, preset, shift):
    params = draw(preset, 0, 4, torch.Generator().manual_seed(0))
    params.ops[:] = BRIGHTNESS
    params.matrix[:] = torch.tensor([[1.1, 0.6, shift], [-0.4, 1.2, -shift]])
    views = Views(preset)
    rendered = views.render(torch.from_numpy(coloured_tiles[:4]), params).numpy()
    for i in range(4):
        assert np.abs(rendered[i] - _one_tile(coloured_tiles[i], params, i, views.fill)).max() < 2e-4


def test_a_flipped_or_turned_tile_has_exactly_its_pixels(coloured_tiles):
    params = draw("paper", 0, 8, torch.Generator().manual_seed(0))
    params.ops[:] = 0
    signs = [(a, b) for a in (1, -1) for b in (1, -1)]
    rows = [[[a, 0, 0], [0, b, 0]] for a, b in signs] + [[[0, a, 0], [b, 0, 0]] for a, b in signs]
    params.matrix[:] = torch.tensor(rows)
    rendered = Views("paper").render(torch.from_numpy(coloured_tiles[:8]), params).numpy()
    for i, (a, b) in enumerate(signs * 2):
        tile = coloured_tiles[i] if i < 4 else coloured_tiles[i].swapaxes(0, 1)[::a, ::b]
        expected = tile[::b, ::a] if i < 4 else tile
        assert np.abs(rendered[i].transpose(1, 2, 0) - expected / 255).max() < 1e-7


def test_every_tile_has_a_stream_of_noise_that_depends_on_neither_crop_nor_placement():
    params = draw("paper", 1, 4, torch.Generator().manual_seed(3))
    params.ops[:] = torch.tensor([[NOISE, 0], [NOISE, 0], [0, 0], [0, NOISE]])
    grey = torch.full((4, 32, 32, 3), 128, dtype=torch.uint8)
    params.matrix[:] = torch.tensor([[0.5, 0, 0.5], [0, 0.5, 0.5]])  # the last quarter, enlarged
    small = Views("paper").render(grey, params)[:, :, 1::2, 1::2]
    params.matrix[:] = torch.eye(3)[:2]
    rendered = Views("paper").render(grey, params)
    for i, index in ((0, 0), (1, 0), (3, 1)):
        stream = torch.Generator().manual_seed(params.noise_seed + i + 7919 * index)
        words = torch.randint(-(2**63), 2**63 - 1, (768,), generator=stream)
        noise = (words.view(torch.int16).reshape(3, 32, 32).double() + 0.5) * 0.1 / 32768
        assert (rendered[i] - (128 / 255 + noise)).abs().max() < 1e-6
    assert (small - _halved(rendered[:, :, 16:, 16:])).abs().max() < 1e-5


def _halved(x):
    """What an enlargement by two puts at its odd places: three quarters of a pixel, a quarter of the next."""
    at = torch.arange(x.shape[2])
    after = (at + 1).clamp(max=len(at) - 1)
    inside = (at < len(at) - 1).float()  # beyond the border is black
    rows = 0.75 * x + 0.25 * x[:, :, after] * inside[:, None]
    return 0.75 * rows + 0.25 * rows[:, :, :, after] * inside


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


@pytest.mark.parametrize("preset", PRESETS)
def test_views_of_a_tile_do_not_depend_on_where_the_batch_is_cut(coloured_tiles, preset):
    params = draw(preset, 0, 12, torch.Generator().manual_seed(0))
    assert preset == "recommended" or (params.ops[5:9] == NOISE).any()
    tiles = torch.from_numpy(coloured_tiles[:12])
    whole = Views(preset).render(tiles, params)
    part = Views(preset).render(tiles[5:9], params.rows(5, 9))
    assert torch.equal(whole[5:9], part)
    views = Views(preset)
    both = [views(tiles, seed=4)[1], views(tiles[7:], seed=4, start=7, total=12)[1]]
    assert torch.equal(both[0][7:], both[1])


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
    changed = x.clone()
    scale_hue_saturation_(changed, torch.ones(2), torch.ones(2))
    torch.testing.assert_close(changed, x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("hue", [0.0, 0.6, 0.999, 1.0, 1.001, 1.4, 2.7])
@pytest.mark.parametrize("saturation", [0.0, 0.6, 1.4])
def test_hue_and_saturation_equal_those_of_scikit_image(hue, saturation):
    """Also where two channels are alike, at black, white, grey and the primaries."""
    steps = np.linspace(0, 1, 9)
    colours = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(1, 27, 27, 3)
    hsv = rgb2hsv(colours)
    hsv[..., 0] = hsv[..., 0] * hue % 1
    hsv[..., 1] = (hsv[..., 1] * saturation).clip(0, 1)
    x = torch.from_numpy(colours).permute(0, 3, 1, 2).float()
    scale_hue_saturation_(x, torch.tensor([hue]), torch.tensor([saturation]))
    assert np.abs(x[0].permute(1, 2, 0).numpy() - hsv2rgb(hsv)[0]).max() < 5e-6
