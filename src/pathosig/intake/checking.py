"""`pathosig check`: what is wrong with a study, before anything runs."""

from __future__ import annotations

import warnings as warn
from collections import Counter
from dataclasses import dataclass
from typing import Any

from pathosig.core.errors import ConfigError, InputError, PathosigError, PathosigWarning, one_line
from pathosig.core.study import Specimen, Study
from pathosig.intake.ids import nearest

_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What `check` found: problems stop a run, warnings do not.

    Attributes
    ----------
    problems, warnings
        Messages with a code in front.
    slides
        One row per slide: id, status, mpp and its source, size, vendor.
    counts
        Patients, slides, matched and so on.
    """

    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    slides: tuple[dict[str, Any], ...]
    counts: dict[str, Any]
    usable: bool

    @property
    def exit_code(self) -> int:
        """3 when the study is unusable, else 0."""
        return 0 if self.usable else 3

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "usable": self.usable,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "slides": list(self.slides),
            "counts": self.counts,
        }

    def to_text(self) -> str:
        """Counts, then problems, then warnings."""
        lines = [f"{name.replace('_', ' ')}: {_listed(value)}" for name, value in self.counts.items()]
        lines += [f"problem {one_line(p)}" for p in self.problems]
        lines += [f"warning {one_line(w)}" for w in self.warnings]
        lines.append("usable" if self.usable else "not usable as it is")
        return "\n".join(lines)


def _listed(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k or 'no cohort'} {v}" for k, v in value.items()) or "none"
    return str(value)


def check(study: Study, *, open_slides: bool = True) -> Findings:
    """Matched, unmatched and duplicate ids, readable slides, mpp, endpoints.

    Parameters
    ----------
    open_slides
        Open every slide; without it only the tables are read.

    Returns
    -------
    Findings
        Unusable (exit 3) when tables contradict each other, no ids overlap, no slide opens or the
        primary endpoint cannot be read.
    """
    problems: list[str] = []
    warnings: list[str] = []
    counts: dict[str, Any] = {}
    fatal = False
    try:
        fatal |= _check_ids(study, problems, warnings, counts)
        fatal |= _check_endpoints(study, problems, warnings, counts)
        _check_columns(study, problems, warnings)
    except (InputError, ConfigError) as error:
        problems.append(f"{error.code} {error}")
        return _findings(problems, warnings, (), counts, usable=False)
    rows: tuple[dict[str, Any], ...] = ()
    if open_slides and study.level == "slides":
        rows = tuple(_open(s) for s in study.slides())
        bad = [r for r in rows if r["status"] != "ok"]
        problems += [f"{r['code']} {r['message']}" for r in bad]
        warnings += [f"W_SLIDE slide {r['slide_id']}: {w}" for r in rows for w in r.get("warnings", ())]
        counts["slides_readable"] = len(rows) - len(bad)
        fatal |= bool(rows) and len(bad) == len(rows)
    return _findings(problems, warnings, rows, counts, usable=not fatal)


def _findings(
    problems: list[str],
    warnings: list[str],
    slides: tuple[dict[str, Any], ...],
    counts: dict[str, Any],
    *,
    usable: bool,
) -> Findings:
    return Findings(
        problems=tuple(problems), warnings=tuple(warnings), slides=slides, counts=counts, usable=usable
    )


def _check_ids(study: Study, problems: list[str], warnings: list[str], counts: dict[str, Any]) -> bool:
    patients = study.patients()
    ids = list(patients["patient_id"])
    counts["patients"] = len(ids)
    counts["cohorts"] = dict(sorted(Counter(patients["cohort"]).items()))
    if study.primary.discovery not in set(patients["cohort"]):
        found = sorted(set(patients["cohort"]))
        problems.append(f"E_COHORT no patient is in cohort {study.primary.discovery!r}; found {found}.")
        return True
    slides = study.slides()
    if study.level == "features" or not slides:
        return False
    counts["slides"] = len(slides)
    known = set(ids)
    tma = {s.id for s in slides if s.kind == "tma"}
    strangers = sorted({s.patient_id for s in slides if s.id not in tma} - known)
    covered = known & {s.patient_id for s in slides}
    counts["patients_with_slides"] = len(covered)
    if strangers and not covered and not tma:
        near = [f"{s} ~ {nearest(s, ids)}" for s in strangers[:_SHOWN] if nearest(s, ids)]
        problems.append(
            f"E_NO_OVERLAP no patient_id of slides.csv is in patients.csv. slides.csv: {strangers[:_SHOWN]}; "
            f"patients.csv: {ids[:_SHOWN]}; nearest: {near or 'none'}."
        )
        return True
    for name in strangers[:_SHOWN]:
        near_id = nearest(name, ids)
        hint = f"; did you mean {near_id!r}?" if near_id else ""
        problems.append(f"E_UNMATCHED slides.csv: patient {name!r} is not in patients.csv{hint}")
    if len(strangers) > _SHOWN:
        problems.append(f"E_UNMATCHED and {len(strangers) - _SHOWN} more such patients")
    lacking = sorted(known - covered)
    if lacking and not tma:
        warnings.append(f"W_NO_SLIDE {len(lacking)} patients have no slide: {lacking[:_SHOWN]}")
    repeated = [str(p) for p, n in Counter(s.path for s in slides).items() if n > 1]
    if repeated:
        warnings.append(f"W_SAME_FILE {len(repeated)} files are listed under several slide_ids")
    return False


def _check_endpoints(study: Study, problems: list[str], warnings: list[str], counts: dict[str, Any]) -> bool:
    endpoints = study.endpoints()
    if not endpoints:
        problems.append("E_ENDPOINT study.toml: [endpoints] is empty; nothing can be fitted.")
        return True
    fatal = False
    cohorts = {p: c for p, c in zip(*(study.patients()[k] for k in ("patient_id", "cohort")), strict=True)}
    for name in endpoints:
        try:
            with warn.catch_warnings(record=True) as said:
                warn.simplefilter("always", PathosigWarning)
                frame = study.survival(name)
        except PathosigError as error:
            problems.append(f"{error.code} {error}")
            fatal |= name == study.primary.endpoint
            continue
        lost = [w.message for w in said if isinstance(w.message, PathosigWarning)]
        problems += [f"{w.code} {w}" for w in lost]
        fatal |= bool(lost) and name == study.primary.endpoint
        by_cohort = Counter(cohorts[p] for p, e in zip(frame["patient_id"], frame["event"], strict=True) if e)
        counts[f"{name}_events"] = dict(sorted(by_cohort.items()))
        zero = list(frame["patient_id"][frame["time"] == 0])
        if zero:
            warnings.append(f"W_TIME_ZERO {name}: {len(zero)} patients have time 0: {zero[:_SHOWN]}")
        missing = len(cohorts) - len(frame)
        if missing:
            warnings.append(f"W_MISSING {name}: {missing} patients have no outcome and are left out")
        if by_cohort[study.primary.discovery] < 2 and name == study.primary.endpoint:
            n = by_cohort[study.primary.discovery]
            warnings.append(
                f"W_EVENTS {name}: {n} events in {study.primary.discovery}; no model can be fitted "
                "(`run` will end with exit 5 and a descriptive report)"
            )
    return fatal


def _check_columns(study: Study, problems: list[str], warnings: list[str]) -> None:
    patients = study.patients()
    header = list(patients.columns)
    columns = study.columns
    declared = [*columns.covariates, *columns.treatments, *columns.subgroups, *study.primary.covariates]
    declared += [c for c in (columns.site, study.primary.treatment) if c]
    for name in dict.fromkeys(declared):
        in_slides = name == columns.site and any(s.site for s in study.slides())
        if name not in header and not in_slides:
            near = nearest(name, header)
            hint = f"; did you mean {near!r}?" if near else ""
            problems.append(f"E_COLUMN study.toml names column {name!r}, not in patients.csv{hint}")
        elif not in_slides and (
            said := sum(str(v).lower() == "none" for v in patients[name] if v is not None)
        ):
            warnings.append(
                f"W_NONE column {name}: 'none' in {said} rows is a level of its own; empty the cells if they are missing"
            )


def _open(specimen: Specimen) -> dict[str, Any]:
    from pathosig.slides import open_slide

    row: dict[str, Any] = {"slide_id": specimen.id, "status": "ok"}
    try:
        with open_slide(specimen.path, mpp=specimen.mpp) as reader:
            info = reader.info
            row |= {
                "mpp": info.mpp,
                "mpp_source": info.mpp_source,
                "size": list(info.level_sizes[0]),
                "vendor": info.vendor,
                "warnings": list(info.warnings),
            }
            if info.mpp is None:
                message = (
                    f"slide {specimen.id}: no mpp in its header. Give it in the mpp column of slides.csv."
                )
                row |= {"status": "failed", "code": "E_MPP", "message": message}
    except PathosigError as error:
        row |= {"status": "failed", "code": error.code, "message": f"slide {specimen.id}: {error}"}
    return row
