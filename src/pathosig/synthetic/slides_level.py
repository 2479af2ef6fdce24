"""Simulates a cohort by painting whole slides."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from pathosig.core.progress import Progress
from pathosig.core.records import atomic_path
from pathosig.core.units import Execution, Job, Outcome
from pathosig.core.workers import run_in_processes
from pathosig.synthetic.layout import enlarge, label_map, slide_size, true_shares
from pathosig.synthetic.materials import (
    mosaic_fill,
    paint,
    procedural_fill,
    read_library,
    type_names,
)
from pathosig.synthetic.patients import Patient, draw_shares
from pathosig.synthetic.spec import SimulateSpec
from pathosig.synthetic.svs import write_svs


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedSlide:
    """One whole slide and what is planted in it.

    Attributes
    ----------
    slide_id, patient_id
        Ids of the slide and its patient.
    discovery
        Whether the patient belongs to the discovery cohort.
    shares
        Intended shares of the tissue types, which add up to 1.
    tiles
        Approximate number of tiles of tissue.
    stream
        Seed of everything random in the slide.
    """

    slide_id: str
    patient_id: str
    discovery: bool
    shares: tuple[float, ...]
    tiles: int
    stream: tuple[int, ...]

    @property
    def path(self) -> str:
        """Path of the slide in the study folder."""
        return f"slides/{self.slide_id}.svs"


def plan_slides(patients: list[Patient], spec: SimulateSpec) -> list[PlannedSlide]:
    """Plan all slides, one or two for each patient."""
    rng = np.random.default_rng([spec.seed, 14])
    shares = draw_shares(spec, len(patients))
    out = []
    for number, patient in enumerate(patients):
        n = 2 if rng.random() < spec.second_slide else 1
        for index in range(n):
            out.append(
                PlannedSlide(
                    slide_id=patient.id if n == 1 else f"{patient.id}-{'AB'[index]}",
                    patient_id=patient.id,
                    discovery=patient.cohort == "discovery",
                    shares=tuple(shares[number].tolist()),
                    tiles=max(12, spec.tiles_per_patient // n),
                    stream=(spec.seed, 15, number, index),
                )
            )
    return out


def names_of(spec: SimulateSpec) -> tuple[str, ...]:
    """Names of the tissue types that `spec` plants."""
    return read_library(Path(spec.tiles)).names if spec.tiles else type_names(spec.types)


def write_slides(
    root: Path, slides: list[PlannedSlide], spec: SimulateSpec, execution: Execution
) -> dict[str, list[float]]:
    """Paint all slides, and write them with their label maps.

    Parameters
    ----------
    root
        The study folder.
    slides
        From `plan_slides`.
    spec
        What is planted.
    execution
        Number of workers.

    Returns
    -------
    dict
        slide_id -> true shares of the types.

    Raises
    ------
    PathosigError
        If a slide cannot be written.
    """
    shares: dict[str, list[float]] = {}
    with TemporaryDirectory() as shared, Progress("simulate", total=len(slides)) as bar:
        jobs = [
            Job(
                root=root,
                unit=s.slide_id,
                spec=spec,
                payload={**asdict(s), "shared": shared},
                execution=execution,
            )
            for s in slides
        ]
        for answer in run_in_processes(_write_one, jobs, execution=execution):
            shares[answer.unit] = list(answer.outcome().summary["shares"])
            bar.advance()
    return {s.slide_id: shares[s.slide_id] for s in slides}


def _write_one(job: Job) -> Outcome:
    spec, slide = job.spec, job.payload
    rng = np.random.default_rng(slide["stream"])
    size = slide_size(slide["tiles"], spec.tile_px)
    labels = label_map(size, np.asarray(slide["shares"]), rng, tile=spec.tile_px)
    full = enlarge(labels)
    kinds = [int(v) for v in np.unique(full) if v > 0]
    if spec.tiles:
        library = read_library(Path(spec.tiles)).half(slide["discovery"])
        fills = {v: mosaic_fill(size, library.tiles[v - 1], rng) for v in kinds}
    else:
        names = type_names(spec.types)
        fills = {v: procedural_fill(size, names[v - 1], spec.seed, rng, slide["shared"]) for v in kinds}
    pixels = paint(full, fills, rng, spec.slide_shift)
    write_svs(job.root / "slides" / f"{job.unit}.svs", pixels)
    write_label_map(job.paths.planted(job.unit, ".png"), labels)
    n_types = len(slide["shares"])
    return Outcome(summary={"shares": true_shares(labels, n_types).tolist()})


def example_slide(path: Path, *, tiles: int = 60, seed: int = 0) -> Path:
    """Paint one slide of procedural tissue on glass and write it in Aperio's format.

    Parameters
    ----------
    path
        File to write, such as ``slide.svs``.
    tiles
        Approximate number of tiles of tissue, of 224 pixels at 0.5 micrometres per pixel.
    seed
        Seed of everything random in the slide.

    Returns
    -------
    Path
        `path`.
    """
    rng = np.random.default_rng(seed)
    size = slide_size(tiles)
    names = type_names(3)
    labels = enlarge(label_map(size, np.full(len(names), 1 / len(names)), rng))
    fills = {int(v): procedural_fill(size, names[v - 1], seed, rng) for v in np.unique(labels) if v > 0}
    write_svs(path, paint(labels, fills, rng, 0.0))
    return path


def write_label_map(path: Path, labels: np.ndarray) -> None:
    """Write a label map, uint8[h, w], as a PNG whose grey values are the labels."""
    with atomic_path(path) as temporary:
        Image.fromarray(labels).save(temporary, format="PNG")


def read_label_map(path: Path) -> np.ndarray:
    """Read a label map that `write_label_map` wrote, uint8[h, w]."""
    with Image.open(path) as image:
        return np.asarray(image)
