"""Reads numbers in columns of text, each column as a whole: decimal commas, thousands separators and units."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pathosig.core.words import is_missing

Decimal = Literal["point", "comma"]

_SPACES = " \u00a0\u2009\u202f'’"
_COMMA_DECIMAL = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?|[+-]?,\d+")
_COMMA_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_COMMA_GROUPS_POINT = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+\.\d*")
_POINT_GROUP = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_POINT_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3}){2,}")
_POINT_GROUPS_COMMA = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+,\d*")
_SPACE_GROUPS = re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:[{_SPACES}]\d{{3}})+(?:[.,]\d+)?")
_WITH_UNIT = re.compile(
    r"([+-]?[\d.,]*\d)\s*(days?|d|weeks?|wks?|months?|mos?|mths?|years?|yrs?|y|y/?o|yo|tage?|wochen?|monate?n?|mon|jahre?n?|jours?|semaines?|"
    r"mois|ans|dias|meses|anos|años|giorni|mesi|anni|cm|mm|%)\.?",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """A column of text read as numbers.

    Attributes
    ----------
    values
        One per cell; NaN where a cell is missing, not finite or not a number.
    style
        How they are written: plain | decimal comma | thousands comma | thousands point | thousands space | with unit.
    ambiguous
        An example that can be read in two ways ("2,361"), or "".
    words
        Distinct cells that are not numbers, in order of appearance.
    infinite
        Number of infinite cells (``inf``, ``1e400``).
    is_gapless
        Whether every cell is a plain number, so that none is missing.
    """

    values: tuple[float, ...]
    style: str
    ambiguous: str
    words: tuple[str, ...]
    infinite: int
    is_gapless: bool = False

    @property
    def are_all_numbers(self) -> bool:
        """Whether every filled cell is a number, and at least one is filled."""
        return not self.words and not self.ambiguous and any(v == v for v in self.values)


def read_numbers(
    cells: Sequence[str],
    *,
    missing: Collection[str] = frozenset(),
    decimal: Decimal | None = None,
    commas_elsewhere: bool = False,
) -> Numbers:
    """Cells of one column as numbers.

    Parameters
    ----------
    cells
        Text, one per row.
    missing
        Cells declared to be missing, such as ``-9``.
    decimal
        The decimal mark, if the column itself does not show it.
    commas_elsewhere
        Whether other columns of the table have decimal commas; ``2.361`` is then ambiguous, too.

    Examples
    --------
    >>> read_numbers(["580", "2,361", "NA"]).values
    (580.0, 2361.0, nan)
    >>> read_numbers(["61,5", "70"]).values
    (61.5, 70.0)
    """
    plain = _all_plain(cells)
    if plain is not None and not missing and not commas_elsewhere:
        return replace(_result(plain, "plain", "", ()), is_gapless=bool(plain))
    distinct = {c: math.nan for c in dict.fromkeys(cells)}
    filled = [c for c in distinct if not is_missing(c, missing)]
    texts = {c: c.strip().replace("\u2212", "-") for c in filled}
    bare, with_unit = _without_units(texts)
    style, ambiguous, reader = _style(list(bare.values()), decimal, commas_elsewhere)
    words = []
    for cell in filled:
        value = reader(bare[cell]) if cell in bare else None
        if value is None:
            words.append(cell)
        else:
            distinct[cell] = value
    values = [distinct[c] for c in cells]
    return _result(values, "with unit" if with_unit and style == "plain" else style, ambiguous, tuple(words))


def _result(values: Sequence[float], style: str, ambiguous: str, words: tuple[str, ...]) -> Numbers:
    infinite = sum(math.isinf(v) for v in values)
    finite = tuple(math.nan if math.isinf(v) else v for v in values) if infinite else tuple(values)
    return Numbers(values=finite, style=style, ambiguous=ambiguous, words=words, infinite=infinite)


def _all_plain(cells: Iterable[str]) -> list[float] | None:
    """The values of a column in which every cell is a plain number (a fast path); None for any other column."""
    try:
        values = [float(c) for c in cells]
    except ValueError:
        return None
    return values if not any("_" in c for c in cells) and all(v == v for v in values) else None


def plain_number(text: str) -> float | None:
    """The value of a text that is a number with a decimal point, or None."""
    if "_" in text or not text.isascii():
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _without_units(texts: dict[str, str]) -> tuple[dict[str, str], bool]:
    """Cells such as ``61 years`` without their unit, if all units in the column are the same; words stay unchanged."""
    units = {}
    for cell, text in texts.items():
        hit = None if plain_number(text) is not None else _WITH_UNIT.fullmatch(text)
        if hit:
            units[cell] = (hit.group(1), hit.group(2).casefold().rstrip("s"))
    if len({unit for _, unit in units.values()}) != 1:
        return texts, False
    return {cell: units[cell][0] if cell in units else text for cell, text in texts.items()}, True


class _Reader:
    """One way to write numbers."""

    def __init__(self, thousands: str, decimal: str) -> None:
        self.thousands, self.decimal = thousands, decimal

    def __call__(self, text: str) -> float | None:
        if _SPACE_GROUPS.fullmatch(text):
            for space in _SPACES:
                text = text.replace(space, "")
        if self.thousands and self.thousands in text:
            groups = re.fullmatch(rf"[+-]?\d{{1,3}}(\{self.thousands}\d{{3}})+(\{self.decimal}\d*)?", text)
            if groups is None:
                return None
            text = text.replace(self.thousands, "")
        if self.decimal == "," and "." in text:
            return None
        return plain_number(text.replace(",", ".") if self.decimal == "," else text)


def _style(texts: Sequence[str], decimal: Decimal | None, commas_elsewhere: bool) -> tuple[str, str, _Reader]:
    """How the numbers of a column are written, an ambiguous example or "", and a reader for them."""
    point_decimals = any(
        "." in t and plain_number(t) is not None and not _POINT_GROUP.fullmatch(t) for t in texts
    )
    comma_groups = [t for t in texts if _COMMA_GROUPS.fullmatch(t)]
    comma_decimals = any(_COMMA_DECIMAL.fullmatch(t) and not _COMMA_GROUPS.fullmatch(t) for t in texts)
    comma_thousands = any(
        _COMMA_GROUPS_POINT.fullmatch(t) or t.count(",") > 1 for t in [*comma_groups, *texts]
    )
    point_groups = [t for t in texts if _POINT_GROUP.fullmatch(t)]
    point_thousands = any(_POINT_GROUPS.fullmatch(t) or _POINT_GROUPS_COMMA.fullmatch(t) for t in texts)
    spaces = any(_SPACE_GROUPS.fullmatch(t) for t in texts)
    english, german = _Reader(",", "."), _Reader(".", ",")
    if decimal == "comma":
        return ("decimal comma" if comma_groups or comma_decimals else "thousands point"), "", german
    if decimal == "point":
        return ("thousands comma" if comma_groups else "plain"), "", english
    if comma_decimals or point_thousands:
        return ("thousands point" if point_thousands or point_groups else "decimal comma"), "", german
    if comma_groups or comma_thousands:
        whole = [abs(v) for t in texts if "," not in t and (v := plain_number(t)) is not None]
        sure = comma_thousands or point_decimals
        likely = bool(whole) and max(whole) < 1000 and max(whole) >= 10 and not commas_elsewhere
        return "thousands comma", "" if sure or likely else comma_groups[0], english
    if point_groups and commas_elsewhere and not point_decimals:
        return "plain", point_groups[0], english
    return ("thousands space" if spaces else "plain"), "", english
