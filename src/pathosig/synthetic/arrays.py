"""Simulated tissue microarrays: which core lies where, and blocks painted as slides."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pathosig.core.progress import Progress
from pathosig.core.units import Execution, Job, Outcome
from pathosig.core.workers import run_in_processes
from pathosig.synthetic.layout import TILE, core_label_map, enlarge, true_shares
from pathosig.synthetic.materials import (
    apply_fills,
    bare_glass,
    mosaic_fill,
    procedural_fill,
    read_library,
    stain_table,
    type_names,
)
from pathosig.synthetic.patients import HARMFUL, PROTECTIVE, Patient
from pathosig.synthetic.slides_level import write_label_map
from pathosig.synthetic.spec import SimulateSpec
from pathosig.synthetic.svs import write_svs

CORE_PX = 6 * TILE
"""Diameter of a core in level-0 pixels: .67 mm at .5 micrometres per pixel."""

_PITCH_PX = 1760
_MARGIN_PX = 800
_STATES, _STATE_ODDS = ("ok", "torn", "folded", "missing"), (0.86, 0.05, 0.03, 0.06)
_CONTRAST = 1.6
"""Log odds by which the cores of a heterogeneous patient deviate from the patient: one has more of the harmful and less of
the protective type, the other the reverse."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedCore:
    """One place of a block and what is planted there.

    Attributes
    ----------
    row, column
        Place in the grid, from 1.
    patient_id
        Whose tissue it is.
    state
        ok | torn | folded | missing (the map names it, the glass is bare).
    proportions
        Wanted proportions of the tissue types, summing to 1.
    """

    row: int
    column: int
    patient_id: str
    state: str
    proportions: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedArray:
    """One block: its slide, grid and cores. Places without a core are empty and not in the map."""

    slide_id: str
    cohort: str
    rows: int
    columns: int
    cores: tuple[PlannedCore, ...]
    stream: tuple[int, ...]


def plan_arrays(
    patients: list[Patient], proportions: np.ndarray, spec: SimulateSpec
) -> tuple[list[PlannedArray], set[str]]:
    """Spread two or three cores of each patient over the blocks of the patient's cohort.

    Parameters
    ----------
    patients, proportions
        Patients and their proportions of the tissue types, float[n, types].
    spec
        ``array`` (rows and columns of a block), ``heterogeneous`` and ``seed`` are used.

    Returns
    -------
    arrays, heterogeneous
        The blocks, and the ids of patients whose cores truly differ.
    """
    rng = np.random.default_rng([spec.seed, 32])
    rows, columns = spec.array_shape
    out: list[PlannedArray] = []
    heterogeneous: set[str] = set()
    for cohort in dict.fromkeys(p.cohort for p in patients):
        wanted: list[tuple[str, tuple[float, ...]]] = []
        for patient, mixture in zip(patients, proportions, strict=True):
            if patient.cohort == cohort:
                split = rng.random() < spec.heterogeneous
                heterogeneous |= {patient.id} if split else set()
                n = 2 if split else int(rng.integers(2, 4))
                wanted += [(patient.id, p) for p in _core_mixtures(mixture, n, split)]
        order = rng.permutation(len(wanted))
        capacity = max(
            1, rows * columns - 2
        )  # an array has a place or two without tissue, to tell its sides apart
        for block, chosen in enumerate(np.array_split(order, -(-len(order) // capacity))):
            filled = min(rows * columns, len(chosen) + 2)  # laboratories fill row by row
            places = np.sort(rng.permutation(filled)[: len(chosen)])
            cores = tuple(
                PlannedCore(
                    row=int(place) // columns + 1,
                    column=int(place) % columns + 1,
                    patient_id=wanted[index][0],
                    state=str(rng.choice(_STATES, p=_STATE_ODDS)),
                    proportions=wanted[index][1],
                )
                for place, index in zip(places, chosen, strict=True)
            )
            name = f"TMA-{cohort.replace('validation_', 'V').replace('discovery', 'D')}-{block + 1}"
            stream = (spec.seed, 33, len(out))
            out.append(
                PlannedArray(
                    slide_id=name,
                    cohort=cohort,
                    rows=-(-filled // columns),
                    columns=columns,
                    cores=cores,
                    stream=stream,
                )
            )
    return out, heterogeneous


def _core_mixtures(mixture: np.ndarray, n: int, split: bool) -> list[tuple[float, ...]]:
    """Proportions of each of a patient's cores; the two of a heterogeneous patient differ in risk."""
    if not split:
        return [tuple(mixture.tolist())] * n
    out = []
    for sign in (-1, 1):
        logits = np.log(np.maximum(mixture, 1e-6))
        logits[HARMFUL] += sign * _CONTRAST
        logits[PROTECTIVE] -= sign * _CONTRAST
        out.append(tuple((np.exp(logits) / np.exp(logits).sum()).tolist()))
    return out


def write_arrays(
    root: Path, arrays: list[PlannedArray], spec: SimulateSpec, execution: Execution
) -> dict[str, dict[str, list[float]]]:
    """Paint the blocks; for each slide the true proportions of its cores by "row-column".

    Raises
    ------
    PathosigError
        If a slide cannot be written.
    """
    planted: dict[str, dict[str, list[float]]] = {}
    with TemporaryDirectory() as shared, Progress("simulate", total=len(arrays)) as bar:
        jobs = [
            Job(
                root=root,
                unit=a.slide_id,
                spec=spec,
                payload={**asdict(a), "shared": shared},
                execution=execution,
            )
            for a in arrays
        ]
        for answer in run_in_processes(_write_one, jobs, execution=execution):
            planted[answer.unit] = dict(answer.outcome().summary["cores"])
            bar.advance()
    return planted


def _write_one(job: Job) -> Outcome:
    spec, block = job.spec, job.payload
    rng = np.random.default_rng(block["stream"])
    centres = _grid(block["rows"], block["columns"], rng)
    # whole pixels of the label map, so that cores lie on it without rounding
    width, height = (
        (np.ceil(centres.reshape(-1, 2).max(axis=0) + _MARGIN_PX).astype(int) // 128 + 1) * 16
    ).tolist()
    side = CORE_PX // 8
    labels = np.zeros((height, width), np.uint8)
    pixels = bare_glass((height * 8, width * 8), rng)
    table = stain_table(spec.slide_shift, rng)
    truth: dict[str, list[float]] = {}
    for core in block["cores"]:
        if core["state"] == "missing":
            continue
        x, y = (centres[core["row"] - 1, core["column"] - 1] / 8 - side / 2).astype(int)
        piece = core_label_map(side, np.asarray(core["proportions"]), rng, torn=core["state"] == "torn")
        labels[y : y + side, x : x + side] = piece
        place = pixels[y * 8 : (y + side) * 8, x * 8 : (x + side) * 8]
        full = enlarge(piece)
        apply_fills(place, full, _fills(full, job, rng), table)
        if core["state"] == "folded":
            _fold(place, full > 0)
        truth[f"{core['row']}-{core['column']}"] = true_shares(piece, len(core["proportions"])).tolist()
    write_svs(job.root / "slides" / f"{job.unit}.svs", pixels)
    write_label_map(job.paths.planted(job.unit, ".png"), labels)
    return Outcome(summary={"cores": truth})


def _fills(labels: np.ndarray, job: Job, rng: np.random.Generator) -> dict[int, np.ndarray]:
    """What each tissue type of a core looks like."""
    spec: SimulateSpec = job.spec
    size, kinds = (labels.shape[1], labels.shape[0]), [int(v) for v in np.unique(labels) if v > 0]
    if spec.tiles:
        library = read_library(Path(spec.tiles)).half(job.payload["cohort"] == "discovery")
        return {v: mosaic_fill(size, library.tiles[v - 1], rng) for v in kinds}
    names = type_names(spec.types)
    return {v: procedural_fill(size, names[v - 1], spec.seed, rng, job.payload["shared"]) for v in kinds}


def _fold(core: np.ndarray, tissue: np.ndarray) -> None:
    """Lay a fold across a core, in place: light passes two layers of tissue."""
    band = np.zeros_like(tissue)
    band[int(0.45 * CORE_PX) : int(0.45 * CORE_PX) + 70] = True
    band &= tissue
    core[band] = (244 * (core[band] / 244.0) ** 2).clip(0, 255).astype(np.uint8)


def _grid(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Centres of the places of a turned and bent grid, float[rows, columns, 2] in level-0 pixels."""
    r, c = np.mgrid[:rows, :columns].astype(float)
    x, y = c * _PITCH_PX, r * _PITCH_PX
    bend = rng.uniform(-0.25, 0.25, 2) * _PITCH_PX
    x = x + bend[0] * np.sin(np.pi * r / max(rows - 1, 1)) + rng.normal(0, 0.03 * _PITCH_PX, x.shape)
    y = y + bend[1] * np.sin(np.pi * c / max(columns - 1, 1)) + rng.normal(0, 0.03 * _PITCH_PX, y.shape)
    turn = np.deg2rad(rng.uniform(-4, 4))
    centres = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=2)
    return np.asarray(centres - centres.reshape(-1, 2).min(axis=0) + CORE_PX / 2 + _MARGIN_PX)
