"""What a run would do, how long it would take and how much room it needs: `pathosig run --dry-run`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import PathosigError
from pathosig.core.limits import SlideLimits
from pathosig.core.records import Record, read_json
from pathosig.core.stages import StageRow
from pathosig.core.study import Specimen, Study
from pathosig.core.units import Execution
from pathosig.encoder.spec import EncoderSpec
from pathosig.tiles.spec import TileSpec

# Measured on one core of a server of 2024 (docs/how-to/run-large-studies.md); a study's own records are taken first.
_TISSUE_S, _TILES_S = 0.5, 1.0
_TILES_PER_S = {"efficientnet-lite0": 14.0, "resnet50": 4.7}
_FOUNDATION_TILES_PER_S = 0.25
_ASSIGN_S, _ASSIGN_S_PER_NUMBER = 2.3e-6, 6.6e-9  # of a tile, and of each number of its embedding
_TISSUE_PROPORTION = 0.3
_LOOK_AT = 20
_DIM, _FOUNDATION_DIM = {"efficientnet-lite0": 1280, "resnet50": 2048}, 1536
_BYTES_PER_TILE = 60  # its rows in the tile table and the table of assignments


@dataclass(frozen=True, kw_only=True, slots=True)
class StagePlan:
    """One stage: units in all, those that have a record already, and hours of one worker for the rest."""

    stage: str
    units: int
    recorded: int
    hours: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlan:
    """What `run` would do.

    Attributes
    ----------
    tiles
        Expected in the whole study: those that were cut, and for slides that were not, the mean of those that were, or
        what fits on a third of their area.
    hours
        Wall time with the workers that were asked for; fits are left out.
    disk_gb, free_gb
        What results will take, and what there is.
    limits
        Memory and time that each slide may take.
    events
        Cohort -> events of the primary endpoint.
    """

    stages: tuple[StagePlan, ...]
    slides: int
    tiles: int
    workers: int
    hours: float
    disk_gb: float
    free_gb: float
    limits: SlideLimits
    events: dict[str, int]

    def to_text(self) -> str:
        """A table of the stages, then what it takes."""
        lines = [f"{'stage':<12}{'units':>8}{'recorded':>10}{'hours':>9}"]
        for row in self.stages:
            hours = "" if row.hours is None else f"{row.hours:.2f}"
            lines.append(f"{row.stage:<12}{row.units:>8}{row.recorded:>10}{hours:>9}".rstrip())
        lines.append(
            f"{self.slides} slides, about {self.tiles:,} tiles, about {self.hours:.1f} h with {self.workers} workers"
        )
        room = "" if self.free_gb > self.disk_gb else ": NOT ENOUGH ROOM"
        lines.append(f"results take about {self.disk_gb:.1f} GB; {self.free_gb:.1f} GB are free{room}")
        lines.append(f"limits: {self.limits.to_text()}")
        lines.append("events: " + (", ".join(f"{k} {v}" for k, v in self.events.items()) or "none"))
        return "\n".join(lines)


def plan_of(study: Study, rows: Sequence[StageRow], *, execution: Execution) -> RunPlan:
    """The plan of the given stages; nothing is written.

    Parameters
    ----------
    rows
        Stages in order (see `stages.stages_of`).
    execution
        Workers and limits of the run.
    """
    specimens = study.specimens()
    records = {row.name: study.records(row.name) for row in rows}
    counts = _tile_counts(study, specimens, records.get("tiles", []))
    tiles = int(sum(counts.values()))
    encoder = study.spec(EncoderSpec)
    dim = _dim(study, encoder.name)
    stages, hours = [], 0.0
    for row in rows:
        fits = not row.per_specimen and row.name != "phenotypes"
        units = 1 if fits else len(specimens)
        done = {r.unit for r in records[row.name] if r.status != "failed"}
        left = {s.id for s in specimens} - done
        took = None if fits else _hours(row.name, left, counts, records[row.name], encoder.name, dim)
        hours += (took or 0.0) / max(1, execution.workers)
        stages.append(StagePlan(stage=row.name, units=units, recorded=len(done), hours=took))
    per_tile = dim * 2 + _BYTES_PER_TILE
    pixels = sum(counts[i] for i in counts if i not in {r.unit for r in records.get("embed", [])})
    needed = pixels * per_tile if study.level == "slides" else tiles * _BYTES_PER_TILE
    return RunPlan(
        stages=tuple(stages),
        slides=len(specimens),
        tiles=tiles,
        workers=execution.workers,
        hours=round(hours, 3),
        disk_gb=round(needed / 1e9, 3),
        free_gb=round(shutil.disk_usage(study.root).free / 1e9, 3),
        limits=SlideLimits.of(execution),
        events=_events(study),
    )


def _hours(
    stage: str, left: set[str], counts: dict[str, float], records: Sequence[Record], encoder: str, dim: int
) -> float:
    """Hours of one worker for the units that are left: from this study's records, else from what was measured elsewhere."""
    done = [(r.unit, r.seconds) for r in records if r.status == "ok" and r.seconds is not None]
    tiles = sum(counts.get(unit, 0.0) for unit in left)
    seen = sum(counts.get(unit, 0.0) for unit, _ in done)
    if done and (stage not in ("embed", "phenotypes") or seen):
        seconds = sum(each for _, each in done)
        each = seconds / seen * tiles if stage in ("embed", "phenotypes") else seconds / len(done) * len(left)
        return round(each / 3600, 4)
    if stage == "embed":
        return round(tiles / _TILES_PER_S.get(encoder, _FOUNDATION_TILES_PER_S) / 3600, 4)
    if stage == "phenotypes":
        return round(tiles * (_ASSIGN_S + _ASSIGN_S_PER_NUMBER * dim) / 3600, 4)
    per_unit = {"tissue": _TISSUE_S, "tma": _TISSUE_S, "tiles": _TILES_S}.get(stage, 0.0)
    return round(per_unit * len(left) / 3600, 4)


def _dim(study: Study, encoder: str) -> int:
    """Numbers of an embedding: as the study's encoder has them, or the one of that name."""
    path = study.paths.encoder_card
    return int(read_json(path)["dim"]) if path.is_file() else _DIM.get(encoder, _FOUNDATION_DIM)


def _tile_counts(study: Study, specimens: Sequence[Specimen], records: Sequence[Record]) -> dict[str, float]:
    """Tiles of every specimen, expected where they are not cut."""
    cut = {r.unit: float(r.summary["n_tiles"]) for r in records if "n_tiles" in r.summary}
    missing = [s for s in specimens if s.id not in cut]
    expected = float(np.mean(list(cut.values()))) if cut else 0.0
    if missing and not cut and study.level == "slides":
        step = max(1, len(missing) // _LOOK_AT)
        sizes = [n for s in missing[::step][:_LOOK_AT] if (n := _fitting(study, s)) is not None]
        expected = float(np.mean(sizes)) if sizes else 0.0
    return {s.id: cut.get(s.id, expected) for s in specimens}


def _fitting(study: Study, specimen: Specimen) -> float | None:
    """How many tiles fit on a third of a slide; None where it cannot be opened."""
    from pathosig.slides import open_slide  # the slide readers are an extra

    spec = study.spec(TileSpec)
    try:
        with open_slide(specimen.path, mpp=specimen.mpp, region=specimen.region) as reader:
            width, height = reader.info.level_sizes[0]
            mpp = reader.info.mpp
    except (PathosigError, OSError):
        return None
    return (
        None if mpp is None else _TISSUE_PROPORTION * width * height * (mpp / (spec.mpp * spec.size_px)) ** 2
    )


def _events(study: Study) -> dict[str, int]:
    try:
        frame = study.survival(study.primary.endpoint)
        return {
            name: int(frame[frame["patient_id"].isin(study.cohort(name))]["event"].sum())
            for name in study.cohorts()
        }
    except (PathosigError, FileNotFoundError):
        return {}
