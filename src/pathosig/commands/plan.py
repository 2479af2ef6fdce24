"""What a run would do, how long it would take and how much disk space it needs: `pathosig run --dry-run`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathosig.commands.costs import StudySize, fit_seconds, unit_seconds
from pathosig.core.errors import PathosigError
from pathosig.core.limits import SlideLimits
from pathosig.core.records import Record, read_json
from pathosig.core.stages import StageRow
from pathosig.core.study import Specimen, Study
from pathosig.core.units import Execution
from pathosig.encoder.spec import EncoderSpec
from pathosig.tiles.spec import TileSpec
from pathosig.validation.spec import ValidateSpec

_TISSUE_PROPORTION = 0.3
_LOOK_AT = 20
_DIM, _FOUNDATION_DIM = {"efficientnet-lite0": 1280, "resnet50": 2048}, 1536
_BYTES_PER_TILE = 60  # its rows in the tile table and the table of assignments


@dataclass(frozen=True, kw_only=True, slots=True)
class StagePlan:
    """What one stage would do.

    Attributes
    ----------
    stage
        Its name.
    units
        Slides or cores, or 1 for a fit over the whole study.
    recorded
        Units that have a record already.
    hours
        Hours of one core for the others; None for training.
    """

    stage: str
    units: int
    recorded: int
    hours: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlan:
    """What `run` would do.

    Attributes
    ----------
    stages
        One row per stage.
    slides
        Number of slides and cores.
    tiles
        Expected number of tiles in the study. A slide that is not cut yet counts as the mean of those that are, or, if none
        is, as the number of tiles that fit on 30 % of a slide.
    workers
        Number of workers that was asked for.
    hours
        Wall time with that many workers, without training.
    disk_gb, free_gb
        Disk space that the results will take, and free disk space, in GB.
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
        """A table of the stages, then the time and disk space of the run."""
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
    study
        An open study.
    rows
        Stages in order (see `stages.stages_of`).
    execution
        Workers and limits of the run.
    """
    specimens = study.specimens()
    records = {row.name: study.records(row.name) for row in rows}
    counts, gigapixels = _tile_counts(study, specimens, records.get("tiles", []))
    encoder = study.spec(EncoderSpec)
    size = StudySize(
        patients=len({s.patient_id for s in specimens}) or _patients(study),
        gigapixels=gigapixels,
        tiles=sum(counts.values()),
        dim=_dim(study, encoder.name),
        encoder=encoder.name,
        permutations=study.spec(ValidateSpec).permutations,
    )
    stages: list[StagePlan] = []
    hours, is_due = 0.0, False
    for row in rows:
        has_units = row.per_specimen or row.name == "phenotypes"
        done = {r.unit for r in records[row.name] if r.status != "failed"}
        left = [s.id for s in specimens if s.id not in done] if has_units else []
        is_due = is_due or bool(left) or not done
        of_units = _unit_hours(row.name, left, counts, records[row.name], size)
        of_fit = _fit_hours(row.name, records[row.name], size) if is_due else 0.0
        hours += of_units / max(1, execution.workers) + (of_fit or 0.0)
        stages.append(
            StagePlan(
                stage=row.name,
                units=len(specimens) if has_units else 1,
                recorded=len(done),
                hours=None if of_fit is None else round(of_units + of_fit, 4),
            )
        )
    per_tile = size.dim * 2 + _BYTES_PER_TILE
    embedded = {r.unit for r in records.get("embed", [])}
    due = sum(tiles for unit, tiles in counts.items() if unit not in embedded)
    needed = due * per_tile if study.level == "slides" else size.tiles * _BYTES_PER_TILE
    return RunPlan(
        stages=tuple(stages),
        slides=len(specimens),
        tiles=int(size.tiles),
        workers=execution.workers,
        hours=round(hours, 3),
        disk_gb=round(needed / 1e9, 3),
        free_gb=round(shutil.disk_usage(study.root).free / 1e9, 3),
        limits=SlideLimits.of(execution),
        events=_events(study),
    )


def _unit_hours(
    stage: str, left: Sequence[str], counts: dict[str, float], records: Sequence[Record], size: StudySize
) -> float:
    """Hours of one core for the slides that are left, estimated from this study's records, or else from the cost model."""
    done = [(r.unit, r.seconds) for r in records if r.unit in counts and r.status == "ok" and r.seconds]
    follows_tiles = stage in ("embed", "phenotypes")
    seen = sum(counts[unit] for unit, _ in done)
    if done and (seen or not follows_tiles):
        seconds = sum(each for _, each in done)
        work = sum(counts[unit] for unit in left) / seen if follows_tiles else len(left) / len(done)
        return seconds * work / 3600
    return sum(unit_seconds(stage, size, tiles=counts[unit]) for unit in left) / 3600


def _fit_hours(stage: str, records: Sequence[Record], size: StudySize) -> float | None:
    """Hours of one core for what a stage does once: as long as it took before, or else by the cost model."""
    done = [r for r in records if r.status == "ok"]
    took = [r.seconds for r in done if r.unit.startswith("_") and r.seconds]
    seconds = sum(took) if done else fit_seconds(stage, size)
    return None if seconds is None else seconds / 3600


def _patients(study: Study) -> int:
    return len(study.patients()) if study.paths.patients.is_file() else 0


def _dim(study: Study, encoder: str) -> int:
    """Length of an embedding, from the study's encoder card if there is one, or else by the encoder's name."""
    path = study.paths.encoder_card
    return int(read_json(path)["dim"]) if path.is_file() else _DIM.get(encoder, _FOUNDATION_DIM)


def _tile_counts(
    study: Study, specimens: Sequence[Specimen], records: Sequence[Record]
) -> tuple[dict[str, float], float]:
    """Tiles of every specimen, estimated where they are not cut yet, and the mean gigapixels of a sample of those."""
    cut = {r.unit: float(r.summary["n_tiles"]) for r in records if "n_tiles" in r.summary}
    missing = [s for s in specimens if s.id not in cut]
    expected = float(np.mean(list(cut.values()))) if cut else 0.0
    gigapixels = 0.0
    if missing and study.level == "slides":
        step = max(1, len(missing) // _LOOK_AT)
        sizes = [n for s in missing[::step][:_LOOK_AT] if (n := _size_of(study, s)) is not None]
        gigapixels = float(np.mean([pixels for pixels, _ in sizes])) / 1e9 if sizes else 0.0
        expected = expected if cut or not sizes else float(np.mean([tiles for _, tiles in sizes]))
    return {s.id: cut.get(s.id, expected) for s in specimens}, gigapixels


def _size_of(study: Study, specimen: Specimen) -> tuple[float, float] | None:
    """Pixels of a slide at level 0, and the tiles that fit on 30 % of it; None if it cannot be opened or has no mpp."""
    from pathosig.slides import open_slide  # the slide readers are an extra

    spec = study.spec(TileSpec)
    try:
        with open_slide(specimen.path, mpp=specimen.mpp, region=specimen.region) as reader:
            width, height = reader.info.level_sizes[0]
            mpp = reader.info.mpp
    except (PathosigError, OSError):
        return None
    if mpp is None:
        return None
    pixels = float(width * height)
    return pixels, _TISSUE_PROPORTION * pixels * (mpp / (spec.mpp * spec.size_px)) ** 2


def _events(study: Study) -> dict[str, int]:
    try:
        frame = study.survival(study.primary.endpoint)
        return {
            name: int(frame[frame["patient_id"].isin(study.cohort(name))]["event"].sum())
            for name in study.cohorts()
        }
    except (PathosigError, FileNotFoundError):
        return {}
