"""Quality of embeddings on held-out groups of labelled tiles, and differences to a base with limits.

Not a program: `own_encoder.py` uses it. A third of the groups is held out, the others fit, another third for each
split. Limits come from drawing groups and splits again (both with replacement), the fits kept: they hold for other
tiles of this kind, and for no other organ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from sklearn.cluster import KMeans
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from pathosig.phenotypes import PhenotypeSpec, TrainingTiles, cut_tree, fit_codebook, ward_tree
from pathosig.phenotypes.consensus import assign
from pathosig.phenotypes.tree import group_centroids

NEIGHBOURS = (5, 10, 20)
FITS = 3
JUDGED = ("knn", "ari_direct", "ari_cut")
Found = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Split:
    """Rows that fit and rows that are held out."""

    fit: np.ndarray
    held: np.ndarray


def splits(groups: np.ndarray, names: np.ndarray, count: int) -> list[Split]:
    """A third of the named groups is held out, the others fit; another third for each split."""
    out = []
    for seed in range(count):
        order = np.random.default_rng(seed).permutation(names)
        cut = len(names) // 3
        out.append(
            Split(np.flatnonzero(np.isin(groups, order[cut:])), np.flatnonzero(np.isin(groups, order[:cut])))
        )
    return out


def neighbours(fit: np.ndarray, fit_y: np.ndarray, held: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of the votes (5, 10, 20 nearest by cosine; ties share) that is right, for each held-out tile."""
    near = np.argsort(-normalize(held) @ normalize(fit).T, axis=1, kind="stable")[:, : max(NEIGHBOURS)]
    votes = np.eye(fit_y.max() + 1)[fit_y[near]].cumsum(axis=1)
    right = np.zeros(len(held))
    for k in NEIGHBOURS:
        best = votes[:, k - 1] == votes[:, k - 1].max(axis=1, keepdims=True)
        right += best[np.arange(len(held)), truth] / best.sum(axis=1)
    return right / len(NEIGHBOURS)


def found_on(split: Split, x: np.ndarray, other: np.ndarray, y: np.ndarray, *, k: int = 50) -> Found:
    """What one embedding makes of the held-out tiles of one split: shares right, and cluster numbers of FITS fits."""
    fit, held, types = normalize(x[split.fit]), normalize(x[split.held]), int(y.max()) + 1
    probe = make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(2, 5, 4))).fit(fit, y[split.fit])
    mean = fit.mean(axis=0)
    axes = np.linalg.svd(fit - mean, full_matrices=False)[2][:64].T
    low, low_held = normalize((fit - mean) @ axes), normalize((held - mean) @ axes)
    direct, fine, cut = [], [], []
    for seed in range(FITS):
        direct.append(KMeans(types, n_init=3, random_state=seed).fit(low).predict(low_held))
        model = KMeans(k, n_init=3, random_state=seed).fit(low)
        fine.append(model.predict(low_held))
        sizes = np.bincount(model.labels_, minlength=k)
        cut.append(cut_tree(ward_tree(model.cluster_centers_, np.sqrt(sizes)), types)[fine[-1]])
    return {
        "knn": neighbours(fit, y[split.fit], held, y[split.held]),
        "knn_jittered": neighbours(fit, y[split.fit], other[split.held], y[split.held]),
        "probe": (probe.predict(held) == y[split.held]).astype(float),
        "direct": np.stack(direct),
        "fine": np.stack(fine),
        "cut": np.stack(cut),
    }


def consensus(parts: list[Split], x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> list[float]:
    """ARI of the default codebook (K = 50) cut to the classes, on each split."""
    types, out = int(y.max()) + 1, []
    for seed, split in enumerate(parts):
        slide = np.unique(groups[split.fit], return_inverse=True)[1]
        fit = normalize(x[split.fit])
        tiles = TrainingTiles(embeddings=fit, slide=slide, patient=slide, site=np.zeros(len(fit), int))
        codebook, _ = fit_codebook(tiles, PhenotypeSpec.from_mapping({"k": 50, "seed": seed}))
        here, held = codebook.project(fit), codebook.project(normalize(x[split.held]))
        groups_of = cut_tree(codebook.linkage, types)
        cut = assign(held, group_centroids(here, assign(here, codebook.centroids), groups_of))
        out.append(agreement(y[split.held], cut, np.ones(len(cut)))[0])
    return out


def over_splits(gaps: np.ndarray) -> list[float]:
    """Mean of paired differences with its 95 % t limits over splits (which share tiles: the limits are narrow)."""
    half = float(stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / len(gaps) ** 0.5)
    return [round(float(gaps.mean()) + d, 4) for d in (0.0, -half, half)]


def agreement(truth: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """(ARI, NMI) of labels where each tile counts `weight` times (whole numbers)."""
    shape = int(truth.max()) + 1, int(labels.max()) + 1
    table = np.bincount(truth * shape[1] + labels, weight, shape[0] * shape[1]).reshape(shape)
    rows, columns, n = table.sum(1), table.sum(0), table.sum()
    pairs, a, b = (float((v * (v - 1)).sum() / 2) for v in (table, rows, columns))
    expected = a * b / (n * (n - 1) / 2)
    ari = (pairs - expected) / ((a + b) / 2 - expected)
    h_rows, h_columns, h_both = (
        -float((p[p > 0] / n * np.log(p[p > 0] / n)).sum()) for p in (rows, columns, table)
    )
    return ari, 2 * (h_rows + h_columns - h_both) / (h_rows + h_columns)


def scores(found: Found, truth: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """The measures of one split."""
    out = {m: float(np.average(found[m], weights=weight)) for m in ("knn", "knn_jittered", "probe")}
    for kind in ("direct", "cut", "fine"):
        fits = [agreement(truth, labels, weight) for labels in found[kind]]
        out[f"ari_{kind}"], out[f"nmi_{kind}"] = (float(v) for v in np.mean(fits, axis=0))
    del out["ari_fine"]
    return out


def measured(
    candidates: dict[str, tuple[np.ndarray, np.ndarray]], y: np.ndarray, groups: np.ndarray,
    *, names: np.ndarray, count: int, draws: int = 300,
) -> dict[str, Any]:  # fmt: skip
    """Means over splits for every candidate and, but for the first, differences to it with 95 % limits."""
    parts = splits(groups, names, count)
    found = {c: [found_on(s, x, other, y) for s in parts] for c, (x, other) in candidates.items()}

    def table(order: np.ndarray, times: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        rows = {
            c: [scores(f[i], y[parts[i].held], times[parts[i].held]) for i in order] for c, f in found.items()
        }
        return {c: {m: np.array([r[m] for r in row]) for m in row[0]} for c, row in rows.items()}

    plain = table(np.arange(count), np.ones(len(y)))
    index = np.searchsorted(names, groups).clip(max=len(names) - 1)
    rng, again = np.random.default_rng(0), []
    for _ in range(draws):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[index]
        rows = table(rng.integers(count, size=count), times)
        again.append({c: {m: v.mean() for m, v in row.items()} for c, row in rows.items()})
    base = next(iter(candidates))
    out: dict[str, Any] = {}
    for c, row in plain.items():
        out[c] = {m: round(float(v.mean()), 4) for m, v in row.items()}
        for m in row if c != base else ():
            gap = [b[c][m] - b[base][m] for b in again]
            limits = np.quantile(gap, (0.025, 0.975))
            out[c][f"{m}_minus_base"] = [
                round(float(v), 4) for v in ((row[m] - plain[base][m]).mean(), *limits)
            ]
    return out


def chosen(choice: dict[str, Any]) -> str:
    """The candidate whose least sure gain is surest: gain over half the width of its limits, least of the judged."""

    def sureness(row: dict[str, Any]) -> float:
        limits = [row[f"{m}_minus_base"] for m in JUDGED]
        return min(2 * gain / max(high - low, 1e-9) for gain, low, high in limits)

    return max((c for c in choice if "knn_minus_base" in choice[c]), key=lambda c: sureness(choice[c]))
