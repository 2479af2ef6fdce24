"""The proposed reading of a clinical table: what `init` prints, what it writes into study.toml, and what it still asks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pathosig.core.errors import one_line
from pathosig.core.grids import Table
from pathosig.core.numbers import Numbers
from pathosig.core.words import counted, is_missing
from pathosig.intake.choices import Choices, Question
from pathosig.intake.clinical_table import ClinicalTable, by_patient
from pathosig.intake.cohorts import Cohorts, find_cohorts
from pathosig.intake.covariates import Covariate, find_covariates, find_subgroups, find_treatments
from pathosig.intake.outcomes import Outcome, find_outcomes
from pathosig.intake.patient_ids import PatientIds
from pathosig.intake.roles import find_roles

_SHOWN = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """The reading of a clinical table.

    Attributes
    ----------
    table
        The clinical table, one row per patient.
    patients
        Patient of each row.
    endpoints
        The endpoints; the first is that of the primary analysis.
    cohorts
        The cohorts; None while a question about them is open.
    site
        Column with the hospital, or None.
    covariates, treatments
        Columns that models adjust for, and columns with treatment arms.
    subgroups
        Molecular and histological subtypes, whose strata are shown.
    unused
        Column that may hold an outcome or has a usual name -> why it is not used.
    others
        Columns whose names are unknown to the program.
    choices
        What the user decided.
    questions
        What can be read in two ways; a study is made only if there are none.
    """

    table: ClinicalTable
    patients: PatientIds
    endpoints: tuple[Outcome, ...]
    cohorts: Cohorts | None
    site: str | None
    covariates: tuple[Covariate, ...]
    treatments: tuple[Covariate, ...]
    subgroups: tuple[Covariate, ...]
    unused: Mapping[str, str]
    others: tuple[str, ...]
    choices: Choices
    questions: tuple[Question, ...] = ()

    def lines(self) -> list[tuple[str, str]]:
        """(subject, sentence) for every decision, for the screen."""
        table = self.table
        out = [
            (
                "table",
                f"{table.source}: {counted(table.n_rows, 'row')}, {counted(len(table.columns), 'column')}, {counted(len(table), 'patient')}",
            )
        ]
        out += [("", note) for note in table.notes]
        out.append(("id", "; ".join([f"column {self.patients.column!r}", *self.patients.notes])))
        out += [(f"endpoint {o.name}", sentence(o)) for o in self.endpoints]
        if self.cohorts is not None:
            out += [("cohort", line) for line in self.cohort_lines()]
        if self.site and self.cohorts is not None and self.cohorts.column is None:
            out.append(
                (
                    "",
                    f"to make each value of {self.site!r} a cohort: --cohort {shlex.quote(self.site)} --discovery VALUE",
                )
            )
        out.append(("site", f"column {self.site!r}" if self.site else "none"))
        out += [("covariate", f"{c.column!r}: {c.to_text()}") for c in self.covariates] or [
            ("covariates", "none")
        ]
        out += [("treatment", f"{c.column!r}: {c.to_text()}") for c in self.treatments] or [
            ("treatments", "none")
        ]
        out += [("subgroups", f"{c.column!r}: {c.to_text()}") for c in self.subgroups]
        shown = [
            ("not used", f"{column!r}: {why}") for column, why in list(self.unused.items())[: 3 * _SHOWN]
        ]
        if len(self.unused) > len(shown):
            shown.append(("not used", f"and {len(self.unused) - len(shown)} more such columns"))
        if self.others:
            shown.append(("not used", self.others_text()))
        return out + shown

    def others_text(self) -> str:
        """The columns with unknown names, and how to use them."""
        names = ", ".join(map(repr, self.others[: 3 * _SHOWN]))
        more = f" and {len(self.others) - 3 * _SHOWN} more" if len(self.others) > 3 * _SHOWN else ""
        count = (
            f"{len(self.others)} columns with unknown names"
            if len(self.others) > 1
            else "1 column with an unknown name"
        )
        return f"{count}: {names}{more}. To use them, name them with --covariates or --treatment, or as subgroups in study.toml"

    def cohort_lines(self) -> list[str]:
        """The source of the cohorts, and the number of patients and events in each."""
        cohorts = self.cohorts
        if cohorts is None:
            return []
        events = self.endpoints[0].codes if self.endpoints else {}
        name = self.endpoints[0].name if self.endpoints else ""
        source = f"column {cohorts.column!r}; " if cohorts.column else ""
        out = [f"{source}models are fitted on {cohorts.discovery!r} ({cohorts.why})"]
        for cohort, patients, happened in cohorts.sizes(events):
            role = "discovery" if cohort == cohorts.discovery else "validation"
            out.append(
                f"{cohort!r} ({role}): {counted(patients, 'patient')}, {counted(happened, f'{name} event')}"
            )
        return [*out, *cohorts.notes]

    def to_text(self) -> str:
        """All lines, each with its subject in front."""
        return "\n".join(one_line(f"{subject:<12} {text}").rstrip() for subject, text in self.lines())


def sentence(outcome: Outcome) -> str:
    """One endpoint in words: columns, unit, coding, numbers of patients and events, and who is left out."""
    if outcome.derived is not None:
        head = f"{outcome.derived.how}, in {outcome.unit}; written as {outcome.time!r} and {outcome.event!r}"
    else:
        coding = ", ".join(f"{v} = {c}" for v, c in list(outcome.coding.values.items())[:_SHOWN])
        head = f"time {outcome.time!r} in {outcome.unit}, event {outcome.event!r} ({coding})"
    counts = f"{counted(outcome.n_patients, 'patient')}, {counted(outcome.n_events, 'event')}"
    rest = []
    if outcome.untimed:
        rest.append(
            f"{counted(len(outcome.untimed), 'event without a time is', 'events without a time are')} left out: {', '.join(outcome.untimed[:5])}"
        )
    if outcome.n_eventless:
        rest.append(
            f"{counted(outcome.n_eventless, 'time without an event value is', 'times without an event value are')} left out"
        )
    return "; ".join([head, counts, *rest, *outcome.notes])


def propose(table: Table, ids: PatientIds, choices: Choices) -> Proposal:
    """Propose how to read a clinical table.

    Parameters
    ----------
    table
        The table as it was read.
    ids
        Patient of each row.
    choices
        What the user decided.

    Raises
    ------
    ConfigError
        If a flag names something that does not exist, or contradicts a header.
    InputError
        If values are wrong however they are read.
    """
    clinical = by_patient(table, ids.ids, choices)
    clinical = _with_notes(clinical, table.notes)
    outcome_columns = {*choices.time.values(), *choices.event.values(), *choices.start.values()}
    named = frozenset(
        c for c in (ids.column, choices.cohort_column, choices.slide_column) if c and c not in outcome_columns
    )
    roles = find_roles(clinical, named)
    outcomes = find_outcomes(clinical, roles, choices)
    events = outcomes.endpoints[0].codes if outcomes.endpoints else {}
    cohorts = find_cohorts(clinical, choices, events)
    questions = [*outcomes.questions, *([cohorts] if isinstance(cohorts, Question) else [])]
    in_use = {c for o in outcomes.endpoints for c in o.used}
    cohort_column = None if isinstance(cohorts, Question) else cohorts.column
    taken = frozenset(c for c in (*in_use, ids.column, cohort_column) if c)
    site = _site(clinical, taken)
    treatments, why_not = find_treatments(clinical, choices, taken)
    taken |= {c.source for c in treatments}
    covariates, why = find_covariates(clinical, choices, taken)
    modelled = taken | {c.source for c in covariates}
    subgroups, why_no_strata = find_subgroups(clinical, modelled)
    used = modelled | {c.source for c in subgroups} | {site or ""}
    unused = {c: "an outcome or date that no endpoint uses" for c in roles.outcome_like if c not in used}
    unused |= {
        c: w for c, w in {**why, **why_not, **why_no_strata, **outcomes.left_out}.items() if c not in used
    }
    unused |= {
        c: f"differs between the rows of a patient ({p}: {a!r}, {b!r}); left out"
        for c, (p, a, b) in clinical.varying.items()
    }
    return Proposal(
        table=clinical,
        patients=ids,
        endpoints=outcomes.endpoints,
        cohorts=None if isinstance(cohorts, Question) else cohorts,
        site=site,
        covariates=covariates,
        treatments=treatments,
        subgroups=subgroups,
        unused=unused,
        others=tuple(c for c in clinical.columns if c not in used and c not in unused and c not in named),
        choices=choices,
        questions=tuple(questions),
    )


def _with_notes(table: ClinicalTable, notes: Sequence[str]) -> ClinicalTable:
    return replace(table, notes=(*notes, *table.notes))


def _site(table: ClinicalTable, taken: frozenset[str]) -> str | None:
    """The column with hospitals, or None: its header names a site, and its values repeat between patients."""
    for name, column in table.columns.items():
        if name in taken or "site" not in table.senses[name] or name in table.varying:
            continue
        if table.senses[name] - {"site", "diagnosis"} or column.kind not in ("words", "numbers"):
            continue
        if 1 <= len(column.counts) <= max(2, len(table) // 2):
            return name
    return None


# -- what is written --------------------------------------------------------------------------


def patient_rows(proposal: Proposal) -> tuple[list[dict[str, object]], list[str]]:
    """Rows and columns of patients.csv: the cells of the table with numbers written plainly, and the new columns."""
    table, cohorts = proposal.table, proposal.cohorts
    cohort_of = cohorts.of if cohorts is not None else {}
    cells: dict[str, Sequence[str]] = {}
    for name, column in table.columns.items():
        if name in (proposal.patients.column, cohorts.column if cohorts else None) or name in table.varying:
            continue
        cells[free_name(name)] = plain_cells(column.cells, column.numbers, table.missing)
    for outcome in proposal.endpoints:
        if outcome.derived is not None:
            cells[outcome.time], cells[outcome.event] = outcome.derived.times, outcome.derived.events
    for covariate in (*proposal.covariates, *proposal.treatments):
        if covariate.cells is not None:
            cells[free_name(covariate.column)] = covariate.cells
    rows: list[dict[str, object]] = []
    for position, patient in enumerate(table.ids):
        row: dict[str, object] = {"patient_id": patient, "cohort": cohort_of.get(patient, "")}
        row |= {name: column[position] for name, column in cells.items()}
        rows.append(row)
    return rows, ["patient_id", "cohort", *cells]


def free_name(name: str) -> str:
    """The name in patients.csv of a column of the user's table; names that patients.csv needs for itself are changed.

    Examples
    --------
    >>> free_name("stage"), free_name("cohort")
    ('stage', 'cohort (table)')
    """
    return f"{name} (table)" if name in ("patient_id", "cohort") else name


def plain_cells(cells: Sequence[str], numbers: object, missing: frozenset[str]) -> Sequence[str]:
    """Cells with plain numbers, for a column that has decimal commas, thousands separators or units."""
    if not isinstance(numbers, Numbers) or numbers.style == "plain" or numbers.ambiguous:
        return cells
    out = []
    for cell, value in zip(cells, numbers.values, strict=True):
        is_number = value == value and not is_missing(cell, missing)
        out.append(
            (str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value))
            if is_number
            else cell
        )
    return out
