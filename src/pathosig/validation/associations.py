"""Risk groups against declared variables and against what happened: counts with exact tests, per cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.signature.model import HIGH, LOW
from pathosig.survival import adjust_p, chi_square, fisher_exact
from pathosig.survival.covariates import subgroup_labels
from pathosig.validation.estimates import attempt, finite

GROUPS = (LOW, HIGH)


def counted(group: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Counts of two labels of every patient, with the chi-square test and Fisher's exact one.

    Parameters
    ----------
    group, labels
        object[n]; patients without a label (None) are left out and counted as missing.

    Raises
    ------
    NotEstimableError
        If fewer than two levels or groups are left.
    """
    known = np.array([v is not None for v in labels])
    levels = sorted({str(v) for v in labels[known]})
    present = [g for g in GROUPS if (group[known] == g).any()]
    if len(levels) < 2 or len(present) < 2:
        message = f"{len(levels)} levels in {len(present)} risk groups; two of each are needed."
        raise NotEstimableError(message)
    counts = np.array([[int(((group == g) & (labels == level)).sum()) for level in levels] for g in present])
    square = attempt(chi_square, counts, correct=False)
    exact = attempt(fisher_exact, counts)
    rows = [
        {"group": g, "level": level, "n": int(n), "share": finite(n / max(counts[i].sum(), 1))}
        for i, g in enumerate(present)
        for level, n in zip(levels, counts[i], strict=True)
    ]
    tested = square if isinstance(square, dict) else {
        "statistic": finite(square.statistic), "df": square.df, "p": finite(square.p)
    }  # fmt: skip
    return {
        "rows": rows,
        "n": int(known.sum()),
        "missing": int((~known).sum()),
        "chi_square": tested,
        "fisher": exact if isinstance(exact, dict) else {"p": finite(exact.p)},
    }


def associations(
    table: pd.DataFrame, variables: Sequence[str], cohorts: Sequence[str]
) -> list[dict[str, Any]]:
    """``associations`` of results.json: risk group against every declared variable, BH q within a cohort.

    Parameters
    ----------
    table
        cohort, group and the variables, one row per patient.
    variables
        Numbers of many values are split at their median.
    cohorts
        In order.
    """
    out: list[dict[str, Any]] = []
    for cohort in cohorts:
        part = table[(table["cohort"] == cohort) & table["group"].isin(GROUPS)]
        rows: list[dict[str, Any]] = []
        for name in variables:
            if name in part:
                made = attempt(counted, part["group"].to_numpy(object), subgroup_labels(part[name]))
                rows.append({"cohort": cohort, "variable": name, **made})
        tested = [r for r in rows if (r.get("fisher") or {}).get("p") is not None]
        if tested:
            for row, q in zip(tested, adjust_p([r["fisher"]["p"] for r in tested], "BH"), strict=True):
                row["fisher"]["q"] = finite(q)
        out += rows
    return out


def outcomes_by_group(frame: pd.DataFrame, causes: Mapping[int, str] | None = None) -> dict[str, Any]:
    """``outcome_counts`` of an analysis: what happened in each risk group, for stacked bars, with exact tests.

    Counts ignore how long patients were followed: Gray's test and the log-rank test say whether groups differ in time.

    Parameters
    ----------
    frame
        group, event and, with competing events, ``cause`` (0 none, 1 the event, 2 the competing one).
    causes
        Name of each code.
    """
    named = dict(causes or {0: "no event", 1: "event"})
    codes = frame["cause"] if "cause" in frame else frame["event"].astype(int)
    labels = np.array([named[int(c)] for c in codes], dtype=object)
    return counted(frame["group"].to_numpy(object), labels)
