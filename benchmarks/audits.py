"""Do the audits keep their promises on noise? Prints one JSON object as its last line.

    python benchmarks/audits.py [--cohorts 100] [--sizes 200,380] [--permutations 1000] [--workers 2]

`noise`: cohorts whose outcome has nothing to do with their profiles; C of nested cross-validation of the default
procedure, mean over cohorts with its standard error; the bar is .50 +- .01. `null`: the audit of that name on one such
cohort. `optimism`: CPU and wall seconds of the audit with its default depth on 200 patients.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import sys
import time as clock
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from pathosig.audits import audit_null, audit_optimism
from pathosig.audits.results import audit_json
from pathosig.signature import SignatureSpec, TrainingSet
from pathosig.validation import cross_validate
from signature import SCENARIOS, simulate

SPEC = SignatureSpec(bootstraps=0)


def _cohort(seed: int, n: int, scenario: str = "null") -> dict:
    return simulate(seed, dataclasses.replace(SCENARIOS[scenario], n=n, n_validation=2))


def _patients(data: dict, n: int) -> TrainingSet:
    return TrainingSet.of(data["profiles"][:n], data["outcome"][:n], tree=data["tree"])


def noise_c(task: tuple[int, int, int]) -> tuple[float, float]:
    """(Cross-validated C, share of folds without a signature) in one noise cohort."""
    seed, n, folds = task
    patients = _patients(_cohort(seed, n), n)
    found = cross_validate(patients, spec=SPEC, repeats=1, folds=folds, seed=seed)
    return found.c if np.isfinite(
        found.c
    ) else 0.5, found.share_empty  # no C is given where every fold is empty


def _noise(n: int, cohorts: int, folds: int, workers: int) -> dict:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=workers, mp_context=context) as pool:
        made = list(pool.map(noise_c, [(1000 + i, n, folds) for i in range(cohorts)]))
    c = np.array([one for one, _ in made])
    return {
        "cohorts": cohorts,
        "folds": folds,
        "mean_c": round(float(c.mean()), 4),
        "monte_carlo_se": round(float(c.std(ddof=1) / np.sqrt(cohorts)), 4),
        "sd_c": round(float(c.std(ddof=1)), 4),
        "share_empty": round(float(np.mean([share for _, share in made])), 3),
        "met": bool(abs(c.mean() - 0.5) <= 0.01),
    }


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=100)
    parser.add_argument("--sizes", default="200,380")
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--parts", default="optimism,noise,null")
    options = parser.parse_args()
    parts, found = options.parts.split(","), {}
    if "optimism" in parts:
        data = _cohort(7, 200, "default")
        wall, cpu = clock.perf_counter(), clock.process_time()
        made = audit_optimism(_patients(data, 200), spec=SPEC, workers=options.workers)
        seconds = {
            "wall_seconds": clock.perf_counter() - wall,
            "parent_cpu_seconds": clock.process_time() - cpu,
        }
        kept = (
            "apparent_c",
            "cross_validated_c",
            "out_of_bag_c",
            "c_632_plus",
            "harrell_corrected_c",
            "monte_carlo",
        )
        plain = audit_json(made)
        found["optimism"] = {k: plain[k] for k in kept} | {k: round(v, 1) for k, v in seconds.items()}
        sys.stderr.write(json.dumps(found["optimism"]) + "\n")
    for n in [int(v) for v in options.sizes.split(",")] if "noise" in parts else []:
        found[f"noise_{n}"] = _noise(n, options.cohorts, options.folds, options.workers)
        sys.stderr.write(json.dumps(found[f"noise_{n}"]) + "\n")
    if "null" in parts:
        data = _cohort(77, 200)
        made = audit_null(
            _patients(data, 200), spec=SPEC, permutations=options.permutations, workers=options.workers
        )
        kept = ("permutations", "any_signature", "naive_rejection", "sizes", "reported_rejection", "verdict")
        plain = audit_json(made)
        found["null"] = {k: plain[k] for k in kept}
        sys.stderr.write(json.dumps(found["null"]) + "\n")
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
