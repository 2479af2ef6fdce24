"""How much of the truth the signature finds, on simulated compositions. Prints one JSON object as its last line.

    python benchmarks/signature.py [--seeds 20] [--selections completed,ridge] [--scenarios default,rare]

Tissue types are planted with an effect on the hazard, each type is split into several HPCs whose centroids give a
Ward tree; some tiles are confused. Oracle = Cox on the true shares of the planted types, fitted on discovery.
"""

from __future__ import annotations

import argparse
import json
import sys
import time as clock
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import ward

from pathosig.core.errors import PathosigWarning
from pathosig.signature import SignatureSpec, TrainingSet, fit_details
from pathosig.survival import cox, harrell_c, logrank


@dataclass(frozen=True)
class Scenario:
    """Settings of the simulator."""

    types: int = 8
    planted: tuple[tuple[int, float], ...] = ((0, 1.0), (1, -1.0), (2, 1.0))
    k: int = 50
    n: int = 200
    n_validation: int = 200
    tiles: tuple[int, int] = (300, 600)
    confusion: float = 0.1
    spread: float = 0.45
    strength: float = 0.5
    log_ratio: bool = False


SCENARIOS = {
    "default": Scenario(),
    "two_types": Scenario(types=6, planted=((0, 1.2), (1, -1.2))),
    "two_of_8": Scenario(types=8, planted=((0, 1.2), (1, -1.2))),
    "two_of_10": Scenario(types=10, planted=((0, 1.2), (1, -1.2))),
    "three_of_6": Scenario(types=6, planted=((0, 1.0), (1, -1.0), (2, 1.0))),
    "three_classes": Scenario(types=3, planted=((0, 1.0), (1, -1.0))),
    "ten_types": Scenario(types=10),
    "log_ratio": Scenario(log_ratio=True),
    "rare": Scenario(types=20, planted=tuple((i, 0.7 if i % 2 else -0.7) for i in range(8))),
    "null": Scenario(planted=((0, 0.0), (1, 0.0), (2, 0.0))),
}


def simulate(seed: int, s: Scenario) -> dict:
    """One cohort: profiles, outcome, tree, owners of the HPCs, true shares."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(s.types, 32))
    owner = np.sort(np.arange(s.k) % s.types)
    tree = ward(centres[owner] + s.spread * rng.normal(size=(s.k, 32)))
    total = s.n + s.n_validation
    true = rng.dirichlet(2.0 * s.types * rng.dirichlet(np.full(s.types, 8.0)), size=total)
    effects = np.zeros(s.types)
    for kind, effect in s.planted:
        effects[kind] = effect
    signal = np.log(true + 0.002) if s.log_ratio else true
    lp = s.strength * ((signal - signal.mean(0)) / signal.std(0)) @ effects
    counts = np.zeros((total, s.k))
    for i in range(total):
        shares = np.zeros(s.k)
        for kind in range(s.types):
            leaves = np.flatnonzero(owner == kind)
            shares[leaves] = true[i, kind] * rng.dirichlet(np.full(len(leaves), 1.5))
        shares = (1 - s.confusion) * shares + s.confusion / s.k
        counts[i] = rng.multinomial(rng.integers(*s.tiles), shares / shares.sum())
    death = rng.exponential(30.0, total) * np.exp(-lp)
    censoring = rng.uniform(10, 90, total)
    names = [f"hpc_{j:02d}" for j in range(s.k)]
    profiles = pd.DataFrame(counts / counts.sum(1, keepdims=True), columns=names)
    profiles.insert(0, "patient_id", [f"P{i:04d}" for i in range(total)])
    profiles["n_tiles"] = counts.sum(1).astype(int)
    outcome = pd.DataFrame(
        {
            "patient_id": profiles["patient_id"],
            "time": np.minimum(death, censoring),
            "event": death <= censoring,
        }
    )
    return {
        "profiles": profiles,
        "outcome": outcome,
        "tree": {"k": s.k, "linkage": tree.tolist()},
        "owner": owner,
        "true": true[:, [kind for kind, _ in s.planted]],
        "planted": [kind for kind, _ in s.planted],
    }


def one_run(seed: int, s: Scenario, selection: str) -> dict:
    """Oracle, signature and what was selected, in one simulated cohort."""
    data = simulate(seed, s)
    n = s.n
    outcome = data["outcome"]
    time, event = outcome["time"].to_numpy(), outcome["event"].to_numpy()
    late = slice(n, None)
    truth = data["true"]
    truth = (truth - truth[:n].mean(0)) / truth[:n].std(0)
    oracle = truth @ cox(truth[:n], time[:n], event[:n]).coef
    spec = SignatureSpec(selection=selection, scale="logratio" if selection == "logcontrast" else "share")
    begin = clock.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        fit = fit_details(TrainingSet.of(data["profiles"][:n], outcome[:n], tree=data["tree"]), spec)
    seconds = clock.process_time() - begin
    out = {
        "events": int(event[:n].sum()),
        "oracle": harrell_c(oracle[late], time[late], event[late]).c,
        "oracle_p": logrank(time[late], event[late], oracle[late] > np.median(oracle[:n])).p,
        "ridge": harrell_c(fit.benchmark.score(data["profiles"][n:]), time[late], event[late]).c,
        "seconds": seconds,
        "c": 0.5,
        "p": 1.0,
        "selected": 0,
        "terms": 0,
        "planted_selected": 0,
        "hits": [False] * len(data["planted"]),
        "names": [],
    }
    if fit.signature is None:
        return out
    score = fit.signature.score(data["profiles"][n:])
    # `completed` adds coarse groups of the tree, which claim no type: its claim is the nodes that half-samples select.
    claimed = fit.signature.trained_on.details.get("stable", fit.signature.hpcs)
    parts = [fit.signature.transform.leaves[name] for name in claimed if name in fit.signature.hpcs]
    owners = [data["owner"][list(part)] for part in parts]
    planted = [np.isin(o, data["planted"]).mean() > 0.5 for o in owners]
    high = fit.signature.group(score) == "high"
    out |= {
        "c": harrell_c(score, time[late], event[late]).c,
        "p": logrank(time[late], event[late], high).p if 0 < high.sum() < len(high) else 1.0,
        "selected": len(parts),
        "terms": len(fit.signature.hpcs),
        "planted_selected": int(sum(planted)),
        "hits": [any((o == kind).mean() >= 0.5 for o in owners) for kind in data["planted"]],
        "names": list(fit.signature.hpcs),
    }
    return out


def summary(runs: list[dict]) -> dict:
    """The acceptance numbers of one scenario and selection."""
    oracle, c = np.median([r["oracle"] for r in runs]), np.median([r["c"] for r in runs])
    selected = sum(r["selected"] for r in runs)
    power = np.mean([r["oracle_p"] < 0.05 for r in runs])
    return {
        "seeds": len(runs),
        "median_events": float(np.median([r["events"] for r in runs])),
        "oracle_c": round(float(oracle), 4),
        "c": round(float(c), 4),
        "loss": round(float(oracle - c), 4),
        "mean_loss": round(float(np.mean([r["oracle"] - r["c"] for r in runs])), 4),
        "ridge_loss": round(float(oracle - np.median([r["ridge"] for r in runs])), 4),
        "type_selected": [round(float(v), 3) for v in np.mean([r["hits"] for r in runs], axis=0)],
        "planted_share": round(sum(r["planted_selected"] for r in runs) / selected, 3) if selected else None,
        "mean_selected": round(selected / len(runs), 2),
        "median_terms": float(np.median([r["terms"] for r in runs])),
        "no_signature": sum(r["terms"] == 0 for r in runs),
        "power": round(float(np.mean([r["p"] < 0.05 for r in runs])), 3),
        "oracle_power": round(float(power), 3),
        "cpu_seconds": round(float(np.median([r["seconds"] for r in runs])), 2),
    }


def main() -> None:
    """Run the scenarios asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--selections", default="completed")
    parser.add_argument("--scenarios", default="default,two_types,three_classes")
    options = parser.parse_args()
    found: dict[str, dict] = {}
    for scenario in options.scenarios.split(","):
        for selection in options.selections.split(","):
            seeds = range(options.first, options.first + options.seeds)
            runs = [one_run(seed, SCENARIOS[scenario], selection) for seed in seeds]
            found.setdefault(scenario, {})[selection] = summary(runs)
            sys.stderr.write(f"{scenario} {selection} {json.dumps(found[scenario][selection])}\n")
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
