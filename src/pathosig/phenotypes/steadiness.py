"""Stability of phenotypes over seeds, bootstrapped patients, disjoint halves of the patients, and K; without outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from pathosig.phenotypes.clusterers import find_centroids
from pathosig.phenotypes.consensus import assign, consensus_centroids
from pathosig.phenotypes.kmeans import spherical_kmeans
from pathosig.phenotypes.spec import BUILT_IN, PhenotypeSpec
from pathosig.phenotypes.tree import cut_tree, group_centroids, grow_tree, tree_nodes

_REPEATS = 2
_LEAST_PATIENTS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Stability:
    """Agreement of refits with the codebook.

    Attributes
    ----------
    seed_ari, bootstrap_ari
        Mean adjusted Rand index of the codebook with refits that use other seeds, and with refits on bootstrapped
        patients.
    jaccard
        Jaccard index of each HPC with the cluster matched to it, averaged over bootstraps.
    """

    seed_ari: float
    bootstrap_ari: float
    jaccard: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Halves:
    """Agreement of codebooks fitted on disjoint halves of the patients, as in two independent studies.

    Attributes
    ----------
    ari
        Adjusted Rand index between the HPCs of both halves over all tiles, averaged over splits.
    coarse_ari
        The same for coarse groups, which are cut from the tree of each half.
    steadiness
        For ``hpc_00`` ..., ``node_00`` ... and ``coarse_0`` ...: the group of tiles that matches it best is sought in each
        half; the value is the Jaccard index of these two groups, averaged over splits.
    """

    ari: float
    coarse_ari: float
    steadiness: Mapping[str, float]


def stability(
    x: np.ndarray,
    patient: np.ndarray,
    spec: PhenotypeSpec,
    reference: np.ndarray,
    *,
    asked: int | None = None,
) -> Stability:
    """Agreement of refits with other seeds and on bootstrapped patients.

    Parameters
    ----------
    x
        float32[n, p]: unit vectors (projected training tiles); a few thousand are enough.
    patient
        int[n]: patient of each tile.
    spec
        How clusters are formed.
    reference
        int[n]: HPCs of the codebook.
    asked
        Number of clusters that every refit starts from; small ones are merged as in the fit. By default the number of
        clusters in `reference`.

    Returns
    -------
    Stability

    References
    ----------
    Hubert & Arabie (1985), J. Classif. 2 (adjusted Rand index).

    Examples
    --------
    >>> angle = np.tile([0.0, 1.5], 60) + np.random.default_rng(0).normal(0, 0.05, 120)
    >>> x = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    >>> result = stability(x, np.arange(120) // 10, PhenotypeSpec(k=2, method="kmeans"), np.arange(120) % 2)
    >>> round(result.seed_ari, 2), round(result.bootstrap_ari, 2)
    (1.0, 1.0)
    """
    k = int(reference.max()) + 1
    asked = asked or k
    seeds, boots = [], []
    jaccard = np.zeros(k)
    for repeat in range(_REPEATS):
        rng = np.random.default_rng([spec.seed, 77, repeat])
        labels = assign(x, _refit(x, asked, rng, spec))
        seeds.append(adjusted_rand_score(reference, labels))
        chosen = rng.choice(np.unique(patient), size=len(np.unique(patient)))
        rows = np.concatenate([np.flatnonzero(patient == p) for p in chosen])
        labels = assign(x, _refit(x[rows], asked, rng, spec))
        boots.append(adjusted_rand_score(reference, labels))
        jaccard += _matched_jaccard(reference, labels, k) / _REPEATS
    return Stability(
        seed_ari=float(np.mean(seeds)), bootstrap_ari=float(np.mean(boots)), jaccard=tuple(jaccard.tolist())
    )


def disjoint_halves(
    x: np.ndarray,
    patient: np.ndarray,
    spec: PhenotypeSpec,
    reference: np.ndarray,
    *,
    linkage: np.ndarray,
    coarse: np.ndarray | None,
    asked: int,
) -> Halves | None:
    """Agreement of codebooks fitted on disjoint halves of the patients.

    Parameters
    ----------
    x
        float32[n, p]: unit vectors; a few thousand are enough.
    patient
        int[n]: patient of each tile.
    spec
        How clusters are formed.
    reference
        int[n]: HPCs of the codebook.
    linkage
        float64[k - 1, 4]: the tree of the codebook.
    coarse
        int[n]: coarse group of each tile, or None.
    asked
        Number of clusters that every refit starts from.

    Returns
    -------
    Halves or None
        None with fewer than six patients.

    Examples
    --------
    >>> angle = np.tile([0.0, 0.7, 1.5], 40) + np.random.default_rng(0).normal(0, 0.05, 120)
    >>> x = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    >>> spec, tree = PhenotypeSpec(k=3, method="kmeans"), np.array([[0, 1, 0.5, 2], [2, 3, 1.0, 3]])
    >>> halves = disjoint_halves(x, np.arange(120) // 10, spec, np.arange(120) % 3, linkage=tree, coarse=None, asked=3)
    >>> round(halves.ari, 2)
    1.0
    """
    names = np.unique(patient)
    if len(names) < _LEAST_PATIENTS:
        return None
    ids, members = _members(reference, linkage)
    if coarse is not None:
        groups = int(coarse.max()) + 1
        ids += [f"coarse_{g}" for g in range(groups)]
        members = np.hstack([members, coarse[:, None] == np.arange(groups)])
    aris, coarse_aris, steadiness = [], [], np.zeros(len(ids))
    for repeat in range(_REPEATS):
        rng = np.random.default_rng([spec.seed, 78, repeat])
        first = np.isin(patient, rng.permutation(names)[: len(names) // 2])
        labels, nodes, cuts = [], [], []
        for rows in (first, ~first):
            centroids = _refit(x[rows], asked, rng, spec)
            here = assign(x[rows], centroids)
            tree = grow_tree(centroids, np.bincount(here, minlength=len(centroids)))
            labels.append(assign(x, centroids))
            nodes.append(_members(labels[-1], tree)[1])
            if coarse is not None:
                cut = group_centroids(x[rows], here, cut_tree(tree, groups))
                cuts.append(assign(x, cut))
        aris.append(adjusted_rand_score(*labels))
        if cuts:
            coarse_aris.append(adjusted_rand_score(*cuts))
        best = [one[:, _jaccard(members, one).argmax(axis=1)] for one in nodes]
        both = (best[0] & best[1]).sum(axis=0) / np.maximum((best[0] | best[1]).sum(axis=0), 1)
        steadiness += both / _REPEATS
    return Halves(
        ari=float(np.mean(aris)),
        coarse_ari=float(np.mean(coarse_aris)) if coarse_aris else float("nan"),
        steadiness=dict(zip(ids, steadiness.tolist(), strict=True)),
    )


def _members(labels: np.ndarray, linkage: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Names of leaves and inner nodes, and whether a tile belongs to each, bool[n, nodes]."""
    k = len(linkage) + 1
    leaves = labels[:, None] == np.arange(k)
    nodes = tree_nodes(linkage)
    inner = [leaves[:, list(node["leaves"])].any(axis=1) for node in nodes]
    names = [f"hpc_{hpc:02d}" for hpc in range(k)] + [str(node["id"]) for node in nodes]
    return names, np.column_stack([leaves, *inner])


def _jaccard(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Jaccard indices of the columns of two boolean matrices, float[a, b]."""
    common = first.T.astype(np.float32) @ second.astype(np.float32)
    either = first.sum(axis=0)[:, None] + second.sum(axis=0) - common
    return np.asarray(common / np.maximum(either, 1))


def _refit(x: np.ndarray, k: int, rng: np.random.Generator, spec: PhenotypeSpec) -> np.ndarray:
    if spec.method == "kmeans":
        return spherical_kmeans(x, k, rng, max_iter=spec.max_iter)[0]
    if spec.method not in BUILT_IN:
        return find_centroids(x, k, rng, spec)[0]
    runs, landmarks = min(spec.runs, 10), min(spec.landmarks, 2000)
    return consensus_centroids(
        x, k, rng, runs=runs, landmarks=landmarks, max_iter=min(spec.max_iter, 15), min_share=spec.min_share
    )[0]


def _matched_jaccard(reference: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Jaccard index of each reference cluster with the one matched to it (Hungarian), float[k]."""
    other = int(labels.max()) + 1
    table = np.bincount(reference * other + labels, minlength=k * other).reshape(k, other).astype(float)
    union = table.sum(axis=1)[:, None] + table.sum(axis=0)[None] - table
    overlap = table / np.maximum(union, 1)
    rows, columns = linear_sum_assignment(-overlap)
    out = np.zeros(k)
    out[rows] = overlap[rows, columns]
    return out


def stability_curve(
    x: np.ndarray, patient: np.ndarray, ks: Sequence[int], spec: PhenotypeSpec
) -> list[dict[str, float]]:
    """Stability over seeds and bootstrapped patients, and prediction strength, for several K; survival is not used.

    Parameters
    ----------
    x
        float32[n, p]: training tiles in the codebook's space (`Codebook.project`).
    patient
        int[n]: patient of each tile.
    ks
        Numbers of HPCs to try.
    spec
        How clusters are formed; `k` is replaced by each of `ks`.

    Returns
    -------
    list of dict
        With k, seed_ari, bootstrap_ari and prediction_strength.

    References
    ----------
    Tibshirani & Walther (2005), J. Comput. Graph. Stat. 14 (prediction strength).

    Examples
    --------
    >>> angle = np.tile([0.0, 1.5], 60) + np.random.default_rng(0).normal(0, 0.05, 120)
    >>> x = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    >>> curve = stability_curve(x, np.arange(120) // 10, [2, 5], PhenotypeSpec(method="kmeans"))
    >>> [(row["k"], round(row["bootstrap_ari"], 1)) for row in curve]
    [(2.0, 1.0), (5.0, 0.7)]
    """
    out = []
    for k in ks:
        rng = np.random.default_rng([spec.seed, k])
        reference = assign(x, _refit(x, k, rng, spec))
        firm = stability(x, patient, spec, reference)
        half = np.isin(patient, rng.permutation(np.unique(patient))[: len(np.unique(patient)) // 2])
        strength = float("nan")
        if half.any() and not half.all():
            there, here = _refit(x[~half], k, rng, spec), _refit(x[half], k, rng, spec)
            strength = _prediction_strength(assign(x[half], there), assign(x[half], here))
        row = {"k": float(k), "prediction_strength": strength}
        out.append({**row, "seed_ari": firm.seed_ari, "bootstrap_ari": firm.bootstrap_ari})
    return out


def _prediction_strength(predicted: np.ndarray, own: np.ndarray) -> float:
    """The smallest proportion, over the clusters in `own`, of pairs of tiles that share a cluster in `predicted`."""
    worst = 1.0
    for cluster in np.unique(own):
        together = predicted[own == cluster]
        n = len(together)
        if n > 1:
            counts = np.bincount(together)
            worst = min(worst, float((counts * (counts - 1)).sum() / (n * (n - 1))))
    return worst
