"""Predictions from covariates and score together, for bundles that have a clinical + histology model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pathosig.core.errors import ConfigError, InputError
from pathosig.core.tables import read_csv_rows
from pathosig.validation.clinical_names import clinical_table, name_in_table

if TYPE_CHECKING:
    from pathosig.validation.clinical_model import ClinicalModel


@dataclass(frozen=True, kw_only=True, slots=True)
class ClinicalTerm:
    """One term of the clinical + histology model for one patient.

    Attributes
    ----------
    name, value
        The covariate and its value.
    part
        What it adds to the log hazard, relative to the mean of discovery.
    """

    name: str
    value: str
    part: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ClinicalReading:
    """The prediction of the clinical + histology model for one patient.

    Attributes
    ----------
    survival
        Years -> (estimate, lower, upper); the 95 % interval reflects the estimation of the model, not the sampling of tissue.
    terms
        The covariates and, last, the score; empty if there is no prediction.
    remark
        Why there is no prediction, or which values lie outside the range of discovery.
    """

    survival: Mapping[str, tuple[float, float | None, float | None]]
    terms: tuple[ClinicalTerm, ...]
    remark: str


def read_clinical(path: Path, model: ClinicalModel | None) -> pd.DataFrame:
    """The covariates of new patients as text, indexed by patient_id.

    Parameters
    ----------
    path
        A CSV with patient_id and the covariates.
    model
        The model of the bundle, or None.

    Raises
    ------
    ConfigError
        If the bundle has no clinical + histology model.
    InputError
        E_MISSING if there is no such file; E_INPUT if it lacks patient_id or all covariates, or has two rows for a patient.
    """
    if model is None:
        raise ConfigError(
            "--clinical: this bundle has no clinical + histology model. Omit the flag to get the histology score."
        )
    names = [name_in_table(c.name) for c in model.covariates]
    if not path.is_file():
        raise InputError(
            f"{path}: no such file. Expected a CSV with columns patient_id, {', '.join(names)}.",
            code="E_MISSING",
        )
    table = pd.DataFrame(read_csv_rows(path), dtype=object)
    if "patient_id" not in table or not set(names) & set(table.columns):
        raise InputError(
            f"{path.name}: expected columns patient_id, {', '.join(names)}; found {', '.join(map(str, table.columns))}."
        )
    twice = table.loc[table["patient_id"].duplicated(), "patient_id"]
    if len(twice):
        raise InputError(f"{path.name}: patient {twice.iloc[0]} has two rows; expected one.")
    return clinical_table(table.replace("", np.nan)).set_index("patient_id")


def clinical_reading(
    model: ClinicalModel, table: pd.DataFrame, patient: str, score: float | None
) -> ClinicalReading:
    """The prediction for one patient, or a remark on why there is none.

    Parameters
    ----------
    model
        The model of the bundle.
    table
        Covariates as `read_clinical` returns them.
    patient
        Id of the patient.
    score
        The histology score; None if it is withheld.
    """
    if score is None:
        return _none("")
    if patient not in table.index:
        return _none("clinical model not used: no row in the clinical table")
    row = table.loc[[patient]]
    if missing := model.missing_of(row)[0]:
        reasons = ", ".join(
            f"{name} {row[name].iloc[0]!r} is unknown"
            if name in row and pd.notna(row[name].iloc[0])
            else name
            for name in missing
        )
        return _none(f"clinical model not used: missing {reasons}")
    scores = np.array([score])
    risk = model.risks(row, scores)
    survival = {
        f"{h.years:g}": (
            1 - float(risk.risk[0, j]), 1 - float(risk.upper[0, j]), 1 - float(risk.lower[0, j])
        )
        for j, h in enumerate(model.horizons)
    }  # fmt: skip
    parts = np.asarray(model.coef) * model.columns(row, scores)[0]
    terms, start, outside = [], 0, []
    for covariate in model.covariates:
        end = start + len(covariate.labels)
        value = str(row[covariate.name].iloc[0])
        terms.append(ClinicalTerm(name=covariate.name, value=value, part=float(parts[start:end].sum())))
        low, high = covariate.lower, covariate.upper
        if low is not None and high is not None and not low <= float(value) <= high:
            outside.append(
                f"{covariate.name} {value} lies outside the range of discovery ({low:g} to {high:g})"
            )
        start = end
    terms.append(ClinicalTerm(name="histology score", value=f"{score:.3f}", part=float(parts[start:].sum())))
    return ClinicalReading(survival=survival, terms=tuple(terms), remark="; ".join(outside))


def _none(remark: str) -> ClinicalReading:
    return ClinicalReading(survival={}, terms=(), remark=remark)
