"""How good are the scores a bundle gives to new patients of a planted cohort? Prints one JSON object as its last line.

    python benchmarks/score_bundle.py [--discovery 300] [--new 150] [--tiles 200] [--tissues 30]
    python benchmarks/score_bundle.py --study STUDY

The first simulates a cohort from tile features with a harmful and a protective tissue, fits, freezes, and scores the tile features of the
patients of two other cohorts. The second takes a study that `pathosig simulate` painted and `pathosig run` finished, and scores the slides
of its other cohorts.

r            correlation of the score with the planted log hazard
auc          weight of a tile in the map of the risk against whether most of it is of the harmful tissue
calibration  observed over expected deaths at one, three and five years, 95 % interval of the observed (Poisson) and of the baseline's events
slope        Cox slope of the score among the new patients
coverage     how often the 95 % interval of a piece of 100 to 400 tiles holds the score of the whole tissue, 4,096 tiles in patches of 4 x 4
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time as clock
import warnings
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from pathosig.commands.export import export
from pathosig.core.records import read_json
from pathosig.core.schema import ASSIGNMENTS, read_table
from pathosig.core.study import Study
from pathosig.core.tile_tables import read_slide_tiles
from pathosig.phenotypes import find_phenotypes
from pathosig.profiles import build_profiles
from pathosig.profiles.reading import read_profiles
from pathosig.scoring import score_slides, write_bundle
from pathosig.scoring.readings import Reading
from pathosig.signature import build_signature
from pathosig.signature.contributions import risk_of_tiles
from pathosig.signature.model import Signature
from pathosig.survival import cox, kaplan_meier
from pathosig.synthetic import SimulateSpec, simulate
from pathosig.synthetic.embeddings_level import FeatureSource
from pathosig.synthetic.truth import true_tile_labels

SIDE, PATCH, PIECES = 64, 4, (10, 14, 20)


def auc(value: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half."""
    rank = pd.Series(value).rank().to_numpy()
    n, m = int(positive.sum()), int((~positive).sum())
    return float((rank[positive].sum() - n * (n + 1) / 2) / (n * m))


def new_patients(study: Study) -> set[str]:
    """Those outside the discovery cohort."""
    return set(study.patients().query("cohort != 'discovery'")["patient_id"])


def main() -> None:
    """Simulate, fit, freeze, score."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--discovery", type=int, default=300)
    parser.add_argument("--new", type=int, default=150)
    parser.add_argument("--tiles", type=int, default=200)
    parser.add_argument("--tissues", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--study", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    start = clock.process_time()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.study is not None:
            result = of_slides(Study.open(options.study), folder)
        else:
            spec = SimulateSpec(
                level="embeddings", n_discovery=options.discovery, n_validation=options.new,
                tiles_per_patient=options.tiles, types=4, subtypes=2, dim=32, harm=1.2, protect=-1.2, second_slide=0.0,
                seed=options.seed, treatment_benefit=0.0,
            )  # fmt: skip
            result = of_features(folder, spec, options.tissues)
    sys.stdout.write(json.dumps({**result, "cpu_seconds": round(clock.process_time() - start, 1)}) + "\n")


def of_features(folder: Path, spec: SimulateSpec, tissues: int) -> dict[str, object]:
    """Everything about a cohort of tile features."""
    simulate(folder / "s", spec)
    study = Study.open(folder / "s")
    find_phenotypes(study)
    build_profiles(study)
    build_signature(study)
    write_bundle(study, out=folder / "b.psig")
    export(study, to="h5", out=folder / "h5")
    new = new_patients(study)
    for path in (folder / "h5").glob("*.h5"):
        if path.stem not in new:
            path.unlink()
    readings = score_slides(folder / "b.psig", features=folder / "h5", out=folder / "s.csv").readings
    return {**judged(study, readings), "coverage": coverage(folder, spec, tissues)}


def of_slides(study: Study, folder: Path) -> dict[str, object]:
    """Everything about the slides of a finished study."""
    write_bundle(study, out=folder / "b.psig")
    new = new_patients(study)
    slides = [s for s in study.specimens() if s.patient_id in new]
    owners = pd.DataFrame([{"slide": s.id, "patient_id": s.patient_id} for s in slides])
    owners.to_csv(folder / "owners.csv", index=False)
    report = score_slides(
        folder / "b.psig", *(s.path for s in slides), patients=folder / "owners.csv", out=folder / "s.csv"
    )
    own = pd.read_csv(study.paths.scores, dtype={"patient_id": str}, float_precision="round_trip")
    known = dict(zip(own["patient_id"], own["score"], strict=True))
    same = sum(r.score == known[r.patient_id] for r in report.readings if r.score is not None)
    return {**judged(study, report.readings), "equal_to_the_study": same}


def judged(study: Study, readings: Sequence[Reading]) -> dict[str, object]:
    """Scores against planted hazards, maps against planted areas, risks against outcomes."""
    truth = read_json(study.paths.truth)
    scored = [r for r in readings if r.score is not None]
    risk = np.array([truth["patients"][r.patient_id]["linear_predictor"] for r in scored])
    score = np.array([r.score for r in scored], float)
    survival = study.survival(study.primary.endpoint).set_index("patient_id")
    outcome = survival.loc[[r.patient_id for r in scored]]
    slope = cox(score, outcome["time"], outcome["event"])
    return {
        "patients": len(readings),
        "scored": len(scored),
        "r": round(float(np.corrcoef(score, risk)[0, 1]), 3),
        "auc": round(map_auc(study, {r.patient_id for r in scored}, truth), 3),
        "calibration": calibration(scored, outcome, Signature.load(study.paths.signature).trained_on.events),
        "slope": [round(float(np.log(v[0])), 3) for v in (slope.hr, slope.lower, slope.upper)],
    }


def map_auc(study: Study, patients: set[str], truth: dict) -> float:
    """Weights of tiles of all slides of some patients against the planted tissue."""
    signature, profiles = Signature.load(study.paths.signature), read_profiles(study)
    harmful = truth["types"].index(truth["harmful"])
    weights, planted = [], []
    for slide in (s for s in study.specimens() if s.patient_id in patients):
        row = profiles.slides[profiles.slides["slide_id"] == slide.id]
        table = read_table(study.paths.assignments(slide.id), ASSIGNMENTS)
        tiles = read_slide_tiles(study.paths.tiles(slide.id))
        xy = tiles.xy[table.column("tile_id").to_numpy()]
        weights.append(risk_of_tiles(signature, row, profiles.columns)[table.column("hpc").to_numpy()])
        planted.append(true_tile_labels(study, slide, xy, tiles.side)[:, harmful] > 0.5)
    return auc(np.concatenate(weights), np.concatenate(planted))


def calibration(scored: Sequence[Reading], outcome: pd.DataFrame, events: int) -> dict[str, list[float]]:
    """Observed over mean predicted risk; the interval is of the counts behind both."""
    curve = kaplan_meier(outcome["time"], outcome["event"])
    out = {}
    for years in sorted(scored[0].survival):
        expected = float(np.mean([1 - r.survival[years][0] for r in scored]))
        observed = 1 - float(np.ravel(curve.survival_at(12.0 * float(years))[0])[0])
        deaths = max(observed * len(scored), 1.0)
        width = np.exp(1.96 * np.sqrt(1 / deaths + 1 / events))
        ratio = observed / expected
        out[years] = [round(v, 3) for v in (ratio, ratio / width, ratio * width)]
    return out


def coverage(folder: Path, spec: SimulateSpec, tissues: int) -> dict[str, float]:
    """Pieces of large tissues: how often their interval holds the score of the whole."""
    source, rng = FeatureSource(spec), np.random.default_rng([spec.seed, 99])
    whole, pieces = folder / "whole", folder / "pieces"
    whole.mkdir()
    pieces.mkdir()
    with h5py.File(next((folder / "h5").glob("*.h5"))) as file:
        template = dict(file.attrs), {n: dict(file[n].attrs) for n in ("coords", "features")}
        step = np.diff(np.unique(file["coords"][:, 0])).min()
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    for number in range(tissues):
        shares = rng.dirichlet(np.full(spec.types, 2.0))
        patches = rng.choice(spec.types, p=shares, size=(SIDE // PATCH + 1, SIDE // PATCH + 1))
        off = rng.integers(PATCH, size=2)
        types = patches[(row + off[0]) // PATCH, (column + off[1]) // PATCH]
        features = source.draw(types, rng, discovery=False)
        write(whole / f"T{number:03d}.h5", row, column, features, step, template)
        for side in PIECES:
            top, left = rng.integers(SIDE - side, size=2)
            inside = (row >= top) & (row < top + side) & (column >= left) & (column < left + side)
            name = f"T{number:03d}_{side}.h5"
            write(pieces / name, row[inside], column[inside], features[inside], step, template)
    truth = {
        r.patient_id: r.score
        for r in score_slides(folder / "b.psig", features=whole, out=folder / "w.csv").readings
    }
    readings = score_slides(folder / "b.psig", features=pieces, out=folder / "p.csv").readings
    out = {}
    for side in (*PIECES, None):
        chosen = [r for r in readings if side is None or r.patient_id.endswith(f"_{side}")]
        told = [r for r in chosen if r.lower is not None and truth[r.patient_id.split("_")[0]] is not None]
        inside = [r.lower <= truth[r.patient_id.split("_")[0]] <= r.upper for r in told]
        out["all" if side is None else f"{side * side} tiles"] = round(float(np.mean(inside)), 3)
        if side is None:
            out |= {"pieces": len(readings), "not told": len(readings) - len(told)}
    return out


def write(
    path: Path, row: np.ndarray, column: np.ndarray, features: np.ndarray, step: int, template: tuple
) -> None:
    """A file of tile features like those of `export --to h5`."""
    with h5py.File(path, "w") as file:
        file.attrs.update(template[0])
        file["coords"] = np.stack([column, row], axis=1) * int(step)
        file["features"] = features
        for name, attributes in template[1].items():
            file[name].attrs.update(attributes)


if __name__ == "__main__":
    main()
