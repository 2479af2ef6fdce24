"""What needs covariates: added value, the clinical + histology model, and the out-of-fold scores they rest on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypedDict

import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.signature.model import Signature
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
"""Repeats -> cross-validation of the study's signature."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Frozen:
    """Models of discovery patients with out-of-fold scores: of those who have all covariates, and of all, imputed."""

    complete: FrozenModels | NotEstimable
    imputed: FrozenModels | NotEstimable


class _Settings(TypedDict):
    """Arguments of `FrozenModels.fit` that belong to the study."""

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

    All rest on out-of-fold scores of discovery patients, and on the signature's endpoint.

    Parameters
    ----------
    results
        Results of the cohorts so far.
    inputs
        The study.
    signature
        The frozen signature.
    spec
        Covariates of the clinical model, resamples, seed.
    cross_validate
        Called with the number of repeats where out-of-fold scores are needed.
    workers
        Number of processes; the result does not depend on it.
    """
    if not (inputs.covariates or spec.clinical) or inputs.scores is None:
        return results
    endpoint = signature.endpoint
    out_of_fold = attempt(cross_validate, 1)
    if isinstance(out_of_fold, NotEstimable):
        frozen = _Frozen(complete=out_of_fold, imputed=out_of_fold)
    else:
        frame = joined(out_of_fold.scores.merge(inputs.patients, on="patient_id"), inputs.survival[endpoint])
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
    """What every fit of clinical models is told."""
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
    """Both fits; one and the same where no covariate is missing."""
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
    """The clinical + histology model: frozen on discovery patients alone, then judged in every other cohort.

    Parameters
    ----------
    frame
        Discovery: out-of-fold score, time, event, covariates.
    inputs, signature, spec
        The study; what is fitted depends on its covariates and on `frame` only.
    models
        Those of the study's covariates, where they have been fitted already.
    within
        Whether there is no other cohort, so that the model is cross-validated in discovery.

    Raises
    ------
    NotEstimableError
        Without covariates, or with too few events.
    """
    covariates = list(clinical_names(spec.clinical)) or list(inputs.covariates)
    absent = [name for name in covariates if name not in frame]
    if absent:
        raise NotEstimableError(f"clinical model: [validate] clinical names {absent}; no such column.")
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
    return joined(table[table["cohort"] == cohort], inputs.survival[endpoint])


def against_ridge(fit: CrossValidation) -> AgainstRidge:
    """Out-of-fold C of the selection and of ridge on all leaves, in discovery patients.

    Parameters
    ----------
    fit
        A cross-validation with the ridge benchmark.

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
