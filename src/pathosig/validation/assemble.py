"""Computes the results of a validation from its input."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

from pathosig.core.errors import PathosigWarning
from pathosig.signature.model import HIGH, LOW, NOT_ASSESSABLE, Signature
from pathosig.validation.absolute import with_competing
from pathosig.validation.analysis import Analysis
from pathosig.validation.families import with_families
from pathosig.validation.findings import (
    events_findings,
    fold_findings,
    leak_findings,
    rare_findings,
    spread_findings,
)
from pathosig.validation.forests import forest, subgroup_effects
from pathosig.validation.frozen import Validation, validate
from pathosig.validation.internal import CrossValidation
from pathosig.validation.performance import analyse
from pathosig.validation.reading import Inputs
from pathosig.validation.required_size import riley, sample_size_findings
from pathosig.validation.results import Internal, OutOfFold, Results, SelectedShare
from pathosig.validation.spec import ValidateSpec
from pathosig.validation.table1 import missing_rows, table_one
from pathosig.validation.table1_values import Table1
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
from pathosig.validation.with_covariates import (
    CrossValidate,
    against_ridge,
    clinical_histology,
    with_covariates,
    with_outcome,
)


def results_of(
    inputs: Inputs, spec: ValidateSpec, cross_validate: CrossValidate, *, workers: int = 1
) -> Results:
    """Results of the cohorts, or of internal validation, with the warnings about them.

    Parameters
    ----------
    inputs
        The study.
    spec
        Horizons, resamples and folds.
    cross_validate
        Function from the number of repeats to a cross-validation; it is called if internal validation or added value need it.
    workers
        Number of processes over which resamples are spread; the result does not depend on it.

    Returns
    -------
    Results
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PathosigWarning)
        results = _without_signature(inputs)
        if inputs.signature is not None:
            results = _with_signature(
                results, inputs, inputs.signature, spec, cross_validate, workers=workers
            )
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
    """Table 1, selection and univariable results, which are all the results if nothing was selected."""
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
    *,
    workers: int,
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
        results = with_covariates(results, inputs, signature, spec, cross_validate, workers=workers)
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


# -- internal validation -----------------------------------------------------------------------


def _judged_within(
    results: Results,
    inputs: Inputs,
    signature: Signature,
    spec: ValidateSpec,
    cross_validate: CrossValidate,
) -> Results:
    """Results with cross-validation in place of validation cohorts."""
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
    frame = with_outcome(fit.scores.merge(inputs.patients, on="patient_id"), inputs, endpoint)
    verdict = internal_verdict(
        endpoint, c=judged.estimate, lower=judged.lower, upper=judged.upper, share_empty=fit.share_empty
    )
    return replace(
        results,
        internal=internal,
        against_ridge=against_ridge(fit),
        clinical_histology=attempt(clinical_histology, frame, inputs, signature, spec, within=True),
        analyses=analyses,
        warnings=(*results.warnings, *fold_findings(fit.share_empty, endpoint)),
        verdicts=(verdict,),
        headline=headlines(analyses, endpoint),
    )


_NOTE = (
    "Internal: selection, refit and cut-off are repeated in every training fold, so that the score of a patient never uses "
    "the outcome of this patient. C is the mean over repeats; in a fold without a signature all patients have the score 0 (chance). "
)
_FIXED_CODEBOOK = "The codebook is fixed; it does not use outcomes."
_REFITTED_RULES = "Filling and scaling of features are repeated in every fold."


def _cross_validated(
    fit: CrossValidation, inputs: Inputs, signature: Signature, spec: ValidateSpec
) -> Sequence[Analysis]:
    """Analyses of the cross-validated scores, which are in standard deviations of their training folds."""
    table = fit.scores.merge(inputs.patients, on="patient_id")
    rows = []
    for name in inputs.survival:
        frame = with_outcome(table, inputs, name)
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
        if "cause" in frame:
            row = with_competing(
                row,
                frame,
                None,
                frame["score"].to_numpy(float),
                per_year=endpoint.per_year,
                horizons=spec.horizons,
            )
        if main and isinstance(row.harrell_c, Concordance):
            # C is the mean over repeats, because scores averaged over repeats are better than those of the signature.
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
