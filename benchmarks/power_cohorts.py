"""Cohorts of `power.py`: three ways to draw tissue, five ways in which it matters for survival, and none.

`logistic`: eight types, logistic-normal with correlated factors, each split into five HPCs by a Dirichlet (`logistic_14`: fourteen of three). `dirichlet_tree`: a random
tree of 30 HPCs whose nodes split by Beta variables, two kinds of patients mixed. `embeddings`: six types of Gaussian subtypes, tiles
clustered by k-means into 40 HPCs. In all, tiles are drawn from a patient's shares and the codebook's tree is Ward's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import ward

from pathosig.signature import TrainingSet

NEW = 1500
TRUTHS = ("linear", "many", "threshold", "log_ratio", "rare", "null")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tissue:
    """Patients' tissue before anybody has an outcome.

    Attributes
    ----------
    true
        float[n, types]: shares of tissue types; types 0 and 1 are those that matter.
    fine
        float[n, m]: shares of what many small effects act on.
    counts
        int[n, k]: tiles of each HPC.
    centres
        float[k, dim]: centroids of the HPCs, for the tree.
    purity
        float[k, types]: proportion of each HPC's tiles that belongs to each type.
    """

    true: np.ndarray
    fine: np.ndarray
    counts: np.ndarray
    centres: np.ndarray
    purity: np.ndarray


def _made_rare(level: np.ndarray, share: float = 0.02) -> np.ndarray:
    """Levels of logistic-normal types, the first one at that share."""
    return np.concatenate([[np.log(share * np.exp(level[1:]).sum() / (1 - share))], level[1:]])


def _drawn(rng: np.random.Generator, shares: np.ndarray) -> np.ndarray:
    """Tiles of each HPC: Dirichlet-multinomial, 60 to 800 tiles a patient."""
    tiles = rng.integers(60, 800, len(shares))
    own = np.stack([rng.dirichlet(80 * p + 1e-3) for p in shares])
    return np.stack([rng.multinomial(m, p) for m, p in zip(tiles, own, strict=True)])


def logistic(rng: np.random.Generator, n: int, *, rare: bool, types: int = 8, each: int = 5) -> Tissue:
    """Logistic-normal types of some HPCs each."""
    k = types * each
    loading = rng.normal(size=(3, types)) * 0.6
    level = rng.normal(size=types) * 0.5
    if rare:
        level = _made_rare(level)
    raw = level + rng.normal(size=(n, 3)) @ loading + 0.6 * rng.normal(size=(n, types))
    true = np.exp(raw) / np.exp(raw).sum(1, keepdims=True)
    leaves = np.concatenate(
        [true[:, [t]] * rng.dirichlet(np.full(each, 2.0), size=n) for t in range(types)], axis=1
    )
    owner = np.repeat(np.arange(types), each)
    counts = _drawn(rng, leaves)
    centres = rng.normal(size=(types, 16))[owner] + 0.6 * rng.normal(size=(k, 16))
    return Tissue(true=true, fine=leaves, counts=counts, centres=centres, purity=np.eye(types)[owner])


def dirichlet_tree(rng: np.random.Generator, n: int, *, rare: bool) -> Tissue:
    """Thirty HPCs at the ends of a random tree; its nodes split by Beta variables, by another mean in each kind of patient.

    The types are the tree's parts when it is cut at ten; centroids diffuse along its branches.
    """
    k, types = 30, 10
    parts: list[list[int]] = [list(range(k))]
    share = {tuple(parts[0]): np.ones(n)}
    place = {tuple(parts[0]): np.zeros(16)}
    kind = rng.random(n) < 0.4
    cut: list[list[int]] = []
    while any(len(p) > 1 for p in parts):
        if len(parts) == types:
            cut = [list(p) for p in parts]
        whole = max(parts, key=len)
        parts.remove(whole)
        size = int(rng.integers(1, len(whole)))
        mean = rng.uniform(0.25, 0.75, 2)
        if rare and len(parts) == 0:
            size, mean = 3, np.array([0.02, 0.02])
        concentration = rng.uniform(3, 12)
        m = np.where(kind, *mean)
        left = rng.beta(concentration * m, concentration * (1 - m))
        for half, piece in ((whole[:size], left), (whole[size:], 1 - left)):
            parts.append(half)
            share[tuple(half)] = share[tuple(whole)] * piece
            place[tuple(half)] = place[tuple(whole)] + rng.normal(size=16) * 0.8 * len(half) ** 0.25
    leaves = np.stack([share[(j,)] for j in range(k)], axis=1)
    centres = np.stack([place[(j,)] for j in range(k)]) + 0.4 * rng.normal(size=(k, 16))
    # The types that matter: with a rare one that, else two parts of middling size.
    rank = np.abs(np.array([np.log(share[tuple(p)].mean() / 0.1) for p in cut]))
    order = sorted(range(types), key=lambda i: (not (rare and cut[i][0] == 0), rank[i]))
    if rare:
        planted = [list(range(3)), *[[j for j in cut[i] if j > 2] for i in range(types)]]
        planted = [p for p in planted if p]
    else:
        planted = [cut[i] for i in order]
    true = np.stack([leaves[:, p].sum(1) for p in planted], axis=1)
    purity = np.stack([np.isin(np.arange(k), p).astype(float) for p in planted], axis=1)
    return Tissue(true=true, fine=leaves, counts=_drawn(rng, leaves), centres=centres, purity=purity)


def embeddings(rng: np.random.Generator, n: int, *, rare: bool) -> Tissue:
    """Six types of four Gaussian subtypes in 16 dimensions; 60 to 240 tiles a patient; forty HPCs by k-means on 4,000 tiles."""
    types, subtypes, dim, k = 6, 4, 16, 40
    level = rng.normal(size=types) * 0.4
    if rare:
        level = _made_rare(level)
    raw = (
        level
        + rng.normal(size=(n, 2)) @ rng.normal(size=(2, types)) * 0.5
        + 0.7 * rng.normal(size=(n, types))
    )
    true = np.exp(raw) / np.exp(raw).sum(1, keepdims=True)
    centre = rng.normal(size=(types, 1, dim)) * 0.75 + rng.normal(size=(types, subtypes, dim)) * 0.45
    fine = np.concatenate(
        [true[:, [t]] * rng.dirichlet(np.ones(subtypes), size=n) for t in range(types)], axis=1
    )
    tiles = rng.integers(60, 240, n)
    owner = np.repeat(np.arange(n), tiles)
    kind = np.concatenate([rng.choice(fine.shape[1], m, p=p) for m, p in zip(tiles, fine, strict=True)])
    shift = 0.2 * rng.normal(size=(n, dim))
    points = centre.reshape(-1, dim)[kind] + shift[owner] + 0.8 * rng.normal(size=(len(owner), dim))
    centroids = _k_means(points[rng.choice(len(points), 4000, replace=False)], k, rng)
    hpc = np.concatenate([_nearest(points[i : i + 50_000], centroids) for i in range(0, len(points), 50_000)])
    counts = np.bincount(owner * k + hpc, minlength=n * k).reshape(n, k)
    purity = np.bincount(hpc * types + kind // subtypes, minlength=k * types).reshape(k, types)
    purity = purity / np.maximum(purity.sum(1, keepdims=True), 1)
    return Tissue(true=true, fine=fine, counts=counts, centres=centroids, purity=purity)


def _nearest(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return np.argmax(points @ centroids.T - (centroids**2).sum(1) / 2, axis=1)


def _k_means(points: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    centroids = points[rng.choice(len(points), k, replace=False)]
    for _ in range(15):
        nearest = _nearest(points, centroids)
        count = np.bincount(nearest, minlength=k)
        total = np.stack([np.bincount(nearest, weights=column, minlength=k) for column in points.T], axis=1)
        centroids = np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], centroids)
    return centroids


GENERATORS: dict[str, Callable[..., Tissue]] = {
    "logistic": logistic,
    "dirichlet_tree": dirichlet_tree,
    "embeddings": embeddings,
    "logistic_14": functools.partial(logistic, types=14, each=3),
}


def simulate(
    seed: int, n: int, truth: str, generator: str = "logistic"
) -> tuple[TrainingSet, TrainingSet, np.ndarray]:
    """Discovery patients, new patients, and whether each HPC belongs to tissue that matters."""
    numbers = [seed, n, TRUTHS.index(truth)]
    if generator != "logistic":
        numbers.append(list(GENERATORS).index(generator))
    rng = np.random.default_rng(numbers)
    tissue = GENERATORS[generator](rng, n + NEW, rare=truth == "rare")
    true, k = tissue.true, tissue.counts.shape[1]

    def z(values: np.ndarray) -> np.ndarray:
        return np.asarray((values - values.mean(0)) / values.std(0))

    types = [0, 1]
    if truth == "linear":
        lp = 0.6 * z(true)[:, 0] - 0.6 * z(true)[:, 1]
    elif truth == "many":
        lp = 1.1 * z(z(tissue.fine) @ rng.normal(size=tissue.fine.shape[1]))
    elif truth == "threshold":
        lp, types = 1.5 * (true[:, 0] > np.quantile(true[:, 0], 0.65)), [0]
    elif truth == "log_ratio":
        lp = 0.85 * z(np.log(true[:, 0] + 0.002) - np.log(true[:, 1] + 0.002))
    elif truth == "rare":
        lp, types = 0.9 * z(np.sqrt(true[:, 0])), [0]
    else:
        lp, types = np.zeros(len(true)), []
    planted = np.ones(k, bool) if truth == "many" else tissue.purity[:, types].sum(1) > 0.5
    death, censored = rng.exponential(30, len(lp)) * np.exp(-lp), rng.uniform(10, 80, len(lp))
    tiles = tissue.counts.sum(1)
    profiles = pd.DataFrame(tissue.counts / tiles[:, None], columns=[f"hpc_{j:02d}" for j in range(k)])
    profiles.insert(0, "patient_id", [f"P{i:04d}" for i in range(len(lp))])
    profiles["n_tiles"] = tiles
    outcome = pd.DataFrame(
        {
            "patient_id": profiles["patient_id"],
            "time": np.minimum(death, censored),
            "event": death <= censored,
        }
    )
    everybody = TrainingSet.of(profiles, outcome, tree={"k": k, "linkage": ward(tissue.centres).tolist()})
    return everybody.take(np.arange(n)), everybody.take(np.arange(n, n + NEW)), planted
