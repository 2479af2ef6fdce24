"""Derives time and event from durations to death and to last contact, as the GDC has them, or from dates, as hospitals do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pathosig.core.patients import event_key
from pathosig.core.words import counted, is_missing
from pathosig.intake.clinical_table import ClinicalTable
from pathosig.intake.coding import Coding

_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """The columns that time and event are derived from.

    Attributes
    ----------
    start
        The date that time counts from; None if the other columns are durations.
    death, last
        Columns with the death and with the last contact, as dates or durations.
    both
        Whether `last` holds the death of those who died and the last contact of the others.
    state
        The column that states who died.
    coding
        Which of its values mean death.
    """

    start: str | None = None
    death: str | None = None
    last: tuple[str, ...] = ()
    both: bool = False
    state: str | None = None
    coding: Coding | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All these columns."""
        return tuple(c for c in (self.start, self.death, *self.last, self.state) if c)


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived:
    """The two new columns.

    Attributes
    ----------
    times, events
        Cells as text, one per patient, "" if unknown.
    how
        How they were derived, in words.
    problems
        Contradictions and negative times.
    untimed
        Patients who died but have no time of death.
    """

    times: tuple[str, ...]
    events: tuple[str, ...]
    how: str
    problems: tuple[str, ...]
    untimed: tuple[str, ...]


def derive(table: ClinicalTable, sources: Sources) -> Derived:
    """Time and event of every patient: time runs to the death of those who died, and to the last contact of the others."""
    at = _from_dates(table, sources.start) if sources.start else _durations(table)
    codes = _codes(table, sources)
    times: list[str] = []
    events: list[str] = []
    contradictions, negative, untimed = [], [], []
    for row, patient in enumerate(table.ids):
        died_at = at(sources.death, row) if sources.death else None
        seen = [v for name in sources.last if (v := at(name, row)) is not None]
        code = codes[row] if codes is not None else (1 if died_at is not None else 0 if seen else None)
        if code == 0 and died_at is not None:
            contradictions.append(patient)
        time = died_at if code else None
        if code == 0 or (code and (sources.both or sources.death is None)):
            time = max(seen) if seen and time is None else time
        if time is not None and time < 0:
            negative.append(f"{patient}: {time:g}")
        if code and time is None:
            untimed.append(patient)
        is_known = code is not None and time is not None
        times.append(f"{time:g}" if is_known and time is not None else "")
        events.append(str(code) if is_known else "")
    problems = []
    if contradictions:
        problems.append(
            f"{counted(len(contradictions), 'patient is', 'patients are')} alive according to {sources.state!r} despite a death in {sources.death!r}: "
            f"{', '.join(contradictions[:_SHOWN])}. Correct one of the two."
        )
    if negative:
        ends = " or ".join(map(repr, [*filter(None, [sources.death]), *sources.last]))
        fault = f"{ends} before {sources.start!r}" if sources.start else f"a negative duration in {ends}"
        problems.append(
            f"{counted(len(negative), 'patient has', 'patients have')} {fault} ({'; '.join(negative[:_SHOWN])}). Correct these cells."
        )
    return Derived(
        times=tuple(times),
        events=tuple(events),
        how=_how(sources),
        problems=tuple(problems),
        untimed=tuple(untimed),
    )


def _codes(table: ClinicalTable, sources: Sources) -> list[int | None] | None:
    if sources.state is None or sources.coding is None:
        return None
    codes: Mapping[str, int] = {event_key(v): c for v, c in sources.coding.values.items()}
    cells: Sequence[str] = table.columns[sources.state].cells
    return [
        codes.get(event_key(c)) if not is_missing(c, table.missing) or event_key(c) in codes else None
        for c in cells
    ]


_At = Callable[[str, int], float | None]


def _from_dates(table: ClinicalTable, start: str) -> _At:
    first = table.columns[start].dates

    def at(name: str, row: int) -> float | None:
        dates = table.columns[name].dates
        begin = first.values[row] if first is not None else None
        end = dates.values[row] if dates is not None else None
        return float((end - begin).days) if begin is not None and end is not None else None

    return at


def _durations(table: ClinicalTable) -> _At:
    def at(name: str, row: int) -> float | None:
        numbers = table.columns[name].numbers
        value = numbers.values[row] if numbers is not None else float("nan")
        return value if value == value else None

    return at


def _how(sources: Sources) -> str:
    start = f" since {sources.start!r}" if sources.start else ""
    last = " or ".join(map(repr, sources.last)) or "nothing"
    who = f"those who died according to {sources.state!r}" if sources.state else "those who died"
    if sources.both or sources.death is None:
        return f"time to {last}{start}; event from {sources.state!r}"
    return f"time to {sources.death!r} for {who}, to {last} for the others{start}"
