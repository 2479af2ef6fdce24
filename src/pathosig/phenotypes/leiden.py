"""Leiden communities of a nearest-neighbour graph (the method of HPL), computed with scikit-network."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
from scipy import sparse

from pathosig.phenotypes.kmeans import normalise

_NEIGHBOURS = 15
_TRIES = 12
_MAX_ROWS = 20_000
_BLOCK = 2048


def leiden_centroids(x: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Centroids of Leiden communities, at the resolution that brings their number closest to k.

    Parameters
    ----------
    x
        float32[n, p], unit vectors; at most 20,000 rows enter the graph.
    k
        Number of communities to find.
    seed
        Seed of the choice of rows and of the optimiser.

    Returns
    -------
    float32[k', p]
        Of length 1; k' is as close to k as the resolution allows.

    References
    ----------
    Traag et al. (2019), Sci. Rep. 9; Quiros et al. (2024), Nat. Commun. 15 (HPL).

    Examples
    --------
    >>> angle = np.concatenate([np.linspace(0, 0.3, 40), np.linspace(1.2, 1.5, 40)])
    >>> x = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    >>> centroids = leiden_centroids(x, 2, seed=0)
    >>> centroids[centroids[:, 0].argsort()].round(2)
    array([[0.22, 0.98],
           [0.99, 0.15]], dtype=float32)
    """
    from sknetwork.clustering import Leiden  # takes 1 s: only imported if this method is chosen

    rows = np.sort(np.random.default_rng(seed).choice(len(x), min(len(x), _MAX_ROWS), replace=False))
    points = x[rows]
    graph = _jaccard_graph(points, min(_NEIGHBOURS, len(points) - 1))
    low, high = 0.01, 50.0
    best = np.zeros(len(points), int)
    for _ in range(_TRIES):
        middle = float(np.sqrt(low * high))
        _seed_c_library(seed)
        labels = np.asarray(Leiden(resolution=middle, random_state=seed).fit_predict(graph))
        count = labels.max() + 1
        if abs(count - k) < abs(best.max() + 1 - k):
            best = labels
        if count == k:
            break
        low, high = (middle, high) if count < k else (low, middle)
    return normalise(np.stack([points[best == g].mean(axis=0) for g in range(best.max() + 1)]))


def _seed_c_library(seed: int) -> None:
    """Seed C's ``rand``, with which scikit-network breaks ties; `random_state` does not seed it, so that fits would differ."""
    library = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
    library.srand(ctypes.c_uint(seed % 2**32))


def _jaccard_graph(x: np.ndarray, neighbours: int) -> sparse.csr_matrix:
    """Nearest-neighbour graph whose edge weights are the Jaccard indices of the neighbourhoods of the two ends.

    Parameters
    ----------
    x
        float32[n, p], unit vectors.
    neighbours
        Number of neighbours of each row.
    """
    n = len(x)
    nearest = np.empty((n, neighbours + 1), np.int32)
    for start in range(0, n, _BLOCK):
        similarity = x[start : start + _BLOCK] @ x.T
        nearest[start : start + _BLOCK] = np.argpartition(-similarity, neighbours, axis=1)[
            :, : neighbours + 1
        ]
    size = nearest.size
    near = sparse.csr_matrix(
        (np.ones(size, np.float32), (np.repeat(np.arange(n), neighbours + 1), nearest.ravel())), shape=(n, n)
    )
    shared = near.multiply(near @ near.T)
    # |A and B| / |A or B| with |A| = |B| = neighbours + 1
    shared.data = shared.data / (2 * (neighbours + 1) - shared.data)
    shared.setdiag(0)
    shared.eliminate_zeros()
    return sparse.csr_matrix(shared.maximum(shared.T))
