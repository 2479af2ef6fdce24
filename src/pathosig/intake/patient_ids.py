"""Finds the column with patient ids, and reads the ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pathosig.core.errors import InputError
from pathosig.core.grids import Table
from pathosig.core.ids import IdIndex, tcga_patient
from pathosig.core.words import covariate_of, senses, words
from pathosig.intake.choices import NUMBER_ROWS, Choices, Option, Question, column_named
from pathosig.intake.ids import slide_names

_RANKS = (
    "patient id",
    "patientid",
    "patient identifier",
    "patient",
    "pat id",
    "patid",
    "patient barcode",
    "bcr patient barcode",
    "patient no",
    "patient number",
    "patient nr",
    "patientennummer",
    "case submitter id",
    "submitter id",
    "subject id",
    "subjectid",
    "usubjid",
    "subject",
    "participant id",
    "participant",
    "case id",
    "caseid",
    "case",
    "mrn",
    "id",
)
_ID_WORDS = frozenset(
    [
        "patient",
        "patients",
        "patientid",
        "patientnr",
        "patid",
        "pat",
        "pid",
        "patnr",
        "id",
        "ids",
        "identifier",
        "no",
        "nr",
        "number",
        "num",
        "barcode",
        "bcr",
        "case",
        "cases",
        "caseid",
        "submitter",
        "subject",
        "subjectid",
        "usubjid",
        "participant",
        "mrn",
        "kennung",
        "pseudonym",
        "patientennummer",
        "patientennr",
        "patienten",
        "fallnummer",
        "fall",
        "numero",
        "de",
        "du",
        "ippr",
        "ipp",
        "paciente",
        "nhc",
        "paziente",
        "patientnummer",
        "sampid",
        "samples",
        "code",
        "key",
        "uuid",
        "study",
        "anonymised",
        "anonymized",
        "hashed",
        "new",
        "tcga",
    ]
)
_MOST_SEARCHED = 300
_GONE = frozenset({"", "#n/a", "#ref!", "#value!", "#name?", "'--", "--"})


@dataclass(frozen=True, kw_only=True, slots=True)
class PatientIds:
    """Patient of each row of a table.

    Attributes
    ----------
    column
        The column that they come from.
    ids
        One per row, "" if the row has none.
    notes
        What was done to the ids.
    """

    column: str
    ids: tuple[str, ...]
    notes: tuple[str, ...] = ()


def find_patient_ids(table: Table, choices: Choices, slides: Sequence[str] = ()) -> PatientIds | Question:
    """The patient of each row, or the question to ask.

    Parameters
    ----------
    table
        The table as it was read.
    choices
        What the user decided, which may name the column.
    slides
        Names of the slides; of several columns, the one whose ids match most of them wins.

    Raises
    ------
    ConfigError
        If the column that the user named does not exist.
    InputError
        If the column is empty.
    """
    if choices.patient_column == NUMBER_ROWS and NUMBER_ROWS not in table.columns:
        return numbered_rows(table)
    if choices.patient_column is not None:
        name = column_named(choices.patient_column, table.columns, flag="--id", source=table.source)
        return _ids(table, name)
    candidates = [c for c in table.columns if _may_be_id(table, c)]
    candidates.sort(key=_rank)
    if slides and len(candidates) > 1:
        fits = {c: _fit(table.cells[c], slides) for c in candidates}
        best = max(candidates, key=lambda c: (fits[c], -_rank(c)))
        if fits[best]:
            return _ids(table, best)
    if candidates:
        return _ids(table, candidates[0])
    others = [c for c in table.columns if _may_number_patients(table, c)]
    by_slides = (
        {c: _fit(table.cells[c], slides) for c in table.columns}
        if slides and len(table.columns) < 2_000
        else {}
    )
    best = max(by_slides, key=lambda c: by_slides[c], default="")
    if best and by_slides[best] * 2 >= len(slides):
        return _ids(table, best)
    if len(others) == 1:
        return _ids(table, others[0])
    shown = others or [c for c in table.columns if _is_unique(table.cells[c])]
    options = [Option(label="", flags=("--id", c)) for c in shown[:5]]
    options.append(
        Option(
            label="there is none: every row is a patient, whose id is the row number",
            flags=("--id", NUMBER_ROWS),
        )
    )
    text = f"no patient id column is clear among {', '.join(map(repr, list(table.columns)[:12]))}. Name it with --id."
    return Question(code="E_ID", text=text, options=tuple(options))


def numbered_rows(table: Table) -> PatientIds:
    """Every row as a patient whose id is the number of the row, counted from 1."""
    ids = tuple(str(n) for n in range(1, len(table) + 1))
    return PatientIds(
        column=NUMBER_ROWS, ids=ids, notes=("every row is a patient, whose id is the row number",)
    )


def _is_unique(cells: Sequence[str]) -> bool:
    return len(set(cells)) == len(cells) and all(cells) and not all(_is_decimal(c) for c in cells)


def _is_decimal(cell: str) -> bool:
    return "." in cell and cell.replace(".", "").lstrip("-").isdigit()


def _may_be_id(table: Table, column: str) -> bool:
    has = senses(column)
    if (
        "patient" not in has
        or has & {"slide", "sample", "site", "cohort", "date", "death"}
        or covariate_of(column)
    ):
        return False
    values = {c for c in table.cells[column] if c.casefold() not in _GONE}
    return bool(values) and (len(values) > 1 or len(table) == 1)


def _may_number_patients(table: Table, column: str) -> bool:
    """Whether a column has no name, or is named for case numbers or samples, and all its values differ."""
    if not (column.startswith("unnamed ") or senses(column) & {"case number", "sample"}) or covariate_of(
        column
    ):
        return False
    cells = table.cells[column]
    return (
        len(set(cells)) == len(cells)
        and all(cells)
        and not any("." in c and c.replace(".", "").isdigit() for c in cells)
    )


def _rank(column: str) -> float:
    tokens = words(column)
    for drop in (0, 1):
        text = " ".join(tokens[drop:])
        if text in _RANKS:
            return _RANKS.index(text)
    return len(_RANKS) + len(tokens)


def _fit(cells: Sequence[str], slides: Sequence[str]) -> int:
    index = IdIndex(tcga_patient(c) or c for c in set(cells) if c)
    return sum((index.match(s) or index.match_number(s)) is not None for s in slides)


def _ids(table: Table, column: str) -> PatientIds:
    cells = ["" if c.casefold() in _GONE else c for c in table.cells[column]]
    if not any(cells):
        raise InputError(
            f"{table.source}: column {column!r} holds no patient ids: all of its cells are empty."
        )
    notes = []
    filled = [c for c in cells if c]
    barcodes = [tcga_patient(c) for c in filled]
    if all(barcodes) and any(len(c) > 12 for c in filled):
        cells = [tcga_patient(c) or "" for c in cells]
        notes.append("TCGA barcodes of samples are cut to those of their patients")
    if all(c.endswith(".0") and c[:-2].isdecimal() for c in filled):
        cells = [c.removesuffix(".0") for c in cells]
        notes.append("ids such as 12.0 are written as 12")
    twins = _twins(cells)
    if twins:
        notes.append(f"ids that differ only by case count as different patients: {', '.join(twins[:3])}")
    return PatientIds(column=column, ids=tuple(cells), notes=tuple(notes))


def _twins(cells: Sequence[str]) -> list[str]:
    held: dict[str, set[str]] = {}
    for cell in set(cells):
        held.setdefault(cell.casefold(), set()).add(cell)
    return sorted(" and ".join(sorted(group)) for group in held.values() if len(group) > 1)


def find_slide_column(
    table: Table, slides: Sequence[str], choices: Choices, *, unmatched: Sequence[str]
) -> str | None:
    """The column with the names of the slides: the one that the user named, or the one that matches most slides.

    Parameters
    ----------
    table
        The table as it was read.
    slides, unmatched
        Names of all slides, and of those whose names match no patient.
    choices
        What the user decided, which may name the column.

    Returns
    -------
    str or None
        None if names of slides already match patients at least as well.
    """
    if choices.slide_column is not None:
        return column_named(choices.slide_column, table.columns, flag="--slide-column", source=table.source)
    if not unmatched or not slides:
        return None
    fits = {}
    few = len(table.columns) <= _MOST_SEARCHED
    for column in table.columns:
        is_named = bool(senses(column) & {"slide", "sample"})
        if is_named or few:
            index = IdIndex(n for c in set(table.cells[column]) if c for n in slide_names(c))
            fit = sum(index.match(s) is not None for s in slides)
            # a column whose header does not mention slides has to hold nearly all of their names
            fits[column] = fit if is_named or fit >= 0.8 * len(slides) else 0
    best = max(fits, key=lambda c: fits[c], default="")
    return best if best and fits[best] > len(slides) - len(unmatched) else None
