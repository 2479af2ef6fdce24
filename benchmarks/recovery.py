"""Is the planted truth found? Whole studies from tile features, many seeds, against the oracle.

    python benchmarks/recovery.py [--seeds 10] [--patients 200] [--types 6] [--tiles 300] [--features FEATURES.npy]
                                  [--min-steadiness 0.3]

Each seed is a cohort of `pathosig simulate --level embeddings` (so many discovery patients, two validation cohorts of
three quarters of that) taken through phenotypes, profiles and signature with shipped settings. The oracle is a Cox model on
the true shares of the two planted types, fitted on discovery. With ``--min-steadiness`` the signature is fitted once more on
the same phenotypes with groups below that steadiness left out, and both are compared in the same validation patients.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from pathosig import Study, build_profiles, build_signature, find_phenotypes, simulate
from pathosig.core.errors import NotEstimableError
from pathosig.phenotypes import PhenotypeSpec
from pathosig.signature import SignatureSpec
from pathosig.survival import harrell_c, logrank
from pathosig.synthetic import SimulateSpec
from pathosig.synthetic.truth import compare_truth, oracle_risk

VALIDATION = ("validation_1", "validation_2")


def one(
    root: Path, spec: SimulateSpec, phenotypes: PhenotypeSpec, steadiness: float | None
) -> dict[str, object]:
    """One cohort, all stages, compared with its truth."""
    start = time.process_time()
    simulate(root, spec)
    study = Study.open(root)
    find_phenotypes(study, phenotypes)
    build_profiles(study)
    row: dict[str, object] = {"seed": spec.seed} | fitted(study, SignatureSpec())
    if steadiness is not None:
        row["steady"] = fitted(study, SignatureSpec(min_steadiness=steadiness))
    return row | {"cpu_seconds": time.process_time() - start}


def fitted(study: Study, spec: SignatureSpec) -> dict[str, object]:
    """The signature of these settings against the truth."""
    row: dict[str, object] = {}
    try:
        build_signature(study, spec)
    except NotEstimableError as error:
        row["none"] = str(error)
    comparison = compare_truth(study)
    risk = oracle_risk(study)
    events = int(risk.loc[risk["cohort"] == "discovery", "event"].sum())
    planted = {comparison.harmful, comparison.protective}
    kinds = list(comparison.selected.values())
    row |= {
        "events": events,
        "oracle_discovery": comparison.oracle_c["discovery"],
        "ari": comparison.ari_all,
        "selected": comparison.selected,
        "each_planted": planted <= set(kinds),
        "n_selected": len(kinds),
        "n_planted": sum(k in planted for k in kinds),
    }
    scores = study.paths.scores
    if "none" not in row and scores.is_file():
        table = pd.read_csv(scores, dtype={"patient_id": str}, float_precision="round_trip")
        risk = risk.merge(table[["patient_id", "score", "group"]], on="patient_id")
        cut = risk.loc[risk["cohort"] == "discovery", "oracle"].median()
        for cohort in VALIDATION:
            rows = risk[(risk["cohort"] == cohort) & risk["score"].notna()]
            outcome = rows["time"], rows["event"]
            row[cohort] = {
                "c": harrell_c(rows["score"], *outcome).c,
                "oracle_c": harrell_c(rows["oracle"], *outcome).c,
                "p": float(logrank(*outcome, rows["group"]).p),
                "oracle_p": float(logrank(*outcome, np.where(rows["oracle"] > cut, "high", "low")).p),
            }
    return row


def steady_against_all(rows: list[dict[str, object]]) -> dict[str, object]:
    """Differences, groups that are not steady left out minus all candidates; a cohort without a signature has C of .5."""

    def c(row: dict[str, object]) -> float:
        return float(np.mean([row[v]["c"] if v in row else 0.5 for v in VALIDATION]))

    def planted(row: dict[str, object]) -> float:
        return row["n_planted"] / row["n_selected"] if row["n_selected"] else 0.0

    gaps = {"c": [c(r["steady"]) - c(r) for r in rows]}
    gaps["planted_of_selected"] = [planted(r["steady"]) - planted(r) for r in rows]
    gaps["each_planted"] = [float(r["steady"]["each_planted"]) - float(r["each_planted"]) for r in rows]
    error = np.sqrt(len(rows))
    return {
        name: {"mean": float(np.mean(v)), "se": float(np.std(v, ddof=1) / error) if len(v) > 1 else None}
        for name, v in gaps.items()
    }


def summary(rows: list[dict[str, object]]) -> dict[str, object]:
    """The bars, over seeds and validation cohorts."""
    scored = [r[c] for r in rows for c in VALIDATION if c in r]
    lost = len(rows) * 2 - len(scored)
    gap = [m["oracle_c"] - m["c"] for m in scored] + [np.nan] * lost
    power = np.mean([m["p"] < 0.05 for m in scored] + [False] * lost)
    oracle_power = np.mean([m["oracle_p"] < 0.05 for m in scored]) if scored else np.nan
    return {
        "seeds": len(rows),
        "events_least": min(r["events"] for r in rows),
        "oracle_c_discovery": float(np.median([r["oracle_discovery"] for r in rows])),
        "oracle_c_median": float(np.median([m["oracle_c"] for m in scored])) if scored else None,
        "c_median": float(np.median([m["c"] for m in scored])) if scored else None,
        "gap_median": float(np.nanmedian(gap)) if scored else None,
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
    parser.add_argument("--patients", type=int, default=200, help="discovery patients")
    parser.add_argument("--types", type=int, default=6)
    parser.add_argument("--subtypes", type=int, default=4)
    parser.add_argument("--tiles", type=int, default=300)
    parser.add_argument("--effect", type=float, default=0.6, help="log hazard ratio per SD of both types")
    parser.add_argument("--noise", type=float, default=1.0)
    parser.add_argument("--shift", type=float, default=0.3)
    parser.add_argument("--runs", type=int, default=PhenotypeSpec().runs, help="runs behind the consensus")
    parser.add_argument("--min-steadiness", type=float, help="compare with groups below it left out")
    parser.add_argument("--features", help="labelled features (benchmarks/features.py) instead of Gaussian")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for seed in range(given.first, given.first + given.seeds):
        spec = SimulateSpec(
            level="embeddings", n_discovery=given.patients, n_validation=3 * given.patients // 4, types=given.types,
            subtypes=given.subtypes, tiles_per_patient=given.tiles, harm=given.effect,
            protect=-given.effect, median_survival=24.0, noise=given.noise, slide_shift=given.shift,
            features=given.features, seed=seed,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            rows.append(
                one(Path(folder) / "study", spec, PhenotypeSpec(runs=given.runs), given.min_steadiness)
            )
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    out = {**vars(given), **summary(rows)}
    if given.min_steadiness is not None:
        out["steady_minus_all"] = steady_against_all(rows)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
