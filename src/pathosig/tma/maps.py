"""Reads maps of microarrays as laboratories send them: one long table, or for each array a sheet with the layout of the array."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pathosig.core.errors import InputError
from pathosig.core.grids import Grid, SheetsError
from pathosig.core.ids import IdIndex
from pathosig.core.table_files import read_grid
from pathosig.core.tables import read_text
from pathosig.core.words import counted
from pathosig.core.workbooks import read_workbook

COLUMNS = ("tma", "row", "column", "patient_id")
_FEWEST_NUMBERS = 2
WORKBOOKS = (".xlsx", ".xlsm")


@dataclass(frozen=True, kw_only=True, slots=True)
class MapReading:
    """The content of a map.

    Attributes
    ----------
    rows
        Rows of tma_map.csv: tma, row, column, patient_id.
    strangers
        Maps the text of each cell that names no patient of the clinical table (controls, notes) to its places. These
        cells are left out of `rows`.
    """

    rows: tuple[Mapping[str, object], ...]
    strangers: Mapping[str, tuple[str, ...]]

    @property
    def sentence(self) -> str:
        """A sentence with the number of cores that have a patient, and the cells that were left out."""
        arrays, patients = ({r[k] for r in self.rows} for k in ("tma", "patient_id"))
        text = f"{counted(len(self.rows), 'core')} of {counted(len(patients), 'patient')} on {counted(len(arrays), 'array')}"
        if self.strangers:
            shown = "; ".join(f"{name} ({len(at)})" for name, at in list(self.strangers.items())[:5])
            text += f"; cells that name no patient of the table are left out: {shown}"
        return text


def read_tma_map(path: Path, arrays: Collection[str], patients: Collection[str] | None = None) -> MapReading:
    """Read the map of all arrays.

    Parameters
    ----------
    path
        A CSV or Excel file in one of two layouts. Either it has the columns tma, row, column and patient_id; or it has one
        sheet per array, with the name of its slide, a line of column numbers, a letter or number at the left of each row, and
        patients in the cells. Titles above the line of column numbers are ignored.
    arrays
        Names of the slides.
    patients
        Patient ids of the clinical table; if None, every cell is taken to name a patient.

    Returns
    -------
    MapReading

    Raises
    ------
    InputError
        E_MISSING if there is no such file, E_FORMAT if a sheet has neither layout, E_UNMATCHED if the name of a sheet is not
        that of a slide, E_NO_OVERLAP if no cell names a patient.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: no such file. Give the path of the map of the microarrays.", code="E_MISSING"
        )
    cells: list[tuple[str, int, int, str]] = []
    for name, grid in _sheets(path).items():
        long = _long(grid)
        if long is not None:
            cells += [(_array(a, arrays, path), r, c, p) for a, r, c, p in long]
        else:
            array = _array(name, arrays, path)
            cells += [(array, r, c, p) for r, c, p in _laid_out(grid, f"{path.name}, sheet {name!r}")]
    wanted = {p for *_, p in cells} if patients is None else set(patients)
    rows = [{"tma": a, "row": r, "column": c, "patient_id": p} for a, r, c, p in cells if p in wanted]
    strangers: dict[str, list[str]] = {}
    for array, row, column, text in cells:
        if text not in wanted:
            strangers.setdefault(text, []).append(f"{array} {row}-{column}")
    if not rows:
        raise InputError(
            f"{path.name}: no cell names a patient of the clinical table. Cells: {list(strangers)[:5]}; patients: {sorted(wanted)[:5]}.",
            code="E_NO_OVERLAP",
        )
    return MapReading(rows=tuple(rows), strangers={k: tuple(v) for k, v in strangers.items()})


def _sheets(path: Path) -> dict[str, Grid]:
    """Cells of each sheet with data, by its name; a file without sheets counts as one sheet named like the file."""
    if path.suffix.lower() not in WORKBOOKS:
        return {path.stem: read_grid(read_text(path), path.name)}
    try:
        grid, shown = read_workbook(path, None)
    except SheetsError as several:
        return {name: read_workbook(path, name)[0] for name in several.names}
    return {shown.partition("sheet ")[2].strip("'") or path.stem: grid}


def _array(name: str, arrays: Collection[str], path: Path) -> str:
    if len(arrays) == 1 and name == path.stem:
        return next(iter(arrays))
    same = [a for a in arrays if a.casefold() == name.strip().casefold()]
    # Excel allows 31 characters for the name of a sheet.
    cut = [a for a in arrays if a[:31].casefold() == name.strip().casefold()]
    if len(same or cut) == 1:
        return (same or cut)[0]
    near = IdIndex(arrays).nearest(name)
    raise InputError(
        f"{path.name}: {name!r} is not the name of a slide; slides: {sorted(arrays)[:5]}{f'; nearest: {near}' if near else ''}. "
        "Give the sheet, or the cell in the column tma, the name of the slide file.",
        code="E_UNMATCHED",
    )


def _long(grid: Grid) -> list[tuple[str, int, int, str]] | None:
    """(tma, row, column, patient) of a table with the columns of tma_map.csv; None for any other layout."""
    for number, head in enumerate(grid.rows[:10]):
        names = [h.strip().casefold().replace(" ", "_") for h in head]
        if all(n in names for n in COLUMNS):
            at = [names.index(n) for n in COLUMNS]
            body = [[*row, *[""] * len(names)] for row in grid.rows[number + 1 :]]
            out = []
            for row in body:
                tma, line, column, patient = (row[i].strip() for i in at)
                if patient:
                    out.append((tma, line_number(line) or 0, line_number(column) or 0, patient))
            return out
    return None


def _laid_out(grid: Grid, where: str) -> list[tuple[int, int, str]]:
    """(row, column, text) of the cells of a sheet that has the layout of its array."""
    for number, head in enumerate(grid.rows):
        columns = {i: int(v) for i, v in enumerate(head) if v.strip().isdigit()}
        values = list(columns.values())
        if len(columns) < _FEWEST_NUMBERS or values != list(range(1, len(values) + 1)):
            continue
        first = min(columns)
        out = []
        for offset, cells in enumerate(grid.rows[number + 1 :], start=number + 1):
            names = [c.strip() for c in cells[:first] if c.strip()]
            line = line_number(names[-1]) if names else None
            if line is None:
                break  # notes below the array
            out += [
                (line, column, cells[i].strip())
                for i, column in columns.items()
                if i < len(cells) and cells[i].strip() and (offset, i) not in grid.merged
            ]
        if out:
            return out
    raise InputError(
        f"{where}: found neither the columns {', '.join(COLUMNS)} nor a line of column numbers 1, 2, 3, ... above lines that "
        "begin with a letter or number.",
        code="E_FORMAT",
    )


def line_number(text: str) -> int | None:
    """Number of a row or column written as 1, 2, ... or A, B, ..., counted from 1; None for any other text."""
    value = text.strip()
    if value.isascii() and value.isdigit():
        return int(value) or None
    if value.isascii() and value.isalpha() and len(value) <= 2:
        total = 0
        for letter in value.upper():
            total = total * 26 + ord(letter) - ord("A") + 1
        return total
    return None
