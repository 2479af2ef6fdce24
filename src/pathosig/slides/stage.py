"""The TMA stage: cores.csv from the slides of kind tma and the user's map of patients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pathosig.core.errors import InputError, SlideError
from pathosig.core.execution import Execution, Job, Outcome, Stage, StageReport, Unit, run_each
from pathosig.core.study import Specimen, Study
from pathosig.core.tables import read_csv_rows, write_csv_rows
from pathosig.slides.opening import open_slide
from pathosig.slides.reading import read_overview
from pathosig.slides.tma import Core, TmaSpec, dearray

STAGE = Stage(name="tma", version=1)
MAP_COLUMNS = ("tma", "row", "column", "patient_id")
COLUMNS = (
    "slide_id", "parent", "x", "y", "width", "height", "row", "column", "status", "tissue", "patient_id",
)  # fmt: skip

Place = tuple[str, int, int]


def find_cores(
    study: Study,
    spec: TmaSpec | None = None,
    *,
    execution: Execution = Execution(),
) -> StageReport:
    """Find the cores of tissue microarrays and give them to patients by tma_map.csv.

    Writes cores.csv: one row for each place of each array, missing cores included. Later stages take
    the cores with status ``ok`` that have a patient.

    Returns
    -------
    StageReport
        One unit for each slide of kind tma.

    Raises
    ------
    InputError
        If tma_map.csv names a slide that is not a TMA, or gives one place twice.
    """
    spec = spec or study.spec(TmaSpec)
    slides = [s for s in study.slides() if s.kind == "tma"]
    patients = _read_map(study.root / "tma_map.csv", {s.id for s in slides})
    units = [_unit(study, slide, patients) for slide in slides]
    report = run_each(study, STAGE, spec, units, _one, execution=execution)
    rows: list[dict[str, object]] = []
    for slide in slides:
        record = study.record(STAGE.name, slide.id)
        if record is not None and record.status != "failed":
            for row in read_csv_rows(study.file("tma", slide.id, ".csv")):
                place = (slide.id, int(row["row"]), int(row["column"]))
                rows.append({**row, "patient_id": patients.get(place, "")})
    if slides:
        write_csv_rows(study.root / "cores.csv", rows, COLUMNS)
    return report


def _read_map(path: Path, known: set[str]) -> dict[Place, str]:
    """tma_map.csv as (tma, row, column) -> patient_id; rows and columns are numbers or letters (A = 1)."""
    if not path.is_file():
        return {}
    rows = read_csv_rows(path)
    lacking = [c for c in MAP_COLUMNS if rows and c not in rows[0]]
    if lacking:
        raise InputError(f"tma_map.csv: columns {lacking} are missing; found {list(rows[0])}.")
    out: dict[Place, str] = {}
    for number, row in enumerate(rows, start=2):
        if row["tma"] not in known:
            raise InputError(
                f"tma_map.csv, line {number}: {row['tma']!r} is not a slide of kind tma in slides.csv; "
                f"those are {sorted(known)[:5]}."
            )
        place = (row["tma"], _line(row["row"], number, "row"), _line(row["column"], number, "column"))
        if place in out:
            raise InputError(
                f"tma_map.csv, line {number}: {row['tma']} row {row['row']} column {row['column']} is there twice.",
                code="E_DUP_ID",
            )
        out[place] = row["patient_id"]
    return out


def _line(text: str, number: int, name: str) -> int:
    """A row or column as a number from 1."""
    value = text.strip()
    if value.isascii() and value.isdigit() and int(value) >= 1:
        return int(value)
    if value.isascii() and value.isalpha() and len(value) <= 2:
        total = 0
        for letter in value.upper():
            total = total * 26 + ord(letter) - ord("A") + 1
        return total
    raise InputError(f"tma_map.csv, line {number}: {name} {text!r}; expected 1, 2, ... or A, B, ...")


def _unit(study: Study, slide: Specimen, patients: Mapping[Place, str]) -> Unit:
    mapped = [(row, column) for tma, row, column in patients if tma == slide.id]
    size = [max(p[0] for p in mapped), max(p[1] for p in mapped)] if mapped else [0, 0]
    return Unit(
        id=slide.id,
        inputs={"slide": study.input_identity(slide), "map_size": size},
        payload={
            "path": str(slide.path),
            "mpp": slide.mpp,
            "size": size,
            "output": study.file("tma", slide.id, ".csv").relative_to(study.root).as_posix(),
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
    found = (max(c.row for c in cores), max(c.column for c in cores))
    lost = [f"{c.row}-{c.column}" for c in cores if c.status == "missing"]
    poor = [f"{c.row}-{c.column}" for c in cores if c.status == "poor"]
    wanted = payload["size"]
    if wanted[0] > found[0] or wanted[1] > found[1]:
        warnings.append(
            f"tma_map.csv has {wanted[0]} rows and {wanted[1]} columns, the slide {found[0]} and {found[1]}: an outer "
            "line may be missing. Set rows and columns under [tma], or look at cores.csv"
        )
    return Outcome(
        outputs=(payload["output"],),
        warnings=tuple(warnings),
        summary={"rows": found[0], "columns": found[1], "missing": lost, "poor": poor, "cores": len(cores)},
    )


def _row(tma: str, core: Core, downsample: float, size: tuple[int, int], *, margin: float) -> dict[str, Any]:
    """A row of cores.csv: the square around a core, inside the slide, in level-0 pixels."""
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
