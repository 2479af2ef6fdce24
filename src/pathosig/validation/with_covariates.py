"""What needs covariates: added value, the clinical + histology model, and the out-of-fold scores they rest on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.signature.model import Signature
from pathosig.validation.added import ClinicalModels, added_value
from pathosig.validation.added_imputed import added_value_imputed, fit_imputed
from pathosig.validation.analysis import AddedValue
from pathosig.validation.clinical_fit import fit_clinical_model
from pathosig.validation.clinical_model import effects, signature_digest
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
class _Trained:
    """Discovery patients with out-of-fold scores, and the clinical models fitted on them."""

    frame: pd.DataFrame
    models: ClinicalModels | NotEstimable


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
    endpoint, unit = signature.endpoint, inputs.endpoints[signature.endpoint].unit
    outcome = inputs.survival[endpoint]
    out_of_fold = attempt(cross_validate, 1)
    if isinstance(out_of_fold, NotEstimable):
        trained: _Trained | NotEstimable = out_of_fold
    else:
        frame = joined(out_of_fold.scores.merge(inputs.patients, on="patient_id"), outcome)
        trained = _Trained(
            frame=frame, models=attempt(ClinicalModels.fit, frame, inputs.covariates, unit=unit)
        )
        results = replace(
            results,
            against_ridge=against_ridge(out_of_fold),
            clinical_histology=attempt(clinical_histology, frame, inputs, signature, spec),
        )
    analyses = [
        replace(
            a,
            added_value=_added(
                trained, _scored(inputs, a.cohort, endpoint), inputs, signature, spec, workers=workers
            ),
        )
        if a.endpoint == endpoint and a.role == "validation"
        else a
        for a in results.analyses
    ]
    return replace(results, analyses=tuple(analyses))


def _added(
    trained: _Trained | NotEstimable,
    frame: pd.DataFrame,
    inputs: Inputs,
    signature: Signature,
    spec: ValidateSpec,
    *,
    workers: int,
) -> AddedValue | NotEstimable:
    if isinstance(trained, NotEstimable):
        return trained
    if isinstance(trained.models, NotEstimable):
        return trained.models
    endpoint = inputs.endpoints[signature.endpoint]
    added = attempt(
        added_value,
        trained.models,
        frame,
        scale=signature.sd,
        per_year=endpoint.per_year,
        horizons=spec.horizons,
        bootstraps=spec.bootstraps,
        seed=spec.seed,
        workers=workers,
    )
    present = [c for c in inputs.covariates if c in frame]
    if isinstance(added, NotEstimable) or spec.imputations < 2 or not frame[present].isna().any(axis=None):
        return added
    models = attempt(
        fit_imputed, trained.frame, inputs.covariates, unit=endpoint.unit, m=spec.imputations, seed=spec.seed
    )
    if isinstance(models, NotEstimable):
        return replace(added, imputed=models)
    imputed = attempt(
        added_value_imputed,
        models,
        frame,
        inputs.covariates,
        scale=signature.sd,
        m=spec.imputations,
        bootstraps=spec.bootstraps,
        seed=spec.seed,
        workers=workers,
    )
    return replace(added, imputed=imputed)


def clinical_histology(
    frame: pd.DataFrame, inputs: Inputs, signature: Signature, spec: ValidateSpec, *, within: bool = False
) -> ClinicalHistology:
    """The clinical + histology model: frozen on discovery patients alone, then judged in every other cohort.

    Parameters
    ----------
    frame
        Discovery: out-of-fold score, time, event, covariates.
    inputs, signature, spec
        The study; what is fitted depends on its covariates and on `frame` only.
    within
        Whether there is no other cohort, so that the model is cross-validated in discovery.

    Raises
    ------
    NotEstimableError
        Without covariates, or with too few events.
    """
    covariates = list(spec.clinical) or list(inputs.covariates)
    absent = [name for name in covariates if name not in frame]
    if absent:
        raise NotEstimableError(f"clinical model: [validate] clinical names {absent}; no such column.")
    endpoint = inputs.endpoints[signature.endpoint]
    digest = signature_digest(signature)
    model, alone = (
        fit_clinical_model(
            frame,
            covariates,
            endpoint=endpoint.name,
            unit=endpoint.unit,
            score_scale=scale,
            signature_sha256=digest,
            m=max(spec.imputations, 2),
            seed=spec.seed,
        )
        for scale in (signature.sd if signature.sd > 0 else 1.0, None)
    )
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
