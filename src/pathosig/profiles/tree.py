"""Shares of HPCs, and of every node of the codebook's tree."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pathosig.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def hpc_column(hpc: int) -> str:
    """Name of the column with the share of an HPC.

    Examples
    --------
    >>> hpc_column(7)
    'hpc_07'
    """
    return f"hpc_{hpc:02d}"


def leaf_columns(profiles: pd.DataFrame) -> list[str]:
    """Columns of leaf shares in order of their HPC.

    Parameters
    ----------
    profiles
        Any table.

    Examples
    --------
    >>> leaf_columns(pd.DataFrame(columns=["patient_id", "hpc_10", "hpc_02", "node_01"]))
    ['hpc_02', 'hpc_10']
    """
    leaves = [c for c in profiles.columns if str(c).startswith("hpc_") and str(c)[4:].isdigit()]
    return sorted(leaves, key=lambda c: int(c[4:]))


def shares(hpc: ArrayLike, k: int, *, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Share of every HPC among tiles.

    Parameters
    ----------
    hpc
        HPC of every tile, int[n_tiles] in 0..k-1.
    k
        Number of HPCs of the codebook.
    weights
        Weight of every tile, float[n_tiles] >= 0; 1 each by default.

    Returns
    -------
    float[k]
        Adds up to 1; all 0 if there are no tiles.

    Raises
    ------
    InputError
        If an HPC is outside 0..k-1.

    Examples
    --------
    >>> shares([0, 0, 2, 0], 3).tolist()
    [0.75, 0.0, 0.25]
    """
    labels = np.asarray(hpc)
    if labels.size and (labels.min() < 0 or labels.max() >= k):
        message = (
            f"assignments: found HPCs {labels.min()} to {labels.max()}, but the codebook has 0 to {k - 1}. "
            "Run `pathosig phenotypes` again."
        )
        raise InputError(message)
    weight = None if weights is None else np.asarray(weights, float)
    counts = np.bincount(labels.astype(np.int64), weights=weight, minlength=k).astype(float)
    total = counts.sum()
    return counts / total if total > 0 else counts


def tree_nodes(tree: Mapping[str, Any], *, without: Collection[int] = ()) -> dict[str, tuple[int, ...]]:
    """Inner nodes of a tree and their leaves, without the root and without nodes that have the same leaves as another.

    Parameters
    ----------
    tree
        Content of phenotypes/tree.json: ``nodes`` (id, leaves), or only ``k`` and ``linkage`` (SciPy's rows).
    without
        Leaves that are removed first (HPCs that are artefacts); nodes left with one leaf or none are omitted.

    Returns
    -------
    dict
        Name of the node -> its leaves, sorted.

    Examples
    --------
    >>> tree_nodes({"k": 3, "linkage": [[0, 1, 0.5, 2], [2, 3, 1.0, 3]]})
    {'node_00': (0, 1)}
    """
    if tree.get("nodes"):
        nodes = [(str(n["id"]), [int(i) for i in n["leaves"]]) for n in tree["nodes"]]
    else:
        nodes = _from_linkage(tree.get("linkage", ()), int(tree.get("k", 0)))
    everything = {i for _, leaves in nodes for i in leaves} | set(range(int(tree.get("k", 0))))
    whole = everything - set(without)
    out: dict[str, tuple[int, ...]] = {}
    seen: set[tuple[int, ...]] = set()
    for name, leaves in sorted(nodes, key=lambda item: (len(item[1]), item[0])):
        kept = tuple(sorted(set(leaves) - set(without)))
        if 1 < len(kept) < len(whole) and kept not in seen:
            seen.add(kept)
            out[name] = kept
    return out


def _from_linkage(linkage: Sequence[Sequence[float]], k: int) -> list[tuple[str, list[int]]]:
    members: dict[int, list[int]] = {i: [i] for i in range(k)}
    out = []
    for step, row in enumerate(linkage):
        members[k + step] = members[int(row[0])] + members[int(row[1])]
        out.append((f"node_{step:02d}", members[k + step]))
    return out


def tree_shares(
    shares: pd.DataFrame | ArrayLike, tree: Mapping[str, Any], *, without: Collection[int] = ()
) -> pd.DataFrame:
    """Share of every leaf (``hpc_07``) and inner node (``node_12``) of the tree, one row per input row.

    Parameters
    ----------
    shares
        Leaf shares: a table with columns ``hpc_00`` ..., or float[n, k].
    tree
        Content of phenotypes/tree.json.
    without
        HPCs that are artefacts: they get no column, and nodes consist of the other leaves.

    Returns
    -------
    DataFrame
        The share of a node is the sum of the shares of its leaves; the root, which is always 1, is left out.

    Raises
    ------
    InputError
        If a leaf of the tree has no column.

    Examples
    --------
    >>> tree = {"k": 3, "linkage": [[0, 1, 0.5, 2], [2, 3, 1.0, 3]]}
    >>> tree_shares([[0.25, 0.25, 0.5]], tree).iloc[0].to_dict()
    {'hpc_00': 0.25, 'hpc_01': 0.25, 'hpc_02': 0.5, 'node_00': 0.5}
    """
    if isinstance(shares, pd.DataFrame):
        columns = leaf_columns(shares)
        leaves = {int(c[4:]): shares[c].to_numpy(float) for c in columns}
        index: Any = shares.index
    else:
        matrix = np.atleast_2d(np.asarray(shares, float))
        leaves = {i: matrix[:, i] for i in range(matrix.shape[1])}
        index = pd.RangeIndex(len(matrix))
    nodes = tree_nodes(tree, without=without)
    missing = sorted({i for members in nodes.values() for i in members} - set(leaves))
    if missing:
        message = f"profiles: no column {hpc_column(missing[0])}, which belongs to the tree. Run `pathosig profiles` again."
        raise InputError(message)
    out = {hpc_column(i): leaves[i] for i in sorted(leaves) if i not in set(without)}
    out |= {name: np.sum([leaves[i] for i in members], axis=0) for name, members in sorted(nodes.items())}
    return pd.DataFrame(out, index=index)


def coarse_groups(leaves: Mapping[str, tuple[int, ...]], k: int) -> list[str]:
    """Names of the leaves and nodes that the tree consists of when it is cut into k clusters.

    The node that was merged last is split first.

    Parameters
    ----------
    leaves
        Name -> its HPCs, for leaves (``hpc_07``) and inner nodes (``node_12``, numbered in the order of merging).
    k
        Number of clusters; there are fewer if the names do not allow so many.

    Returns
    -------
    list of str
        In the order of `leaves`.

    Examples
    --------
    >>> coarse_groups({"hpc_00": (0,), "hpc_01": (1,), "hpc_02": (2,), "node_00": (0, 1)}, 2)
    ['hpc_02', 'node_00']
    """
    return list(_coarse_groups(tuple((name, tuple(hpcs)) for name, hpcs in leaves.items()), k))


@lru_cache(maxsize=64)  # repeated fits ask for the same cuts many times
def _coarse_groups(leaves: tuple[tuple[str, tuple[int, ...]], ...], k: int) -> tuple[str, ...]:
    sets = {frozenset(hpcs): name for name, hpcs in leaves}

    def largest(inside: frozenset[int] | None) -> list[frozenset[int]]:
        within = [s for s in sets if inside is None or s < inside]
        return [s for s in within if not any(s < other for other in within)]

    def merged(group: frozenset[int]) -> int:
        kind, _, number = sets[group].partition("_")
        return int(number) if kind == "node" and number.isdigit() else -1

    groups = largest(None)
    while groups and len(groups) < k:
        latest = max(groups, key=merged)
        parts = largest(latest) if merged(latest) >= 0 else []
        if not parts:
            break
        groups = [g for g in groups if g != latest] + parts
    return tuple(name for name, hpcs in leaves if frozenset(hpcs) in groups)


def shares_at_level(
    shares: pd.DataFrame, tree: Mapping[str, Any], k: int, *, without: Collection[int] = ()
) -> NDArray[np.float64]:
    """Shares of the clusters that a tree has when it is cut into k clusters.

    Parameters
    ----------
    shares
        Leaf shares: columns ``hpc_00`` ...
    tree
        Content of phenotypes/tree.json, with its ``linkage``.
    k
        Number of clusters, from 1 to the number of leaves that are kept.
    without
        HPCs that are artefacts: they are removed before the cut, and the shares of the others are scaled to add up to 1.

    Returns
    -------
    float[n, k]
        Clusters are numbered by their first leaf; each row adds up to 1.

    Raises
    ------
    InputError
        If the tree has no such level or a leaf has no column.

    Examples
    --------
    >>> tree = {"k": 3, "linkage": [[0, 1, 0.5, 2], [2, 3, 1.0, 3]]}
    >>> leaves = pd.DataFrame([[0.25, 0.25, 0.5]], columns=["hpc_00", "hpc_01", "hpc_02"])
    >>> shares_at_level(leaves, tree, 2).tolist()
    [[0.5, 0.5]]
    """
    leaves = [i for i in range(int(tree["k"])) if i not in set(without)]
    missing = [hpc_column(i) for i in range(int(tree["k"])) if hpc_column(i) not in shares]
    if missing or not 1 <= k <= len(leaves):
        problem = f"no column {missing[0]}" if missing else f"{len(leaves)} leaves for a cut at {k}"
        message = f"profiles: {problem}. Run `pathosig profiles` again."
        raise InputError(message)
    groups = {i: [i] for i in leaves}  # keyed by the first leaf of the group
    for _, merged in _from_linkage(tree["linkage"], int(tree["k"])):
        if len(groups) <= k:
            break
        inside = [first for first, group in groups.items() if group[0] in merged]
        if len(inside) == 2:
            groups[min(inside)] = sorted(groups.pop(inside[0]) + groups.pop(inside[1]))
    closed = close_without(shares[[hpc_column(i) for i in range(int(tree["k"]))]], without)[0]
    return np.stack([closed[:, groups[first]].sum(1) for first in sorted(groups)], axis=1)


def close_without(
    leaf_shares: ArrayLike, without: Collection[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares after setting some leaves to 0 and scaling the others to add up to 1, and the removed shares.

    Parameters
    ----------
    leaf_shares
        float[n, k].
    without
        Leaves to remove.

    Returns
    -------
    (float[n, k], float[n])
        The new shares, all 0 in rows that have nothing else; and the sum of the removed shares of each row.

    Examples
    --------
    >>> [values.tolist() for values in close_without([[0.5, 0.25, 0.25]], [0])]
    [[[0.0, 0.5, 0.5]], [0.5]]
    """
    matrix = np.atleast_2d(np.asarray(leaf_shares, float)).copy()
    gone = sorted(set(without))
    taken = matrix[:, gone].sum(1) if gone else np.zeros(len(matrix))
    matrix[:, gone] = 0.0
    total = matrix.sum(1, keepdims=True)
    return np.divide(matrix, total, out=np.zeros_like(matrix), where=total > 0), taken


def tile_weights(terms: Iterable[tuple[Sequence[int], float]], k: int) -> NDArray[np.float64]:
    """What a tile of each HPC adds to the score: float[k]; 0 for HPCs outside the signature.

    On the scale of proportions the score is a constant plus the mean of these weights over the tiles, since
    score = sum_j b_j (x_j - c_j) with x_j = proportion of tiles in feature j.

    On log-ratio scales the weights show direction and relative size only; `signature.contributions.risk_of_tiles` is exact for one slide.

    Parameters
    ----------
    terms, k
        HPCs inside each feature with its coefficient, and the number of HPCs.

    Examples
    --------
    >>> tile_weights([((0, 1), 2.0), ((1,), -0.5)], 3).tolist()
    [2.0, 1.5, 0.0]
    """
    weights = np.zeros(k)
    for leaves, coefficient in terms:
        weights[list(leaves)] += coefficient
    return weights
