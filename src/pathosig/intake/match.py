"""Matching slide names to patient ids, with the nearest suggestion where there is no match."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence


def match_slides(slides: Iterable[str], patients: Sequence[str]) -> dict[str, str | None]:
    """Slide name -> patient id, or None.

    A slide belongs to the longest patient id that is the name itself or starts it and ends at a
    boundary (not inside a number or a word): ``P1-A.svs`` is P1's, ``P10.svs`` is not.
    """
    ordered = sorted(set(patients), key=len, reverse=True)
    return {slide: _match(slide, ordered) for slide in slides}


_EXPONENT = re.compile(r"\d+e\d")
"""``1E5`` is an id that looks like a number, not a slide of patient 1."""


def _match(slide: str, ordered: Sequence[str]) -> str | None:
    lower = slide.lower()
    for patient in ordered:
        start = patient.lower()
        if not start or not lower.startswith(start):
            continue
        rest = lower[len(start) :]
        if not rest or not rest[0].isalnum():
            return patient
        if start[-1].isdigit() and rest[0].isalpha() and not _EXPONENT.match(lower):
            return patient
    return None


def nearest(name: str, candidates: Sequence[str]) -> str | None:
    """The candidate most like `name`, or None when none is close."""
    found = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    if found:
        return found[0]
    digits = re.sub(r"\D", "", name).lstrip("0")
    same = [c for c in candidates if digits and re.sub(r"\D", "", c).lstrip("0") == digits]
    return same[0] if same else None
