"""Columns of patients.csv with names that pathosig itself uses; a validation renames them, as in "score (table)"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from pathosig.core.clinical import TIME_ZERO, Columns, Primary, TreatmentDesign
from pathosig.core.errors import InputError

TAKEN = frozenset({"score", "group", "n_tiles", "time", "event", "entry", "cause", "ridge_score", "other"})
"""Names of columns that a validation adds to the covariates of patients."""

_MARK = " (table)"
__all__ = [
    "TAKEN",
    "clinical_columns",
    "clinical_design",
    "clinical_name",
    "clinical_names",
    "clinical_primary",
    "clinical_table",
    "name_in_table",
    "refuse_taken",
]


def clinical_name(column: str) -> str:
    """The name that a column of patients.csv has in models and results.

    Parameters
    ----------
    column
        A column of patients.csv.

    Returns
    -------
    The name.

    Examples
    --------
    >>> clinical_name("stage"), clinical_name("score")
    ('stage', 'score (table)')
    """
    return column + _MARK if column in TAKEN else column


def name_in_table(name: str) -> str:
    """The column of patients.csv that has a name in models and results; the inverse of `clinical_name`.

    Parameters
    ----------
    name
        A name in models and results.

    Returns
    -------
    The name of the column.

    Examples
    --------
    >>> name_in_table("score (table)"), name_in_table("cohort (table)")
    ('score', 'cohort (table)')
    """
    column = name.removesuffix(_MARK)
    return column if column in TAKEN else name


def clinical_names(columns: Iterable[str]) -> tuple[str, ...]:
    """`clinical_name` of every column.

    Parameters
    ----------
    columns
        Columns of patients.csv.

    Returns
    -------
    The names, in the order of `columns`.

    Examples
    --------
    >>> clinical_names(["age", "time"])
    ('age', 'time (table)')
    """
    return tuple(clinical_name(c) for c in columns)


def clinical_table(patients: pd.DataFrame) -> pd.DataFrame:
    """A table of patients with columns renamed by `clinical_name`, so that none is confused with the outcome or the score.

    Parameters
    ----------
    patients
        One row per patient, with the columns of patients.csv.

    Returns
    -------
    A table with the same rows.

    Raises
    ------
    InputError
        E_COLUMN if a new name exists already, such as "score (table)" beside "score".

    Examples
    --------
    >>> clinical_table(pd.DataFrame({"patient_id": ["P1"], "score": [3]})).columns.tolist()
    ['patient_id', 'score (table)']
    """
    new = {c: clinical_name(c) for c in patients.columns if c in TAKEN}
    if both := [name for name in new.values() if name in patients.columns]:
        raise InputError(
            f"patients.csv: column {both[0]!r} has the name that column {both[0].removesuffix(_MARK)!r} is given in models. "
            "Rename one of them.",
            code="E_COLUMN",
        )
    return patients.rename(columns=new)


def refuse_taken(covariates: Iterable[str]) -> None:
    """Raise an error if the name of a covariate is that of the outcome or the score.

    Parameters
    ----------
    covariates
        Names of columns in a table that also has score, group and outcome.

    Raises
    ------
    InputError
        E_COLUMN; the message has the name.

    Examples
    --------
    >>> refuse_taken(["age"])
    """
    if taken := sorted(TAKEN & set(covariates)):
        raise InputError(
            f"covariate {taken[0]!r}: the column with this name is the outcome or the score. Give the covariate another name.",
            code="E_COLUMN",
        )


def clinical_columns(columns: Columns) -> Columns:
    """[columns] of study.toml with the names of `clinical_table`.

    Parameters
    ----------
    columns
        As declared.

    Returns
    -------
    Columns
        With covariates, treatments and subgroups renamed, and the other columns that are used in models.

    Examples
    --------
    >>> clinical_columns(Columns(covariates=("age", "score"), site="group")).covariates
    ('age', 'score (table)')
    """
    return replace(
        columns,
        covariates=clinical_names(columns.covariates),
        treatments=clinical_names(columns.treatments),
        subgroups=clinical_names(columns.subgroups),
        site=_optional(columns.site),
        sex=_optional(columns.sex),
        age=_optional(columns.age),
    )


def _optional(column: str | None) -> str | None:
    return None if column is None else clinical_name(column)


def clinical_primary(primary: Primary) -> Primary:
    """[primary] of study.toml with the names of `clinical_table`.

    Parameters
    ----------
    primary
        As declared.

    Returns
    -------
    Primary
        With covariates and treatment renamed.

    Examples
    --------
    >>> clinical_primary(Primary(treatment="group")).treatment
    'group (table)'
    """
    return replace(
        primary, covariates=clinical_names(primary.covariates), treatment=_optional(primary.treatment)
    )


def clinical_design(design: TreatmentDesign) -> TreatmentDesign:
    """A declaration of [treatment] in study.toml with the names of `clinical_table`.

    Parameters
    ----------
    design
        As declared.

    Returns
    -------
    TreatmentDesign
        With the column of the start of treatment renamed.

    Examples
    --------
    >>> clinical_design(TreatmentDesign(start="time")).start, clinical_design(TreatmentDesign(start="time zero")).start
    ('time (table)', 'time zero')
    """
    start = design.start
    return design if start is None or start == TIME_ZERO else replace(design, start=clinical_name(start))
