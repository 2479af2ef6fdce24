"""What the user decided about a table, by flags or answers, and the questions that are left."""

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
"""Value of ``--id`` for a table without ids: every row is a patient, whose id is the number of the row."""

KEPT_KINDS = ("normal", "frozen")


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """How the user wants a table to be read; for what is left empty, the program makes a proposal.

    Attributes
    ----------
    patient_column, slide_column, cohort_column
        Columns with patient ids, names of slides and cohorts.
    patient_pattern
        Regular expression that finds the patient id in the name of a slide.
    discovery
        The cohort that models are fitted on.
    time, event, start
        Endpoint -> column.
    event_values
        Endpoint -> value -> 0 or 1.
    unit
        Endpoint -> unit; the key "" stands for all endpoints.
    covariates, treatments
        Exactly these columns; None lets the program propose them.
    missing
        Values that mean missing.
    decimal
        The decimal mark, where numbers can be read in two ways.
    dates
        dmy or mdy, where dates can be read in two ways.
    sheet, header_row
        Sheet of a workbook, and the row with the column names, counted from 1.
    include
        Kinds of TCGA slides to keep that are left out by default: normal, frozen.
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
        """The unit that was given for an endpoint, or else for all endpoints."""
        return self.unit.get(endpoint) or self.unit.get("")

    def with_flags(self, flags: Sequence[str]) -> Self:
        """These choices, overridden by those of further flags.

        Parameters
        ----------
        flags
            Flags and values in turn: ``("--unit", "os=months")``.

        Raises
        ------
        ConfigError
            If a flag cannot answer a question.
        """
        pairs = list(zip(flags[::2], flags[1::2], strict=True))
        new: Self = self
        for flag, value in pairs:
            name = _FIELDS.get(flag)
            if name is None:
                raise ConfigError(f"{flag}: this flag cannot be given as an answer.")
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
    """One possible answer to a question: what it means, and the flags that give it."""

    label: str
    flags: tuple[str, ...]

    def to_flags(self) -> str:
        """The flags as they are typed in a shell.

        Examples
        --------
        >>> Option(label="", flags=("--event", "os=Vital status")).to_flags()
        "--event 'os=Vital status'"
        """
        return shlex.join(self.flags)


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """Something that can be read in two ways, and is therefore never decided without asking.

    Attributes
    ----------
    code
        Stable name such as ``E_EVENT``.
    text
        The column, what it contains, and what has to be decided.
    options
        Possible answers; a value in capitals has to be filled in.
    """

    code: str
    text: str
    options: tuple[Option, ...] = ()

    def to_text(self) -> str:
        """The question, followed by one answer per line."""
        lines = [self.text]
        lines += [f"    {o.to_flags()}   {f'({o.label})' if o.label else ''}".rstrip() for o in self.options]
        return "\n".join(lines)


class Asked(Exception):
    """Raised where a table cannot be read without an answer.

    Attributes
    ----------
    question
        The question to ask.
    columns
        The columns that it concerns; they are not used until it is answered.
    """

    def __init__(self, question: Question, columns: Sequence[str] = ()) -> None:
        super().__init__(question.text)
        self.question = question
        self.columns = tuple(columns)


# -- flags into values ------------------------------------------------------------------------


def by_endpoint(flag: str, values: Sequence[str]) -> dict[str, str]:
    """``os=OS (months)`` as endpoint -> column; a column alone goes to the endpoint in its name, or else to os.

    Parameters
    ----------
    flag
        The flag, for messages.
    values
        Its values.

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
    """Whether a text can name an endpoint: at most 12 ASCII letters, digits and underscores."""
    plain = text.strip().lower()
    return plain in ENDPOINTS or (plain.replace("_", "").isalnum() and plain.isascii() and len(plain) <= 12)


def units(values: Sequence[str]) -> dict[str, str]:
    """``months`` or ``os=months`` as endpoint -> unit; the key "" stands for all endpoints.

    Raises
    ------
    ConfigError
        If the value is not a unit of time.
    """
    out: dict[str, str] = {}
    for value in values:
        name, sign, unit = value.rpartition("=")
        unit = unit.strip().lower()
        unit = unit if unit in UNITS or f"{unit}s" not in UNITS else f"{unit}s"
        if unit not in UNITS:
            raise ConfigError(
                f"--unit {value!r}: expected one of {', '.join(UNITS)}, or ENDPOINT=UNIT such as os=months."
            )
        out[name.strip().lower() if sign else ""] = unit
    return out


def codings(values: Sequence[str]) -> dict[str, dict[str, int]]:
    """``os:Dead=1,Alive=0`` as endpoint -> value -> 0 or 1.

    Raises
    ------
    ConfigError
        If a value is not given 0 or 1, still has the ? of a question, or is given both.

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
            if code == "?":
                raise ConfigError(
                    f"--event-values {text!r}: replace the ? of {value!r} by 1 (the event happened) or 0 (it did not), or leave the "
                    f"value out and add --missing {shlex.quote(value)}."
                )
            if code not in ("0", "1") or not value:
                raise ConfigError(
                    f"--event-values {text!r}: {pair!r}; expected ENDPOINT:VALUE=1,VALUE=0 such as os:Dead=1,Alive=0."
                )
            if coding.get(value, int(code)) != int(code):
                raise ConfigError(f"--event-values {text!r}: {value!r} is given both 0 and 1.")
            coding[value] = int(code)
    return out


def _pairs(text: str) -> list[str]:
    """Split at commas that follow ``=0``, ``=1`` or ``=?``; other commas are part of a value."""
    out: list[str] = []
    held = ""
    for piece in text.split(","):
        held = f"{held},{piece}" if held else piece
        if held.rstrip().endswith(("=0", "=1", "=?")):
            out.append(held)
            held = ""
    return [*out, held] if held.strip() else out


def names(values: Sequence[str] | str | None, header: Sequence[str]) -> tuple[str, ...] | None:
    """Columns from flags, each given separately or several separated by commas."""
    if values is None:
        return None
    out: list[str] = []
    for value in [values] if isinstance(values, str) else values:
        out += [value] if value in header else [v.strip() for v in value.split(",") if v.strip()]
    return tuple(dict.fromkeys(out))


def column_named(name: str, header: Sequence[str], *, flag: str, source: str) -> str:
    """The column that a flag names: the exact one, or else the only one that differs just by case and punctuation.

    Raises
    ------
    ConfigError
        If there is no such column; the message names the nearest one.
    """
    if name in header:
        return name
    alike = [c for c in header if phrase(c) == phrase(name)]
    if len(alike) == 1:
        return alike[0]
    near = difflib.get_close_matches(name, list(header)[:2000], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; found {list(header)[:12]}."
    raise ConfigError(f"{flag} {name!r}: no such column in {source}{hint}")
