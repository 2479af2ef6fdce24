"""Accuracy of absolute risks under a competing event: frozen predictions against the Aalen-Johansen estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from pathosig.core.clinical import UNITS
from pathosig.signature.model import Signature
from pathosig.survival import cumulative_incidence
from pathosig.survival.baseline import with_competing_hazard
from pathosig.validation.analysis import Calibration, CalibrationAt
from pathosig.validation.calibrate import (
    FEWEST_OF_A_GROUP,
    Predicts,
    calibration_groups,
    calibration_of,
    observed_against,
)
from pathosig.validation.curves import auc_rows
from pathosig.validation.error import overall_error
from pathosig.validation.performance import Judged
from pathosig.validation.values import Finding, NotEstimable, attempt


def with_competing(
    row: Judged,
    frame: pd.DataFrame,
    frozen: Predicts | NotEstimable | None,
    predictor: np.ndarray,
    *,
    per_year: float,
    horizons: Sequence[float],
    bootstraps: int = 0,
    seed: int = 0,
) -> Judged:
    """An analysis in which AUC, calibration and Brier score treat a competing event as an outcome and not as censoring.

    Parameters
    ----------
    row
        The analysis.
    frame
        The cohort: time and cause as `causes_of` returns them, and entry if it is delayed.
    frozen
        The model, which predicts 1 - cumulative incidence, or the reason why there is none. None for an endpoint on which
        the model was not fitted; then only the AUC is estimated.
    predictor
        The argument of its `survival_at`: float[n], or float[n, m] with the linear predictor of the event first.
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
    >>> from pathosig.signature.model import Signature, Transform
    >>> from pathosig.survival.baseline import Baseline
    >>> from pathosig.validation.analysis import Analysis
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"score": rng.normal(size=300), "cause": rng.integers(0, 3, 300)})
    >>> frame["time"] = rng.exponential(20 * np.exp(-frame["score"]))
    >>> baseline = Baseline(time=(6.0, 12.0), survival=(0.9, 0.8), until=60.0)
    >>> baseline = with_competing_hazard(baseline, frame["score"].to_numpy(), frame["time"].to_numpy(), frame["cause"] == 2)
    >>> frozen = Signature(
    ...     endpoint="dfs", hpcs=(), coef=(), center=(), cutoff=0.0, transform=Transform(scale="share"), baseline=baseline
    ... )
    >>> row = Analysis(cohort="v1", endpoint="dfs", unit="months", role="validation", primary=True, n=300, events=100)
    >>> row = with_competing(row, frame, frozen, frame["score"].to_numpy(), per_year=12.0, horizons=[1.0])
    >>> round(row.auc[0].estimate, 2), round(row.brier[0].score, 2)
    (0.81, 0.11)
    """
    if "entry" in frame:
        reason = NotEstimable(reason="competing events cannot be combined with delayed entry")
        row = replace(row, auc=reason)
        return row if frozen is None else replace(row, calibration=reason, brier=reason, ibs=reason)
    causes, time = frame["cause"].to_numpy(int), frame["time"].to_numpy(float)
    first = predictor if predictor.ndim == 1 else predictor[:, 0]
    event, other = causes == 1, causes == 2
    row = replace(
        row, auc=attempt(auc_rows, first, time, event, competing=other, per_year=per_year, horizons=horizons)
    )
    if frozen is None:
        return row
    if isinstance(frozen, NotEstimable):
        return replace(row, calibration=frozen, brier=frozen, ibs=frozen)
    errors = attempt(
        overall_error,
        frozen,
        predictor,
        time,
        event,
        competing=other,
        bootstraps=bootstraps,
        seed=seed,
        per_year=per_year,
        horizons=horizons,
    )
    return replace(
        row,
        calibration=attempt(
            incidence_calibration, frozen, predictor, time, causes, per_year=per_year, horizons=horizons
        ),
        brier=errors if isinstance(errors, NotEstimable) else errors.brier,
        ibs=errors if isinstance(errors, NotEstimable) else errors.ibs,
    )


def incidence_calibration(
    frozen: Predicts,
    predictor: np.ndarray,
    time: np.ndarray,
    causes: np.ndarray,
    *,
    per_year: float,
    horizons: Sequence[float],
) -> Calibration:
    """Calibration of cumulative incidences, observed against expected; the slope is on the cause-specific hazard.

    Parameters
    ----------
    frozen, predictor, per_year
        As in `with_competing`.
    time, causes
        float[n] and int[n]: the causes are 1 for the event, 2 for the competing event and 0 for neither.
    horizons
        Horizons in years; those with fewer than five patients at risk or five earlier events are left out.

    Returns
    -------
    Calibration

    Raises
    ------
    NotEstimableError
        If the predictor does not vary or there is no event.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from pathosig.survival import IncidenceModel
    >>> from pathosig.survival.baseline import Baseline
    >>> rng = np.random.default_rng(0)
    >>> score, time, cause = rng.normal(size=300), rng.exponential(20, 300), rng.integers(0, 3, 300)
    >>> model = IncidenceModel.fit(score[:, None], time, cause)
    >>> free = lambda predictor, times: 1 - model.incidence_at(predictor[:, None], times)
    >>> frozen = SimpleNamespace(survival_at=free, baseline=Baseline())
    >>> at = incidence_calibration(frozen, score, time, cause, per_year=12.0, horizons=[1.0]).horizons[0]
    >>> round(at.observed, 3), round(at.expected, 3)
    (0.129, 0.129)
    """
    first = predictor if predictor.ndim == 1 else predictor[:, 0]
    slope = calibration_of(frozen, first, time, causes == 1, per_year=per_year, horizons=())
    rows = []
    for years in horizons:
        when = years * per_year
        if (time >= when).sum() < FEWEST_OF_A_GROUP or (
            (causes == 1) & (time <= when)
        ).sum() < FEWEST_OF_A_GROUP:
            continue
        predicted = 1 - frozen.survival_at(predictor, [years * UNITS[frozen.baseline.unit]])[:, 0]
        if np.isfinite(predicted).all():
            rows.append(_observed(predicted, time, causes, years=years, when=when))
    return replace(slope, horizons=tuple(rows))


def with_incidence(signature: Signature, coded: pd.DataFrame, *, per_year: float) -> Signature:
    """A signature that was fitted without causes, completed by the hazard of the competing event in its discovery patients.

    Parameters
    ----------
    signature
        The frozen signature. It is returned unchanged if entry is delayed.
    coded
        Its discovery patients: score, time and cause, and entry if it is delayed.
    per_year
        Units of their time in a year.

    Returns
    -------
    Signature
        With `competing` in its baseline.

    Examples
    --------
    >>> from pathosig.signature.model import Transform
    >>> from pathosig.survival.baseline import Baseline
    >>> signature = Signature(
    ...     endpoint="dfs", hpcs=(), coef=(), center=(), cutoff=0.0, transform=Transform(scale="share"), baseline=Baseline(time=(5.0,), survival=(0.9,), until=60.0)
    ... )
    >>> coded = pd.DataFrame({"score": [0.0, 1.0], "time": [4.0, 60.0], "cause": [2, 0]})
    >>> with_incidence(signature, coded, per_year=12.0).baseline.competing.time
    (4.0,)
    """
    if "entry" in coded:
        return signature
    time = coded["time"].to_numpy(float) * UNITS[signature.baseline.unit] / per_year
    score, happened = coded["score"].to_numpy(float), coded["cause"].to_numpy(int) == 2
    return replace(signature, baseline=with_competing_hazard(signature.baseline, score, time, happened))


def net_risk_finding(endpoint: str, competing: str) -> list[Finding]:
    """Warning that a frozen survival ignores the competing event.

    Parameters
    ----------
    endpoint, competing
        Names of the two endpoints.

    Returns
    -------
    list of Finding
        One finding with the code W_COMPETING.

    Examples
    --------
    >>> [finding.code for finding in net_risk_finding("dfs", "os")]
    ['W_COMPETING']
    """
    message = (
        f"{endpoint}: {competing} competes with it, but the signature contains no hazard of {competing} (entry is delayed, or "
        "the signature was fitted without it). The predicted survival is what would hold without competing events; quote the "
        "cumulative incidence in the section on competing risks instead."
    )
    return [Finding(code="W_COMPETING", message=message, where="validate")]


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
