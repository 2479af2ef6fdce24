"""Which selection suits outside feature tables: C in new patients against the truth's. Prints one JSON object as its last line.

    python benchmarks/outside_features.py [--seeds 10] [--columns 10,60,600]
    python benchmarks/outside_features.py --study DIR [--endpoints os,dss]

With --study: repeated, patient-grouped, nested cross-validation of a study made by `pathosig init` and `pathosig profiles
--features TABLE`, for every selection and endpoint.

Columns are standard normal in blocks of five (correlation .6), as features of one structure are. Truth: three columns
(`sparse`), every tenth (`dense`), or none of them alone but six hidden factors behind all (`factors`). 300 patients,
half of them censored; C of the frozen score in 2,000 new ones.
"""

from __future__ import annotations

import argparse
import json
import sys
import time as clock
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from pathosig.core.errors import PathosigWarning
from pathosig.core.study import Study
from pathosig.profiles import read_profiles
from pathosig.signature import SignatureSpec, TrainingSet, fit_details
from pathosig.signature.reading import read_training
from pathosig.survival import harrell_c
from pathosig.validation import cross_validate

TRUTHS = ("sparse", "dense", "factors")
BLOCK = 5
N, N_NEW = 300, 2000


def simulate(seed: int, columns: int, truth: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features float[n, columns], linear predictor, time and event of discovery and new patients together."""
    rng = np.random.default_rng([seed, columns, TRUTHS.index(truth)])
    n = N + N_NEW
    blocks = rng.normal(size=(n, -(-columns // BLOCK)))
    x = np.sqrt(0.6) * np.repeat(blocks, BLOCK, axis=1)[:, :columns] + np.sqrt(0.4) * rng.normal(
        size=(n, columns)
    )
    if truth == "factors":
        factors = rng.normal(size=(n, 6))
        x = (x + factors @ rng.normal(size=(6, columns)) / np.sqrt(6)) / np.sqrt(2)
        eta = factors[:, :3].sum(1)
    else:
        count = 3 if truth == "sparse" else max(3, columns // 10)
        eta = x[:, rng.choice(columns, count, replace=False)] @ rng.choice([-1.0, 1.0], count)
    eta *= 0.8 / eta.std()
    time = rng.exponential(np.exp(-eta))
    censored = rng.exponential(1.0, n)
    return x, eta, np.minimum(time, censored), time <= censored


def one(seed: int, columns: int, truth: str, selections: list[str]) -> dict[str, float]:
    """C of the truth and of every selection's score in new patients."""
    x, eta, time, event = simulate(seed, columns, truth)
    names = [f"f{i}" for i in range(columns)]
    table = pd.DataFrame(x, columns=names).assign(patient_id=[f"P{i}" for i in range(len(x))])
    outcome = pd.DataFrame({"patient_id": table["patient_id"], "time": time, "event": event})
    new = slice(N, None)
    out = {"oracle": float(harrell_c(eta[new], time[new], event[new]).c)}
    for name in selections:
        spec = SignatureSpec(selection=name, bootstraps=0, seed=seed)
        patients = TrainingSet.of(table[:N], outcome[:N], kind="features", columns=tuple(names))
        made = fit_details(patients, spec, benchmark=False, univariate=False)
        score = None if made.signature is None else made.signature.score(table[new])
        out[name] = 0.5 if score is None else float(harrell_c(score, time[new], event[new]).c)
    return out


def of_study(
    root: Path, endpoints: list[str], selections: list[str], repeats: int
) -> dict[str, dict[str, float]]:
    """Cross-validated C of every endpoint and selection, mean over repeats."""
    study = Study.open(root)
    profiles = read_profiles(study)
    result: dict[str, dict[str, float]] = {}
    for endpoint in endpoints or list(study.endpoints()):
        result[endpoint] = {}
        for name in selections:
            spec = SignatureSpec(selection=name, bootstraps=0, endpoint=endpoint)
            start = clock.process_time()
            training = read_training(study, profiles, spec)
            found = cross_validate(training, spec=spec, repeats=repeats, folds=5, seed=1)
            result[endpoint][name] = round(found.c, 3)
            seconds = clock.process_time() - start
            sys.stderr.write(
                f"{endpoint} {name}: {found.c:.3f}, none in {found.share_empty:.0%} ({seconds:.0f} CPU-s)\n"
            )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--columns", default="10,60,600")
    parser.add_argument("--truths", default=",".join(TRUTHS))
    parser.add_argument("--selections", default="tree,ridge,auto")
    parser.add_argument("--study", type=Path)
    parser.add_argument("--endpoints", default="")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore", PathosigWarning)
    selections = options.selections.split(",")
    if options.study:
        endpoints = [name for name in options.endpoints.split(",") if name]
        found = of_study(options.study, endpoints, selections, options.repeats)
        print(json.dumps({"study": options.study.name, "repeats": options.repeats, "c": found}))
        return
    result: dict[str, dict[str, float]] = {}
    for columns in map(int, options.columns.split(",")):
        for truth in options.truths.split(","):
            start = clock.process_time()
            found = pd.DataFrame([one(seed, columns, truth, selections) for seed in range(options.seeds)])
            row = {k: round(float(v), 3) for k, v in found.mean().items()}
            for name in selections[1:]:
                gap = found[name] - found[selections[0]]
                row[f"{name}_minus_{selections[0]}"] = round(float(gap.mean()), 3)
                row[f"{name}_minus_{selections[0]}_se"] = round(float(gap.std(ddof=1) / np.sqrt(len(gap))), 3)
            result[f"{truth}_{columns}"] = row
            seconds = clock.process_time() - start
            sys.stderr.write(f"{truth} {columns}: {row} ({seconds:.0f} CPU-s)\n")
    print(json.dumps({"n": N, "seeds": options.seeds, "c": result}))


if __name__ == "__main__":
    main()
