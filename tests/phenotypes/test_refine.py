"""Refinement of a codebook: right gradients, and a gate that lets nothing worse through."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from pathosig.phenotypes import Codebook, PhenotypeSpec, TrainingTiles, fit_codebook
from pathosig.phenotypes import refine as module
from pathosig.phenotypes.kmeans import normalise
from pathosig.phenotypes.refine import Residual, loss_and_gradients, partners, refine, sinkhorn


def planted(n=1200, types=6, dim=16, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(types, dim)) * 1.5
    kind = rng.integers(types, size=n)
    return normalise(centres[kind] + rng.normal(size=(n, dim))), kind, rng.integers(20, size=n)


def test_gradients_equal_finite_differences():
    rng = np.random.default_rng(0)
    parts = {"w1": rng.normal(size=(4, 5)), "b1": rng.normal(size=5), "w2": rng.normal(size=(5, 4)) * 0.3,
             "c": normalise(rng.normal(size=(3, 4))).astype(float)}  # fmt: skip
    x, targets = rng.normal(size=(7, 4)), rng.dirichlet(np.ones(3), size=7)
    _, gradients = loss_and_gradients(parts, x, targets)
    for name, value in parts.items():
        for place in np.ndindex(value.shape):
            moved = []
            for step in (1e-6, -1e-6):
                shifted = {k: v.copy() for k, v in parts.items()}
                shifted[name][place] += step
                moved.append(loss_and_gradients(shifted, x, targets)[0])
            assert gradients[name][place] == pytest.approx((moved[0] - moved[1]) / 2e-6, abs=1e-6)


def test_targets_are_shares_and_lie_half_way_to_equal_sizes():
    scores = np.random.default_rng(1).normal(size=(500, 4)) * 0.05 + np.array([0.2, 0, 0, 0])
    plain = np.exp(scores / 0.05)
    plain /= plain.sum(axis=1, keepdims=True)
    found = sinkhorn(scores)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert 0.25 < found.mean(axis=0)[0] < plain.mean(axis=0)[0]


def test_partners_are_the_most_similar_tiles_of_other_slides():
    x, _, slide = planted(200)
    found = partners(x, slide, block=64)
    assert (slide[found] != slide).all()
    similarity = np.where(slide[:, None] == slide, -2, x @ x.T)
    np.testing.assert_array_equal(found, similarity.argmax(axis=1))
    assert partners(x, np.zeros(200, int)).tolist() == list(range(200))


def test_training_lowers_the_loss_and_repeats_with_its_seed():
    x, kind, slide = planted()
    start = normalise(x[np.random.default_rng(5).choice(len(x), 6, replace=False)])
    network, centroids = refine(x, slide, start, np.random.default_rng(0))
    again, _ = refine(x, slide, start, np.random.default_rng(0))
    np.testing.assert_array_equal(network.w2, again.w2)
    before = adjusted_rand_score(kind, (x @ start.T).argmax(axis=1))
    after = adjusted_rand_score(kind, (network.apply(x) @ centroids.T).argmax(axis=1))
    assert after > before


def test_nothing_changes_where_the_second_layer_is_nought():
    x, _, _ = planted(50)
    still = Residual(
        w1=np.ones((16, 3), np.float32), b1=np.ones(3, np.float32), w2=np.zeros((3, 16), np.float32)
    )
    np.testing.assert_allclose(still.apply(x), x, atol=1e-6)


@pytest.mark.parametrize("worse", [False, True])
def test_the_gate_keeps_what_is_as_steady_and_drops_what_is_not(monkeypatch, tmp_path, worse):
    x, _, slide = planted()

    def scramble(x, slide, centroids, rng):
        w2 = rng.normal(size=(8, x.shape[1])) * (3 if worse else 0)
        w1 = rng.normal(size=(x.shape[1], 8))
        return Residual(
            w1=w1.astype(np.float32), b1=np.zeros(8, np.float32), w2=w2.astype(np.float32)
        ), centroids

    monkeypatch.setattr(module, "refine", scramble)
    tiles = TrainingTiles(embeddings=x, slide=slide, patient=slide, site=slide % 2)
    codebook, facts = fit_codebook(tiles, PhenotypeSpec(k=6, runs=6, refine="auto"))
    assert facts["refinement"]["kept"] is not worse
    assert (codebook.residual is None) is worse
    codebook.save(tmp_path / "c.safetensors")
    loaded = Codebook.load(tmp_path / "c.safetensors")
    np.testing.assert_array_equal(loaded.labels(x), codebook.labels(x))
    np.testing.assert_array_equal((loaded.project(x) @ loaded.centroids.T).argmax(axis=1), loaded.labels(x))
