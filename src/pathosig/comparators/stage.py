"""`pathosig compare DIR`: fits other models on the same patients, which `validate` then compares with the signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pathosig.comparators.folded import FoldedScores, Scorer, folded_scores, ridge_scorer
from pathosig.comparators.pooled import Projection, gaussian_moments, mean_pooled
from pathosig.comparators.spec import CompareSpec
from pathosig.core.errors import InputError
from pathosig.core.showing import Shown
from pathosig.core.study import Study
from pathosig.core.tables import write_csv_rows
from pathosig.profiles.reading import read_profiles
from pathosig.profiles.tables import read_features
from pathosig.signature.reading import read_training
from pathosig.signature.spec import SignatureSpec
from pathosig.validation.spec import ValidateSpec

_FOR_PROTOTYPES = 20_000


@dataclass(frozen=True, kw_only=True)
class CompareReport(Shown):
    """The comparators that were fitted, and how many patients they score."""

    written: tuple[str, ...]
    patients: int

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        return {"written": list(self.written), "patients": self.patients}

    def to_text(self) -> str:
        """The comparators, and the next command."""
        names = ", ".join(self.written)
        return (
            f"comparators for {self.patients} patients: {names}\n"
            "next: pathosig validate DIR compares them with the signature"
        )


def compare(study: Study, spec: CompareSpec | None = None) -> CompareReport:
    """Fit other models on the signature's discovery patients, in its folds, and score all patients with them.

    Parameters
    ----------
    study
        An open study with profiles and, unless only a table is compared, with embeddings.
    spec
        Which models to fit; from study.toml by default.

    Returns
    -------
    CompareReport

    Raises
    ------
    InputError
        E_MISSING if there are neither embeddings nor a table.
    NotEstimableError
        If there are too few events.
    """
    spec = spec or study.spec(CompareSpec)
    settings, folds = study.spec(SignatureSpec), study.spec(ValidateSpec)
    trained_on = read_training(study, read_profiles(study), settings).outcome["patient_id"].tolist()
    outcome = study.survival(settings.endpoint or study.primary.endpoint).set_index("patient_id")
    models: list[_Model] = []
    files = _files(study)
    if files and spec.methods:
        models += _models_of_tiles(files, set(trained_on), outcome, spec)
    if spec.table:
        patients, vectors = _table(Path(spec.table), study)
        time, event = _of(outcome, patients)
        models.append(
            _Model(name="table", patients=patients, event=event, scorer=ridge_scorer(vectors, time, event))
        )
    if not models:
        raise InputError(
            "compare: nothing to fit. The study has no embeddings or [compare] methods is empty, and [compare] table is not "
            "set. Run `pathosig embed`, or name a table.",
            code="E_MISSING",
        )
    for model in models:
        place = {p: i for i, p in enumerate(model.patients)}
        scores = folded_scores(
            model.scorer, np.array([place[p] for p in trained_on if p in place], int), model.event,
            repeats=folds.repeats, folds=folds.folds, seed=folds.seed, label=model.name,
        )  # fmt: skip
        _write(study.paths.comparator(model.name), model.patients, scores)
    return CompareReport(written=tuple(m.name for m in models), patients=max(len(m.patients) for m in models))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Model:
    """A comparator, the patients it can score, and their events, bool[n]."""

    name: str
    patients: Sequence[str]
    event: np.ndarray
    scorer: Scorer


def _of(outcome: pd.DataFrame, patients: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Times and events of patients; NaN and no event for patients without an outcome."""
    rows = outcome.reindex(list(patients))
    return rows["time"].to_numpy(float), rows["event"].fillna(False).to_numpy(bool)


def _models_of_tiles(
    files: Mapping[str, Sequence[Path]], training: set[str], outcome: pd.DataFrame, spec: CompareSpec
) -> list[_Model]:
    """The models in `spec.methods`, which use tiles."""
    patients = sorted(files)
    time, event = _of(outcome, patients)
    scorers: dict[str, Scorer] = {}
    if "mean" in spec.methods:
        scorers["mean"] = ridge_scorer(np.array([_mean(files[p]) for p in patients]), time, event)
    if {"mixture", "attention"} & set(spec.methods):
        bags = _bags(files, patients, training, spec)
    if "mixture" in spec.methods:
        inside = np.concatenate([b for p, b in zip(patients, bags, strict=True) if p in training])
        rows = np.random.default_rng([spec.seed, 2]).permutation(len(inside))[:_FOR_PROTOTYPES]
        moments = gaussian_moments(bags, inside[rows], components=spec.components, seed=spec.seed)
        scorers["mixture"] = ridge_scorer(moments, time, event)
    if "attention" in spec.methods:
        from pathosig.comparators.attention import attention_scores  # torch

        scorers["attention"] = partial(
            attention_scores, bags, time, event, epochs=spec.epochs, seed=spec.seed
        )
    return [
        _Model(name=name, patients=patients, event=event, scorer=scorer) for name, scorer in scorers.items()
    ]


def _write(path: Path, patients: Sequence[str], scores: FoldedScores) -> None:
    rows = [
        {"patient_id": p, "score": float(s), "out_of_fold": None if np.isnan(o) else float(o)}
        for p, s, o in zip(patients, scores.frozen, scores.out_of_fold, strict=True)
    ]
    write_csv_rows(path, rows, ["patient_id", "score", "out_of_fold"])


def _files(study: Study) -> dict[str, list[Path]]:
    """Patient -> files with the embeddings of all their specimens."""
    out: dict[str, list[Path]] = {}
    for specimen in study.specimens():
        path = study.paths.embeddings(specimen.id)
        if path.is_file():
            out.setdefault(specimen.patient_id, []).append(path)
    return out


def _rows(path: Path) -> np.ndarray:
    """Embeddings of the tiles of a slide that could be decoded, float16[n, d]."""
    tiles = np.load(path, mmap_mode="r", allow_pickle=False)
    kept = np.isfinite(np.asarray(tiles[:, 0], np.float32))
    return tiles if kept.all() else tiles[kept]


def _mean(paths: Sequence[Path]) -> np.ndarray:
    return mean_pooled([np.concatenate([_rows(p) for p in paths])])[0]


def _bags(
    files: Mapping[str, Sequence[Path]], patients: Sequence[str], training: set[str], spec: CompareSpec
) -> list[np.ndarray]:
    """A sample of every patient's tiles, projected on a PCA of the discovery patients' tiles."""
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
    """Patients and vectors from an outside table: means over the rows of a patient, with missing numbers filled.

    A missing number is replaced by the mean of its column.
    """
    rows = read_features(path, set(study.patients()["patient_id"]), leave_out=set(study.patients().columns))
    frame = (
        rows.drop(columns=["slide_id", "n_tiles"], errors="ignore")
        .groupby("patient_id")
        .mean(numeric_only=True)
    )
    filled = frame.fillna(frame.mean()).loc[:, frame.std() > 0]
    return [str(p) for p in filled.index], filled.to_numpy(float)
