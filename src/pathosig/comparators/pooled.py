"""Patients as vectors: the mean of their tiles, and the moments of a mixture of Gaussians."""

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
    """A frozen PCA of tiles, fitted without outcomes on discovery patients."""

    mean: np.ndarray
    components: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, tiles: np.ndarray, *, seed: int = 0) -> Projection:
        """At most 64 components, each of unit variance."""
        size = min(_DIMENSIONS, *tiles.shape)
        pca = PCA(size, svd_solver="randomized", random_state=seed).fit(tiles)
        scale = np.sqrt(np.maximum(pca.explained_variance_, 1e-12))
        return cls(mean=pca.mean_, components=pca.components_, scale=np.asarray(scale))

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        """float64[n, components]."""
        return np.asarray((tiles.astype(float) - self.mean) @ self.components.T / self.scale)


def mean_pooled(bags: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of the tiles of every patient: float[n, d].

    Examples
    --------
    >>> mean_pooled([np.array([[1.0, 3.0], [3.0, 5.0]])]).tolist()
    [[2.0, 4.0]]
    """
    return np.array([np.asarray(bag, float).mean(axis=0) for bag in bags])


def gaussian_moments(
    bags: Sequence[np.ndarray], training: np.ndarray, *, components: int = 16, seed: int = 0
) -> np.ndarray:
    """Weights, means and variances of a Gaussian mixture per patient: float[n, components (1 + 2 d)].

    Prototypes are k-means centres of training tiles; one step of EM from there adapts the mixture to each patient, and its
    moments, side by side, are the patient's vector.

    Parameters
    ----------
    bags
        Tiles of each patient, float[tiles, d], of roughly unit variance.
    training
        float[m, d]: tiles that the prototypes are found in.
    components, seed
        Gaussians; seed of k-means.

    References
    ----------
    Song AH et al. Morphological prototyping for unsupervised slide representation learning in computational pathology
    (PANTHER). CVPR 2024.
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
        # A component that nobody belongs to stays at its prototype with unit variance.
        mean = (share.T @ x + prototypes) / (count[:, None] + 1)
        second = (share.T @ x**2 + prototypes**2 + 1) / (count[:, None] + 1)
        rows.append(np.concatenate([weight, mean.ravel(), np.maximum(second - mean**2, _TINY).ravel()]))
    return np.array(rows)
