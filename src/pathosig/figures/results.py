"""From the results of a validation to what the figures draw: reading, never computing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from pathosig.core.words import counted
from pathosig.figures.forest import ForestRow
from pathosig.figures.km import KmCurve, KmData, km_figure, km_grid
from pathosig.figures.style import estimate_text
from pathosig.figures.titles import cohort_title, endpoint_title, level_title, risk_label, variable_title
from pathosig.validation.analysis import Analysis
from pathosig.validation.results import PooledEffect, Results
from pathosig.validation.values import ChiSquare, HazardRatio, NotEstimable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pathosig.validation.analysis import ForestRow as ModelRow
    from pathosig.validation.analysis import SubgroupLevel
    from pathosig.validation.values import Curve

T = TypeVar("T")

FEWEST_EVENTS = 5
"""Below this many events a subgroup's hazard ratio is not printed: its interval says nothing."""


def known(value: T | NotEstimable) -> T | None:
    """The value, or None where it was not estimable."""
    return None if isinstance(value, NotEstimable) else value


def floats(values: Sequence[float | None]) -> list[float]:
    """Numbers of a curve; missing ones are NaN."""
    return [math.nan if v is None else float(v) for v in values]


def p_of(test: ChiSquare | NotEstimable) -> float | None:
    """The p-value of a test, None where it was not estimable."""
    return None if isinstance(test, NotEstimable) else test.p


def km_curve(curve: Curve, *, label: str = "") -> KmCurve:
    """One group of a Kaplan-Meier panel."""
    median = (*curve.median, None, None, None)[:3]
    return KmCurve(
        label=label or risk_label(curve.label),
        time=curve.time,
        estimate=floats(curve.estimate),
        lower=floats(curve.lower),
        upper=floats(curve.upper),
        n_risk=curve.n_risk,
        n_event=curve.n_event,
        n_censor=curve.n_censor,
        n=curve.n,
        events=curve.events,
        median=(median[0], median[1], median[2]),
    )


def km_data(analysis: Analysis, *, title: str = "") -> KmData:
    """The Kaplan-Meier panel of one analysis."""
    km, effect = known(analysis.km), known(analysis.hr_group)
    return KmData(
        title=title or analysis_title(analysis),
        unit=analysis.unit,
        endpoint=endpoint_title(analysis.endpoint),
        curves=[] if km is None else [km_curve(g) for g in km.groups],
        logrank_p=p_of(analysis.logrank),
        hr=None if effect is None else (effect.hr, effect.lower, effect.upper),
        hr_label="high vs low",
    )


def analysis_title(analysis: Analysis) -> str:
    """Cohort, and whether it is apparent or cross-validated."""
    text = cohort_title(analysis.cohort)
    if analysis.role == "cross-validated":
        return f"{text} (cross-validated)"
    return f"{text} (apparent)" if analysis.apparent else text


def km_of_results(
    validation: Results | Analysis, *, cohort: str | None = None, endpoint: str | None = None
) -> Figure:
    """Kaplan-Meier curves by risk group with risk tables, one panel per cohort and endpoint.

    Raises
    ------
    ValueError
        If there is no such panel.
    """
    analyses = [validation] if isinstance(validation, Analysis) else validation.analyses
    chosen = [
        a
        for a in analyses
        if cohort in (None, a.cohort) and endpoint in (None, a.endpoint) and known(a.km) is not None
    ]
    if not chosen:
        message = f"km_plot: no Kaplan-Meier curves for cohort {cohort!r} and endpoint {endpoint!r}."
        raise ValueError(message)
    panels = [km_data(a) for a in chosen]
    return km_figure(panels[0]) if len(panels) == 1 else km_grid(panels)


def hr_row(label: str, value: HazardRatio | NotEstimable, *, level: int = 0) -> ForestRow:
    """A row of a forest plot from a hazard ratio, or the reason why there is none."""
    if isinstance(value, NotEstimable):
        return ForestRow(label=label, level=level, remark=short_reason(value))
    return ForestRow(
        label=label,
        hr=value.hr,
        lower=value.lower,
        upper=_upper(value),
        n=value.n,
        events=value.events,
        p=value.p,
        level=level,
        remark=value.remark if value.hr is not None else value.remark or "not estimable",
    )


def short_reason(value: NotEstimable) -> str:
    """A reason that fits the column of estimates."""
    return value.reason if len(value.reason) <= 28 else "not estimable"


def model_row(row: ModelRow) -> ForestRow:
    """One row of a uni- or multivariable model."""
    label = variable_title(row.label) if row.level_depth == 0 else level_title(row.level or row.label)
    effect = known(row.effect)
    if row.kind != "estimate":
        counts = (None, None) if row.kind == "heading" else (row.n, row.events)
        return ForestRow(label=label, kind=row.kind, level=row.level_depth, n=counts[0], events=counts[1])
    drawn = hr_row(label, row.effect if effect is None else effect, level=row.level_depth)
    counted = row.level_depth or row.n is not None
    return replace(drawn, n=row.n, events=row.events) if counted else drawn


def subgroup_row(row: SubgroupLevel) -> ForestRow:
    """A level of a subgroup; with fewer than five events the row says so in place of an estimate."""
    label = level_title(row.level)
    if row.events < FEWEST_EVENTS:
        remark = f"not estimable ({counted(row.events, 'event')})"
        return ForestRow(label=label, n=row.n, events=row.events, level=1, remark=remark)
    return hr_row(label, row.effect, level=1)


def _upper(value: HazardRatio) -> float | None:
    """The upper bound; a missing one beside a known lower bound is infinite (JSON has no infinity)."""
    unbounded = value.upper is None and value.hr is not None and value.lower is not None
    return math.inf if unbounded else value.upper


def pooled_rows(pool: PooledEffect, models: Mapping[str, HazardRatio]) -> list[ForestRow]:
    """Cohorts and the diamond of a random-effects pool.

    Parameters
    ----------
    pool
        The pooled effect.
    models
        Cohort -> the model whose effect was pooled, for patients, events and p of its row.
    """
    rows = []
    for c in pool.cohorts:
        row = ForestRow(label=cohort_title(c.cohort), hr=c.estimate, lower=c.lower, upper=c.upper)
        model = models.get(c.cohort)
        rows.append(row if model is None else replace(row, n=model.n, events=model.events, p=model.p))
    counted = [r for r in rows if r.n is not None and r.events is not None]
    whole = len(counted) == len(rows)
    ends = [v for v in pool.prediction if v is not None]
    rows.append(
        ForestRow(
            label="Pooled, random effects",
            hr=pool.estimate,
            lower=pool.lower,
            upper=pool.upper,
            n=sum(r.n or 0 for r in counted) if whole else None,
            events=sum(r.events or 0 for r in counted) if whole else None,
            p=pool.p,
            kind="pooled",
            prediction=(ends[0], ends[1]) if len(ends) == 2 else None,
        )
    )
    return rows


def hr_text(value: HazardRatio | NotEstimable) -> str:
    """A hazard ratio with its confidence interval, or the reason why there is none."""
    if isinstance(value, NotEstimable):
        return value.reason
    return estimate_text(value.hr, value.lower, _upper(value))
