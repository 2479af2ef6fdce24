"""Endpoints of a table: which time goes with which event, coded how, in which unit; or what to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pathosig.core.errors import InputError
from pathosig.core.vocabulary import ENDPOINTS
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

_MANY_LOST = 0.1
_MOSTLY_OTHERWISE = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One endpoint as it is proposed.

    Attributes
    ----------
    time, event
        Columns of patients.csv: those of the table, or new ones that were `derived`.
    untimed
        Patients whose event has no time.
    notes
        What was seen on the way.
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
        """Columns of the table that it is made of."""
        return self.sources or (self.time, self.event)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcomes:
    """Endpoints that are clear, questions about the first one, and reasons why others are not used."""

    endpoints: tuple[Outcome, ...]
    questions: tuple[Question, ...]
    left_out: Mapping[str, str]


def find_outcomes(table: ClinicalTable, roles: Roles, choices: Choices) -> Outcomes:
    """The endpoints of a table, those of death first.

    Raises
    ------
    ConfigError
        If a flag names no column, or contradicts a header.
    InputError
        E_TIME, E_CONFLICT: values that no reading makes right.
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
    said_time, said_event = choices.time.get(name), choices.event.get(name)
    headers = list(table.columns)
    if said_time is not None:
        said_time = column_named(said_time, headers, flag="--time", source=table.source)
    if said_event is not None:
        said_event = column_named(said_event, headers, flag="--event", source=table.source)
    if said_time and said_event:
        return _outcome(table, choices, Pair(endpoint=name, time=said_time, event=said_event))
    if name in choices.start:
        return _derived(table, roles, choices, name)
    times = [said_time] if said_time else roles.times.get(name, [])
    events = [said_event] if said_event else roles.events.get(name, [])
    if name == "os":
        times, events = with_deaths(table, roles, times, events)
        if (not times and not roles.times.get("")) or (not times and not events):
            return _derived(table, roles, choices, name, said_event=said_event)
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
    """Whether a column that says in words who died speaks against the event: then one of the two is turned round."""
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
        if len(differ) > _MOSTLY_OTHERWISE * len(pairs) and "os" not in choices.event_values:
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
                    label="turn it round",
                    flags=("--event", f"os={pair.event}", "--event-values", f"os:{turned}"),
                ),
                Option(label=f"use {other}", flags=("--time", f"os={pair.time}", "--event", f"os={other}")),
            )
            raise Asked(Question(code="E_CONTRADICTION", text=text, options=options), (pair.event, other))
        notes.append(f"{other!r} says otherwise for {len(differ)} patients: {', '.join(differ[:5])}")
    return notes


def _codes_of(table: ClinicalTable, column: str, value: str, codes: Sequence[int | None]) -> int | None:
    cells = table.columns[column].cells
    return next((c for cell, c in zip(cells, codes, strict=True) if cell == value), None)


# -- time and event made of other columns -----------------------------------------------------


def _derived(
    table: ClinicalTable, roles: Roles, choices: Choices, name: str, said_event: str | None = None
) -> Outcome | None:
    pair = find_sources(table, roles, choices, name, said_event)
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
            f"{len(derived.untimed)} patients who died have no time and are left out: {', '.join(derived.untimed[:5])}"
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
