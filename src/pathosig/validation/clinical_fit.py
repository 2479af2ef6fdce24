"""Fitting the clinical + histology model in discovery.

It is fitted to out-of-fold scores, because the effect of scores that were fitted to the same patients would be overestimated.
Missing covariates are imputed several times, and the estimates are pooled by Rubin's rules.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pathosig.core.clinical import UNITS
from pathosig.core.errors import NotEstimableError
from pathosig.core.words import counted
from pathosig.survival import cox
from pathosig.survival.absolute_risk import hazard_at
from pathosig.survival.baseline import Baseline, BaselineAt
from pathosig.survival.coxfit import CoxFit
from pathosig.survival.imputation import impute
from pathosig.validation.analysis import Fitted
from pathosig.validation.clinical_competing import CompetingCauses, FrozenCause
from pathosig.validation.clinical_model import ClinicalCovariate, ClinicalModel, HorizonHazard
from pathosig.validation.clinical_names import refuse_taken
from pathosig.validation.estimates import refuse_delayed
from pathosig.validation.values import FEWEST_EVENTS


def fit_clinical_model(
    frame: pd.DataFrame,
    covariates: Sequence[str],
    *,
    endpoint: str,
    unit: str = "months",
    score_scale: float | None = 1.0,
    signature_sha256: str = "",
    horizons: Sequence[float] = (1.0, 3.0, 5.0),
    m: int = 20,
    seed: int = 0,
) -> ClinicalModel:
    """Fit and freeze a Cox model of covariates, with or without a score, and its absolute risks at the horizons.

    Parameters
    ----------
    frame
        Discovery patients: time, event, covariates and `score`, which is out of fold and already divided by its standard
        deviation; with `cause` from `causes_of`, risks are cumulative incidences.
    covariates
        Names of the covariates. Numbers enter as they are, and categories against their first level; constant covariates and
        categories with many levels are left out. Without any names the model has the score alone.
    endpoint, unit
        Name and unit of time of the endpoint.
    score_scale
        Divisor of frozen scores before they enter the model; None leaves the score out of the model.
    signature_sha256
        Digest of the signature that gives the score; see `signature_digest`.
    horizons
        Horizons in years; those beyond the follow-up of discovery are left out.
    m, seed
        Number of imputed data sets if covariates are missing, and their seed.

    Returns
    -------
    ClinicalModel

    Raises
    ------
    NotEstimableError
        If no covariate can be used, there are fewer than ten events, or a covariate with missing values is known in fewer than
        ten patients.

    References
    ----------
    R: survival::coxph and rms::cph (the same fit); mice and pool if covariates are missing.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"age": rng.normal(60, 8, 80), "score": rng.normal(size=80)})
    >>> frame = frame.assign(time=rng.exponential(20 * np.exp(-frame["score"])), event=True)
    >>> model = fit_clinical_model(frame, ["age"], endpoint="os")
    >>> model.labels, model.trained_on.events
    (('age', 'score'), 80)
    """
    refuse_taken(covariates)
    refuse_delayed(frame, "clinical model")
    usable = np.isfinite(frame["time"].to_numpy(float)) & np.isfinite(frame["score"].to_numpy(float))
    data = frame[usable].reset_index(drop=True)
    coded = [ClinicalCovariate.of(data[name]) for name in covariates if name in data]
    kept = tuple(c for c in coded if c is not None)
    if not kept and (covariates or score_scale is None):
        raise NotEstimableError("clinical model: no usable covariate is declared in study.toml.")
    event = data["event"].to_numpy(bool)
    if event.sum() < FEWEST_EVENTS:
        raise NotEstimableError(
            f"clinical model: {counted(int(event.sum()), 'event')} among discovery patients; {FEWEST_EVENTS} are needed."
        )
    names = [c.name for c in kept]
    lost = data[names].isna().any(axis=1)
    copies = impute(data, names, m=m, seed=seed) if lost.any() else [data]
    score = data["score"].to_numpy(float)[:, None]
    designs = []
    for copy in copies:
        columns = [c.columns(copy) for c in kept]
        designs.append(np.hstack(columns if score_scale is None else [*columns, score]))
    center = np.mean([x.mean(axis=0) for x in designs], axis=0)
    time = data["time"].to_numpy(float)
    per_year, until = UNITS[unit], float(time.max())
    reached = [years for years in horizons if years * per_year <= until]
    fits = [cox(x - center, time, event) for x in designs]
    coef = np.nan_to_num([f.coef for f in fits])
    covariance = np.nan_to_num([f.covariance for f in fits])
    bases = [hazard_at(f, [years * per_year for years in reached]) for f in fits]
    curves = [f.baseline_hazard() for f in fits]
    hazard = np.mean([h for _, h in curves], axis=0)
    baseline = _baseline(curves[0][0], hazard, unit=unit, until=until, years=reached)
    at = _pooled_hazards([b.hazard for b in bases], [b.variance for b in bases])
    gradient = np.mean([b.gradient for b in bases], axis=0)
    total = _total_covariance(coef, covariance)
    competing = None
    if "cause" in data and (data["cause"] == 2).any():
        last = reached[-1] * per_year if reached else until
        competing = _competing(fits, total, [x - center for x in designs], data, last=last)
    return ClinicalModel(
        endpoint=endpoint,
        covariates=kept,
        score_scale=score_scale,
        score_range=() if score_scale is None else tuple(float(v) for v in np.percentile(score, [1, 99])),
        coef=tuple(float(v) for v in coef.mean(axis=0)),
        center=tuple(float(v) for v in center),
        covariance=tuple(tuple(float(v) for v in row) for row in total),
        baseline=baseline,
        horizons=tuple(
            HorizonHazard(
                years=years,
                time=years * per_year,
                hazard=float(at[0][j]),
                variance=float(at[1][j]),
                gradient=tuple(float(v) for v in gradient[j]),
            )
            for j, years in enumerate(reached)
        ),
        trained_on=Fitted(n=len(data), events=int(event.sum())),
        missing=int(lost.sum()),
        imputations=len(copies) if lost.any() else 0,
        signature_sha256=signature_sha256,
        competing=competing,
    )


def _competing(
    events: Sequence[CoxFit],
    total: np.ndarray,
    designs: Sequence[np.ndarray],
    data: pd.DataFrame,
    *,
    last: float,
) -> CompetingCauses:
    """Both causes: the model of the event as fitted, and a Cox model of the competing event on the same columns."""
    time, happened = data["time"].to_numpy(float), data["cause"].to_numpy(int) == 2
    others = [cox(x, time, happened) for x in designs]
    coef, covariance = (np.nan_to_num([getattr(f, name) for f in others]) for name in ("coef", "covariance"))
    return CompetingCauses.fit(
        FrozenCause.of(events, total),
        FrozenCause.of(others, _total_covariance(coef, covariance)),
        np.mean(designs, axis=0),
        time,
        happened,
        last=last,
    )


def _total_covariance(coef: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Rubin's total covariance, W + (1 + 1/m) B: float[p, p]."""
    m = len(coef)
    if m == 1:
        return np.asarray(covariance[0])
    between = np.atleast_2d(np.cov(coef, rowvar=False))
    return np.asarray(covariance.mean(axis=0) + (1 + 1 / m) * between)


def _pooled_hazards(
    hazards: Sequence[np.ndarray], variances: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    m = len(hazards)
    between = np.var(hazards, axis=0, ddof=1) if m > 1 else np.zeros_like(hazards[0])
    return np.mean(hazards, axis=0), np.mean(variances, axis=0) + (1 + 1 / m) * between


def _baseline(
    grid: np.ndarray, hazard: np.ndarray, *, unit: str, until: float, years: Sequence[float]
) -> Baseline:
    rises = np.flatnonzero(np.diff(hazard, prepend=0.0) > 0)
    steps = Baseline(
        unit=unit,
        time=tuple(float(t) for t in grid[rises]),
        survival=tuple(float(v) for v in np.exp(-hazard[rises])),
        until=until,
    )
    times = [(y, y * UNITS[unit]) for y in years]
    at = (BaselineAt(years=y, time=t, survival=float(steps.survival_at(t)[0])) for y, t in times)
    return dataclasses.replace(steps, at=tuple(at))
