"""Is anything lost by going through phenotypes? The signature and its comparators on two planted truths.

``proportions``: hazards follow the proportions of two tissue types. ``inside``: hazards follow a shift of the tiles of one type,
smaller than its spread, so that proportions hardly change. C-indices are means over the validation cohorts and seeds;
``difference`` is signature minus comparator, ``wins`` counts cohorts whose whole interval lies above 0, ``losses`` below.

    python benchmarks/comparators.py --seeds 2
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from pathosig.comparators import CompareSpec, compare
from pathosig.core.errors import PathosigError
from pathosig.core.records import write_npy
from pathosig.core.study import Study
from pathosig.phenotypes import PhenotypeSpec, find_phenotypes
from pathosig.profiles import build_profiles
from pathosig.signature import SignatureSpec, build_signature
from pathosig.synthetic import SimulateSpec, simulate
from pathosig.validation import ValidateSpec, read_results, validate_signature

_SHIFT, _EFFECT = 0.6, 0.9
"""Shift in SD of the tiles per SD of the patient's hidden value; log hazard ratio per SD of it."""


def moved_inside(study: Study, seed: int) -> None:
    """Shift the tiles of one type by a hidden value of each patient, and let that value drive survival."""
    rng = np.random.default_rng([seed, 3])
    patients = study.patients().drop(columns=["cohort"], errors="ignore")
    table = pd.read_csv(study.paths.patients, dtype={"patient_id": str})
    hidden = dict(zip(patients["patient_id"], rng.normal(size=len(patients)), strict=True))
    paths = {s.id: study.paths.embeddings(s.id) for s in study.specimens()}
    some = np.concatenate([np.load(p)[:20].astype(float) for p in list(paths.values())[:100]])
    types = KMeans(4, n_init=3, random_state=0).fit(some)
    direction = rng.normal(size=some.shape[1])
    direction /= np.linalg.norm(direction)
    for specimen in study.specimens():
        tiles = np.load(paths[specimen.id]).astype(np.float32)
        inside = types.predict(tiles.astype(float)) == 0
        tiles[inside] += _SHIFT * hidden[specimen.patient_id] * direction.astype(np.float32)
        write_npy(paths[specimen.id], tiles.astype(np.float16))
    value = table["patient_id"].map(hidden).to_numpy(float)
    death = rng.exponential(36 * np.exp(-_EFFECT * value))
    censored = rng.uniform(12, 96, len(value))
    table["os_time"], table["os_event"] = (
        np.minimum(death, censored).round(2) + 0.01,
        (death <= censored).astype(int),
    )
    table.to_csv(study.paths.patients, index=False)


def one_study(
    root: Path, truth: str, seed: int
) -> list[tuple[str, float, float, float, float | None, float | None]]:
    """(comparator, C of the signature, C of the comparator, difference, lower, upper) of every validation cohort."""
    effect = 0.8 if truth == "proportions" else 0.0
    spec = SimulateSpec(
        level="embeddings", n_discovery=200, n_validation=120, tiles_per_patient=80, types=4, subtypes=3, dim=32, harm=effect,
        protect=-effect, treatment_benefit=0.0, second_slide=0.0, seed=seed,
    )  # fmt: skip
    simulate(root, spec)
    study = Study.open(root)
    if truth == "inside":
        moved_inside(study, seed)
        study = Study.open(root)
    find_phenotypes(study, PhenotypeSpec(k=20))
    build_profiles(study)
    try:
        build_signature(study, SignatureSpec(bootstraps=0))
    except PathosigError:
        build_signature(
            study, SignatureSpec(bootstraps=0, selection="ridge")
        )  # nothing selected: what ridge can do
    compare(Study.open(root), CompareSpec(tiles=80))
    validate_signature(
        study, ValidateSpec(bootstraps=200, imputations=0, forest=False, permutations=0, instability=0)
    )
    return [
        (
            c.name,
            r.signature,
            r.comparator,
            r.difference.estimate or 0.0,
            r.difference.lower,
            r.difference.upper,
        )
        for c in read_results(study.paths.results).comparisons
        for r in c.cohorts
    ]


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    start = time.process_time()
    out: dict[str, object] = {}
    for truth in ("proportions", "inside"):
        rows = defaultdict(list)
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                for name, *values in one_study(Path(folder) / "study", truth, seed):
                    rows[name].append(values)
        out[truth] = {
            name: {
                "signature_c": round(float(np.mean([v[0] for v in values])), 3),
                "comparator_c": round(float(np.mean([v[1] for v in values])), 3),
                "difference": round(float(np.mean([v[2] for v in values])), 3),
                "wins": sum(v[3] is not None and v[3] > 0 for v in values),
                "losses": sum(v[4] is not None and v[4] < 0 for v in values),
                "cohorts": len(values),
            }
            for name, values in rows.items()
        }
    out["cpu_s"] = round(time.process_time() - start, 1)
    sys.stdout.write(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
