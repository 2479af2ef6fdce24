"""Vectors that represent patients: the mean of their tiles, and the moments of a mixture of Gaussians."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

_DIMENSIONS = 64
_TINY = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Projection:
    """A frozen PCA of tiles, fitted on discovery patients without their outcomes."""

    mean: np.ndarray
    components: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, tiles: np.ndarray, *, seed: int = 0) -> Projection:
        """Fit at most 64 components, each scaled to unit variance, on float[n, d]."""
        size = min(_DIMENSIONS, *tiles.shape)
        pca = PCA(size, svd_solver="randomized", random_state=seed).fit(tiles)
        scale = np.sqrt(np.maximum(pca.explained_variance_, 1e-12))
        return cls(mean=pca.mean_, components=pca.components_, scale=np.asarray(scale))

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        """Project tiles, float[n, d]: float64[n, components]."""
        return np.asarray((tiles.astype(float) - self.mean) @ self.components.T / self.scale)


def mean_pooled(bags: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of the tiles of every patient.

    Parameters
    ----------
    bags
        Tiles of each patient, float[tiles, d].

    Returns
    -------
    float[n, d]

    Examples
    --------
    >>> mean_pooled([np.array([[1.0, 3.0], [3.0, 5.0]])]).tolist()
    [[2.0, 4.0]]
    """
    return np.array([np.asarray(bag, float).mean(axis=0) for bag in bags])


def gaussian_moments(
    bags: Sequence[np.ndarray], training: np.ndarray, *, components: int = 16, seed: int = 0
) -> np.ndarray:
    """Weights, means and variances of a mixture of Gaussians for each patient.

    Prototypes are the k-means centres of training tiles. From there, one step of EM adapts the mixture to each patient; its
    weights, means and variances, concatenated, are the patient's vector.

    Parameters
    ----------
    bags
        Tiles of each patient, float[tiles, d], with roughly unit variance.
    training
        float[m, d]: tiles from which the prototypes are computed.
    components, seed
        Number of Gaussians; seed of k-means.

    Returns
    -------
    float[n, components (1 + 2 d)]

    References
    ----------
    Song AH et al. Morphological prototyping for unsupervised slide representation learning in computational pathology
    (PANTHER). CVPR 2024.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> bags = [rng.normal(size=(50, 3)) for _ in range(4)]
    >>> gaussian_moments(bags, np.concatenate(bags), components=2).shape
    (4, 14)
    """
    prototypes = KMeans(components, n_init=2, random_state=seed).fit(training).cluster_centers_
    rows = []
    for bag in bags:
        x = np.asarray(bag, float)
        distance = ((x[:, None, :] - prototypes) ** 2).sum(axis=2)
        share = np.exp(-0.5 * (distance - distance.min(axis=1, keepdims=True)))
        share /= share.sum(axis=1, keepdims=True)
        count = share.sum(axis=0)
        weight = count / len(x)
        # A component without tiles stays at its prototype, with unit variance.
        mean = (share.T @ x + prototypes) / (count[:, None] + 1)
        second = (share.T @ x**2 + prototypes**2 + 1) / (count[:, None] + 1)
        rows.append(np.concatenate([weight, mean.ravel(), np.maximum(second - mean**2, _TINY).ravel()]))
    return np.array(rows)
