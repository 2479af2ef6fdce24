"""Finds the patient that a slide belongs to, by its name, its folder, a column or a pattern."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from pathosig.core.errors import ConfigError
from pathosig.core.ids import IdIndex, tcga_kind, tcga_patient

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
        Slide -> patient, or None if no patient matches.
    how
        How the patients were found, in words.
    left_out
        Reason -> slides that have a patient but are not used.
    """

    patients: Mapping[str, str | None]
    how: str = ""
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def n_matched(self) -> int:
        """Number of slides with a patient."""
        return sum(p is not None for p in self.patients.values())


def match_all(
    paths: Mapping[str, PurePath],
    patients: Sequence[str],
    *,
    slide_cells: Sequence[tuple[str, str]] = (),
    slide_column: str = "",
    pattern: str | None = None,
    include: Sequence[str] = (),
) -> SlideMatches:
    """Match slides to patients by a pattern, or a column, or else by the name, the number in it, or the folder.

    Parameters
    ----------
    paths
        Name of each slide -> its path.
    patients
        Ids of the table.
    slide_cells
        (cell, patient) for each row of the column with names of slides.
    slide_column
        Header of that column, for messages.
    pattern
        Regular expression whose first group, or whole match, is the patient id.
    include
        Kinds of TCGA slides to keep: normal, frozen.

    Raises
    ------
    ConfigError
        If the pattern is not a regular expression.
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
    if (patient := index.match(slide)) is not None:
        return patient, "by their names"
    if (barcode := tcga_patient(slide)) and (patient := index.match(barcode)) is not None:
        return patient, "by their TCGA barcodes"
    if (patient := index.match_number(slide)) is not None:
        return patient, "by the numbers in their names (leading zeros aside)"
    if (patient := index.match(path.parent.name)) is not None and len(patient) == len(path.parent.name):
        return patient, "by their folders"
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
    """The slides that a cell names, without folders and suffixes; a cell may name several.

    Examples
    --------
    >>> slide_names("scans/S21-4000.svs; S21-4001.svs")
    ['S21-4000', 'S21-4001']
    """
    out = []
    for piece in re.split(r"[;|\n]|,(?=\s*\S)", cell):
        name = piece.strip().replace("\\", "/").rpartition("/")[2]
        for _ in range(2):
            name = _SUFFIX.sub("", name)
        if name:
            out.append(name)
    return out


def pattern_for(patients: Sequence[str], slides: Sequence[str]) -> str | None:
    r"""A pattern such as ``P\d+`` that finds ids inside names of slides.

    None if the ids differ in shape, or the pattern finds patients for fewer than half of the slides.
    """
    shapes = {re.sub(r"\d+", "#", p) for p in patients}
    if len(shapes) != 1:
        return None
    shape = shapes.pop()
    if "#" not in shape or shape == "#":
        return None
    pattern = (
        "(" + "".join(r"\d+" if piece == "#" else re.escape(piece) for piece in re.split("(#)", shape)) + ")"
    )
    index = IdIndex(patients)
    hits = [index.match(h.group(1)) for s in slides if (h := re.search(pattern, s))]
    return pattern if sum(h is not None for h in hits) * 2 >= max(1, len(slides)) else None
