"""Reads and writes the CSV tables of a study folder as text, so that ids such as `001`, `NA` and `1E5` stay verbatim."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pathosig.core.errors import InputError
from pathosig.core.records import write_text
from pathosig.core.words import counted

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_FAR_EASTERN = "gb18030"


def read_csv_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV as text, with cells and header names stripped of blanks.

    The separator is the comma, semicolon or tab that is most frequent in the header, or the one that a first line ``sep=;``
    declares. For encodings see `read_text`.

    Raises
    ------
    InputError
        If the file is missing or empty, or has repeated column names or rows of unequal length.
    """
    text = read_text(path)
    first, _, rest = text.partition("\n")
    delimiter = ""
    if (declared := separator_line(first)) is not None:
        delimiter, text = declared, rest
        first = text.partition("\n")[0]
    if not first.strip():
        raise InputError(f"{path.name}: the table is empty; expected a header row and one row per record.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or max(",;\t", key=first.count))
    try:
        return _rows(reader, path.name)
    except csv.Error as error:
        raise unreadable_line(path.name, reader.line_num, error) from error


def _rows(reader: Any, name: str) -> list[dict[str, str]]:
    header = [unquote_formula(column.strip()) for column in next(reader)]
    refuse_repeated(header, name)
    rows = []
    for cells in reader:
        if not any(c.strip() for c in cells):
            continue
        if len(cells) != len(header):
            raise InputError(
                f"{name}: line {reader.line_num} has {counted(len(cells), 'cell')}; the header has {len(header)}. "
                "Quote cells that contain the separator."
            )
        rows.append(dict(zip(header, (unquote_formula(c.strip()) for c in cells), strict=True)))
    return rows


def refuse_repeated(header: Sequence[str], name: str) -> None:
    """Refuse a header that names a column twice, since one of the two would silently be lost.

    Raises
    ------
    InputError
        With the repeated names.
    """
    if len(set(header)) == len(header):
        return
    seen: set[str] = set()
    repeated = sorted({n for n in header if n in seen or seen.add(n)})  # type: ignore[func-returns-value]
    raise InputError(f"{name}: column names appear twice: {repeated[:20]}. Rename one of each.")


def separator_line(line: str) -> str | None:
    """The separator that a first line ``sep=;`` declares, or None."""
    text = line.strip().strip('"').lower()
    return line.strip().strip('"')[4:] or None if text.startswith("sep=") and len(text) <= 5 else None


def unreadable_line(name: str, line: int, error: csv.Error) -> InputError:
    """The error for a line that the csv module cannot read, nearly always because a quote is never closed."""
    if "field larger" in str(error):
        return InputError(
            f"{name}: line {line} has a cell of more than {csv.field_size_limit():,} characters; "
            "expected short cells. Look for a quote that is never closed, or shorten the cell."
        )
    return InputError(f"{name}: line {line} is not readable as a table ({error}). Save it as CSV (UTF-8).")


def read_text(path: Path) -> str:
    """A text file in UTF-8 or UTF-16 (with or without a byte order mark), GB 18030 or, failing these, Windows-1252 or Latin-1.

    Raises
    ------
    InputError
        If the file is missing, or is not text.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path.name}: no such file in the study folder.", code="E_MISSING") from error
    return decode(raw, path.name)


def decode(raw: bytes, name: str) -> str:
    """The bytes of a text table as text.

    Raises
    ------
    InputError
        If they are not text.
    """
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return raw.decode("utf-16").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise InputError(f"{name}: damaged UTF-16 text. Save it as CSV (UTF-8).") from error
    nulls = raw[:4096].count(0)
    if nulls and nulls > 0.3 * len(raw[:4096]):  # UTF-16 without a byte order mark
        encoding = "utf-16-le" if raw[1:2] == b"\x00" else "utf-16-be"
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            pass
    if b"\x00" in raw:
        raise InputError(f"{name}: not a text table. Save it as CSV (UTF-8).")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _far_eastern(raw) or _western(raw)


def _western(raw: bytes) -> str:
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _far_eastern(raw: bytes) -> str | None:
    """The text if it is Chinese, that is, if nearly all non-ASCII characters are common Chinese ones; else None."""
    try:
        text = raw.decode(_FAR_EASTERN)
    except UnicodeDecodeError:
        return None
    strange = [c for c in text if not c.isascii()]
    common = sum("\u4e00" <= c <= "\u9fa5" or c in "（），；：。、／％" for c in strange)
    pairs = sum(a >= 0x81 and b >= 0xA1 for a, b in itertools.pairwise(raw))
    return text if common >= 4 and common >= 0.95 * len(strange) and pairs >= len(strange) else None


def write_csv_rows(path: Path, rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Write rows as CSV atomically; cells that a spreadsheet would run as a formula get a leading '."""
    write_text(path, csv_text(rows, columns))


def csv_text(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> str:
    """The text that `write_csv_rows` writes."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([quote_formula(c) for c in columns])
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
    """A text made safe for spreadsheets: a quote is put before a leading = + - @, even after blanks; numbers stay unchanged.

    Examples
    --------
    >>> [quote_formula(t) for t in ("=1+1", " =1+1", "-5", "'=x")]
    ["'=1+1", "' =1+1", '-5', "''=x"]
    """
    if not text or text[0].isalnum() or not _is_dangerous(text):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text


def _is_dangerous(text: str) -> bool:
    """Whether a spreadsheet would run the text, or `unquote_formula` would strip a quote that belongs to the text."""
    bare = text.lstrip("'") if text[0] == "'" else text
    return bare.startswith(("\t", "\r")) or bare.lstrip().startswith(_DANGEROUS)


def unquote_formula(text: str) -> str:
    """The inverse of `quote_formula`."""
    return text[1:] if len(text) > 1 and text[0] == "'" and _is_dangerous(text[1:]) else text
