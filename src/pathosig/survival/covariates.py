"""Coding of covariates: which are categorical, their levels, and their dummy columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pathosig.core.words import ordered_levels

_FEW_LEVELS = 6


@dataclass(frozen=True, kw_only=True)
class Term:
    """One column of a model: a numeric covariate, or one level of a category against its reference level."""

    variable: str
    level: str
    reference: str
    values: np.ndarray


def is_categorical(column: pd.Series) -> bool:
    """Whether a covariate is treated as a category: if it is text, or has two distinct numbers.

    Parameters
    ----------
    column
        One value per patient; missing values are ignored.

    Returns
    -------
    True for a category, False for a number.

    Examples
    --------
    >>> is_categorical(pd.Series(["I", "II"])), is_categorical(pd.Series([0, 1, 1])), is_categorical(pd.Series([61, 54, 70]))
    (True, True, False)
    """
    return not pd.api.types.is_numeric_dtype(column) or column.dropna().nunique() == 2


def levels_of(column: pd.Series) -> list[str]:
    """Distinct levels as text; stages, grades and other ordered scales from lowest to highest, other levels sorted.

    Parameters
    ----------
    column
        One value per patient; missing values are ignored.

    Returns
    -------
    Distinct levels, of which the first is the reference level of a model; whole numbers are written without a decimal
    point.

    Examples
    --------
    >>> levels_of(pd.Series(["III", "I", None, "II"])), levels_of(pd.Series([2.0, 1.0, 2.0]))
    (['I', 'II', 'III'], ['1', '2'])
    """
    return ordered_levels(as_level(v) for v in column.dropna())


def as_level(value: object) -> str:
    """A level as text; a whole number is written without a decimal point.

    Parameters
    ----------
    value
        A number or text.

    Returns
    -------
    The text of the level.

    Examples
    --------
    >>> as_level(1.0), as_level(1.5), as_level("IIb")
    ('1', '1.5', 'IIb')
    """
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def encode(patients: pd.DataFrame, variables: Sequence[str]) -> list[Term]:
    """Covariates as columns of a model; missing values stay NaN, and the first level of a category is its reference.

    Parameters
    ----------
    patients
        One row per patient.
    variables
        Names of columns. Those that are absent or constant, and categories with more than six levels, are left out.

    Returns
    -------
    One `Term` per model column, in the order of `variables`.

    Examples
    --------
    >>> patients = pd.DataFrame({"age": [61.0, 54, 70], "stage": ["II", "I", "III"]})
    >>> for term in encode(patients, ["age", "stage"]):
    ...     print(term.variable, term.level, term.reference, term.values)
    age per unit  [61. 54. 70.]
    stage II I [1. 0. 0.]
    stage III I [0. 0. 1.]
    """
    out: list[Term] = []
    for name in variables:
        if name not in patients:
            continue
        column = patients[name]
        if not is_categorical(column):
            values = column.to_numpy(float)
            if np.nanstd(values) > 0:
                out.append(Term(variable=name, level="per unit", reference="", values=values))
            continue
        levels = levels_of(column)
        if not 2 <= len(levels) <= _FEW_LEVELS:
            continue
        text = column.map(lambda v: None if pd.isna(v) else as_level(v))
        present = text.notna().to_numpy()
        for level in levels[1:]:
            values = np.where(present, (text == level).to_numpy(float), np.nan)
            out.append(Term(variable=name, level=level, reference=levels[0], values=values))
    return out


def subgroup_labels(column: pd.Series) -> np.ndarray:
    """Subgroup of every patient: the level of a category, or above or below the median of a number with many values.

    Parameters
    ----------
    column
        One value per patient; a number with more than six distinct values is split at its median.

    Returns
    -------
    object[n] of text; None where the value is missing.

    Examples
    --------
    >>> subgroup_labels(pd.Series([1.0, None, 2.0]))
    array(['1', None, '2'], dtype=object)
    >>> subgroup_labels(pd.Series(range(40, 70)))[[0, -1]]
    array(['<= 54.5', '> 54.5'], dtype=object)
    """
    if not is_categorical(column) and column.dropna().nunique() > _FEW_LEVELS:
        middle = float(column.median())
        high, low = f"> {middle:g}", f"<= {middle:g}"
        return np.array([None if pd.isna(v) else high if v > middle else low for v in column], dtype=object)
    return np.array([None if pd.isna(v) else as_level(v) for v in column], dtype=object)
