"""Turns raw cells into a named table: finds the header, fills merged cells, and drops notes and empty columns."""

from __future__ import annotations

from dataclasses import dataclass, field

from pathosig.core.errors import InputError
from pathosig.core.numbers import plain_number
from pathosig.core.tables import refuse_repeated
from pathosig.core.words import (
    counted,
    covariate_of,
    endpoint_of,
    is_subgroup,
    is_treatment,
    phrase,
    senses,
)

_LOOKED_AT = 40
_VAGUE = frozenset({"days", "weeks", "months", "years", "time", "to", "date", "event", "censor", "free"})
"""Senses of a name that does not say of what it is the time, the date or the event."""

_SUMMARY = frozenset(
    [
        "total",
        "totals",
        "sum",
        "mean",
        "average",
        "median",
        "min",
        "max",
        "sd",
        "std",
        "range",
        "count",
        "n",
        "gesamt",
        "summe",
        "mittelwert",
        "anzahl",
        "moyenne",
        "somme",
        "media",
        "totale",
        "gemiddelde",
    ]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Raw cells of a file or sheet, before it is known which row is the header.

    Attributes
    ----------
    rows
        Cells as text, stripped; rows may differ in length.
    lines
        Line of each row in the file, counted from 1.
    notes
        What was done to read the cells.
    merged
        (row, column) of each cell that continues a merged cell -> text of the merged cell.
    semicolons
        Whether semicolons separate the cells.
    """

    rows: list[list[str]]
    lines: list[int]
    notes: tuple[str, ...] = ()
    merged: dict[tuple[int, int], str] = field(default_factory=dict)
    semicolons: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table as it was read: named columns of text.

    Attributes
    ----------
    source
        Name of the file, with the sheet of a workbook.
    columns
        Names of the columns, all different.
    cells
        Column -> one text per row.
    notes
        What was done to read the table: lines skipped, merged cells filled, empty columns left out.
    semicolons
        Whether semicolons separate the cells, so that commas may be decimal marks.
    """

    source: str
    columns: tuple[str, ...]
    cells: dict[str, list[str]]
    notes: tuple[str, ...] = ()
    semicolons: bool = False

    def __len__(self) -> int:
        return len(next(iter(self.cells.values()), []))


class SheetsError(InputError):
    """Several sheets hold data and none was named.

    Attributes
    ----------
    names
        The sheets with data.
    """

    def __init__(self, message: str, *, names: tuple[str, ...] = (), code: str | None = None) -> None:
        super().__init__(message, code=code or "E_SHEET")
        self.names = names


def to_table(grid: Grid, source: str, *, header_row: int | None = None) -> Table:
    """The rows below the header as named columns.

    Parameters
    ----------
    grid
        Raw cells.
    source
        Name of the file, for messages.
    header_row
        Line with the column names, counted from 1; by default the line that looks most like a header.

    Raises
    ------
    InputError
        If there are no rows, a name appears twice or a row has too many cells.
    """
    if not grid.rows:
        raise InputError(f"{source}: the table is empty; expected a header row and one row per patient.")
    notes = list(grid.notes)
    at = _given_row(grid, header_row, source) if header_row is not None else _header_at(grid)
    if at and header_row is None:
        notes.append(
            f"column names are in line {grid.lines[at]}; {counted(at, 'row above it is', 'rows above it are')} skipped"
        )
    header, below = _header(grid, at, notes)
    body = grid.rows[below:]
    lines = grid.lines[below:]
    if grid.merged:
        filled = _filled_down(grid, below)
        if filled:
            notes.append(
                f"{counted(filled, 'cell that continues a merged cell gets', 'cells that continue a merged cell get')} its value"
            )
    body, lines = _without_trailers(header, body, lines, notes)
    if not body:
        raise InputError(f"{source}: the table has a header but no rows.")
    if len(header) and all(len(r) == len(header) + 1 for r in body):
        header = ["", *header]
        notes.append("the first column has no name (row names)")
    width = len(header)
    for row, line in zip(body, lines, strict=True):
        if len(row) > width and not any(row[width:]):
            del row[width:]
        if len(row) != width:
            raise InputError(
                f"{source}: line {line} has {counted(len(row), 'cell')}; the header has {width}. "
                "Quote cells that contain the separator."
            )
    columns = list(zip(*body, strict=True))
    header, columns = _named(header, columns, notes)
    refuse_repeated(header, source)
    cells = {name: list(column) for name, column in zip(header, columns, strict=True)}
    return Table(
        source=source, columns=tuple(header), cells=cells, notes=tuple(notes), semicolons=grid.semicolons
    )


def _given_row(grid: Grid, header_row: int, source: str) -> int:
    if header_row not in grid.lines:
        raise InputError(
            f"{source}: --header-row {header_row}: that row is empty or does not exist; found rows {grid.lines[:5]} to {grid.lines[-1]}."
        )
    return grid.lines.index(header_row)


def _header_at(grid: Grid) -> int:
    """The first row that looks like column names: about as wide as the rows below it, with words rather than numbers."""
    head = grid.rows[:_LOOKED_AT]
    width = sorted(sum(bool(c) for c in r) for r in head)[len(head) // 2]
    best, most = 0, -1.0
    for i, row in enumerate(head[:-1] or head):
        filled = [c for c in row if c]
        spread = {c for j, c in enumerate(row) if c and (i, j) not in grid.merged}
        numbers = sum(plain_number(c) is not None for c in filled)
        if (
            len(filled) < max(2, 0.5 * width)
            or numbers > 0.5 * len(filled)
            or len(spread) < 0.5 * len(filled)
        ):
            continue
        recognised = sum(bool(senses(c)) or covariate_of(c) is not None for c in filled)
        score = recognised / len(filled) - 0.5 * numbers / len(filled)
        if score > most + 0.15:
            best, most = i, score
    return best


def _header(grid: Grid, at: int, notes: list[str]) -> tuple[list[str], int]:
    """Names of the columns, and the first row below them; a header of two rows with merged groups is joined into one."""
    top = list(grid.rows[at])
    width = max(len(r) for r in grid.rows[at:])
    grouped = {j: text for (i, j), text in grid.merged.items() if i == at and not (j < len(top) and top[j])}
    if not grouped or at + 1 >= len(grid.rows):
        return _above(grid, at, top, width, notes), at + 1
    below = grid.rows[at + 1]
    if not any(below[j] if j < len(below) else "" for j in grouped) or any(
        plain_number(c) is not None for c in below
    ):
        return top, at + 1
    groups = [grouped.get(j) or (top[j] if j < len(top) else "") for j in range(width)]
    notes.append("a header of two rows with merged cells is joined into one")
    return _joined(groups, below + [""] * (width - len(below))), at + 2


def _joined(groups: list[str], names: list[str]) -> list[str]:
    """Names with the group above them where they need it: they are repeated or vague, or belong to an endpoint in the group."""
    repeated = {name for name in names if sum(phrase(name) == phrase(other) for other in names) > 1}
    out = []
    for group, name in zip(groups, names, strict=True):
        meaning = senses(name)
        is_covariate = covariate_of(name) is not None or is_treatment(name) or is_subgroup(name)
        is_of_endpoint = bool(meaning) and endpoint_of(group) is not None and endpoint_of(name) is None
        is_clear = is_covariate or (
            not is_of_endpoint and (bool(meaning - _VAGUE) or not meaning) and len(phrase(name)) > 2
        )
        alone = not group or phrase(group) in phrase(name) or (is_clear and name not in repeated)
        out.append(name if alone else f"{group} {name}".strip())
    return out


def _above(grid: Grid, at: int, top: list[str], width: int, notes: list[str]) -> list[str]:
    """Names prefixed with those of the merged groups in the row above, if that row holds groups."""
    if not at:
        return top
    groups = list(grid.rows[at - 1]) + [""] * width
    spans = {j: text for (i, j), text in grid.merged.items() if i == at - 1}
    if not spans or (len(set(spans.values())) < 2 and len(spans) + 1 >= sum(bool(c) for c in top)):
        return top
    notes.append("a header of two rows with merged cells is joined into one")
    return _joined([spans.get(j) or groups[j] for j in range(len(top))], top)


def _filled_down(grid: Grid, below: int) -> int:
    filled = 0
    for (i, j), text in grid.merged.items():
        if i >= below and i < len(grid.rows):
            row = grid.rows[i]
            row += [""] * (j + 1 - len(row))
            if not row[j]:
                row[j] = text
                filled += 1
    return filled


def _without_trailers(
    header: list[str], body: list[list[str]], lines: list[int], notes: list[str]
) -> tuple[list[list[str]], list[int]]:
    """The rows without repeated headers, and without notes and sums at the end."""
    kept = [(r, n) for r, n in zip(body, lines, strict=True) if r[: len(header)] != header]
    if len(kept) < len(body):
        notes.append(f"{len(body) - len(kept)} repeated headers are skipped")
    dropped = []
    while kept and len(header) > 2:
        row = kept[-1][0]
        filled = [c for c in row if c]
        usual = sorted(sum(bool(c) for c in r) for r, _ in kept)[len(kept) // 2]
        is_note = len(filled) == 1 and usual > 2 and (len(filled[0]) > 12 or not row[0])
        label = phrase(filled[0]) if filled else ""
        is_sum = label in _SUMMARY or (len(filled) < usual and label.split(" ")[0] in _SUMMARY)
        if not (is_note or is_sum):
            break
        dropped.append(kept.pop()[1])
    if dropped:
        notes.append(
            f"{counted(len(dropped), 'row of notes or sums at the end is', 'rows of notes or sums at the end are')} skipped: lines {sorted(dropped)[:5]}"
        )
    return [r for r, _ in kept], [n for _, n in kept]


def _named(
    header: list[str], columns: list[tuple[str, ...]], notes: list[str]
) -> tuple[list[str], list[tuple[str, ...]]]:
    """The columns with a name for each; a column without a name gets one, or is dropped if it is empty."""
    names: list[str] = []
    kept: list[tuple[str, ...]] = []
    empty = 0
    for position, (name, column) in enumerate(zip(header, columns, strict=True), start=1):
        if not name and not any(column):
            empty += 1
            continue
        names.append(name or f"unnamed {position}")
        kept.append(column)
    if empty:
        notes.append(
            f"{counted(empty, 'empty column without a name is', 'empty columns without a name are')} left out"
        )
    return names, kept
