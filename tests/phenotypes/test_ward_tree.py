import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from pathosig.phenotypes import PhenotypeSpec, TrainingTiles, cut_tree, fit_codebook, ward_tree
from pathosig.phenotypes.consensus import assign
from pathosig.phenotypes.kmeans import normalise, spherical_kmeans
from pathosig.phenotypes.tree import choose_coarse, group_centroids, grow_tree


def tiles(n=400, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, dim)) * 1.5
    return (centres[rng.integers(0, 5, n)] + rng.normal(size=(n, dim))).astype(np.float32)


def test_the_tree_of_clusters_goes_on_as_wards_method_on_all_tiles_would():
    x = tiles().astype(np.float64)
    whole = linkage(x, "ward")
    labels = fcluster(whole, 20, "maxclust") - 1
    means = np.stack([x[labels == g].mean(axis=0) for g in range(20)])
    ours = ward_tree(means, np.bincount(labels))
    assert np.allclose(ours[:, 2] * np.sqrt(len(x)), whole[-19:, 2], rtol=1e-5)
    for k in range(2, 20):
        assert adjusted_rand_score(cut_tree(ours, k)[labels], fcluster(whole, k, "maxclust")) == 1.0


@pytest.mark.parametrize("method", ["recommended", "kmeans", "leiden"])
def test_a_codebooks_tree_joins_its_centroids_and_repeats(method):
    x = tiles(1200, 12)
    slide = np.arange(len(x)) % 20
    training = TrainingTiles(embeddings=x, slide=slide, patient=slide, site=np.zeros(len(x), int))
    spec = PhenotypeSpec(method=method, k=16, runs=4, landmarks=300, max_iter=10)
    codebook, _ = fit_codebook(training, spec)
    sizes = np.bincount(assign(codebook.project(x), codebook.centroids), minlength=codebook.k)
    assert np.allclose(codebook.linkage, ward_tree(codebook.centroids, np.sqrt(sizes)), atol=1e-5)
    assert np.all(np.diff(codebook.linkage[:, 2]) >= 0)
    assert np.array_equal(codebook.linkage, fit_codebook(training, spec)[0].linkage)


def mixed(rng, n, share):
    """Tiles of four tissues, a share of them mixtures of two, unit rows."""
    axes = np.eye(4, 24)
    kind = rng.integers(0, 4, n)
    x = axes[kind] * 1.0
    other = rng.random(n) < share
    part = rng.uniform(0.3, 0.7, (n, 1))
    x[other] = (part * axes[kind] + (1 - part) * axes[rng.integers(0, 4, n)])[other]
    return normalise(x + 0.1 * rng.normal(size=(n, 24))), np.where(other, -1, kind)


def test_held_out_tiles_follow_the_groups_own_centroids_better_than_the_parents_of_their_leaves():
    by_leaf, by_group = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x, _ = mixed(rng, 1500, 0.5)
        held, kind = mixed(rng, 1500, 0.5)
        centroids, labels, _ = spherical_kmeans(x, 24, rng)
        groups = cut_tree(grow_tree(centroids, np.bincount(labels, minlength=24)), 4)
        pure = kind >= 0
        leaf = groups[assign(held[pure], centroids)]
        group = assign(held[pure], group_centroids(x, labels, groups))
        by_leaf.append(adjusted_rand_score(kind[pure], leaf))
        by_group.append(adjusted_rand_score(kind[pure], group))
    assert np.mean(by_group) > 0.95
    assert np.mean(by_group) > np.mean(by_leaf)


def test_group_centroids_are_directions_of_means_of_all_tiles_in_the_group():
    rng = np.random.default_rng(0)
    x = normalise(rng.normal(size=(300, 5)))
    labels, groups = rng.integers(0, 6, 300), np.array([0, 0, 1, 1, 1, 2])
    centroids = group_centroids(x, labels, groups)
    for g in range(3):
        mean = x[groups[labels] == g].mean(axis=0)
        np.testing.assert_allclose(centroids[g], mean / np.linalg.norm(mean), atol=1e-5)


def test_the_displayed_groups_are_the_planted_tissues_where_patients_have_tiles_enough():
    x, _ = mixed(np.random.default_rng(1), 1500, 0.0)
    centroids, labels, _ = spherical_kmeans(x, 16, np.random.default_rng(1))
    tree = grow_tree(centroids, np.bincount(labels, minlength=16))
    assert choose_coarse(x, labels, tree, tiles_per_patient=100) == 4
    assert choose_coarse(x, labels, tree, tiles_per_patient=10) <= 3


def test_a_codebook_of_two_clusters_has_a_tree_and_two_coarse_groups():
    x, _ = mixed(np.random.default_rng(4), 60, 0.0)
    tree = grow_tree(x[:2], np.array([30, 30]))
    assert tree.shape == (1, 4)
    assert choose_coarse(x, np.arange(60) % 2, tree, tiles_per_patient=30) == 2
