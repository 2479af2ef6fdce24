"""What differs between touching tiles is noise: the space of phenotypes without it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from pathosig.phenotypes.fit import TrainingTiles, fit_codebook
from pathosig.phenotypes.kmeans import normalise
from pathosig.phenotypes.projection import Moments, find_projection, principal_components
from pathosig.phenotypes.spatial import NeighbourScatter, neighbour_pairs, spatial_agreement, spatial_basis
from pathosig.phenotypes.spec import PhenotypeSpec
from pathosig.phenotypes.tree import cut_tree


def slides(*, patches: bool, n_slides=12, side=16, types=3, dim=40, seed=0):
    """Tiles on grids: types in quadrants (or shuffled), and one direction of large noise that says nothing."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(types, dim)) * 1.0
    loud = rng.normal(size=dim)
    loud /= np.linalg.norm(loud)
    parts, kinds, slide, xy = [], [], [], []
    for s in range(n_slides):
        quadrant = rng.integers(types, size=(4, 4))
        kind = np.kron(quadrant, np.ones((side // 4, side // 4), int)).ravel()
        if not patches:
            kind = rng.permutation(kind)
        n = len(kind)
        noise = rng.normal(size=(n, dim)) * 0.5 + np.outer(rng.normal(size=n) * 8, loud)
        parts.append(centres[kind] + noise)
        kinds.append(kind)
        slide.append(np.full(n, s))
        xy.append(np.stack(np.divmod(np.arange(n), side), axis=1)[:, ::-1] * 100)
    x = np.concatenate(parts).astype(np.float32)
    return x, np.concatenate(kinds), np.concatenate(slide), np.concatenate(xy)


def scatter_of(x, slide, xy):
    scatter = NeighbourScatter()
    for s in np.unique(slide):
        rows = np.flatnonzero(slide == s)
        pairs = rows[neighbour_pairs(xy[rows], 100)]
        scatter.add(x[pairs[:, 0]], x[pairs[:, 1]])
    return scatter


def tiles_of(x, slide, scatter):
    return TrainingTiles(embeddings=x, slide=slide, patient=slide, site=slide % 2, neighbours=scatter)


def test_neighbours_touch_and_do_not_overlap():
    xy = np.array([[0, 0], [100, 0], [70, 75], [0, 100], [300, 300], [100, 100]])
    assert neighbour_pairs(xy, 100).tolist() == [[0, 1], [0, 3], [1, 5], [3, 5]]
    assert neighbour_pairs(xy[:1], 100).shape == (0, 2)


def test_the_scatter_is_the_covariance_of_single_tile_noise():
    rng = np.random.default_rng(1)
    direction = normalise(rng.normal(size=(1, 6)))[0]
    a, b = (normalise(direction + 0.05 * rng.normal(size=(4000, 6))) for _ in range(2))
    scatter = NeighbourScatter()
    for rows in np.array_split(np.arange(4000), 7):
        scatter.add(a[rows], b[rows])
    wanted = np.cov(np.concatenate([a, b]).T)
    assert scatter.n_pairs == 4000
    np.testing.assert_allclose(scatter.covariance, wanted, atol=2e-4)


def test_agreement_is_near_nought_where_neighbours_are_strangers_and_not_where_tissue_has_patches():
    for patches, low, high in ((False, -0.1, 0.05), (True, 0.05, 1.0)):
        x, _, slide, xy = slides(patches=patches)
        unit = normalise(x)
        scatter = scatter_of(unit, slide, xy)
        assert low < spatial_agreement(unit, slide, scatter.covariance) < high


def test_noise_between_neighbours_has_one_size_in_every_direction_of_the_basis():
    x, _, slide, xy = slides(patches=True)
    unit = normalise(x)
    scatter = scatter_of(unit, slide, xy)
    basis = spatial_basis(unit - unit.mean(axis=0), scatter.covariance, keep=10, shrink=0.0)
    np.testing.assert_allclose(basis.T @ scatter.covariance @ basis, np.eye(10), atol=1e-6)
    spread = ((unit - unit.mean(axis=0)) @ basis).var(axis=0)
    assert (np.diff(spread) <= 1e-6).all()


def test_loud_noise_that_changes_from_tile_to_tile_no_longer_hides_the_tissue():
    x, kind, slide, xy = slides(patches=True)
    found = {}
    for spatial in ("never", "auto"):
        spec = PhenotypeSpec(k=12, runs=8, landmarks=800, spatial=spatial)
        codebook, facts = fit_codebook(tiles_of(x, slide, scatter_of(x, slide, xy)), spec)
        assert facts.space.whitened is (spatial == "auto")
        labels = cut_tree(codebook.linkage, 3)[codebook.labels(x)]
        found[spatial] = adjusted_rand_score(kind, labels)
    assert found["auto"] > 0.95
    assert found["auto"] > found["never"] + 0.2


@pytest.mark.parametrize("neighbours", [None, "shuffled"])
def test_without_patches_or_positions_the_space_is_plain_pca(neighbours):
    x, _, slide, xy = slides(patches=False)
    unit = normalise(x)
    scatter = scatter_of(unit, slide, xy) if neighbours else None
    spec = PhenotypeSpec(pca_dim=8)
    pca = principal_components(unit, spec.pca_dim)
    projection, facts = find_projection(unit, pca, slide=slide, neighbours=scatter, spec=spec)
    np.testing.assert_array_equal(projection, pca.basis())
    assert facts.whitened is False


def test_moments_of_parts_add_up_to_those_of_the_whole_and_give_its_pca():
    x = np.random.default_rng(0).normal(size=(5000, 9)).astype(np.float32) * np.arange(1, 10) + 3
    x = x.astype(np.float32)
    origin = x[:10].mean(axis=0)
    parts = [Moments.of(x[:700], origin), Moments.of(x[700:], origin)]
    whole = parts[0].plus(parts[1])
    pca, left = whole.principal(4), whole.plus(parts[0], -1).principal(4)
    values, vectors = np.linalg.eigh(np.cov(x.T.astype(float)))
    np.testing.assert_allclose(pca.values, values[::-1][:4], rtol=1e-4)
    np.testing.assert_allclose(np.abs((pca.vectors * vectors[:, ::-1][:, :4]).sum(axis=0)), 1, atol=1e-4)
    np.testing.assert_allclose(pca.mean, x.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(
        left.values, np.linalg.eigvalsh(np.cov(x[700:].T.astype(float)))[::-1][:4], rtol=1e-3
    )
    assert pca.variance == pytest.approx(x.var(axis=0, ddof=1, dtype=float).sum(), rel=1e-4)
