"""Reads patients.csv: one row per patient, columns by their kind, and the outcomes of an endpoint."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pathosig.core.clinical import Columns, Endpoint
from pathosig.core.columns import read_column
from pathosig.core.errors import InputError, PathosigWarning
from pathosig.core.numbers import Decimal, plain_number, read_numbers
from pathosig.core.words import counted, fold, is_missing, meaning_of_event

if TYPE_CHECKING:
    import pandas as pd

_TRUE = frozenset({"1", "true"})
_FALSE = frozenset({"0", "false"})
_SHOWN = 5


def unique_patients(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Rows of patients.csv, one per patient, sorted by patient_id; identical rows of a patient become one.

    Raises
    ------
    InputError
        If patient_id is missing or empty, or rows of one patient contradict each other.
    """
    if rows and "patient_id" not in rows[0]:
        raise InputError(f"patients.csv: column patient_id is missing; found {list(rows[0])[:12]}.")
    seen: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows, start=2):
        key = row["patient_id"]
        if not key:
            raise InputError(f"patients.csv: row {number} has an empty patient_id.")
        if key in seen and seen[key] != row:
            differing = [c for c in row if row[c] != seen[key][c]]
            raise InputError(
                f"patients.csv: patient {key!r} has rows that contradict each other in {differing[:5]}. "
                "Keep one row per patient; a patient belongs to one cohort.",
                code="E_CONFLICT",
            )
        seen[key] = row
    return [seen[k] for k in sorted(seen)]


def to_frame(
    rows: Sequence[Mapping[str, str]], text: Collection[str], columns: Columns = Columns()
) -> pd.DataFrame:
    """Patient rows as a DataFrame; columns in which every filled cell is a number become float.

    Cells are missing if `core.words.is_missing` says so; ``none`` is missing only in columns of numbers. Levels that differ only
    by case or blanks become one level with its most common spelling.

    Parameters
    ----------
    rows
        Cells as text.
    text
        Columns that stay text.
    columns
        [columns] of study.toml, with declared words for missing and the decimal mark.
    """
    import pandas as pd

    names = list(rows[0]) if rows else ["patient_id", "cohort"]
    declared, decimal = frozenset(columns.missing), columns.decimal_mark
    data: dict[str, Any] = {}
    for name in names:
        cells = [r[name] for r in rows]
        if name in text:
            data[name] = cells
            continue
        column = read_column(name, cells, missing=declared, decimal=decimal)
        if column.numbers is not None and not column.strange and not column.numbers.ambiguous:
            data[name] = list(column.numbers.values)
        else:  # among words `none` is an answer: no recurrence, no treatment
            data[name] = [
                None
                if is_missing(c, declared) and c.strip().casefold() != "none"
                else column.spellings.get(c, c)
                for c in cells
            ]
    frame = pd.DataFrame(data)
    if "cohort" not in frame:
        frame["cohort"] = ""
    return frame


def survival_frame(
    rows: Sequence[Mapping[str, str]], endpoint: Endpoint, columns: Columns = Columns()
) -> pd.DataFrame:
    """patient_id, time and event of an endpoint, and entry if it is declared; rows without an outcome are left out.

    Events without a time are left out, too, with a warning that names the patients (code E_TIME, or W_TIME if study.toml
    has ``without_time = "left out"``).

    Parameters
    ----------
    rows
        Cells as text, one row per patient.
    endpoint
        The endpoint.
    columns
        [columns] of study.toml, with declared words for missing and the decimal mark.

    Raises
    ------
    InputError
        E_TIME if times are negative, infinite or not numbers, or entry is missing or not before the end of follow-up. E_EVENT
        if there are values other than 0/1 that `event_values` does not map.
    """
    import pandas as pd

    for name in (endpoint.time, endpoint.event, *([endpoint.entry] if endpoint.entry else [])):
        if rows and name not in rows[0]:
            raise InputError(
                f"patients.csv: endpoint {endpoint.name} needs column {name}; found {list(rows[0])[:20]}."
            )
    declared = frozenset(columns.missing)
    events = event_codes([r[endpoint.event] for r in rows], endpoint, declared)
    untimed = [is_missing(r[endpoint.time], declared) for r in rows]
    lost = [r["patient_id"] for r, gone, event in zip(rows, untimed, events, strict=True) if gone and event]
    if lost:
        _warn_of_lost_events(lost, endpoint)
    kept = [
        (r, event)
        for r, gone, event in zip(rows, untimed, events, strict=True)
        if not gone and event is not None
    ]
    inside = [r for r, _ in kept]
    table = pd.DataFrame(
        {
            "patient_id": [r["patient_id"] for r in inside],
            "time": _times(inside, endpoint, endpoint.time, columns.decimal_mark),
            "event": [event for _, event in kept],
        }
    )
    if endpoint.entry:
        table["entry"] = _times(inside, endpoint, endpoint.entry, columns.decimal_mark)
        late = table["patient_id"][table["entry"] >= table["time"]].tolist()
        if late:
            raise InputError(
                f"patients.csv: endpoint {endpoint.name}: {counted(len(late), 'patient enters', 'patients enter')} ({endpoint.entry}) no earlier than the "
                f"follow-up ends ({endpoint.time}): {', '.join(late[:_SHOWN])}. Such a patient was never at risk: leave these patients out, or "
                "correct the times.",
                code="E_TIME",
            )
    return table


def _warn_of_lost_events(lost: Sequence[str], endpoint: Endpoint) -> None:
    is_declared = endpoint.without_time == "left out"
    way_out = "" if is_declared else " Give the time, or empty both cells."
    message = (
        f"patients.csv: column {endpoint.time} is empty for {counted(len(lost), 'patient')} who had the event according to "
        f"{endpoint.event} ({', '.join(lost[:_SHOWN])}); {'the patient is' if len(lost) == 1 else 'they are'} left out.{way_out}"
    )
    warnings.warn(PathosigWarning(message, code="W_TIME" if is_declared else "E_TIME"), stacklevel=3)


def _times(
    rows: Sequence[Mapping[str, str]], endpoint: Endpoint, column: str, decimal: Decimal | None
) -> list[float]:
    cells = [r[column] for r in rows]
    numbers = read_numbers(cells, decimal=decimal)
    if numbers.ambiguous:
        raise InputError(
            f"patients.csv: column {column} has values such as {numbers.ambiguous!r}, in which the sign may be a decimal mark or a "
            'thousands separator. Write them without it, or set decimal = "point" or "comma" in [columns] of study.toml.',
            code="E_TIME",
        )
    bad = [
        f"{row['patient_id']}: {cell!r}"
        for row, cell, value in zip(rows, cells, numbers.values, strict=True)
        if not (math.isfinite(value) and value >= 0)
    ]
    if bad:
        raise InputError(
            f"patients.csv: column {column} has {counted(len(bad), 'value that is not a time', 'values that are not times')} "
            f"({'; '.join(bad[:_SHOWN])}); expected numbers >= 0 in {endpoint.unit}. "
            "Dates must be turned into durations first.",
            code="E_TIME",
        )
    return list(numbers.values)


def event_codes(
    cells: Sequence[str], endpoint: Endpoint, missing: Collection[str] = frozenset()
) -> list[bool | None]:
    """Whether the event happened, for each cell; None if the cell is missing.

    A value that `event_values` maps never counts as missing, not even ``none`` or ``unknown``.

    Parameters
    ----------
    cells
        Cells of the event column.
    endpoint
        The endpoint, with its coding.
    missing
        Cells declared to be missing.

    Raises
    ------
    InputError
        E_EVENT, with all values, if one is neither 0/1 nor mapped.
    """
    mapping = {event_key(str(k)): bool(v) for k, v in (endpoint.event_values or {}).items()}
    if not mapping:
        mapping = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
    distinct = dict.fromkeys(cells)
    codes: dict[str, bool | None] = {}
    unknown = []
    for cell in distinct:
        key = event_key(cell)
        codes[cell] = mapping.get(key)
        if key not in mapping and not is_missing(cell, missing):
            unknown.append(cell)
    if unknown:
        values = sorted(c for c in distinct if event_key(c) in mapping or c in unknown)
        raise InputError(
            f"patients.csv: column {endpoint.event} has values {{{', '.join(values[:12])}}}; expected 0/1. Declare "
            f"event_values = {_suggested(values)} (1 = the event happened) in [endpoints] {endpoint.name}.",
            code="E_EVENT",
        )
    return [codes[c] for c in cells]


def event_key(value: str) -> str:
    """The form in which values of an event column are compared, regardless of case and blanks, with ``1.0`` as ``1``."""
    text = fold(value)
    number = plain_number(text)
    return str(int(number)) if number is not None and number == number // 1 and abs(number) < 1e9 else text


def _suggested(values: Sequence[str]) -> str:
    """A declaration to suggest: each value with 1 or 0 if its words are clear, and ? otherwise."""
    meant = {
        "dead": "1",
        "dead of disease": "1",
        "event": "1",
        "yes": "1",
        "alive": "0",
        "no event": "0",
        "no": "0",
    }
    pairs = [f'"{v}" = {meant.get(meaning_of_event(v) or "", "?")}' for v in values[:12]]
    return "{" + ", ".join(pairs) + "}"
