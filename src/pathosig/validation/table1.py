"""Table 1: characteristics of patients by cohort or by risk group, as text to print and as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pathosig.survival import chi_square, fisher_exact, kruskal
from pathosig.survival.covariates import as_level, is_categorical, levels_of
from pathosig.validation.table1_values import MissingValues, Table1, Table1Cell, Table1Row
from pathosig.validation.values import NotEstimable, attempt, finite

_MAX_LEVELS = 12


def table_one(patients: pd.DataFrame, variables: Sequence[str], by: str, order: Sequence[str]) -> Table1:
    """Characteristics of patients by the values of one column.

    Parameters
    ----------
    patients
        One row per patient.
    variables
        Columns to describe: numbers as median (quartiles), categories as n (%).
    by
        Column whose values become the columns of the table.
    order
        These values, in the order of the columns.

    Returns
    -------
    Table1

    Examples
    --------
    >>> patients = pd.DataFrame({"cohort": ["d", "d", "v", "v"], "age": [61, 54, 70, 66], "sex": ["f", "m", "f", "f"]})
    >>> for row in table_one(patients, ["age", "sex"], "cohort", ["d", "v"]).rows:
    ...     print(row.variable, row.level, row.values)
    patients  {'d': '2', 'v': '2'}
    age  {'d': '57.5 (55.75-59.25)', 'v': '68 (67-69)'}
    sex f {'d': '1 (50 %)', 'v': '2 (100 %)'}
    sex m {'d': '1 (50 %)', 'v': '0 (0 %)'}
    """
    columns = [c for c in order if (patients[by] == c).any()]
    rows = [_count_row(patients, by, columns)]
    for name in variables:
        if name in patients:
            rows += _rows(patients, name, by, columns)
    return Table1(columns=tuple(columns), rows=tuple(rows))


def _count_row(patients: pd.DataFrame, by: str, columns: Sequence[str]) -> Table1Row:
    cells = {c: Table1Cell(n=int((patients[by] == c).sum())) for c in columns}
    values = {c: str(cell.n) for c, cell in cells.items()}
    return Table1Row(
        variable="patients", level="", kind="count", values=values, numbers=cells, p=None, test=""
    )


def _rows(patients: pd.DataFrame, name: str, by: str, columns: Sequence[str]) -> list[Table1Row]:
    column = patients[name]
    inside = patients[by].isin(columns)
    if not is_categorical(column):
        return [_number_row(column, patients[by], columns)]
    levels = levels_of(column)
    if not 1 <= len(levels) <= _MAX_LEVELS:
        return []
    return _category(column[inside], patients.loc[inside, by], name, levels, columns)


def _number_row(column: pd.Series, by: pd.Series, columns: Sequence[str]) -> Table1Row:
    cells = {c: _quartiles(column[by == c]) for c in columns}
    values = {
        c: "-" if cell.median is None else f"{cell.median:g} ({cell.q1:g}-{cell.q3:g})"
        for c, cell in cells.items()
    }
    measured = by.isin(columns) & column.notna()
    p = None
    if len(columns) > 1 and measured.sum() > 2:
        test = attempt(kruskal, column[measured].to_numpy(float), by[measured].to_numpy(str))
        p = None if isinstance(test, NotEstimable) else finite(test.p)
    return Table1Row(
        variable=str(column.name),
        level="",
        kind="number",
        values=values,
        numbers=cells,
        p=p,
        test="" if p is None else "Kruskal-Wallis",
    )


def _quartiles(column: pd.Series) -> Table1Cell:
    values = column.dropna().to_numpy(float)
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]) if len(values) else [np.nan] * 3
    return Table1Cell(
        n=len(values),
        median=finite(middle),
        q1=finite(low),
        q3=finite(high),
        missing=len(column) - len(values),
    )


def _category(
    column: pd.Series, by: pd.Series, name: str, levels: Sequence[str], columns: Sequence[str]
) -> list[Table1Row]:
    text = column.map(lambda v: None if pd.isna(v) else as_level(v))
    counts = np.array([[int(((text == level) & (by == c)).sum()) for c in columns] for level in levels])
    p, test = _test(counts)
    total = counts.sum(0)
    rows = []
    for i, level in enumerate(levels):
        cells = {
            c: Table1Cell(n=int(counts[i, j]), share=finite(counts[i, j] / total[j]) if total[j] else None)
            for j, c in enumerate(columns)
        }
        rows.append(
            Table1Row(
                variable=name,
                level=level,
                kind="level",
                numbers=cells,
                values={c: f"{cell.n} ({100 * (cell.share or 0):.0f} %)" for c, cell in cells.items()},
                p=p if i == 0 else None,
                test=test if i == 0 else "",
            )
        )
    missing = {c: int((text.isna() & (by == c)).sum()) for c in columns}
    if any(missing.values()):
        rows.append(
            Table1Row(
                variable=name,
                level="missing",
                kind="level",
                p=None,
                test="",
                values={c: str(n) for c, n in missing.items()},
                numbers={c: Table1Cell(n=n) for c, n in missing.items()},
            )
        )
    return rows


def _test(counts: np.ndarray) -> tuple[float | None, str]:
    used = counts[counts.sum(1) > 0][:, counts.sum(0) > 0]
    if min(used.shape, default=0) < 2:
        return None, ""
    expected = np.outer(used.sum(1), used.sum(0)) / used.sum()
    if bool((expected < 5).any()) and used.sum() <= 400:
        exact = attempt(fisher_exact, used)
        if not isinstance(exact, NotEstimable):
            return finite(exact.p), "Fisher exact"
    return finite(chi_square(used, correct=False).p), "chi-square"


def missing_rows(patients: pd.DataFrame, variables: Sequence[str], by: str) -> tuple[MissingValues, ...]:
    """Number of missing values of each variable in each cohort.

    Parameters
    ----------
    patients
        One row per patient.
    variables
        Names of columns; absent ones are left out.
    by
        Name of the column of the cohort.

    Returns
    -------
    tuple of MissingValues
        One for each cohort and variable.

    Examples
    --------
    >>> patients = pd.DataFrame({"cohort": ["d", "d", "v"], "age": [61, None, 70]})
    >>> [(row.cohort, row.variable, row.missing, row.n) for row in missing_rows(patients, ["age"], "cohort")]
    [('d', 'age', 1, 2), ('v', 'age', 0, 1)]
    """
    return tuple(
        MissingValues(cohort=str(cohort), variable=name, missing=int(rows[name].isna().sum()), n=len(rows))
        for cohort, rows in patients.groupby(by, sort=True)
        for name in variables
        if name in rows
    )
