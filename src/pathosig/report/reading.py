"""Reads a study for its report: every table, record and picture, as the values of `pathosig.report.material`."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pathosig.core.errors import InputError, PathosigError
from pathosig.core.fingerprints import identity
from pathosig.core.labels import read_names
from pathosig.core.layout import Layout
from pathosig.core.overlay import read_overlay, tissue_rings
from pathosig.core.planted_claims import read_claims
from pathosig.core.records import json_files, parquet_metadata, read_json, read_parquet
from pathosig.core.schema import ATLAS, TILE_MAP, read_table
from pathosig.core.stages import STAGE_NAMES
from pathosig.core.tables import read_csv_rows
from pathosig.core.versions import versions
from pathosig.figures.titles import cohort_title, selection_words
from pathosig.report.health import coarse_groups, health_facts, health_rows
from pathosig.report.images import TILE_PX, opened, overview, tiles_at
from pathosig.report.material import (
    AtlasTile,
    Candidate,
    CoreScore,
    FrozenScore,
    Material,
    PatientScore,
    Phenotypes,
    Profiles,
    SlidePicture,
    SlideRow,
    Term,
)
from pathosig.tiles.spec import TileSpec
from pathosig.validation.results import read_results

if TYPE_CHECKING:
    import pandas as pd

    from pathosig.core.study import Specimen, Study
    from pathosig.report.spec import ReportSpec
    from pathosig.validation.results import Results

logger = logging.getLogger(__name__)
T = TypeVar("T")


def inputs_of(study: Study) -> dict[str, object]:
    """Identities of the files a report reads that no record covers, and of the edits made by hand."""
    names = [
        "study.toml",
        "slides.csv",
        "patients.csv",
        "cores.csv",
        "truth.json",
        Layout.claims,
        Layout.hpc_names,
    ]
    paths = [study.root / n for n in names] + json_files(study.paths.audits)
    return {p.relative_to(study.root).as_posix(): identity(p) for p in paths if p.is_file()}


def upstream_of(study: Study) -> dict[str, str]:
    """Status and fingerprint of every unit that a report shows."""
    return {
        f"{s}/{r.unit}": f"{r.status} {r.fingerprint}" for s in STAGE_NAMES[:-1] for r in study.records(s)
    }


def read_material(study: Study, spec: ReportSpec) -> Material:
    """Everything the study holds, as values; what is missing or unreadable is left empty."""
    patients = study.patients() if (study.paths.patients).is_file() else None
    specimens = study.specimens()
    phenotypes = _phenotypes(study)
    declared = study.config.get("study", {})
    results, results_error = _results(study)
    return Material(
        name=str(declared.get("name", "")),
        level=str(declared.get("level", "")),
        columns=study.columns,
        slides=[
            SlideRow(id=s.id, patient=s.patient_id, cohort=s.cohort or "", kind=s.kind, site=s.site or "")
            for s in specimens
        ],
        patients=patients,
        endpoints=_or_nothing(study.endpoints) or {},
        primary=_or_nothing(lambda: study.primary) if "primary" in study.config else None,
        cohorts=study.cohorts() if patients is not None else [],
        events=_events(study, patients),
        records={s: records for s in STAGE_NAMES[:-1] if (records := study.records(s))},
        truth=_json(study.paths.truth),
        claims=_or_nothing(lambda: read_claims(study.paths.claims)) or (),
        phenotypes=phenotypes,
        tile_map=_tile_map(study.paths.tile_map),
        signature=_or_nothing(lambda: _signature(study)),
        candidates=_candidates(study.paths.univariate),
        results=results,
        results_error=results_error,
        core_agreement={} if results is None else results.core_agreement,
        atlas=() if phenotypes is None else atlas_tiles(study, specimens, per_hpc=spec.exemplars),
        pictures=_pictures(study, specimens, at_most=spec.max_overviews, size_px=spec.overview_px),
        profiles=_profiles(study),
        scores=[
            PatientScore(
                patient=r["patient_id"],
                cohort=r["cohort"],
                score=number_or(r["score"], np.nan),
                group=r["group"],
                agreement=r["core_agreement"],
            )
            for r in _rows(study.paths.scores)
        ],
        core_scores=[
            CoreScore(
                core=r["slide_id"],
                patient=r["patient_id"],
                tiles=int(float(r["n_tiles"])),
                score=number_or(r["score"], np.nan),
                group=r["group"],
            )
            for r in _rows(study.paths.core_scores)
        ],
        audits={p.stem: read_json(p) for p in json_files(study.paths.audits)},
        versions=versions(),
    )


def _or_nothing(read: Callable[[], T]) -> T | None:
    """What `read` gives; None, and a line in the log, where the study does not allow it."""
    try:
        return read()
    except (PathosigError, OSError) as error:
        logger.info("report: %s", error)
        return None


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = read_json(path)
    except InputError as error:
        logger.warning("report: %s", error)
        return {}
    return value if isinstance(value, dict) else {}


def _rows(path: Path) -> list[dict[str, str]]:
    return read_csv_rows(path) if path.is_file() else []


def number_or(text: str, otherwise: T) -> float | T:
    """The number in a cell of a CSV, or `otherwise` where there is none."""
    try:
        value = float(text)
    except ValueError:
        return otherwise
    return value if np.isfinite(value) else otherwise


# -- phenotypes -------------------------------------------------------------------------------


def _phenotypes(study: Study) -> Phenotypes | None:
    tree = _json(study.paths.tree)
    if not tree:
        return None
    health, names = _json(study.paths.health), read_names(study)
    cut = tree["coarse"]["groups"] if "coarse" in tree else ()
    return Phenotypes(
        k=int(tree["k"]),
        artefacts=frozenset(int(h) for h in tree.get("artefact_hpcs", ())),
        nodes={str(n["id"]): tuple(int(h) for h in n["leaves"]) for n in tree.get("nodes", ())},
        linkage=tree.get("linkage", ()),
        names=names.hpcs,
        groups=coarse_groups([int(g) for g in cut], health, names.coarse),
        health=health_rows(health),
        facts=health_facts(health),
    )


def _tile_map(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    table = read_table(path, TILE_MAP)
    names = [n for n in ("x", "y", "hpc", "coarse") if n in table.column_names]
    return {name: table.column(name).to_numpy() for name in names}


# -- patients ---------------------------------------------------------------------------------


def _profiles(study: Study) -> Profiles:
    tables: dict[str, pd.DataFrame] = {}
    declared: Mapping[str, Any] = {}
    for name in ("slides", "patients"):
        path = study.paths.slide_profiles if name == "slides" else study.paths.patient_profiles
        if path.is_file():
            tables[name] = read_parquet(path).to_pandas()
            declared = parquet_metadata(path).get("pathosig", {})
    return Profiles(
        slides=tables.get("slides"),
        patients=tables.get("patients"),
        kind=str(declared.get("kind", "composition")),
        k=declared.get("k"),
    )


def _events(study: Study, patients: pd.DataFrame | None) -> dict[tuple[str, str], tuple[int, int]]:
    out: dict[tuple[str, str], tuple[int, int]] = {}
    if patients is None or "cohort" not in patients:
        return out
    cohort_of = dict(zip(patients["patient_id"], patients["cohort"], strict=True))
    for endpoint in _or_nothing(study.endpoints) or ():
        table = _or_nothing(lambda name=endpoint: study.survival(name))  # type: ignore[misc]
        if table is None:
            continue
        cohorts = table["patient_id"].map(cohort_of)
        for cohort in study.cohorts():
            rows = table[cohorts == cohort]
            out[cohort, endpoint] = (len(rows), int(rows["event"].sum()))
    return out


# -- signature and validation -----------------------------------------------------------------


def _signature(study: Study) -> FrozenScore | None:
    from pathosig.signature.model import Signature

    path = study.paths.signature
    if not path.is_file():
        return None
    frozen = Signature.load(path)
    terms = [
        Term(
            feature=name,
            coef=coef,
            center=0.0
            if abs(center) < 1e-12
            else center,  # means of standardised features are 0 except for rounding
            leaves=frozen.transform.leaves.get(name, ()),
        )
        for name, coef, center in zip(frozen.hpcs, frozen.coef, frozen.center, strict=True)
    ]
    units = "features" if frozen.transform.scale == "feature" else "HPCs"
    selection = read_json(study.paths.selection) if study.paths.selection.is_file() else {}
    return FrozenScore(
        endpoint=frozen.endpoint,
        terms=terms,
        cutoff=frozen.cutoff,
        cutoff_rule=frozen.cutoff_rule,
        scale=frozen.transform.scale,
        equation=frozen.equation(),
        unit=frozen.baseline.unit,
        baseline=[
            (row.time, float(frozen.baseline.free_at([0.0], [row.time])[0, 0])) for row in frozen.baseline.at
        ],
        competes=frozen.baseline.competing is not None,
        trained_on=[
            (
                "Fitted on",
                f"{cohort_title(frozen.trained_on.cohort)}: {frozen.trained_on.n:,} patients, {frozen.trained_on.events:,} events",
            ),
            ("Standard deviation of the score there", f"{frozen.sd:.3g}"),
            ("Features chosen by", selection_words(frozen.trained_on.selection, units)),
        ],
        sd=frozen.sd,
        stable={c["representative"]: c["frequency"] for c in selection["clusters"] if c["selected"]}
        if "clusters" in selection
        else None,
    )


_NUMBERS = ("hr", "lower", "upper", "p", "q", "prevalence", "frequency", "steadiness")


def _candidates(path: Path) -> list[Candidate]:
    return [
        Candidate(
            feature=r["feature"],
            kind=r["kind"],
            leaves=tuple(int(h) for h in r["leaves"].split()),
            **{k: number_or(r[k], None) for k in _NUMBERS if k in r},
            selected=r["selected"] == "True",
        )
        for r in _rows(path)
    ]


def _results(study: Study) -> tuple[Results | None, str]:
    """results.json, and why it cannot be read; None and no reason before validation."""
    if not study.paths.results.is_file():
        return None, ""
    try:
        return read_results(study.paths.results), ""
    except PathosigError as error:
        return None, f"{error.code}: {error.message}"


# -- pixels -----------------------------------------------------------------------------------


def _pictures(
    study: Study, specimens: Sequence[Specimen], *, at_most: int, size_px: int
) -> tuple[SlidePicture, ...]:
    """Overviews of slides with tissue and tiles, evenly over each cohort; unreadable ones are left out."""
    pictures = (_or_nothing(lambda s=s: _picture(study, s, size_px)) for s in _spread(specimens, at_most))  # type: ignore[misc]
    return tuple(p for p in pictures if p is not None)


def _spread(specimens: Sequence[Specimen], at_most: int) -> list[Specimen]:
    """At most this many specimens, each cohort in its proportion, evenly over the sorted ids."""
    if len(specimens) <= at_most:
        return list(specimens)
    groups: dict[str, list[Specimen]] = defaultdict(list)
    for specimen in specimens:
        groups[specimen.cohort or ""].append(specimen)
    out = []
    for group in groups.values():
        wanted = max(1, at_most * len(group) // len(specimens)) if at_most else 0
        out += [group[i] for i in np.unique(np.linspace(0, len(group) - 1, wanted).round().astype(int))]
    return sorted(out[: max(at_most, 0)], key=lambda s: s.id)


def _picture(study: Study, specimen: Specimen, size_px: int) -> SlidePicture:
    icc = study.spec(TileSpec).icc
    with opened(specimen.path, specimen.mpp, specimen.region, icc) as reader:
        pixels, downsample = overview(reader, size_px)
        mpp = reader.info.mpp
    tiles = read_overlay(study, specimen)
    none = np.zeros(0, np.int64)
    x, y, hpc, coarse = (
        none if tiles is None else tiles.columns[name] for name in ("x", "y", "hpc", "coarse")
    )
    return SlidePicture(
        slide_id=specimen.id,
        patient_id=specimen.patient_id,
        cohort=specimen.cohort or "",
        overview=pixels,
        downsample=downsample,
        rings=tissue_rings(study, specimen),
        x=x,
        y=y,
        hpc=hpc,
        coarse=coarse,
        tile_px=0.0 if tiles is None else float(tiles.tile_px),
        mpp=mpp,
    )


def atlas_tiles(
    study: Study, specimens: Sequence[Specimen], *, per_hpc: int, size_px: int = TILE_PX
) -> tuple[AtlasTile, ...]:
    """Pixels of the atlas's tiles, `size_px` wide; tiles that cannot be read are left out."""
    path = study.paths.atlas
    if not path.is_file():
        return ()
    by_slide: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in read_table(path, ATLAS).to_pylist():
        if row["rank"] < per_hpc and row["kind"] != "border":
            by_slide[row["slide_id"]].append(row)
    tiles: list[AtlasTile] = []
    for specimen in sorted(specimens, key=lambda s: s.id):
        if specimen.id in by_slide:
            tiles += _or_nothing(lambda s=specimen: _tiles_of(study, s, by_slide[s.id], size_px)) or []  # type: ignore[misc]
    return tuple(tiles)


def _tiles_of(
    study: Study, specimen: Specimen, rows: Sequence[dict[str, Any]], size_px: int
) -> list[AtlasTile]:
    tiles = read_overlay(study, specimen)
    if tiles is None:
        return []
    icc = study.spec(TileSpec).icc
    with opened(specimen.path, specimen.mpp, specimen.region, icc) as reader:
        mpp = reader.info.mpp
        pixels = tiles_at(reader, [(r["x"], r["y"]) for r in rows], tiles.tile_px, size_px=size_px)
    return [
        AtlasTile(
            hpc=r["hpc"],
            coarse=r.get("coarse", -1),
            rank=r["rank"],
            kind=r["kind"],
            slide_id=specimen.id,
            patient_id=specimen.patient_id,
            pixels=tile,
            width_um=None if mpp is None else tiles.tile_px * mpp,
            place=(r["x"], r["y"], tiles.tile_px),
        )
        for r, tile in zip(rows, pixels, strict=True)
    ]
