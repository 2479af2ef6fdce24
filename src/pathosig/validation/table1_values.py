"""Values of Table 1 and of missing data, as results.json holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Table1Cell:
    """Numbers behind one cell of Table 1: counts of a level, or quartiles of a numeric variable."""

    n: int
    share: float | None = None
    median: float | None = None
    q1: float | None = None
    q3: float | None = None
    missing: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Table1Row:
    """One row of Table 1: for each column, the text to print and the numbers behind it."""

    variable: str
    level: str
    kind: Literal["count", "number", "level"]
    values: Mapping[str, str]
    numbers: Mapping[str, Table1Cell]
    p: float | None
    test: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Table1:
    """Characteristics of patients by cohort or by risk group."""

    columns: tuple[str, ...]
    rows: tuple[Table1Row, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingValues:
    """Number of patients, out of `n` in a cohort, for whom a variable is missing."""

    cohort: str
    variable: str
    missing: int
    n: int
