"""Stain normalisation agrees with the papers' formulas, and leaves alone what it cannot assess."""

import json

import numpy as np
import pytest

from pathosig.core.errors import ConfigError, NotEstimableError
from pathosig.tiles.stain import METHODS, fit_reference, normalise

H, E = np.array([0.65, 0.70, 0.29]), np.array([0.15, 0.93, 0.33])


def stained(seed, h=H, e=E, strength=(1.0, 0.8), side=224):
    """A tile of nuclei and stroma in two given stains, uint8[side, side, 3]."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.normal(size=(side, side)), s) for s in (2.5, 6)]
    shares = [np.clip(f / f.std(), -1.5, 2.5) for f in fields]
    nuclei = np.clip(shares[0] - 0.4, 0, None) * strength[0]
    stroma = np.clip(shares[1] + 1.2, 0.05, None) * 0.4 * strength[1]
    density = nuclei[..., None] * h / np.linalg.norm(h) + stroma[..., None] * e / np.linalg.norm(e)
    return np.clip(np.rint(240 * np.exp(-density) - 1), 0, 255).astype(np.uint8)


def naive_macenko(tile):
    """(stains[3, 2], strength[2]) of a tile, pixel by pixel in float64."""
    density = -np.log((tile.reshape(-1, 3).astype(float) + 1) / 240)
    dense = density[(density >= 0.15).all(axis=1)]
    plane = np.linalg.eigh(np.cov(dense.T))[1][:, 1:]
    if plane[:, 1].sum() < 0:
        plane[:, 1] *= -1
    angles = np.arctan2(*(dense @ plane).T)
    ends = np.percentile(angles, [1, 99])
    vectors = [plane @ [np.sin(a), np.cos(a)] for a in ends]
    stains = np.array(sorted(vectors, key=lambda v: -v[0])).T
    amounts = np.linalg.lstsq(stains, density.T, rcond=None)[0]
    return stains, np.percentile(amounts, 99, axis=1)


def naive_normalised(tile, target):
    stains, strength = naive_macenko(tile)
    wanted, wanted_strength = naive_macenko(target)
    density = -np.log((tile.reshape(-1, 3).astype(float) + 1) / 240)
    amounts = np.linalg.lstsq(stains, density.T, rcond=None)[0] * (wanted_strength / strength)[:, None]
    return np.clip(240 * np.exp(-wanted @ amounts).T - 1, 0, 255).reshape(tile.shape)


TARGET = stained(1)
OTHER = stained(2, h=np.array([0.55, 0.75, 0.35]), e=np.array([0.25, 0.88, 0.42]), strength=(0.7, 1.1))


def test_macenko_agrees_with_the_formulas_of_the_paper():
    out = normalise(OTHER[None], fit_reference(TARGET[None], "macenko"))[0]
    expected = naive_normalised(OTHER, TARGET)
    assert np.abs(out - expected).mean() < 1.5
    assert np.abs((out - expected).mean(axis=(0, 1))).max() < 1.5
    assert np.abs(out.astype(float) - OTHER).mean() > 8  # it had something to do


def test_macenko_finds_the_stains_a_tile_was_painted_with():
    reference = fit_reference(np.stack([stained(s) for s in range(5)]), "macenko")
    for found, true in zip(reference["stains"], (H, E), strict=True):
        assert np.dot(found, true) / np.linalg.norm(true) > np.cos(np.deg2rad(6))


def test_reinhard_gives_the_mean_and_spread_of_the_reference():
    mix = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
    turn = np.diag(1 / np.sqrt([3, 6, 2])) @ np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]])

    def moments(tile):
        lab = np.log((tile.reshape(-1, 3).astype(float) + 1) @ mix.T) @ turn.T
        return lab.mean(axis=0), lab.std(axis=0)

    out = normalise(OTHER[None], fit_reference(TARGET[None], "reinhard"))[0]
    for found, wanted, before in zip(moments(out), moments(TARGET), moments(OTHER), strict=True):
        assert np.abs(found - wanted).max() < 0.02
        assert np.abs(before - wanted).max() > 0.02


@pytest.mark.parametrize("method", METHODS)
def test_a_tile_in_the_colours_of_the_reference_stays_as_it_is(method):
    out = normalise(TARGET[None], fit_reference(TARGET[None], method))[0].astype(int)
    assert np.abs(out - TARGET).mean() < 1.0


@pytest.mark.parametrize("method", METHODS)
def test_tiles_that_cannot_be_assessed_come_back_unchanged(method):
    rng = np.random.default_rng(0)
    amount = rng.uniform(0.1, 1.2, (224, 224, 1))
    noise = rng.integers(-2, 3, (224, 224, 3))
    single = np.clip(240 * np.exp(-amount * H) + noise, 0, 255).astype(np.uint8)
    pen = np.clip(np.array([30, 60, 160]) + rng.integers(-6, 7, (224, 224, 3)), 0, 255).astype(np.uint8)
    odd = np.stack(
        [
            np.full((224, 224, 3), 255, np.uint8),
            np.clip(240 + noise, 0, 255).astype(np.uint8),
            np.zeros((224, 224, 3), np.uint8),
            single,
            pen,
        ]
    )
    reference = fit_reference(TARGET[None], method)
    assert np.array_equal(normalise(odd, reference), odd)
    with pytest.raises(NotEstimableError, match="two stains"):
        fit_reference(odd, method)


@pytest.mark.parametrize("method", METHODS)
def test_a_tile_never_depends_on_what_shares_its_batch(method):
    tiles = np.stack([stained(s, strength=(0.5 + s / 5, 1.0)) for s in range(7)])
    reference = fit_reference(tiles, method)
    together = normalise(tiles, reference)
    for tile, expected in zip(tiles, together, strict=True):
        assert np.array_equal(normalise(tile[None], reference)[0], expected)
    assert normalise(tiles[:0], reference).shape == (0, 224, 224, 3)


@pytest.mark.parametrize("method", METHODS)
def test_the_reference_survives_json(method):
    reference = fit_reference(TARGET[None], method)
    again = json.loads(json.dumps(reference))
    assert np.array_equal(normalise(OTHER[None], again), normalise(OTHER[None], reference))


def test_wrong_tiles_and_methods_are_refused():
    with pytest.raises(ConfigError, match="uint8"):
        fit_reference(TARGET[None].astype(float), "macenko")
    with pytest.raises(ConfigError, match="vahadane"):
        fit_reference(TARGET[None], "vahadane")
