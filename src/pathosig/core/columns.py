"""Reads a column of text as numbers, dates or words, with its missing values and the spellings of its levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pathosig.core.dates import Dates, Order, read_dates
from pathosig.core.numbers import Decimal, Numbers, read_numbers
from pathosig.core.words import is_missing, sex_of

Kind = Literal["empty", "numbers", "dates", "words"]
_MOSTLY = 0.6
_FEW = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column, read as a whole.

    Attributes
    ----------
    name
        Its header.
    cells
        Its cells as text, unchanged.
    kind
        What the filled cells are. A column of numbers with a few words is still one of numbers; the words are in `strange`.
    numbers, dates
        The values, if the column is of that kind.
    counts
        Distinct filled cell -> number of rows; levels that differ only by case or blanks are joined under their most common
        spelling.
    spellings
        Spelling that was joined -> the level it belongs to.
    n_missing
        Number of cells without a value.
    strange
        Words among numbers, which may mean missing but are not in the vocabulary.
    """

    name: str
    cells: Sequence[str]
    kind: Kind
    numbers: Numbers | None
    dates: Dates | None
    counts: Mapping[str, int]
    spellings: Mapping[str, str]
    n_missing: int
    strange: tuple[str, ...] = ()

    @property
    def n_filled(self) -> int:
        """Number of cells with a value."""
        return len(self.cells) - self.n_missing

    @property
    def levels(self) -> tuple[str, ...]:
        """Distinct values of the filled cells, with joined spellings as one."""
        return tuple(self.counts)

    def level(self, cell: str, missing: Collection[str] = frozenset()) -> str | None:
        """The level that a cell stands for, or None if it is missing."""
        return None if is_missing(cell, missing) else self.spellings.get(cell, cell)


def read_column(
    name: str,
    cells: Sequence[str],
    *,
    missing: Collection[str] = frozenset(),
    decimal: Decimal | None = None,
    commas_elsewhere: bool = False,
    date_order: Order | None = None,
    serial_dates: bool = False,
    none_is_missing: bool = False,
) -> Column:
    """Read one column of text.

    Parameters
    ----------
    name
        Its header.
    cells
        One per row.
    missing
        Cells declared to be missing.
    decimal, commas_elsewhere, date_order, serial_dates
        See `read_numbers` and `read_dates`.
    none_is_missing
        Whether ``none`` means missing among words, too; otherwise it is an answer, such as no recurrence or no treatment.
    """
    raw = Counter(cells)
    numbers = read_numbers(cells, missing=missing, decimal=decimal, commas_elsewhere=commas_elsewhere)
    if numbers.is_gapless and not missing and not serial_dates:  # fast path for plain numbers
        return Column(
            name=name,
            cells=cells,
            kind="numbers",
            numbers=numbers,
            dates=None,
            counts=raw,
            spellings={},
            n_missing=0,
        )
    gone = {c for c in raw if is_missing(c, missing) and (none_is_missing or c.strip().casefold() != "none")}
    filled = {c: n for c, n in raw.items() if c not in gone}
    n_missing = sum(raw[c] for c in gone)
    strange: tuple[str, ...] = ()
    dates = None
    kind: Kind = "empty"
    if filled:
        nones = {c for c in filled if c.strip().casefold() == "none"}
        kind, strange = _numbers_or_words(filled, numbers, nones)
        if kind == "numbers":
            n_missing += sum(filled[c] for c in nones)
            filled = {c: n for c, n in filled.items() if c not in nones}
        if kind == "words" or serial_dates:
            read = read_dates(cells, missing=missing, order=date_order, serial=serial_dates)
            if read.are_all_dates:
                kind, dates, strange = "dates", read, ()
    counts, spellings = join_spellings(filled) if kind == "words" else (filled, {})
    return Column(
        name=name,
        cells=cells,
        kind=kind,
        numbers=numbers if kind == "numbers" else None,
        dates=dates,
        counts=counts,
        spellings=spellings,
        n_missing=n_missing,
        strange=strange,
    )


def _numbers_or_words(
    filled: Mapping[str, int], numbers: Numbers, nones: Collection[str]
) -> tuple[Kind, tuple[str, ...]]:
    """The kind of a column, and the words among its numbers.

    Cells are numbers if all of them are, or if most are and have too many distinct values to be levels.
    """
    words = [w for w in numbers.words if w not in nones]
    if len(words) == len(filled) - len(nones):
        return "words", ()
    if not words:
        return "numbers", ()
    in_words = sum(filled[w] for w in words)
    distinct = len(filled) - len(words)
    if (
        distinct > _FEW
        and in_words < (1 - _MOSTLY) * sum(filled.values())
        and len(words) <= max(3, distinct // 4)
    ):
        return "numbers", tuple(words)
    return "words", ()


def join_spellings(counts: Mapping[str, int]) -> tuple[dict[str, int], dict[str, str]]:
    """Join levels that differ only by case or blanks under their most common spelling.

    If all levels of a column are words for sexes, ``m``, ``M`` and ``male`` are one level, too.

    Returns
    -------
    tuple
        Level -> number of rows, and spelling -> the level that it was joined to.

    Examples
    --------
    >>> join_spellings({"m": 1, "M": 5, "F": 4})
    ({'M': 6, 'F': 4}, {'m': 'M'})
    """
    sexes = {c: sex_of(c) for c in counts} if len(counts) <= 12 else {}
    by_sex = bool(sexes) and all(sexes.values())
    groups: dict[str, list[str]] = {}
    for cell in counts:
        key = str(sexes[cell]) if by_sex else " ".join(cell.casefold().split())
        groups.setdefault(key, []).append(cell)
    joined: dict[str, int] = {}
    spellings: dict[str, str] = {}
    for cells in groups.values():
        level = max(sorted(cells), key=lambda c: counts[c])
        joined[level] = sum(counts[c] for c in cells)
        spellings |= {c: level for c in cells if c != level}
    return joined, spellings
