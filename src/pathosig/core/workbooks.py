"""Reads Excel workbooks as cells of text: numbers as they are shown (`007`), dates in ISO format, and no formula computed."""

from __future__ import annotations

import datetime as dt
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

from pathosig.core.errors import InputError
from pathosig.core.grids import Grid, SheetsError
from pathosig.core.words import counted

_MOST_BYTES = 2**28
_MOST_CELLS = 20_000_000
_MOST_BLANK_ROWS = 5_000
_WAY_OUT = "Save the table as CSV (UTF-8) or .xlsx."
_REFERENCE = re.compile(r"([A-Z]{1,3})(\d+)(?::([A-Z]{1,3})(\d+))?")


def read_workbook(path: Path, sheet: str | None) -> tuple[Grid, str]:
    """The cells of one sheet, and the name of the file with that of the sheet.

    Parameters
    ----------
    path
        The workbook.
    sheet
        The sheet; by default the only one with data.

    Raises
    ------
    InputError
        E_FORMAT or E_ENCRYPTED if the workbook cannot be read, E_TOO_LARGE, E_SHEET if the sheet does not exist or several
        have data, E_FORMULA if formulas have no stored value.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns about styles and extensions that it does not know
        try:
            return _read(path, sheet)
        except InputError:
            raise
        except MemoryError as error:
            raise InputError(
                f"{path.name}: too large for this machine's memory. {_WAY_OUT}", code="E_TOO_LARGE"
            ) from error
        except Exception as error:  # a damaged workbook can raise any error in openpyxl
            raise InputError(
                f"{path.name}: not a readable workbook ({type(error).__name__}: {str(error)[:80] or 'damaged'}). "
                f"Open it in a spreadsheet program and save it again. {_WAY_OUT}",
                code="E_FORMAT",
            ) from error


def _read(path: Path, sheet: str | None) -> tuple[Grid, str]:
    _refuse_other_archives(path)
    book = _opened(path, data_only=True)
    try:
        names = [w.title for w in book.worksheets]
        if sheet is not None and sheet not in names:
            close = [n for n in names if n.strip().casefold() == sheet.strip().casefold()]
            if len(close) != 1:
                raise InputError(f"{path.name}: no sheet {sheet!r}; found {names}.", code="E_SHEET")
            sheet = close[0]
        notes: tuple[str, ...] = ()
        if sheet is None:
            filled = [n for n in names if _has_data(book[n])]
            if not filled:
                raise InputError(
                    f"{path.name}: no sheet holds a table (a header and rows); sheets with cells: {names or 'none'}."
                )
            if len(filled) > 1:
                raise SheetsError(
                    f"{path.name}: several sheets hold data: {', '.join(map(repr, filled))}. Name one with --sheet NAME.",
                    names=tuple(filled),
                )
            sheet = filled[0]
            if len(book.sheetnames) > 1:
                notes = (f"sheet {sheet!r} is the only one of {len(book.sheetnames)} with data",)
        grid = _grid(book[sheet], path, notes)
        shown = f"{path.name}, sheet {sheet!r}" if len(names) > 1 else path.name
        return grid, shown
    finally:
        book.close()


def _opened(path: Path, *, data_only: bool) -> Any:
    """The workbook without its chart sheets, because openpyxl fails on empty ones."""
    from openpyxl.reader.excel import ExcelReader

    reader = ExcelReader(path, read_only=True, data_only=data_only)
    reader.read_chartsheet = lambda sheet, rel: None
    reader.read()
    return reader.wb


def _refuse_other_archives(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as packed:
            members = packed.infolist()
            names = {m.filename for m in members}
            mime = (
                packed.read("mimetype")[:60]
                if "mimetype" in names and packed.getinfo("mimetype").file_size < 200
                else b""
            )
            total = sum(m.file_size for m in members)
            broken = {m.filename for m in members if m.flag_bits & 1}
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise InputError(
            f"{path.name}: the workbook is truncated or damaged ({error}). Copy it again. {_WAY_OUT}",
            code="E_FORMAT",
        ) from error
    if broken:
        raise InputError(
            f"{path.name}: the workbook is protected by a password. Save it without one.", code="E_ENCRYPTED"
        )
    if b"opendocument" in mime:
        raise InputError(
            f"{path.name}: an OpenDocument file, which cannot be read. {_WAY_OUT}", code="E_FORMAT"
        )
    if any(n.endswith("workbook.bin") for n in names):
        raise InputError(
            f"{path.name}: a binary workbook (.xlsb), which cannot be read. {_WAY_OUT}", code="E_FORMAT"
        )
    if not any(n.endswith("workbook.xml") for n in names):
        what = "a Word document" if "word/document.xml" in names else "a zip archive"
        raise InputError(f"{path.name}: {what}, not a workbook. {_WAY_OUT}", code="E_FORMAT")
    if total > _MOST_BYTES:
        raise InputError(
            f"{path.name}: {total:,} bytes when unpacked; expected at most {_MOST_BYTES:,}. Delete blank rows and pictures, or save "
            "the table as CSV (UTF-8).",
            code="E_TOO_LARGE",
        )


def _has_data(sheet: Any) -> bool:
    sheet.reset_dimensions()
    filled = 0
    for number, row in enumerate(sheet.iter_rows(values_only=True)):
        filled += any(c is not None and str(c).strip() for c in row)
        if filled > 1:
            return True
        if number > _MOST_BLANK_ROWS:
            return False
    return False


def _grid(sheet: Any, path: Path, notes: tuple[str, ...]) -> Grid:
    sheet.reset_dimensions()
    rows: list[list[str]] = []
    lines: list[int] = []
    count = blank = 0
    for number, row in enumerate(sheet.iter_rows(), start=1):
        cells = [_text(c) for c in row]
        while cells and not cells[-1]:
            cells.pop()
        if not cells:
            blank += 1
            if blank > _MOST_BLANK_ROWS:
                break
            continue
        blank, count = 0, count + len(cells)
        if count > _MOST_CELLS:
            raise InputError(
                f"{path.name}: more than {_MOST_CELLS:,} cells. Delete all that is not data.",
                code="E_TOO_LARGE",
            )
        rows.append(cells)
        lines.append(number)
    width = max(map(len, rows), default=0)
    merges, formulas = _merges_and_formulas(path, sheet._worksheet_path)
    if formulas:
        _refuse_uncomputed(path, sheet.title, rows, lines)
    for cells in rows:
        cells += [""] * (width - len(cells))
    return Grid(rows=rows, lines=lines, notes=notes, merged=_continued(merges, rows, lines))


def _merges_and_formulas(path: Path, member: str) -> tuple[list[tuple[int, int, int, int]], bool]:
    """Merged ranges of a sheet as (first row, first column, last row, last column), and whether it has formulas."""
    with zipfile.ZipFile(path) as packed:
        raw = packed.read(member.lstrip("/"))
    merges = []
    for hit in re.finditer(rb'<(?:\w+:)?mergeCell [^>]*ref="([A-Z0-9:]+)"', raw):
        if (reference := _REFERENCE.fullmatch(hit.group(1).decode())) and reference.group(3):
            left, top, right, bottom = reference.groups()
            merges.append((int(top), _column(left), int(bottom), _column(right)))
    return merges[:100_000], b"<f>" in raw or b"<f " in raw or b":f>" in raw


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _continued(
    merges: list[tuple[int, int, int, int]], rows: list[list[str]], lines: list[int]
) -> dict[tuple[int, int], str]:
    place = {line: i for i, line in enumerate(lines)}
    out: dict[tuple[int, int], str] = {}
    for top, left, bottom, right in merges:
        if top not in place or left >= len(rows[place[top]]) or bottom - top > 100_000:
            continue
        text = rows[place[top]][left]
        for line in range(top, bottom + 1):
            for column in range(left, min(right, len(rows[place[top]]) - 1) + 1):
                if line in place and (line, column) != (top, left) and text:
                    out[place[line], column] = text
    return out


def _refuse_uncomputed(path: Path, sheet: str, rows: list[list[str]], lines: list[int]) -> None:
    """Refuse formulas without a stored value, which would read as empty cells.

    Programs that write workbooks without computing them leave such formulas.
    """
    from openpyxl.utils import get_column_letter

    place = {line: row for line, row in zip(lines, rows, strict=True)}
    book = _opened(path, data_only=False)
    lacking = []
    try:
        book[sheet].reset_dimensions()
        for number, row in enumerate(book[sheet].iter_rows(values_only=True), start=1):
            shown = place.get(number, [])
            for column, value in enumerate(row):
                is_formula = (isinstance(value, str) and value.startswith("=")) or type(
                    value
                ).__name__.endswith("Formula")
                if is_formula and not (column < len(shown) and shown[column]):
                    lacking.append(f"{get_column_letter(column + 1)}{number}")
            if len(lacking) > 100:
                break
    finally:
        book.close()
    if lacking:
        raise InputError(
            f"{path.name}: {counted(len(lacking), 'cell holds a formula', 'cells hold formulas')} without a computed value ({', '.join(lacking[:5])}). Open the file in a "
            "spreadsheet program and save it, or save the values.",
            code="E_FORMULA",
        )


# -- cells ------------------------------------------------------------------------------------


def _text(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(" ", "seconds")
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, int):
        return _padded(value, cell.number_format or "")
    return repr(value) if isinstance(value, float) else str(value)


def _padded(value: int, number_format: str) -> str:
    """A whole number with the zeros and letters of its number format: the format ``"P"000`` shows 7 as P007."""
    if "0" not in number_format or number_format == "0":
        return str(value)
    shown = re.sub(
        r'"([^"]*)"|\\(.)',
        lambda m: "\0" + (m.group(1) if m.group(1) is not None else m.group(2)) + "\0",
        number_format,
    )
    shown = shown.split(";")[0]
    hit = re.fullmatch(r"(?:\0([^\0]*)\0)*(0+)(?:\0([^\0]*)\0)*", shown)
    if hit is None or value < 0:
        return str(value)
    before = "".join(
        re.findall(r"\0([^\0]*)\0", shown[: shown.index(hit.group(2))] if hit.group(2) in shown else "")
    )
    after = hit.group(3) or ""
    return f"{before}{str(value).zfill(len(hit.group(2)))}{after}"
