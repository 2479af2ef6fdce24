"""`pathosig compare DIR`: other models on the same patients, for `validate` to judge beside the signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

import pathosig.comparators as room
from pathosig.comparators.folded import FoldedScores, Scorer, folded_scores, ridge_scorer
from pathosig.comparators.pooled import Projection, gaussian_moments, mean_pooled
from pathosig.comparators.spec import CompareSpec
from pathosig.core.errors import InputError
from pathosig.core.study import Study
from pathosig.core.tables import write_csv_rows
from pathosig.core.units import Execution
from pathosig.profiles.reading import read_profiles
from pathosig.profiles.tables import read_features
from pathosig.signature.reading import endpoint_of, read_training
from pathosig.signature.spec import SignatureSpec
from pathosig.validation.spec import ValidateSpec

_FOR_PROTOTYPES = 20_000


@dataclass(frozen=True, kw_only=True)
class CompareReport:
    """Which comparators were written."""

    written: tuple[str, ...]
    patients: int

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        return {"written": list(self.written), "patients": self.patients}

    def to_text(self) -> str:
        """For people."""
        names = ", ".join(self.written)
        return f"comparators of {self.patients} patients: {names}\nnext: pathosig validate DIR judges them beside the signature"


def compare(
    study: Study, spec: CompareSpec | None = None, *, execution: Execution = Execution()
) -> CompareReport:
    """Fit other models on the signature's discovery patients, in its folds, and score everybody with them.

    Parameters
    ----------
    study
        An open study with profiles and, unless only `table` is compared, embeddings.
    spec
        Which models; from study.toml by default.
    execution
        Not used: every model is small.

    Raises
    ------
    InputError
        E_MISSING if there are neither embeddings nor a table.
    """
    spec = spec or study.spec(CompareSpec)
    settings = study.spec(SignatureSpec)
    training = read_training(study, read_profiles(study), settings)
    folds = study.spec(ValidateSpec)
    outcome = study.survival(endpoint_of(study, settings)).set_index("patient_id")
    made: dict[str, tuple[list[str], FoldedScores]] = {}

    def judged(name: str, patients: Sequence[str], scorer: Scorer) -> None:
        place = {p: i for i, p in enumerate(patients)}
        discovery = np.array([place[p] for p in training.outcome["patient_id"] if p in place])
        event = outcome.reindex(list(patients))["event"].fillna(False).to_numpy(bool)
        scores = folded_scores(
            scorer, discovery, event, repeats=folds.repeats, folds=folds.folds, seed=folds.seed, label=name
        )
        made[name] = (list(patients), scores)

    def times(patients: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        rows = outcome.reindex(list(patients))
        return rows["time"].to_numpy(float), rows["event"].fillna(False).to_numpy(bool)

    files = _files(study)
    if spec.methods and not files and not spec.table:
        raise InputError("compare: the study has no embeddings, and no table is named.", code="E_MISSING")
    if files and spec.methods:
        patients = sorted(files)
        time, event = times(patients)
        if "mean" in spec.methods:
            vectors = np.array([_mean(files[p]) for p in patients])
            judged("mean", patients, ridge_scorer(vectors, time, event))
        if {"mixture", "attention"} & set(spec.methods):
            inside_ids = set(training.outcome["patient_id"])
            bags = _bags(files, patients, inside_ids, spec)
            inside = np.concatenate([b for p, b in zip(patients, bags, strict=True) if p in inside_ids])
            if "mixture" in spec.methods:
                rows = np.random.default_rng([spec.seed, 2]).permutation(len(inside))[:_FOR_PROTOTYPES]
                moments = gaussian_moments(bags, inside[rows], components=spec.components, seed=spec.seed)
                judged("mixture", patients, ridge_scorer(moments, time, event))
            if "attention" in spec.methods:
                scorer = partial(room.attention_scores, bags, time, event, epochs=spec.epochs, seed=spec.seed)
                judged("attention", patients, scorer)
    if spec.table:
        ids, vectors = _table(Path(spec.table), study)
        judged("table", ids, ridge_scorer(vectors, *times(ids)))
    for name, (patients, scores) in made.items():
        write_csv_rows(
            study.paths.comparator(name),
            [
                {"patient_id": p, "score": float(s), "out_of_fold": None if np.isnan(o) else float(o)}
                for p, s, o in zip(patients, scores.frozen, scores.out_of_fold, strict=True)
            ],
            ["patient_id", "score", "out_of_fold"],
        )
    most = max(len(patients) for patients, _ in made.values())
    return CompareReport(written=tuple(made), patients=most)


def _files(study: Study) -> dict[str, list[Path]]:
    """Patient -> embeddings of all their specimens."""
    out: dict[str, list[Path]] = {}
    for specimen in study.specimens():
        path = study.paths.embeddings(specimen.id)
        if path.is_file():
            out.setdefault(specimen.patient_id, []).append(path)
    return out


def _rows(path: Path) -> np.ndarray:
    """Tiles of a slide that could be decoded, memory-mapped: float16[n, d]."""
    tiles = np.load(path, mmap_mode="r", allow_pickle=False)
    kept = np.isfinite(np.asarray(tiles[:, 0], np.float32))
    return tiles if kept.all() else tiles[kept]


def _mean(paths: Sequence[Path]) -> np.ndarray:
    return mean_pooled([np.concatenate([_rows(p) for p in paths])])[0]


def _bags(
    files: Mapping[str, Sequence[Path]], patients: Sequence[str], training: set[str], spec: CompareSpec
) -> list[np.ndarray]:
    """A sample of every patient's tiles on the axes of a PCA of discovery."""
    rng = np.random.default_rng([spec.seed, 1])
    raw = []
    for patient in patients:
        tiles = np.concatenate([_rows(p) for p in files[patient]])
        if len(tiles) > spec.tiles:
            tiles = tiles[np.sort(rng.choice(len(tiles), spec.tiles, replace=False))]
        raw.append(np.asarray(tiles, np.float32))
    inside = np.concatenate([t for p, t in zip(patients, raw, strict=True) if p in training])
    rows = rng.permutation(len(inside))[:_FOR_PROTOTYPES]
    project = Projection.fit(inside[rows].astype(float), seed=spec.seed)
    return [project(tiles) for tiles in raw]


def _table(path: Path, study: Study) -> tuple[list[str], np.ndarray]:
    """Patients and numbers of an outside table, means over the rows of a patient; a missing number is its column's mean."""
    rows = read_features(path, set(study.patients()["patient_id"]), leave_out=set(study.patients().columns))
    frame = (
        rows.drop(columns=["slide_id", "n_tiles"], errors="ignore")
        .groupby("patient_id")
        .mean(numeric_only=True)
    )
    filled = frame.fillna(frame.mean()).loc[:, frame.std() > 0]
    return [str(p) for p in filled.index], filled.to_numpy(float)
