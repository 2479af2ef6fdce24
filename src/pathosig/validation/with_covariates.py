"""Results that need covariates: added value and the clinical + histology model, both based on out-of-fold scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypedDict

import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.signature.model import Signature
from pathosig.survival.causes import causes_of
from pathosig.validation.added import FrozenModels, added_value
from pathosig.validation.added_imputed import added_value_imputed
from pathosig.validation.analysis import AddedValue
from pathosig.validation.clinical_model import effects, signature_digest
from pathosig.validation.clinical_names import clinical_names
from pathosig.validation.clinical_validation import cross_validate_clinical, judge_clinical
from pathosig.validation.clinical_values import ClinicalHistology
from pathosig.validation.frozen import joined
from pathosig.validation.internal import CrossValidation
from pathosig.validation.nomogram import nomogram
from pathosig.validation.reading import Inputs
from pathosig.validation.results import AgainstRidge, Results
from pathosig.validation.spec import ValidateSpec
from pathosig.validation.values import Estimate, NotEstimable, attempt, finite

CrossValidate = Callable[[int], CrossValidation]
"""Function from the number of repeats to the cross-validation of the signature."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Frozen:
    """Models of discovery patients with out-of-fold scores: of those with all covariates, and of all after imputation."""

    complete: FrozenModels | NotEstimable
    imputed: FrozenModels | NotEstimable


class _Settings(TypedDict):
    """Arguments of `FrozenModels.fit` that are the same for all fits of a study."""

    endpoint: str
    unit: str
    score_scale: float
    signature_sha256: str
    horizons: tuple[float, ...]
    m: int
    seed: int


def with_covariates(
    results: Results,
    inputs: Inputs,
    signature: Signature,
    spec: ValidateSpec,
    cross_validate: CrossValidate,
    *,
    workers: int = 1,
) -> Results:
    """Results with added value, the clinical + histology model, and the comparison with ridge.

    All of them are based on out-of-fold scores of discovery patients and on the endpoint of the signature.

    Parameters
    ----------
    results
        Results so far.
    inputs
        The study.
    signature
        The frozen signature.
    spec
        Covariates of the clinical model, number of resamples, and seed.
    cross_validate
        Function from the number of repeats to a cross-validation; it is called if out-of-fold scores are needed.
    workers
        Number of processes; the result does not depend on it.

    Returns
    -------
    The results with these additions; unchanged if there are no covariates or no scores.
    """
    if not (inputs.covariates or spec.clinical) or inputs.scores is None:
        return results
    endpoint = signature.endpoint
    out_of_fold = attempt(cross_validate, 1)
    if isinstance(out_of_fold, NotEstimable):
        frozen = _Frozen(complete=out_of_fold, imputed=out_of_fold)
    else:
        frame = with_outcome(out_of_fold.scores.merge(inputs.patients, on="patient_id"), inputs, endpoint)
        frozen = _fit(frame, inputs, signature, spec)
        results = replace(
            results,
            against_ridge=against_ridge(out_of_fold),
            clinical_histology=attempt(
                clinical_histology, frame, inputs, signature, spec, models=frozen.imputed
            ),
        )
    analyses = [
        replace(
            a,
            added_value=_added(
                frozen, _scored(inputs, a.cohort, endpoint), inputs, signature, spec, workers=workers
            ),
        )
        if a.endpoint == endpoint and a.role == "validation"
        else a
        for a in results.analyses
    ]
    return replace(results, analyses=tuple(analyses))


def _settings(inputs: Inputs, signature: Signature, spec: ValidateSpec) -> _Settings:
    """Arguments of `FrozenModels.fit` from the study."""
    return {
        "endpoint": signature.endpoint,
        "unit": inputs.endpoints[signature.endpoint].unit,
        "score_scale": signature.sd if signature.sd > 0 else 1.0,
        "signature_sha256": signature_digest(signature),
        "horizons": spec.horizons,
        "m": max(spec.imputations, 2),
        "seed": spec.seed,
    }


def _fit(frame: pd.DataFrame, inputs: Inputs, signature: Signature, spec: ValidateSpec) -> _Frozen:
    """Both fits; they are the same if no covariate is missing."""
    settings = _settings(inputs, signature, spec)
    imputed = attempt(FrozenModels.fit, frame, inputs.covariates, **settings)
    present = [name for name in inputs.covariates if name in frame]
    if not frame[present].isna().any(axis=None):
        return _Frozen(complete=imputed, imputed=imputed)
    complete = attempt(FrozenModels.fit_complete, frame, inputs.covariates, **settings)
    return _Frozen(complete=complete, imputed=imputed)


def _added(
    frozen: _Frozen,
    frame: pd.DataFrame,
    inputs: Inputs,
    signature: Signature,
    spec: ValidateSpec,
    *,
    workers: int,
) -> AddedValue | NotEstimable:
    if isinstance(frozen.complete, NotEstimable):
        return frozen.complete
    added = attempt(
        added_value,
        frozen.complete,
        frame,
        per_year=inputs.endpoints[signature.endpoint].per_year,
        horizons=spec.horizons,
        bootstraps=spec.bootstraps,
        seed=spec.seed,
        workers=workers,
    )
    present = [c for c in inputs.covariates if c in frame]
    if isinstance(added, NotEstimable) or spec.imputations < 2 or not frame[present].isna().any(axis=None):
        return added
    if isinstance(frozen.imputed, NotEstimable):
        return replace(added, imputed=frozen.imputed)
    imputed = attempt(
        added_value_imputed,
        frozen.imputed,
        frame,
        inputs.covariates,
        m=spec.imputations,
        bootstraps=spec.bootstraps,
        seed=spec.seed,
        workers=workers,
    )
    return replace(added, imputed=imputed)


def clinical_histology(
    frame: pd.DataFrame,
    inputs: Inputs,
    signature: Signature,
    spec: ValidateSpec,
    *,
    models: FrozenModels | NotEstimable | None = None,
    within: bool = False,
) -> ClinicalHistology:
    """The clinical + histology model, which is frozen in discovery and then evaluated in every other cohort.

    Parameters
    ----------
    frame
        Discovery patients: out-of-fold score, time, event and covariates.
    inputs, signature, spec
        The study. The fit depends only on its covariates and on `frame`.
    models
        Models of the covariates of the study, if they have been fitted already.
    within
        Whether there is no other cohort, so that the model is cross-validated in discovery.

    Returns
    -------
    ClinicalHistology

    Raises
    ------
    NotEstimableError
        If a covariate does not exist, none can be used, or there are too few events.
    """
    covariates = list(clinical_names(spec.clinical)) or list(inputs.covariates)
    absent = [name for name in covariates if name not in frame]
    if absent:
        raise NotEstimableError(
            f"clinical model: [validate] clinical has {absent}, which are not columns of patients.csv."
        )
    endpoint = inputs.endpoints[signature.endpoint]
    if not isinstance(models, FrozenModels) or covariates != list(inputs.covariates):
        models = FrozenModels.fit(frame, covariates, **_settings(inputs, signature, spec))
    model, alone = models.combined, models.clinical
    frozen = ClinicalHistology(model=model, clinical=alone, effects=effects(model), nomogram=nomogram(model))
    discovery, per_year = inputs.primary.discovery, endpoint.per_year
    if within:
        rows = [
            attempt(cross_validate_clinical, frame, model, cohort=discovery, per_year=per_year, spec=spec)
        ]
    else:
        tables = {name: _scored(inputs, name, endpoint.name) for name in inputs.cohorts if name != discovery}
        rows = [
            attempt(judge_clinical, model, alone, table, cohort=name, per_year=per_year, spec=spec)
            for name, table in tables.items()
            if len(table)
        ]
    return replace(frozen, cohorts=tuple(r for r in rows if not isinstance(r, NotEstimable)))


def _scored(inputs: Inputs, cohort: str, endpoint: str) -> pd.DataFrame:
    """Assessable patients of a cohort with their frozen scores, covariates and outcome."""
    if inputs.scores is None:
        return pd.DataFrame()
    table = inputs.scores[["patient_id", "score", "group"]].merge(inputs.patients, on="patient_id")
    return with_outcome(table[table["cohort"] == cohort], inputs, endpoint)


def with_outcome(table: pd.DataFrame, inputs: Inputs, endpoint: str) -> pd.DataFrame:
    """Assessable patients with their outcome, and with ``cause`` if another event competes and entry is not delayed.

    Parameters
    ----------
    table
        patient_id, group and any other columns.
    inputs, endpoint
        The study, and the endpoint.

    Returns
    -------
    The columns of `table` with those of the outcome, one row per patient.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> table = pd.DataFrame({"patient_id": ["P1"], "group": ["low"]})
    >>> outcome = pd.DataFrame({"patient_id": ["P1"], "time": [10.0], "event": [False]})
    >>> death = outcome.assign(event=True)
    >>> study = SimpleNamespace(survival={"dfs": outcome, "os": death}, competing={"dfs": "os"})
    >>> with_outcome(table, study, "dfs")
      patient_id group  time  event  cause
    0         P1   low  10.0  False      2
    """
    frame, other = joined(table, inputs.survival[endpoint]), inputs.competing.get(endpoint)
    return frame if other is None or "entry" in frame else causes_of(frame, inputs.survival[other])


def against_ridge(fit: CrossValidation) -> AgainstRidge:
    """Out-of-fold C of the signature and of ridge regression on all leaves, in discovery patients.

    Parameters
    ----------
    fit
        A cross-validation with the ridge benchmark.

    Returns
    -------
    AgainstRidge

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> result = against_ridge(SimpleNamespace(c=0.64, lower=0.55, upper=0.72, ridge=0.66))
    >>> result.harrell_c.estimate, round(result.difference, 2)
    (0.64, -0.02)
    """
    return AgainstRidge(
        harrell_c=Estimate.of(fit.c, fit.lower, fit.upper),
        ridge_c=Estimate.of(fit.ridge),
        difference=finite(fit.c - fit.ridge),
    )
