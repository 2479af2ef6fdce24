"""C in new patients of the default selection and its competitors, over five planted truths. Prints one JSON object as its last line.

    python benchmarks/power.py [--runs 8] [--sizes 100,200] [--truths linear,many,...] [--methods plain,completed,...]

Tissue types are logistic-normal with correlated factors, each split into HPCs by a Dirichlet, tiles are Dirichlet-multinomial; a noisy
Ward tree joins the HPCs. The same cohorts serve every method. No signature counts as C = .50.
"""

from __future__ import annotations

import argparse
import json
import sys
import time as clock
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import ward

from pathosig.core.errors import PathosigWarning
from pathosig.signature import SignatureSpec, TrainingSet, fit_details
from pathosig.signature.features import candidates, design
from pathosig.signature.selection import coarse_groups
from pathosig.survival import cox, harrell_c
from pathosig.survival.path import cox_path
from pathosig.survival.ridge import fold_of, partial_loglik, ridge_fit

TYPES, EACH, NEW = 8, 5, 1500
TRUTHS = ("linear", "many", "threshold", "log_ratio", "rare", "null")


def simulate(seed: int, n: int, truth: str) -> tuple[TrainingSet, TrainingSet, np.ndarray]:
    """Discovery patients, new patients, and whether each HPC is planted."""
    rng = np.random.default_rng([seed, n, TRUTHS.index(truth)])
    total, k = n + NEW, TYPES * EACH
    loading = rng.normal(size=(3, TYPES)) * 0.6
    level = rng.normal(size=TYPES) * 0.5
    if truth == "rare":
        level[0] = np.log(0.02 * np.exp(level[1:]).sum() / 0.98)
    raw = level + rng.normal(size=(total, 3)) @ loading + 0.6 * rng.normal(size=(total, TYPES))
    true = np.exp(raw) / np.exp(raw).sum(1, keepdims=True)
    leaves = np.concatenate(
        [true[:, [t]] * rng.dirichlet(np.full(EACH, 2.0), size=total) for t in range(TYPES)], axis=1
    )
    owner = np.repeat(np.arange(TYPES), EACH)
    z = lambda v: (v - v.mean(0)) / v.std(0)  # noqa: E731
    planted = np.isin(owner, (0, 1))
    if truth == "linear":
        lp = 0.6 * z(true)[:, 0] - 0.6 * z(true)[:, 1]
    elif truth == "many":
        lp = 1.1 * z(z(leaves) @ rng.normal(size=k))
        planted = np.ones(k, bool)
    elif truth == "threshold":
        lp = 1.5 * (true[:, 0] > np.quantile(true[:, 0], 0.65))
        planted = owner == 0
    elif truth == "log_ratio":
        lp = 0.85 * z(np.log(true[:, 0] + 0.002) - np.log(true[:, 1] + 0.002))
    elif truth == "rare":
        lp = 0.9 * z(np.sqrt(true[:, 0]))
        planted = owner == 0
    else:
        lp, planted = np.zeros(total), np.zeros(k, bool)
    tiles = rng.integers(60, 800, total)
    shares = np.stack([rng.dirichlet(80 * p + 1e-3) for p in leaves])
    counts = np.stack([rng.multinomial(m, p) for m, p in zip(tiles, shares, strict=True)])
    centres = rng.normal(size=(TYPES, 16))[owner] + 0.6 * rng.normal(size=(k, 16))
    death, censored = rng.exponential(30, total) * np.exp(-lp), rng.uniform(10, 80, total)
    profiles = pd.DataFrame(counts / tiles[:, None], columns=[f"hpc_{j:02d}" for j in range(k)])
    profiles.insert(0, "patient_id", [f"P{i:04d}" for i in range(total)])
    profiles["n_tiles"] = tiles
    outcome = pd.DataFrame(
        {
            "patient_id": profiles["patient_id"],
            "time": np.minimum(death, censored),
            "event": death <= censored,
        }
    )
    everybody = TrainingSet.of(profiles, outcome, tree={"k": k, "linkage": ward(centres).tolist()})
    return everybody.take(np.arange(n)), everybody.take(np.arange(n, total)), planted


Method = Callable[[TrainingSet, TrainingSet], tuple[np.ndarray, list[tuple[int, ...]]]]


def shipped(selection: str) -> Method:
    """Score of new patients by a selection of the package, and the HPCs of its features."""

    def score(old: TrainingSet, new: TrainingSet) -> tuple[np.ndarray, list[tuple[int, ...]]]:
        spec = SignatureSpec(selection=selection, bootstraps=0)
        fit = fit_details(old, spec, benchmark=False, univariate=False)
        if fit.signature is None:
            return np.zeros(len(new)), []
        return fit.signature.score(new.profiles), [
            fit.signature.transform.leaves[h] for h in fit.signature.hpcs
        ]

    return score


def ridge_on_groups(old: TrainingSet, new: TrainingSet) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Ridge on the tree cut at eight."""
    pool = candidates(old, scale="share", min_prevalence=0.05)
    names = coarse_groups(pool)
    x, later = (design(t.profiles, names, pool.transform) for t in (old, new))
    fit = ridge_fit(x, old.time, old.event)
    return (later - fit.center) @ fit.coef, [pool.leaves[n] for n in names]


def lasso_on_nodes(old: TrainingSet, new: TrainingSet) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Lasso on all nodes, penalty by cross-validated partial likelihood."""
    pool = candidates(old, scale="share", min_prevalence=0.05)
    x, later = (design(t.profiles, pool.names, pool.transform) for t in (old, new))
    full = cox_path(x, old.time, old.event, n_lambda=20, min_ratio=0.15)
    fold = fold_of(len(old), old.event, 5, np.random.default_rng(0))
    gain = np.zeros(len(full.lambdas))
    for k in range(5):
        inside = fold != k
        part = cox_path(x[inside], old.time[inside], old.event[inside], lambdas=full.lambdas)
        for j, beta in enumerate(part.coef):
            gain[j] += partial_loglik(x @ beta, old.time, old.event)
            gain[j] -= partial_loglik(x[inside] @ beta, old.time[inside], old.event[inside])
    beta = full.coef[int(np.argmax(gain))]
    return later @ beta, [pool.leaves[n] for n, b in zip(pool.names, beta, strict=True) if b]


def union(old: TrainingSet, new: TrainingSet) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """One ridge model of the stable nodes and the coarse groups."""
    _, nodes = shipped("tree")(old, new)
    if not nodes:
        return np.zeros(len(new)), []
    pool = candidates(old, scale="share", min_prevalence=0.05)
    names = {pool.leaves[n]: n for n in pool.names}
    chosen = list(dict.fromkeys([*(names[tuple(f)] for f in nodes), *coarse_groups(pool)]))
    x, later = (design(t.profiles, chosen, pool.transform) for t in (old, new))
    fit = ridge_fit(x, old.time, old.event)
    return (later - fit.center) @ fit.coef, [pool.leaves[n] for n in chosen]


METHODS: dict[str, Method] = {
    "plain": shipped("tree"),
    "completed": shipped("completed"),
    "union": union,
    "groups": ridge_on_groups,
    "lasso_nodes": lasso_on_nodes,
    "ridge_leaves": shipped("ridge"),
}


def one_run(seed: int, n: int, truth: str, methods: list[str]) -> dict[str, dict[str, float]]:
    """C, calibration slope, features and planted features of every method on one cohort."""
    old, new, planted = simulate(seed, n, truth)
    out = {}
    for name in methods:
        begin = clock.process_time()
        score, features = METHODS[name](old, new)
        seconds = clock.process_time() - begin
        empty = float(np.ptp(score) == 0)
        right = [planted[list(f)].mean() > 0.5 for f in features]
        out[name] = {
            "c": 0.5 if empty else harrell_c(score, new.time, new.event).c,
            "slope": np.nan if empty else float(cox(score, new.time, new.event).coef[0]),
            "empty": empty,
            "features": float(len(features)),
            "planted": float(np.mean(right)) if right else np.nan,
            "seconds": seconds,
        }
    return out


def main() -> None:
    """All cells, then differences to the plain tree selection."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--sizes", default="100,200")
    parser.add_argument("--truths", default=",".join(TRUTHS))
    parser.add_argument("--methods", default=",".join(METHODS))
    options = parser.parse_args()
    methods = options.methods.split(",")
    found: dict[str, object] = {}
    everything: list[dict[str, dict[str, float]]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        for truth in options.truths.split(","):
            for n in map(int, options.sizes.split(",")):
                runs = [one_run(seed, n, truth, methods) for seed in range(options.runs)]
                cell = {
                    m: {k: round(float(np.nanmean([r[m][k] for r in runs])), 4) for k in runs[0][m] if any(np.isfinite(r[m][k]) for r in runs)}
                    for m in methods
                }  # fmt: skip
                for m in methods[1:]:
                    gap = np.array([r[m]["c"] - r[methods[0]]["c"] for r in runs])
                    cell[m]["difference"] = round(float(gap.mean()), 4)
                    cell[m]["se"] = (
                        round(float(gap.std(ddof=1) / np.sqrt(len(gap))), 4) if len(gap) > 1 else 0.0
                    )
                found[f"{truth}_{n}"] = cell
                if truth != "null":
                    everything += runs
                sys.stderr.write(f"{truth} {n} {json.dumps(cell)}\n")
    for m in methods[1:]:
        gap = np.array([r[m]["c"] - r[methods[0]]["c"] for r in everything])
        if len(gap) > 1:
            found[f"{m} minus {methods[0]}"] = [
                round(float(gap.mean()), 4),
                round(float(gap.std(ddof=1) / np.sqrt(len(gap))), 4),
            ]
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
