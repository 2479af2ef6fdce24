"""The report stage: gathers what a study holds, draws the figures and writes one HTML file."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathosig.core.errors import InputError, PathosigError
from pathosig.core.execution import run_once, versions
from pathosig.core.labels import read_hpc_names
from pathosig.core.layout import Layout
from pathosig.core.records import (
    identity,
    json_files,
    parquet_metadata,
    read_json,
    read_parquet,
    write_bytes,
    write_text,
)
from pathosig.core.study import Study
from pathosig.core.tables import read_csv_rows
from pathosig.core.units import Execution, Job, Outcome, Stage, Unit
from pathosig.report.material import STAGES, Material
from pathosig.report.spec import ReportSpec

if TYPE_CHECKING:
    import pandas as pd

    from pathosig.core.records import Record

logger = logging.getLogger(__name__)

STAGE_VERSION = 2
STAGE = Stage(name="report", version=STAGE_VERSION)
UNIT = "_report"


def build_report(study: Study, spec: ReportSpec | None = None, *, execution: Execution = Execution()) -> Path:
    """Write report/index.html and figures/*.svg from whatever the study holds.

    Parameters
    ----------
    study
        An open study; stages that have not run are reported as not available.
    spec
        What to show; from study.toml by default.
    execution
        Only ``force`` matters here.

    Returns
    -------
    Path of the HTML file.
    """
    spec = spec or study.spec(ReportSpec)
    unit = Unit(id=UNIT, inputs=_inputs(study), upstream=_upstream(study))
    run_once(study, STAGE, spec, unit, _write_report, execution=execution)
    return study.paths.report


def _inputs(study: Study) -> dict[str, Any]:
    """Identities of the files a report reads that no record covers, and of the edits made by hand."""
    names = ["study.toml", "slides.csv", "patients.csv", "cores.csv", "truth.json", Layout.hpc_names]
    paths = [study.root / n for n in names] + json_files(study.paths.audits)
    return {p.relative_to(study.root).as_posix(): identity(p) for p in paths if p.is_file()}


def _upstream(study: Study) -> dict[str, str]:
    return {f"{s}/{r.unit}": f"{r.status} {r.fingerprint}" for s in STAGES for r in study.records(s)}


def _write_report(job: Job) -> Outcome:
    from pathosig.figures.style import pdf_bytes
    from pathosig.report.compose import compose
    from pathosig.report.page import Picture, every_block, render

    study = Study.open(job.root)
    spec: ReportSpec = job.spec
    material = gather(study, spec)
    page = compose(material, spec)
    outputs = []
    pictures = [b for s in page.sections for b in every_block(s.blocks) if isinstance(b, Picture)]
    for block in pictures:
        outputs.append(f"figures/{block.name}.svg")
        write_bytes(study.root / outputs[-1], block.data)
        if spec.pdf and block.figure is not None:
            outputs.append(f"figures/{block.name}.pdf")
            write_bytes(study.root / outputs[-1], pdf_bytes(block.figure))
    _remove_old_figures(study, keep=set(outputs))
    html = render(page)
    write_text(study.paths.report, html)
    outputs.append(Layout.report)
    summary = {"figures": len(pictures), "sections": len(page.sections), "bytes": len(html.encode())}
    return Outcome(outputs=tuple(outputs), summary=summary)


def _remove_old_figures(study: Study, *, keep: set[str]) -> None:
    """Delete figures that the previous report wrote and this one does not."""
    before = study.record(STAGE.name, UNIT)
    for name in before.outputs if before is not None else ():
        path = study.root / name
        if name.startswith("figures/") and name not in keep and path.is_file():
            path.unlink()


# -- gathering --------------------------------------------------------------------------------


def gather(study: Study, spec: ReportSpec) -> Material:
    """Everything the study holds, as plain values."""
    from pathosig.report.images import read_atlas_tiles, read_pictures

    records: dict[str, list[Record]] = {s: study.records(s) for s in STAGES}
    records = {s: r for s, r in records.items() if r}
    tree = _json(study, Layout.tree)
    if tree:
        tree["names"] = read_hpc_names(study)
    cohorts = study.cohorts() if study.paths.patients.is_file() else []
    patients = study.patients() if cohorts or study.paths.patients.is_file() else None
    specimens = study.specimens()
    slide_profiles, _ = _profiles(study, "slides")
    patient_profiles, facts = _profiles(study, "patients")
    return Material(
        name=str(study.config.get("study", {}).get("name", "")),
        config=study.config,
        slides=[
            {"id": s.id, "patient": s.patient_id, "cohort": s.cohort, "kind": s.kind, "site": s.site}
            for s in specimens
        ],
        patients=patients,
        endpoints=_declared(study.endpoints, {}),
        primary=_declared(lambda: vars_of(study.primary), {}),
        cohorts=cohorts,
        events=_events(study, patients),
        records=records,
        truth=_json(study, "truth.json"),
        tree=tree,
        health=_json(study, Layout.health),
        tile_map=_tile_map(study.paths.tile_map),
        signature=_json(study, Layout.signature),
        results=_results(study),
        atlas=read_atlas_tiles(study, per_hpc=spec.exemplars) if tree else (),
        pictures=read_pictures(study, specimens, at_most=spec.max_overviews, size_px=spec.overview_px),
        slide_profiles=slide_profiles,
        patient_profiles=patient_profiles,
        profile_facts=facts,
        scores=_rows(study.paths.scores),
        audits=_audits(study),
        versions=versions(),
    )


def _tile_map(path: Path) -> dict[str, Any]:
    from pathosig.core.schema import TILE_MAP, read_table

    if not path.is_file():
        return {}
    table = read_table(path, TILE_MAP)
    return {name: table.column(name).to_numpy() for name in ("x", "y", "hpc")}


def vars_of(value: Any) -> dict[str, Any]:
    """The fields of a frozen dataclass."""
    import dataclasses

    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}


def _declared(read: Any, otherwise: Any) -> Any:
    try:
        return read()
    except PathosigError as error:
        logger.info("report: %s", error)
        return otherwise


def _json(study: Study, name: str) -> dict[str, Any]:
    path = study.root / name
    if not path.is_file():
        return {}
    try:
        value = read_json(path)
    except InputError as error:
        logger.warning("report: %s", error)
        return {}
    return value if isinstance(value, dict) else {"items": value}


def _results(study: Study) -> dict[str, Any]:
    """results.json; before validation, or without a signature, what the signature stage wrote."""
    found = _json(study, Layout.results)
    if found:
        return found
    selection = _json(study, Layout.selection)
    rows = [{k: _typed(v) for k, v in r.items()} for r in _rows(study.paths.univariate)]
    parts = {
        "univariate": rows,
        "selection": selection,
        "cutoff": selection.get("cutoff"),
        "core_agreement": _json(study, Layout.core_agreement),
    }
    return {k: v for k, v in parts.items() if v}


def _typed(text: str) -> Any:
    """A CSV cell as the value JSON would hold."""
    if text in ("True", "False", ""):
        return {"True": True, "False": False, "": None}[text]
    try:
        return float(text)
    except ValueError:
        return text


def _rows(path: Path) -> list[dict[str, str]]:
    return read_csv_rows(path) if path.is_file() else []


def _profiles(study: Study, name: str) -> tuple[pd.DataFrame | None, Mapping[str, Any]]:
    path = study.root / "profiles" / f"{name}.parquet"
    if not path.is_file():
        return None, {}
    return read_parquet(path).to_pandas(), parquet_metadata(path).get("pathosig", {})


def _events(study: Study, patients: pd.DataFrame | None) -> dict[tuple[str, str], tuple[int, int]]:
    out: dict[tuple[str, str], tuple[int, int]] = {}
    if patients is None or "cohort" not in patients:
        return out
    cohort_of = dict(zip(patients["patient_id"], patients["cohort"], strict=True))
    for endpoint in _declared(study.endpoints, {}):
        table = _declared(lambda name=endpoint: study.survival(name), None)
        if table is None:
            continue
        cohorts = table["patient_id"].map(cohort_of)
        for cohort in study.cohorts():
            rows = table[cohorts == cohort]
            out[cohort, endpoint] = (len(rows), int(rows["event"].sum()))
    return out


def _audits(study: Study) -> dict[str, Any]:
    return {p.stem: read_json(p) for p in json_files(study.paths.audits)}
