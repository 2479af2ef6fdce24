"""Associations of the risk groups with declared variables and with outcomes: counts with exact tests, by cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.core.words import counted
from pathosig.signature.model import HIGH, LOW
from pathosig.survival import adjust_p, chi_square, fisher_exact
from pathosig.survival.covariates import subgroup_labels
from pathosig.validation.results import Association
from pathosig.validation.values import ChiSquare, Count, Counts, ExactTest, NotEstimable, attempt, finite

GROUPS = (LOW, HIGH)


def _counted(group: np.ndarray, labels: np.ndarray) -> Counts:
    """Cross table of risk group and label, with the chi-square test and Fisher's exact test.

    Parameters
    ----------
    group, labels
        object[n]; patients without a label (None) are left out and counted as missing.

    Raises
    ------
    NotEstimableError
        If fewer than two levels or groups remain.
    """
    labelled = np.array([v is not None for v in labels])
    levels = sorted({str(v) for v in labels[labelled]})
    present = [g for g in GROUPS if (group[labelled] == g).any()]
    if len(levels) < 2 or len(present) < 2:
        message = f"{counted(len(levels), 'level')} in {counted(len(present), 'risk group')}; two of each are needed."
        raise NotEstimableError(message)
    counts = np.array([[int(((group == g) & (labels == level)).sum()) for level in levels] for g in present])
    rows = tuple(
        Count(group=g, level=level, n=int(n), share=finite(n / max(counts[i].sum(), 1)))
        for i, g in enumerate(present)
        for level, n in zip(levels, counts[i], strict=True)
    )
    return Counts(
        rows=rows,
        n=int(labelled.sum()),
        missing=int((~labelled).sum()),
        chi_square=attempt(_chi_square, counts),
        fisher=attempt(_fisher, counts),
    )


def _chi_square(counts: np.ndarray) -> ChiSquare:
    test = chi_square(counts, correct=False)
    return ChiSquare(statistic=finite(test.statistic), df=int(test.df or 0), p=finite(test.p))


def _fisher(counts: np.ndarray) -> ExactTest:
    return ExactTest(p=finite(fisher_exact(counts).p))


def associations(
    table: pd.DataFrame, variables: Sequence[str], cohorts: Sequence[str]
) -> tuple[Association, ...]:
    """Association of the risk group with every declared variable, adjusted over all variables and cohorts.

    Parameters
    ----------
    table
        One row per patient: cohort, group and the variables.
    variables
        Names of the variables; numbers with many values are split at their median.
    cohorts
        Names of the cohorts, in the order of the result.

    Returns
    -------
    One `Association` for each cohort and variable; q is Benjamini and Hochberg's.

    Examples
    --------
    >>> table = pd.DataFrame({"cohort": "v1", "group": ["low", "high"] * 10, "stage": ["I", "II"] * 9 + ["II", "I"]})
    >>> result = associations(table, ["stage"], ["v1"])[0]
    >>> result.variable, result.counts.n, round(result.counts.fisher.p, 4)
    ('stage', 20, 0.0011)
    """
    out: list[Association] = []
    for cohort in cohorts:
        patients = table[(table["cohort"] == cohort) & table["group"].isin(GROUPS)]
        rows = [
            Association(
                cohort=cohort,
                variable=name,
                counts=attempt(_counted, patients["group"].to_numpy(object), subgroup_labels(patients[name])),
            )
            for name in variables
            if name in patients
        ]
        out += rows
    return tuple(_adjusted(out))


def _adjusted(rows: Sequence[Association]) -> list[Association]:
    """The rows with Benjamini and Hochberg's q of the exact tests."""
    p = [_exact_p(row) for row in rows]
    tested = [value for value in p if value is not None]
    q = iter(adjust_p(tested, "BH") if tested else ())
    return [
        row if value is None else _with_q(row, float(next(q))) for row, value in zip(rows, p, strict=True)
    ]


def _exact_p(row: Association) -> float | None:
    counts = row.counts
    return counts.fisher.p if isinstance(counts, Counts) and isinstance(counts.fisher, ExactTest) else None


def _with_q(row: Association, q: float) -> Association:
    if isinstance(row.counts, NotEstimable) or isinstance(row.counts.fisher, NotEstimable):
        return row
    return replace(row, counts=replace(row.counts, fisher=replace(row.counts.fisher, q=finite(q))))


def outcomes_by_group(frame: pd.DataFrame, causes: Mapping[int, str] | None = None) -> Counts:
    """Numbers of outcomes in each risk group, for stacked bars, with exact tests.

    Counts ignore the length of follow-up. To compare groups over time, use Gray's test or the log-rank test.

    Parameters
    ----------
    frame
        group, event and, with competing events, ``cause`` (0 for none, 1 for the event, 2 for the competing event).
    causes
        Name of each code; by default "no event", "event" and "competing event".

    Returns
    -------
    Counts

    Examples
    --------
    >>> frame = pd.DataFrame({"group": ["low"] * 5 + ["high"] * 5, "event": [0, 0, 0, 0, 1, 1, 1, 1, 1, 0]})
    >>> [(row.group, row.level, row.n) for row in outcomes_by_group(frame).rows]
    [('low', 'event', 1), ('low', 'no event', 4), ('high', 'event', 4), ('high', 'no event', 1)]
    """
    named = dict(causes or {0: "no event", 1: "event", 2: "competing event"})
    codes = frame["cause"] if "cause" in frame else frame["event"].astype(int)
    labels = np.array([named[int(c)] for c in codes], dtype=object)
    return _counted(frame["group"].to_numpy(object), labels)
