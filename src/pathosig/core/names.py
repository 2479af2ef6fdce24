"""File names of units: the slide_id itself if it is safe, or else a readable slug and a hash."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from pathlib import Path

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED = {"con", "prn", "aux", "nul", *(f"com{i}" for i in range(10)), *(f"lpt{i}" for i in range(10))}


def is_safe(unit: str) -> bool:
    """Whether an id can be used unchanged as a file name on every system."""
    return (
        _SAFE.fullmatch(unit) is not None
        and unit.split(".")[0].lower() not in _RESERVED
        and not unit.endswith(".")
    )


def file_stem(unit: str, twins: frozenset[str] = frozenset()) -> str:
    """The stem of all files of a unit.

    Parameters
    ----------
    unit
        The id, verbatim.
    twins
        Lower-cased ids that occur in several spellings of case, which some file systems cannot tell apart.
    """
    if is_safe(unit) and unit.lower() not in twins:
        return unit
    ascii_only = unicodedata.normalize("NFKD", unit).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9]+", "-", ascii_only).strip("-")[:40] or "slide"
    return f"{slug}-{hashlib.sha256(unit.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def in_utf8(path: Path) -> str:
    r"""A path as tables and messages can hold it; it differs from `str(path)` if the path is not UTF-8.

    Examples
    --------
    >>> in_utf8(Path(os.fsdecode(b"S01\xff.svs"))), in_utf8(Path("S01.svs"))
    ('S01\\xff.svs', 'S01.svs')
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")
