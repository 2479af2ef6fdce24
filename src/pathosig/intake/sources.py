"""Finds columns that a time and an event can be derived from: durations to death and last contact, or dates."""

from __future__ import annotations

from pathosig.core.errors import InputError
from pathosig.core.words import unit_of
from pathosig.intake.choices import Asked, Choices, Option, Question, column_named
from pathosig.intake.clinical_table import ClinicalTable
from pathosig.intake.coding import Coding
from pathosig.intake.derive import Sources
from pathosig.intake.pairing import one_event
from pathosig.intake.roles import Roles
from pathosig.intake.values import coding_of


def find_sources(
    table: ClinicalTable, roles: Roles, choices: Choices, name: str, named_event: str | None
) -> tuple[Sources, str] | None:
    """Columns that the time and event of an endpoint can be derived from, and the unit of time; None if there are none.

    Parameters
    ----------
    table
        The clinical table.
    roles
        Which of its columns may be a time, an event or a date.
    choices
        What the user decided.
    name
        Name of the endpoint.
    named_event
        The event column that the user named, if any.

    Raises
    ------
    Asked
        If it is undecided which values mean death, whether dates begin with the day, or which date time counts from.
    InputError
        If a column that was named holds no dates.
    """
    states = (
        [named_event]
        if named_event
        else [c for c in roles.events.get("", []) if table.senses[c] & {"vital", "death"}]
    )
    states = (
        states
        or roles.events.get(name, [])
        or ([c for c in roles.events.get("", []) if "event" in table.senses[c]])
    )
    state, coding = None, None
    if states:
        state, _ = one_event(table, choices, name, states)
        read = coding_of(table, choices, name, state)
        if isinstance(read, Question):
            raise Asked(read, states)
        coding = read
    if name not in choices.start and (roles.to_death or (roles.to_last_contact and state)):
        death = roles.to_death[0] if roles.to_death else None
        last = tuple(c for c in roles.to_last_contact if unit_of(c) == unit_of(death or c))
        unit = unit_of(death or (last[0] if last else "")) or choices.unit_of(name)
        if unit and last and (death or state):
            return Sources(death=death, last=last, state=state, coding=coding), unit
    return _date_sources(table, roles, choices, name, state, coding)


def _date_sources(
    table: ClinicalTable, roles: Roles, choices: Choices, name: str, state: str | None, coding: Coding | None
) -> tuple[Sources, str] | None:
    starts = roles.dates.get("start", [])
    death = next(iter(roles.dates.get("death", [])), None)
    last, end = roles.dates.get("last contact", []), roles.dates.get("end", [])
    headers = list(table.columns)
    if name in choices.time:
        chosen = column_named(choices.time[name], headers, flag="--time", source=table.source)
        last, end, death = ([], [chosen], None) if state else ([chosen], [], death)
    if not (last or end) or not (death or state):
        return None
    if name in choices.start:
        starts = [column_named(choices.start[name], headers, flag="--start", source=table.source)]
    if not starts:
        return None
    for column in (*starts, *last, *end, *([death] if death else [])):
        dates = table.columns[column].dates
        if dates is None:
            raise InputError(
                f"{table.source}: column {column!r} holds no dates; expected dates such as 2015-03-31.",
                code="E_TIME",
            )
        if dates.ambiguous:
            text = f"column {column!r} has dates such as {dates.ambiguous!r}: which number is the day?"
            options = (
                Option(label="day first", flags=("--dates", "dmy")),
                Option(label="month first", flags=("--dates", "mdy")),
            )
            raise Asked(Question(code="E_DATE", text=text, options=options), (column,))
    if len(starts) > 1:
        text = f"{name}: time may count from {' or '.join(map(repr, starts))}. Which one?"
        choices_of_start = tuple(Option(label="", flags=("--start", f"{name}={c}")) for c in starts)
        raise Asked(Question(code="E_START", text=text, options=choices_of_start), starts)
    sources = Sources(
        start=starts[0],
        death=death,
        last=tuple(end or last),
        both=bool(end) or death is None,
        state=state,
        coding=coding,
    )
    return sources, "days"
