import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from pathosig.phenotypes import PhenotypeSpec, TrainingTiles, cut_tree, fit_codebook, ward_tree
from pathosig.phenotypes.consensus import assign
from pathosig.phenotypes.kmeans import normalise
from pathosig.phenotypes.tree import leaf_means


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
