"""Calibration of absolute risks with competing events: frozen predictions against the Aalen-Johansen estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pathosig.core.clinical import UNITS
from pathosig.survival import IncidenceModel, cox, cumulative_incidence
from pathosig.survival.baseline import Baseline
from pathosig.validation.analysis import Analysis, Calibration, CalibrationAt
from pathosig.validation.calibrate import (
    FEWEST_OF_A_GROUP,
    calibration_groups,
    calibration_of,
    observed_against,
)
from pathosig.validation.curves import auc_rows
from pathosig.validation.error import overall_error
from pathosig.validation.values import Finding, NotEstimable, attempt


def frozen_incidence(baseline: Baseline, discovery: pd.DataFrame, *, per_year: float) -> IncidenceModel:
    """Absolute risk that a frozen signature predicts, with the hazard of the competing event estimated in discovery.

    The hazard of the event is that of the signature (log hazard ratio = score). The hazard of the competing event comes from a
    Cox model of the score.

    Parameters
    ----------
    baseline
        Baseline of the signature.
    discovery
        Discovery patients: score, time and cause, as `causes_of` gives them.
    per_year
        Units of their time in a year.

    Returns
    -------
    IncidenceModel
        Cause 1 is the event and cause 2 the competing event; times are in the unit of the baseline.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> discovery = pd.DataFrame({"score": rng.normal(size=100), "cause": rng.integers(0, 3, 100)})
    >>> discovery["time"] = rng.exponential(20, 100)
    >>> baseline = Baseline(time=(5.0, 12.0), survival=(0.9, 0.8), until=60.0)
    >>> model = frozen_incidence(baseline, discovery, per_year=12.0)
    >>> model.incidence_at([[0.0]], [12.0]).round(2)
    array([[0.18]])
    """
    time = discovery["time"].to_numpy(float) * UNITS[baseline.unit] / per_year
    fit = cox(discovery[["score"]].to_numpy(float), time, discovery["cause"].to_numpy(int) == 2)
    event = np.asarray(baseline.time, float), -np.log(np.maximum(baseline.survival, 1e-300))
    return IncidenceModel.of(
        causes=(1, 2),
        coef=np.array([[1.0], np.nan_to_num(fit.coef)]),
        hazards=[event, fit.baseline_hazard()],
        until=min(baseline.until, float(time.max())),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class FreeOfEvent:
    """A frozen model whose predicted survival is 1 - cumulative incidence of the event."""

    baseline: Baseline
    model: IncidenceModel

    def survival_at(self, predictor: np.ndarray, times: Sequence[float] | np.ndarray, /) -> np.ndarray:
        """1 - cumulative incidence, float[n, n_times], with times in the unit of the baseline; NaN beyond its follow-up."""
        return np.asarray(1 - self.model.incidence_at(np.asarray(predictor, float)[:, None], times))


def with_competing(
    row: Analysis,
    frame: pd.DataFrame,
    baseline: Baseline | None,
    model: IncidenceModel | NotEstimable,
    *,
    per_year: float,
    horizons: Sequence[float],
    bootstraps: int = 0,
    seed: int = 0,
) -> Analysis:
    """An analysis in which AUC, calibration and Brier score treat a competing event as an outcome and not as censoring.

    Parameters
    ----------
    row
        The analysis.
    frame
        Patients of the cohort: score, time and cause.
    baseline
        Baseline of the signature; None for an endpoint to which it was not fitted, for which there is only an AUC.
    model
        From `frozen_incidence`, or the reason why there is none.
    per_year
        Units of time of the cohort in a year.
    horizons
        Horizons in years.
    bootstraps, seed
        Number of resamples for the intervals of differences, and their seed.

    Returns
    -------
    Analysis

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"score": rng.normal(size=300), "cause": rng.integers(0, 3, 300)})
    >>> frame["time"] = rng.exponential(20 * np.exp(-frame["score"]))
    >>> row = Analysis(cohort="v1", endpoint="dfs", unit="months", role="validation", primary=True, n=300, events=100)
    >>> baseline = Baseline(time=(6.0, 12.0), survival=(0.9, 0.8), until=60.0)
    >>> model = frozen_incidence(baseline, frame, per_year=12.0)
    >>> row = with_competing(row, frame, baseline, model, per_year=12.0, horizons=[1.0])
    >>> round(row.auc[0].estimate, 2), round(row.brier[0].score, 2)
    (0.81, 0.11)
    """
    if "entry" in frame:
        reason = NotEstimable(reason="competing events cannot be combined with delayed entry")
        row = replace(row, auc=reason)
        return row if baseline is None else replace(row, calibration=reason, brier=reason, ibs=reason)
    causes = frame["cause"].to_numpy(int)
    score, time = frame["score"].to_numpy(float), frame["time"].to_numpy(float)
    outcome, other = (score, time, causes == 1), causes == 2
    row = replace(row, auc=attempt(auc_rows, *outcome, competing=other, per_year=per_year, horizons=horizons))
    if baseline is None:
        return row
    if isinstance(model, NotEstimable):
        return replace(row, calibration=model, brier=model, ibs=model)
    free = FreeOfEvent(baseline=replace(baseline, until=min(baseline.until, model.until)), model=model)
    errors = attempt(
        overall_error,
        free,
        *outcome,
        competing=other,
        bootstraps=bootstraps,
        seed=seed,
        per_year=per_year,
        horizons=horizons,
    )
    return replace(
        row,
        calibration=attempt(_calibration, free, frame, per_year=per_year, horizons=horizons),
        brier=errors if isinstance(errors, NotEstimable) else errors.brier,
        ibs=errors if isinstance(errors, NotEstimable) else errors.ibs,
    )


def _calibration(
    free: FreeOfEvent, frame: pd.DataFrame, *, per_year: float, horizons: Sequence[float]
) -> Calibration:
    """Calibration slope of the cause-specific hazard, and risks of the event as cumulative incidences."""
    columns = (frame["score"].to_numpy(float), frame["time"].to_numpy(float), frame["cause"].to_numpy() == 1)
    slope = calibration_of(free, *columns, per_year=per_year, horizons=())
    return calibrated(slope, free.model, frame, unit=free.baseline.unit, per_year=per_year, horizons=horizons)


def calibrated(
    calibration: Calibration,
    model: IncidenceModel,
    frame: pd.DataFrame,
    *,
    unit: str,
    per_year: float,
    horizons: Sequence[float],
) -> Calibration:
    """Calibration in which observed and expected risks are cumulative incidences.

    Parameters
    ----------
    calibration
        Calibration of the hazard, whose slope is kept.
    model
        Model that was frozen in discovery.
    frame
        Patients of the cohort: score, time and cause.
    unit
        Unit of time of the model.
    per_year
        Units of time of the cohort in a year.
    horizons
        Horizons in years; those with fewer than five patients at risk or five earlier events are left out.

    Returns
    -------
    Calibration

    Examples
    --------
    >>> from pathosig.validation.analysis import UpdatedSlope
    >>> from pathosig.validation.values import Estimate
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"score": rng.normal(size=300), "cause": rng.integers(0, 3, 300)})
    >>> frame["time"] = rng.exponential(20, 300)
    >>> model = IncidenceModel.fit(frame[["score"]], frame["time"], frame["cause"])
    >>> plain = Calibration(slope=Estimate.of(1.0), horizons=(), updated=UpdatedSlope(slope=1.0, note=""))
    >>> result = calibrated(plain, model, frame, unit="months", per_year=12.0, horizons=[1.0])
    >>> round(result.horizons[0].observed, 3), round(result.horizons[0].expected, 3)
    (0.136, 0.136)
    """
    score, time = frame["score"].to_numpy(float), frame["time"].to_numpy(float)
    causes = frame["cause"].to_numpy(int)
    rows = []
    for years in horizons:
        when = years * per_year
        if (time >= when).sum() < FEWEST_OF_A_GROUP or (
            (causes == 1) & (time <= when)
        ).sum() < FEWEST_OF_A_GROUP:
            continue
        predicted = model.incidence_at(score[:, None], [years * UNITS[unit]])[:, 0]
        if np.isfinite(predicted).all():
            rows.append(_observed(predicted, time, causes, years=years, when=when))
    return replace(calibration, horizons=tuple(rows))


def net_risk_finding(
    baseline: Baseline, model: IncidenceModel, scores: np.ndarray, *, endpoint: str, competing: str
) -> tuple[Finding, ...]:
    """A warning that the survival which the signature predicts ignores the competing event; empty without a horizon.

    Parameters
    ----------
    baseline
        Baseline of the signature.
    model
        From `frozen_incidence`.
    scores
        float[n] of discovery patients.
    endpoint, competing
        Names of the two endpoints.

    Examples
    --------
    >>> from pathosig.survival.baseline import BaselineAt
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"score": rng.normal(size=100), "cause": 2, "time": rng.exponential(20, 100)})
    >>> at = (BaselineAt(years=1.0, time=12.0, survival=0.8),)
    >>> baseline = Baseline(time=(5.0, 12.0), survival=(0.9, 0.8), until=60.0, at=at)
    >>> model = frozen_incidence(baseline, table, per_year=12.0)
    >>> net_risk_finding(baseline, model, table["score"].to_numpy(), endpoint="dfs", competing="os")[0].code
    'W_COMPETING'
    """
    reached = [row for row in baseline.at if row.time <= model.until]
    if not reached:
        return ()
    last, finite_scores = reached[-1], scores[np.isfinite(scores)]
    net = float(np.mean(1 - last.survival ** np.exp(finite_scores)))
    risk = float(np.mean(model.incidence_at(finite_scores[:, None], [last.time])))
    message = (
        f"{endpoint}: {competing} is a competing event. The baseline survival of the signature, the nomogram and the pages of single "
        f"patients give the risk without competing events, on average {net:.0%} at {last.years:g} years in discovery; the absolute "
        f"risk is {risk:.0%}. Report the cumulative incidence of the section on competing risks."
    )
    return (Finding(code="W_COMPETING", message=message, where="validate"),)


def _observed(
    predicted: np.ndarray, time: np.ndarray, causes: np.ndarray, *, years: float, when: float
) -> CalibrationAt:
    curve = cumulative_incidence(time, causes).curve(1)
    place = int(np.searchsorted(curve.time, when, side="right")) - 1
    observed, se = float(curve.estimate[place]), float(np.sqrt(curve.variance[place]))

    def in_group(rows: np.ndarray) -> tuple[float, float, float]:
        if not (causes[rows] == 1).any():
            return (float("nan"),) * 3
        return cumulative_incidence(time[rows], causes[rows]).curve(1).incidence_at(when)

    groups = calibration_groups(predicted, time, in_group, when=when)
    shown = tuple(g for g in groups if g.observed is not None)
    return observed_against(predicted, observed, se, years=years, when=when, groups=shown)
