"""The report's tables as one Word document; needs python-docx, of the extra `exports`."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import docx
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.shared import Pt, RGBColor

from pathosig.report.tables import PaperTable

if TYPE_CHECKING:
    from docx.document import Document
    from docx.text.paragraph import Paragraph

_GREY = RGBColor(0x5A, 0x63, 0x70)


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
            marks = table.marks(i - 1) if i else [""] * len(row)
            for cell, text, right, mark in zip(grid.rows[i].cells, row, table.right, marks, strict=True):
                paragraph = cell.paragraphs[0]
                _write(paragraph, text, mark)
                paragraph.runs[0].bold = i == 0
                if right:
                    paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
        _notes(document, table)
    buffer = io.BytesIO()
    document.save(buffer)
    return _without_dates(buffer.getvalue())


def _write(paragraph: Paragraph, text: str, mark: str) -> None:
    """The text of a cell; an estimate with a mark is small and grey, and the mark follows it."""
    run = paragraph.add_run(text)
    run.font.size = Pt(6.5 if mark else 8)
    if mark:
        run.font.color.rgb = _GREY
        letter = paragraph.add_run(mark)
        letter.font.size, letter.font.superscript, letter.font.color.rgb = Pt(6.5), True, _GREY


def _notes(document: Document, table: PaperTable) -> None:
    """What stands under a table: its note, and what its marks mean."""
    reasons = table.reasons()
    if not table.note and not reasons:
        return
    paragraph = document.add_paragraph()
    paragraph.add_run(table.note).font.size = Pt(7.5)
    for why, letter in reasons.items():
        mark = paragraph.add_run(f" {letter}")
        mark.font.size, mark.font.superscript = Pt(7.5), True
        paragraph.add_run(f" {why}.").font.size = Pt(7.5)


def _without_dates(data: bytes) -> bytes:
    """The archive with every member dated alike."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), old.read(name), zipfile.ZIP_DEFLATED)
    return out.getvalue()
