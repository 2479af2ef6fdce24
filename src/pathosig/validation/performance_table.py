"""The table of performance: one row per cohort, endpoint and measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

from pathosig.validation.analysis import (
    Analysis,
    Calibration,
    IntegratedBrier,
)
from pathosig.validation.values import (
    ChiSquare,
    Estimate,
    HazardRatio,
    NotEstimable,
)

_T = TypeVar("_T")
Row: TypeAlias = dict[str, str | int | float | bool | None]


def performance_rows(analyses: Sequence[Analysis]) -> list[Row]:
    """Rows of performance.csv: one for each cohort, endpoint and measure.

    Parameters
    ----------
    analyses
        All analyses of a validation.

    Returns
    -------
    One dict per row, by column.

    Examples
    --------
    >>> from pathosig.validation.analysis import Analysis
    >>> from pathosig.validation.values import Concordance
    >>> c = Concordance.of(0.65, 0.58, 0.72)
    >>> a = Analysis(
    ...     cohort="v1", endpoint="os", unit="months", role="validation", primary=True, n=90, events=40, harrell_c=c
    ... )
    >>> row = next(row for row in performance_rows([a]) if row["measure"] == "harrell_c")
    >>> row["cohort"], row["estimate"], row["lower"], row["upper"]
    ('v1', 0.65, 0.58, 0.72)
    """
    return [row for a in analyses for row in _performance(a)]


def _performance(a: Analysis) -> list[Row]:
    base: Row = {**key_columns(a), "unit": a.unit}
    count: Row = {"n": a.n, "events": a.events}

    def row(measure: str, values: Row, years: float | None = None) -> Row:
        empty: Row = {"estimate": None, "lower": None, "upper": None, "p": None}
        return {**base, "measure": measure, "years": years, **empty, **values, **count}

    rows = []
    for name in ("harrell_c", "uno_c", "hr_sd", "hr_group", "logrank", "follow_up"):
        value = getattr(a, name)
        if isinstance(value, HazardRatio):
            rows.append(row(name, hr_columns(value, name="estimate")))
        elif isinstance(value, ChiSquare):
            rows.append(row(name, {"estimate": value.statistic, "p": value.p}))
        elif isinstance(value, Estimate):
            rows.append(row(name, {**interval_columns(value), "p": value.p}))
    rows += [row("auc", interval_columns(at), at.years) for at in estimable(a.auc)]
    rows += [row("brier_difference", interval_columns(at.difference), at.years) for at in estimable(a.brier)]
    if isinstance(a.ibs, IntegratedBrier):
        rows.append(row("ibs_difference", interval_columns(a.ibs.difference)))
    if isinstance(a.calibration, Calibration):
        rows.append(row("calibration_slope", interval_columns(a.calibration.slope)))
        for at in a.calibration.horizons:
            ratio: Row = {"estimate": at.ratio, "lower": at.lower, "upper": at.upper}
            rows.append(row("observed_expected", ratio, at.years))
    return rows


def estimable(values: tuple[_T, ...] | NotEstimable) -> tuple[_T, ...]:
    """The values; empty if they could not be estimated.

    Parameters
    ----------
    values
        A tuple of values, or the reason why there are none.

    Returns
    -------
    The tuple of values.

    Examples
    --------
    >>> from pathosig.validation.values import NotEstimable
    >>> estimable((1, 2)), estimable(NotEstimable(reason="no events"))
    ((1, 2), ())
    """
    return () if isinstance(values, NotEstimable) else values


def key_columns(a: Analysis) -> Row:
    """Columns that identify the analysis to which a row of a table belongs.

    Parameters
    ----------
    a
        The analysis.

    Returns
    -------
    The columns cohort, endpoint and role.

    Examples
    --------
    >>> from pathosig.validation.analysis import Analysis
    >>> key_columns(Analysis(cohort="v1", endpoint="os", unit="months", role="validation", primary=True, n=90, events=40))
    {'cohort': 'v1', 'endpoint': 'os', 'role': 'validation'}
    """
    return {"cohort": a.cohort, "endpoint": a.endpoint, "role": a.role}


def interval_columns(value: Estimate) -> Row:
    """An estimate and its confidence interval as columns of a table.

    Parameters
    ----------
    value
        The estimate.

    Returns
    -------
    The columns estimate, lower and upper.

    Examples
    --------
    >>> interval_columns(Estimate.of(0.65, 0.58, 0.72))
    {'estimate': 0.65, 'lower': 0.58, 'upper': 0.72}
    """
    return {"estimate": value.estimate, "lower": value.lower, "upper": value.upper}


def hr_columns(value: HazardRatio | NotEstimable, *, name: str = "hr") -> Row:
    """A hazard ratio, its confidence interval and p-value as columns of a table; None if it could not be estimated.

    Parameters
    ----------
    value
        The hazard ratio, or the reason why there is none.
    name
        Name of the column of the hazard ratio.

    Returns
    -------
    The column `name` and the columns lower, upper and p.

    Examples
    --------
    >>> hr_columns(HazardRatio(hr=1.8, lower=1.2, upper=2.7, p=0.004, n=90, events=40))
    {'hr': 1.8, 'lower': 1.2, 'upper': 2.7, 'p': 0.004}
    """
    if isinstance(value, NotEstimable):
        return {name: None, "lower": None, "upper": None, "p": None}
    return {name: value.hr, "lower": value.lower, "upper": value.upper, "p": value.p}
