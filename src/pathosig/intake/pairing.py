"""Pairs the time and the event of each endpoint; of several candidates it takes the plainest header, or asks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pathosig.core.words import UNITS, counted, meaning_of_event, unit_of, words
from pathosig.intake.choices import Asked, Choices, Option, Question
from pathosig.intake.clinical_table import ClinicalTable
from pathosig.intake.coding import Coding, read_coding
from pathosig.intake.roles import Roles
from pathosig.intake.values import Pair, coding_of, column_values, event_codes


def with_deaths(
    table: ClinicalTable, roles: Roles, times: Sequence[str], events: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Times and events of overall survival.

    These are the columns that name it, or else those about death and survival that name no other endpoint.
    """
    free_events = roles.events.get("", [])
    deaths = [
        c for c in free_events if table.senses[c] & {"death", "vital", "alive"} or _says_who_died(table, c)
    ]
    plain = [c for c in free_events if c not in deaths and table.senses[c] & {"event", "censor"}]
    plain = [
        c for c in plain if not table.senses[c] & {"recurrence", "progression", "metastasis", "new tumor"}
    ]
    free_times = roles.times.get("", [])
    others_lack_events = any(name not in roles.events for name in roles.times if name not in ("", "os"))
    if times and not events:
        events = deaths or ([] if others_lack_events else plain)
    elif events and not times:
        times = free_times
    elif not times and not events and deaths:
        times, events = free_times, deaths
    elif (
        not times
        and not events
        and any("survival" in table.senses[c] for c in free_times)
        and not others_lack_events
    ):
        times, events = [c for c in free_times if "survival" in table.senses[c]], plain
    return list(times), list(events)


def _says_who_died(table: ClinicalTable, column: str) -> bool:
    """Whether all values of a column are words for dead and alive, whatever its header is."""
    meanings = {meaning_of_event(v) for v in table.columns[column].counts}
    return bool(meanings & _DEAD) and bool(meanings & _ALIVE) and meanings <= _DEAD | _ALIVE


_DEAD = frozenset({"dead", "dead of disease", "dead otherwise"})
_ALIVE = frozenset({"alive", "alive with disease", "alive without disease"})


# -- one of several ---------------------------------------------------------------------------


def one_time(table: ClinicalTable, name: str, times: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The column with the time of an endpoint, and notes on it.

    The plainest header wins over longer ones, and columns that hold the same time in several units count as one.

    Raises
    ------
    Asked
        If several columns with different times are left.
    """
    times = _plainest(name, times)
    if len(times) == 1:
        return times[0], ()
    first, *others = sorted(times, key=lambda c: _unit_rank(c, table))
    a = column_values(table, first)
    for other in others:
        b = column_values(table, other)
        both = np.isfinite(a) & np.isfinite(b)
        if both.sum() < 3 or not np.isclose(np.corrcoef(a[both], b[both])[0, 1], 1, atol=5e-3):
            options = tuple(Option(label="", flags=("--time", f"{name}={c}")) for c in times)
            text = f"{name}: several columns may hold its time: {', '.join(map(repr, times))}. Which one?"
            raise Asked(Question(code="E_TIME", text=text, options=options), times)
    return first, (f"{', '.join(map(repr, others))} hold the same time",)


_PLAIN_WORDS = frozenset(
    [
        "time",
        "event",
        "status",
        "stat",
        "state",
        "months",
        "month",
        "days",
        "day",
        "years",
        "year",
        "weeks",
        "survival",
        "overall",
        "mo",
        "mos",
        "in",
        "of",
        "the",
        "1",
        "0",
    ]
)


def _plainest(name: str, headers: Sequence[str]) -> Sequence[str]:
    """Headers that name the endpoint and nothing else (PFI.time rather than PFI.time.1.cr); all headers if there are none."""
    plain = [c for c in headers if set(words(c)) <= _PLAIN_WORDS | {name}]
    return plain or headers


def _unit_rank(column: str, table: ClinicalTable) -> int:
    unit = unit_of(column)
    return ("days", "months", "years", "weeks", None).index(unit) if unit in (*UNITS, None) else 4


def one_event(
    table: ClinicalTable, choices: Choices, name: str, events: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """The column with the event of an endpoint, and notes on it.

    The plainest header wins over longer ones, and of several columns that agree, the one coded 0 and 1.

    Raises
    ------
    Asked
        If the columns that are left disagree.
    """
    events = _plainest(name, events)
    if len(events) == 1:
        return events[0], ()
    read = {c: coding_of(table, choices, name, c) for c in events}
    clear = {c: coding for c, coding in read.items() if isinstance(coding, Coding)}
    if not clear:
        return events[0], ()
    codes = {c: event_codes(table, c, coding) for c, coding in clear.items()}
    best = max(clear, key=lambda c: (clear[c].is_plain, sum(v is not None for v in codes[c])))
    for other in clear:
        differ = [
            p
            for p, a, b in zip(table.ids, codes[best], codes[other], strict=True)
            if None not in (a, b) and a != b
        ]
        if differ:
            text = (
                f"{name}: both {best!r} and {other!r} may hold its event, and they disagree for {counted(len(differ), 'patient')} "
                f"({', '.join(differ[:5])}). Which one?"
            )
            options = tuple(Option(label="", flags=("--event", f"{name}={c}")) for c in (best, other))
            raise Asked(Question(code="E_EVENT", text=text, options=options), events)
    others = [c for c in clear if c != best]
    return best, (f"{', '.join(map(repr, others))} hold the same event",) if others else ()


def with_time(question: Question, pair: Pair) -> Question:
    """The question with the time column added to the flags of its options, so that one command is enough."""
    options = tuple(
        Option(label=o.label, flags=("--time", f"{pair.endpoint}={pair.time}", *o.flags))
        for o in question.options
    )
    return Question(code=question.code, text=question.text, options=options)


# -- nothing found ----------------------------------------------------------------------------


def nothing_clear(table: ClinicalTable, roles: Roles) -> Question:
    """The question when no endpoint is clear: the columns that may be meant, and the flags to give."""
    named = [e for e in (*roles.times, *roles.events) if e]
    name = named[0] if named else "os"
    times = [c for e in (name, "") for c in roles.times.get(e, [])] + roles.to_death + roles.to_last_contact
    events = [c for e in (name, "") for c in roles.events.get(e, [])]
    may_be = list(
        dict.fromkeys(
            [
                *times,
                *events,
                *(c for group in (*roles.times.values(), *roles.events.values()) for c in group),
            ]
        )
    )
    shown = may_be or list(table.columns)
    seen = f"{'Columns that may be meant' if may_be else 'Columns'}: {', '.join(map(repr, shown[:8]))}."
    text = f"no endpoint is clear: no pair of columns has the time and the event of one endpoint (overall survival, recurrence ...). {seen}"
    dates = [c for group in roles.dates.values() for c in group]
    if dates:
        text += f" Dates: {', '.join(map(repr, dates[:6]))}; name the one that time counts from with --start {name}=COLUMN."
    if may_be and not named:
        text += " Name the endpoint that they belong to (os, dfs, pfs ...)."
    flags = [
        "--time",
        f"{name}={times[0] if times else 'COLUMN'}",
        "--event",
        f"{name}={events[0] if events else 'COLUMN'}",
    ]
    if times and unit_of(times[0]) is None:
        flags += ["--unit", f"{name}=days"]
    return Question(code="E_ENDPOINT", text=text, options=_with_codings(table, name, events, flags))


def _with_codings(
    table: ClinicalTable, name: str, events: Sequence[str], flags: Sequence[str]
) -> tuple[Option, ...]:
    """One option with the flags for every coding that the event column may have."""
    label = "the endpoint, its columns and its unit"
    if events:
        event = events[0]
        coding = read_coding(
            event, list(table.columns[event].counts), endpoint=name, senses=table.senses[event]
        )
        if isinstance(coding, Question) and coding.options:
            return tuple(Option(label=o.label or label, flags=(*flags, *o.flags[2:])) for o in coding.options)
    return (Option(label=label, flags=tuple(flags)),)
