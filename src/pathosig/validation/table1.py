"""Table 1: characteristics by cohort or by risk group, as text to print and numbers to check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pathosig.survival import chi_square, fisher_exact, kruskal
from pathosig.survival.covariates import as_level, is_categorical, levels_of
from pathosig.validation.estimates import attempt, finite

_MAX_LEVELS = 12


def table_one(
    patients: pd.DataFrame, variables: Sequence[str], by: str, order: Sequence[str]
) -> dict[str, Any]:
    """``table1`` of results.json.

    Parameters
    ----------
    patients
        One row per patient.
    variables
        Columns to describe: numbers as median (quartiles), categories as n (%).
    by
        Column whose values are the table's columns.
    order
        Those values in order.
    """
    columns = [c for c in order if (patients[by] == c).any()]
    rows: list[dict[str, Any]] = [_count_row(patients, by, columns)]
    for name in variables:
        if name in patients:
            rows += _rows(patients, name, by, columns)
    return {"columns": columns, "rows": rows}


def _count_row(patients: pd.DataFrame, by: str, columns: Sequence[str]) -> dict[str, Any]:
    numbers = {c: {"n": int((patients[by] == c).sum())} for c in columns}
    values = {c: str(numbers[c]["n"]) for c in columns}
    return {
        "variable": "patients",
        "level": "",
        "kind": "count",
        "values": values,
        "numbers": numbers,
        "p": None,
        "test": "",
    }


def _rows(patients: pd.DataFrame, name: str, by: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    column = patients[name]
    inside = patients[by].isin(columns)
    if is_categorical(column):
        levels = levels_of(column)
        if not 1 <= len(levels) <= _MAX_LEVELS:
            return []
        return _category(column[inside], patients.loc[inside, by], name, levels, columns)
    numbers: dict[str, dict[str, Any]] = {}
    for c in columns:
        values = column[patients[by] == c].dropna().to_numpy(float)
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]) if len(values) else [np.nan] * 3
        missing = int((patients[by] == c).sum() - len(values))
        numbers[c] = {
            "median": finite(middle),
            "q1": finite(low),
            "q3": finite(high),
            "n": len(values),
            "missing": missing,
        }
    text = {
        c: f"{v['median']:g} ({v['q1']:g}-{v['q3']:g})" if v["median"] is not None else "-"
        for c, v in numbers.items()
    }
    p = None
    if len(columns) > 1 and column[inside].notna().sum() > 2:
        known = inside & column.notna()
        found = attempt(lambda: kruskal(column[known].to_numpy(float), patients.loc[known, by].to_numpy(str)))
        p = None if isinstance(found, dict) else finite(found.p)
    row = {"variable": name, "level": "", "kind": "number", "values": text, "numbers": numbers, "p": p}
    return [{**row, "test": "Kruskal-Wallis" if p is not None else ""}]


def _category(
    column: pd.Series, by: pd.Series, name: str, levels: Sequence[str], columns: Sequence[str]
) -> list[dict[str, Any]]:
    text = column.map(lambda v: None if pd.isna(v) else as_level(v))
    counts = np.array([[int(((text == level) & (by == c)).sum()) for c in columns] for level in levels])
    p, test = _test(counts)
    rows: list[dict[str, Any]] = []
    total = counts.sum(0)
    for i, level in enumerate(levels):
        numbers = {
            c: {"n": int(counts[i, j]), "share": finite(counts[i, j] / total[j]) if total[j] else None}
            for j, c in enumerate(columns)
        }
        values = {c: f"{v['n']} ({100 * (v['share'] or 0):.0f} %)" for c, v in numbers.items()}
        first = {"p": p, "test": test} if i == 0 else {"p": None, "test": ""}
        rows.append(
            {"variable": name, "level": level, "kind": "level", "values": values, "numbers": numbers, **first}
        )
    missing = {c: int((text.isna() & (by == c)).sum()) for c in columns}
    if any(missing.values()):
        numbers_: Mapping[str, Any] = {c: {"n": v} for c, v in missing.items()}
        values = {c: str(v) for c, v in missing.items()}
        row = {"variable": name, "level": "missing", "kind": "level", "values": values, "numbers": numbers_}
        rows.append({**row, "p": None, "test": ""})
    return rows


def _test(counts: np.ndarray) -> tuple[float | None, str]:
    used = counts[counts.sum(1) > 0][:, counts.sum(0) > 0]
    if min(used.shape, default=0) < 2:
        return None, ""
    expected = np.outer(used.sum(1), used.sum(0)) / used.sum()
    exact = bool((expected < 5).any()) and used.sum() <= 400
    made = attempt(lambda: fisher_exact(used) if exact else chi_square(used, correct=False))
    if isinstance(made, dict):
        made, exact = chi_square(used, correct=False), False
    return finite(made.p), "Fisher exact" if exact else "chi-square"


def missing_rows(patients: pd.DataFrame, variables: Sequence[str], by: str) -> list[dict[str, Any]]:
    """``missing`` of results.json: how many values each variable lacks in each cohort."""
    return [
        {"cohort": cohort, "variable": name, "missing": int(part[name].isna().sum()), "n": len(part)}
        for cohort, part in patients.groupby(by, sort=True)
        for name in variables
        if name in part
    ]
