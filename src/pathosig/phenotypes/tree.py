"""The Ward tree over a codebook and the coarse groups that it is cut into; the proportion of every node has a name."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from pathosig.phenotypes.kmeans import normalise

_MOST_COARSE = 20
_TILES_PER_PATIENT = 5
_SILHOUETTE_ROWS = 2000


def grow_tree(centroids: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The tree of a codebook, by Ward's method on the directions of its centroids.

    The weight of a centroid is the square root of its number of tiles, so that the few large clusters of common tissue do
    not determine where the many small ones join.

    Parameters
    ----------
    centroids
        float32[k, d], length 1.
    sizes
        int[k]: number of tiles of each.

    Returns
    -------
    float64[k - 1, 4]
        In the format of SciPy's linkage.

    References
    ----------
    See `ward_tree`.

    Examples
    --------
    >>> grow_tree(np.array([[1, 0], [0.98, 0.2], [0, 1]], np.float32), np.array([50, 40, 60])).round(2)
    array([[0.  , 1.  , 0.11, 2.  ],
           [2.  , 3.  , 0.91, 3.  ]])
    """
    return ward_tree(centroids, np.sqrt(sizes))


def group_centroids(x: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Centroids of groups of clusters: the direction of the mean of all training tiles in each group.

    A tile belongs to the group with the nearest centroid, which need not be the group of its nearest cluster. For a tile
    between two clusters, the centroids of groups decide better, because they are estimated from more tiles.

    Parameters
    ----------
    x
        float32[n, d]: training tiles, unit vectors.
    labels
        int[n]: cluster of each tile.
    groups
        int[k]: group of each cluster, from `cut_tree`.

    Returns
    -------
    float32[g, d]
        Of length 1.

    Examples
    --------
    >>> x = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    >>> group_centroids(x, np.array([0, 0, 1, 2]), np.array([0, 0, 1])).round(2).tolist()
    [[0.8899999856948853, 0.44999998807907104, 0.0], [0.0, 0.0, 1.0]]
    """
    group = groups[labels]
    sums = np.zeros((int(groups.max()) + 1, x.shape[1]))
    np.add.at(sums, group, x)
    return normalise(sums)


def choose_coarse(x: np.ndarray, labels: np.ndarray, linkage: np.ndarray, *, tiles_per_patient: float) -> int:
    """The number of coarse groups in reports: the one with the best silhouette.

    There are at most 20 groups, and at most one for every five tiles of an average patient (though 2 and 3 groups are
    always tried).

    Parameters
    ----------
    x
        float32[n, d]: training tiles, unit vectors.
    labels
        int[n]: cluster of each tile.
    linkage
        float64[k - 1, 4]: the tree.
    tiles_per_patient
        Mean number of training tiles of a patient.

    Returns
    -------
    int
        From 2 to 20, and at most the number of clusters.

    References
    ----------
    Rousseeuw (1987), J. Comput. Appl. Math. 20 (silhouettes).

    Examples
    --------
    >>> angle = np.tile([0.0, 0.1, 1.4, 1.5], 25)
    >>> x = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    >>> labels = np.arange(100) % 4
    >>> choose_coarse(x, labels, grow_tree(x[:4], np.full(4, 25)), tiles_per_patient=200)
    3
    """
    from sklearn.metrics import silhouette_score

    k = len(linkage) + 1
    most = int(min(k - 1, _MOST_COARSE, max(3, tiles_per_patient / _TILES_PER_PATIENT)))
    best, chosen = -2.0, min(3, k)
    rows = np.random.default_rng(0).choice(len(x), size=min(len(x), _SILHOUETTE_ROWS), replace=False)
    for count in range(2, most + 1):
        centroids = group_centroids(x, labels, cut_tree(linkage, count))
        coarse = (x[rows] @ centroids.T).argmax(axis=1)
        if len(np.unique(coarse)) < 2:
            continue
        value = float(silhouette_score(x[rows], coarse, metric="cosine"))
        if value > best + 1e-4:
            best, chosen = value, count
    return chosen


def ward_tree(centres: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Ward linkage of points that represent several tiles each.

    With the means of clusters and their numbers of tiles, this continues Ward's method on all tiles from these clusters:
    each step joins the two groups whose union adds least to the variance within groups.

    Parameters
    ----------
    centres
        float[k, d].
    sizes
        float[k]: number of tiles of each, or another positive weight.

    Returns
    -------
    float[k - 1, 4]
        In the format of SciPy's linkage: the two nodes joined, the height and the number of leaves. Heights never
        decrease.

    References
    ----------
    Ward (1963), JASA 58; weighted start as in Murtagh & Legendre (2014), J. Classif. 31.

    Examples
    --------
    >>> ward_tree(np.array([[0.0], [1.0], [5.0]]), np.ones(3)).round(2)
    array([[0.  , 1.  , 0.58, 2.  ],
           [2.  , 3.  , 3.  , 3.  ]])
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
    """The group of each leaf when a tree is cut into k groups, which are numbered by their first leaf.

    Parameters
    ----------
    linkage
        float64[n - 1, 4], in the format of SciPy's linkage.
    k
        Number of groups, 1 to n.

    Returns
    -------
    int[n].

    Examples
    --------
    >>> cut_tree(ward_tree(np.array([[0.0], [1.0], [5.0]]), np.ones(3)), 2)
    array([0, 0, 1])
    """
    n = len(linkage) + 1
    members: dict[int, list[int]] = {i: [i] for i in range(n)}
    for step, (a, b, _, _) in enumerate(linkage[: n - min(max(k, 1), n)]):
        members[n + step] = members.pop(int(a)) + members.pop(int(b))
    groups = sorted(members.values(), key=min)
    out = np.empty(n, int)
    for number, group in enumerate(groups):
        out[group] = number
    return out


class Node(TypedDict):
    """An inner node, as in tree.json."""

    id: str
    leaves: list[int]
    height: float


def tree_nodes(linkage: np.ndarray) -> list[Node]:
    """The inner nodes of a tree except its root, as in tree.json.

    Parameters
    ----------
    linkage
        float64[k - 1, 4].

    Returns
    -------
    list of Node
        In the order of the joins; ids are ``node_00`` ..., and leaves are sorted.

    Examples
    --------
    >>> [(node["id"], node["leaves"]) for node in tree_nodes(ward_tree(np.array([[0.0], [1.0], [5.0]]), np.ones(3)))]
    [('node_00', [0, 1])]
    """
    n = len(linkage) + 1
    members: dict[int, list[int]] = {i: [i] for i in range(n)}
    out: list[Node] = []
    for step, (a, b, height, _) in enumerate(linkage):
        members[n + step] = sorted(members[int(a)] + members[int(b)])
        if step < len(linkage) - 1:
            out.append(
                {"id": f"node_{step:02d}", "leaves": members[n + step], "height": round(float(height), 9)}
            )
    return out
