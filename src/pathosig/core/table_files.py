"""Reads the tables that people send, text with any separator and encoding or Excel, as cells of text."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pathosig.core.errors import InputError
from pathosig.core.grids import Grid, Table, to_table
from pathosig.core.numbers import plain_number
from pathosig.core.tables import decode, separator_line, unreadable_line

MOST_BYTES = 2**29
"""Largest size in bytes of a table that is read; a larger file is not a clinical table."""

_SEPARATORS = (",", ";", "\t", "|")
_LOOKED_AT = 40


def read_table(path: Path, *, sheet: str | None = None, header_row: int | None = None) -> Table:
    """A CSV, TSV or Excel file as a `Table`; the content of the file decides its format, not its suffix.

    Parameters
    ----------
    path
        The file.
    sheet
        Sheet of a workbook.
    header_row
        Line of the file (row of the sheet) with the column names, counted from 1; by default the line that looks most like a
        header.

    Raises
    ------
    InputError
        E_MISSING if there is no such file, E_SHEET if there are several sheets and none is named, E_ENCRYPTED, E_TOO_LARGE,
        E_FORMAT or E_INPUT if the file cannot be read; the message gives the reason and the format to save it in.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {what}. Give the clinical table: CSV, TSV or Excel.", code="E_MISSING")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InputError(
            f"{path.name}: {size:,} bytes; expected a table below {MOST_BYTES:,}.", code="E_TOO_LARGE"
        )
    raw = path.read_bytes()
    if not raw.strip(b"\x00 \r\n\t\xff\xfe\xef\xbb\xbf"):
        raise InputError(f"{path.name}: the file is empty; expected a header row and one row per patient.")
    source = path.name
    if raw[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        from pathosig.core.workbooks import read_workbook

        grid, source = read_workbook(path, sheet)
    else:
        refuse_other_files(raw, path.name)
        grid = read_grid(decode(raw, path.name), path.name)
        if path.suffix.lower() in (".xlsx", ".xlsm", ".xls"):
            grid = replace(
                grid, notes=(f"{path.name} is not a workbook but text, and was read as text", *grid.notes)
            )
        if sheet is not None:
            raise InputError(
                f"{path.name}: --sheet {sheet!r}, but the file is text and has no sheets. Omit --sheet."
            )
    return to_table(grid, source, header_row=header_row)


_FOREIGN = (
    (b"PAR1", "a Parquet file"),
    (b"\x1f\x8b", "compressed (gzip); unpack it"),
    (b"BZh", "compressed (bzip2); unpack it"),
    (b"\xfd7zXZ", "compressed (xz); unpack it"),
    (b"Rar!", "an archive (RAR); unpack it"),
    (b"7z\xbc\xaf", "an archive (7z); unpack it"),
    (b"%PDF", "a PDF"),
    (b"\x89HDF", "an HDF5 file"),
    (b"$FL2", "an SPSS file"),
    (b"$FL3", "an SPSS file"),
    (b"<stata_dta>", "a Stata file"),
    (b"RDX", "an R data file"),
    (b"{\\rtf", "a text document (RTF)"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"II*\x00", "a picture (TIFF)"),
    (b"MM\x00*", "a picture (TIFF)"),
    (b"SQLite format", "a database (SQLite)"),
)


def refuse_other_files(raw: bytes, name: str) -> None:
    """Refuse files that are neither text nor a workbook.

    Raises
    ------
    InputError
        E_FORMAT, or E_ENCRYPTED for a workbook with a password; the message states what the file is.
    """
    way_out = "Save the table as CSV (UTF-8) or .xlsx."
    if raw[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        if "EncryptedPackage".encode("utf-16-le") in raw:
            raise InputError(
                f"{name}: the workbook is protected by a password. Save it without one.", code="E_ENCRYPTED"
            )
        raise InputError(
            f"{name}: an old Excel file (.xls), which cannot be read. {way_out}", code="E_FORMAT"
        )
    for magic, what in _FOREIGN:
        if raw.startswith(magic):
            raise InputError(f"{name}: {what}, not a text table or a workbook. {way_out}", code="E_FORMAT")
    start = raw[:2000].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if start.startswith((b"<html", b"<!doctype html", b"<table", b"<?xml")) or b"<table" in start[:500]:
        raise InputError(
            f"{name}: a web page or XML, not a text table or a workbook. {way_out}", code="E_FORMAT"
        )
    if start[:1] in (b"{", b"[") and b'":' in start:
        raise InputError(f"{name}: JSON, not a table. {way_out}", code="E_FORMAT")


# -- text -------------------------------------------------------------------------------------


def read_grid(text: str, name: str) -> Grid:
    """Cells of a text table; comments are skipped, and separator and quoting are inferred from the lines.

    Parameters
    ----------
    text
        The text.
    name
        Name of the file, for messages.

    Raises
    ------
    InputError
        If a line cannot be read.
    """
    if "\x00" in text:
        raise InputError(f"{name}: not a text table. Save it as CSV (UTF-8).")
    notes: list[str] = []
    first, _, rest = text.partition("\n")
    declared = separator_line(first.rstrip("\r"))
    offset = 0
    if declared is not None:
        text, offset = rest, 1
        notes.append(f"separator {declared!r}, as declared in the first line")
    text, passed, commented = _without_comments(text)
    offset += passed
    separator = declared or _separator(text)
    rows, lines = _parse(text, separator, name, quoted=True)
    if _is_ragged(rows) and '"' in text:
        loose, loose_lines = _parse(text, separator, name, quoted=False)
        if not _is_ragged(loose):
            rows, lines = loose, loose_lines
            notes.append("quotes are part of the cells")
    if commented:
        rows, lines, taken = _commented_header(rows, lines, commented, separator)
        shown = passed - taken
        notes += [f"{shown} lines that begin with # are skipped"] if shown else []
        notes += ["column names are in the line that begins with #"] if taken else []
    return Grid(rows=rows, lines=[n + offset for n in lines], notes=tuple(notes), semicolons=separator == ";")


def _without_comments(text: str) -> tuple[str, int, str]:
    """The text after the leading lines that begin with #, the number of these lines, and the last of them."""
    last, passed = "", 0
    while text.startswith("#") or (text.startswith('"#') and passed):
        last, _, text = text.partition("\n")
        passed += 1
    return text, passed, last.rstrip("\r")


def _commented_header(
    rows: list[list[str]], lines: list[int], commented: str, separator: str
) -> tuple[list[list[str]], list[int], int]:
    """The rows with the last comment as their header, if it has as many names as the first row, which holds data."""
    names = [c.strip() for c in next(csv.reader([commented.lstrip("# ")], delimiter=separator), [])]
    if (
        not rows
        or len(names) != len(rows[0])
        or len(names) < 2
        or not any(plain_number(c) is not None for c in rows[0])
    ):
        return rows, lines, 0
    return [names, *rows], [0, *lines], 1


def _separator(text: str) -> str:
    """The separator that splits the first lines into the same number of cells, and into the most; blanks are a last resort."""
    head = [line for line in text[:200_000].splitlines() if line.strip()][:_LOOKED_AT]
    best, best_score = ",", (0.0, 0)
    for separator in _SEPARATORS:
        counts = Counter(
            len(next(csv.reader([line], delimiter=separator), [])) for line in head if len(line) < 100_000
        )
        width, times = max(
            counts.items(), key=lambda item: (item[1] * (item[0] > 1), item[0]), default=(1, 0)
        )
        score = (times / max(1, len(head)) if width > 1 else 0.0, width)
        if score > best_score:
            best, best_score = separator, score
    if best_score[0] > 0 or len(head) < 2:
        return best
    widths = {len(next(csv.reader([line], delimiter=" ", skipinitialspace=True), [])) for line in head[1:]}
    return " " if len(widths) == 1 and max(widths) > 2 else best


def _parse(text: str, separator: str, name: str, *, quoted: bool) -> tuple[list[list[str]], list[int]]:
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        skipinitialspace=separator == " ",
    )
    rows, lines, before = [], [], 0
    try:
        for cells in reader:
            row = [c.strip() for c in cells]
            if any(row):
                rows.append(row)
                lines.append(before + 1)
            before = reader.line_num
    except csv.Error as error:
        raise unreadable_line(name, reader.line_num, error) from error
    return rows, lines


def _is_ragged(rows: Sequence[Sequence[str]]) -> bool:
    return len({len(r) for r in rows if len(r) > 1}) > 1 or any("\n" in c for r in rows[:1000] for c in r)
