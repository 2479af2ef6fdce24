"""The times and events of columns as checked values, with their unit; values that cannot be right are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import ConfigError, InputError
from pathosig.core.patients import event_key
from pathosig.core.words import UNITS, counted, unit_of
from pathosig.intake.choices import Asked, Choices, Option, Question
from pathosig.intake.clinical_table import ClinicalTable
from pathosig.intake.coding import Coding, read_coding
from pathosig.intake.plausibility import implausible_times

_MANY_LOST = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """The time and event columns of one endpoint, with notes on how they were chosen."""

    endpoint: str
    time: str
    event: str
    notes: tuple[str, ...] = ()


def column_values(table: ClinicalTable, column: str) -> np.ndarray:
    """The numbers of a column as float [n], NaN where a cell holds no number."""
    numbers = table.columns[column].numbers
    return np.array(numbers.values if numbers is not None else [np.nan] * len(table))


def coding_of(table: ClinicalTable, choices: Choices, name: str, column: str) -> Coding | Question:
    """The coding of an event column for an endpoint, or the question to ask."""
    return read_coding(
        column,
        _event_values(table, column),
        endpoint=name,
        senses=table.senses[column],
        declared=choices.event_values.get(name),
    )


def _event_values(table: ClinicalTable, column: str) -> list[str]:
    return list(table.columns[column].counts)


def event_codes(table: ClinicalTable, column: str, coding: Coding) -> list[int | None]:
    """1, 0 or None (unknown) for every patient."""
    codes = {event_key(v): c for v, c in coding.values.items()}
    cells = table.columns[column].cells
    keys = {c: event_key(c) for c in set(cells)}
    return [codes.get(keys[c]) for c in cells]


def checked_times(table: ClinicalTable, column: str, name: str) -> Sequence[float]:
    """The times of an endpoint, NaN where missing.

    Raises
    ------
    InputError
        E_TIME if the column holds dates, words, negative or infinite values.
    Asked
        If numbers such as 2,361 can be read in two ways.
    """
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
            f"{table.source}: column {column!r} ({name} time) holds {shown}, which are not times. Correct them, or declare those that mean "
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
        text = f"column {column!r} has values such as {example!r}: is the sign before the last three digits a thousands separator or a decimal mark?"
        raise Asked(Question(code="E_NUMBER", text=text, options=options), (column,))
    if numbers.infinite:
        raise InputError(
            f"{table.source}: column {column!r} ({name} time) has {counted(numbers.infinite, 'infinite value')}; expected numbers >= 0.",
            code="E_TIME",
        )
    bad = [f"{p}: {v:g}" for p, v in zip(table.ids, numbers.values, strict=True) if v < 0]
    if bad:
        first = bad[0].rpartition(": ")[2]
        raise InputError(
            f"{table.source}: column {column!r} ({name} time) has {counted(len(bad), 'negative value')} ({'; '.join(bad[:5])}). Correct them, or if "
            f"{first} means missing, give --missing={first}.",
            code="E_TIME",
        )
    return numbers.values


def unit_for(table: ClinicalTable, choices: Choices, pair: Pair) -> str:
    """The unit of an endpoint's time, from its header, a flag, a column with equal values, or its cells; it is never guessed.

    Raises
    ------
    ConfigError
        If a flag contradicts the header.
    Asked
        If none of them states the unit.
    """
    in_header, given = unit_of(pair.time), choices.unit_of(pair.endpoint)
    explicit = choices.unit.get(pair.endpoint)
    if in_header and given and in_header != given:
        if explicit or len(choices.time) <= 1:
            raise ConfigError(
                f"--unit {given}: the name of column {pair.time!r} says {in_header}. Omit the flag, or correct the header.",
                code="E_UNIT",
            )
        return in_header
    unit = in_header or given or _unit_of_twin(table, pair.time) or _unit_in_cells(table, pair.time)
    if unit is None:
        flag = f"{pair.endpoint}="
        text = f"the name of column {pair.time!r} does not state its unit, and none is guessed; {_range(table, pair.time)}."
        options = tuple(Option(label="", flags=("--unit", f"{flag}{u}")) for u in UNITS)
        raise Asked(Question(code="E_UNIT", text=text, options=options), (pair.time,))
    return unit


def _range(table: ClinicalTable, column: str) -> str:
    values = column_values(table, column)
    values = values[np.isfinite(values)]
    return f"its values run from {values.min():g} to {values.max():g}" if len(values) else "it has no values"


def _unit_in_cells(table: ClinicalTable, column: str) -> str | None:
    numbers = table.columns[column].numbers
    if numbers is None or numbers.style != "with unit":
        return None
    units = {u for c in table.columns[column].counts if (u := unit_of(c.lstrip("0123456789., ")))}
    return units.pop() if len(units) == 1 else None


def _unit_of_twin(table: ClinicalTable, column: str) -> str | None:
    """The unit in the header of other columns that have the same values for most patients, or None."""
    values = column_values(table, column)
    filled = np.isfinite(values)
    same: dict[str, np.ndarray] = {}
    for other in table.columns:
        unit = unit_of(other) if other != column else None
        if unit and table.columns[other].kind == "numbers":
            equal = filled & (np.abs(column_values(table, other) - values) < 1e-9)
            same[unit] = same.get(unit, np.zeros(len(values), bool)) | equal
    most = {u: int(e.sum()) for u, e in same.items()}
    best = max(most, key=lambda u: most[u], default="")
    return (
        best if best and most[best] >= max(5, 0.8 * filled.sum()) and len(set(values[filled])) > 3 else None
    )


def refuse_many_lost(table: ClinicalTable, pair: Pair, untimed: Sequence[str], events: int) -> None:
    """Refuse an endpoint that would lose more than a tenth of its events because they have no time.

    Raises
    ------
    InputError
        E_TIME, with the first of these patients.
    """
    if len(untimed) > max(1, _MANY_LOST * events) and len(untimed) > _MANY_LOST * len(table):
        raise InputError(
            f"{table.source}: column {pair.time!r} is empty for {len(untimed)} of {events} patients who had the event according to {pair.event!r} "
            f"({', '.join(untimed[:5])}). Give their times, or empty both cells.",
            code="E_TIME",
        )


def refuse_implausible(table: ClinicalTable, times: Sequence[float], unit: str, pair: Pair) -> None:
    """Refuse times that cannot be true in their unit.

    Raises
    ------
    InputError
        With the code and the reason that `implausible_times` gives.
    """
    for item in implausible_times(times, unit, pair.time):
        if item.is_fatal:
            raise InputError(f"{table.source}: {item.text}", code=item.code)
