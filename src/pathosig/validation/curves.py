"""Kaplan-Meier curves, C-index and AUC of one cohort, as values of results.json."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pathosig.signature.model import HIGH, LOW
from pathosig.survival import (
    kaplan_meier,
    time_auc,
)
from pathosig.survival.concordance import Concordance as ConcordanceIndex
from pathosig.survival.curves import KaplanMeier as KaplanMeierCurve
from pathosig.validation.analysis import AucAt
from pathosig.validation.values import (
    AtRisk,
    Concordance,
    Curve,
    KaplanMeier,
    SurvivalAt,
    finite,
    numbers,
)

GROUPS = (LOW, HIGH)


def concordance(index: ConcordanceIndex) -> Concordance:
    """A C-index as a value of results.json.

    Parameters
    ----------
    index
        From `survival.harrell_c` or `survival.uno_c`.

    Returns
    -------
    Concordance

    Examples
    --------
    >>> from pathosig.survival import harrell_c
    >>> value = concordance(harrell_c([3, 1, 2], [1, 3, 2], [1, 1, 0]))
    >>> value.estimate, value.tau
    (1.0, None)
    """
    return Concordance.of(index.c, index.lower, index.upper, se=finite(index.se), tau=index.tau)


def km_curves(
    time: np.ndarray,
    event: np.ndarray,
    group: np.ndarray,
    *,
    per_year: float,
    horizons: Sequence[float],
    labels: Sequence[str] = GROUPS,
    weights: np.ndarray | None = None,
    entry: np.ndarray | None = None,
) -> KaplanMeier:
    """Kaplan-Meier curves of groups, with medians, survival at the horizons, and numbers at risk.

    Parameters
    ----------
    time, event, group
        float[n], bool[n] and labels [n].
    per_year
        Units of time in a year.
    horizons
        Horizons in years.
    labels
        The groups, in the order of the result; those without patients are left out.
    weights
        float[n] case weights of the curves; numbers at risk are unweighted.
    entry
        float[n] times of delayed entry.

    Returns
    -------
    KaplanMeier

    Examples
    --------
    >>> time, event = np.array([5.0, 9, 20, 30]), np.array([True, True, True, False])
    >>> plot = km_curves(time, event, np.array(["high", "high", "low", "low"]), per_year=12.0, horizons=[1.0])
    >>> [(curve.label, curve.n, curve.estimate) for curve in plot.groups]
    [('low', 2, (0.5, 0.5)), ('high', 2, (0.5, 0.0))]
    """
    curves = []
    ticks = _risk_ticks(float(time.max()), per_year)
    at_risk: dict[str, tuple[int, ...]] = {}
    for label in labels:
        rows = group == label
        if not rows.any():
            continue
        late = None if entry is None else entry[rows]
        counts = kaplan_meier(time[rows], event[rows], entry=late)
        curve = counts
        if weights is not None and (weights != 1).any():
            curve = kaplan_meier(time[rows], event[rows], weights=weights[rows], entry=late)
        reached = [y for y in horizons if y * per_year <= float(time[rows].max())]
        curves.append(
            Curve(
                label=label,
                n=int(rows.sum()),
                events=int(event[rows].sum()),
                time=tuple(curve.time.tolist()),
                estimate=numbers(curve.survival),
                lower=numbers(curve.lower),
                upper=numbers(curve.upper),
                n_risk=_counts(counts.n_risk),
                n_event=_counts(counts.n_event),
                n_censor=_counts(counts.n_censor),
                median=numbers(curve.median),
                survival_at=tuple(
                    _survival_at(curve, years, years * per_year, int(counts.at_risk(years * per_year)))
                    for years in reached
                ),
            )
        )
        at_risk[label] = _counts(np.atleast_1d(counts.at_risk(np.array(ticks))))
    return KaplanMeier(groups=tuple(curves), at_risk=AtRisk(time=tuple(ticks), groups=at_risk))


def _counts(values: np.ndarray) -> tuple[int, ...]:
    return tuple(int(v) for v in values)


def _survival_at(curve: KaplanMeierCurve, years: float, when: float, at_risk: int) -> SurvivalAt:
    return SurvivalAt.of(*curve.survival_at(when), years=years, time=when, n_risk=at_risk)


def _risk_ticks(longest: float, per_year: float) -> list[float]:
    """Times of the risk table, at most eight: multiples of a number of years, or of parts of a year for short follow-up."""
    years = longest / per_year
    for step in (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0):
        if years / step <= 7:
            break
    return [float(round(i * step * per_year, 6)) for i in range(int(years / step) + 1)]


def auc_rows(
    score: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    *,
    per_year: float,
    horizons: Sequence[float],
    entry: np.ndarray | None = None,
    competing: np.ndarray | None = None,
) -> tuple[AucAt, ...]:
    """AUC at the horizons at which there are at least five patients at risk and five earlier events.

    Parameters
    ----------
    score, time, event
        float[n], float[n] and bool[n]; higher scores mean higher risk.
    per_year
        Units of time in a year.
    horizons
        Horizons in years.
    entry
        float[n] times of delayed entry.
    competing
        bool[n]: whether the follow-up of each patient ended with a competing event.

    Returns
    -------
    tuple of AucAt
        One for each horizon that meets the condition.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> score = rng.normal(size=60)
    >>> time, event = rng.exponential(20 * np.exp(-score)), np.ones(60, bool)
    >>> rows = auc_rows(score, time, event, per_year=12.0, horizons=[1.0, 30.0])
    >>> [(row.years, round(row.estimate, 2)) for row in rows]
    [(1.0, 0.71)]
    """
    rows = []
    for years in horizons:
        when = years * per_year
        at_risk = int(((time >= when) & (True if entry is None else entry < when)).sum())
        events = int((event & (time <= when)).sum())
        if at_risk < 5 or events < 5:
            continue
        auc = time_auc(score, time, event, times=[when], entry=entry, competing=competing)
        rows.append(
            AucAt.of(
                auc.auc[0], auc.lower[0], auc.upper[0], years=years, time=when, n_risk=at_risk, events=events
            )
        )
    return tuple(rows)
