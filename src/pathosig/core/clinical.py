"""The clinical half of a study: endpoints, declared columns, the primary analysis, patients.csv."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pathosig.core.errors import ConfigError, InputError, PathosigWarning

if TYPE_CHECKING:
    import pandas as pd

UNITS = {"days": 365.25, "weeks": 365.25 / 7, "months": 12.0, "years": 1.0}
_MISSING = {"", "na", "nan", "n/a", "null", "none", "."}
_TRUE = {"1", "1.0", "true", "t", "yes"}
_FALSE = {"0", "0.0", "false", "f", "no"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One endpoint: the columns of patients.csv that hold it, and its unit of time.

    Attributes
    ----------
    time, event
        Column names.
    unit
        days | weeks | months | years; mandatory, months are never guessed.
    event_values
        How the event column is coded, for codings other than 0/1: ``{"1": 0, "2": 1}``.
    competing
        Another endpoint whose event rules this one out: recurrence with ``competing = "os"``.
    """

    name: str
    time: str
    event: str
    unit: str
    event_values: Mapping[str, int] | None = None
    competing: str | None = None

    @property
    def per_year(self) -> float:
        """How many units make a year."""
        return UNITS[self.unit]


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """[columns]: what the other columns of patients.csv are."""

    covariates: tuple[str, ...] = ()
    treatments: tuple[str, ...] = ()
    subgroups: tuple[str, ...] = ()
    site: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Primary:
    """[primary]: the one primary analysis; everything else is sensitivity."""

    endpoint: str = "os"
    discovery: str = "discovery"
    covariates: tuple[str, ...] = ()
    treatment: str | None = None


def parse_endpoints(table: Mapping[str, Any]) -> dict[str, Endpoint]:
    """[endpoints] as values, in order.

    Raises
    ------
    ConfigError
        If a key is missing or unknown, or the unit is not one of days, weeks, months, years.
    """
    out: dict[str, Endpoint] = {}
    for name, raw in table.items():
        if not isinstance(raw, Mapping):
            raise ConfigError(f"study.toml: [endpoints] {name}: expected {{time=..., event=..., unit=...}}.")
        unknown = set(raw) - {"time", "event", "unit", "event_values", "competing"}
        missing = {"time", "event", "unit"} - set(raw)
        if unknown or missing:
            raise ConfigError(
                f"study.toml: [endpoints] {name}: missing {sorted(missing)}, unknown {sorted(unknown)}; "
                "expected time, event, unit and, where needed, event_values (codings other than 0/1) and competing."
            )
        if raw["unit"] not in UNITS:
            raise ConfigError(
                f"study.toml: [endpoints] {name}: unit {raw['unit']!r}; expected one of {', '.join(UNITS)}."
            )
        other = raw.get("competing")
        if other is not None and (other == name or other not in table):
            raise ConfigError(
                f"study.toml: [endpoints] {name}: competing = {other!r}; expected another of {list(table)}."
            )
        out[name] = Endpoint(name=name, **raw)
    return out


def parse_columns(table: Mapping[str, Any]) -> Columns:
    """[columns] as a value.

    Raises
    ------
    ConfigError
        If a key is unknown.
    """
    return Columns(**_fields("columns", table, ("covariates", "treatments", "subgroups"), ("site",)))


def parse_primary(table: Mapping[str, Any], endpoints: Mapping[str, Any]) -> Primary:
    """[primary] as a value; its endpoint defaults to the first declared one.

    Raises
    ------
    ConfigError
        If a key is unknown, or the endpoint is not declared.
    """
    fields = _fields("primary", table, ("covariates",), ("endpoint", "discovery", "treatment"))
    fields.setdefault("endpoint", next(iter(endpoints), "os"))
    if endpoints and fields["endpoint"] not in endpoints:
        raise ConfigError(
            f"study.toml: [primary] endpoint {fields['endpoint']!r} is not in [endpoints]: {list(endpoints)}."
        )
    return Primary(**fields)


def _fields(
    section: str, table: Mapping[str, Any], lists: tuple[str, ...], texts: tuple[str, ...]
) -> dict[str, Any]:
    unknown = set(table) - set(lists) - set(texts)
    if unknown:
        raise ConfigError(
            f"study.toml: [{section}] has no key {sorted(unknown)[0]!r}; known: {', '.join(lists + texts)}."
        )
    out: dict[str, Any] = {}
    for key, value in table.items():
        if key in lists:
            if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
                raise ConfigError(f"study.toml: [{section}] {key}: expected a list of column names.")
            out[key] = tuple(value)
        elif not isinstance(value, str):
            raise ConfigError(f"study.toml: [{section}] {key}: expected text, found {value!r}.")
        else:
            out[key] = value
    return out


def parse_mpp(text: str, slide: str) -> float | None:
    """The mpp column of slides.csv: a number with point or comma, or empty.

    Raises
    ------
    InputError
        E_MPP_RANGE if it is not a positive number.
    """
    if text.strip().lower() in _MISSING:
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise InputError(
            f"slide {slide}: mpp {text!r} in slides.csv; expected micrometres per pixel such as 0.25.",
            code="E_MPP_RANGE",
        )
    return value


def unique_patients(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Rows of patients.csv, one per patient, sorted; identical repeats are folded.

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


def to_frame(rows: Sequence[Mapping[str, str]], text: frozenset[str]) -> pd.DataFrame:
    """Patient rows as a DataFrame; columns whose every filled cell is a number become float.

    Empty cells and ``NA``, ``N/A``, ``NaN``, ``null`` and ``.`` are missing, in columns of numbers ``none`` too.
    """
    import pandas as pd

    columns = list(rows[0]) if rows else ["patient_id", "cohort"]
    data: dict[str, Any] = {}
    for name in columns:
        cells = [r[name] for r in rows]
        if name in text:
            data[name] = cells
            continue
        filled = [c for c in cells if c.lower() not in _MISSING]
        if filled and all(_is_number(c) for c in filled):
            data[name] = [_number(c) if c.lower() not in _MISSING else math.nan for c in cells]
        else:  # among words `none` is an answer: no recurrence, no treatment
            data[name] = [c if c.lower() not in _MISSING - {"none"} else None for c in cells]
    frame = pd.DataFrame(data)
    if "cohort" not in frame:
        frame["cohort"] = ""
    return frame


def _number(text: str) -> float:
    return float(text.replace(",", ".")) if "," in text and "." not in text else float(text)


def _is_number(text: str) -> bool:
    try:
        _number(text)
    except ValueError:
        return False
    return True


def survival_frame(rows: Sequence[Mapping[str, str]], endpoint: Endpoint) -> pd.DataFrame:
    """patient_id, time, event of an endpoint; rows without an outcome are left out.

    An event without its time is left out too, with a warning that names the patients (code E_TIME);
    `pathosig check` counts it as a problem.

    Raises
    ------
    InputError
        E_TIME: negative, infinite or non-numeric times. E_EVENT: values other than 0/1 that
        `event_values` does not map.
    """
    import pandas as pd

    for name in (endpoint.time, endpoint.event):
        if rows and name not in rows[0]:
            raise InputError(
                f"patients.csv: endpoint {endpoint.name} needs column {name}; found {list(rows[0])[:20]}."
            )
    kept = [
        r
        for r in rows
        if r[endpoint.time].lower() not in _MISSING and r[endpoint.event].lower() not in _MISSING
    ]
    _name_lost_events([r for r in rows if r[endpoint.time].lower() in _MISSING], endpoint)
    return pd.DataFrame(
        {
            "patient_id": [r["patient_id"] for r in kept],
            "time": _times(kept, endpoint),
            "event": _events(kept, endpoint),
        }
    )


def _name_lost_events(untimed: Sequence[Mapping[str, str]], endpoint: Endpoint) -> None:
    """A patient without time and event has no outcome; one with an event but no time would be lost unseen."""
    told = [r for r in untimed if r[endpoint.event].lower() not in _MISSING]
    lost = [r["patient_id"] for r, event in zip(told, _events(told, endpoint), strict=True) if event]
    if lost:
        message = (
            f"patients.csv: column {endpoint.time} is empty for {len(lost)} patients whose {endpoint.event} says "
            f"that the event happened ({', '.join(lost[:5])}); they are left out. Give the time, or empty both cells."
        )
        warnings.warn(PathosigWarning(message, code="E_TIME"), stacklevel=3)


def _times(rows: Sequence[Mapping[str, str]], endpoint: Endpoint) -> list[float]:
    values: list[float] = []
    bad: list[str] = []
    for row in rows:
        text = row[endpoint.time]
        value = _number(text) if _is_number(text) else math.nan
        if not (math.isfinite(value) and value >= 0):
            bad.append(f"{row['patient_id']}: {text!r}")
        values.append(value)
    if bad:
        raise InputError(
            f"patients.csv: column {endpoint.time} has {len(bad)} values that are not times "
            f"({'; '.join(bad[:5])}); expected numbers >= 0 in {endpoint.unit}. "
            "Dates must be turned into durations first.",
            code="E_TIME",
        )
    return values


def _events(rows: Sequence[Mapping[str, str]], endpoint: Endpoint) -> list[bool]:
    mapping = {str(k).lower(): bool(v) for k, v in (endpoint.event_values or {}).items()}
    values = {r[endpoint.event].lower() for r in rows}
    if not mapping:
        mapping = {v: True for v in _TRUE - {"t", "yes"}} | {v: False for v in _FALSE - {"f", "no"}}
    unknown = sorted(values - set(mapping))
    if unknown:
        found = "{" + ", ".join(sorted(values)[:6]) + "}"
        raise InputError(
            f"patients.csv: column {endpoint.event} has values {found}; expected 0/1. Declare "
            f'event_values = {{"1" = 0, "2" = 1}} (or your coding) in [endpoints] {endpoint.name}.',
            code="E_EVENT",
        )
    return [mapping[r[endpoint.event].lower()] for r in rows]
