"""What the clinical + histology model gives: its validation and its nomogram, as values of results.json."""

from __future__ import annotations

from dataclasses import dataclass

from pathosig.validation.analysis import AucAt, BrierAt, Calibration, IntegratedBrier
from pathosig.validation.clinical_model import ClinicalModel, Effect
from pathosig.validation.values import NOT_COMPUTED, Concordance, Estimate, NotEstimable, Role


@dataclass(frozen=True, kw_only=True, slots=True)
class ClinicalCohort:
    """The frozen model in the patients of one cohort who have all covariates.

    Attributes
    ----------
    role
        ``validation``, or ``cross-validated`` where no cohort validates: coefficients are then those of other folds,
        scores are out of fold, and calibration is not judged.
    missing
        Patients left out for a missing covariate; `added_value.imputed` of the cohort's analysis holds them.
    harrell_c, uno_c, auc, calibration, brier, ibs
        As for the score; Brier scores are compared with the cohort's own Kaplan-Meier estimate.
    clinical_c, difference_c
        Uno's C of the covariates alone, and what histology adds to it, with a paired bootstrap interval.
    """

    cohort: str
    role: Role
    n: int
    events: int
    missing: int
    harrell_c: Concordance | NotEstimable
    uno_c: Concordance | NotEstimable
    clinical_c: Concordance | NotEstimable
    difference_c: Estimate | NotEstimable
    auc: tuple[AucAt, ...] | NotEstimable = NOT_COMPUTED
    calibration: Calibration | NotEstimable = NOT_COMPUTED
    brier: tuple[BrierAt, ...] | NotEstimable = NOT_COMPUTED
    ibs: IntegratedBrier | NotEstimable = NOT_COMPUTED


@dataclass(frozen=True, kw_only=True, slots=True)
class NomogramAxis:
    """One scale of a nomogram: printed values and the points each is worth."""

    variable: str
    values: tuple[str, ...]
    points: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RiskScale:
    """Total points at which the risk by a horizon takes some round values."""

    years: float
    risk: tuple[float, ...]
    points: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Nomogram:
    """A model to be read by hand: points of every axis add up, and the total means a risk.

    Attributes
    ----------
    per_point
        Log hazard ratio of one point: the widest axis spans 100.
    offset
        Linear predictor of a total of 0 points.
    """

    axes: tuple[NomogramAxis, ...]
    per_point: float
    offset: float
    risks: tuple[RiskScale, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClinicalHistology:
    """The model of covariates and score, frozen in discovery, and how it did elsewhere.

    Attributes
    ----------
    model, clinical
        With the score, and of the same covariates without it.
    effects
        Hazard ratios of `model`.
    """

    model: ClinicalModel
    clinical: ClinicalModel
    effects: tuple[Effect, ...]
    nomogram: Nomogram
    cohorts: tuple[ClinicalCohort, ...] = ()
