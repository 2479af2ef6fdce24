"""From a study's inputs to the results of its validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from pathosig.core.errors import PathosigWarning
from pathosig.signature.model import HIGH, LOW, NOT_ASSESSABLE, Signature
from pathosig.validation.added import ClinicalModels, added_value
from pathosig.validation.added_imputed import added_value_imputed, fit_imputed
from pathosig.validation.analysis import AddedValue, Analysis
from pathosig.validation.families import with_families
from pathosig.validation.findings import (
    events_findings,
    fold_findings,
    leak_findings,
    rare_findings,
    riley,
    sample_size_findings,
    spread_findings,
)
from pathosig.validation.forests import forest, subgroup_effects
from pathosig.validation.frozen import Validation, joined, validate
from pathosig.validation.internal import CrossValidation
from pathosig.validation.performance import analyse
from pathosig.validation.reading import Inputs
from pathosig.validation.results import AgainstRidge, Internal, OutOfFold, Results, SelectedShare, Table1
from pathosig.validation.spec import ValidateSpec
from pathosig.validation.table1 import missing_rows, table_one
from pathosig.validation.values import (
    NOT_COMPUTED,
    Concordance,
    Estimate,
    Finding,
    NotEstimable,
    attempt,
    finite,
)
from pathosig.validation.verdict import external_verdict, headlines, internal_verdict, nothing_found

CrossValidate = Callable[[int], CrossValidation]
"""Repeats -> cross-validation of the study's signature."""


def results_of(inputs: Inputs, spec: ValidateSpec, cross_validate: CrossValidate) -> Results:
    """Everything results.json holds.

    Parameters
    ----------
    inputs
        The study.
    spec
        Horizons, resamples, folds.
    cross_validate
        Called with the number of repeats where internal validation or the added value needs it.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PathosigWarning)
        results = _without_signature(inputs)
        if inputs.signature is not None:
            results = _with_signature(results, inputs, inputs.signature, spec, cross_validate)
    raised = [w.message for w in caught if isinstance(w.message, PathosigWarning)]
    return replace(
        results,
        warnings=(
            *inputs.findings,
            *_of_the_fit(results),
            *results.warnings,
            *(Finding(code=w.code, message=w.message, where="validate") for w in raised),
        ),
    )


def _without_signature(inputs: Inputs) -> Results:
    """Description, selection and univariable results: all there is when nothing was selected."""
    profiled = inputs.patients[
        inputs.patients["patient_id"].isin(set(inputs.profiles.patients["patient_id"]))
    ]
    return Results(
        kind="none",
        primary=inputs.declared,
        signature=NotEstimable(reason=inputs.reason),
        verdicts=(nothing_found(inputs.primary.endpoint, inputs.reason),),
        roles=inputs.roles,
        univariate=inputs.univariate,
        selection=inputs.selection,
        dropped=inputs.dropped,
        cutoff=inputs.cutoff,
        table1=table_one(profiled, inputs.clinical, "cohort", inputs.cohorts),
        missing=missing_rows(profiled, inputs.clinical, "cohort"),
    )


def _of_the_fit(results: Results) -> list[Finding]:
    """Warnings about the fit itself."""
    out = []
    if isinstance(results.signature, Signature):
        out += events_findings(
            events=results.signature.trained_on.events,
            candidates=len(results.univariate),
            parameters=len(results.signature.hpcs),
        )
        out += sample_size_findings(results.sample_size)
        out += rare_findings(results.univariate)
    return [*out, *spread_findings(results.against_ridge), *leak_findings(results.univariate)]


def _with_signature(
    results: Results,
    inputs: Inputs,
    signature: Signature,
    spec: ValidateSpec,
    cross_validate: CrossValidate,
) -> Results:
    validation = validate(
        signature,
        inputs.profiles.patients,
        inputs.survival,
        patients=inputs.patients,
        units={n: e.unit for n, e in inputs.endpoints.items()},
        discovery=inputs.primary.discovery,
        covariates=inputs.covariates,
        subgroups=inputs.columns.subgroups,
        treatments=inputs.treatments,
        designs=inputs.designs,
        primary=inputs.primary,
        benchmark=inputs.benchmark,
        scores=inputs.scores,
        competing=inputs.competing,
        spec=spec,
    )
    outcome = inputs.survival[signature.endpoint]
    trained = outcome[outcome["patient_id"].isin(_discovery(inputs))]
    results = replace(
        results,
        signature=signature,
        core_agreement=inputs.core_agreement,
        table1_groups=_by_group(inputs, validation),
        sample_size=attempt(
            riley,
            trained,
            candidates=len(inputs.univariate),
            selected=len(signature.hpcs),
            per_year=inputs.endpoints[signature.endpoint].per_year,
        ),
        cohorts=validation.cohorts,
        analyses=validation.analyses,
        pooled=validation.pooled,
        associations=validation.associations,
        benchmark=validation.benchmark,
        treatment=validation.treatment,
        warnings=validation.warnings,
    )
    if any(c.role == "validation" for c in results.cohorts):
        results = _with_added_value(results, inputs, signature, spec, cross_validate)
        return _judged_by_others(replace(results, kind="external"), signature.endpoint)
    return _judged_within(replace(results, kind="internal"), inputs, signature, spec, cross_validate)


def _discovery(inputs: Inputs) -> set[str]:
    rows = inputs.patients[inputs.patients["cohort"] == inputs.primary.discovery]
    return set(rows["patient_id"])


def _by_group(inputs: Inputs, validation: Validation) -> dict[str, Table1]:
    grouped = inputs.patients.merge(validation.scores[["patient_id", "group"]], on="patient_id")
    order = (LOW, HIGH, NOT_ASSESSABLE)
    return {
        cohort: table_one(grouped[grouped["cohort"] == cohort], inputs.clinical, "group", order)
        for cohort in inputs.cohorts
    }


def _judged_by_others(results: Results, endpoint: str) -> Results:
    primary = results.primary.endpoint
    endpoints = sorted(dict.fromkeys(a.endpoint for a in results.analyses), key=lambda e: e != primary)
    verdicts = tuple(external_verdict(results.analyses, e, primary=e == primary) for e in endpoints)
    return replace(results, verdicts=verdicts, headline=headlines(results.analyses, endpoint))


# -- added value -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Trained:
    """Discovery patients with out-of-fold scores, and the clinical models fitted on them."""

    frame: pd.DataFrame
    models: ClinicalModels | NotEstimable


def _with_added_value(
    results: Results,
    inputs: Inputs,
    signature: Signature,
    spec: ValidateSpec,
    cross_validate: CrossValidate,
) -> Results:
    """With ``added_value`` of the signature's endpoint in validation cohorts, and the comparison with ridge.

    Both rest on out-of-fold scores of discovery patients.
    """
    if not inputs.covariates or inputs.scores is None:
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
        results = replace(results, against_ridge=against_ridge(out_of_fold))
    table = inputs.scores[["patient_id", "score", "group"]].merge(inputs.patients, on="patient_id")
    analyses = [
        replace(
            a,
            added_value=_added(
                trained, joined(table[table["cohort"] == a.cohort], outcome), inputs, signature, spec
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
    )
    return replace(added, imputed=imputed)


# -- internal validation -----------------------------------------------------------------------


def _judged_within(
    results: Results,
    inputs: Inputs,
    signature: Signature,
    spec: ValidateSpec,
    cross_validate: CrossValidate,
) -> Results:
    """Cross-validated numbers in place of validation cohorts."""
    endpoint = signature.endpoint
    fit = attempt(cross_validate, spec.repeats)
    if isinstance(fit, NotEstimable):
        verdict = internal_verdict(endpoint, c=None, lower=None, upper=None, share_empty=0.0)
        return replace(results, internal=fit, verdicts=(verdict,))
    rows = _cross_validated(fit, inputs, signature, spec)
    apparent = next((a.harrell_c for a in results.analyses if a.endpoint == endpoint), NOT_COMPUTED)
    primary = next((r for r in rows if r.endpoint == endpoint), None)
    judged = Estimate.of(fit.c, fit.lower, fit.upper)
    internal = Internal(
        repeats=spec.repeats,
        folds=spec.folds,
        endpoint=endpoint,
        harrell_c=judged,
        per_repeat=fit.per_repeat,
        share_empty=fit.share_empty,
        ridge_c=Estimate.of(fit.ridge),
        selected=tuple(SelectedShare(feature=k, share=v) for k, v in fit.selected.items()),
        scores=tuple(
            OutOfFold(patient_id=str(p), score=finite(s), group=str(g))
            for p, s, g in fit.scores[["patient_id", "score", "group"]].itertuples(index=False)
        ),
        note=_NOTE + (_FIXED_CODEBOOK if inputs.profiles.kind == "composition" else _REFITTED_RULES),
        apparent_c=apparent,
        uno_c=primary.uno_c if primary else NOT_COMPUTED,
        hr_sd=primary.hr_sd if primary else NOT_COMPUTED,
        km=primary.km if primary else NOT_COMPUTED,
        logrank=primary.logrank if primary else NOT_COMPUTED,
    )
    rows = with_families(rows)
    analyses = (*results.analyses, *rows)
    verdict = internal_verdict(
        endpoint, c=judged.estimate, lower=judged.lower, upper=judged.upper, share_empty=fit.share_empty
    )
    return replace(
        results,
        internal=internal,
        against_ridge=against_ridge(fit),
        analyses=analyses,
        warnings=(*results.warnings, *fold_findings(fit.share_empty, endpoint)),
        verdicts=(verdict,),
        headline=headlines(analyses, endpoint),
    )


_NOTE = (
    "Internal: selection, refit and cut-off are repeated in every training fold; a patient's score never uses that "
    "patient. C is the mean over repeats; a fold without a signature scores its patients 0 (chance). "
)
_FIXED_CODEBOOK = "Profiles-to-score: the codebook is fixed."
_REFITTED_RULES = "Filling and scaling of features are refitted in every fold."


def _cross_validated(
    fit: CrossValidation, inputs: Inputs, signature: Signature, spec: ValidateSpec
) -> Sequence[Analysis]:
    """Analyses of the cross-validated scores, which are in SD of their training folds."""
    table = fit.scores.merge(inputs.patients, on="patient_id")
    rows = []
    for name, outcome in inputs.survival.items():
        frame = joined(table, outcome)
        if not frame["event"].any():
            continue
        endpoint, main = inputs.endpoints[name], name == signature.endpoint
        row = Analysis(
            cohort=inputs.primary.discovery,
            endpoint=name,
            unit=endpoint.unit,
            role="cross-validated",
            primary=main,
            n=len(frame),
            events=0,
        )
        row = analyse(row, frame, signature=None, sd=1.0, per_year=endpoint.per_year, horizons=spec.horizons)
        if main and isinstance(row.harrell_c, Concordance):
            # The mean over repeats: scores averaged over them are a better score than the one shipped.
            averaged = Estimate.of(row.harrell_c.estimate, row.harrell_c.lower, row.harrell_c.upper)
            row = replace(
                row, harrell_c=Concordance.of(fit.c, fit.lower, fit.upper, of_averaged_scores=averaged)
            )
        rows.append(
            replace(
                row,
                forest=attempt(
                    forest,
                    frame,
                    inputs.covariates,
                    sd=1.0,
                    imputations=spec.imputations if spec.forest else 0,
                    seed=spec.seed,
                ),
                subgroups=attempt(subgroup_effects, frame, inputs.columns.subgroups, sd=1.0),
            )
        )
    return rows


def against_ridge(fit: CrossValidation) -> AgainstRidge:
    """Out-of-fold C of the selection and of ridge on all leaves, on discovery patients."""
    return AgainstRidge(
        harrell_c=Estimate.of(fit.c, fit.lower, fit.upper),
        ridge_c=Estimate.of(fit.ridge),
        difference=finite(fit.c - fit.ridge),
    )
