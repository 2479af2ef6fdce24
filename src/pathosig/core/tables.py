"""CSV tables of the study folder, read as text so that ids stay verbatim (`001`, `NA`, `1E5`)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pathosig.core.errors import InputError
from pathosig.core.records import write_text

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")


def read_csv_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV as text, cells and header names stripped; UTF-8 (with or without BOM) or Latin-1.

    The separator is a comma, semicolon or tab, whichever the header has most of.

    Raises
    ------
    InputError
        If the file is missing, empty, has repeated column names or rows of another length.
    """
    text = read_text(path)
    lines = text.splitlines()
    if not lines or not lines[0].strip():
        raise InputError(f"{path.name}: the table is empty; expected a header row and one row per record.")
    delimiter = max(",;\t", key=lines[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [name.strip() for name in next(reader)]
    repeated = sorted({n for n in header if header.count(n) > 1})
    if repeated:
        raise InputError(f"{path.name}: column names appear twice: {repeated}. Rename one of each.")
    rows = []
    for cells in reader:
        if not any(c.strip() for c in cells):
            continue
        if len(cells) != len(header):
            raise InputError(
                f"{path.name}: line {reader.line_num} has {len(cells)} cells; the header has {len(header)}. "
                "Quote cells that contain the separator."
            )
        rows.append(dict(zip(header, (unquote_formula(c.strip()) for c in cells), strict=True)))
    return rows


def read_text(path: Path) -> str:
    """A text file as UTF-8 (BOM dropped) or, failing that, Latin-1."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path.name}: no such file in the study folder.", code="E_MISSING") from error
    if b"\x00" in raw[:4096]:
        raise InputError(f"{path.name}: not a text table. Save it as CSV (UTF-8).")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def write_csv_rows(path: Path, rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Write rows as CSV atomically; cells a spreadsheet would run as a formula are quoted with '."""
    write_text(path, csv_text(rows, columns))


def csv_text(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> str:
    """What `write_csv_rows` writes."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(c)) for c in columns])
    return buffer.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if value != value else repr(value)
    text = str(value)
    return quote_formula(text) if isinstance(value, str) else text


def quote_formula(text: str) -> str:
    """`text` made safe for spreadsheets: a leading = + - @ gets a quote in front, numbers stay."""
    if not text.startswith(_DANGEROUS):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text


def unquote_formula(text: str) -> str:
    """The inverse of `quote_formula`."""
    return text[1:] if len(text) > 1 and text[0] == "'" and text[1] in _DANGEROUS else text
