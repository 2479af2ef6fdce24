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
    """Rows of performance.csv: one for each cohort, endpoint and measure."""
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
    """The values, or none where they were not estimable."""
    return () if isinstance(values, NotEstimable) else values


def key_columns(a: Analysis) -> Row:
    """Which analysis a row belongs to."""
    return {"cohort": a.cohort, "endpoint": a.endpoint, "role": a.role}


def interval_columns(value: Estimate) -> Row:
    """An estimate with its confidence interval."""
    return {"estimate": value.estimate, "lower": value.lower, "upper": value.upper}


def hr_columns(value: HazardRatio | NotEstimable, *, name: str = "hr") -> Row:
    """A hazard ratio with its confidence interval and p; None where it was not estimable."""
    if isinstance(value, NotEstimable):
        return {name: None, "lower": None, "upper": None, "p": None}
    return {name: value.hr, "lower": value.lower, "upper": value.upper, "p": value.p}
