"""`pathosig init`: inspect slides and a clinical table, write the study's three inputs."""

from __future__ import annotations

import glob as globbing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathosig.core.clinical import UNITS
from pathosig.core.errors import ConfigError, InputError, SlideError
from pathosig.core.study import Study
from pathosig.core.tables import write_csv_rows
from pathosig.intake.clinical_table import (
    FoundEndpoint,
    find_cohort,
    find_endpoints,
    find_id,
    find_site,
    read_clinical,
)
from pathosig.intake.match import match_slides, nearest
from pathosig.slides.listing import slide_name, slides_among

_EXAMPLES = 5
_SUGGESTED = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class InitReport:
    """What `init` found and wrote."""

    study: str
    n_slides: int
    n_patients: int
    unmatched_slides: tuple[str, ...]
    suggestions: dict[str, str]
    patients_without_slides: tuple[str, ...]
    endpoints: tuple[str, ...]
    todo: tuple[str, ...]

    def _suggested(self, slide: str) -> str:
        near = self.suggestions.get(slide)
        return f"{slide} (did you mean patient {near}?)" if near else slide

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def to_text(self) -> str:
        """What was found and what is left to do."""
        slides = f"{self.n_slides} slides of " if self.n_slides else ""
        lines = [f"{slides}{self.n_patients} patients; endpoints: {', '.join(self.endpoints)}"]
        if self.unmatched_slides:
            shown = [self._suggested(name) for name in self.unmatched_slides[:_EXAMPLES]]
            lines.append(
                f"{len(self.unmatched_slides)} slides match no patient and are left out: {'; '.join(shown)}"
            )
        if self.patients_without_slides:
            n = len(self.patients_without_slides)
            lines.append(f"{n} patients have no slide: {list(self.patients_without_slides[:5])}")
        lines += [f"to do: {item}" for item in self.todo]
        first = f"pathosig check {self.study}"
        return "\n".join(
            [
                *lines,
                f"next: {first if self.n_slides else f'pathosig profiles {self.study} --features TABLE'}",
            ]
        )


def init(
    directory: Path,
    *,
    slides: str | None = None,
    clinical: Path,
    patient_column: str | None = None,
    cohort_column: str | None = None,
    unit: str | None = None,
    sheet: str | None = None,
    mpp: float | None = None,
) -> InitReport:
    """Make a study folder from slides and a clinical table.

    Parameters
    ----------
    directory
        The folder to make.
    slides
        Glob of slide files or folders that are one slide (DICOM, OME-Zarr), quoted: ``"/data/slides/*.svs"``.
        Without it the study starts from a table of features (`pathosig profiles DIR --features TABLE`).
    clinical
        CSV, TSV or Excel table with one row per patient.
    patient_column
        Column with patient ids, when it cannot be told from the header.
    cohort_column
        Column with cohorts; without one all patients are "discovery" and validation is internal.
    unit
        days | weeks | months | years, where the column names do not say it.
    sheet
        Sheet of an Excel file.
    mpp
        Micrometres per pixel for slides whose header has none, or an impossible one.

    Raises
    ------
    ConfigError
        If there is a study already, no slide fits the glob, or the unit is not a unit of time.
    InputError
        If the ids of both sides do not overlap, or no endpoint can be found.
    """
    found = [Path(p) for p in globbing.glob(slides or "", recursive=True)]  # noqa: PTH207 - a glob with a root
    paths = slides_among(found)
    if not paths and slides is not None:
        raise ConfigError(f"--slides {slides!r}: no slide fits. Quote the glob and check the folder.")
    if unit is not None and unit not in UNITS:
        raise ConfigError(f"--unit {unit!r}: expected one of {', '.join(UNITS)}.")
    rows = read_clinical(clinical, sheet)
    if not rows:
        raise InputError(f"{clinical.name}: has a header but no rows.")
    header = list(rows[0])
    id_column = patient_column or find_id(header)
    if id_column not in header:
        raise InputError(
            f"{clinical.name}: no patient id column in {header[:20]}. Name it with --patient-column."
        )
    cohort = cohort_column or find_cohort(header)
    endpoints = find_endpoints(header)
    if not endpoints:
        raise InputError(
            f"{clinical.name}: no endpoint found in {header[:20]}. Expected columns such as os_time and os_event."
        )
    if unit is None and any(e.unit is None for e in endpoints):
        bare = [e.time for e in endpoints if e.unit is None]
        raise InputError(
            f"{clinical.name}: columns {bare} do not say their unit, and months are never guessed. "
            "Give --unit days, weeks, months or years.",
            code="E_UNIT",
        )
    stems = _stems(paths)
    matched = match_slides(stems, [r[id_column] for r in rows])
    config = _config(endpoints, unit, header, rows, id_column, cohort)
    if slides is None:
        config["study"] = {"level": "features"}
    else:
        _refuse_no_overlap(matched, [r[id_column] for r in rows])
    study = Study.create(directory, config)
    if slides is not None:
        _write_slides(study, stems, matched, mpp)
    _write_patients(study, rows, id_column, cohort)
    have = {p for p in matched.values() if p}
    unmatched = [s for s, p in matched.items() if p is None]
    ids = sorted({r[id_column] for r in rows})
    todo = []
    if cohort is None:
        todo.append(
            "no cohort column: all patients are 'discovery', so validation is internal cross-validation"
        )
    return InitReport(
        study=str(directory),
        n_slides=sum(p is not None for p in matched.values()),
        n_patients=len({r[id_column] for r in rows}),
        unmatched_slides=tuple(unmatched),
        suggestions={s: near for s in unmatched[:_SUGGESTED] if (near := nearest(s, ids))},
        patients_without_slides=tuple(sorted({r[id_column] for r in rows} - have)) if slides else (),
        endpoints=tuple(e.name for e in endpoints),
        todo=tuple(todo),
    )


def _stems(paths: Sequence[Path]) -> dict[str, Path]:
    out: dict[str, Path] = {}
    for path in paths:
        stem = slide_name(path)
        if stem in out:
            raise InputError(
                f"two slides are both called {stem!r}: {out[stem].name} in {out[stem].parent.name}/ and "
                f"{path.name} in {path.parent.name}/. Rename one.",
                code="E_DUP_ID",
            )
        out[stem] = path
    return out


def _refuse_no_overlap(matched: Mapping[str, str | None], patients: Sequence[str]) -> None:
    if any(matched.values()):
        return
    ids = sorted(set(patients))
    near = [f"{s} ~ {nearest(s, ids)}" for s in list(matched)[:_EXAMPLES] if nearest(s, ids)]
    raise InputError(
        f"no slide name starts with a patient id. Slides: {list(matched)[:_EXAMPLES]}; "
        f"patients: {ids[:_EXAMPLES]}; nearest: {near or 'none'}. Rename, or write slides.csv by hand.",
        code="E_NO_OVERLAP",
    )


def _config(
    endpoints: Sequence[FoundEndpoint],
    unit: str | None,
    header: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    id_column: str | None,
    cohort: str | None,
) -> dict[str, Any]:
    used = {id_column, cohort, *(e.time for e in endpoints), *(e.event for e in endpoints)}
    site = find_site(header)
    covariates = [c for c in header if c not in used and c != site and c.lower() in _COVARIATES]
    names = {r[cohort] for r in rows} if cohort else {"discovery"}
    discovery = next((n for n in ("discovery", "training", "train", "dev") if n in names), sorted(names)[0])
    columns: dict[str, Any] = {"covariates": covariates, "treatments": [], "subgroups": []}
    if site:
        columns["site"] = site
    return {
        "endpoints": {e.name: _endpoint(e, unit, rows) for e in endpoints},
        "columns": columns,
        "primary": {"endpoint": endpoints[0].name, "discovery": discovery, "covariates": covariates},
    }


_COVARIATES = (
    "age",
    "sex",
    "gender",
    "stage",
    "grade",
    "smoking",
    "lymph_node",
    "t_stage",
    "n_stage",
    "ecog",
)


def _endpoint(found: FoundEndpoint, unit: str | None, rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    out: dict[str, Any] = {"time": found.time, "event": found.event, "unit": found.unit or unit}
    values = {r[found.event] for r in rows} - {"", "NA"}
    if values and values <= {"1", "2"} and "2" in values:
        raise InputError(
            f"column {found.event} has values {sorted(values)}; expected 0/1. "
            "Recode 2 -> 1, 1 -> 0 if this is R's coding.",
            code="E_EVENT",
        )
    return out


def _lacks_mpp(path: Path) -> bool:
    """Whether a slide's header has no mpp or an impossible one; a value in slides.csv would win over a good one."""
    from pathosig.slides import open_slide

    try:
        with open_slide(path) as reader:
            return reader.info.mpp is None
    except SlideError as error:  # `pathosig check` says what else is wrong with it
        return error.code == "E_MPP_RANGE"


def _write_slides(
    study: Study, stems: Mapping[str, Path], matched: Mapping[str, str | None], mpp: float | None
) -> None:
    rows = []
    for stem, path in stems.items():
        if matched[stem] is None:
            continue
        absolute = path.absolute()
        inside = absolute.is_relative_to(study.root)
        shown = absolute.relative_to(study.root) if inside else absolute
        given = mpp if mpp is not None and _lacks_mpp(path) else None
        rows.append({"slide_id": stem, "patient_id": matched[stem], "path": shown.as_posix(), "mpp": given})
    write_csv_rows(study.paths.slides, rows, ("slide_id", "patient_id", "path", "mpp"))


def _write_patients(
    study: Study, rows: Sequence[Mapping[str, str]], id_column: str | None, cohort: str | None
) -> None:
    others = [c for c in rows[0] if c not in (id_column, cohort)]
    out = []
    for row in rows:
        values: dict[str, object] = {c: row[c] for c in others}
        values["patient_id"] = row[str(id_column)]
        values["cohort"] = row[cohort] if cohort else "discovery"
        out.append(values)
    write_csv_rows(study.paths.patients, out, ("patient_id", "cohort", *others))
