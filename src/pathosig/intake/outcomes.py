"""Finds the endpoints of a table: the time and event of each, their coding and unit, or the question to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pathosig.core.errors import InputError
from pathosig.core.vocabulary import ENDPOINTS
from pathosig.core.words import counted
from pathosig.intake.choices import Asked, Choices, Option, Question, column_named
from pathosig.intake.clinical_table import ClinicalTable
from pathosig.intake.coding import Coding, read_coding
from pathosig.intake.derive import Derived, derive
from pathosig.intake.pairing import nothing_clear, one_event, one_time, with_deaths, with_time
from pathosig.intake.roles import Roles
from pathosig.intake.sources import find_sources
from pathosig.intake.values import (
    Pair,
    checked_times,
    coding_of,
    event_codes,
    refuse_implausible,
    refuse_many_lost,
    unit_for,
)

_MOST_CONTRADICTIONS = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One proposed endpoint.

    Attributes
    ----------
    name
        Its name, such as os.
    time, event
        Columns of patients.csv: those of the table, or new ones that were `derived`.
    unit
        Unit of the time.
    coding
        Which values of the event column mean that the event happened.
    n_patients, n_events
        Patients with time and event, and events among them.
    untimed
        Patients whose event has no time.
    n_eventless
        Number of patients with a time whose event is unknown.
    derived
        The new columns, if time and event are derived from others.
    sources
        The columns that they are derived from.
    notes
        What is worth knowing about the columns.
    codes
        Patient -> 1, 0 or None.
    """

    name: str
    time: str
    event: str
    unit: str
    coding: Coding
    n_patients: int
    n_events: int
    untimed: tuple[str, ...] = ()
    n_eventless: int = 0
    derived: Derived | None = None
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    codes: Mapping[str, int | None]

    @property
    def used(self) -> tuple[str, ...]:
        """Columns of the table that the endpoint uses."""
        return self.sources or (self.time, self.event)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcomes:
    """The endpoints of a table.

    Attributes
    ----------
    endpoints
        Endpoints that are clear.
    questions
        Questions about the first endpoint, and about those that the user named.
    left_out
        Column -> why it is not used as an outcome.
    """

    endpoints: tuple[Outcome, ...]
    questions: tuple[Question, ...]
    left_out: Mapping[str, str]


def find_outcomes(table: ClinicalTable, roles: Roles, choices: Choices) -> Outcomes:
    """The endpoints of a table, overall survival first.

    Parameters
    ----------
    table
        The clinical table.
    roles
        Which of its columns may be a time, an event or a date.
    choices
        What the user decided.

    Raises
    ------
    ConfigError
        If a flag names a column that does not exist, or contradicts a header.
    InputError
        E_TIME or E_CONFLICT if values are wrong however they are read.
    """
    wanted = dict.fromkeys([*choices.time, *choices.event, *choices.start])
    names = [*dict.fromkeys([*ENDPOINTS, *wanted])]
    done: list[Outcome] = []
    asked: list[Question] = []
    left_out: dict[str, str] = {}
    for name in names:
        try:
            outcome = _endpoint(table, roles, choices, name)
        except Asked as question:
            is_first = not done and not asked
            if is_first or name in wanted:
                asked.append(question.question)
            else:
                way = question.question.options[0].to_flags() if question.question.options else ""
                left_out |= dict.fromkeys(question.columns, f"{question.question.text} {way}".strip())
            continue
        except InputError as error:
            if not done or name in wanted:
                raise
            columns = (*roles.times.get(name, ()), *roles.events.get(name, ()))
            left_out |= dict.fromkeys(columns, f"{error.code} {error}")
            continue
        if outcome is not None:
            done.append(outcome)
    if not done and not asked:
        asked.append(nothing_clear(table, roles))
    return Outcomes(endpoints=tuple(done), questions=tuple(asked), left_out=left_out)


def _endpoint(table: ClinicalTable, roles: Roles, choices: Choices, name: str) -> Outcome | None:
    named_time, named_event = choices.time.get(name), choices.event.get(name)
    headers = list(table.columns)
    if named_time is not None:
        named_time = column_named(named_time, headers, flag="--time", source=table.source)
    if named_event is not None:
        named_event = column_named(named_event, headers, flag="--event", source=table.source)
    if named_time and named_event:
        return _outcome(table, choices, Pair(endpoint=name, time=named_time, event=named_event))
    if name in choices.start:
        return _derived(table, roles, choices, name)
    times = [named_time] if named_time else roles.times.get(name, [])
    events = [named_event] if named_event else roles.events.get(name, [])
    if name == "os":
        times, events = with_deaths(table, roles, times, events)
        if (not times and not roles.times.get("")) or (not times and not events):
            return _derived(table, roles, choices, name, named_event=named_event)
    elif name in ("ttr", "ttp") and times and not events:
        sense = "recurrence" if name == "ttr" else "progression"
        events = [c for c in roles.events.get("", []) if sense in table.senses[c]]
    if not times or not events:
        return None
    time, time_notes = one_time(table, name, times)
    event, event_notes = one_event(table, choices, name, events)
    return _outcome(
        table, choices, Pair(endpoint=name, time=time, event=event, notes=(*time_notes, *event_notes))
    )


# -- one endpoint -----------------------------------------------------------------------------


def _outcome(table: ClinicalTable, choices: Choices, pair: Pair) -> Outcome:
    name = pair.endpoint
    for column in (pair.time, pair.event):
        if column in table.varying:
            patient, one, other = table.varying[column]
            raise InputError(
                f"{table.source}: patient {patient!r} has rows that contradict each other in column {column!r}: {one!r} and {other!r}. "
                "Keep one row per patient, or rows that agree.",
                code="E_CONFLICT",
            )
    coding = coding_of(table, choices, name, pair.event)
    if isinstance(coding, Question):
        raise Asked(with_time(coding, pair), (pair.time, pair.event))
    times = checked_times(table, pair.time, name)
    codes = event_codes(table, pair.event, coding)
    unit = unit_for(table, choices, pair)
    untimed = tuple(p for p, t, c in zip(table.ids, times, codes, strict=True) if c and t != t)
    eventless = sum(c is None and t == t for t, c in zip(times, codes, strict=True))
    kept = [(t, c) for t, c in zip(times, codes, strict=True) if t == t and c is not None]
    refuse_many_lost(table, pair, untimed, sum(bool(c) for c in codes))
    refuse_implausible(table, [t for t, _ in kept], unit, pair)
    notes = [*pair.notes, *_against_others(table, choices, pair, codes)]
    return Outcome(
        name=name,
        time=pair.time,
        event=pair.event,
        unit=unit,
        coding=coding,
        n_patients=len(kept),
        n_events=sum(bool(c) for _, c in kept),
        untimed=untimed,
        n_eventless=eventless,
        notes=tuple(notes),
        codes=dict(zip(table.ids, codes, strict=True)),
    )


def _against_others(
    table: ClinicalTable, choices: Choices, pair: Pair, codes: Sequence[int | None]
) -> list[str]:
    """Notes on columns that state in words who died and contradict the event column; asks if they do so for many patients."""
    if pair.endpoint != "os":
        return []
    notes = []
    for other in table.columns:
        if (
            other == pair.event
            or not table.senses[other] & {"vital", "death"}
            or table.senses[other] & {"cause", "dss", "css"}
        ):
            continue
        column = table.columns[other]
        if column.kind != "words" or len(column.counts) > 6:
            continue
        coding = read_coding(other, list(column.counts), endpoint="os", senses=table.senses[other])
        if isinstance(coding, Question):
            continue
        pairs = [
            (p, a, b)
            for p, a, b in zip(table.ids, codes, event_codes(table, other, coding), strict=True)
            if None not in (a, b)
        ]
        differ = [p for p, a, b in pairs if a != b]
        if not differ:
            continue
        if len(differ) > _MOST_CONTRADICTIONS * len(pairs) and "os" not in choices.event_values:
            text = (
                f"column {pair.event!r} and column {other!r} contradict each other for {len(differ)} of {len(pairs)} patients "
                f"({', '.join(differ[:5])}): is {pair.event!r} 1 for those who are alive?"
            )
            values = sorted(table.columns[pair.event].counts)
            turned = ",".join(
                f"{v}={1 - c}"
                for v in values
                for c in [_codes_of(table, pair.event, v, codes)]
                if c is not None
            )
            options = (
                Option(
                    label="yes, reverse its coding",
                    flags=("--event", f"os={pair.event}", "--event-values", f"os:{turned}"),
                ),
                Option(
                    label=f"no, use {other} instead",
                    flags=("--time", f"os={pair.time}", "--event", f"os={other}"),
                ),
            )
            raise Asked(Question(code="E_CONTRADICTION", text=text, options=options), (pair.event, other))
        notes.append(
            f"{other!r} contradicts it for {counted(len(differ), 'patient')}: {', '.join(differ[:5])}"
        )
    return notes


def _codes_of(table: ClinicalTable, column: str, value: str, codes: Sequence[int | None]) -> int | None:
    cells = table.columns[column].cells
    return next((c for cell, c in zip(cells, codes, strict=True) if cell == value), None)


# -- time and event derived from other columns ------------------------------------------------


def _derived(
    table: ClinicalTable, roles: Roles, choices: Choices, name: str, named_event: str | None = None
) -> Outcome | None:
    pair = find_sources(table, roles, choices, name, named_event)
    if pair is None:
        return None
    sources, unit = pair
    for column in sources.columns:
        if column in table.varying:
            patient, one, other = table.varying[column]
            raise InputError(
                f"{table.source}: patient {patient!r} has rows that contradict each other in column {column!r}: {one!r} and {other!r}. "
                "Keep one row per patient, or rows that agree.",
                code="E_CONFLICT",
            )
    derived = derive(table, sources)
    if derived.problems:
        raise InputError(f"{table.source}: {' '.join(derived.problems)}", code="E_TIME")
    taken = set(table.columns)
    time = next(t for t in (f"{name}_time", f"{name}_time_made") if t not in taken)
    event = next(t for t in (f"{name}_event", f"{name}_event_made") if t not in taken)
    kept = [(float(t), int(e)) for t, e in zip(derived.times, derived.events, strict=True) if t]
    if not kept:
        return None
    refuse_implausible(table, [t for t, _ in kept], unit, Pair(endpoint=name, time=time, event=event))
    notes = (
        [
            f"{counted(len(derived.untimed), 'patient who died has', 'patients who died have')} no time and {'is' if len(derived.untimed) == 1 else 'are'} left out: {', '.join(derived.untimed[:5])}"
        ]
        if derived.untimed
        else []
    )
    return Outcome(
        name=name,
        time=time,
        event=event,
        unit=unit,
        coding=Coding(values={"0": 0, "1": 1}, why=derived.how),
        n_patients=len(kept),
        n_events=sum(e for _, e in kept),
        derived=derived,
        sources=sources.columns,
        notes=tuple(notes),
        codes={p: int(e) if e else None for p, e in zip(table.ids, derived.events, strict=True)},
    )
