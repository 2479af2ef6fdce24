"""Simulates a cohort from embeddings of tiles without painting slides: hundreds of patients in seconds."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa

from pathosig.core.errors import ConfigError
from pathosig.core.execution import run_once
from pathosig.core.records import write_json, write_npy
from pathosig.core.schema import TILES, write_table
from pathosig.core.study import Study
from pathosig.core.units import Execution, Job, Outcome, Stage, Unit
from pathosig.synthetic.patients import Patient, draw_shares
from pathosig.synthetic.spec import SimulateSpec

_TILE = 224
_PATCH = 16


class FeatureSource:
    """Draws features of tiles of a tissue type, from Gaussian subtypes or from the rows of a labelled file."""

    def __init__(self, spec: SimulateSpec) -> None:
        self.spec = spec
        rng = np.random.default_rng([spec.seed, 31])
        self._real: list[tuple[np.ndarray, np.ndarray]] = []
        if spec.features:
            self._real = _read_features(Path(spec.features))
            self.n_types = len(self._real)
            self.dim = self._real[0][0].shape[1]
            return
        self.n_types, self.dim = spec.types, spec.dim
        types = rng.normal(size=(spec.types, spec.dim))
        types *= 3.0 / np.linalg.norm(types, axis=1, keepdims=True) * np.sqrt(spec.dim) / 4
        spread = rng.normal(size=(spec.types, spec.subtypes, spec.dim)) * 0.45
        self.centres = types[:, None] + spread

    def draw(self, types: np.ndarray, rng: np.random.Generator, *, discovery: bool) -> np.ndarray:
        """Features of tiles of the given types, int[n], of one slide with its own subtypes and shift: float32[n, dim]."""
        if self._real:
            return self._draw_real(types, rng, discovery)
        spec = self.spec
        mix = rng.dirichlet(np.full(spec.subtypes, 1.0), size=spec.types)
        subtype = np.array([rng.choice(spec.subtypes, p=mix[t]) for t in types], int)
        shift = rng.normal(size=spec.dim) * 0.3 * spec.slide_shift
        noise = rng.normal(size=(len(types), spec.dim)) * spec.noise
        return np.asarray(self.centres[types, subtype] + shift + noise, np.float32)

    def _draw_real(self, types: np.ndarray, rng: np.random.Generator, discovery: bool) -> np.ndarray:
        out = np.empty((len(types), self.dim), np.float32)
        for number, (rows, group) in enumerate(self._real):
            names = np.unique(group)
            half = names[: (len(names) + 1) // 2] if discovery else names[(len(names) + 1) // 2 :]
            pool = rows[np.isin(group, half)]
            where = types == number
            out[where] = pool[rng.integers(len(pool), size=int(where.sum()))]
        return out


def _read_features(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """(features, groups) of each type, from an .npy file and the .labels.csv next to it (columns label, group)."""
    labels_path = path.with_suffix(".labels.csv")
    if not path.is_file() or not labels_path.is_file():
        raise ConfigError(f"--features {path.name}: expected this file, and {labels_path.name} next to it.")
    features = np.load(path, allow_pickle=False)
    with labels_path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    if len(rows) != len(features):
        raise ConfigError(
            f"--features {path.name}: found {len(features)} rows and {len(rows)} labels; expected one label for each row."
        )
    labels = np.array([r["label"] for r in rows])
    groups = np.array([r.get("group", str(i)) for i, r in enumerate(rows)])
    return [(features[labels == name], groups[labels == name]) for name in sorted(set(labels.tolist()))]


def write_embeddings(
    study: Study, patients: list[Patient], spec: SimulateSpec
) -> tuple[list[list[float]], list[dict[str, str]]]:
    """Write tiles and embeddings with their records.

    Parameters
    ----------
    study
        The new study.
    patients
        All patients.
    spec
        What is planted.

    Returns
    -------
    (true shares of the types in each patient, rows of slides.csv)

    Raises
    ------
    ConfigError
        If the file with features does not fit.
    """
    source = FeatureSource(spec)
    wanted = draw_shares(spec.replace(types=max(3, source.n_types)), len(patients))
    card = {"name": "simulated", "dim": source.dim, "mpp": 0.5, "weights_sha256": "0" * 64, "licence": "none"}
    write_json(study.paths.encoder_card, card)
    shares: list[list[float]] = []
    for number, patient in enumerate(patients):
        rng = np.random.default_rng([spec.seed, 32, number])
        n = max(8, int(rng.normal(spec.tiles_per_patient, 0.1 * spec.tiles_per_patient)))
        types = rng.choice(
            source.n_types,
            size=n,
            p=wanted[number][: source.n_types] / wanted[number][: source.n_types].sum(),
        )
        types = _in_patches(types, rng)
        features = source.draw(types, rng, discovery=patient.cohort == "discovery")
        _write_unit(study, patient.id, spec, {"types": types.tolist(), "features": features})
        shares.append((np.bincount(types, minlength=source.n_types) / n).tolist())
    slides = [
        {"slide_id": p.id, "patient_id": p.id, "path": f"slides/{p.id}.none", "site": p.site}
        for p in patients
    ]
    return shares, slides


def _in_patches(types: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The types, int[n], reordered into patches of about `_PATCH` tiles of the same type, as in real tissue."""
    pieces = []
    for kind in np.unique(types):
        count = int((types == kind).sum())
        pieces += [
            np.full(len(patch), kind) for patch in np.array_split(np.arange(count), -(-count // _PATCH))
        ]
    return np.concatenate([pieces[i] for i in rng.permutation(len(pieces))])


def _along_a_curve(n: int) -> np.ndarray:
    """Grid positions of n tiles, int[n, 2]: they follow a Morton curve, so that consecutive tiles form a patch."""
    index = np.arange(n)
    xy = np.zeros((n, 2), np.int64)
    for bit in range(16):
        xy[:, 0] |= (index >> (2 * bit) & 1) << bit
        xy[:, 1] |= (index >> (2 * bit + 1) & 1) << bit
    return xy


def _write_unit(study: Study, unit: str, spec: SimulateSpec, payload: dict[str, object]) -> None:
    """Write the tables of one slide, with records as a real stage writes them."""
    for stage, task in (
        (Stage(name="tiles", version=1, from_elsewhere=True), _tiles),
        (Stage(name="embed", version=1, from_elsewhere=True), _embed),
    ):
        inputs = {"simulated": unit, "types": payload["types"]}
        run_once(
            study, stage, spec, Unit(id=unit, inputs=inputs, payload=payload), task, execution=Execution()
        )


def _tiles(job: Job) -> Outcome:
    n = len(job.payload["types"])
    index = np.arange(n)
    xy = _along_a_curve(n) * _TILE
    table = pa.table(
        {
            "tile_id": pa.array(index.astype(np.int32)),
            "x": pa.array(xy[:, 0].astype(np.int32)),
            "y": pa.array(xy[:, 1].astype(np.int32)),
            "tissue": pa.array(np.ones(n, np.float32)),
        }
    )
    relative = f"tiles/{job.unit}.parquet"
    metadata = {"mpp": 0.5, "size_px": _TILE, "tile_level0_px": float(_TILE), "slide_mpp": 0.5}
    write_table(job.root / relative, table, TILES, {"pathosig": metadata})
    return Outcome(outputs=(relative,), summary={"n_tiles": n})


def _embed(job: Job) -> Outcome:
    features = job.payload["features"]
    relative = f"embeddings/{job.unit}.npy"
    write_npy(job.root / relative, features.astype(np.float16))
    write_npy(job.paths.planted(job.unit, ".npy"), np.asarray(job.payload["types"], np.int16))
    return Outcome(outputs=(relative,), summary={"n_tiles": len(features), "dim": features.shape[1]})
