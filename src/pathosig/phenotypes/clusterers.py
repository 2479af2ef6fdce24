"""Built-in methods of finding phenotypes, which the plug-in group ``pathosig.clusterers`` extends.

An entry point is called with the number of clusters and the PhenotypeSpec, and returns a `Clusterer`.
Projection, assignment, tree, atlas and health are the same for all methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from pathosig.core import plugins
from pathosig.phenotypes.consensus import assign, consensus_centroids
from pathosig.phenotypes.kmeans import spherical_kmeans
from pathosig.phenotypes.leiden import leiden_centroids
from pathosig.phenotypes.spec import PhenotypeSpec

GROUP = "pathosig.clusterers"
_BEST_OF = 10


@dataclass
class CentroidClusterer(ABC):
    """A clusterer that assigns every row to its nearest centroid.

    Attributes
    ----------
    k, spec
        Number of clusters to find; the settings.
    centroids
        float32[k, p] once fitted.
    facts
        Numbers about the fit for health.json.
    """

    k: int
    spec: PhenotypeSpec
    centroids: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    facts: dict[str, float] = field(default_factory=dict)

    @abstractmethod
    def fit(self, x: np.ndarray, rng: np.random.Generator) -> Self:
        """Learn from unit rows x[n, p]."""

    def assign(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cluster of each row, int[n], and its cosine to the centroid, float[n] in 0..1."""
        nearest = assign(x, self.centroids)
        return nearest, np.clip(np.einsum("ij,ij->i", x, self.centroids[nearest]), 0, 1)


class Consensus(CentroidClusterer):
    """The consensus of many runs of spherical k-means: the method ``recommended``."""

    def fit(self, x: np.ndarray, rng: np.random.Generator) -> Self:
        """Learn from unit rows x[n, p]."""
        spec = self.spec
        self.centroids, self.facts = consensus_centroids(
            x,
            self.k,
            rng,
            runs=spec.runs,
            landmarks=spec.landmarks,
            max_iter=spec.max_iter,
            min_share=spec.min_share,
        )
        return self


class KMeans(CentroidClusterer):
    """The best of ten runs of spherical k-means: the method ``kmeans``."""

    def fit(self, x: np.ndarray, rng: np.random.Generator) -> Self:
        """Learn from unit rows x[n, p]."""
        runs = [spherical_kmeans(x, self.k, rng, max_iter=self.spec.max_iter) for _ in range(_BEST_OF)]
        self.centroids = max(runs, key=lambda r: r[2])[0]
        return self


class Leiden(CentroidClusterer):
    """Leiden communities of the nearest-neighbour graph: the method ``leiden``."""

    def fit(self, x: np.ndarray, rng: np.random.Generator) -> Self:
        """Learn from unit rows x[n, p]."""
        self.centroids = leiden_centroids(x, self.k, self.spec.seed)
        return self


def find_centroids(
    x: np.ndarray, k: int, rng: np.random.Generator, spec: PhenotypeSpec
) -> tuple[np.ndarray, dict[str, float]]:
    """Centroids from the clusterer that the settings name, and what it reports about its fit.

    If a plug-in has no centroids, the mean directions of the groups that it assigns are used.

    Parameters
    ----------
    x
        float32[n, p], rows of length 1.
    k
        Number of groups to find.
    rng
        Generator for the clusterer.
    spec
        `method` names the clusterer; the others are its settings.

    Returns
    -------
    (centroids float32[k', p], dict)
        k' may differ from k; the dict has numbers about the fit by name.

    Raises
    ------
    ConfigError
        If no clusterer is registered under the name of the method.

    Examples
    --------
    >>> x = np.array([[1, 0], [0.98, 0.2], [0, 1], [0.2, 0.98]], np.float32)
    >>> centroids, facts = find_centroids(x, 2, np.random.default_rng(0), PhenotypeSpec(method="kmeans"))
    >>> centroids[centroids[:, 0].argsort()].round(2)
    array([[0.1 , 0.99],
           [0.99, 0.1 ]], dtype=float32)
    """
    clusterer = plugins.load(GROUP, spec.method)(k, spec).fit(x, rng)
    centroids = getattr(clusterer, "centroids", None)
    if centroids is None:
        labels = np.asarray(clusterer.assign(x)[0])
        groups = [g for g in np.unique(labels) if g >= 0]
        means = np.stack([x[labels == g].mean(axis=0) for g in groups])
        centroids = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return np.asarray(centroids, np.float32), dict(getattr(clusterer, "facts", {}))
