"""Seconds of `fit_details` at n = 380 with 50 HPCs and two endpoints. Prints one JSON object as its last line.

`fit`: the shipped fit (selection, refit, cut-off with its bootstrap distribution, ridge benchmark). `procedure`: the
whole procedure, selection included, refitted in that many bootstrap resamples of patients, over `--workers` processes.
`permuted`: the same on as many permuted outcomes, where selection ends early.

    python benchmarks/signature_speed.py [--workers 2] [--paper 1000] [--completed 200] [--tree 0]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import sys
import time as clock
import warnings

import numpy as np

from pathosig.core.errors import PathosigWarning
from pathosig.core.pool import over_processes
from pathosig.signature import SignatureSpec, TrainingSet, fit_details
from pathosig.validation.repeats import Procedure
from signature import SCENARIOS, simulate


def _spent() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in both)


def measure(selection: str, resamples: int, workers: int) -> dict[str, float]:
    """CPU and wall seconds of the fit and of the repeated procedure, both endpoints together."""
    rng = np.random.default_rng(0)
    kinds = ("fit", "procedure", "permuted")
    out = {f"{kind}_{clock_}": 0.0 for kind in kinds for clock_ in ("cpu", "wall")}
    for endpoint in range(2):
        data = simulate(endpoint, dataclasses.replace(SCENARIOS["default"], n=380, n_validation=2))
        patients = TrainingSet.of(data["profiles"][:380], data["outcome"][:380], tree=data["tree"])
        spec = SignatureSpec(selection=selection, bootstraps=resamples)
        cpu, wall = _spent(), clock.perf_counter()
        fit_details(patients, spec)
        out["fit_cpu"] += _spent() - cpu
        out["fit_wall"] += clock.perf_counter() - wall
        procedure = Procedure(training=patients, spec=spec.replace(bootstraps=0))
        draws = [rng.integers(0, 380, 380) for _ in range(resamples)]
        orders = [rng.permutation(380) for _ in range(resamples)]
        for kind, work, these in (
            ("procedure", procedure.bootstrapped, draws),
            ("permuted", procedure.permuted, orders),
        ):
            cpu, wall = _spent(), clock.perf_counter()
            over_processes(work, these, workers=workers, label=kind)
            out[f"{kind}_cpu"] += _spent() - cpu
            out[f"{kind}_wall"] += clock.perf_counter() - wall
    return {k: round(v, 1) for k, v in out.items()} | {"resamples": resamples}


def main() -> None:
    """Each selection that is given resamples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--paper", type=int, default=1000)
    parser.add_argument("--completed", type=int, default=200)
    parser.add_argument("--tree", type=int, default=0)
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        for selection in ("paper", "completed", "tree"):
            count = getattr(options, selection)
            if count:
                found[selection] = measure(selection, count, options.workers)
                sys.stderr.write(f"{selection} {json.dumps(found[selection])}\n")
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
