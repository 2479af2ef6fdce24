"""Leiden communities of a nearest-neighbour graph (the HPL method); needs the GPL extra."""

from __future__ import annotations

import numpy as np

from pathosig.core.errors import ConfigError
from pathosig.phenotypes.kmeans import normalise

_NEIGHBOURS = 30
_TRIES = 12
_MAX_ROWS = 20_000


def leiden_centroids(x: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Centroids of Leiden communities, the resolution chosen so that their number comes nearest to k.

    Parameters
    ----------
    x
        float32[n, p], unit vectors; at most 20,000 rows enter the graph.
    k
        Communities wanted.
    seed
        Of the optimiser.

    Raises
    ------
    ConfigError
        If leidenalg and igraph are not installed.

    References
    ----------
    Traag et al. (2019), Sci. Rep. 9; Quiros et al. (2024), Nat. Commun. 15 (HPL).
    """
    try:
        import igraph
        import leidenalg
    except ImportError as error:
        raise ConfigError(
            "phenotypes.method = leiden needs leidenalg and igraph (GPL): pip install 'pathosig[leiden]'."
        ) from error
    rows = np.sort(np.random.default_rng(seed).choice(len(x), min(len(x), _MAX_ROWS), replace=False))
    points = x[rows]
    near = min(_NEIGHBOURS, len(points) - 1)
    nearest = np.argpartition(-(points @ points.T), near, axis=1)[:, : near + 1]
    edges = {(min(i, int(j)), max(i, int(j))) for i in range(len(points)) for j in nearest[i] if i != j}
    graph = igraph.Graph(n=len(points), edges=sorted(edges))
    low, high = 0.01, 20.0
    best = np.zeros(len(points), int)
    for _ in range(_TRIES):
        middle = float(np.sqrt(low * high))
        found = leidenalg.find_partition(
            graph, leidenalg.RBConfigurationVertexPartition, resolution_parameter=middle, seed=seed
        )
        labels = np.asarray(found.membership)
        n = labels.max() + 1
        if abs(n - k) < abs(best.max() + 1 - k):
            best = labels
        low, high = (middle, high) if n < k else (low, middle)
    return normalise(np.stack([points[best == g].mean(axis=0) for g in range(best.max() + 1)]))
