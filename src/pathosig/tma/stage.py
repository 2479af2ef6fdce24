"""The TMA stage: writes cores.csv from the slides of kind tma and the user's map of patients."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from pathosig.core.errors import InputError, SlideError
from pathosig.core.execution import run_each
from pathosig.core.records import read_json, sha256_file, write_json
from pathosig.core.study import Specimen, Study
from pathosig.core.tables import csv_text, read_csv_rows, read_text, write_csv_rows
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.slides.opening import open_slide
from pathosig.slides.reading import read_overview
from pathosig.tma.dearray import Core, TmaSpec, dearray
from pathosig.tma.maps import COLUMNS as MAP_COLUMNS
from pathosig.tma.maps import line_number

logger = logging.getLogger(__name__)

STAGE = Stage(name="tma", version=3)
COLUMNS = (
    "slide_id",
    "parent",
    "x",
    "y",
    "width",
    "height",
    "row",
    "column",
    "status",
    "tissue",
    "patient_id",
)

Place = tuple[str, int, int]


def find_cores(
    study: Study,
    spec: TmaSpec | None = None,
    *,
    execution: Execution = Execution(),
) -> StageReport:
    """Find the cores of tissue microarrays and assign them to patients by tma_map.csv.

    Writes cores.csv with one row for each place of each array, including missing cores. Later stages use the cores with
    status ``ok`` that have a patient. A cores.csv that was edited by hand is kept, and rows of new arrays are added to it;
    ``force`` replaces it.

    Parameters
    ----------
    study
        A study with its slides.csv.
    spec
        Settings; by default those of study.toml.
    execution
        Number of workers, and what to do with slides that are already done or that fail.

    Returns
    -------
    StageReport
        One unit for each slide of kind tma.

    Raises
    ------
    InputError
        If tma_map.csv lacks a column, names a slide that is not a TMA, or lists a place twice.
    """
    spec = spec or study.spec(TmaSpec)
    slides = [s for s in study.slides() if s.kind == "tma"]
    patients = _read_map(study.paths.tma_map, {s.id for s in slides})
    units = [_unit(study, slide, patients) for slide in slides]
    report = run_each(study, STAGE, spec, units, _one, execution=execution)
    rows: list[dict[str, object]] = []
    for slide in slides:
        record = study.record(STAGE.name, slide.id)
        if record is not None and record.status != "failed":
            for row in read_csv_rows(study.paths.tma(slide.id)):
                place = (slide.id, int(row["row"]), int(row["column"]))
                rows.append({**row, "patient_id": patients.get(place, "")})
    if slides:
        _write_cores(study, rows, force=execution.force)
    return report


def _write_cores(study: Study, rows: list[dict[str, object]], *, force: bool) -> None:
    """Write cores.csv; if it was edited by hand, keep its rows and add only those of new arrays."""
    path, note = study.paths.cores, study.paths.cores_note
    note_before = read_json(note) if note.is_file() else {}
    wanted = csv_text(rows, COLUMNS)
    present = read_text(path) if path.is_file() and not force else wanted
    edited = present != wanted and (
        note_before.get("edited") or sha256_file(path) != note_before.get("sha256")
    )
    if not edited:
        write_csv_rows(path, rows, COLUMNS)
    else:
        held = read_csv_rows(path)
        parents = {row.get("parent") for row in held}
        new = [row for row in rows if row["parent"] not in parents]
        if new:
            write_csv_rows(path, [*held, *new], [*(held[0] if held else COLUMNS)])
        logger.warning(
            "cores.csv was edited by hand and is kept as it is%s. `pathosig tma --force` replaces it.",
            f", with {len(new)} places of new arrays added" if new else "",
        )
    write_json(note, {"sha256": sha256_file(path), "edited": bool(edited)})


def _read_map(path: Path, arrays: set[str]) -> dict[Place, str]:
    """Patient of each (tma, row, column) of tma_map.csv; its rows and columns are numbers or letters (A = 1)."""
    if not path.is_file():
        return {}
    rows = read_csv_rows(path)
    lacking = [c for c in MAP_COLUMNS if rows and c not in rows[0]]
    if lacking:
        raise InputError(f"tma_map.csv: columns {lacking} are missing; it has {list(rows[0])}.")
    out: dict[Place, str] = {}
    for number, row in enumerate(rows, start=2):
        if row["tma"] not in arrays:
            raise InputError(
                f"tma_map.csv, line {number}: {row['tma']!r} is not a slide of kind tma in slides.csv, which has "
                f"{sorted(arrays)[:5]}."
            )
        place = (row["tma"], _line(row["row"], number, "row"), _line(row["column"], number, "column"))
        if place in out:
            raise InputError(
                f"tma_map.csv, line {number}: {row['tma']} row {row['row']} column {row['column']} is listed twice.",
                code="E_DUP_ID",
            )
        out[place] = row["patient_id"]
    return out


def _line(text: str, number: int, name: str) -> int:
    """A row or column as a number from 1."""
    value = line_number(text)
    if value is not None:
        return value
    raise InputError(f"tma_map.csv, line {number}: {name} {text!r}; expected 1, 2, ... or A, B, ...")


def _unit(study: Study, slide: Specimen, patients: Mapping[Place, str]) -> Unit:
    mapped = [(row, column) for tma, row, column in patients if tma == slide.id]
    size = [max(p[0] for p in mapped), max(p[1] for p in mapped)] if mapped else [0, 0]
    return Unit(
        id=slide.id,
        inputs={"map_size": size},
        slide=slide.as_input(),
        payload={
            "path": str(slide.path),
            "mpp": slide.mpp,
            "size": size,
            "output": study.paths.relative(study.paths.tma(slide.id)),
        },
    )


def _one(job: Job) -> Outcome:
    spec, payload = job.spec, job.payload
    with open_slide(Path(payload["path"]), mpp=payload["mpp"]) as reader:
        width, height = reader.info.level_sizes[0]
        rgb, downsample = read_overview(reader, mpp=reader.info.mpp or 1.0, max_side=spec.max_side_px)
        warnings = list(reader.info.warnings)
    try:
        cores = dearray(rgb, spec)
    except SlideError as error:
        raise SlideError(f"slide {job.unit}: {error.message}", code=error.code) from error
    rows = [_row(job.unit, core, downsample, (width, height), margin=spec.margin) for core in cores]
    write_csv_rows(job.root / payload["output"], rows, COLUMNS[:-1])
    grid = (max(c.row for c in cores), max(c.column for c in cores))
    lost = [f"{c.row}-{c.column}" for c in cores if c.status == "missing"]
    poor = [f"{c.row}-{c.column}" for c in cores if c.status == "poor"]
    wanted = payload["size"]
    if wanted[0] > grid[0] or wanted[1] > grid[1]:
        warnings.append(
            f"tma_map.csv has {wanted[0]} rows and {wanted[1]} columns, but {grid[0]} and {grid[1]} were found on the slide: an "
            "outer line may be missing. Set rows and columns under [tma], or check cores.csv"
        )
    return Outcome(
        outputs=(payload["output"],),
        warnings=tuple(warnings),
        summary={"rows": grid[0], "columns": grid[1], "missing": lost, "poor": poor, "cores": len(cores)},
    )


def _row(
    tma: str, core: Core, downsample: float, size: tuple[int, int], *, margin: float
) -> dict[str, object]:
    """A row of cores.csv: the square around a core in level-0 pixels, cut at the edges of the slide."""
    half = core.diameter * (0.5 + margin)
    x0, y0 = (max(0, round((v - half) * downsample)) for v in (core.x, core.y))
    x1 = min(size[0], round((core.x + half) * downsample))
    y1 = min(size[1], round((core.y + half) * downsample))
    return {
        "slide_id": f"{tma}#{core.row}-{core.column}",
        "parent": tma,
        "x": x0,
        "y": y0,
        "width": max(1, x1 - x0),
        "height": max(1, y1 - y0),
        "row": core.row,
        "column": core.column,
        "status": core.status,
        "tissue": core.tissue,
    }
