"""What the user said about a table, from flags or answers, and what is left to ask."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from pathosig.core.clinical import UNITS
from pathosig.core.errors import ConfigError
from pathosig.core.numbers import Decimal
from pathosig.core.vocabulary import ENDPOINTS
from pathosig.core.words import endpoint_of, phrase

NO_COHORT = "none"
NUMBER_ROWS = "row-number"
"""For ``--id``: every row is a patient, called by its number."""

KEPT_KINDS = ("normal", "frozen")


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """How to read a table, as far as it was said; what is empty is proposed.

    Attributes
    ----------
    time, event, start
        Endpoint -> column.
    event_values
        Endpoint -> value -> 0 or 1.
    unit
        Endpoint -> unit; the key "" is for all.
    covariates, treatments
        None: proposed; else exactly these.
    include
        Slides that are left out otherwise: normal, frozen.
    """

    patient_column: str | None = None
    slide_column: str | None = None
    patient_pattern: str | None = None
    cohort_column: str | None = None
    discovery: str | None = None
    time: Mapping[str, str] = field(default_factory=dict)
    event: Mapping[str, str] = field(default_factory=dict)
    start: Mapping[str, str] = field(default_factory=dict)
    event_values: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unit: Mapping[str, str] = field(default_factory=dict)
    covariates: tuple[str, ...] | None = None
    treatments: tuple[str, ...] | None = None
    missing: tuple[str, ...] = ()
    decimal: Decimal | None = None
    dates: str | None = None
    sheet: str | None = None
    header_row: int | None = None
    include: tuple[str, ...] = ()

    def unit_of(self, endpoint: str) -> str | None:
        """The unit said for an endpoint, or for all."""
        return self.unit.get(endpoint) or self.unit.get("")

    def with_flags(self, flags: Sequence[str]) -> Self:
        """These choices and those of more flags, which win.

        Raises
        ------
        ConfigError
            If a flag is not one of a question's answers.
        """
        pairs = list(zip(flags[::2], flags[1::2], strict=True))
        new: Self = self
        for flag, value in pairs:
            name = _FIELDS.get(flag)
            if name is None:
                raise ConfigError(f"{flag}: not an answer that can be given.")
            new = new._with(name, value)
        return new

    def _with(self, name: str, value: str) -> Self:
        changed: dict[str, Any]
        if name in ("time", "event", "start"):
            changed = {name: {**getattr(self, name), **by_endpoint(f"--{name}", [value])}}
        elif name == "unit":
            changed = {name: {**self.unit, **units([value])}}
        elif name == "event_values":
            changed = {name: {**self.event_values, **codings([value])}}
        elif name in ("covariates", "treatments", "missing", "include"):
            changed = {name: (*(getattr(self, name) or ()), value)}
        else:
            changed = {name: int(value) if name == "header_row" and value.isdecimal() else value}
        return replace(self, **changed)


_FIELDS = {
    "--id": "patient_column",
    "--slide-column": "slide_column",
    "--patient-pattern": "patient_pattern",
    "--cohort": "cohort_column",
    "--discovery": "discovery",
    "--time": "time",
    "--event": "event",
    "--start": "start",
    "--event-values": "event_values",
    "--unit": "unit",
    "--covariates": "covariates",
    "--treatment": "treatments",
    "--missing": "missing",
    "--decimal": "decimal",
    "--dates": "dates",
    "--sheet": "sheet",
    "--header-row": "header_row",
    "--include": "include",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One answer: what it means, and the flags that give it."""

    label: str
    flags: tuple[str, ...]

    def to_flags(self) -> str:
        """The flags as they are typed.

        Examples
        --------
        >>> Option(label="", flags=("--event", "os=Vital status")).to_flags()
        "--event 'os=Vital status'"
        """
        return shlex.join(self.flags)


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """Something with two readings; never decided in silence.

    Attributes
    ----------
    code
        Stable name such as ``E_EVENT``.
    text
        The column, what is in it, what is open.
    options
        The answers; a value in capitals is to be filled in.
    """

    code: str
    text: str
    options: tuple[Option, ...] = ()

    def to_text(self) -> str:
        """The question with an answer on each line."""
        lines = [self.text]
        lines += [f"    {o.to_flags()}   {f'({o.label})' if o.label else ''}".rstrip() for o in self.options]
        return "\n".join(lines)


class Asked(Exception):
    """Raised where a reading needs an answer.

    Attributes
    ----------
    question
        What to ask.
    columns
        The columns it is about: they are not used as long as it is open.
    """

    def __init__(self, question: Question, columns: Sequence[str] = ()) -> None:
        super().__init__(question.text)
        self.question = question
        self.columns = tuple(columns)


# -- flags into values ------------------------------------------------------------------------


def by_endpoint(flag: str, values: Sequence[str]) -> dict[str, str]:
    """``os=OS (months)`` as endpoint -> column; a bare column is given to the endpoint its name says, else to os.

    Raises
    ------
    ConfigError
        If an endpoint is named twice or the column is empty.
    """
    out: dict[str, str] = {}
    for value in values:
        name, sign, column = value.partition("=")
        if not sign or not is_endpoint_name(name):
            name, column = endpoint_of(value) or "os", value
        name, column = name.strip().lower(), column.strip()
        if not column:
            raise ConfigError(f"{flag} {value!r}: expected ENDPOINT=COLUMN such as os=OS_months.")
        if out.get(name, column) != column:
            raise ConfigError(f"{flag}: endpoint {name} is given twice ({out[name]!r} and {column!r}).")
        out[name] = column
    return out


def is_endpoint_name(text: str) -> bool:
    """Whether a text can name an endpoint: short, letters and digits only."""
    plain = text.strip().lower()
    return plain in ENDPOINTS or (plain.replace("_", "").isalnum() and plain.isascii() and len(plain) <= 12)


def units(values: Sequence[str]) -> dict[str, str]:
    """``months`` or ``os=months`` as endpoint -> unit; "" stands for all endpoints.

    Raises
    ------
    ConfigError
        If it is no unit of time.
    """
    out: dict[str, str] = {}
    for value in values:
        name, sign, unit = value.rpartition("=")
        unit = unit.strip().lower()
        unit = unit if unit in UNITS or f"{unit}s" not in UNITS else f"{unit}s"
        if unit not in UNITS:
            raise ConfigError(f"--unit {value!r}: expected one of {', '.join(UNITS)}, or such as os=months.")
        out[name.strip().lower() if sign else ""] = unit
    return out


def codings(values: Sequence[str]) -> dict[str, dict[str, int]]:
    """``os:Dead=1,Alive=0`` as endpoint -> value -> 0 or 1.

    Raises
    ------
    ConfigError
        If a value has no 0 or 1, or is given twice with different ones.

    Examples
    --------
    >>> codings(["os:1:DECEASED=1,0:LIVING=0"])
    {'os': {'1:DECEASED': 1, '0:LIVING': 0}}
    """
    out: dict[str, dict[str, int]] = {}
    for text in values:
        name, sign, pairs = text.partition(":")
        if not sign or "=" in name or not is_endpoint_name(name):
            name, pairs = "os", text
        coding = out.setdefault(name.strip().lower(), {})
        for pair in _pairs(pairs):
            value, _, code = pair.rpartition("=")
            value, code = value.strip().strip("'\""), code.strip()
            if code not in ("0", "1") or not value:
                raise ConfigError(
                    f"--event-values {text!r}: {pair!r}; expected ENDPOINT:VALUE=1,VALUE=0 such as os:Dead=1,Alive=0."
                )
            if coding.get(value, int(code)) != int(code):
                raise ConfigError(f"--event-values {text!r}: {value!r} is given both 0 and 1.")
            coding[value] = int(code)
    return out


def _pairs(text: str) -> list[str]:
    """Parts between commas, where a comma ends a part only after ``=0`` or ``=1``: values may hold commas."""
    out: list[str] = []
    held = ""
    for piece in text.split(","):
        held = f"{held},{piece}" if held else piece
        if held.rstrip().endswith(("=0", "=1")):
            out.append(held)
            held = ""
    return [*out, held] if held.strip() else out


def names(values: Sequence[str] | str | None, header: Sequence[str]) -> tuple[str, ...] | None:
    """Columns from flags, each given alone or several with commas between."""
    if values is None:
        return None
    out: list[str] = []
    for value in [values] if isinstance(values, str) else values:
        out += [value] if value in header else [v.strip() for v in value.split(",") if v.strip()]
    return tuple(dict.fromkeys(out))


def column_named(name: str, header: Sequence[str], *, flag: str, source: str) -> str:
    """The column a flag names: as it is written, or else the only one alike but for case and punctuation.

    Raises
    ------
    ConfigError
        If there is none, with the nearest name.
    """
    if name in header:
        return name
    alike = [c for c in header if phrase(c) == phrase(name)]
    if len(alike) == 1:
        return alike[0]
    near = difflib.get_close_matches(name, list(header)[:2000], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; found {list(header)[:12]}."
    raise ConfigError(f"{flag} {name!r}: no such column in {source}{hint}")
