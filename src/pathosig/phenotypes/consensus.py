"""A consensus of many k-means runs, which depends less on the seed than a single run does."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from pathosig.core.threads import side_by_side
from pathosig.phenotypes.kmeans import normalise, seed_centroids, spherical_kmeans


def consensus_centroids(
    x: np.ndarray,
    k: int,
    rng: np.random.Generator,
    *,
    runs: int = 30,
    landmarks: int = 4000,
    max_iter: int = 40,
    min_share: float = 0.005,
) -> tuple[np.ndarray, dict[str, float]]:
    """Centroids of a consensus clustering.

    For every two landmark rows, the proportion of runs of spherical k-means that put them into one cluster
    (co-association) is computed. Average linkage on it gives groups, whose means are the centroids.

    Parameters
    ----------
    x
        float32[n, d], rows of length 1.
    k
        Number of groups to find; fewer are returned when small ones are merged.
    rng
        Generator for the seeding of runs and the choice of landmarks.
    runs, max_iter
        Number of runs, and the largest number of iterations of each.
    landmarks
        Number of rows on which runs are compared.
    min_share
        Groups with a smaller proportion of the rows are merged into the nearest group.

    Returns
    -------
    (centroids float32[k', d], dict)
        The dict has ``run_agreement``, the mean adjusted Rand index between runs, and ``merged``, the number of groups
        that were merged.

    References
    ----------
    Fred & Jain (2005), IEEE TPAMI 27; Strehl & Ghosh (2002), JMLR 3.

    Examples
    --------
    >>> angle = np.concatenate([np.linspace(0, 0.3, 30), np.linspace(1.2, 1.5, 30)])
    >>> x = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    >>> centroids, facts = consensus_centroids(x, 2, np.random.default_rng(0), runs=5)
    >>> centroids[centroids[:, 0].argsort()].round(2), facts
    (array([[0.22, 0.98],
           [0.99, 0.15]], dtype=float32), {'run_agreement': 1.0, 'merged': 0.0})
    """
    n = len(x)
    chosen = np.sort(rng.choice(n, size=min(landmarks, n), replace=False))
    fine = min(k, n)
    starts = [seed_centroids(x, fine, rng) for _ in range(runs)]

    def landmarks_of(start: np.ndarray) -> np.ndarray:
        return spherical_kmeans(x, fine, rng, max_iter=max_iter, centroids=start)[1][chosen]

    labels_of_runs = side_by_side(landmarks_of, starts)
    distance = 1 - _together(labels_of_runs)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    groups = fcluster(tree, min(k, len(chosen)), "maxclust") - 1
    centroids = np.stack([x[chosen][groups == g].mean(axis=0) for g in range(groups.max() + 1)])
    centroids = normalise(centroids)
    labels = assign(x, centroids)
    centroids = normalise(_means_or_old(x, labels, centroids))
    centroids, merged = _merge_small(x, centroids, min_share)
    return centroids, {"run_agreement": _mean_agreement(labels_of_runs), "merged": float(merged)}


def _together(labels: list[np.ndarray], block: int = 256) -> np.ndarray:
    """Proportion of the labellings, int[n] each, that put two rows into one cluster, float32[n, n]."""
    runs = np.stack(labels).astype(np.int16)

    def rows_from(start: int) -> np.ndarray:
        count = np.zeros((len(runs[0, start : start + block]), runs.shape[1]), np.int16)
        for run in runs:
            count += run[start : start + block, None] == run
        return np.divide(count, len(runs), dtype=np.float32)

    return np.concatenate(side_by_side(rows_from, range(0, runs.shape[1], block)))


def assign(x: np.ndarray, centroids: np.ndarray, block: int = 65_536) -> np.ndarray:
    """The nearest centroid of each row.

    Parameters
    ----------
    x
        float32[n, d], rows of length 1.
    centroids
        float32[k, d].
    block
        Number of rows handled at a time.

    Returns
    -------
    int32[n]
        The first of equally near centroids.

    Examples
    --------
    >>> assign(np.array([[1, 0], [0.6, 0.8]], np.float32), np.eye(2, dtype=np.float32))
    array([0, 1], dtype=int32)
    """
    out = np.empty(len(x), np.int32)
    for start in range(0, len(x), block):
        out[start : start + block] = (x[start : start + block] @ centroids.T).argmax(axis=1)
    return out


def _means_or_old(x: np.ndarray, labels: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    sums = centroids.copy()
    for g in range(len(centroids)):
        rows = x[labels == g]
        if len(rows):
            sums[g] = rows.mean(axis=0)
    return sums


def _merge_small(x: np.ndarray, centroids: np.ndarray, min_share: float) -> tuple[np.ndarray, int]:
    """Merge groups with too small a proportion of the rows into the nearest group, smallest first."""
    merged = 0
    while len(centroids) > 2:
        labels = assign(x, centroids)
        share = np.bincount(labels, minlength=len(centroids)) / len(x)
        smallest = int(share.argmin())
        if share[smallest] >= min_share:
            break
        similarity = centroids @ centroids[smallest]
        similarity[smallest] = -2
        into = int(similarity.argmax())
        joined = share[into] * centroids[into] + share[smallest] * centroids[smallest]
        centroids[into] = joined / max(float(np.linalg.norm(joined)), 1e-12)
        centroids = np.delete(centroids, smallest, axis=0)
        merged += 1
    return centroids, merged


def _mean_agreement(labels: list[np.ndarray]) -> float:
    from sklearn.metrics import adjusted_rand_score

    if len(labels) < 2:
        return float("nan")
    pairs = [(i, i + 1) for i in range(min(len(labels) - 1, 10))]
    return float(np.mean([adjusted_rand_score(labels[i], labels[j]) for i, j in pairs]))
