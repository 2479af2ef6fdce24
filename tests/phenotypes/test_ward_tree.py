import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from pathosig.phenotypes import PhenotypeSpec, TrainingTiles, cut_tree, fit_codebook, ward_tree
from pathosig.phenotypes import tree as tree_module
from pathosig.phenotypes.consensus import assign
from pathosig.phenotypes.kmeans import normalise, spherical_kmeans
from pathosig.phenotypes.tree import grow_tree, leaf_means


def tiles(n=400, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, dim)) * 1.5
    return (centres[rng.integers(0, 5, n)] + rng.normal(size=(n, dim))).astype(np.float32)


def around(axis, wobble, n, rng):
    """Unit rows around an axis: the more they wobble the shorter is their mean."""
    return normalise(axis + wobble * rng.normal(size=(n, len(axis))))


def test_the_tree_of_clusters_goes_on_as_wards_method_on_all_tiles_would():
    x = tiles()
    whole = linkage(x.astype(np.float64), "ward")
    own = fcluster(whole, 20, "maxclust") - 1
    sizes = np.bincount(own)
    ours = ward_tree(leaf_means(x, own, np.zeros((20, x.shape[1]))), sizes)
    assert np.allclose(ours[:, 2] * np.sqrt(len(x)), whole[-19:, 2], rtol=1e-5)
    for k in range(2, 20):
        assert adjusted_rand_score(cut_tree(ours, k)[own], fcluster(whole, k, "maxclust")) == 1.0


def test_two_loose_clusters_join_before_two_tight_ones_at_the_same_angle():
    rng = np.random.default_rng(1)
    axes = np.zeros((4, 8))
    axes[[0, 1, 2, 3], [0, 1, 2, 3]] = 1
    x = np.concatenate([around(a, w, 2000, rng) for a, w in zip(axes, (0.05, 0.05, 0.6, 0.6), strict=True)])
    own = np.repeat(np.arange(4), 2000)
    tree = ward_tree(leaf_means(x, own, axes), np.bincount(own))
    assert sorted(tree[0, :2].astype(int)) == [2, 3]


def test_a_cluster_without_tiles_stands_at_its_centroid_and_weighs_next_to_nothing():
    x = tiles(dim=3)
    centroids = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    own = np.where(np.arange(len(x)) % 2, 0, 2)
    means = leaf_means(x, own, centroids)
    assert np.array_equal(means[1], centroids[1])
    assert np.allclose(means[0], x[own == 0].mean(axis=0), atol=1e-6)
    tree = ward_tree(means, np.bincount(own, minlength=3))
    assert 1 in tree[0, :2]
    assert tree[0, 2] < 1e-3 * tree[1, 2]


@pytest.mark.parametrize("method", ["recommended", "kmeans"])
def test_a_codebooks_tree_is_that_of_its_training_tiles_and_repeats(method):
    x = tiles(1200, 12)
    slide = np.arange(len(x)) % 20
    training = TrainingTiles(embeddings=x, slide=slide, patient=slide, site=np.zeros(len(x), int))
    spec = PhenotypeSpec(method=method, k=16, runs=4, landmarks=300, max_iter=10)
    codebook, _ = fit_codebook(training, spec)
    z = codebook.project(x)
    own = assign(z, codebook.centroids)
    sizes = np.bincount(own, minlength=codebook.k)
    expected = ward_tree(leaf_means(z, own, codebook.centroids), sizes)
    assert np.allclose(codebook.linkage, expected, atol=1e-5)
    assert np.all(np.diff(codebook.linkage[:, 2]) >= 0)
    assert np.array_equal(codebook.linkage, fit_codebook(training, spec)[0].linkage)


def mixed(rng, n, share):
    """Tiles of four tissues in pairs, a share of them mixtures of two from anywhere, unit rows."""
    axes = np.eye(4, 24)
    kind = rng.integers(0, 4, n)
    x = axes[kind] * 1.0
    other = rng.random(n) < share
    part = rng.uniform(0.3, 0.7, (n, 1))
    x[other] = (part * axes[kind] + (1 - part) * axes[rng.integers(0, 4, n)])[other]
    return normalise(x + 0.1 * rng.normal(size=(n, 24))), np.where(other, -1, kind)


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_the_tree_that_is_taken_follows_direct_clusterings_about_as_well_as_the_other(share):
    rng = np.random.default_rng(2)
    x, kind = mixed(rng, 3000, share)
    centroids, own, _ = spherical_kmeans(x, 24, rng)
    tree, facts = grow_tree(x, own, centroids, np.random.default_rng(0))
    follows = facts["follows"]
    other = {"tiles": "directions", "directions": "tiles"}[facts["of"]]
    assert follows[other] - follows[facts["of"]] <= 0.07
    pure = kind >= 0
    assert adjusted_rand_score(kind[pure], cut_tree(tree, 4)[own[pure]]) > 0.9


def test_the_tree_of_directions_is_taken_where_it_follows_direct_clusterings_clearly_better(monkeypatch):
    rng = np.random.default_rng(3)
    x, _ = mixed(rng, 1500, 0.3)
    centroids, own, _ = spherical_kmeans(x, 16, rng)
    sizes = np.bincount(own, minlength=16)
    plain = ward_tree(centroids, np.sqrt(sizes))
    assert grow_tree(x, own, centroids, np.random.default_rng(0))[1]["of"] == "tiles"
    monkeypatch.setattr(tree_module, "_CLEARLY", -2.0)  # any difference is clear
    taken, facts = grow_tree(x, own, centroids, np.random.default_rng(0))
    assert facts["of"] == "directions"
    assert np.array_equal(taken, plain)


def test_a_codebook_of_two_clusters_has_a_tree():
    x, _ = mixed(np.random.default_rng(4), 60, 0.0)
    tree, facts = grow_tree(x, np.arange(60) % 2, x[:2], np.random.default_rng(0))
    assert tree.shape == (1, 4)
    assert facts["of"] == "tiles"
