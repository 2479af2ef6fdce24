"""Finds the covariates, treatments and subgroups of a table; one that was declared but cannot be used is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pathosig.core.columns import Column
from pathosig.core.errors import InputError
from pathosig.core.words import (
    counted,
    covariate_of,
    fold,
    is_missing,
    is_subgroup,
    is_treatment,
    level_ranks,
    ordered_levels,
)
from pathosig.intake.choices import Choices, column_named
from pathosig.intake.clinical_table import ClinicalTable

MOST_LEVELS = 6
_MOST_MISSING = 0.5
_SENTINELS = (-99.0, -9.0, -999.0, -1.0, 99.0, 999.0, 9999.0, 888.0)
_MAIN_STAGE = re.compile(r"(.*?)(iv|i{1,3})\s*[abc]?\d?\s*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Covariate:
    """A column that models adjust for.

    Attributes
    ----------
    column
        Its name in patients.csv.
    kind
        number | levels | ordered levels.
    levels
        (level, number of patients) in order; empty for numbers.
    low, high
        Range of numbers.
    n_missing
        Number of patients without a value.
    notes
        What is worth knowing about its values.
    cells
        New cells, if they are not those of the table: grouped stages.
    source
        The column of the table that it comes from.
    """

    column: str
    kind: str
    levels: tuple[tuple[str, int], ...] = ()
    low: float = 0.0
    high: float = 0.0
    n_missing: int = 0
    notes: tuple[str, ...] = ()
    cells: tuple[str, ...] | None = None
    source: str = ""

    def to_text(self) -> str:
        """Kind, range or levels, and number of missing values."""
        if self.kind == "number":
            shown = f"number, {self.low:g} to {self.high:g}"
        else:
            sign = " < " if self.kind == "ordered levels" else ", "
            shown = f"{self.kind}: " + sign.join(f"{level} ({n})" for level, n in self.levels)
        shown += f"; {self.n_missing} missing" if self.n_missing else ""
        return "; ".join([shown, *self.notes])


def unusable(column: Column) -> str:
    """Why a column cannot be a covariate, or "".

    The rules are those of the models: numbers that are not all equal, or two to six levels.
    """
    if column.kind == "empty":
        return "has no value"
    if column.kind == "dates":
        return "holds dates"
    if column.strange:
        shown = ", ".join(map(repr, column.strange[:4]))
        return f"holds numbers and {shown}; correct them, or declare those that mean missing with --missing {column.strange[0]!r}"
    if column.numbers is not None:
        if column.numbers.ambiguous:
            return f"has values such as {column.numbers.ambiguous!r}; give the decimal mark with --decimal point or --decimal comma"
        values = {v for v in column.numbers.values if v == v}
        return "is constant" if len(values) < 2 else ""
    if len(column.counts) < 2:
        return f"is constant ({next(iter(column.counts))!r})"
    if len(column.counts) > MOST_LEVELS:
        return f"has {len(column.counts)} levels ({', '.join(map(repr, list(column.counts)[:4]))} ...); at most {MOST_LEVELS} are modelled"
    return ""


def find_covariates(
    table: ClinicalTable, choices: Choices, taken: frozenset[str]
) -> tuple[tuple[Covariate, ...], dict[str, str]]:
    """The declared covariates, or else the columns with usual names.

    Parameters
    ----------
    table
        The clinical table.
    choices
        What the user decided.
    taken
        Columns that have another role.

    Returns
    -------
    tuple
        The covariates, and why other columns with usual names are not among them.

    Raises
    ------
    ConfigError
        If a declared column does not exist.
    InputError
        E_COVARIATE if a declared column cannot be used.
    """
    if choices.covariates is not None:
        names = [
            column_named(c, list(table.columns), flag="--covariates", source=table.source)
            for c in choices.covariates
        ]
        return tuple(_declared(table, c, "--covariates") for c in names), {}
    out: list[Covariate] = []
    why: dict[str, str] = {}
    seen: set[str] = set()
    for name, column in table.columns.items():
        usual = (
            covariate_of(name) if name not in taken and not table.senses[name] & {"date", "birth"} else None
        )
        if usual is None:
            continue
        if usual in seen:
            why[name] = f"another column is already used as {usual}"
            continue
        if name in table.varying:
            why[name] = f"differs between the rows of a patient ({table.varying[name][0]})"
            continue
        grouped = (
            _grouped_stage(name, column) if usual == "stage" and len(column.counts) > MOST_LEVELS else None
        )
        reason = "" if grouped else unusable(column)
        if not reason and column.n_missing > _MOST_MISSING * max(1, len(column.cells)):
            reason = f"is missing for {column.n_missing} of {counted(len(column.cells), 'patient')}"
        if reason:
            why[name] = reason
            continue
        seen.add(usual)
        out.append(grouped or describe(name, column))
    return tuple(out), why


def find_treatments(
    table: ClinicalTable, choices: Choices, taken: frozenset[str]
) -> tuple[tuple[Covariate, ...], dict[str, str]]:
    """The declared treatments, or else the columns of two levels with usual names; parameters and errors as `find_covariates`."""
    if choices.treatments is not None:
        names = [
            column_named(c, list(table.columns), flag="--treatment", source=table.source)
            for c in choices.treatments
        ]
        return tuple(_declared(table, c, "--treatment") for c in names), {}
    return _of_kind(table, taken, is_treatment, _not_two_arms)


def find_subgroups(
    table: ClinicalTable, taken: frozenset[str]
) -> tuple[tuple[Covariate, ...], dict[str, str]]:
    """Columns with usual names of molecular or histological subtypes, and why other such columns are not among them."""
    return _of_kind(table, taken, is_subgroup, _too_many_strata)


def _not_two_arms(column: Column) -> str:
    return "" if len(column.counts) == 2 else f"has {len(column.counts)} arms; exactly two can be compared"


def _too_many_strata(column: Column) -> str:
    n = len(column.counts)
    return f"has {n} values; at most {MOST_LEVELS} strata are shown" if n > MOST_LEVELS else ""


def _of_kind(
    table: ClinicalTable,
    taken: frozenset[str],
    is_kind: Callable[[str], bool],
    misfit: Callable[[Column], str],
) -> tuple[tuple[Covariate, ...], dict[str, str]]:
    """Columns whose names are of one kind, and why other columns with such names are not among them."""
    out: list[Covariate] = []
    why: dict[str, str] = {}
    for name, column in table.columns.items():
        if name in taken or not is_kind(name):
            continue
        reason = unusable(column) or misfit(column)
        if name in table.varying:
            reason = f"differs between the rows of a patient ({table.varying[name][0]})"
        if reason:
            why[name] = reason
        else:
            out.append(describe(name, column))
    return tuple(out), why


def _declared(table: ClinicalTable, name: str, flag: str) -> Covariate:
    column = table.columns[name]
    reason = unusable(column)
    if name in table.varying:
        patient, one, other = table.varying[name]
        reason = f"differs between the rows of patient {patient!r}: {one!r} and {other!r}"
    if reason:
        raise InputError(f"{table.source}: {flag} {name!r}: the column {reason}.", code="E_COVARIATE")
    return describe(name, column)


def describe(name: str, column: Column) -> Covariate:
    """A column as a covariate."""
    notes = []
    if column.numbers is not None:
        values = [v for v in column.numbers.values if v == v]
        notes += sentinels(values)
        if column.numbers.style not in ("plain", "with unit"):
            notes.append(f"written with {column.numbers.style}")
        if covariate_of(name) == "age" and values and sorted(values)[len(values) // 2] > 150:
            notes.append("is this an age in days?")
        return Covariate(
            column=name,
            kind="number",
            low=min(values),
            high=max(values),
            n_missing=column.n_missing,
            notes=tuple(notes),
            source=name,
        )
    joined: dict[str, list[str]] = {}
    for spelling, level in column.spellings.items():
        joined.setdefault(level, []).append(spelling)
    notes += [f"{', '.join(map(repr, sorted(v)))} count as {k!r}" for k, v in sorted(joined.items())]
    is_ordered = level_ranks(list(column.counts)) is not None
    levels = tuple((v, column.counts[v]) for v in ordered_levels(column.counts))
    kind = "ordered levels" if is_ordered else "levels"
    return Covariate(
        column=name, kind=kind, levels=levels, n_missing=column.n_missing, notes=tuple(notes), source=name
    )


def sentinels(values: Sequence[float]) -> list[str]:
    """Warnings about numbers that often stand for missing, such as -9 or 999, and lie far from the other values."""
    out = []
    for number in _SENTINELS:
        times = sum(v == number for v in values)
        others = [v for v in values if v != number]
        if not times or len(others) < 5:
            continue
        low, high = min(others), max(others)
        if number < low - 0.2 * (high - low) - 1 or number > high + 0.2 * (high - low) + 1:
            out.append(
                f"{number:g} in {counted(times, 'row')} lies far from the other values: if it means missing, give --missing={number:g}"
            )
    return out


def _grouped_stage(name: str, column: Column) -> Covariate | None:
    """Stages without their letters (IA1 and IB become I), for a column that has too many; None if it holds other values."""
    main: dict[str, str] = {}
    for level in column.counts:
        hit = _MAIN_STAGE.fullmatch(fold(level))
        if hit is None or hit.group(1).strip() not in (
            "",
            "stage",
            "ajcc stage",
            "p",
            "pathologic stage",
            "uicc",
        ):
            return None
        main[level] = hit.group(2).upper()
    if not 2 <= len(set(main.values())) <= MOST_LEVELS:
        return None
    cells = tuple("" if is_missing(c) else main[column.spellings.get(c, c)] for c in column.cells)
    counts: Mapping[str, int] = {v: cells.count(v) for v in set(main.values())}
    levels = tuple((v, counts[v]) for v in ordered_levels(counts))
    note = f"made from {name!r}: its {counted(len(column.counts), 'level')} without their letters"
    return Covariate(
        column="stage_group",
        kind="ordered levels",
        levels=levels,
        n_missing=column.n_missing,
        notes=(note,),
        cells=cells,
        source=name,
    )
