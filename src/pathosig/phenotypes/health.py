"""Is a codebook worth trusting? Occupancy, stability, dominance, artefacts; blind to outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pathosig.core.threads import one_blas_thread
from pathosig.phenotypes.clusterers import find_centroids
from pathosig.phenotypes.codebook import Codebook
from pathosig.phenotypes.consensus import assign, consensus_centroids
from pathosig.phenotypes.fit import TrainingTiles, adapted_k
from pathosig.phenotypes.kmeans import spherical_kmeans
from pathosig.phenotypes.spec import BUILT_IN, PhenotypeSpec

_STABLE, _UNSTABLE = 0.75, 0.5
_NEAR_EMPTY = 0.002
_PERMUTATIONS = 200
_STABILITY_ROWS = 4000
_OTHERWISE = ("dlcc", "leiden")  # do not start from a number of clusters
_REPEATS = 3
ARTEFACT_COLUMNS = {"pen": 0.05, "fold": 0.3, "background": 0.6, "blur": 0.8}
"""Quality columns and the median from which an HPC counts as an artefact."""


def occupancy(labels: np.ndarray, k: int) -> dict[str, Any]:
    """Perplexity exp(H) / K, empty and near-empty HPCs, share of each."""
    share = np.bincount(labels, minlength=k) / max(len(labels), 1)
    some = share[share > 0]
    entropy = float(-(some * np.log(some)).sum())
    return {
        "perplexity": float(np.exp(entropy) / k),
        "empty": int((share == 0).sum()),
        "near_empty": int(((share > 0) & (share < _NEAR_EMPTY)).sum()),
        "share": share.tolist(),
    }


def dominance(labels: np.ndarray, group: np.ndarray, k: int, rng: np.random.Generator) -> dict[str, Any]:
    """Per HPC the share of its tiles from its biggest group, and the 95th percentile under permutation.

    Slides (patients, sites) are exchanged as wholes with other slides' label mixtures only by chance;
    the null shuffles labels over tiles, so patchy patterns exceed it without being artefacts.
    """
    n_groups = int(group.max()) + 1 if len(group) else 1
    observed = _largest(labels, group, k, n_groups)
    sizes = np.bincount(labels, minlength=k)
    totals = np.bincount(group, minlength=n_groups)
    draws = np.zeros((_PERMUTATIONS, k))
    for row in range(_PERMUTATIONS):
        for hpc in np.flatnonzero(sizes):
            draws[row, hpc] = rng.multivariate_hypergeometric(totals, sizes[hpc]).max() / sizes[hpc]
    null = np.percentile(draws, 95, axis=0)
    return {"largest": observed.tolist(), "null_95": null.tolist()}


def _largest(labels: np.ndarray, group: np.ndarray, k: int, n_groups: int) -> np.ndarray:
    table = np.bincount(labels * n_groups + group, minlength=k * n_groups).reshape(k, n_groups)
    return np.asarray(table.max(axis=1) / np.maximum(table.sum(axis=1), 1))


def stability(
    x: np.ndarray,
    patient: np.ndarray,
    spec: PhenotypeSpec,
    reference: np.ndarray,
    *,
    asked: int | None = None,
) -> dict[str, Any]:
    """Agreement of refits with other seeds and on bootstrapped patients.

    Parameters
    ----------
    x
        float32[n, p]: unit vectors (projected training tiles), some thousand.
    patient
        int[n].
    spec
        How clusters are found.
    reference
        int[n]: HPCs of the codebook.
    asked
        Clusters asked of every refit, which merges small ones as the fit did; as many as `reference` has without it.

    Returns
    -------
    dict: ``seed_ari`` (mean), ``bootstrap_ari`` (mean), ``jaccard`` (per HPC, best match after
    Hungarian assignment, mean over refits)
    """
    from sklearn.metrics import adjusted_rand_score

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
        jaccard += matched_jaccard(reference, labels, k) / _REPEATS
    return {
        "seed_ari": float(np.mean(seeds)),
        "bootstrap_ari": float(np.mean(boots)),
        "jaccard": jaccard.tolist(),
    }


def _refit(x: np.ndarray, k: int, rng: np.random.Generator, spec: PhenotypeSpec) -> np.ndarray:
    if spec.method == "kmeans":
        return spherical_kmeans(x, k, rng, max_iter=spec.max_iter)[0]
    if spec.method not in BUILT_IN:
        return find_centroids(x, k, rng, spec)[0]
    runs, landmarks = min(spec.runs, 10), min(spec.landmarks, 2000)
    return consensus_centroids(
        x, k, rng, runs=runs, landmarks=landmarks, max_iter=min(spec.max_iter, 15), min_share=spec.min_share
    )[0]


def matched_jaccard(reference: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Jaccard index of each reference cluster with the one matched to it (Hungarian), float[k]."""
    from scipy.optimize import linear_sum_assignment

    other = int(labels.max()) + 1
    table = np.bincount(reference * other + labels, minlength=k * other).reshape(k, other).astype(float)
    union = table.sum(axis=1)[:, None] + table.sum(axis=0)[None] - table
    overlap = table / np.maximum(union, 1)
    rows, columns = linear_sum_assignment(-overlap)
    out = np.zeros(k)
    out[rows] = overlap[rows, columns]
    return out


def artefact_hpcs(labels: np.ndarray, quality: dict[str, np.ndarray], k: int) -> dict[int, str]:
    """HPCs whose tiles are mostly artefact by the quality columns: HPC -> reason. Blind to outcome."""
    out: dict[int, str] = {}
    for hpc in range(k):
        rows = labels == hpc
        if not rows.any():
            continue
        for column, limit in ARTEFACT_COLUMNS.items():
            values = quality.get(column)
            if values is not None and (median := float(np.median(values[rows]))) > limit:
                out[hpc] = f"median {column} {median:.2f} above {limit}"
                break
    return out


@one_blas_thread()
def assess(
    codebook: Codebook, tiles: TrainingTiles, quality: dict[str, np.ndarray], spec: PhenotypeSpec
) -> dict[str, Any]:
    """Everything for health.json: overall numbers, and per HPC a flag and its reason."""
    rng = np.random.default_rng([spec.seed, 5])
    x = codebook.project(tiles.embeddings)
    labels = (x @ codebook.centroids.T).argmax(axis=1)
    k = codebook.k
    fill = occupancy(labels, k)
    subset = np.sort(rng.choice(len(x), size=min(len(x), _STABILITY_ROWS), replace=False))
    asked = k if spec.method in _OTHERWISE else max(k, adapted_k(spec, len(subset)))
    firm = stability(x[subset], tiles.patient[subset], spec, labels[subset], asked=asked)
    jaccard = np.pad(np.asarray(firm["jaccard"]), (0, k - len(firm["jaccard"])))
    owners = {
        name: dominance(labels, getattr(tiles, name), k, rng)
        for name in ("slide", "patient", "site")
        if len(np.unique(getattr(tiles, name))) > 1
    }
    artefacts = artefact_hpcs(labels, quality, k)
    rows = []
    for hpc in range(k):
        flag, reason = _flag(hpc, fill["share"][hpc], float(jaccard[hpc]), owners, artefacts)
        row = {
            "hpc": hpc,
            "share": fill["share"][hpc],
            "jaccard": float(jaccard[hpc]),
            "flag": flag,
            "reason": reason,
        }
        for name, values in owners.items():
            row[f"largest_{name}"] = values["largest"][hpc]
            row[f"largest_{name}_null"] = values["null_95"][hpc]
        rows.append(row)
    return {
        "k": k,
        "occupancy": {key: fill[key] for key in ("perplexity", "empty", "near_empty")},
        "stability": {key: firm[key] for key in ("seed_ari", "bootstrap_ari")},
        "hpcs": rows,
        "artefact_hpcs": sorted(artefacts),
    }


def _flag(
    hpc: int, share: float, jaccard: float, owners: dict[str, Any], artefacts: dict[int, str]
) -> tuple[str, str]:
    if hpc in artefacts:
        return "artefact", artefacts[hpc]
    if share < _NEAR_EMPTY:
        return "near empty", f"{share:.2%} of training tiles"
    for name in ("patient", "slide"):
        values = owners.get(name)
        if values and values["largest"][hpc] > max(0.5, values["null_95"][hpc]):
            return "dominated", f"{values['largest'][hpc]:.0%} of its tiles are from one {name}"
    if jaccard < _UNSTABLE:
        return "unstable", f"Jaccard {jaccard:.2f} over refits, below {_UNSTABLE}"
    if jaccard < _STABLE:
        return "fair", f"Jaccard {jaccard:.2f} over refits"
    return "stable", f"Jaccard {jaccard:.2f} over refits"


def stability_curve(
    x: np.ndarray, patient: np.ndarray, ks: Sequence[int], spec: PhenotypeSpec
) -> list[dict[str, float]]:
    """Seed and bootstrap stability and prediction strength over K; never looks at survival.

    Parameters
    ----------
    x
        float32[n, p]: training tiles in the codebook's space (`Codebook.project`).
    patient
        int[n].
    ks
        Numbers of HPCs tried.

    Returns
    -------
    list of dicts with k, seed_ari, bootstrap_ari, prediction_strength

    References
    ----------
    Tibshirani & Walther (2005), J. Comput. Graph. Stat. 14 (prediction strength).
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
            strength = prediction_strength(assign(x[half], there), assign(x[half], here))
        row = {"k": float(k), "prediction_strength": strength}
        out.append({**row, "seed_ari": firm["seed_ari"], "bootstrap_ari": firm["bootstrap_ari"]})
    return out


def prediction_strength(predicted: np.ndarray, own: np.ndarray) -> float:
    """Least share of pairs of an own cluster that the other half's clusters keep together."""
    worst = 1.0
    for cluster in np.unique(own):
        part = predicted[own == cluster]
        n = len(part)
        if n > 1:
            counts = np.bincount(part)
            worst = min(worst, float((counts * (counts - 1)).sum() / (n * (n - 1))))
    return worst
