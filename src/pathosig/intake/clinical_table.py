"""A clinical table with its columns read: what each holds, what its header means, one row per patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pathosig.core.columns import Column, read_column
from pathosig.core.dates import Order
from pathosig.core.grids import Table
from pathosig.core.words import is_missing, senses
from pathosig.intake.choices import Choices


@dataclass(frozen=True, kw_only=True, slots=True)
class ClinicalTable:
    """Columns read, and the senses of their headers.

    Attributes
    ----------
    ids
        Patient of each row.
    varying
        Columns that differ between the rows of one patient -> (patient, two of the values).
    n_rows
        Rows of the file, before those of one patient were folded.
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
        """Headers that have all of these senses, in the order of the table."""
        need = set(wanted)
        return [name for name, has in self.senses.items() if need <= has]


def read_columns(table: Table, choices: Choices) -> dict[str, Column]:
    """All columns of a table; whether others write decimal commas decides how ``2.361`` reads."""
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
    """The table with one row per patient: cells of one patient that agree are folded, empty ones filled by the others.

    Parameters
    ----------
    table
        As it came in.
    ids
        Patient of each row; rows without one are left out.
    choices
        What the user said.
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
        notes.append(f"{nameless} rows without a patient id left out")
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
            told = sorted(
                {" ".join(v.casefold().split()): v for v in values if not is_missing(v, missing)}.values()
            )
            if len(told) > 1 and name not in varying:
                varying[name] = (patient, told[0], told[1])
            folded[place[patient]] = told[0] if told else column[rows[0]]
        cells[name] = folded
    if several:
        most = max(len(rows) for rows in several.values())
        notes.append(
            f"{len(ids) - nameless} rows of {len(patients)} patients, up to {most} a patient, made one row each"
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
