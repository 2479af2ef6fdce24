"""Seconds of validation. Prints one JSON object as its last line.

    python benchmarks/validate_speed.py [--workers 2] [--patients 10000] [--parts internal,external]

`internal`: nested cross-validation (5 x 5 folds, default selection, ridge beside it) of 220 patients with 30 outside features. `external`: a frozen
signature in that many new patients with three covariates, two of them incomplete: everything `validate` computes, then added value with 1,000
resamples, complete cases and imputed. CPU seconds are those of this
process alone: with one worker all of the work.
"""

from __future__ import annotations

import argparse
import json
import sys
import time as clock
from collections.abc import Callable

import numpy as np
import pandas as pd

from pathosig.signature import SignatureSpec, TrainingSet, fit_signature
from pathosig.survival import uno_c
from pathosig.validation import ValidateSpec, cross_validate, validate
from pathosig.validation.added import FrozenModels, added_value
from pathosig.validation.added_imputed import added_value_imputed

COVARIATES = ("age", "stage", "sex")


def cohort(seed: int, n: int, columns: int) -> pd.DataFrame:
    """Features f00 ..., covariates and outcome; two features and all covariates but sex matter."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)) @ rng.normal(size=(6, columns)) + rng.normal(size=(n, columns))
    table = pd.DataFrame(x, columns=[f"f{j:02d}" for j in range(columns)])
    table["age"], table["stage"] = rng.normal(60, 10, n), rng.integers(1, 4, n).astype(float)
    table["sex"] = rng.choice(["F", "M"], n)
    risk = 0.5 * x[:, 0] / x[:, 0].std() - 0.4 * x[:, 1] / x[:, 1].std()
    risk = risk + 0.03 * (table["age"] - 60) + 0.3 * (table["stage"] - 2)
    death, censored = rng.exponential(30, n) * np.exp(-risk), rng.uniform(10, 80, n)
    table["time"], table["event"] = np.minimum(death, censored), death <= censored
    for name in ("age", "stage"):
        table.loc[rng.random(n) < 0.1, name] = np.nan
    return table.assign(patient_id=[f"P{i:05d}" for i in range(n)])


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Wall and CPU seconds."""
    wall, cpu = clock.perf_counter(), clock.process_time()
    work()
    return {
        "wall_s": round(clock.perf_counter() - wall, 1),
        "own_cpu_s": round(clock.process_time() - cpu, 1),
    }


def main() -> None:
    """Both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--parts", default="internal,external")
    options = parser.parse_args()
    results: dict[str, object] = {"workers": options.workers}
    old = cohort(1, 220, 30)
    features = [c for c in old if str(c).startswith("f")]
    outcome = ["patient_id", "time", "event"]
    training = TrainingSet.of(old[["patient_id", *features]], old[outcome], kind="features")
    if "internal" in options.parts:
        work = lambda: cross_validate(training, spec=SignatureSpec(), benchmark=True, workers=options.workers)  # noqa: E731
        results["internal_220_x_30"] = timed(work)
    if "external" in options.parts:
        new = cohort(2, options.patients, 30)
        signature = fit_signature(training, spec=SignatureSpec(selection="ridge", bootstraps=0))
        score = new.assign(score=signature.score(new))
        patients = new[["patient_id", *COVARIATES]].assign(cohort="new")
        time, event = new["time"].to_numpy(), new["event"].to_numpy()
        external = {
            "uno_c": timed(lambda: uno_c(score["score"], time, event)),
            "validate": timed(
                lambda: validate(
                    signature,
                    new,
                    {"os": new[outcome]},
                    patients=patients,
                    discovery="old",
                    covariates=COVARIATES,
                    spec=ValidateSpec(),
                )
            ),
        }
        fitted = old.assign(score=signature.score(old))
        models = FrozenModels.fit(fitted, COVARIATES)
        common = {"bootstraps": 1000, "workers": options.workers}
        external["added_value"] = timed(lambda: added_value(models, score, **common))
        external["added_value_imputed"] = timed(
            lambda: added_value_imputed(models, score, COVARIATES, **common)
        )
        results[f"external_{options.patients}"] = external
    sys.stdout.write(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
