"""Reads dates in columns of text, each column as a whole, so that 03/04 and 04/03 are not mixed up."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from pathosig.core.words import fold, is_missing

Order = Literal["day", "month"]

_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ].*)?")
_NUMERIC = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})(?: .*)?")
_DAY_NAME = re.compile(r"(\d{1,2})\.?[ -]?([a-z]{3,12})\.?[ ,-]*(\d{4}|\d{2})")
_NAME_DAY = re.compile(r"([a-z]{3,12})\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})")
_COMPACT = re.compile(r"((?:19|20)\d{2})(0[1-9]|1[0-2])([0-2]\d|3[01])")
_SERIAL = re.compile(r"[1-9]\d{4}(?:\.\d+)?")
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janvier enero gennaio januari ene gen",
            "feb february februar fevrier febrero febbraio februari fev",
            "mar march marz maerz mars marzo maart mrz mrt",
            "apr april avril abril aprile avr abr",
            "may mai mayo maggio mei mag",
            "jun june juni juin junio giugno giu",
            "jul july juli juillet julio luglio juil lug",
            "aug august aout agosto augustus ago",
            "sep sept september septembre septiembre settembre set",
            "oct october oktober octobre octubre ottobre okt ott",
            "nov november novembre noviembre",
            "dec december dezember decembre diciembre dicembre dez dic",
        ),
        start=1,
    )
    for name in names.split()
}
_EXCEL_EPOCH = dt.date(1899, 12, 30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dates:
    """A column of text read as dates.

    Attributes
    ----------
    values
        One per cell, None where missing.
    ambiguous
        An example that can be read in two ways ("03/04/2015"), or "".
    words
        Distinct cells that are not dates.
    short_years
        Whether years have two digits; 31 to 99 are read as 1931 to 1999.
    """

    values: tuple[dt.date | None, ...]
    ambiguous: str
    words: tuple[str, ...]
    short_years: bool

    @property
    def are_all_dates(self) -> bool:
        """Whether every filled cell is a date, and at least one is filled."""
        return not self.words and any(v is not None for v in self.values)


def read_dates(
    cells: Sequence[str],
    *,
    missing: Collection[str] = frozenset(),
    order: Order | None = None,
    serial: bool = False,
) -> Dates:
    """Cells of one column as dates.

    Parameters
    ----------
    cells
        Text, one per row.
    missing
        Cells declared to be missing.
    order
        What the first number in 03/04/2015 is, if the column itself does not show it.
    serial
        Whether to read numbers of five digits as serial dates of a spreadsheet; only for a header that says date.

    Examples
    --------
    >>> read_dates(["31.12.2015", "1.2.16"]).values
    (datetime.date(2015, 12, 31), datetime.date(2016, 2, 1))
    """
    distinct: dict[str, dt.date | None] = dict.fromkeys(cells)
    filled = [c for c in distinct if not is_missing(c, missing)]
    first = order or _order(filled)
    words, short = [], False
    for cell in filled:
        value = _date(cell.strip(), first or "day", serial)
        if value is None:
            words.append(cell)
        distinct[cell] = value
        hit = _NUMERIC.fullmatch(cell.strip())
        short = short or bool(hit and len(hit.group(4)) == 2)
    open_to_both = next((c for c in filled if _NUMERIC.fullmatch(c.strip())), "") if first is None else ""
    return Dates(
        values=tuple(distinct[c] for c in cells),
        ambiguous=open_to_both,
        words=tuple(words),
        short_years=short,
    )


def _order(cells: Collection[str]) -> Order | None:
    """Whether day or month comes first, or None if the column does not show it; with points the day comes first."""
    hits = [h for c in cells if (h := _NUMERIC.fullmatch(c.strip()))]
    if any(int(h.group(1)) > 12 for h in hits) or (hits and all(h.group(2) == "." for h in hits)):
        return "day"
    if any(int(h.group(3)) > 12 for h in hits):
        return "month"
    # the same number twice (05/05/2015) reads one way only
    return "day" if all(h.group(1).lstrip("0") == h.group(3).lstrip("0") for h in hits) else None


def _date(text: str, first: Order, serial: bool) -> dt.date | None:
    plain = fold(text)
    try:
        if hit := _ISO.fullmatch(text):
            return dt.date(int(hit[1]), int(hit[2]), int(hit[3]))
        if hit := _NUMERIC.fullmatch(text):
            day, month = (hit[1], hit[3]) if first == "day" else (hit[3], hit[1])
            return dt.date(_year(hit[4]), int(month), int(day))
        if (hit := _DAY_NAME.fullmatch(plain)) and hit[2] in _MONTHS:
            return dt.date(_year(hit[3]), _MONTHS[hit[2]], int(hit[1]))
        if (hit := _NAME_DAY.fullmatch(plain)) and hit[1] in _MONTHS:
            return dt.date(_year(hit[3]), _MONTHS[hit[1]], int(hit[2]))
        if hit := _COMPACT.fullmatch(text):
            return dt.date(int(hit[1]), int(hit[2]), int(hit[3]))
        if serial and _SERIAL.fullmatch(text):
            return _EXCEL_EPOCH + dt.timedelta(days=int(float(text)))
    except (ValueError, OverflowError):
        return None
    return None


def _year(text: str) -> int:
    if len(text) == 4:
        return int(text)
    return int(text) + (2000 if int(text) <= 30 else 1900)
