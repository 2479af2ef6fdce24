"""Matches the slides of a study to its patients; if none matches, the error shows examples of both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pathosig.core.errors import InputError
from pathosig.core.grids import Table
from pathosig.core.ids import IdIndex
from pathosig.intake.choices import Choices
from pathosig.intake.ids import SlideMatches, match_all, pattern_for
from pathosig.intake.patient_ids import PatientIds, find_slide_column

_EXAMPLES = 5


def matches(table: Table, ids: PatientIds, choices: Choices, stems: Mapping[str, Path]) -> SlideMatches:
    """Match every slide to its patient.

    Parameters
    ----------
    table
        The table as it was read.
    ids
        Patient of each row.
    choices
        What the user decided.
    stems
        Name of each slide -> its path.

    Raises
    ------
    ConfigError
        If a flag names a column that does not exist, or the pattern is not a regular expression.
    InputError
        E_NO_OVERLAP if no slide has a patient; the message shows examples of both, and the flags that may help.
    """
    patients = [i for i in dict.fromkeys(ids.ids) if i]
    matched = match_all(stems, patients, pattern=choices.patient_pattern, include=choices.include)
    unmatched = [s for s, p in matched.patients.items() if p is None]
    column = None
    if choices.patient_pattern is None:
        column = find_slide_column(table, list(stems), choices, unmatched=unmatched)
    if column is not None:
        pairs = [
            (cell, patient)
            for cell, patient in zip(table.cells[column], ids.ids, strict=True)
            if cell and patient
        ]
        matched = match_all(stems, patients, slide_cells=pairs, slide_column=column, include=choices.include)
    used = matched.n_matched - sum(map(len, matched.left_out.values()))
    if not used:
        raise _no_overlap(table, ids, matched, stems)
    return matched


def _no_overlap(
    table: Table, ids: PatientIds, matched: SlideMatches, stems: Mapping[str, Path]
) -> InputError:
    if matched.n_matched:
        counts = ", ".join(f"{len(v)} {k}" for k, v in matched.left_out.items())
        kinds = " ".join(f"--include {k}" for k in matched.left_out)
        return InputError(
            f"all slides with a patient are TCGA slides that are left out by default: {counts}. Keep them with {kinds}.",
            code="E_NO_OVERLAP",
        )
    patients = sorted({i for i in ids.ids if i})
    index = IdIndex(patients)
    near = [f"{s} ~ {index.nearest(s)}" for s in list(stems)[:_EXAMPLES] if index.nearest(s)]
    pattern = pattern_for(patients, list(stems))
    tries = [
        f"--patient-pattern '{pattern}'" if pattern else "--patient-pattern REGEX",
        "--slide-column COLUMN",
        "--id COLUMN",
    ]
    return InputError(
        f"no slide name starts with a patient id. Slides: {list(stems)[:_EXAMPLES]}; patients (column {ids.column!r}): "
        f"{patients[:_EXAMPLES]}; nearest: {near or 'none'}. Columns: {', '.join(map(repr, table.columns[:12]))}. "
        f"Tell where the patient id is: {' or '.join(tries)}.",
        code="E_NO_OVERLAP",
    )
