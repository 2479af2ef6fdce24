from dataclasses import replace

import numpy as np
import pytest

from pathosig.phenotypes import PhenotypeSpec, TrainingTiles, fit_codebook
from pathosig.phenotypes.nearest import best_of_columns, blocks, read_rows


@pytest.fixture(scope="module")
def codebook():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(9, 20)) * 2)[rng.integers(0, 9, 900)] + rng.normal(size=(900, 20))
    slide = rng.integers(0, 20, len(x))
    tiles = TrainingTiles(embeddings=x.astype(np.float32), slide=slide, patient=slide, site=slide * 0)
    return fit_codebook(tiles, PhenotypeSpec(k=12, runs=3, landmarks=300))[0]


def test_half_precision_is_widened_exactly_and_infinities_stay_what_they_are():
    rng = np.random.default_rng(0)
    half = np.concatenate([rng.normal(size=500), [0, -0.0, 6e-8, -6e-8, 65504, 1e-5]]).astype(np.float16)
    for rows in (half[None], np.array([[1, np.inf, np.nan, -np.inf]], np.float16)):
        out = np.empty(rows.shape, np.float32)
        squared = read_rows(rows, out)
        np.testing.assert_array_equal(out, rows.astype(np.float32))
        np.testing.assert_allclose(squared, np.einsum("ij,ij->i", out, out), rtol=1e-6)


@pytest.mark.parametrize("k", [2, 50, 127, 128, 300])
def test_the_best_three_are_those_of_a_stable_sort_whatever_the_number_of_phenotypes(k):
    rng = np.random.default_rng(k)
    similarity = rng.integers(-5, 5, size=(k, 400)).astype(np.float32)  # many ties
    order = np.argsort(-similarity, axis=0, kind="stable")
    values = np.sort(similarity, axis=0)[::-1]
    places = min(3, k)
    for place, (best, value) in enumerate(best_of_columns(similarity.copy(), places)):
        np.testing.assert_array_equal(best, order[place])
        np.testing.assert_array_equal(value, values[place])
    assert place == places - 1


def test_a_column_that_is_not_a_number_has_a_phenotype_that_exists():
    similarity = np.full((4, 3), np.nan, np.float32)
    similarity[:, 1] = [0, 3, 1, 2]
    best = [b.tolist() for b, _ in best_of_columns(similarity, 2)]
    assert [b[1] for b in best] == [1, 3]
    assert all(0 <= i < 4 for b in best for i in b)


@pytest.mark.parametrize(("n", "d"), [(0, 8), (1, 8), (5000, 8), (700, 1280), (300, 5000)])
def test_blocks_cover_every_row_once(n, d):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float16)
    again = [(rows, block.copy(), squared) for rows, block, squared in blocks(x)]
    assert sum(rows.stop - rows.start for rows, _, _ in again) == n
    for rows, block, squared in again:
        np.testing.assert_array_equal(block, x[rows].astype(np.float32))
        np.testing.assert_allclose(squared, (block.astype(float) ** 2).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.05, 0.0126, 0.0124, 0.001])
def test_confidence_is_the_softmax_at_any_temperature(codebook, temperature):
    x = np.random.default_rng(1).normal(size=(300, 20)).astype(np.float32)
    codebook = replace(codebook, temperature=temperature)
    similarity = (codebook.project(x) @ codebook.centroids.T).astype(float)
    soft = np.exp((similarity - similarity.max(axis=1, keepdims=True)) / temperature)
    soft /= soft.sum(axis=1, keepdims=True)
    found = codebook.assign(x)
    wanted = np.take_along_axis(soft, found.hpc.astype(int), axis=1)
    np.testing.assert_allclose(found.confidence, wanted, rtol=2e-5 / temperature, atol=1e-7)


def test_a_tile_without_any_embedding_has_the_phenotype_of_the_zero_vector(codebook):
    x = np.zeros((3, 20), np.float16)
    x[1] = 1
    found = codebook.assign(x)
    nearest = codebook.project(x.astype(np.float32)) @ codebook.centroids.T
    np.testing.assert_array_equal(found.hpc[:, 0], nearest.argmax(axis=1))
    np.testing.assert_array_equal(codebook.labels(x), found.hpc[:, 0])
    assert np.isfinite(found.confidence).all() and np.isfinite(found.distance).all()
