"""`pathosig check` finds problems in a study before anything runs."""

from __future__ import annotations

import difflib
import warnings as warn
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pathosig.core.columns import read_column
from pathosig.core.errors import ConfigError, InputError, PathosigError, PathosigWarning, one_line
from pathosig.core.ids import IdIndex
from pathosig.core.limits import SlideLimits
from pathosig.core.patients import unique_patients
from pathosig.core.showing import Shown
from pathosig.core.study import Study
from pathosig.core.tables import read_csv_rows
from pathosig.core.units import Execution
from pathosig.core.words import counted
from pathosig.intake.config_check import config_problems, declared_columns
from pathosig.intake.covariates import sentinels, unusable
from pathosig.intake.plausibility import implausible_times
from pathosig.intake.slide_checks import SlideCheck, check_slide, losses, patients_of_arrays

_SHOWN = 5
_ENOUGH_EVENTS = 20
"""Events of the discovery cohort below which there is a warning: twice what stability selection needs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckReport(Shown):
    """What `check` found.

    Attributes
    ----------
    problems, warnings
        Messages that begin with a code.
    slides
        One row per slide that was opened.
    counts
        Numbers of patients, of slides, of patients with slides, and of events by endpoint and cohort.
    discovery
        The cohort that models are fitted on.
    limits
        Memory and time that each slide may take in a run with default settings; None if no slides are read.
    usable
        Whether `run` can begin, that is, no problem concerns the whole study.
    """

    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    slides: tuple[SlideCheck, ...]
    counts: Mapping[str, int | Mapping[str, int]]
    discovery: str = ""
    limits: SlideLimits | None = None
    usable: bool

    @property
    def exit_code(self) -> int:
        """3 if the study is unusable, else 0."""
        return 0 if self.usable else InputError.exit_code

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "usable": self.usable,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "slides": [s.to_dict() for s in self.slides],
            "counts": dict(self.counts),
            "discovery": self.discovery,
            "limits": self.limits,
        }

    def to_text(self) -> str:
        """Counts, problems and warnings, then whether `run` can begin and how many slides would fail."""
        lines = [f"{name.replace('_', ' ')}: {_listed(value)}" for name, value in self.counts.items()]
        lines += (
            [f"discovery cohort: {one_line(self.discovery)} (models are fitted on it)"]
            if self.discovery
            else []
        )
        lines += [f"limits: {self.limits.to_text()}"] if self.limits is not None else []
        lines += [f"problem {one_line(p)}" for p in self.problems]
        lines += [f"warning {one_line(w)}" for w in self.warnings]
        bad = sum(not s.is_readable for s in self.slides)
        lacking = (
            f": {bad} of {counted(len(self.slides), 'slide')} cannot be read and would fail" if bad else ""
        )
        lines.append(("usable" if self.usable else "not usable as it is") + lacking)
        return "\n".join(lines)


def _listed(value: int | Mapping[str, int]) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{one_line(k) or 'no cohort'} {v}" for k, v in value.items()) or "none"
    return str(value)


@dataclass(slots=True)
class _Notebook:
    """The findings so far."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    counts: dict[str, int | Mapping[str, int]] = field(default_factory=dict)
    is_fatal: bool = False

    def refuse(self, text: str) -> None:
        """Note a problem that makes the study unusable."""
        self.problems.append(text)
        self.is_fatal = True

    def report(self, slides: Sequence[SlideCheck], discovery: str) -> CheckReport:
        """The report on all findings."""
        return CheckReport(
            problems=tuple(self.problems),
            warnings=tuple(self.warnings),
            slides=tuple(slides),
            counts=self.counts,
            discovery=discovery,
            limits=SlideLimits.of(Execution()) if slides else None,
            usable=not self.is_fatal,
        )


def check(study: Study, *, open_slides: bool = True) -> CheckReport:
    """Check the ids, endpoints, covariates, settings and slides of a study.

    Parameters
    ----------
    study
        An open study.
    open_slides
        Open every slide; otherwise only study.toml and the tables are read.

    Returns
    -------
    CheckReport
        The study is unusable (exit code 3) if study.toml has an unknown table or key, a setting or a declared column cannot be
        used, tables contradict each other, no ids match, no slide opens, a cohort loses more than half of its patients with
        slides (E_SLIDES_LOST), or the primary endpoint cannot be read.
    """
    notes = _Notebook()
    for problem in config_problems(study):
        notes.refuse(problem)
    if notes.is_fatal:
        return notes.report((), "")
    discovery = study.primary.discovery
    try:
        rows = unique_patients(read_csv_rows(study.paths.patients))
        _check_ids(study, notes)
        _check_endpoints(study, rows, notes)
        _check_columns(study, rows, notes)
    except (InputError, ConfigError) as error:
        notes.refuse(f"{error.code} {error}")
        return notes.report((), discovery)
    slides: list[SlideCheck] = []
    if open_slides and study.level == "slides":
        slides = [check_slide(s) for s in study.slides()]
        bad = [s for s in slides if not s.is_readable]
        notes.problems += [f"{s.code} {s.message}" for s in bad]
        notes.warnings += [f"W_SLIDE slide {s.slide_id}: {w}" for s in slides for w in s.warnings]
        notes.counts["slides_readable"] = len(slides) - len(bad)
        notes.is_fatal |= bool(slides) and len(bad) == len(slides)
        for loss in losses(study, slides):
            if loss.is_fatal:
                notes.refuse(loss.to_text())
            else:
                notes.warnings.append(loss.to_text())
    return notes.report(slides, discovery)


# -- ids --------------------------------------------------------------------------------------


def _check_ids(study: Study, notes: _Notebook) -> None:
    patients = study.patients()
    ids = list(patients["patient_id"])
    notes.counts["patients"] = len(ids)
    if not ids:
        notes.refuse("E_INPUT patients.csv has a header but no rows.")
        return
    notes.counts["cohorts"] = dict(sorted(Counter(patients["cohort"]).items()))
    _check_cohorts(study, list(patients["cohort"]), notes)
    slides = study.slides()
    if study.level == "features" or (not slides and study.level != "slides"):
        return
    if not slides:
        notes.refuse(
            "E_MISSING slides.csv lists no slide. Make it with `pathosig init`, or set level under [study] in study.toml."
        )
        return
    notes.counts["slides"] = len(slides)
    listed = set(ids)
    tma = {s.id for s in slides if s.kind == "tma"}
    strangers = sorted({s.patient_id for s in slides if s.id not in tma} - listed)
    placed = patients_of_arrays(study)
    covered = listed & ({s.patient_id for s in slides} | placed)
    notes.counts["patients_with_slides"] = len(covered)
    index = IdIndex(ids)
    if strangers and not covered and not tma:
        near = [f"{s} ~ {nearest}" for s in strangers[:_SHOWN] if (nearest := index.nearest(s))]
        notes.refuse(
            f"E_NO_OVERLAP no patient_id of slides.csv is in patients.csv. slides.csv: {strangers[:_SHOWN]}; "
            f"patients.csv: {ids[:_SHOWN]}; nearest: {near or 'none'}."
        )
        return
    for name in strangers[:_SHOWN]:
        near_id = index.nearest(name)
        hint = f"; did you mean {near_id!r}?" if near_id else ""
        notes.problems.append(f"E_UNMATCHED slides.csv: patient {name!r} is not in patients.csv{hint}")
    if len(strangers) > _SHOWN:
        notes.problems.append(f"E_UNMATCHED and {len(strangers) - _SHOWN} more such patients")
    lacking = sorted(listed - covered)
    if lacking and (not tma or placed):
        notes.warnings.append(
            f"W_NO_SLIDE {counted(len(lacking), 'patient has', 'patients have')} no slide: {lacking[:_SHOWN]}"
        )
    repeated = [str(p) for p, n in Counter(s.path for s in slides).items() if n > 1]
    if repeated:
        notes.warnings.append(
            f"W_SAME_FILE {counted(len(repeated), 'file is', 'files are')} listed under several slide_ids"
        )


def _check_cohorts(study: Study, cohorts: Sequence[str], notes: _Notebook) -> None:
    names = sorted(set(cohorts))
    discovery = study.primary.discovery
    if discovery not in names:
        alike = [n for n in names if n.strip().casefold() == discovery.strip().casefold()]
        hint = f" Did you mean {alike[0]!r}?" if alike else ""
        notes.refuse(f"E_COHORT no patient is in cohort {discovery!r}; found {names[:12]}.{hint}")
        return
    spelled: dict[str, list[str]] = {}
    for name in names:
        spelled.setdefault(" ".join(name.casefold().split()), []).append(name)
    for twins in spelled.values():
        if len(twins) > 1:
            notes.refuse(
                f"E_COHORT patients.csv: cohorts {twins} differ only by case or blanks. Spell them the same."
            )


# -- outcomes ---------------------------------------------------------------------------------


def _check_endpoints(study: Study, rows: Sequence[Mapping[str, str]], notes: _Notebook) -> None:
    endpoints = study.endpoints()
    if not endpoints:
        notes.refuse("E_ENDPOINT study.toml: [endpoints] is empty; nothing can be fitted.")
        return
    cohorts = {r["patient_id"]: r.get("cohort", "") for r in rows}
    discovery = study.primary.discovery
    for name, endpoint in endpoints.items():
        is_primary = name == study.primary.endpoint
        try:
            with warn.catch_warnings(record=True) as caught:
                warn.simplefilter("always", PathosigWarning)
                frame = study.survival(name)
        except PathosigError as error:
            notes.problems.append(f"{error.code} {error}")
            notes.is_fatal |= is_primary
            continue
        for item in caught:
            if isinstance(item.message, PathosigWarning):
                is_error = item.message.code.startswith("E_")
                (notes.problems if is_error else notes.warnings).append(f"{item.message.code} {item.message}")
                notes.is_fatal |= is_error and is_primary
        events = Counter(cohorts[p] for p, e in zip(frame["patient_id"], frame["event"], strict=True) if e)
        notes.counts[f"{name}_events"] = dict(sorted(events.items()))
        for odd in implausible_times(list(frame["time"]), endpoint.unit, endpoint.time):
            (notes.problems if odd.is_fatal else notes.warnings).append(
                f"{odd.code} patients.csv: {odd.text}"
            )
            notes.is_fatal |= odd.is_fatal and is_primary
        zero = list(frame["patient_id"][frame["time"] == 0])
        if zero:
            notes.warnings.append(
                f"W_TIME_ZERO {name}: {counted(len(zero), 'patient has', 'patients have')} time 0: {zero[:_SHOWN]}"
            )
        missing = len(cohorts) - len(frame)
        if missing:
            notes.warnings.append(
                f"W_MISSING {name}: {counted(missing, 'patient without an outcome is', 'patients without an outcome are')} left out"
            )
        if events[discovery] < 2 and is_primary:
            notes.warnings.append(
                f"W_EVENTS {name}: {counted(events[discovery], 'event')} in {discovery}; no model can be fitted "
                "(`run` will end with exit 5 and a descriptive report)"
            )
        elif is_primary and events[discovery] < _ENOUGH_EVENTS:
            notes.warnings.append(
                f"W_EVENTS {name}: {events[discovery]} events in {discovery}; with fewer than 10 in patients with enough tissue "
                "no HPC is selected, and a signature from so few is rarely confirmed"
            )
        elif is_primary and len(frame) >= _SHOWN and bool(frame["event"].all()):
            notes.warnings.append(f"W_EVENTS {name}: every patient has the event; is its coding right?")


# -- columns ----------------------------------------------------------------------------------


def _check_columns(study: Study, rows: Sequence[Mapping[str, str]], notes: _Notebook) -> None:
    header = list(rows[0]) if rows else []
    index = IdIndex(header)
    columns = study.columns
    for name, (where, is_needed) in declared_columns(study).items():
        if name == columns.site and any(s.site for s in study.slides()):
            continue
        if name not in header:
            near = _nearest_column(name, header, index)
            hint = f"; did you mean {near!r}?" if near else ""
            notes.refuse(f"E_COLUMN study.toml names column {name!r} ({where}), not in patients.csv{hint}")
            continue
        column = read_column(
            name, [r[name] for r in rows], missing=frozenset(columns.missing), decimal=columns.decimal_mark
        )
        nones = sum(c.strip().casefold() == "none" for c in column.cells) if column.kind == "words" else 0
        if nones:
            notes.warnings.append(
                f"W_NONE column {name}: 'none' in {counted(nones, 'row')} counts as a level of its own; empty these cells if they mean missing"
            )
        if column.spellings and name != columns.site:
            shown = ", ".join(f"{a!r} as {b!r}" for a, b in sorted(column.spellings.items())[:_SHOWN])
            notes.warnings.append(
                f"W_LEVELS column {name}: levels that differ only by case or blanks count as one: {shown}"
            )
        if column.numbers is not None:
            values = [v for v in column.numbers.values if v == v]
            notes.warnings += [f"W_SENTINEL column {name}: {text}" for text in sentinels(values)]
        reason = unusable(column)
        if reason and is_needed:
            notes.refuse(f"E_COVARIATE patients.csv: column {name!r} ({where}) {reason}")
        elif reason and where.endswith("subgroups"):
            notes.warnings.append(f"W_SUBGROUP patients.csv: column {name!r} ({where}) {reason}")


def _nearest_column(name: str, header: Sequence[str], index: IdIndex) -> str | None:
    close = difflib.get_close_matches(name, header, n=1) or difflib.get_close_matches(
        name.lower(), [h.lower() for h in header], n=1
    )
    alike = {h.lower(): h for h in header}
    return alike.get(close[0].lower()) if close else index.nearest(name)
