"""Endpoints of a table: which time goes with which event, coded how, in which unit; or what to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import ConfigError, InputError
from pathosig.core.patients import event_key
from pathosig.core.vocabulary import ENDPOINTS
from pathosig.core.words import UNITS, is_missing, unit_of
from pathosig.intake.choices import Choices, Option, Question, column_named
from pathosig.intake.clinical_table import ClinicalTable
from pathosig.intake.coding import Coding, read_coding
from pathosig.intake.derive import Derived, Sources, derive
from pathosig.intake.plausibility import implausible_times
from pathosig.intake.roles import Roles

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
class _Pair:
    endpoint: str
    time: str
    event: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcomes:
    """Endpoints that are clear, questions about the first one, and reasons why others are not used."""

    endpoints: tuple[Outcome, ...]
    questions: tuple[Question, ...]
    left_out: Mapping[str, str]


class _Asked(Exception):
    def __init__(self, question: Question, columns: Sequence[str] = ()) -> None:
        super().__init__(question.text)
        self.question = question
        self.columns = tuple(columns)


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
            found = _endpoint(table, roles, choices, name)
        except _Asked as question:
            is_first = not done and not asked
            if is_first or name in wanted:
                asked.append(question.question)
            else:
                way = question.question.options[0].to_flags() if question.question.options else ""
                left_out |= dict.fromkeys(question.columns, f"{name}: {question.question.text} {way}".strip())
            continue
        if found is not None:
            done.append(found)
    if not done and not asked:
        asked.append(_nothing(table, roles))
    return Outcomes(endpoints=tuple(done), questions=tuple(asked), left_out=left_out)


def _endpoint(table: ClinicalTable, roles: Roles, choices: Choices, name: str) -> Outcome | None:
    said_time, said_event = choices.time.get(name), choices.event.get(name)
    headers = list(table.columns)
    if said_time is not None:
        said_time = column_named(said_time, headers, flag="--time", source=table.source)
    if said_event is not None:
        said_event = column_named(said_event, headers, flag="--event", source=table.source)
    if said_time and said_event:
        return _outcome(table, choices, _Pair(endpoint=name, time=said_time, event=said_event))
    if name in choices.start:
        return _derived(table, roles, choices, name)
    times = [said_time] if said_time else roles.times.get(name, [])
    events = [said_event] if said_event else roles.events.get(name, [])
    if name == "os":
        times, events = _with_deaths(table, roles, times, events)
        if (not times and not roles.times.get("")) or (not times and not events):
            return _derived(table, roles, choices, name, said_event=said_event)
    elif name in ("ttr", "ttp") and times and not events:
        sense = "recurrence" if name == "ttr" else "progression"
        events = [c for c in roles.events.get("", []) if sense in table.senses[c]]
    if not times or not events:
        return None
    time, time_notes = _one_time(table, name, times)
    event, event_notes = _one_event(table, choices, name, events)
    return _outcome(
        table, choices, _Pair(endpoint=name, time=time, event=event, notes=(*time_notes, *event_notes))
    )


def _with_deaths(
    table: ClinicalTable, roles: Roles, times: Sequence[str], events: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Times and events of overall survival: its own columns, else those of death and survival without another endpoint's name."""
    free_events = roles.events.get("", [])
    deaths = [c for c in free_events if table.senses[c] & {"death", "vital", "alive"}]
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


# -- one of several ---------------------------------------------------------------------------


def _one_time(table: ClinicalTable, name: str, times: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The time of an endpoint; the same time in several units is one."""
    if len(times) == 1:
        return times[0], ()
    first, *others = sorted(times, key=lambda c: _unit_rank(c, table))
    a = _values(table, first)
    for other in others:
        b = _values(table, other)
        both = np.isfinite(a) & np.isfinite(b)
        if both.sum() < 3 or not np.isclose(np.corrcoef(a[both], b[both])[0, 1], 1, atol=5e-3):
            options = tuple(Option(label="", flags=("--time", f"{name}={c}")) for c in times)
            text = f"{name}: several columns may hold its time: {', '.join(map(repr, times))}. Which one?"
            raise _Asked(Question(code="E_TIME", text=text, options=options), times)
    return first, (f"{', '.join(map(repr, others))} hold the same time in another unit",)


def _unit_rank(column: str, table: ClinicalTable) -> int:
    unit = unit_of(column)
    return ("days", "months", "years", "weeks", None).index(unit) if unit in (*UNITS, None) else 4


def _values(table: ClinicalTable, column: str) -> np.ndarray:
    numbers = table.columns[column].numbers
    return np.array(numbers.values if numbers is not None else [np.nan] * len(table))


def _one_event(
    table: ClinicalTable, choices: Choices, name: str, events: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """The event of an endpoint; of several that agree the one coded 0 and 1."""
    if len(events) == 1:
        return events[0], ()
    read = {c: _read(table, choices, name, c) for c in events}
    clear = {c: coding for c, coding in read.items() if isinstance(coding, Coding)}
    if not clear:
        return events[0], ()
    codes = {c: _codes(table, c, coding) for c, coding in clear.items()}
    best = max(clear, key=lambda c: (clear[c].is_plain, sum(v is not None for v in codes[c])))
    for other in clear:
        differ = [
            p
            for p, a, b in zip(table.ids, codes[best], codes[other], strict=True)
            if None not in (a, b) and a != b
        ]
        if differ:
            text = (
                f"{name}: {best!r} and {other!r} both may hold its event and disagree for {len(differ)} patients "
                f"({', '.join(differ[:5])}). Which one?"
            )
            options = tuple(Option(label="", flags=("--event", f"{name}={c}")) for c in (best, other))
            raise _Asked(Question(code="E_EVENT", text=text, options=options), events)
    others = [c for c in clear if c != best]
    return best, (f"{', '.join(map(repr, others))} say the same",) if others else ()


def _read(table: ClinicalTable, choices: Choices, name: str, column: str) -> Coding | Question:
    return read_coding(
        column,
        _event_values(table, column),
        endpoint=name,
        senses=table.senses[column],
        declared=choices.event_values.get(name),
    )


def _event_values(table: ClinicalTable, column: str) -> list[str]:
    return list(table.columns[column].counts)


def _codes(table: ClinicalTable, column: str, coding: Coding) -> list[int | None]:
    known = {event_key(v): c for v, c in coding.values.items()}
    cells = table.columns[column].cells
    keys = {c: event_key(c) for c in set(cells)}
    return [known.get(keys[c]) for c in cells]


# -- one endpoint -----------------------------------------------------------------------------


def _outcome(table: ClinicalTable, choices: Choices, pair: _Pair) -> Outcome:
    name = pair.endpoint
    for column in (pair.time, pair.event):
        if column in table.varying:
            patient, one, other = table.varying[column]
            raise InputError(
                f"{table.source}: patient {patient!r} has rows that contradict each other in column {column!r}: {one!r} and {other!r}. "
                "Keep one row per patient, or rows that agree.",
                code="E_CONFLICT",
            )
    coding = _read(table, choices, name, pair.event)
    if isinstance(coding, Question):
        raise _Asked(_with_time(coding, pair), (pair.time, pair.event))
    times = _checked_times(table, pair.time, name)
    codes = _codes(table, pair.event, coding)
    unit = _unit(table, choices, pair)
    untimed = tuple(p for p, t, c in zip(table.ids, times, codes, strict=True) if c and t != t)
    eventless = sum(c is None and t == t for t, c in zip(times, codes, strict=True))
    kept = [(t, c) for t, c in zip(times, codes, strict=True) if t == t and c is not None]
    _refuse_many_lost(table, pair, untimed, sum(bool(c) for c in codes))
    _refuse_implausible(table, [t for t, _ in kept], unit, pair)
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


def _with_time(question: Question, pair: _Pair) -> Question:
    """The question with the time column among its flags, so that one command is enough."""
    options = tuple(
        Option(label=o.label, flags=("--time", f"{pair.endpoint}={pair.time}", *o.flags))
        for o in question.options
    )
    return Question(code=question.code, text=question.text, options=options)


def _checked_times(table: ClinicalTable, column: str, name: str) -> Sequence[float]:
    read = table.columns[column]
    if read.kind == "dates":
        raise InputError(
            f"{table.source}: column {column!r} ({name} time) holds dates; expected durations. Name the date that time counts from with "
            f"--start {name}=COLUMN and the date of death or last contact with --time {name}={column}, or give durations.",
            code="E_TIME",
        )
    numbers = read.numbers
    if numbers is None or read.strange:
        words = list(read.strange) or [c for c in read.counts if not c[:1].isdigit()] or list(read.counts)
        shown = ", ".join(map(repr, words[:5]))
        raise InputError(
            f"{table.source}: column {column!r} ({name} time) holds {shown}, which are no times. Correct them, or declare those that mean "
            f"missing with --missing {words[0]!r}.",
            code="E_TIME",
        )
    if numbers.ambiguous:
        example = numbers.ambiguous
        options = (
            Option(
                label=f"{example} is {example.replace(',', '').replace('.', '')}",
                flags=("--decimal", "point" if "," in example else "comma"),
            ),
            Option(
                label=f"{example} is {example.replace(',', '.')}",
                flags=("--decimal", "comma" if "," in example else "point"),
            ),
        )
        text = f"column {column!r} has values such as {example!r}: is what stands before the last three digits a thousands separator or a decimal mark?"
        raise _Asked(Question(code="E_NUMBER", text=text, options=options), (column,))
    if numbers.infinite:
        raise InputError(
            f"{table.source}: column {column!r} ({name} time) has {numbers.infinite} infinite values; expected numbers >= 0.",
            code="E_TIME",
        )
    bad = [f"{p}: {v:g}" for p, v in zip(table.ids, numbers.values, strict=True) if v < 0]
    if bad:
        first = bad[0].rpartition(": ")[2]
        raise InputError(
            f"{table.source}: column {column!r} ({name} time) has {len(bad)} negative values ({'; '.join(bad[:5])}). Correct them, or if "
            f"{first} means missing, give --missing={first}.",
            code="E_TIME",
        )
    return numbers.values


def _unit(table: ClinicalTable, choices: Choices, pair: _Pair) -> str:
    named, said = unit_of(pair.time), choices.unit_of(pair.endpoint)
    explicit = choices.unit.get(pair.endpoint)
    if named and said and named != said:
        if explicit or len(choices.time) <= 1:
            raise ConfigError(
                f"--unit {said}: column {pair.time!r} says {named}. Leave the flag out, or correct the header.",
                code="E_UNIT",
            )
        return named
    unit = named or said or _unit_of_twin(table, pair.time) or _unit_in_cells(table, pair.time)
    if unit is None:
        flag = f"{pair.endpoint}="
        text = f"column {pair.time!r} does not say its unit, and months are never guessed; its values run {_range(table, pair.time)}."
        options = tuple(Option(label="", flags=("--unit", f"{flag}{u}")) for u in UNITS)
        raise _Asked(Question(code="E_UNIT", text=text, options=options), (pair.time,))
    return unit


def _range(table: ClinicalTable, column: str) -> str:
    values = _values(table, column)
    values = values[np.isfinite(values)]
    return f"from {values.min():g} to {values.max():g}" if len(values) else "nowhere"


def _unit_in_cells(table: ClinicalTable, column: str) -> str | None:
    numbers = table.columns[column].numbers
    if numbers is None or numbers.style != "with unit":
        return None
    units = {u for c in table.columns[column].counts if (u := unit_of(c.lstrip("0123456789., ")))}
    return units.pop() if len(units) == 1 else None


def _unit_of_twin(table: ClinicalTable, column: str) -> str | None:
    """The unit of other columns whose headers name one and whose values are the very same for most patients."""
    values = _values(table, column)
    filled = np.isfinite(values)
    same: dict[str, np.ndarray] = {}
    for other in table.columns:
        unit = unit_of(other) if other != column else None
        if unit and table.columns[other].kind == "numbers":
            equal = filled & (np.abs(_values(table, other) - values) < 1e-9)
            same[unit] = same.get(unit, np.zeros(len(values), bool)) | equal
    most = {u: int(e.sum()) for u, e in same.items()}
    best = max(most, key=lambda u: most[u], default="")
    return (
        best if best and most[best] >= max(5, 0.8 * filled.sum()) and len(set(values[filled])) > 3 else None
    )


def _refuse_many_lost(table: ClinicalTable, pair: _Pair, untimed: Sequence[str], events: int) -> None:
    if len(untimed) > max(1, _MANY_LOST * events) and len(untimed) > _MANY_LOST * len(table):
        raise InputError(
            f"{table.source}: column {pair.time!r} is empty for {len(untimed)} of {events} patients whose {pair.event!r} says that the event "
            f"happened ({', '.join(untimed[:5])}). Give their times, or empty both cells.",
            code="E_TIME",
        )


def _refuse_implausible(table: ClinicalTable, times: Sequence[float], unit: str, pair: _Pair) -> None:
    for item in implausible_times(times, unit, pair.time):
        if item.is_fatal:
            raise InputError(f"{table.source}: {item.text}", code=item.code)


def _against_others(
    table: ClinicalTable, choices: Choices, pair: _Pair, codes: Sequence[int | None]
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
            for p, a, b in zip(table.ids, codes, _codes(table, other, coding), strict=True)
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
            raise _Asked(Question(code="E_CONTRADICTION", text=text, options=options), (pair.event, other))
        notes.append(f"{other!r} says otherwise for {len(differ)} patients: {', '.join(differ[:5])}")
    return notes


def _codes_of(table: ClinicalTable, column: str, value: str, codes: Sequence[int | None]) -> int | None:
    cells = table.columns[column].cells
    return next((c for cell, c in zip(cells, codes, strict=True) if cell == value), None)


# -- time and event made of other columns -----------------------------------------------------


def _derived(
    table: ClinicalTable, roles: Roles, choices: Choices, name: str, said_event: str | None = None
) -> Outcome | None:
    found = _sources(table, roles, choices, name, said_event)
    if found is None:
        return None
    sources, unit = found
    for column in sources.columns:
        if column in table.varying:
            patient, one, other = table.varying[column]
            raise InputError(
                f"{table.source}: patient {patient!r} has rows that contradict each other in column {column!r}: {one!r} and {other!r}. "
                "Keep one row per patient, or rows that agree.",
                code="E_CONFLICT",
            )
    made = derive(table, sources)
    if made.problems:
        raise InputError(f"{table.source}: {' '.join(made.problems)}", code="E_TIME")
    taken = set(table.columns)
    time = next(t for t in (f"{name}_time", f"{name}_time_made") if t not in taken)
    event = next(t for t in (f"{name}_event", f"{name}_event_made") if t not in taken)
    kept = [(float(t), int(e)) for t, e in zip(made.times, made.events, strict=True) if t]
    if not kept:
        return None
    _refuse_implausible(table, [t for t, _ in kept], unit, _Pair(endpoint=name, time=time, event=event))
    notes = (
        [
            f"{len(made.untimed)} patients who died have no time and are left out: {', '.join(made.untimed[:5])}"
        ]
        if made.untimed
        else []
    )
    return Outcome(
        name=name,
        time=time,
        event=event,
        unit=unit,
        coding=Coding(values={"0": 0, "1": 1}, why=made.how),
        n_patients=len(kept),
        n_events=sum(e for _, e in kept),
        derived=made,
        sources=sources.columns,
        notes=tuple(notes),
        codes={p: int(e) if e else None for p, e in zip(table.ids, made.events, strict=True)},
    )


def _sources(
    table: ClinicalTable, roles: Roles, choices: Choices, name: str, said_event: str | None
) -> tuple[Sources, str] | None:
    states = (
        [said_event]
        if said_event
        else [c for c in roles.events.get("", []) if table.senses[c] & {"vital", "death"}]
    )
    states = (
        states
        or roles.events.get(name, [])
        or ([c for c in roles.events.get("", []) if "event" in table.senses[c]])
    )
    state, coding = None, None
    if states:
        state, _ = _one_event(table, choices, name, states)
        read = _read(table, choices, name, state)
        if isinstance(read, Question):
            raise _Asked(read, states)
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
                f"{table.source}: column {column!r} holds no dates; expected such as 2015-03-31.",
                code="E_TIME",
            )
        if dates.ambiguous:
            text = f"column {column!r} has dates such as {dates.ambiguous!r}: which number is the day?"
            options = (
                Option(label="day first", flags=("--dates", "dmy")),
                Option(label="month first", flags=("--dates", "mdy")),
            )
            raise _Asked(Question(code="E_DATE", text=text, options=options), (column,))
    if len(starts) > 1:
        text = f"{name}: time may count from {' or '.join(map(repr, starts))}. From which?"
        choices_of_start = tuple(Option(label="", flags=("--start", f"{name}={c}")) for c in starts)
        raise _Asked(Question(code="E_START", text=text, options=choices_of_start), starts)
    sources = Sources(
        start=starts[0],
        death=death,
        last=tuple(end or last),
        both=bool(end) or death is None,
        state=state,
        coding=coding,
    )
    return sources, "days"


# -- nothing found ----------------------------------------------------------------------------


def _nothing(table: ClinicalTable, roles: Roles) -> Question:
    """What to say when no endpoint is clear: the columns that may be meant, and the flags."""
    times = [c for group in roles.times.values() for c in group] + roles.to_death + roles.to_last_contact
    events = [c for group in roles.events.values() for c in group]
    may_be = [c for c in (*times, *events) if c]
    seen = (
        f"Columns that may be meant: {', '.join(map(repr, may_be[:8]))}."
        if may_be
        else f"Columns: {', '.join(map(repr, list(table.columns)[:8]))}."
    )
    time = times[0] if times else "COLUMN"
    event = events[0] if events else "COLUMN"
    name = next((e for e in roles.times if e), "os") or "os"
    flags = ["--time", f"{name}={time}", "--event", f"{name}={event}"]
    if unit_of(time) is None:
        flags += ["--unit", f"{name}=days"]
    if events:
        coding = read_coding(
            event, list(table.columns[event].counts), endpoint=name, senses=table.senses[event]
        )
        if isinstance(coding, Question) and coding.options:
            flags += list(coding.options[0].flags[2:])
    dates = [c for group in roles.dates.values() for c in group]
    text = f"no endpoint is clear: no column names both what is timed (overall survival, recurrence ...) and its event. {seen}"
    if dates:
        text += f" Dates: {', '.join(map(repr, dates[:6]))}; --start {name}=COLUMN names the one that time counts from."
    if may_be and all(not e for e in (*roles.times, *roles.events)):
        text += " Name the endpoint they belong to (os, dfs, pfs ...)."
    return Question(
        code="E_ENDPOINT",
        text=text,
        options=(Option(label="the endpoint, its columns, its unit", flags=tuple(flags)),),
    )


def missing_cells(table: ClinicalTable, column: str) -> int:
    """How many cells of a column are missing."""
    return sum(is_missing(c, table.missing) for c in table.columns[column].cells)
