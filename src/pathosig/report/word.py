"""The report's tables as one Word document; needs python-docx, of the extra `exports`."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import datetime

import docx
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.shared import Pt

from pathosig.report.tables import PaperTable


def tables_docx(tables: Sequence[PaperTable], *, title: str) -> bytes:
    """All tables as one Word document, numbered, with their notes; the same tables give the same bytes."""
    document = docx.Document()
    document.core_properties.title = title
    document.core_properties.author = document.core_properties.last_modified_by = "pathosig"
    document.core_properties.created = document.core_properties.modified = datetime(2000, 1, 1)
    document.styles["Normal"].font.name = "Arial"
    document.styles["Normal"].font.size = Pt(9)
    document.add_heading(title, level=1)
    for number, table in enumerate(tables, start=1):
        heading = document.add_paragraph()
        heading.paragraph_format.keep_with_next = True
        heading.paragraph_format.space_before = Pt(14)
        heading.add_run(f"Table {number}. ").bold = True
        heading.add_run(table.caption)
        grid = document.add_table(rows=1 + len(table.rows), cols=len(table.columns))
        grid.style = "Table Grid"
        for i, row in enumerate([table.columns, *table.rows]):
            for cell, text, right in zip(grid.rows[i].cells, row, table.right, strict=True):
                paragraph = cell.paragraphs[0]
                run = paragraph.add_run(text)
                run.font.size = Pt(8)
                run.bold = i == 0
                if right:
                    paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
        if table.note:
            run = document.add_paragraph().add_run(table.note)
            run.font.size = Pt(7.5)
    buffer = io.BytesIO()
    document.save(buffer)
    return _without_dates(buffer.getvalue())


def _without_dates(data: bytes) -> bytes:
    """The archive with every member dated alike."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), old.read(name), zipfile.ZIP_DEFLATED)
    return out.getvalue()
