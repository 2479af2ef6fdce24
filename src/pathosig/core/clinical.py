"""What study.toml declares about patients.csv: endpoints, the other columns, and the primary analysis."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pathosig.core.errors import ConfigError, InputError
from pathosig.core.numbers import Decimal
from pathosig.core.words import is_missing

UNITS = {"days": 365.25, "weeks": 365.25 / 7, "months": 12.0, "years": 1.0}
"""Unit of time -> number of units in a year."""

TIME_ZERO = "time zero"

_EXPECTED = {
    "randomised": "true or false",
    "start": f'"{TIME_ZERO}" or the name of a column',
    "unit": f"one of {', '.join(UNITS)}",
    "landmark": "a number",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One endpoint: the columns of patients.csv that hold it, and its unit of time.

    Attributes
    ----------
    name
        Its name, such as os.
    time, event
        Column names.
    unit
        days | weeks | months | years; mandatory, because it is never guessed.
    event_values
        How the event column is coded, for codings other than 0/1: ``{"1": 0, "2": 1}``.
    competing
        Another endpoint whose event rules this one out: recurrence with ``competing = "os"``.
    without_time
        ``"left out"`` leaves out patients whose event has no time; otherwise `check` reports them as a problem.
    entry
        Column with the time at which each patient came under observation, in the same unit (delayed entry); patients are at
        risk only from then on.
    """

    name: str
    time: str
    event: str
    unit: str
    event_values: Mapping[str, int] | None = None
    competing: str | None = None
    without_time: str | None = None
    entry: str | None = None

    @property
    def per_year(self) -> float:
        """Number of units in a year."""
        return UNITS[self.unit]


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """[columns]: the roles of the other columns of patients.csv.

    Attributes
    ----------
    covariates
        Columns that models adjust for.
    treatments
        Columns with treatment arms.
    subgroups
        Columns whose strata are shown.
    missing
        Cells that mean missing in this table besides the usual words, such as ``-9``.
    site, sex, age
        The column with the hospital, the sex and the age.
    decimal
        ``point`` or ``comma``, for columns that leave the decimal mark open.
    """

    covariates: tuple[str, ...] = ()
    treatments: tuple[str, ...] = ()
    subgroups: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    site: str | None = None
    sex: str | None = None
    age: str | None = None
    decimal: str | None = None

    def __post_init__(self) -> None:
        if self.decimal not in (None, "point", "comma"):
            raise ConfigError(f"study.toml: [columns] decimal {self.decimal!r}; expected point or comma.")

    @property
    def decimal_mark(self) -> Decimal | None:
        """`decimal` with its checked type."""
        return cast("Decimal | None", self.decimal)


@dataclass(frozen=True, kw_only=True, slots=True)
class Primary:
    """[primary]: the one primary analysis; all others are sensitivity analyses.

    Attributes
    ----------
    endpoint
        Its endpoint.
    discovery
        The cohort that models are fitted on.
    covariates
        Columns that it adjusts for.
    treatment
        Column with the treatment whose benefit is analysed.
    """

    endpoint: str = "os"
    discovery: str = "discovery"
    covariates: tuple[str, ...] = ()
    treatment: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TreatmentDesign:
    """[treatment.NAME]: how treatment was assigned, and when it began.

    Attributes
    ----------
    randomised
        Whether it was assigned at random. A randomised treatment counts from time zero, whenever it began.
    start
        ``time zero``, or the column with the time from time zero to the start of treatment (empty if never treated).
        Without it, treatment benefit by score is not estimable: patients who live longer have more time to start treatment
        (immortal time bias).
    unit
        Unit of that column and of `landmark`.
    landmark
        If given, patients under observation at this time are compared by whether treatment had begun; otherwise treatment
        is a time-dependent covariate.
    """

    randomised: bool = False
    start: str | None = None
    unit: str = "months"
    landmark: float | None = None

    @property
    def column(self) -> str | None:
        """The column with the times at which treatment began, or None."""
        return None if self.start in (None, TIME_ZERO) or self.randomised else self.start


def parse_treatments(table: Mapping[str, object]) -> dict[str, TreatmentDesign]:
    """[treatment] as values: treatment column -> its design.

    Raises
    ------
    ConfigError
        If a key is unknown or a value is of another type.
    """
    kinds: dict[str, type | tuple[type, ...]]
    kinds = {"randomised": bool, "start": str, "unit": str, "landmark": (int, float)}
    designs = {}
    for name, raw in table.items():
        if not isinstance(raw, Mapping) or set(raw) - set(kinds):
            raise ConfigError(
                f"study.toml: [treatment.{name}]: expected a table with keys among {', '.join(kinds)}."
            )
        for key, value in raw.items():
            if not isinstance(value, kinds[key]) or (key == "landmark" and isinstance(value, bool)):
                raise ConfigError(
                    f"study.toml: [treatment.{name}] {key}: found {value!r}; expected {_EXPECTED[key]}."
                )
        design = TreatmentDesign(**raw)
        if design.unit not in UNITS:
            raise ConfigError(f"study.toml: [treatment.{name}] unit: expected one of {', '.join(UNITS)}.")
        if design.landmark is not None and (design.column is None or design.landmark <= 0):
            raise ConfigError(
                f"study.toml: [treatment.{name}] landmark: expected a time above 0 and a column of start times."
            )
        designs[name] = design
    return designs


def parse_endpoints(table: Mapping[str, object]) -> dict[str, Endpoint]:
    """[endpoints] as values, in the order of study.toml.

    Raises
    ------
    ConfigError
        If a key is missing or unknown, or the unit is not one of days, weeks, months, years.
    """
    out: dict[str, Endpoint] = {}
    for name, raw in table.items():
        if not isinstance(raw, Mapping):
            raise ConfigError(f"study.toml: [endpoints] {name}: expected {{time=..., event=..., unit=...}}.")
        unknown = sorted(set(raw) - set(_ENDPOINT_KEYS))
        missing = {"time", "event", "unit"} - set(raw)
        if unknown or missing:
            raise ConfigError(
                f"study.toml: [endpoints] {name}: missing {sorted(missing)}, unknown {unknown}{_meant(unknown, _ENDPOINT_KEYS)}; "
                "expected time, event, unit and, where needed, event_values (codings other than 0/1), competing, without_time and entry (delayed entry)."
            )
        _check_endpoint(name, raw)
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


_ENDPOINT_KEYS = ("time", "event", "unit", "event_values", "competing", "without_time", "entry")


def _check_endpoint(name: str, raw: Mapping[str, object]) -> None:
    where = f"study.toml: [endpoints] {name}"
    for key in ("time", "event", "unit"):
        if not isinstance(raw[key], str):
            raise ConfigError(f"{where}: {key}: expected text, found {raw[key]!r}.")
    if not isinstance(raw.get("entry", ""), str):
        raise ConfigError(f"{where}: entry: expected the name of a column, found {raw['entry']!r}.")
    if raw.get("without_time") not in (None, "left out"):
        raise ConfigError(f'{where}: without_time {raw["without_time"]!r}; expected "left out", or nothing.')
    values = raw.get("event_values")
    if values is not None and (
        not isinstance(values, Mapping)
        or any(isinstance(v, float) or v not in (0, 1) for v in values.values())
    ):
        raise ConfigError(
            f'{where}: event_values: expected values with 0 or 1 such as {{"Alive" = 0, "Dead" = 1}}; found {values!r}.'
        )


def _meant(unknown: Any, keys: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(unknown[0]), keys, n=1) if unknown else []
    return f" (did you mean {near[0]!r}?)" if near else ""


def parse_columns(table: Mapping[str, object]) -> Columns:
    """[columns] as a value.

    Raises
    ------
    ConfigError
        If a key is unknown.
    """
    lists = ("covariates", "treatments", "subgroups", "missing")
    return Columns(**_fields("columns", table, lists, ("site", "sex", "age", "decimal")))


def parse_primary(table: Mapping[str, object], endpoints: Mapping[str, object]) -> Primary:
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
    section: str, table: Mapping[str, object], lists: tuple[str, ...], texts: tuple[str, ...]
) -> dict[str, Any]:
    unknown = set(table) - set(lists) - set(texts)
    if unknown:
        first = sorted(unknown)[0]
        hint = _meant([first], lists + texts)
        raise ConfigError(
            f"study.toml: [{section}] has no key {first!r}{hint}; expected one of {', '.join(lists + texts)}."
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
    """A cell of the mpp column of slides.csv in micrometres per pixel, with decimal point or comma; None if empty.

    Parameters
    ----------
    text
        The cell.
    slide
        Id of the slide, for the message.

    Raises
    ------
    InputError
        E_MPP_RANGE if it is not a positive number.
    """
    if is_missing(text):
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
