"""Validation of the frozen clinical + histology model in cohorts to which it was not fitted."""

from __future__ import annotations

from functools import partial
from typing import TypedDict

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.core.words import counted
from pathosig.survival import default_tau, harrell_c, uno_c
from pathosig.survival.ridge import fold_of
from pathosig.validation.absolute import with_competing
from pathosig.validation.benefit import c_gain
from pathosig.validation.clinical_fit import fit_clinical_model
from pathosig.validation.clinical_model import ClinicalModel
from pathosig.validation.clinical_values import ClinicalCohort
from pathosig.validation.curves import auc_rows, concordance
from pathosig.validation.performance import with_predictions
from pathosig.validation.spec import ValidateSpec
from pathosig.validation.values import FEWEST_EVENTS, Role, attempt

_FOLDS = 5


class _Options(TypedDict):
    """The options that predictions are judged with, with and without a competing event."""

    per_year: float
    horizons: tuple[float, ...]
    bootstraps: int
    seed: int


def judge_clinical(
    model: ClinicalModel,
    clinical: ClinicalModel,
    frame: pd.DataFrame,
    *,
    cohort: str,
    per_year: float,
    spec: ValidateSpec,
) -> ClinicalCohort:
    """Performance of the frozen model in a validation cohort.

    Parameters
    ----------
    model, clinical
        Models that were frozen in discovery, with and without the score.
    frame
        score (of the frozen signature), time, event and covariates; `cause` where another event competes.
    cohort
        Name of the cohort.
    per_year
        Units of time in a year.
    spec
        Horizons, number of resamples, and seed.

    Returns
    -------
    ClinicalCohort

    Raises
    ------
    NotEstimableError
        If there are fewer than ten events among patients who have all covariates.

    Examples
    --------
    >>> from pathosig.validation.spec import ValidateSpec
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"age": rng.normal(60, 8, 160), "score": rng.normal(size=160), "event": True})
    >>> frame["time"] = rng.exponential(20 * np.exp(-frame["score"]))
    >>> both = fit_clinical_model(frame[:80], ["age"], endpoint="os")
    >>> alone = fit_clinical_model(frame[:80], ["age"], endpoint="os", score_scale=None)
    >>> new = frame[80:].reset_index(drop=True)
    >>> result = judge_clinical(both, alone, new, cohort="v1", per_year=12.0, spec=ValidateSpec(bootstraps=5))
    >>> round(result.harrell_c.estimate, 2), round(result.clinical_c.estimate, 2)
    (0.73, 0.44)
    """
    both = model.linear_predictor(frame, frame["score"].to_numpy(float))
    alone = clinical.linear_predictor(frame)
    complete = np.isfinite(both) & np.isfinite(alone)
    both, alone, judged = both[complete], alone[complete], frame[complete].reset_index(drop=True)
    row = _discriminate(
        both, alone, judged,
        cohort=cohort, role="validation", missing=int((~complete).sum()), per_year=per_year, spec=spec,
    )  # fmt: skip
    predictors = model.predictors(judged, judged["score"].to_numpy(float))
    options: _Options = {
        "per_year": per_year,
        "horizons": spec.horizons,
        "bootstraps": spec.bootstraps,
        "seed": spec.seed,
    }
    if "cause" in judged:
        return with_competing(row, judged, model, predictors, **options)
    time, event = judged["time"].to_numpy(float), judged["event"].to_numpy(bool)
    return with_predictions(row, model, both, time, event, **options)


def cross_validate_clinical(
    frame: pd.DataFrame,
    model: ClinicalModel,
    *,
    cohort: str,
    per_year: float,
    spec: ValidateSpec,
) -> ClinicalCohort:
    """Cross-validated discrimination, if there is no validation cohort: each fold is predicted by a model of the other folds.

    Parameters
    ----------
    frame
        Discovery patients: out-of-fold score, time, event and covariates.
    model
        The model of all these patients, which gives the covariates and the endpoint.
    cohort, per_year, spec
        As in `judge_clinical`.

    Returns
    -------
    ClinicalCohort
        With the role ``cross-validated`` and without calibration.

    Raises
    ------
    NotEstimableError
        If there are too few events for the folds.

    Examples
    --------
    >>> from pathosig.validation.spec import ValidateSpec
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"age": rng.normal(60, 8, 80), "score": rng.normal(size=80), "event": True})
    >>> frame["time"] = rng.exponential(20 * np.exp(-frame["score"]))
    >>> model = fit_clinical_model(frame, ["age"], endpoint="os")
    >>> result = cross_validate_clinical(frame, model, cohort="d", per_year=12.0, spec=ValidateSpec(bootstraps=5))
    >>> result.role, round(result.harrell_c.estimate, 2)
    ('cross-validated', 0.77)
    """
    names = [c.name for c in model.covariates]
    whole = frame[frame[names].notna().all(axis=1) & np.isfinite(frame["score"])].reset_index(drop=True)
    event = whole["event"].to_numpy(bool)
    fold = fold_of(len(whole), event, _FOLDS, np.random.default_rng(spec.seed))
    both, alone = np.full(len(whole), np.nan), np.full(len(whole), np.nan)
    for k in np.unique(fold):
        rest, test = whole[fold != k], whole[fold == k]
        unit = model.baseline.unit
        fitted = fit_clinical_model(rest, names, endpoint=model.endpoint, unit=unit)
        plain = fit_clinical_model(rest, names, endpoint=model.endpoint, unit=unit, score_scale=None)
        both[fold == k] = fitted.linear_predictor(test, test["score"].to_numpy(float))
        alone[fold == k] = plain.linear_predictor(test)
    kept = np.isfinite(both) & np.isfinite(alone)
    return _discriminate(
        both[kept], alone[kept], whole[kept],
        cohort=cohort, role="cross-validated", missing=len(frame) - int(kept.sum()), per_year=per_year,
        spec=spec,
    )  # fmt: skip


def _discriminate(
    both: np.ndarray,
    alone: np.ndarray,
    frame: pd.DataFrame,
    *,
    cohort: str,
    role: Role,
    missing: int,
    per_year: float,
    spec: ValidateSpec,
) -> ClinicalCohort:
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    other = frame["cause"].to_numpy(int) == 2 if "cause" in frame else None
    if event.sum() < FEWEST_EVENTS:
        raise NotEstimableError(
            f"clinical model: {counted(int(event.sum()), 'event')} among patients of {cohort} with all covariates; "
            f"{FEWEST_EVENTS} are needed."
        )
    tau = default_tau(time)
    uno = partial(uno_c, tau=tau)
    draws = np.random.default_rng(spec.seed).integers(0, len(time), (spec.bootstraps, len(time)))
    return ClinicalCohort(
        cohort=cohort,
        role=role,
        n=len(time),
        events=int(event.sum()),
        missing=missing,
        harrell_c=attempt(lambda: concordance(harrell_c(both, time, event))),
        uno_c=concordance(uno(both, time, event)),
        clinical_c=concordance(uno(alone, time, event)),
        difference_c=c_gain((both, alone), time, event, draws=draws, tau=tau),
        auc=attempt(auc_rows, both, time, event, per_year=per_year, horizons=spec.horizons, competing=other),
    )
