"""The Ward tree over a codebook, by the tiles in its clusters: every node is a named share."""

from __future__ import annotations

from typing import Any

import numpy as np

from pathosig.phenotypes.kmeans import spherical_kmeans

_COARSE = range(2, 11)
_BEST_OF = 3
_CLEARLY = 0.07
"""How much better the tree of directions has to follow direct clusterings to be taken: measured, docs/adr/0021."""


def grow_tree(
    x: np.ndarray, own: np.ndarray, centroids: np.ndarray, rng: np.random.Generator, *, most: int = 4000
) -> tuple[np.ndarray, dict[str, Any]]:
    """The Ward tree over clusters, and how it was chosen.

    Ward's method on the tiles themselves is the tree. Where many tiles hold several tissues it joins the loose
    clusters of mixtures with each other instead of with what they are near to. Then its coarse cuts
    follow a direct clustering of the tiles clearly less than those of Ward's method on the centroids, which is taken instead.

    Parameters
    ----------
    x
        float32[n, d]: training tiles, unit vectors.
    own
        int[n]: cluster of each.
    centroids
        float32[k, d], length 1.
    rng
        Chooses the tiles of the direct clusterings, and seeds them.
    most
        Tiles of the direct clusterings at most.

    Returns
    -------
    (linkage float64[k - 1, 4], dict for health.json)
        ``of`` is ``tiles`` or ``directions``; ``follows`` the mean ARI of the cuts into 2 to 10 groups with spherical
        k-means into as many, for both.
    """
    from sklearn.metrics import adjusted_rand_score

    k = len(centroids)
    size = np.bincount(own, minlength=k)
    trees = {
        "tiles": ward_tree(leaf_means(x, own, centroids), size),
        "directions": ward_tree(centroids, np.sqrt(size)),
    }
    chosen = np.sort(rng.choice(len(x), size=min(most, len(x)), replace=False))
    follows: dict[str, list[float]] = {name: [] for name in trees}
    for groups in _COARSE:
        if groups >= k:
            break
        runs = [spherical_kmeans(x[chosen], groups, rng, max_iter=25) for _ in range(_BEST_OF)]
        direct = max(runs, key=lambda run: run[2])[1]
        for name, tree in trees.items():
            follows[name].append(adjusted_rand_score(direct, cut_tree(tree, groups)[own[chosen]]))
    means = {name: float(np.mean(values)) if values else 0.0 for name, values in follows.items()}
    of = "directions" if means["directions"] - means["tiles"] > _CLEARLY else "tiles"
    return trees[of], {"of": of, "follows": means}


def leaf_means(x: np.ndarray, own: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Mean of the tiles of each cluster, where Ward's method starts.

    Parameters
    ----------
    x
        float[n, d]: training tiles.
    own
        int[n]: cluster of each.
    centroids
        float[k, d]: stand in for clusters without tiles.

    Returns
    -------
    float64[k, d]
        Not of length 1: the more a cluster's tiles scatter, the shorter its mean. A centroid of length 1
        has lost that, and two loose clusters look further apart than they are (docs/adr/0021).
    """
    means = np.array(centroids, np.float64)
    for g in np.unique(own):
        means[g] = x[own == g].mean(axis=0, dtype=np.float64)
    return means


def ward_tree(centres: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Ward linkage of points that stand for several tiles each.

    With the means of clusters and their tiles, this is Ward's method on all tiles, continued from the
    clusters: each step joins the two whose union adds least to the scatter within.

    Parameters
    ----------
    centres
        float[k, d].
    sizes
        float[k]: tiles (or other weights) of each; at least a little.

    Returns
    -------
    float[k - 1, 4]
        As scipy's linkage: the two joined, height, number of leaves. Heights never fall.

    References
    ----------
    Ward (1963), JASA 58; weighted start as in Murtagh & Legendre (2014), J. Classif. 31.
    """
    k = len(centres)
    weight = np.maximum(np.asarray(sizes, float), 1e-9)
    weight = weight / weight.sum()
    centre = np.asarray(centres, float).copy()
    alive = list(range(k))
    names = list(range(k))
    leaves = [1] * k
    rows = []
    height = 0.0
    while len(alive) > 1:
        points = centre[alive]
        mass = weight[alive]
        squared = ((points[:, None] - points[None]) ** 2).sum(axis=2)
        cost = squared * (mass[:, None] * mass[None]) / (mass[:, None] + mass[None])
        cost[np.tril_indices(len(alive))] = np.inf
        a, b = np.unravel_index(int(cost.argmin()), cost.shape)
        i, j = alive[a], alive[b]
        height = max(height, float(np.sqrt(2 * cost[a, b])))
        first, second = sorted((names[i], names[j]))
        leaves[i] += leaves[j]
        rows.append([first, second, height, leaves[i]])
        centre[i] = (weight[i] * centre[i] + weight[j] * centre[j]) / (weight[i] + weight[j])
        weight[i] += weight[j]
        names[i] = k + len(rows) - 1
        alive.remove(j)
    return np.array(rows).reshape(-1, 4)


def cut_tree(linkage: np.ndarray, k: int) -> np.ndarray:
    """Leaves cut into k groups, int[n_leaves], numbered by their first leaf."""
    n = len(linkage) + 1
    members: dict[int, list[int]] = {i: [i] for i in range(n)}
    for step, (a, b, _, _) in enumerate(linkage[: n - min(max(k, 1), n)]):
        members[n + step] = members.pop(int(a)) + members.pop(int(b))
    groups = sorted(members.values(), key=min)
    out = np.empty(n, int)
    for number, group in enumerate(groups):
        out[group] = number
    return out


def tree_nodes(linkage: np.ndarray) -> list[dict[str, Any]]:
    """Inner nodes but the root: id ``node_00`` ..., leaves (sorted) and height."""
    n = len(linkage) + 1
    members: dict[int, list[int]] = {i: [i] for i in range(n)}
    out = []
    for step, (a, b, height, _) in enumerate(linkage):
        members[n + step] = sorted(members[int(a)] + members[int(b)])
        if step < len(linkage) - 1:
            out.append(
                {"id": f"node_{step:02d}", "leaves": members[n + step], "height": round(float(height), 9)}
            )
    return out
