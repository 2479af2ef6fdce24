"""The frozen clinical + histology model in cohorts it was not fitted on, judged like the score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.survival import default_tau, harrell_c, uno_c
from pathosig.survival.ridge import fold_of
from pathosig.validation.benefit import paired_limits
from pathosig.validation.calibrate import calibration_of
from pathosig.validation.clinical_fit import FEWEST_EVENTS, fit_clinical_model
from pathosig.validation.clinical_model import ClinicalModel
from pathosig.validation.clinical_values import ClinicalCohort
from pathosig.validation.error import overall_error
from pathosig.validation.performance import auc_rows, concordance
from pathosig.validation.values import (
    Estimate,
    NotEstimable,
    Role,
    attempt,
)

_FOLDS = 5


def judge_clinical(
    model: ClinicalModel,
    clinical: ClinicalModel,
    frame: pd.DataFrame,
    *,
    cohort: str,
    per_year: float,
    horizons: Sequence[float] = (1.0, 3.0, 5.0),
    bootstraps: int = 1000,
    seed: int = 0,
) -> ClinicalCohort:
    """The frozen model in a validation cohort.

    Parameters
    ----------
    model, clinical
        Frozen in discovery, with and without the score.
    frame
        score (of the frozen signature), time, event and covariates.
    cohort
        Its name.
    per_year, horizons
        Units of time in a year; years.
    bootstraps, seed
        Resamples for the intervals of differences.

    Raises
    ------
    NotEstimableError
        With fewer than ten events among patients who have all covariates.
    """
    both = model.linear_predictor(frame, frame["score"].to_numpy(float))
    alone = clinical.linear_predictor(frame)
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    complete = np.isfinite(both) & np.isfinite(alone)
    row = _discriminate(
        both[complete], alone[complete], time[complete], event[complete],
        cohort=cohort, role="validation", missing=int((~complete).sum()), per_year=per_year, horizons=horizons,
        bootstraps=bootstraps, seed=seed,
    )  # fmt: skip
    lp, time, event = both[complete], time[complete], event[complete]
    errors = attempt(
        overall_error,
        model,
        lp,
        time,
        event,
        per_year=per_year,
        horizons=horizons,
        bootstraps=bootstraps,
        seed=seed,
    )
    return ClinicalCohort(
        **{name: getattr(row, name) for name in ("cohort", "role", "n", "events", "missing", "auc")},
        **{name: getattr(row, name) for name in ("harrell_c", "uno_c", "clinical_c", "difference_c")},
        calibration=attempt(calibration_of, model, lp, time, event, per_year=per_year, horizons=horizons),
        brier=errors if isinstance(errors, NotEstimable) else errors.brier,
        ibs=errors if isinstance(errors, NotEstimable) else errors.ibs,
    )


def cross_validate_clinical(
    frame: pd.DataFrame,
    model: ClinicalModel,
    *,
    cohort: str,
    per_year: float,
    horizons: Sequence[float] = (1.0, 3.0, 5.0),
    bootstraps: int = 1000,
    seed: int = 0,
) -> ClinicalCohort:
    """Discrimination where no cohort validates: coefficients of other folds on out-of-fold scores.

    Parameters
    ----------
    frame
        Discovery: out-of-fold score, time, event, covariates.
    model
        Of all of them: which covariates, and on which endpoint.
    cohort, per_year, horizons, bootstraps, seed
        As in `judge_clinical`.

    Raises
    ------
    NotEstimableError
        With too few events for the folds.
    """
    names = [c.name for c in model.covariates]
    whole = frame[frame[names].notna().all(axis=1) & np.isfinite(frame["score"])].reset_index(drop=True)
    time, event = whole["time"].to_numpy(float), whole["event"].to_numpy(bool)
    fold = fold_of(len(whole), event, _FOLDS, np.random.default_rng(seed))
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
        both[kept], alone[kept], time[kept], event[kept],
        cohort=cohort, role="cross-validated", missing=len(frame) - int(kept.sum()), per_year=per_year,
        horizons=horizons, bootstraps=bootstraps, seed=seed,
    )  # fmt: skip


def _discriminate(
    both: np.ndarray,
    alone: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    *,
    cohort: str,
    role: Role,
    missing: int,
    per_year: float,
    horizons: Sequence[float],
    bootstraps: int,
    seed: int,
) -> ClinicalCohort:
    if event.sum() < FEWEST_EVENTS:
        raise NotEstimableError(
            f"clinical model: {int(event.sum())} events among patients of {cohort} with all covariates; "
            f"{FEWEST_EVENTS} are needed."
        )
    tau = default_tau(time)
    index = {name: uno_c(values, time, event, tau=tau) for name, values in (("both", both), ("alone", alone))}
    rows = np.random.default_rng(seed).integers(0, len(time), (bootstraps, len(time)))

    def gain(drawn: np.ndarray) -> list[float]:
        pair = [uno_c(v[drawn], time[drawn], event[drawn], tau=tau).c for v in (both, alone)]
        return [pair[0] - pair[1]]

    limits = paired_limits(gain, list(rows), 1)[:, 0]
    return ClinicalCohort(
        cohort=cohort,
        role=role,
        n=len(time),
        events=int(event.sum()),
        missing=missing,
        harrell_c=attempt(lambda: concordance(harrell_c(both, time, event))),
        uno_c=concordance(index["both"]),
        clinical_c=concordance(index["alone"]),
        difference_c=Estimate.of(index["both"].c - index["alone"].c, *limits),
        auc=attempt(auc_rows, both, time, event, per_year=per_year, horizons=horizons),
    )
