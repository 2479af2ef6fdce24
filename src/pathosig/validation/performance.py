"""One cohort, one endpoint: discrimination, calibration and effect of a frozen score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import NotEstimableError
from pathosig.signature.model import HIGH, LOW, Signature
from pathosig.survival import (
    cox,
    default_tau,
    harrell_c,
    kaplan_meier,
    logrank,
    ph_test,
    reverse_kaplan_meier,
    rmst,
    time_auc,
    uno_c,
)
from pathosig.survival.concordance import Concordance as ConcordanceIndex
from pathosig.survival.curves import KaplanMeier as KaplanMeierCurve
from pathosig.validation.analysis import Analysis, AucAt, Piece, ProportionalHazards, RestrictedMeans, Spline
from pathosig.validation.associations import outcomes_by_group
from pathosig.validation.calibrate import Predicts, calibration_of
from pathosig.validation.clinical_values import ClinicalCohort
from pathosig.validation.error import overall_error
from pathosig.validation.estimates import hazard_ratio
from pathosig.validation.values import (
    Z95,
    AtRisk,
    ChiSquare,
    Concordance,
    Curve,
    Estimate,
    KaplanMeier,
    NotEstimable,
    SurvivalAt,
    attempt,
    finite,
    numbers,
)

GROUPS = (LOW, HIGH)
Judged = TypeVar("Judged", Analysis, ClinicalCohort)


def analyse(
    row: Analysis,
    frame: pd.DataFrame,
    *,
    signature: Signature | None,
    sd: float,
    per_year: float,
    horizons: Sequence[float] = (1.0, 3.0, 5.0),
    bootstraps: int = 200,
    seed: int = 0,
) -> Analysis:
    """All numbers of one cohort and endpoint.

    Parameters
    ----------
    row
        Which cohort and endpoint; the rest of it is filled.
    frame
        Assessable patients with an outcome: score, group, time, event.
    signature
        For predicted survival; None skips calibration (another endpoint than the signature's, or cross-validation).
    sd
        SD of the score in discovery: the unit of the primary effect.
    per_year
        Units of time in a year.
    horizons
        Years.
    bootstraps, seed
        Resamples for the confidence intervals of differences.
    """
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    score = frame["score"].to_numpy(float)
    group = frame["group"].to_numpy(object)
    high = (group == HIGH).astype(float)
    scaled = score / (sd if sd > 0 else 1.0)
    row = replace(
        row,
        n=len(frame),
        events=int(event.sum()),
        follow_up=attempt(_follow_up, time, event),
        km=attempt(_group_curves, time, event, group, per_year=per_year, horizons=horizons),
        logrank=attempt(_logrank_of, time, event, group),
        hr_sd=hazard_ratio(scaled, time, event),
        hr_group=hazard_ratio(high, time, event),
        harrell_c=attempt(lambda: concordance(harrell_c(score, time, event))),
        uno_c=attempt(lambda: concordance(uno_c(score, time, event, tau=default_tau(time)))),
        auc=attempt(auc_rows, score, time, event, per_year=per_year, horizons=horizons),
        spline=attempt(_spline, scaled, time, event),
        ph=attempt(_proportional, scaled, high, time, event),
        rmst=attempt(_rmst_of, time, event, group),
        outcome_counts=attempt(outcomes_by_group, frame),
    )
    if signature is None:
        return row
    return with_predictions(
        row, signature, score, time, event,
        per_year=per_year, horizons=horizons, bootstraps=bootstraps, seed=seed,
    )  # fmt: skip


def with_predictions(
    row: Judged,
    model: Predicts,
    score: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    *,
    per_year: float,
    horizons: Sequence[float],
    bootstraps: int,
    seed: int,
) -> Judged:
    """`row` with calibration and overall error of the survival that a frozen model predicts from `score`."""
    errors = attempt(
        overall_error,
        model,
        score,
        time,
        event,
        per_year=per_year,
        horizons=horizons,
        bootstraps=bootstraps,
        seed=seed,
    )
    return replace(
        row,
        calibration=attempt(calibration_of, model, score, time, event, per_year=per_year, horizons=horizons),
        brier=errors if isinstance(errors, NotEstimable) else errors.brier,
        ibs=errors if isinstance(errors, NotEstimable) else errors.ibs,
    )


def _follow_up(time: np.ndarray, event: np.ndarray) -> Estimate:
    """Median follow-up by reverse Kaplan-Meier."""
    return Estimate.of(*reverse_kaplan_meier(time, event).median)


def concordance(index: ConcordanceIndex) -> Concordance:
    """A C-index as an estimate."""
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
) -> KaplanMeier:
    """Curves, medians, survival at the horizons and numbers at risk; with weights the numbers are still of patients."""
    curves = []
    ticks = _risk_ticks(float(time.max()), per_year)
    at_risk: dict[str, tuple[int, ...]] = {}
    for label in labels:
        rows = group == label
        if not rows.any():
            continue
        counts = kaplan_meier(time[rows], event[rows])
        curve = counts
        if weights is not None and (weights != 1).any():
            curve = kaplan_meier(time[rows], event[rows], weights=weights[rows])
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


def _group_curves(
    time: np.ndarray, event: np.ndarray, group: np.ndarray, *, per_year: float, horizons: Sequence[float]
) -> KaplanMeier:
    """Curves of the risk groups; one group alone would be a label without meaning."""
    _require_groups(group)
    return km_curves(time, event, group, per_year=per_year, horizons=horizons)


def _require_groups(group: np.ndarray) -> None:
    labels = sorted({str(g) for g in group})
    if len(labels) < 2:
        message = f"all patients are in one group ({labels[0] if labels else 'none'})"
        raise NotEstimableError(message)


def _counts(values: np.ndarray) -> tuple[int, ...]:
    return tuple(int(v) for v in values)


def _survival_at(curve: KaplanMeierCurve, years: float, when: float, at_risk: int) -> SurvivalAt:
    return SurvivalAt.of(*curve.survival_at(when), years=years, time=when, n_risk=at_risk)


def _risk_ticks(longest: float, per_year: float) -> list[float]:
    """Times of the risk table: whole years, or parts of one for short follow-up, at most eight."""
    years = longest / per_year
    for step in (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0):
        if years / step <= 7:
            break
    return [float(round(i * step * per_year, 6)) for i in range(int(years / step) + 1)]


def _logrank_of(time: np.ndarray, event: np.ndarray, group: np.ndarray) -> ChiSquare:
    """Log-rank test of the groups.

    Raises
    ------
    NotEstimableError
        If all patients are in one group.
    """
    _require_groups(group)
    test = logrank(time, event, group.astype(str))
    return ChiSquare(statistic=finite(test.statistic), df=test.df, p=finite(test.p))


def auc_rows(
    score: np.ndarray, time: np.ndarray, event: np.ndarray, *, per_year: float, horizons: Sequence[float]
) -> tuple[AucAt, ...]:
    """AUC at the horizons that follow-up reaches."""
    rows = []
    for years in horizons:
        when = years * per_year
        at_risk = int((time >= when).sum())
        events = int((event & (time <= when)).sum())
        if at_risk < 5 or events < 5:
            continue
        auc = time_auc(score, time, event, times=[when])
        rows.append(
            AucAt.of(
                auc.auc[0], auc.lower[0], auc.upper[0], years=years, time=when, n_risk=at_risk, events=events
            )
        )
    return tuple(rows)


def _spline_basis(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Restricted cubic spline (Harrell): float[n, len(knots) - 1], first column linear."""
    last, before = knots[-1], knots[-2]
    columns = [x]
    for knot in knots[:-2]:
        cubic = np.maximum(x - knot, 0) ** 3
        cubic -= np.maximum(x - before, 0) ** 3 * (last - knot) / (last - before)
        cubic += np.maximum(x - last, 0) ** 3 * (before - knot) / (last - before)
        columns.append(cubic / (last - knots[0]) ** 2)
    return np.column_stack(columns)


def _spline(scaled: np.ndarray, time: np.ndarray, event: np.ndarray) -> Spline:
    """Effect over the continuous score (4 knots) and the test that it is a straight line.

    Raises
    ------
    NotEstimableError
        With fewer than 20 events or a score of few values.
    """
    knots = np.quantile(scaled, [0.05, 0.35, 0.65, 0.95])
    if event.sum() < 20 or len(np.unique(knots)) < 4:
        message = f"{int(event.sum())} events; a spline needs 20 and a score that varies"
        raise NotEstimableError(message)
    basis = _spline_basis(scaled, knots)
    center = basis.mean(0)
    spread = basis.std(0)
    fit = cox((basis - center) / spread, time, event)
    line = cox(scaled[:, None], time, event)
    statistic = max(0.0, 2 * (fit.loglik - line.loglik))
    ends = np.quantile(scaled, [0.02, 0.98])
    grid = np.linspace(ends[0], ends[1], 41)
    shifted = (_spline_basis(grid, knots) - _spline_basis(np.zeros(1), knots)) / spread
    log_hr = shifted @ fit.coef
    se = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", shifted, fit.covariance, shifted), 0))
    return Spline(
        p_nonlinear=float(stats.chi2.sf(statistic, basis.shape[1] - 1)),
        score=tuple(grid.tolist()),
        hr=numbers(np.exp(log_hr)),
        lower=numbers(np.exp(log_hr - Z95 * se)),
        upper=numbers(np.exp(log_hr + Z95 * se)),
        knots=tuple(knots.tolist()),
    )


def _ph_test(column: np.ndarray, time: np.ndarray, event: np.ndarray) -> ChiSquare:
    if not column.std() > 0:
        message = "the column does not vary"
        raise NotEstimableError(message)
    test = ph_test(cox(column[:, None], time, event), transform="km")
    return ChiSquare(statistic=finite(test.global_statistic), df=test.global_df, p=finite(test.global_p))


def _proportional(
    scaled: np.ndarray, high: np.ndarray, time: np.ndarray, event: np.ndarray
) -> ProportionalHazards:
    """Score tests of proportional hazards, and hazard ratios before and after the median event time."""
    score = attempt(_ph_test, scaled, time, event)
    violated = isinstance(score, ChiSquare) and score.p is not None and score.p < 0.05
    pieces: tuple[Piece, ...] = ()
    if event.sum() >= 20 and scaled.std() > 0:
        middle = float(np.median(time[event]))
        early = hazard_ratio(scaled, np.minimum(time, middle), event & (time <= middle))
        late = time > middle
        pieces = (
            Piece(start=0.0, end=middle, effect=early),
            Piece(
                start=middle,
                end=float(time.max()),
                effect=hazard_ratio(scaled[late], time[late], event[late]),
            ),
        )
    return ProportionalHazards(
        score=score, group=attempt(_ph_test, high, time, event), violated=violated, piecewise=pieces
    )


def _rmst_of(time: np.ndarray, event: np.ndarray, group: np.ndarray) -> RestrictedMeans:
    """Restricted mean survival of the groups up to the time with ten patients at risk in each, high minus low.

    Raises
    ------
    NotEstimableError
        If there is one group only.
    """
    present = [g for g in GROUPS if (group == g).any()]
    if len(present) < 2:
        message = "one group only"
        raise NotEstimableError(message)
    ends = [np.sort(time[group == g])[::-1] for g in present]
    tau = float(min(e[min(9, len(e) - 1)] for e in ends))
    low, high = (rmst(time[group == g], event[group == g], tau=tau) for g in GROUPS)
    difference = high.estimate - low.estimate
    se = float(np.hypot(high.se, low.se))
    p = float(2 * stats.norm.sf(abs(difference / se))) if se > 0 else None
    return RestrictedMeans(
        tau=tau,
        low=Estimate.of(low.estimate, low.lower, low.upper),
        high=Estimate.of(high.estimate, high.lower, high.upper),
        difference=Estimate.of(difference, difference - Z95 * se, difference + Z95 * se, p=p),
    )
