"""Discrimination, calibration and effect of a frozen score for one endpoint in one cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import NotEstimableError
from pathosig.core.words import counted
from pathosig.signature.model import HIGH, Signature
from pathosig.survival import (
    cox,
    default_tau,
    harrell_c,
    logrank,
    reverse_kaplan_meier,
    rmst,
    uno_c,
)
from pathosig.validation.analysis import Analysis, RestrictedMeans, Spline
from pathosig.validation.associations import outcomes_by_group
from pathosig.validation.calibrate import Predicts, calibration_of
from pathosig.validation.clinical_values import ClinicalCohort
from pathosig.validation.curves import GROUPS, auc_rows, concordance, km_curves
from pathosig.validation.error import overall_error
from pathosig.validation.estimates import entry_of, hazard_ratio
from pathosig.validation.proportional import proportional
from pathosig.validation.values import (
    Z95,
    ChiSquare,
    Estimate,
    KaplanMeier,
    NotEstimable,
    attempt,
    finite,
    numbers,
)

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
    """Performance of a score in one cohort and for one endpoint.

    Parameters
    ----------
    row
        Cohort, endpoint, unit and role.
    frame
        Assessable patients with an outcome: score, group, time, event and, with delayed entry, `entry`.
    signature
        The frozen signature, for predicted survival; None leaves calibration and Brier scores out (for other endpoints than
        that of the signature, and in cross-validation).
    sd
        Standard deviation of the score in discovery, which is the unit of the primary effect.
    per_year
        Units of time in a year.
    horizons
        Horizons in years.
    bootstraps, seed
        Number of resamples for the confidence intervals of differences, and their seed.

    Returns
    -------
    `row` with all values; those that cannot be estimated are `NotEstimable`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"score": rng.normal(size=80), "event": True})
    >>> frame = frame.assign(group=np.where(frame["score"] > 0, "high", "low"))
    >>> frame["time"] = rng.exponential(20 * np.exp(-frame["score"]))
    >>> row = Analysis(cohort="v1", endpoint="os", unit="months", role="validation", primary=True, n=0, events=0)
    >>> row = analyse(row, frame, signature=None, sd=1.0, per_year=12.0, bootstraps=5)
    >>> row.n, round(row.hr_sd.hr, 2), round(row.hr_group.hr, 2), round(row.harrell_c.estimate, 2)
    (80, 3.14, 6.65, 0.73)
    """
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    score = frame["score"].to_numpy(float)
    group = frame["group"].to_numpy(object)
    high = (group == HIGH).astype(float)
    scaled = score / (sd if sd > 0 else 1.0)
    entry = entry_of(frame)
    row = replace(
        row,
        n=len(frame),
        events=int(event.sum()),
        follow_up=attempt(_follow_up, time, event, entry=entry),
        km=attempt(_group_curves, time, event, group, per_year=per_year, horizons=horizons, entry=entry),
        logrank=attempt(_logrank_of, time, event, group, entry=entry),
        hr_sd=hazard_ratio(scaled, time, event, entry=entry),
        hr_group=hazard_ratio(high, time, event, entry=entry),
        harrell_c=attempt(lambda: concordance(harrell_c(score, time, event, entry=entry))),
        uno_c=attempt(lambda: concordance(uno_c(score, time, event, tau=default_tau(time), entry=entry))),
        auc=attempt(auc_rows, score, time, event, per_year=per_year, horizons=horizons, entry=entry),
        spline=attempt(_spline, scaled, time, event, entry=entry),
        ph=attempt(proportional, scaled, high, time, event, entry=entry),
        rmst=attempt(_rmst_of, time, event, group, entry=entry),
        outcome_counts=attempt(outcomes_by_group, frame),
    )
    if signature is None:
        return row
    return with_predictions(
        row,
        signature,
        score,
        time,
        event,
        per_year=per_year,
        horizons=horizons,
        bootstraps=bootstraps,
        seed=seed,
        entry=entry,
    )


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
    entry: np.ndarray | None = None,
) -> Judged:
    """An analysis with calibration and overall error of the survival that a frozen model predicts.

    Parameters
    ----------
    row
        The analysis.
    model
        The frozen model.
    score
        float[n]: its score or linear predictor.
    time, event
        float[n] and bool[n] of the cohort.
    per_year
        Units of time in a year.
    horizons
        Horizons in years.
    bootstraps, seed
        Number of resamples for the intervals of differences, and their seed.
    entry
        float[n] times of delayed entry.

    Returns
    -------
    `row` with calibration, Brier scores and integrated Brier score.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> rng = np.random.default_rng(0)
    >>> score = rng.normal(size=100)
    >>> time, event = rng.exponential(20 * np.exp(-score)), np.ones(100, bool)
    >>> def survival_at(predictor, times):
    ...     return np.exp(-np.outer(np.exp(predictor), np.asarray(times) / 20))
    >>> model = SimpleNamespace(survival_at=survival_at, baseline=SimpleNamespace(unit="months", until=time.max()))
    >>> row = Analysis(cohort="v1", endpoint="os", unit="months", role="validation", primary=True, n=100, events=100)
    >>> row = with_predictions(row, model, score, time, event, per_year=12.0, horizons=[1.0], bootstraps=5, seed=0)
    >>> round(row.calibration.slope.estimate, 2), round(row.brier[0].scaled, 2)
    (1.21, 0.4)
    """
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
        entry=entry,
    )
    return replace(
        row,
        calibration=attempt(
            calibration_of, model, score, time, event, per_year=per_year, horizons=horizons, entry=entry
        ),
        brier=errors if isinstance(errors, NotEstimable) else errors.brier,
        ibs=errors if isinstance(errors, NotEstimable) else errors.ibs,
    )


def _follow_up(time: np.ndarray, event: np.ndarray, entry: np.ndarray | None = None) -> Estimate:
    """Median follow-up by reverse Kaplan-Meier."""
    return Estimate.of(*reverse_kaplan_meier(time, event, entry=entry).median)


def _group_curves(
    time: np.ndarray,
    event: np.ndarray,
    group: np.ndarray,
    *,
    per_year: float,
    horizons: Sequence[float],
    entry: np.ndarray | None,
) -> KaplanMeier:
    """Kaplan-Meier curves of the risk groups; not estimable if all patients are in one group."""
    _require_groups(group)
    return km_curves(time, event, group, per_year=per_year, horizons=horizons, entry=entry)


def _require_groups(group: np.ndarray) -> None:
    labels = sorted({str(g) for g in group})
    if len(labels) < 2:
        message = f"all patients are in one group ({labels[0] if labels else 'none'})"
        raise NotEstimableError(message)


def _logrank_of(
    time: np.ndarray, event: np.ndarray, group: np.ndarray, entry: np.ndarray | None = None
) -> ChiSquare:
    """Log-rank test of the groups; with delayed entry the score test of the Cox model, which is equal to it without ties.

    Raises
    ------
    NotEstimableError
        If all patients are in one group.
    """
    _require_groups(group)
    if entry is not None:
        labels = sorted({str(g) for g in group})[1:]
        columns = np.column_stack([group.astype(str) == label for label in labels]).astype(float)
        score = cox(columns, time, event, entry=entry).score_test
        return ChiSquare(statistic=finite(score.statistic), df=score.df, p=finite(score.p))
    test = logrank(time, event, group.astype(str))
    return ChiSquare(statistic=finite(test.statistic), df=test.df, p=finite(test.p))


def _spline_basis(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Restricted cubic spline (Harrell): float[n, len(knots) - 1], of which the first column is linear."""
    last, before = knots[-1], knots[-2]
    columns = [x]
    for knot in knots[:-2]:
        cubic = np.maximum(x - knot, 0) ** 3
        cubic -= np.maximum(x - before, 0) ** 3 * (last - knot) / (last - before)
        cubic += np.maximum(x - last, 0) ** 3 * (before - knot) / (last - before)
        columns.append(cubic / (last - knots[0]) ** 2)
    return np.column_stack(columns)


def _spline(
    scaled: np.ndarray, time: np.ndarray, event: np.ndarray, entry: np.ndarray | None = None
) -> Spline:
    """Effect of the continuous score as a spline with 4 knots, and the test of linearity.

    Raises
    ------
    NotEstimableError
        If there are fewer than 20 events, or the score has few distinct values.
    """
    knots = np.quantile(scaled, [0.05, 0.35, 0.65, 0.95])
    if event.sum() < 20 or len(np.unique(knots)) < 4:
        message = f"{counted(int(event.sum()), 'event')}; a spline needs 20 and a score that varies"
        raise NotEstimableError(message)
    basis = _spline_basis(scaled, knots)
    center = basis.mean(0)
    spread = basis.std(0)
    fit = cox((basis - center) / spread, time, event, entry=entry)
    line = cox(scaled[:, None], time, event, entry=entry)
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


def _rmst_of(
    time: np.ndarray, event: np.ndarray, group: np.ndarray, entry: np.ndarray | None = None
) -> RestrictedMeans:
    """Restricted mean survival times of the groups up to the last time with ten patients at risk in each, high minus low.

    Raises
    ------
    NotEstimableError
        If all patients are in one group, or entry is delayed.
    """
    if entry is not None:
        raise NotEstimableError("restricted means: not available with delayed entry.")
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
