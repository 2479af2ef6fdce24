"""Tissue and artefacts of generated slides are found; benchmarks/tissue.py checks more such slides."""

import numpy as np
import pytest
import scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pathosig.tissue.morphology import closed, dilated, eroded, opened


@pytest.mark.parametrize("seed", [8, 10, 15])
def test_tissue_is_found_among_pen_fat_dust_and_edges_on_any_glass(seed):
    assert scenes.tissue_dice(seed) >= 0.95


def test_artefact_tiles_are_left_out_and_clean_ones_kept():
    totals = [scenes.artefact_counts(seed) for seed in (100, 104)]
    for name in (*scenes.ARTEFACTS, "any"):
        hit, missed, false = np.sum([t[name] for t in totals], axis=0)
        assert hit >= 50, name
        assert hit / (hit + missed) >= 0.85, name
        assert hit / (hit + false) >= 0.9, name
    assert hit / (hit + missed) >= 0.9  # for every kind of artefact


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 6))
def test_morphology_agrees_with_scipy(seed, radius):
    mask = np.random.default_rng(seed).random((23, 31)) < 0.2
    cross, square = ndimage.generate_binary_structure(2, 1), np.ones((3, 3), bool)
    expected = mask
    for step in range(radius):
        expected = ndimage.binary_dilation(expected, square if step % 2 else cross)
    assert np.array_equal(dilated(mask, radius), expected)
    assert np.array_equal(eroded(mask, radius), ~dilated(~mask, radius))
    assert (closed(mask, radius) >= mask).all()
    assert (opened(mask, radius) <= mask).all()
