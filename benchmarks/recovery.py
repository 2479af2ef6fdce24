"""Is the planted truth found? Whole studies from tile features, many seeds, against the oracle.

    python benchmarks/recovery.py [--seeds 10] [--types 6] [--tiles 300] [--runs 60] [--features FEATURES.npy]

Each seed is a cohort of `pathosig simulate --level embeddings` (discovery 200, two validation cohorts of
150) taken through phenotypes, profiles and signature with shipped settings. The oracle is a Cox model on
the true shares of the two planted types, fitted on discovery. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from pathosig import Study, build_profiles, build_signature, find_phenotypes, simulate
from pathosig.core.errors import NotEstimableError
from pathosig.phenotypes import PhenotypeSpec
from pathosig.survival import harrell_c, logrank
from pathosig.synthetic import SimulateSpec
from pathosig.synthetic.truth import compare_truth, oracle_risk


def one(root: Path, spec: SimulateSpec, phenotypes: PhenotypeSpec) -> dict[str, object]:
    """One cohort, all stages, compared with its truth."""
    start = time.process_time()
    simulate(root, spec)
    study = Study.open(root)
    find_phenotypes(study, phenotypes)
    build_profiles(study)
    found: dict[str, object] = {"seed": spec.seed}
    try:
        build_signature(study)
    except NotEstimableError as error:
        found["none"] = str(error)
    comparison = compare_truth(study)
    risk = oracle_risk(study)
    events = int(risk.loc[risk["cohort"] == "discovery", "event"].sum())
    planted = {comparison.harmful, comparison.protective}
    kinds = list(comparison.selected.values())
    found |= {
        "events": events,
        "oracle_discovery": comparison.oracle_c["discovery"],
        "ari": comparison.ari_all,
        "selected": comparison.selected,
        "each_planted": planted <= set(kinds),
        "n_selected": len(kinds),
        "n_planted": sum(k in planted for k in kinds),
    }
    scores = root / "signature" / "scores.csv"
    if scores.is_file():
        table = pd.read_csv(scores, dtype={"patient_id": str}, float_precision="round_trip")
        risk = risk.merge(table[["patient_id", "score", "group"]], on="patient_id")
        cut = risk.loc[risk["cohort"] == "discovery", "oracle"].median()
        for cohort in ("validation_1", "validation_2"):
            rows = risk[(risk["cohort"] == cohort) & risk["score"].notna()]
            outcome = rows["time"], rows["event"]
            found[cohort] = {
                "c": harrell_c(rows["score"], *outcome).c,
                "oracle_c": harrell_c(rows["oracle"], *outcome).c,
                "p": float(logrank(*outcome, rows["group"]).p),
                "oracle_p": float(logrank(*outcome, np.where(rows["oracle"] > cut, "high", "low")).p),
            }
    found["cpu_seconds"] = time.process_time() - start
    return found


def summary(rows: list[dict[str, object]]) -> dict[str, object]:
    """The bars, over seeds and validation cohorts."""
    made = [r[c] for r in rows for c in ("validation_1", "validation_2") if c in r]
    lost = len(rows) * 2 - len(made)
    gap = [m["oracle_c"] - m["c"] for m in made] + [np.nan] * lost
    power = np.mean([m["p"] < 0.05 for m in made] + [False] * lost)
    oracle_power = np.mean([m["oracle_p"] < 0.05 for m in made]) if made else np.nan
    return {
        "seeds": len(rows),
        "events_least": min(r["events"] for r in rows),
        "oracle_c_discovery": float(np.median([r["oracle_discovery"] for r in rows])),
        "oracle_c_median": float(np.median([m["oracle_c"] for m in made])) if made else None,
        "c_median": float(np.median([m["c"] for m in made])) if made else None,
        "gap_median": float(np.nanmedian(gap)) if made else None,
        "no_signature": sum("none" in r or "validation_1" not in r for r in rows),
        "each_planted_selected": float(np.mean([r["each_planted"] for r in rows])),
        "selected_planted": sum(r["n_planted"] for r in rows) / max(1, sum(r["n_selected"] for r in rows)),
        "power": float(power),
        "power_vs_oracle": float(power / oracle_power) if oracle_power else None,
        "ari_median": float(np.median([r["ari"] for r in rows])),
        "cpu_seconds_median": float(np.median([r["cpu_seconds"] for r in rows])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--types", type=int, default=6)
    parser.add_argument("--subtypes", type=int, default=4)
    parser.add_argument("--tiles", type=int, default=300)
    parser.add_argument("--effect", type=float, default=0.6, help="log hazard ratio per SD of both types")
    parser.add_argument("--noise", type=float, default=1.0)
    parser.add_argument("--shift", type=float, default=0.3)
    parser.add_argument("--runs", type=int, default=PhenotypeSpec().runs, help="runs behind the consensus")
    parser.add_argument("--features", help="labelled features (benchmarks/features.py) instead of Gaussian")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for seed in range(given.first, given.first + given.seeds):
        spec = SimulateSpec(
            level="embeddings", n_discovery=200, n_validation=150, types=given.types,
            subtypes=given.subtypes, tiles_per_patient=given.tiles, harm=given.effect,
            protect=-given.effect, median_survival=24.0, noise=given.noise, slide_shift=given.shift,
            features=given.features, seed=seed,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            rows.append(one(Path(folder) / "study", spec, PhenotypeSpec(runs=given.runs)))
        print(json.dumps(rows[-1]), flush=True)
    print(json.dumps({**vars(given), **summary(rows)}))


if __name__ == "__main__":
    main()
