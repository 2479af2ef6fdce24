"""Spherical k-means with k-means++ seeding."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def normalise(x: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; zero rows stay zero.

    Parameters
    ----------
    x
        float[n, d].

    Returns
    -------
    float32[n, d].

    Examples
    --------
    >>> normalise(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.maximum(length, 1e-12), np.float32)


def seed_centroids(x: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Choose starting centroids among the rows by k-means++ on 1 - cosine.

    Parameters
    ----------
    x
        float32[n, d], rows of length 1.
    k
        Number of centroids.
    rng
        Generator for the choice.

    Returns
    -------
    float32[k, d].

    References
    ----------
    Arthur D, Vassilvitskii S. k-means++: the advantages of careful seeding. SODA 2007.

    Examples
    --------
    >>> seed_centroids(np.eye(3, dtype=np.float32), 3, np.random.default_rng(0)).sum(axis=0)  # each row once
    array([1., 1., 1.], dtype=float32)
    """
    n = len(x)
    chosen = [int(rng.integers(n))]
    nearest = np.clip(1 - x @ x[chosen[0]], 0, None)
    for _ in range(1, k):
        total = nearest.sum(dtype=np.float64)
        if total <= 0:
            chosen.append(int(rng.integers(n)))
            continue
        point = rng.random() * total
        index = min(int(np.searchsorted(np.cumsum(nearest, dtype=np.float64), point)), n - 1)
        chosen.append(index)
        np.minimum(nearest, np.clip(1 - x @ x[index], 0, None), out=nearest)
    return x[chosen].copy()


def spherical_kmeans(
    x: np.ndarray,
    k: int,
    rng: np.random.Generator,
    *,
    max_iter: int = 40,
    centroids: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Cluster unit vectors by cosine.

    Parameters
    ----------
    x
        float32[n, d], rows of length 1.
    k
        Number of clusters, at most n.
    rng
        Generator for the seeding.
    max_iter
        Largest number of iterations; the loop stops earlier when no row changes its cluster.
    centroids
        float32[k, d] to start from instead of k-means++.

    Returns
    -------
    (centroids float32[k, d] of length 1, labels int32[n], mean cosine of the rows to their centroids)

    References
    ----------
    Dhillon & Modha (2001), Machine Learning 42.

    Examples
    --------
    >>> x = normalise(np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]]))
    >>> centroids, labels, cosine = spherical_kmeans(x, 2, np.random.default_rng(0))
    >>> labels, round(cosine, 3)
    (array([1, 1, 0, 0], dtype=int32), 0.999)
    """
    centroids = seed_centroids(x, k, rng) if centroids is None else centroids.copy()
    labels = np.full(len(x), -1, np.int32)
    best = np.zeros(len(x), np.float32)
    for _ in range(max_iter):
        similarity = x @ centroids.T
        new = similarity.argmax(axis=1).astype(np.int32)
        best = similarity[np.arange(len(x)), new]
        if np.array_equal(new, labels):
            break
        labels = new
        centroids = _means(x, labels, k, best)
    return centroids, labels, float(best.mean())


def _means(x: np.ndarray, labels: np.ndarray, k: int, fit: np.ndarray) -> np.ndarray:
    """Directions of the clusters' sums; an empty cluster restarts at one of the rows that fit worst."""
    member = sparse.csc_matrix(
        (np.ones(len(x), np.float32), labels, np.arange(len(x) + 1)), shape=(k, len(x))
    )
    sums = np.asarray(member @ x)
    filled = np.bincount(labels, minlength=k) > 0
    empty = np.flatnonzero(~filled)
    if len(empty):
        sums[empty] = x[np.argsort(fit, kind="stable")[: len(empty)]]
    return normalise(sums)
