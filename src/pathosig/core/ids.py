"""Matches names to patient ids: the id that a name begins with, the id that may be meant, and TCGA barcodes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

_EXPONENT = re.compile(r"\d+e\d")
"""``1E5`` is an id that looks like a number, not a slide of patient 1."""

_RUNS = re.compile(r"[^\W\d_]+|\d+")
_STAINS = frozenset(
    {
        "he",
        "h",
        "e",
        "hes",
        "ihc",
        "slide",
        "wsi",
        "img",
        "image",
        "scan",
        "a",
        "b",
        "c",
        "d",
        "case",
        "pat",
        "patient",
        "p",
    }
)
_MOST_NAMES = 2_000
_BARCODE = re.compile(
    r"(TCGA-[A-Z0-9]{2}-[A-Z0-9]{4})(?:-(\d{2})([A-Z])?(?:-(?:\d{2}[A-Z]?))?(?:-([A-Z]{2})[A-Z0-9]*)?)?",
    re.IGNORECASE,
)


class IdIndex:
    """An index of patient ids; the time of a look-up depends on the length of a name, not on the number of patients."""

    def __init__(self, patients: Iterable[str]) -> None:
        self.patients = sorted(set(patients))
        self._lower: dict[str, list[str]] = {}
        self._numbers: dict[int, list[str]] = {}
        self._runs: dict[tuple[str | int, ...], list[str]] = {}
        self._digits: dict[tuple[int, ...], list[str]] = {}
        self._letters: list[str] = []
        for patient in self.patients:
            if not patient:
                continue
            self._lower.setdefault(patient.lower(), []).append(patient)
            if patient.isdecimal() and patient.isascii():
                self._numbers.setdefault(int(patient), []).append(patient)
            runs = _runs(patient)
            self._runs.setdefault(runs, []).append(patient)
            digits = tuple(r for r in runs if isinstance(r, int))
            if digits:
                self._digits.setdefault(digits, []).append(patient)
            else:
                self._letters.append(patient)

    def match(self, slide: str) -> str | None:
        """The longest patient id that a name begins with and that ends at a boundary, or None.

        A boundary is never inside a number or a word: ``P1-A.svs`` belongs to P1, but ``P10.svs`` does not. Case is ignored if
        only one patient has that id in any case.
        """
        lower = slide.lower()
        for end in range(len(lower), 0, -1):
            if end < len(lower) and not _is_boundary(lower, end):
                continue
            held = self._lower.get(lower[:end])
            if held:
                same = [p for p in held if p == slide[:end]]
                return same[0] if same else held[0] if len(held) == 1 else None
        return None

    def match_number(self, slide: str) -> str | None:
        """The only patient whose id is the number that a name begins with, regardless of leading zeros, or None."""
        hit = re.match(r"\d+", slide)
        if (
            hit is None
            or not hit.group().isascii()
            or (hit.end() < len(slide) and not _is_boundary(slide.lower(), hit.end()))
        ):
            return None
        held = self._numbers.get(int(hit.group()), [])
        return held[0] if len(held) == 1 else None

    def nearest(self, name: str) -> str | None:
        """The patient that a name probably means, or None: one with the same letters and numbers, or with the same numbers.

        Punctuation is ignored. An id with another number is never suggested: 100 is not 001.
        """
        runs = _runs(name)
        for end in range(len(runs), 0, -1):
            held = self._runs.get(runs[:end], [])
            if held and any(isinstance(r, int) for r in runs[:end]):
                return held[0] if len(held) == 1 else None
        digits = tuple(r for r in runs if isinstance(r, int))
        letters = [r for r in runs if isinstance(r, str)]
        if digits:
            held = self._digits.get(digits, [])
            if len(held) == 1 and sum(r not in _STAINS for r in letters) <= 1:
                return held[0]
            return self._misspelt(name, held)
        return self._misspelt(name, self._letters)

    def _misspelt(self, name: str, candidates: Sequence[str]) -> str | None:
        close = difflib.get_close_matches(name, candidates[:_MOST_NAMES], n=1, cutoff=0.75)
        return close[0] if close else None


def _runs(text: str) -> tuple[str | int, ...]:
    """Letters and numbers of an id without punctuation: P-001 is ("p", 1)."""
    return tuple(
        int(r) if r.isdecimal() and r.isascii() and len(r) < 40 else r for r in _RUNS.findall(text.lower())
    )


def _is_boundary(lower: str, end: int) -> bool:
    before, after = lower[end - 1], lower[end]
    if not after.isalnum():
        return True
    return before.isdigit() and after.isalpha() and not _EXPONENT.match(lower)


def match_slides(slides: Iterable[str], patients: Sequence[str]) -> dict[str, str | None]:
    """Slide name -> patient id, or None; see `IdIndex.match`."""
    index = IdIndex(patients)
    return {slide: index.match(slide) for slide in slides}


def nearest(name: str, candidates: Sequence[str]) -> str | None:
    """The candidate that a name probably means, or None; `IdIndex` is faster for many names."""
    return IdIndex(candidates).nearest(name)


# -- TCGA barcodes ----------------------------------------------------------------------------


def tcga_patient(barcode: str) -> str | None:
    """The patient of a TCGA barcode of any length, or None.

    Examples
    --------
    >>> tcga_patient("TCGA-05-4244-01A-01R-1107-07"), tcga_patient("P001")
    ('TCGA-05-4244', None)
    """
    hit = _BARCODE.match(barcode)
    return hit.group(1).upper() if hit and _ends(barcode, hit.end(1)) else None


def _ends(text: str, at: int) -> bool:
    return at >= len(text) or not text[at].isalnum()


def tcga_kind(slide: str) -> str | None:
    """``normal`` or ``frozen`` for TCGA slides that are left out by default; None for all other slides.

    Examples
    --------
    >>> [tcga_kind(f"TCGA-05-4244-{x}") for x in ("01Z-00-DX1", "01A-01-TS1", "11A-01-BS1", "06A-00-DX1")]
    [None, 'frozen', 'normal', None]
    """
    hit = _BARCODE.match(slide)
    if hit is None or hit.group(2) is None:
        return None
    if 10 <= int(hit.group(2)) < 20:
        return "normal"
    return "frozen" if (hit.group(4) or "").upper() in ("TS", "BS", "MS") else None


def tcga_is_metastasis(slide: str) -> bool:
    """Whether a TCGA slide shows a metastasis (sample type 06 or 07)."""
    hit = _BARCODE.match(slide)
    return hit is not None and hit.group(2) in ("06", "07")
