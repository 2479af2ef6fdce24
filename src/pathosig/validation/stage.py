"""The validate stage: validation/results.json, from which every number of the report is taken, and tidy tables."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pathosig.core.errors import NotEstimableError, PathosigError, PathosigWarning
from pathosig.core.execution import run_once
from pathosig.core.layout import Layout
from pathosig.core.records import read_json, sha256_value, write_json
from pathosig.core.study import Study
from pathosig.core.tables import write_csv_rows
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.profiles.reading import Profiles, read_profiles
from pathosig.signature.reading import (
    FIT,
    SCORES,
    clinical_variables,
    covariates_of,
    read_scores,
    read_selection,
    read_training,
    treatment_arms,
)
from pathosig.signature.remark import remark_rows
from pathosig.signature.spec import SignatureSpec
from pathosig.validation.spec import ValidateSpec
from pathosig.validation.stage_guards import stage_guards

if TYPE_CHECKING:
    import pandas as pd

    from pathosig.signature.model import Signature
    from pathosig.validation.internal import CrossValidation

STAGE_VERSION = 4
STAGE = Stage(name="validate", version=STAGE_VERSION)
UNIT = "_validate"


def validate_signature(
    study: Study, spec: ValidateSpec | None = None, *, execution: Execution = Execution()
) -> StageReport:
    """The frozen signature on every cohort and endpoint; without other cohorts, nested cross-validation.

    Parameters
    ----------
    study
        An open study whose signature stage has run.
    spec
        Horizons, resamples, folds; from study.toml by default.
    execution
        Only ``force`` matters here.

    Returns
    -------
    StageReport

    Raises
    ------
    NotEstimableError
        If there is no signature; the descriptive results.json is written all the same.
    """
    spec = spec or study.spec(ValidateSpec)
    fitted = study.record("signature", FIT)
    upstream = {
        "profiles": study.upstream("profiles", "_profiles"),
        "signature": study.upstream("signature", FIT),
    }
    if fitted is not None and fitted.summary.get("selected"):
        upstream["scores"] = study.upstream("signature", SCORES)
    unit = Unit(id=UNIT, inputs={"clinical": clinical_identity(study)}, upstream=upstream)
    report = run_once(study, STAGE, spec, unit, _validate, execution=execution)
    if fitted is not None and not fitted.summary.get("selected") and not report.waiting:
        raise NotEstimableError(str(fitted.summary.get("reason", "no signature")), code="E_NO_SIGNATURE")
    return report


def clinical_identity(study: Study) -> str:
    """Digest of patients.csv and of what study.toml declares about it."""
    tables = {k: study.config.get(k, {}) for k in ("endpoints", "columns", "primary")}
    frame = study.patients()
    rows = {c: [None if v is None or v != v else v for v in frame[c].tolist()] for c in frame.columns}
    return sha256_value({"tables": tables, "rows": rows})


def _validate(job: Job) -> Outcome:
    study, spec = Study.open(job.root), job.spec
    profiles = read_profiles(study)
    selection = read_selection(study)
    results: dict[str, Any] = {"schema": 1, "primary": _primary(study), "univariate": _univariate(study)}
    results["selection"] = {k: v for k, v in selection.items() if k not in ("frequency", "cutoff", "dropped")}
    results["dropped"] = selection.get("dropped", {})
    results["cutoff"] = selection.get("cutoff", {})
    results |= _descriptive(study, profiles)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PathosigWarning)
        if study.paths.signature.is_file():
            results |= _performance(study, profiles, spec)
        else:
            reason = str(selection.get("reason") or "no signature")
            results |= {
                "kind": "none",
                "signature": {"not_estimable": reason},
                "analyses": [],
                "cohorts": [],
                "guards": [],
            }
    results["guards"] = [*stage_guards(study, results), *results["guards"]]
    results["guards"] += [
        {"code": w.message.code, "message": str(w.message), "severity": "warning", "where": "validate"}
        for w in caught
        if isinstance(w.message, PathosigWarning)
    ]
    results["remark"] = remark_rows(results)
    write_json(study.paths.results, results)
    outputs = [Layout.results, *_write_tables(study, results)]
    notes = tuple(f"{g['code']} {g['message']}" for g in results["guards"])
    summary = {"kind": results["kind"], "analyses": len(results["analyses"]), "said": _words(results)}
    return Outcome(outputs=tuple(outputs), warnings=notes, summary=summary)


def _words(results: Mapping[str, Any]) -> list[str]:
    """The signature's discrimination in patients it was not fitted on, a line each."""
    lines = []
    internal = results.get("internal") or {}
    found = internal.get("harrell_c") or {}
    if found.get("estimate") is not None:
        lines.append(f"{internal['endpoint']}, nested cross-validation: C {_with_limits(found)}")
    for a in results["analyses"]:
        c, hr = a.get("harrell_c") or {}, a.get("hr_sd") or {}
        if a.get("role") != "validation" or c.get("estimate") is None:
            continue
        effect = (
            f", HR per SD {_with_limits({**hr, 'estimate': hr['hr']})}" if hr.get("hr") is not None else ""
        )
        lines.append(
            f"{a['endpoint']} in {a['cohort']}: C {_with_limits(c)}{effect}, {a['n']} patients, {a['events']} events"
        )
    return lines


def _with_limits(found: Mapping[str, Any]) -> str:
    low, high = found.get("lower"), found.get("upper")
    limits = f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else ""
    return f"{found['estimate']:.3f}{limits}"


def _primary(study: Study) -> dict[str, Any]:
    p = study.primary
    out = {
        "endpoint": p.endpoint,
        "discovery": p.discovery,
        "covariates": list(p.covariates),
        "treatment": p.treatment,
    }
    return {**out, "sha256": sha256_value(out)}


def _univariate(study: Study) -> list[dict[str, Any]]:
    from pathosig.core.tables import read_csv_rows

    path = study.paths.univariate
    if not path.is_file():
        return []
    text = ("feature", "kind", "leaves", "selected")
    out = []
    for row in read_csv_rows(path):
        values: dict[str, Any] = {
            k: row[k] if k in text else (float(row[k]) if row[k] else None) for k in row
        }
        values["selected"] = row["selected"] == "True"
        values["leaves"] = [int(v) for v in row["leaves"].split()]
        out.append(values)
    return out


def _descriptive(study: Study, profiles: Profiles) -> dict[str, Any]:
    from pathosig.validation.table1 import missing_rows, table_one

    patients = study.patients()
    variables = clinical_variables(study)
    patients = patients[patients["patient_id"].isin(set(profiles.patients["patient_id"]))]
    return {
        "table1": table_one(patients, variables, "cohort", study.cohorts()),
        "missing": missing_rows(patients, variables, "cohort"),
    }


def _performance(study: Study, profiles: Profiles, spec: ValidateSpec) -> dict[str, Any]:
    import json

    from pathosig.signature.model import Signature
    from pathosig.validation.estimates import attempt
    from pathosig.validation.guards import riley
    from pathosig.validation.table1 import table_one
    from pathosig.validation.validate import validate

    signature = Signature.load(study.paths.signature)
    benchmark = Signature.load(study.paths.benchmark) if study.paths.benchmark.is_file() else None
    scores = read_scores(study)
    patients = study.patients()
    endpoints = study.endpoints()
    survival = {name: study.survival(name) for name in endpoints}
    found = validate(
        signature, profiles.patients, survival, patients=patients, units={n: e.unit for n, e in endpoints.items()},
        discovery=study.primary.discovery, covariates=covariates_of(study), subgroups=study.columns.subgroups,
        treatments=treatment_arms(study), primary=_primary(study), benchmark=benchmark, scores=scores,
        competing={n: e.competing for n, e in endpoints.items() if e.competing}, spec=spec,
    )  # fmt: skip
    results = dict(found.results)
    results["signature"] = json.loads(signature.to_json())
    agreement = study.paths.core_agreement
    trained = survival[signature.endpoint]
    trained = trained[trained["patient_id"].isin(study.cohort(study.primary.discovery))]
    results["sample_size"] = attempt(
        riley, trained, candidates=len(_univariate(study)), selected=len(signature.hpcs),
        per_year=endpoints[signature.endpoint].per_year,
    )  # fmt: skip
    results["core_agreement"] = read_json(agreement) if agreement.is_file() else {}
    grouped = patients.merge(found.scores[["patient_id", "group"]], on="patient_id")
    results["table1_groups"] = {
        c: table_one(
            grouped[grouped["cohort"] == c],
            clinical_variables(study),
            "group",
            ["low", "high", "not assessable"],
        )
        for c in study.cohorts()
    }
    others = [c for c in results["cohorts"] if c["role"] == "validation"]
    results["kind"] = "external" if others else "internal"
    if others:
        _add_value(study, profiles, signature, survival, spec, results)
    else:
        results |= _internal(study, profiles, signature, survival, spec, results)
    return results


def _add_value(
    study: Study,
    profiles: Profiles,
    signature: Signature,
    survival: Mapping[str, pd.DataFrame],
    spec: ValidateSpec,
    results: dict[str, Any],
) -> None:
    """Puts ``added_value`` into the analyses of the signature's endpoint in validation cohorts.

    The out-of-fold scores it needs also give ``against_ridge``.
    """
    from pathosig.validation.added import ClinicalModels, added_value
    from pathosig.validation.added_imputed import added_value_imputed, fit_imputed
    from pathosig.validation.estimates import attempt
    from pathosig.validation.internal import cross_validate
    from pathosig.validation.validate import PER_YEAR, joined

    endpoint, patients, settings = signature.endpoint, study.patients(), study.spec(SignatureSpec)
    unit, covariates = study.endpoints()[endpoint].unit, covariates_of(study)
    if not covariates:
        return

    def discovery() -> pd.DataFrame:
        out_of_fold = cross_validate(
            read_training(study, profiles, settings), spec=settings, repeats=1, folds=spec.folds, seed=spec.seed,
            benchmark=True,
        )  # fmt: skip
        results["against_ridge"] = against_ridge(out_of_fold)
        return joined(out_of_fold.scores.merge(patients, on="patient_id"), survival[endpoint])

    trained = attempt(discovery)
    models = (
        trained if isinstance(trained, dict) else attempt(ClinicalModels.fit, trained, covariates, unit=unit)
    )
    filled: Any = None
    table = read_scores(study)[["patient_id", "score", "group"]].merge(patients, on="patient_id")
    for row in results["analyses"]:
        if row["endpoint"] != endpoint or row["role"] != "validation":
            continue
        frame = joined(table[table["cohort"] == row["cohort"]], survival[endpoint])
        row["added_value"] = models if isinstance(models, dict) else attempt(
            added_value, models, frame, scale=signature.sd, per_year=PER_YEAR[unit], horizons=spec.horizons,
            bootstraps=spec.bootstraps, seed=spec.seed,
        )  # fmt: skip
        known = [c for c in covariates if c in frame]
        if spec.imputations < 2 or isinstance(trained, dict) or not frame[known].isna().any(axis=None):
            continue
        filled = filled or attempt(
            fit_imputed, trained, covariates, unit=unit, m=spec.imputations, seed=spec.seed
        )
        row["added_value"]["imputed"] = filled if isinstance(filled, dict) else attempt(
            added_value_imputed, filled, frame, covariates, scale=signature.sd, m=spec.imputations,
            bootstraps=spec.bootstraps, seed=spec.seed,
        )  # fmt: skip


def _internal(
    study: Study,
    profiles: Profiles,
    signature: Signature,
    survival: Mapping[str, pd.DataFrame],
    spec: ValidateSpec,
    results: Mapping[str, Any],
) -> dict[str, Any]:
    """Cross-validated numbers in place of validation cohorts."""
    from pathosig.validation.estimates import estimate
    from pathosig.validation.forests import forest, subgroup_effects
    from pathosig.validation.internal import cross_validate
    from pathosig.validation.performance import analyse
    from pathosig.validation.validate import PER_YEAR, joined

    endpoint = signature.endpoint
    try:
        settings = study.spec(SignatureSpec)
        found: CrossValidation = cross_validate(
            read_training(study, profiles, settings), spec=settings, repeats=spec.repeats, folds=spec.folds,
            seed=spec.seed, benchmark=True,
        )  # fmt: skip
    except PathosigError as error:
        return {"internal": {"not_estimable": str(error)}}
    table = found.scores.merge(study.patients(), on="patient_id")
    rows = []
    for name, outcome in survival.items():
        unit = study.endpoints()[name].unit
        frame = joined(table, outcome)
        if not frame["event"].any():
            continue
        row: dict[str, Any] = {
            "cohort": study.primary.discovery,
            "endpoint": name,
            "unit": unit,
            "role": "cross-validated",
        }
        row |= {"apparent": False, "primary": name == endpoint}
        row |= analyse(frame, signature=None, sd=1.0, per_year=PER_YEAR[unit], horizons=spec.horizons)
        if (
            name == endpoint
        ):  # the mean over repeats: scores averaged over them are a better score than the one shipped
            row["harrell_c"] = {
                **estimate(found.c, found.lower, found.upper),
                "of_averaged_scores": row["harrell_c"],
            }
        m = spec.imputations if spec.forest else 0
        row["forest"] = forest(frame, covariates_of(study), sd=1.0, imputations=m, seed=spec.seed)
        row["subgroups"] = subgroup_effects(frame, study.columns.subgroups, sd=1.0)
        rows.append(row)
    apparent = next((a["harrell_c"] for a in results["analyses"] if a["endpoint"] == endpoint), None)
    primary = next((r for r in rows if r["endpoint"] == endpoint), {})
    internal = {
        "repeats": spec.repeats,
        "folds": spec.folds,
        "endpoint": endpoint,
        "harrell_c": estimate(found.c, found.lower, found.upper),
        "per_repeat": list(found.per_repeat),
        "uno_c": primary.get("uno_c"),
        "hr_sd": primary.get("hr_sd"),
        "share_empty": found.share_empty,
        "apparent_c": apparent,
        "ridge_c": estimate(found.ridge),
        "selected": [{"feature": k, "share": v} for k, v in found.selected.items()],
        "scores": found.scores.to_dict("records"),
        "km": primary.get("km"),
        "logrank": primary.get("logrank"),
        "note": (
            "Internal: selection, refit and cut-off are repeated in every training fold; a patient's score never "
            "uses that patient. C is the mean over repeats; a fold without a signature scores its patients 0 (chance). "
            + ("Profiles-to-score: the codebook is fixed." if profiles.kind == "composition" else
               "Filling and scaling of features are refitted in every fold.")
        ),
    }  # fmt: skip
    return {
        "internal": internal,
        "against_ridge": against_ridge(found),
        "analyses": [*results["analyses"], *rows],
    }


def against_ridge(found: CrossValidation) -> dict[str, Any]:
    """Out-of-fold C of the selection and of ridge on all leaves, on discovery patients."""
    from pathosig.validation.estimates import estimate, finite

    return {
        "harrell_c": estimate(found.c, found.lower, found.upper),
        "ridge_c": estimate(found.ridge),
        "difference": finite(found.c - found.ridge),
    }


def _write_tables(study: Study, results: Mapping[str, Any]) -> list[str]:
    from pathosig.validation.tidy import tidy_tables

    outputs = []
    for name, rows in tidy_tables(results).items():
        relative = f"validation/tables/{name}.csv"
        columns: Sequence[str] = list(dict.fromkeys(k for row in rows for k in row))
        write_csv_rows(study.root / relative, rows, columns or ["empty"])
        outputs.append(relative)
    return outputs
