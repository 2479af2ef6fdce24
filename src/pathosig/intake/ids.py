"""Which patient a slide belongs to: by its name, its folder, a column, a pattern; and the id that may be meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from pathosig.core.errors import ConfigError

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
_SUFFIX = re.compile(
    r"\.(svs|ndpi|mrxs|scn|bif|vms|vmu|tiff?|btf|dcm|czi|kfb|isyntax|zarr|ome|png|jpe?g|h5|pt)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideMatches:
    """Slides with their patients.

    Attributes
    ----------
    patients
        Slide -> patient, or None.
    how
        A sentence on how they were found.
    left_out
        Reason -> slides that have a patient but are not used.
    """

    patients: Mapping[str, str | None]
    how: str = ""
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def n_matched(self) -> int:
        """Slides with a patient."""
        return sum(p is not None for p in self.patients.values())


class IdIndex:
    """Patient ids, ready for look-ups that cost the length of a name and not the number of patients."""

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
        """The longest patient id that is the name itself or starts it and ends at a boundary, else None.

        A boundary is not inside a number or a word: ``P1-A.svs`` is P1's, ``P10.svs`` is not. Numbers match whatever their leading
        zeros, where only one patient has that number.
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
        """The patient whose id is the number that the name begins with, leading zeros aside."""
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
        """The patient that a person would take `name` for: the same letters and numbers but for punctuation, or the same numbers.

        Another number is never suggested: 100 is not 001.
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
    """The candidate a person would take `name` for, or None; `IdIndex` is quicker for many names."""
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
    """``normal`` or ``frozen`` for slides of TCGA that are left out unless asked for; None for all others.

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


# -- ways to find the patient -----------------------------------------------------------------


def match_all(
    paths: Mapping[str, PurePath],
    patients: Sequence[str],
    *,
    slide_cells: Sequence[tuple[str, str]] = (),
    slide_column: str = "",
    pattern: str | None = None,
    include: Sequence[str] = (),
) -> SlideMatches:
    """Slides with their patients, by the first of: a pattern, a column, the name, its number, the folder.

    Parameters
    ----------
    paths
        Slide name -> its path.
    patients
        Ids of the table.
    slide_cells
        (cell, patient) of the column with slides.
    slide_column
        Its header, for the sentence.
    pattern
        Regular expression; its first group, or all of it, is the patient.
    include
        Kinds of TCGA slides that are kept although they are normal or frozen.

    Raises
    ------
    ConfigError
        If the pattern is no regular expression.
    """
    index = IdIndex(patients)
    counts: dict[str, int] = {}
    out: dict[str, str | None] = {}
    by_column = _slide_index(slide_cells)
    expression = _compiled(pattern)
    for slide, path in paths.items():
        out[slide], how = _one(slide, path, index, by_column, expression)
        if out[slide] is not None:
            counts[how] = counts.get(how, 0) + 1
    left_out: dict[str, list[str]] = {}
    for slide in out:
        kind = tcga_kind(slide)
        if kind and kind not in include and out[slide] is not None:
            left_out.setdefault(kind, []).append(slide)
    ways = {"column": f"by column {slide_column!r}", "pattern": f"by the pattern {pattern!r}"}
    how = ", ".join(f"{n} {ways.get(way, way)}" for way, n in counts.items())
    return SlideMatches(patients=out, how=how, left_out={k: tuple(v) for k, v in left_out.items()})


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern) if pattern else None
    except re.error as error:
        raise ConfigError(f"--patient-pattern {pattern!r}: not a regular expression ({error}).") from error


def _one(
    slide: str, path: PurePath, index: IdIndex, by_column: IdIndex | None, expression: re.Pattern[str] | None
) -> tuple[str | None, str]:
    if expression is not None:
        hit = expression.search(slide) or expression.search(path.as_posix())
        text = (hit.group(1) if expression.groups else hit.group()) if hit else ""
        return (index.match(text) or index.match_number(text) if text else None), "pattern"
    if by_column is not None:
        cell = by_column.match(slide) or by_column.match(path.name)
        if cell is not None:
            return by_column.owners.get(cell), "column"  # type: ignore[attr-defined]
        return None, "column"
    if (found := index.match(slide)) is not None:
        return found, "by their names"
    if (barcode := tcga_patient(slide)) and (found := index.match(barcode)) is not None:
        return found, "by their TCGA barcodes"
    if (found := index.match_number(slide)) is not None:
        return found, "by the numbers in their names, leading zeros aside"
    if (found := index.match(path.parent.name)) is not None and len(found) == len(path.parent.name):
        return found, "by their folders"
    return None, ""


class _SlideIndex(IdIndex):
    """Names of slides with the patients they belong to."""

    def __init__(self, owners: Mapping[str, str]) -> None:
        super().__init__(owners)
        self.owners = dict(owners)


def _slide_index(cells: Sequence[tuple[str, str]]) -> _SlideIndex | None:
    owners: dict[str, str] = {}
    for cell, patient in cells:
        for name in slide_names(cell):
            owners[name] = patient
    return _SlideIndex(owners) if owners else None


def slide_names(cell: str) -> list[str]:
    """The slides a cell names, without folders and suffixes; several may stand in one cell.

    Examples
    --------
    >>> slide_names("scans/S21-4000.svs; S21-4001.svs")
    ['S21-4000', 'S21-4001']
    """
    out = []
    for part in re.split(r"[;|\n]|,(?=\s*\S)", cell):
        name = part.strip().replace("\\", "/").rpartition("/")[2]
        for _ in range(2):
            name = _SUFFIX.sub("", name)
        if name:
            out.append(name)
    return out


def pattern_for(patients: Sequence[str], slides: Sequence[str]) -> str | None:
    r"""A pattern that finds ids inside the names of slides, where all ids have one shape: ``P\d+``; None where it finds few."""
    shapes = {re.sub(r"\d+", "#", p) for p in patients}
    if len(shapes) != 1:
        return None
    shape = shapes.pop()
    if "#" not in shape or shape == "#":
        return None
    pattern = (
        "(" + "".join(r"\d+" if part == "#" else re.escape(part) for part in re.split("(#)", shape)) + ")"
    )
    index = IdIndex(patients)
    hits = [index.match(h.group(1)) for s in slides if (h := re.search(pattern, s))]
    return pattern if sum(h is not None for h in hits) * 2 >= max(1, len(slides)) else None
