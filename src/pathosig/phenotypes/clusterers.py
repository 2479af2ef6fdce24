"""Ways of finding phenotypes: what the plug-in group ``pathosig.clusterers`` holds for the built-in ones.

An entry point is called with the number of clusters wanted and the PhenotypeSpec, and gives a
`Clusterer`. Projection, assignment, tree, atlas and health are the same for all of them.
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
    """A clusterer whose groups are the nearest of its centroids.

    Attributes
    ----------
    k, spec
        Clusters wanted; the settings.
    centroids
        float32[k, p] once fitted.
    facts
        What health.json says of the fit.
    """

    k: int
    spec: PhenotypeSpec
    centroids: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    facts: dict[str, float] = field(default_factory=dict)

    @abstractmethod
    def fit(self, x: np.ndarray, rng: np.random.Generator) -> Self:
        """Learn from unit rows x[n, p]."""

    def assign(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(hpc int[n], cosine to its centroid float[n] in 0..1) of each row."""
        nearest = assign(x, self.centroids)
        return nearest, np.clip(np.einsum("ij,ij->i", x, self.centroids[nearest]), 0, 1)


class Consensus(CentroidClusterer):
    """What runs of spherical k-means agree on: the method ``recommended``."""

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
    """The best of ten runs of spherical k-means."""

    def fit(self, x: np.ndarray, rng: np.random.Generator) -> Self:
        """Learn from unit rows x[n, p]."""
        runs = [spherical_kmeans(x, self.k, rng, max_iter=self.spec.max_iter) for _ in range(_BEST_OF)]
        self.centroids = max(runs, key=lambda r: r[2])[0]
        return self


class Leiden(CentroidClusterer):
    """Leiden communities of the graph of nearest tiles."""

    def fit(self, x: np.ndarray, rng: np.random.Generator) -> Self:
        """Learn from unit rows x[n, p]."""
        self.centroids = leiden_centroids(x, self.k, self.spec.seed)
        return self


def find_centroids(
    x: np.ndarray, k: int, rng: np.random.Generator, spec: PhenotypeSpec
) -> tuple[np.ndarray, dict[str, float]]:
    """Centroids by the clusterer that the settings name, and what it reports about its fit.

    A plug-in that only assigns rows is turned into the mean directions of its groups.

    Parameters
    ----------
    x
        float32[n, p], rows of length 1.
    k
        Number of groups wanted.
    rng
        Decides seeds.
    spec
        `method` names the clusterer; the rest are its settings.

    Returns
    -------
    float32[k', p] centroids, k' at most k, and numbers by name.

    Raises
    ------
    ConfigError
        If nothing is registered under the name of the method.

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
