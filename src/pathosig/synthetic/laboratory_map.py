"""The map of a microarray: as pathosig reads it, and as a laboratory sends it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import openpyxl
from openpyxl.styles import Alignment, Font

from pathosig.core.records import atomic_path
from pathosig.synthetic.arrays import PlannedArray


def map_rows(arrays: Sequence[PlannedArray]) -> list[dict[str, object]]:
    """Rows of tma_map.csv: tma, row, column, patient_id; missing cores are in the map, as in real life."""
    return [
        {"tma": array.slide_id, "row": core.row, "column": core.column, "patient_id": core.patient_id}
        for array in arrays
        for core in array.cores
    ]


def write_laboratory_map(path: Path, arrays: Sequence[PlannedArray]) -> None:
    """Write an Excel file with a sheet per block: a title over merged cells, column numbers, row letters, patient ids.

    Parameters
    ----------
    path
        The .xlsx file.
    arrays
        The blocks.
    """
    book = openpyxl.Workbook()
    book.remove(book.active)
    for array in arrays:
        sheet = book.create_sheet(array.slide_id[:31])
        sheet["A1"] = f"Block {array.slide_id}: small cell lung cancer, 0.67 mm cores"
        sheet["A1"].font = Font(bold=True)
        sheet.merge_cells(start_row=1, start_column=1, end_row=1, end_column=array.columns + 1)
        sheet["B2"] = "column"
        sheet["B2"].alignment = Alignment(horizontal="center")
        sheet.merge_cells(start_row=2, start_column=2, end_row=2, end_column=array.columns + 1)
        for column in range(1, array.columns + 1):
            sheet.cell(row=3, column=column + 1, value=column)
        for row in range(1, array.rows + 1):
            sheet.cell(row=row + 3, column=1, value=chr(ord("A") + row - 1))
        for core in array.cores:
            sheet.cell(row=core.row + 3, column=core.column + 1, value=core.patient_id)
    with atomic_path(path) as temporary:
        book.save(temporary)
