"""Reads from the study what a validation needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from pathosig.core.clinical import Columns, Endpoint, Primary, TreatmentDesign, parse_treatments
from pathosig.core.fingerprints import sha256_value
from pathosig.core.layout import Layout
from pathosig.core.records import read_json
from pathosig.core.study import Study
from pathosig.core.tables import read_csv_rows
from pathosig.core.typed_json import from_plain
from pathosig.profiles.reading import Profiles, read_profiles
from pathosig.signature.model import Signature
from pathosig.signature.reading import read_scores
from pathosig.signature.spec import SignatureSpec
from pathosig.validation.clinical_names import (
    clinical_columns,
    clinical_design,
    clinical_name,
    clinical_names,
    clinical_primary,
    clinical_table,
)
from pathosig.validation.declared import clinical_variables, covariates_of, treatment_arms
from pathosig.validation.development import CutoffSheet, SelectionSummary, Univariable
from pathosig.validation.results import CoreRates, PrimaryAnalysis, Roles
from pathosig.validation.values import Finding


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Inputs:
    """Input of a validation.

    Attributes
    ----------
    study
        The study.
    profiles
        Profiles of all patients.
    patients
        patients.csv with the cohorts. Its columns, and all columns below, have the names of `clinical_table`.
    survival
        patient_id, time and event of each endpoint.
    endpoints, columns, primary
        As declared in study.toml.
    roles
        Columns of sex, age and site.
    cohorts
        Names of the cohorts in order.
    clinical, covariates, treatments
        Columns that Table 1 shows, covariates of models, and treatment columns.
    designs
        Declaration in [treatment] of each treatment column.
    settings
        Settings of the signature stage.
    signature, benchmark, scores
        Output of the signature stage; None without a signature.
    reason
        Why there is no signature.
    univariate, selection, dropped, cutoff
        Univariable results, selection, dropped candidates with the reason, and cut-off, from the signature stage.
    core_agreement
        Agreement of the cores of patients in each cohort.
    findings
        Warnings of earlier stages.
    """

    study: Study
    profiles: Profiles
    patients: pd.DataFrame
    survival: Mapping[str, pd.DataFrame]
    endpoints: Mapping[str, Endpoint]
    columns: Columns
    primary: Primary
    roles: Roles
    cohorts: tuple[str, ...]
    clinical: tuple[str, ...]
    covariates: tuple[str, ...]
    treatments: tuple[str, ...]
    designs: Mapping[str, TreatmentDesign]
    settings: SignatureSpec
    signature: Signature | None
    benchmark: Signature | None
    scores: pd.DataFrame | None
    reason: str
    univariate: tuple[Univariable, ...]
    selection: SelectionSummary
    dropped: Mapping[str, str]
    cutoff: CutoffSheet | None
    core_agreement: Mapping[str, CoreRates]
    findings: tuple[Finding, ...]

    @property
    def declared(self) -> PrimaryAnalysis:
        """The primary analysis as declared in study.toml, with the hash of its declaration."""
        p = self.study.primary
        content = {
            "endpoint": p.endpoint,
            "discovery": p.discovery,
            "covariates": list(p.covariates),
            "treatment": p.treatment,
        }
        return PrimaryAnalysis(
            endpoint=p.endpoint,
            discovery=p.discovery,
            covariates=p.covariates,
            treatment=p.treatment,
            sha256=sha256_value(content),
        )

    @property
    def competing(self) -> dict[str, str]:
        """The competing endpoint of each endpoint that has one."""
        return {name: e.competing for name, e in self.endpoints.items() if e.competing}


def read_inputs(study: Study) -> Inputs:
    """Read the input of a validation.

    Parameters
    ----------
    study
        An open study whose signature stage has run.

    Returns
    -------
    Inputs

    Raises
    ------
    InputError
        If there are no profiles, or a table of the study is invalid.
    """
    fitted = study.paths.signature.is_file()
    raw = read_json(study.paths.selection) if study.paths.selection.is_file() else {}
    endpoints = study.endpoints()
    patients, columns = clinical_table(study.patients()), clinical_columns(study.columns)
    designs = parse_treatments(study.config.get("treatment", {}))
    return Inputs(
        study=study,
        profiles=read_profiles(study),
        patients=patients,
        survival={name: study.survival(name) for name in endpoints} if fitted else {},
        endpoints=endpoints,
        columns=columns,
        primary=clinical_primary(study.primary),
        roles=_roles_of(columns, list(patients.columns)),
        cohorts=tuple(study.cohorts()),
        clinical=clinical_names(clinical_variables(study.columns, study.primary)),
        covariates=clinical_names(covariates_of(study.columns, study.primary)),
        treatments=clinical_names(treatment_arms(study.columns, study.primary)),
        designs={clinical_name(arm): clinical_design(d) for arm, d in designs.items()},
        settings=study.spec(SignatureSpec),
        signature=Signature.load(study.paths.signature) if fitted else None,
        benchmark=Signature.load(study.paths.benchmark) if study.paths.benchmark.is_file() else None,
        scores=read_scores(study) if fitted else None,
        reason=str(raw.get("reason") or "no signature"),
        univariate=_univariate(study),
        selection=_selection(raw),
        dropped={str(k): str(v) for k, v in raw.get("dropped", {}).items()},
        cutoff=from_plain(CutoffSheet, raw["cutoff"], where=Layout.selection) if raw.get("cutoff") else None,
        core_agreement=_core_agreement(study),
        findings=_earlier_findings(study),
    )


def clinical_identity(study: Study) -> str:
    """Digest of patients.csv and of its declarations in study.toml.

    Parameters
    ----------
    study
        An open study.

    Returns
    -------
    64 hexadecimal digits.
    """
    tables = {k: study.config.get(k, {}) for k in ("endpoints", "columns", "primary", "treatment")}
    frame = study.patients()
    rows = {c: [None if v is None or v != v else v for v in frame[c].tolist()] for c in frame.columns}
    return sha256_value({"tables": tables, "rows": rows})


def read_comparators(study: Study) -> dict[str, pd.DataFrame]:
    """Read the scores of every comparator that `pathosig compare` wrote.

    Parameters
    ----------
    study
        An open study.

    Returns
    -------
    For each comparator, by its name: score and out_of_fold, indexed by patient_id.
    """
    out = {}
    for path in _comparator_files(study):
        rows = read_csv_rows(path)
        frame = pd.DataFrame(rows, columns=["patient_id", "score", "out_of_fold"]).set_index("patient_id")
        out[path.stem] = frame.apply(pd.to_numeric, errors="coerce")
    return out


def comparators_identity(study: Study) -> dict[str, str]:
    """Digest of the scores of every comparator, for the fingerprint of a validation; empty without comparators.

    Parameters
    ----------
    study
        An open study.

    Returns
    -------
    "comparator NAME" -> SHA-256 of its file.
    """
    return {
        f"comparator {p.stem}": hashlib.sha256(p.read_bytes()).hexdigest() for p in _comparator_files(study)
    }


def _comparator_files(study: Study) -> list[Path]:
    return sorted(study.paths.comparators.glob("*.csv"))


def _roles_of(columns: Columns, present: list[str]) -> Roles:
    """Columns of sex, age and site: those that are declared, otherwise those with exactly these names.

    Examples
    --------
    >>> _roles_of(Columns(), ["patient_id", "stage", "sex"])
    Roles(sex='sex', age=None, site=None)
    """

    def role(declared: str | None, name: str) -> str | None:
        return declared or next((c for c in present if c.lower() == name), None)

    return Roles(sex=role(columns.sex, "sex"), age=role(columns.age, "age"), site=role(columns.site, "site"))


def _univariate(study: Study) -> tuple[Univariable, ...]:
    path = study.paths.univariate
    if not path.is_file():
        return ()
    return tuple(_candidate(row) for row in read_csv_rows(path))


def _candidate(row: Mapping[str, str]) -> Univariable:
    """One row of signature/univariate.csv."""
    values: dict[str, Any] = {
        f.name: float(row[f.name]) if row.get(f.name) else None
        for f in fields(Univariable)
        if f.name not in ("feature", "kind", "leaves", "selected", "n", "events")
    }
    values |= {
        "feature": row["feature"],
        "kind": row["kind"],
        "leaves": tuple(int(v) for v in row["leaves"].split()),
        "selected": row["selected"] == "True",
        "n": int(float(row["n"])),
        "events": int(float(row["events"])),
    }
    return Univariable(**values)


def _selection(raw: Mapping[str, Any]) -> SelectionSummary:
    """The content of selection.json; keys that belong to one method only are put into `settings`."""
    shared = {f.name for f in fields(SelectionSummary)} - {"settings"}
    kept = {k: v for k, v in raw.items() if k in shared}
    settings = {k: v for k, v in raw.items() if k not in shared and isinstance(v, (str, int, float, bool))}
    return from_plain(SelectionSummary, {"method": "", **kept, "settings": settings}, where=Layout.selection)


def _core_agreement(study: Study) -> dict[str, CoreRates]:
    path = study.paths.core_agreement
    raw = read_json(path) if path.is_file() else {}
    return {
        cohort: from_plain(CoreRates, rates, where=Layout.core_agreement) for cohort, rates in raw.items()
    }


def _earlier_findings(study: Study) -> tuple[Finding, ...]:
    """Warnings in the records of the profiles and the signature stage."""
    out = []
    for stage in ("profiles", "signature"):
        for record in study.records(stage):
            for text in record.warnings:
                code, _, message = text.partition(" ")
                coded = code.startswith("W_")
                out.append(
                    Finding(
                        code=code if coded else "W_STAGE", message=message if coded else text, where=stage
                    )
                )
    return tuple(out)
