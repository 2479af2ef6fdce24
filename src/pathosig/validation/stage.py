"""The validate stage: writes validation/results.json, from which the report takes all its numbers, and tidy tables."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.core.execution import run_once
from pathosig.core.layout import Layout
from pathosig.core.records import write_json
from pathosig.core.study import Study
from pathosig.core.tables import write_csv_rows
from pathosig.core.typed_json import to_plain
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.core.words import counted
from pathosig.signature.model import Signature
from pathosig.signature.reading import FIT, SCORES, read_training
from pathosig.signature.training import TrainingSet
from pathosig.validation.assemble import results_of
from pathosig.validation.comparators import comparator_findings, compare_scores
from pathosig.validation.instability import instability
from pathosig.validation.internal import CrossValidation, cross_validate
from pathosig.validation.reading import (
    Inputs,
    clinical_identity,
    comparators_identity,
    read_comparators,
    read_inputs,
)
from pathosig.validation.results import Results, write_results
from pathosig.validation.significance import LEVEL, candidates_test, selection_test
from pathosig.validation.small import small_findings, small_study
from pathosig.validation.sparse import DENSE, sparse_alternative
from pathosig.validation.spec import ValidateSpec
from pathosig.validation.tidy import tidy_tables
from pathosig.validation.values import Concordance, Estimate, Finding, HazardRatio, NotEstimable, attempt

STAGE_VERSION = 18
STAGE = Stage(name="validate", version=STAGE_VERSION)
UNIT = "_validate"


def validate_signature(
    study: Study, spec: ValidateSpec | None = None, *, execution: Execution = Execution()
) -> StageReport:
    """Evaluate the frozen signature in every cohort and for every endpoint; without other cohorts, cross-validate it.

    Writes validation/results.json and the tidy tables of validation/tables.

    Parameters
    ----------
    study
        An open study whose signature stage has run.
    spec
        Horizons, resamples and folds; from study.toml by default.
    execution
        Number of workers, over which folds and resamples are spread, and whether to repeat a validation that is up to date.

    Returns
    -------
    StageReport

    Raises
    ------
    NotEstimableError
        If there is no signature, or no fold of the cross-validation selects anything; results.json is written in both cases.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from pathosig.profiles import build_profiles
    >>> from pathosig.signature import SignatureSpec, build_signature
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"patient_id": [f"P{i}" for i in range(80)], "grade": rng.normal(size=80)})
    >>> time = rng.exponential(30 * np.exp(-table["grade"])).round(1) + 0.1
    >>> study = Study.create(Path(tempfile.mkdtemp()))
    >>> patients = table[["patient_id"]].assign(cohort=["discovery"] * 50 + ["v1"] * 30, os_time=time, os_event=1)
    >>> patients.to_csv(study.root / "patients.csv", index=False)
    >>> table.to_csv(study.root / "features.csv", index=False)
    >>> _ = build_profiles(study, features=study.root / "features.csv")
    >>> _ = build_signature(study, SignatureSpec(selection="ridge", bootstraps=0))
    >>> report = validate_signature(study, ValidateSpec(bootstraps=5, permutations=0, instability=0))
    >>> report.findings[0]
    'Holds in 1 of 1 validation cohort (os).'
    """
    spec = spec or study.spec(ValidateSpec)
    fitted = study.record("signature", FIT)
    upstream = {
        "profiles": study.upstream("profiles", "_profiles"),
        "signature": study.upstream("signature", FIT),
    }
    if fitted is not None and fitted.summary.get("selected"):
        upstream["scores"] = study.upstream("signature", SCORES)
    identity = {"clinical": clinical_identity(study), **comparators_identity(study)}
    unit = Unit(id=UNIT, inputs=identity, upstream=upstream)
    report = run_once(study, STAGE, spec, unit, _validate, execution=execution)
    if fitted is not None and not fitted.summary.get("selected") and not report.waiting:
        raise NotEstimableError(str(fitted.summary.get("reason", "no signature")), code="E_NO_SIGNATURE")
    judged = study.record(STAGE.name, UNIT)
    if judged is not None and judged.summary.get("nothing_found") and not report.waiting:
        raise NotEstimableError(str(judged.summary["nothing_found"]), code="E_NOTHING_FOUND")
    return report


def _validate(job: Job) -> Outcome:
    study, spec = Study.open(job.root), job.spec
    inputs = read_inputs(study)
    workers = job.execution.workers
    results = results_of(
        inputs, spec, lambda repeats: _cross_validate(inputs, spec, repeats, workers), workers=workers
    )
    results = _with_claims(results, inputs, spec, workers)
    results = _with_comparisons(results, inputs, spec, workers)
    write_results(study.paths.results, results)
    tables = [*_write_tables(study, results), *_write_clinical_model(study, results)]
    summary: dict[str, object] = {
        "kind": results.kind,
        "analyses": len(results.analyses),
        "said": _lines(results),
    }
    nothing = [v.sentence for v in results.verdicts if v.primary and v.verdict == "nothing found"]
    if results.kind == "internal" and nothing:
        summary["nothing_found"] = nothing[0]
    return Outcome(
        outputs=(Layout.results, *tables),
        warnings=tuple(f"{w.code} {w.message}" for w in results.warnings),
        summary=summary,
    )


def _write_clinical_model(study: Study, results: Results) -> list[str]:
    """Write the clinical + histology model to its own file, for bundles, or delete the file if there is no model."""
    if isinstance(results.clinical_histology, NotEstimable):
        study.paths.clinical_model.unlink(missing_ok=True)
        return []
    write_json(study.paths.clinical_model, to_plain(results.clinical_histology.model))
    return [Layout.clinical_model]


def _with_claims(results: Results, inputs: Inputs, spec: ValidateSpec, workers: int) -> Results:
    """Results with the tests of discovery itself, which are adjusted for the selection."""
    training = attempt(read_training, inputs.study, inputs.profiles, inputs.settings)
    if isinstance(training, NotEstimable):
        return results
    any_candidate = attempt(candidates_test, training, inputs.settings, seed=spec.seed)
    results = replace(results, candidates_test=any_candidate)
    if spec.permutations and isinstance(results.signature, Signature):
        whole = attempt(
            selection_test,
            training,
            inputs.settings,
            permutations=spec.permutations,
            seed=spec.seed,
            workers=workers,
        )
        results = replace(results, selection_test=whole)
    results = _with_small_study(results, training, inputs, spec, workers)
    weak = [
        t for t in (any_candidate, results.selection_test) if not isinstance(t, NotEstimable) and t.p >= LEVEL
    ]
    if weak and isinstance(results.signature, Signature):
        finding = Finding(code="W_SELECTION", message=weak[-1].sentence(), where="discovery")
        results = replace(results, warnings=(*results.warnings, finding))
    return results


def _with_small_study(
    results: Results, training: TrainingSet, inputs: Inputs, spec: ValidateSpec, workers: int
) -> Results:
    """Results with detectable effects, precision, and the variation of predictions over resamples of patients."""
    signature = results.signature
    if isinstance(signature, NotEstimable):
        return results
    study = attempt(
        small_study,
        results.analyses,
        signature,
        candidates=len(results.univariate),
        discovery=inputs.primary.discovery,
    )
    if spec.instability and not isinstance(study, NotEstimable):
        moved = attempt(
            instability,
            training,
            signature,
            inputs.settings,
            bootstraps=spec.instability,
            seed=spec.seed,
            workers=workers,
        )
        study = replace(study, instability=moved)
    return replace(results, small_study=study, warnings=(*results.warnings, *small_findings(study)))


def _with_comparisons(results: Results, inputs: Inputs, spec: ValidateSpec, workers: int) -> Results:
    """Results with the comparisons of the signature with its sparse alternative and with the models of `pathosig compare`."""
    frames = _judged_scores(results, inputs)
    if not frames or isinstance(results.signature, NotEstimable):
        return results
    within = results.kind == "internal"
    if results.selection is not None and results.selection.method == DENSE:
        sparse = attempt(
            sparse_alternative,
            read_training(inputs.study, inputs.profiles, inputs.settings),
            inputs.settings,
            frames,
            profiles=inputs.profiles.patients,
            slides=inputs.profiles.slides,
            terms=len(results.signature.hpcs),
            spec=spec,
            within=within,
            workers=workers,
        )
        results = replace(results, sparse_alternative=sparse)
    compared = []
    for name, scores in read_comparators(inputs.study).items():
        other = scores["out_of_fold" if within else "score"]
        one = attempt(
            compare_scores,
            name,
            {c: frame.assign(other=frame["patient_id"].map(other)) for c, frame in frames.items()},
            role="cross-validated" if within else "validation",
            bootstraps=spec.bootstraps,
            seed=spec.seed,
            workers=workers,
        )
        compared += [] if isinstance(one, NotEstimable) else [one]
    return replace(
        results, comparisons=tuple(compared), warnings=(*results.warnings, *comparator_findings(compared))
    )


def _judged_scores(results: Results, inputs: Inputs) -> dict[str, pd.DataFrame]:
    """Scores and outcomes, by cohort, of patients to whom the signature was not fitted.

    If there are no other cohorts they are the out-of-fold scores of discovery. Empty with delayed entry, for which models
    cannot be compared.
    """
    signature, discovery = results.signature, inputs.primary.discovery
    if isinstance(signature, NotEstimable) or inputs.scores is None:
        return {}
    table, cohorts = inputs.scores[["patient_id", "cohort", "score"]], [*inputs.cohorts]
    if results.kind == "internal":
        if isinstance(results.internal, NotEstimable):
            return {}
        rows = [(o.patient_id, discovery, o.score) for o in results.internal.scores]
        table = pd.DataFrame(rows, columns=list(table.columns))
    else:
        cohorts.remove(discovery)
    outcome = inputs.survival[signature.endpoint]
    if "entry" in outcome:
        return {}
    table = table.merge(outcome[["patient_id", "time", "event"]], on="patient_id").astype({"score": float})
    return {c: table[table["cohort"] == c] for c in cohorts}


def _cross_validate(inputs: Inputs, spec: ValidateSpec, repeats: int, workers: int) -> CrossValidation:
    return cross_validate(
        read_training(inputs.study, inputs.profiles, inputs.settings),
        spec=inputs.settings,
        repeats=repeats,
        folds=spec.folds,
        seed=spec.seed,
        benchmark=True,
        workers=workers,
    )


def _lines(results: Results) -> list[str]:
    """Sentences for the terminal: verdict, comparisons, tests of discovery, and discrimination in other patients."""
    lines = [v.sentence for v in results.verdicts if v.primary]
    lines += [c.sentence() for c in results.comparisons]
    if not isinstance(results.sparse_alternative, NotEstimable):
        lines.append(results.sparse_alternative.sentence())
    lines += [
        test.sentence()
        for test in (results.candidates_test, results.selection_test)
        if not isinstance(test, NotEstimable)
    ]
    for h in results.headline:
        if not isinstance(h.harrell_c, Concordance):
            continue
        place = "nested cross-validation" if h.role == "cross-validated" else h.cohort
        effect = ""
        if isinstance(h.hr_sd, HazardRatio) and h.hr_sd.hr is not None and h.role == "validation":
            effect = f", HR per SD {_with_interval(Estimate.of(h.hr_sd.hr, *_ends(h.hr_sd)))}"
        lines.append(
            f"{h.endpoint}, {place}: C {_with_interval(h.harrell_c)}{effect}, {counted(h.n, 'patient')}, {counted(h.events, 'event')}"
        )
    return lines


def _ends(effect: HazardRatio) -> tuple[float, float]:
    lower, upper = (float("nan") if v is None else v for v in (effect.lower, effect.upper))
    return lower, upper


def _with_interval(value: Estimate) -> str:
    if value.lower is None or value.upper is None:
        return f"{value.estimate:.3f}"
    return f"{value.estimate:.3f} [{value.lower:.3f}, {value.upper:.3f}]"


def _write_tables(study: Study, results: Results) -> list[str]:
    outputs = []
    for name, rows in tidy_tables(results).items():
        relative = f"validation/tables/{name}.csv"
        columns = list(dict.fromkeys(k for row in rows for k in row))
        write_csv_rows(study.root / relative, rows, columns)
        outputs.append(relative)
    for path in (study.root / "validation" / "tables").glob("*.csv"):
        if path.relative_to(study.root).as_posix() not in outputs:
            path.unlink()  # a table of an earlier run with other results
    return outputs
