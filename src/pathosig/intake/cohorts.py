"""Finds the column with cohorts and the cohort that models are fitted on, which is never simply the first by alphabet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pathosig.core.errors import ConfigError, InputError
from pathosig.core.words import counted, is_discovery, is_missing
from pathosig.intake.choices import NO_COHORT, Choices, Option, Question, column_named
from pathosig.intake.clinical_table import ClinicalTable

DISCOVERY = "discovery"
_MOST_COHORTS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Cohorts:
    """Cohort of every patient.

    Attributes
    ----------
    column
        The column with cohorts; None if there is none and all patients are in ``discovery``.
    discovery
        The cohort that models are fitted on.
    of
        Patient -> cohort, or "" if the table gives none.
    why
        How the discovery cohort was chosen.
    notes
        Spellings that were joined, and patients without a cohort.
    """

    column: str | None
    discovery: str
    of: Mapping[str, str]
    why: str
    notes: tuple[str, ...] = ()

    def sizes(self, events: Mapping[str, int | None]) -> list[tuple[str, int, int]]:
        """(cohort, number of patients, number of events) of every cohort, discovery first."""
        names = sorted({c for c in self.of.values() if c} - {self.discovery})
        out = []
        for name in [self.discovery, *names]:
            members = [p for p, c in self.of.items() if c == name]
            out.append((name, len(members), sum(bool(events.get(p)) for p in members)))
        return out


def find_cohorts(
    table: ClinicalTable, choices: Choices, events: Mapping[str, int | None]
) -> Cohorts | Question:
    """The cohorts of a table, or the question to ask if no name shows which cohort is for discovery.

    Parameters
    ----------
    table
        The clinical table.
    choices
        What the user decided.
    events
        Patient -> 0, 1 or None for the first endpoint; counted in the question.

    Raises
    ------
    ConfigError
        If a flag names a column or cohort that does not exist.
    InputError
        E_CONFLICT if a patient is in two cohorts.
    """
    column = _column(table, choices)
    if column is None:
        if choices.discovery not in (None, DISCOVERY):
            raise ConfigError(
                f"--discovery {choices.discovery!r}: the table has no cohorts. Name their column with --cohort."
            )
        of = dict.fromkeys(table.ids, DISCOVERY)
        return Cohorts(
            column=None,
            discovery=DISCOVERY,
            of=of,
            why="all patients, because the table has no column of cohorts",
        )
    if column in table.varying:
        patient, one, other = table.varying[column]
        raise InputError(
            f"{table.source}: patient {patient!r} is in two cohorts: {one!r} and {other!r} (column {column!r}).",
            code="E_CONFLICT",
        )
    read = table.columns[column]
    of = {
        p: "" if is_missing(c, table.missing) else read.spellings.get(c, c)
        for p, c in zip(table.ids, read.cells, strict=True)
    }
    names = sorted({c for c in of.values() if c})
    if not names:
        raise InputError(f"{table.source}: column {column!r} names no cohort: all of its cells are empty.")
    notes = [f"{a!r} counts as {b!r}" for a, b in sorted(read.spellings.items())]
    homeless = sum(not c for c in of.values())
    if homeless:
        notes.append(
            f"{counted(homeless, 'patient without a cohort is', 'patients without a cohort are')} not analysed"
        )
    if choices.discovery is not None:
        same = [n for n in names if n.casefold() == choices.discovery.casefold()]
        if not same:
            raise ConfigError(
                f"--discovery {choices.discovery!r}: no such cohort in column {column!r}; found {', '.join(map(repr, names[:12]))}."
            )
        return Cohorts(
            column=column, discovery=same[0], of=of, why="given with --discovery", notes=tuple(notes)
        )
    sure = [n for n in names if is_discovery(n)]
    if len(sure) == 1:
        return Cohorts(column=column, discovery=sure[0], of=of, why="by its name", notes=tuple(notes))
    if len(names) == 1:
        return Cohorts(column=column, discovery=names[0], of=of, why="the only cohort", notes=tuple(notes))
    return _ask(column, names, of, events)


def _column(table: ClinicalTable, choices: Choices) -> str | None:
    if choices.cohort_column is not None:
        if choices.cohort_column.casefold() == NO_COHORT and NO_COHORT not in table.columns:
            return None
        return column_named(choices.cohort_column, list(table.columns), flag="--cohort", source=table.source)
    named = [
        c
        for c in table.with_sense("cohort")
        if not table.senses[c] & {"slide", "sample"} and c not in table.varying
    ]
    fitting = [c for c in named if 1 <= len(table.columns[c].counts) <= _MOST_COHORTS]
    sure = [c for c in fitting if any(is_discovery(v) for v in table.columns[c].counts)]
    return next(iter(sure or fitting), None)


def _ask(
    column: str, names: Sequence[str], of: Mapping[str, str], events: Mapping[str, int | None]
) -> Question:
    sizes = []
    for name in names[:_MOST_COHORTS]:
        members = [p for p, c in of.items() if c == name]
        sizes.append(
            f"{name} ({counted(len(members), 'patient')}, {counted(sum(bool(events.get(p)) for p in members), 'event')})"
        )
    text = f"column {column!r} has the cohorts {', '.join(sizes)}: which one are models fitted on? The others are for validation."
    options = [Option(label="", flags=("--cohort", column, "--discovery", n)) for n in names[:_MOST_COHORTS]]
    options.append(
        Option(
            label="all patients are one cohort, validated by cross-validation", flags=("--cohort", NO_COHORT)
        )
    )
    return Question(code="E_COHORT", text=text, options=tuple(options))
