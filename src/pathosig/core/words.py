"""Words: the meaning of a header, missing cells and the order of levels from `core.vocabulary`, and counted nouns."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping

from pathosig.core import vocabulary

UNITS = ("days", "weeks", "months", "years")
_FAR_EAST = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]+")
_TOKEN = re.compile(r"[a-z0-9]+|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
_BRACKETS = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_ABBREVIATION = re.compile(
    r"(os|dfs|rfs|pfs|pfi|dss|css|dfi|efs|mfs|dmfs|lrfs|ttr|ttp|bcr)"
    r"(time|status|stat|event|days?|months?|mos?|weeks?|years?|yrs?|censor\w*|cens)"
)


def counted(n: int, one: str, many: str | None = None) -> str:
    """A count and its noun, in the singular for 1 and in the plural for every other count.

    Parameters
    ----------
    n
        The count, at least 0.
    one
        The noun in the singular, with its verb where the sentence has one.
    many
        The same in the plural; by default `one` with an s.

    Examples
    --------
    >>> counted(1, "slide"), counted(12400, "tile")
    ('1 slide', '12,400 tiles')
    >>> counted(1, "patient has", "patients have") + " no slide"
    '1 patient has no slide'
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def fold(text: str) -> str:
    """A text in lower case, without accents and with single blanks: ``" Décédé "`` becomes ``"decede"``."""
    if text.isascii():
        return " ".join(text.casefold().split())
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss").replace("ø", "o").replace("æ", "ae"))
    kept = "".join(c for c in plain if not unicodedata.combining(c))
    return " ".join(unicodedata.normalize("NFC", kept).casefold().split())


def phrase(text: str) -> str:
    """The words of a text, folded and joined by single blanks, without punctuation.

    Examples
    --------
    >>> phrase("Recurred/Progressed")
    'recurred progressed'
    """
    return " ".join(_TOKEN.findall(fold(text)))


def words(header: str) -> tuple[str, ...]:
    """The folded words of a header; compound words such as OSMonths are split.

    Examples
    --------
    >>> words("OSMonths"), words("ostime"), words("OS.time")
    (('os', 'months'), ('os', 'time'), ('os', 'time'))
    """
    out: list[str] = []
    for token in _TOKEN.findall(fold(_CAMEL.sub(" ", header))):
        joined = _ABBREVIATION.fullmatch(token)
        out += joined.groups() if joined else (token,)
    return tuple(out)


def listed(text: str) -> tuple[str, ...]:
    """The phrases of one entry of the vocabulary."""
    return tuple(p.strip() for p in text.split(";") if p.strip())


@functools.cache
def _index() -> tuple[dict[str, list[tuple[tuple[str, ...], str]]], list[tuple[str, str]]]:
    """First word -> its phrases, longest first, and the phrases that match anywhere; each phrase with its sense."""
    by_word: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    anywhere: list[tuple[str, str]] = []
    for sense, text in [*vocabulary.ENDPOINTS.items(), *vocabulary.HEADERS.items()]:
        for entry in listed(text):
            if _FAR_EAST.search(entry):
                anywhere.append((entry, sense))
            else:
                tokens = tuple(entry.split())
                by_word.setdefault(tokens[0], []).append((tokens, sense))
    for entries in by_word.values():
        entries.sort(key=lambda e: -len(e[0]))
    anywhere.sort(key=lambda e: -len(e[0]))
    return by_word, anywhere


def senses(header: str) -> frozenset[str]:
    """All senses of a header: endpoints, units, kinds of column, events, people and places.

    Words of an endpoint's long name have no other sense: ``Progression free survival`` is not a progression.

    Examples
    --------
    >>> sorted(senses("Overall Survival (Months)"))
    ['months', 'os']
    >>> sorted(senses("days_to_last_follow_up"))
    ['days', 'last contact', 'time', 'to']
    """
    meanings = _senses(words(header)) | _far_eastern(fold(header))
    unsplit = tuple(_TOKEN.findall(fold(header)))
    return meanings or _senses(unsplit)


def _senses(tokens: tuple[str, ...]) -> frozenset[str]:
    by_word, _ = _index()
    out: set[str] = set()
    consumed: set[int] = set()
    for endpoints_first in (True, False):
        for start, token in enumerate(tokens):
            if start in consumed:
                continue
            for entry, sense in by_word.get(token, ()):
                is_endpoint = sense in vocabulary.ENDPOINTS
                if is_endpoint is endpoints_first and tokens[start : start + len(entry)] == entry:
                    out.add(sense)
                    if is_endpoint:
                        # ``time to`` and ``days to`` also give the unit and kind of column
                        keep = {i for i in range(start, start + len(entry)) if tokens[i] in _TELLING}
                        consumed |= set(range(start, start + len(entry))) - keep
                        break
    return frozenset(out)


_TELLING = frozenset({"time", "days", "months", "interval"})


def _far_eastern(text: str) -> frozenset[str]:
    if not _FAR_EAST.search(text):
        return frozenset()
    out = set()
    for entry, sense in _index()[1]:
        if entry in text:
            out.add(sense)
            if sense in vocabulary.ENDPOINTS:
                text = text.replace(entry, " ")
    return frozenset(out)


def endpoint_of(header: str) -> str | None:
    """The endpoint that a header names, the first one if it names several, or None."""
    meanings = senses(header)
    return next((name for name in vocabulary.ENDPOINTS if name in meanings), None)


def unit_of(header: str) -> str | None:
    """The unit of time that a header names, or None."""
    meanings = senses(header)
    return next((unit for unit in UNITS if unit in meanings), None) or _bracketed_unit(header)


def _bracketed_unit(header: str) -> str | None:
    """The unit in a header such as ``OS [d]`` or ``OS (y)``; a single letter means a unit only inside brackets."""
    inside = re.search(r"[\[(]\s*(d|w|m|y|j|a)\.?\s*[\])]", fold(header))
    return (
        {"d": "days", "w": "weeks", "m": "months", "y": "years", "j": None, "a": "years"}[inside.group(1)]
        if inside
        else None
    )


# -- missing values ---------------------------------------------------------------------------


@functools.cache
def _missing() -> frozenset[str]:
    return frozenset({*vocabulary.MISSING_SIGNS, *vocabulary.SPREADSHEET_ERRORS, *listed(vocabulary.MISSING)})


@functools.lru_cache(maxsize=100_000)
def _reads_missing(cell: str) -> bool:
    text = fold(cell)
    if text in _missing():
        return True
    bare = text.strip("[](){}<>'\"` ").replace("_", " ")
    return bare in _missing()


def is_missing(cell: str, declared: Collection[str] = frozenset()) -> bool:
    """Whether a cell means that there is no value: empty, NA, [Not Available], '--, unknown, ``.`` or a declared word.

    Examples
    --------
    >>> [is_missing(c) for c in ("", "[Not Available]", "'--", "0", "none", "-9")]
    [True, True, True, False, True, False]
    """
    if cell[:1].isdigit() or len(cell) >= 60:
        return cell in declared
    return _reads_missing(cell) or cell in declared


# -- values -----------------------------------------------------------------------------------


@functools.cache
def _meanings(table: str) -> Mapping[str, str]:
    source: Mapping[str, str] = getattr(vocabulary, table)
    return {entry: meaning for meaning, text in source.items() for entry in listed(text)}


def meaning_of_event(value: str) -> str | None:
    """The meaning of a value of an event column: dead, alive, event, no event, yes, no ...; None for an unknown word.

    Examples
    --------
    >>> meaning_of_event("DECEASED"), meaning_of_event("Lebend"), meaning_of_event("maybe")
    ('dead', 'alive', None)
    """
    return _meanings("EVENT_VALUES").get(phrase(value))


def sex_of(value: str) -> str | None:
    """``male`` or ``female`` if a value means that in any language of the vocabulary, else None."""
    return _meanings("SEXES").get(phrase(value))


def covariate_of(header: str) -> str | None:
    """The usual covariate that a header names, or None; brackets, a prefix before a point, and editions are ignored.

    Examples
    --------
    >>> covariate_of("AJCC (8th)"), covariate_of("clinical.pN"), covariate_of("AJCC 8th edition stage"), covariate_of("weight")
    ('stage', 'n stage', 'stage', None)
    """
    bare, qualifiers = _BRACKETS.sub(" ", header), listed(vocabulary.QUALIFIERS)
    for text in (bare, bare.rpartition(".")[2]):
        candidates = [words(text), tuple(phrase(text).split())]
        candidates += [tuple(w for w in c if w not in qualifiers) for c in candidates]
        for candidate in candidates:
            if (name := _meanings("COVARIATES").get(" ".join(candidate))) is not None:
                return name
    return None


def is_treatment(header: str) -> bool:
    """Whether a header is a usual name of a treatment arm.

    Examples
    --------
    >>> [is_treatment(h) for h in ("adjuvant_crt", "Postop. radiotherapy (y/n)", "chemo response", "no therapy")]
    [True, True, False, False]
    """
    text = phrase(_BRACKETS.sub(" ", header))
    parts = set(text.split())
    telling = set(listed(vocabulary.TREATMENT_WORDS))
    return text in listed(vocabulary.TREATMENTS) or (
        bool(parts & telling) and parts <= telling | set(listed(vocabulary.TREATMENT_FILLERS))
    )


def is_subgroup(header: str) -> bool:
    """Whether a header is a usual name of a molecular or histological subtype.

    Examples
    --------
    >>> is_subgroup("Molecular subtype"), is_subgroup("ne_status"), is_subgroup("subtype date")
    (True, True, False)
    """
    return phrase(_BRACKETS.sub(" ", header)) in listed(vocabulary.SUBGROUPS)


def is_discovery(cohort: str) -> bool:
    """Whether the name of a cohort clearly means that models are fitted on it."""
    return phrase(cohort) in listed(vocabulary.DISCOVERY)


# -- order of levels --------------------------------------------------------------------------

_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5}
_STAGE = re.compile(
    r"(?:(?:uicc|ajcc|figo|who|stage|stadium|stade|estadio|stadio|grade|grad|isup|yp|p|c|y)\s*)*([tnmg]?)\s*(iv|v|iii|ii|i|x|is|\d+)\s*([a-d]?)\s*(\d?)(?:\s*\+)?(?: .*)?"
)
_RANGE = re.compile(
    r"(<=?|>=?|≤|≥|under|over|up to)?\s*(\d+(?:\.\d+)?)\s*(?:(?:-|–|to|bis)\s*(\d+(?:\.\d+)?))?\s*(\+|and over|and older|or more)?\s*(?:years?|yrs?|cm|mm)?"
)


def ordered_levels(levels: Iterable[str]) -> list[str]:
    """Levels in their natural order: stages, grades, ranges and scales with the lowest first, all others as text.

    Examples
    --------
    >>> ordered_levels(["high", "low", "intermediate"])
    ['low', 'intermediate', 'high']
    >>> ordered_levels(["Stage IIA", "Stage IV", "Stage I", "Stage IIIB"])
    ['Stage I', 'Stage IIA', 'Stage IIIB', 'Stage IV']
    """
    unique = sorted(set(levels))
    ranks = level_ranks(unique)
    return unique if ranks is None else sorted(unique, key=lambda v: (ranks[v], v))


def level_ranks(levels: Collection[str]) -> dict[str, tuple[float, ...]] | None:
    """Level -> rank if all levels belong to a known order, else None."""
    if len(levels) < 2:
        return None
    for rank in (_scale_ranks, _stage_ranks, _range_ranks):
        if (ranks := rank(levels)) is not None:
            return ranks
    return None


def _scale_ranks(levels: Collection[str]) -> dict[str, tuple[float, ...]] | None:
    for line in vocabulary.ORDERED:
        order = listed(line)
        plain = {level: phrase(level) for level in levels}
        if set(plain.values()) <= set(order):
            return {level: (float(order.index(text)),) for level, text in plain.items()}
    return None


def _stage_ranks(levels: Collection[str]) -> dict[str, tuple[float, ...]] | None:
    out: dict[str, tuple[float, ...]] = {}
    letters = set()
    for level in levels:
        hit = _STAGE.fullmatch(fold(level).replace("-", " ").replace("_", " "))
        if hit is None:
            return None
        letter, number, part, digit = hit.groups()
        letters.add(letter)
        value = _ROMAN.get(number, 0.5 if number == "is" else 99.0 if number == "x" else -1.0)
        value = float(number) if number.isdigit() else float(value)
        out[level] = (value, float(ord(part) - 96 if part else 0), float(digit or 0))
    return out if len(letters) == 1 else None


def _range_ranks(levels: Collection[str]) -> dict[str, tuple[float, ...]] | None:
    out: dict[str, tuple[float, ...]] = {}
    for level in levels:
        hit = _RANGE.fullmatch(fold(level))
        if hit is None:
            return None
        sign, low, _, more = hit.groups()
        shift = -0.5 if sign in ("<", "<=", "≤", "under", "up to") else 0.5 if sign or more else 0.0
        out[level] = (float(low) + shift,)
    return out
