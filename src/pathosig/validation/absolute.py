"""Calibration of absolute risks where another event competes: frozen predictions against the Aalen-Johansen estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from pathosig.core.clinical import UNITS
from pathosig.survival import IncidenceModel, cox, cumulative_incidence
from pathosig.survival.baseline import Baseline
from pathosig.validation.analysis import Calibration, CalibrationAt
from pathosig.validation.calibrate import FEWEST_OF_A_GROUP, calibration_groups, observed_against
from pathosig.validation.values import Finding


def frozen_incidence(baseline: Baseline, discovery: pd.DataFrame, *, per_year: float) -> IncidenceModel:
    """Absolute risk that a frozen signature predicts, with the hazard of the competing event as it was in discovery.

    The hazard of the event is the signature's own (log hazard ratio = score); that of the competing event is a Cox model of
    the score.

    Parameters
    ----------
    baseline
        Of the signature.
    discovery
        Discovery patients: score, time and cause as `causes_of` gives them.
    per_year
        Units of their time in a year.

    Returns
    -------
    `IncidenceModel` of causes 1 and 2 in the unit of the baseline.

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


def calibrated(
    calibration: Calibration,
    model: IncidenceModel,
    frame: pd.DataFrame,
    *,
    unit: str,
    per_year: float,
    horizons: Sequence[float],
) -> Calibration:
    """Calibration whose observed and expected risks are cumulative incidences.

    Parameters
    ----------
    calibration
        That of the hazard, whose slope stays.
    model
        Frozen in discovery.
    frame
        The cohort: score, time, cause.
    unit
        Unit of the model's times.
    per_year
        Units of the cohort's time in a year.
    horizons
        Years; those that five patients reach and five events precede are judged.

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
    """Warning that the frozen survival is that of a world without the competing event; empty without predictions.

    Parameters
    ----------
    baseline
        Of the signature.
    model
        As `frozen_incidence` gives it.
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
        f"{endpoint}: {competing} competes with it. The signature's baseline survival, the nomogram and the pages of single patients "
        f"give the risk if nothing competed, in discovery {net:.0%} at {last.years:g} years on average; the absolute risk is {risk:.0%}. "
        "Quote the cumulative incidence of the section on competing risks."
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
