"""How good are the scores a bundle gives to new patients of a planted cohort? Prints one JSON object as its last line.

    python benchmarks/score_bundle.py [--discovery 200] [--new 100] [--tiles 200]

A cohort with a planted harmful and protective tissue is simulated from tile features; a signature is fitted on the discovery patients, frozen and
applied to the tile features of the others. `r`: correlation of the score with the planted log hazard. `coverage`: how often the interval holds
the score of the same patient from a second, independent draw of as many tiles of the same tissue would be too wide a question for
one cohort, so it is asked of thirds: the score of all tiles against the interval of a third of them. `auc`: weight of a tile in the map against
whether it is of the harmful tissue. `calibration`: observed over expected events at three years.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time as clock
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from pathosig.commands.export import export
from pathosig.core.records import read_json
from pathosig.core.schema import ASSIGNMENTS, read_table
from pathosig.core.study import Study
from pathosig.phenotypes import find_phenotypes
from pathosig.profiles import build_profiles
from pathosig.profiles.reading import read_profiles
from pathosig.scoring import score_slides, write_bundle
from pathosig.scoring.slide_pictures import risk_of_tiles
from pathosig.signature import build_signature
from pathosig.signature.model import Signature
from pathosig.survival import kaplan_meier
from pathosig.synthetic import SimulateSpec, simulate


def auc(value: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half."""
    rank = pd.Series(value).rank().to_numpy()
    n, m = int(positive.sum()), int((~positive).sum())
    return float((rank[positive].sum() - n * (n + 1) / 2) / (n * m))


def third(path: Path, folder: Path) -> None:
    """The first third of the tiles of a file: a piece of the tissue."""
    with h5py.File(path) as source, h5py.File(folder / path.name, "w") as file:
        file.attrs.update(source.attrs)
        for name in ("coords", "features"):
            file[name] = source[name][: len(source[name]) // 3]
            file[name].attrs.update(source[name].attrs)


def main() -> None:
    """Simulate, fit, freeze, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--discovery", type=int, default=200)
    parser.add_argument("--new", type=int, default=100)
    parser.add_argument("--tiles", type=int, default=200)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name), clock.process_time()
        spec = SimulateSpec(
            level="embeddings", n_discovery=options.discovery, n_validation=options.new, tiles_per_patient=options.tiles,
            types=4, subtypes=2, dim=32, harm=1.2, protect=-1.2, second_slide=0.0,
        )  # fmt: skip
        simulate(folder / "s", spec)
        study = Study.open(folder / "s")
        find_phenotypes(study)
        build_profiles(study)
        build_signature(study)
        write_bundle(study, out=folder / "b.psig")
        features = folder / "h5"
        export(study, to="h5", out=features)
        new = set(study.patients().query("cohort != 'discovery'")["patient_id"])
        small = folder / "third"
        small.mkdir()
        for path in features.glob("*.h5"):
            if path.stem not in new:
                path.unlink()
            else:
                third(path, small)
        report = score_slides(folder / "b.psig", features=features, out=folder / "s.csv")
        part = {
            r.patient_id: r
            for r in score_slides(folder / "b.psig", features=small, out=folder / "t.csv").readings
        }
        given = [r for r in report.readings if r.score is not None]
        truth = read_json(study.paths.truth)
        result = {
            "patients": len(report.readings),
            "scored": len(given),
            **against_truth(study, given, truth),
            "coverage": coverage(given, part),
            "calibration_3y": calibration(study, given),
            "cpu_seconds": round(clock.process_time() - start, 1),
        }
    sys.stdout.write(json.dumps(result) + "\n")


def against_truth(study: Study, given: list, truth: dict) -> dict[str, float]:
    """Correlation with the planted log hazard, and AUC of the weights of tiles for the harmful tissue."""
    risk = np.array([truth["patients"][r.patient_id]["linear_predictor"] for r in given])
    score = np.array([r.score for r in given])
    signature, profiles = Signature.load(study.paths.signature), read_profiles(study)
    weights, harmful = [], []
    for reading in given:
        rows = profiles.slides[profiles.slides["slide_id"] == reading.patient_id]
        weight = risk_of_tiles(signature, rows, profiles.columns)
        hpc = read_table(study.paths.assignments(reading.patient_id), ASSIGNMENTS).column("hpc").to_numpy()
        weights.append(weight[hpc])
        harmful.append(
            np.load(study.paths.planted(reading.patient_id, ".npy"), allow_pickle=False) == truth["harmful"]
        )
    return {
        "r": round(float(np.corrcoef(score, risk)[0, 1]), 3),
        "auc": round(auc(np.concatenate(weights), np.concatenate(harmful)), 3),
    }


def coverage(given: list, part: dict) -> float:
    """How often the interval of a third of the tiles holds the score of all of them."""
    pairs = [(r, part[r.patient_id]) for r in given if part[r.patient_id].lower is not None]
    return round(float(np.mean([p.lower <= r.score <= p.upper for r, p in pairs])), 3)


def calibration(study: Study, given: list) -> float:
    """Observed over mean predicted risk at three years."""
    outcome = (
        study.survival(study.primary.endpoint).set_index("patient_id").loc[[r.patient_id for r in given]]
    )
    predicted = np.mean([1 - r.survival["3"][0] for r in given])
    curve = kaplan_meier(outcome["time"], outcome["event"])
    return round(float((1 - float(np.ravel(curve.survival_at(36.0)[0])[0])) / predicted), 3)


if __name__ == "__main__":
    main()
