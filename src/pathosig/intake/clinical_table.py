"""A clinical table with one row per patient, the contents of its columns, and the meaning of their headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pathosig.core.columns import Column, read_column
from pathosig.core.dates import Order
from pathosig.core.grids import Table
from pathosig.core.words import counted, is_missing, senses
from pathosig.intake.choices import Choices


@dataclass(frozen=True, kw_only=True, slots=True)
class ClinicalTable:
    """A clinical table that has been read, with one row per patient.

    Attributes
    ----------
    source
        Name of the file, for messages.
    columns
        Header -> the column with its values.
    senses
        Header -> what its words mean, such as time, death or a unit.
    ids
        Patient of each row.
    varying
        Columns that differ between the rows of one patient -> (patient, two of the values).
    n_rows
        Number of rows in the file, before the rows of each patient were merged.
    notes
        What was done to the rows.
    missing
        Values that mean missing.
    """

    source: str
    columns: Mapping[str, Column]
    senses: Mapping[str, frozenset[str]]
    ids: tuple[str, ...]
    varying: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    n_rows: int
    notes: tuple[str, ...] = ()
    missing: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.ids)

    def with_sense(self, *wanted: str) -> list[str]:
        """Headers that have all the given senses, in the order of the table."""
        need = set(wanted)
        return [name for name, has in self.senses.items() if need <= has]


def read_columns(table: Table, choices: Choices) -> dict[str, Column]:
    """Read all columns of a table; if other columns have decimal commas, the point in ``2.361`` separates thousands."""
    missing = frozenset(choices.missing)
    order: Order | None = {"dmy": "day", "mdy": "month"}.get(choices.dates or "")  # type: ignore[assignment]
    out: dict[str, Column] = {}
    for name, cells in table.cells.items():
        out[name] = read_column(
            name,
            cells,
            missing=missing,
            decimal=choices.decimal,
            date_order=order,
            serial_dates="date" in senses(name),
        )
    if choices.decimal is None and any(_writes_commas(c) for c in out.values()):
        for name, column in out.items():
            if (
                column.numbers is not None
                and column.numbers.style in ("plain", "thousands comma")
                and _has_three_digits(column)
            ):
                out[name] = read_column(
                    name,
                    column.cells,
                    missing=missing,
                    commas_elsewhere=True,
                    date_order=order,
                    serial_dates="date" in senses(name),
                )
    return out


def _writes_commas(column: Column) -> bool:
    return column.numbers is not None and column.numbers.style == "decimal comma"


def _has_three_digits(column: Column) -> bool:
    return any(c[-4:-3] in (".", ",") for c in column.counts)


def by_patient(table: Table, ids: Sequence[str], choices: Choices) -> ClinicalTable:
    """The table with one row per patient: rows of one patient are merged, and empty cells filled from the others.

    Parameters
    ----------
    table
        The table as it was read.
    ids
        Patient of each row; rows without a patient are left out.
    choices
        What the user decided.
    """
    missing = frozenset(choices.missing)
    rows_of: dict[str, list[int]] = {}
    for row, patient in enumerate(ids):
        if patient:
            rows_of.setdefault(patient, []).append(row)
    several = {p: rows for p, rows in rows_of.items() if len(rows) > 1}
    patients = list(rows_of)
    notes: list[str] = []
    nameless = sum(not i for i in ids)
    if nameless:
        notes.append(
            f"{counted(nameless, 'row without a patient id is', 'rows without a patient id are')} left out"
        )
    varying: dict[str, tuple[str, str, str]] = {}
    cells: dict[str, list[str]] = {}
    firsts = [rows[0] for rows in rows_of.values()]
    place = {p: i for i, p in enumerate(patients)}
    for name, column in table.cells.items():
        folded = [column[row] for row in firsts]
        for patient, rows in several.items():
            values = {column[r] for r in rows}
            if len(values) == 1:
                continue
            distinct = sorted(
                {" ".join(v.casefold().split()): v for v in values if not is_missing(v, missing)}.values()
            )
            if len(distinct) > 1 and name not in varying:
                varying[name] = (patient, distinct[0], distinct[1])
            folded[place[patient]] = distinct[0] if distinct else column[rows[0]]
        cells[name] = folded
    if several:
        most = max(len(rows) for rows in several.values())
        notes.append(
            f"{len(ids) - nameless} rows of {counted(len(patients), 'patient')} (up to {most} per patient) are merged into one row each"
        )
    folded_table = replace(table, cells=cells)
    return ClinicalTable(
        source=table.source,
        columns=read_columns(folded_table, choices),
        senses={name: senses(name) for name in table.columns},
        ids=tuple(patients),
        varying=varying,
        n_rows=len(ids),
        notes=tuple(notes),
        missing=missing,
    )
