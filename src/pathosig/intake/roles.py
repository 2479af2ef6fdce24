"""Finds the columns that may hold a time, an event or a date, by the words of their headers and by their values."""

from __future__ import annotations

from dataclasses import dataclass

from pathosig.core.columns import Column
from pathosig.core.vocabulary import ENDPOINTS
from pathosig.core.words import UNITS, meaning_of_event
from pathosig.intake.clinical_table import ClinicalTable

_MOST_EVENT_VALUES = 12
_UNIT_SENSES = frozenset(UNITS)
_EVENTS = frozenset({"event", "censor", "vital", "alive", "death"})
_OTHER_EVENTS = frozenset({"recurrence", "progression", "metastasis", "new tumor"})
_NEVER = frozenset(
    {"cause", "tumor status", "response", "birth", "patient", "sample", "slide", "site", "cohort"}
)
_OUTCOME = (
    frozenset({"survival", "time", "to", "last contact", "new tumor", "tumor status", "response", "cause"})
    | _EVENTS
    | _OTHER_EVENTS
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Roles:
    """Headers by the role that their columns may have.

    Attributes
    ----------
    times, events
        Endpoint -> headers that name it; the key "" holds the headers that name no endpoint.
    to_death, to_last_contact
        Headers of durations from diagnosis to death, and to the last contact.
    dates
        start, death, last contact, end (death or last contact) or recurrence -> headers of dates.
    outcome_like
        All headers that refer to an outcome.
    """

    times: dict[str, list[str]]
    events: dict[str, list[str]]
    to_death: list[str]
    to_last_contact: list[str]
    dates: dict[str, list[str]]
    outcome_like: list[str]


def find_roles(table: ClinicalTable, taken: frozenset[str]) -> Roles:
    """The roles that columns may have, except for those in `taken`."""
    roles = Roles(times={}, events={}, to_death=[], to_last_contact=[], dates={}, outcome_like=[])
    for name, column in table.columns.items():
        has = table.senses[name]
        if name in taken or not has:
            continue
        endpoint = next((e for e in ENDPOINTS if e in has), "")
        if column.kind == "dates" and endpoint == "":
            _place_date(roles, name, has)
        elif endpoint or has & _OUTCOME:
            roles.outcome_like.append(name)
            _place(roles, name, column, has, endpoint)
    return roles


def _place(roles: Roles, name: str, column: Column, has: frozenset[str], endpoint: str) -> None:
    if endpoint:
        if is_time(column, has):
            roles.times.setdefault(endpoint, []).append(name)
        elif is_event(column):
            roles.events.setdefault(endpoint, []).append(name)
        return
    if has & _NEVER:
        return
    if is_time(column, has) and has & (_UNIT_SENSES | {"time", "survival", "to"}):
        if "last contact" in has and has & {"to", "time"} | has & _UNIT_SENSES:
            target = roles.to_death if "death" in has else roles.to_last_contact
            target.append(name)
        elif "death" in has:
            roles.to_death.append(name)
        elif not has & (_OTHER_EVENTS | {"diagnosis", "surgery", "entry"}):
            roles.times.setdefault("", []).append(name)
    elif is_event(column) and has & (_EVENTS | _OTHER_EVENTS):
        roles.events.setdefault("", []).append(name)


def _place_date(roles: Roles, name: str, has: frozenset[str]) -> None:
    if has & {"birth"}:
        return
    if "death" in has and "last contact" in has:
        roles.dates.setdefault("end", []).append(name)
    elif "death" in has:
        roles.dates.setdefault("death", []).append(name)
    elif "last contact" in has:
        roles.dates.setdefault("last contact", []).append(name)
    elif has & {"recurrence", "progression", "metastasis", "new tumor"}:
        roles.dates.setdefault("recurrence", []).append(name)
    elif "time" in has:
        roles.dates.setdefault("last contact", []).append(name)
    elif has & {"diagnosis", "surgery", "entry"}:
        roles.dates.setdefault("start", []).append(name)
    else:
        return
    roles.outcome_like.append(name)


def is_time(column: Column, has: frozenset[str]) -> bool:
    """Whether a column may be a time: it holds numbers other than a code, or its header names a unit."""
    if column.kind == "dates":
        return bool(has & (_UNIT_SENSES | {"time"})) and "date" not in has
    if column.kind != "numbers" or column.numbers is None:
        # a column with words among its numbers is still a time if its header names a unit
        return (
            column.kind == "words"
            and bool(has & _UNIT_SENSES)
            and not has & {"event", "censor"}
            and _half_numbers(column)
        )
    values = {v for v in column.numbers.values if v == v}
    is_code = values <= {0.0, 1.0, 2.0, 3.0} and len(values) <= 4
    if is_code:
        return bool(has & (_UNIT_SENSES | {"time"})) and not has & {"event", "censor", "alive", "vital"}
    return not (
        "event" in has
        and len(values) <= _MOST_EVENT_VALUES
        and not has & _UNIT_SENSES
        and all(v.is_integer() for v in values)
    )


def _half_numbers(column: Column) -> bool:
    digits = sum(n for cell, n in column.counts.items() if cell[:1].isdigit())
    return digits * 2 >= max(1, sum(column.counts.values()))


def is_event(column: Column) -> bool:
    """Whether a column may be an event: it has few distinct values, or all of them are words for an outcome."""
    if column.kind in ("empty", "dates"):
        return False
    if len(column.counts) <= _MOST_EVENT_VALUES:
        return True
    return all(meaning_of_event(v) is not None for v in column.counts)
