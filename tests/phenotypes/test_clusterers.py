"""The plug-in group of clusterers, which the built-in ones use too."""

import numpy as np
import pytest

from pathosig.core import plugins
from pathosig.core.errors import ConfigError
from pathosig.phenotypes import clusterers
from pathosig.phenotypes.kmeans import normalise, spherical_kmeans
from pathosig.phenotypes.spec import PhenotypeSpec


class Halves:
    """Two groups by the sign of the first column: a clusterer that has no centroids of its own."""

    def __init__(self, k, spec):
        self.k, self.spec = k, spec

    def fit(self, x, rng):
        return self

    def assign(self, x):
        return (x[:, 0] > 0).astype(int), np.ones(len(x))


class Point:
    def load(self):
        return Halves


@pytest.fixture
def rows():
    x = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_the_built_in_ones_are_registered_like_anybody_elses():
    assert {"recommended", "kmeans", "leiden"} <= set(plugins.available(clusterers.GROUP))
    assert plugins.load(clusterers.GROUP, "recommended") is clusterers.Consensus


@pytest.mark.parametrize("method", ["recommended", "kmeans"])
def test_a_built_in_clusterer_fits_and_assigns(rows, method):
    spec = PhenotypeSpec(method=method, k=4, runs=3, landmarks=100)
    made = plugins.load(clusterers.GROUP, method)(4, spec).fit(rows, np.random.default_rng(1))
    hpc, confidence = made.assign(rows)
    assert set(hpc) <= set(range(len(made.centroids)))
    assert confidence.min() >= 0
    assert confidence.max() <= 1
    again, _ = clusterers.find_centroids(rows, 4, np.random.default_rng(1), spec)
    assert np.array_equal(again, np.asarray(made.centroids, np.float32))


def test_a_foreign_clusterer_that_only_assigns_becomes_a_codebook_of_mean_directions(rows, monkeypatch):
    known = dict(plugins._group(clusterers.GROUP))
    monkeypatch.setattr(plugins, "_group", lambda group: {**known, "halves": Point()})
    spec = PhenotypeSpec(method="halves", k=2)
    centroids, facts = clusterers.find_centroids(rows, 2, np.random.default_rng(0), spec)
    assert centroids.shape == (2, 8)
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-6)
    assert centroids[0, 0] < 0 < centroids[1, 0]
    assert facts == {}


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="recommended, kmeans, dlcc, leiden"):
        PhenotypeSpec(method="kmaens")


def test_a_cluster_that_starts_where_no_tile_is_takes_the_tile_that_fits_worst(rows):
    start = rows[:3].copy()
    near = normalise(rows[:1] + 0.05 * rows)  # all on one side, far from the third start
    start[2] = -near.mean(axis=0) / np.linalg.norm(near.mean(axis=0))
    assert (near @ start.T).argmax(axis=1).max() < 2
    centroids, labels, _ = spherical_kmeans(near, 3, np.random.default_rng(0), centroids=start)
    assert np.isfinite(centroids).all()
    assert set(labels) == {0, 1, 2}
