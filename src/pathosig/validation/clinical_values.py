"""Results of the clinical + histology model: its validation and its nomogram, as values of results.json."""

from __future__ import annotations

from dataclasses import dataclass

from pathosig.validation.analysis import AucAt, BrierAt, Calibration, IntegratedBrier
from pathosig.validation.clinical_model import ClinicalModel, Effect
from pathosig.validation.values import NOT_COMPUTED, Concordance, Estimate, NotEstimable, Role


@dataclass(frozen=True, kw_only=True, slots=True)
class ClinicalCohort:
    """Performance of the frozen model in the patients of one cohort who have all covariates.

    Attributes
    ----------
    role
        ``validation``, or ``cross-validated`` if there is no validation cohort. Coefficients are then those of the other
        folds, scores are out of fold, and calibration is not assessed.
    missing
        Number of patients left out because a covariate is missing; `added_value.imputed` of the analysis includes them.
    harrell_c, uno_c, auc, calibration, brier, ibs
        As for the score; Brier scores are compared with the Kaplan-Meier estimate of the cohort.
    clinical_c, difference_c
        Uno's C of the covariates alone, and the difference that histology makes, with a paired bootstrap interval.
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
    """One axis of a nomogram: printed values and the points of each of them."""

    variable: str
    values: tuple[str, ...]
    points: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RiskScale:
    """Total points at which the risk by a horizon has round values."""

    years: float
    risk: tuple[float, ...]
    points: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Nomogram:
    """A model that is read by hand: the points of all axes are added, and the total corresponds to a risk.

    Attributes
    ----------
    per_point
        Log hazard ratio of one point; the widest axis spans 100 points.
    offset
        Linear predictor of a total of 0 points.
    gap, mean_gap
        With a competing event, risks are cumulative incidences with the average competing hazard of patients with that total.
        These are the largest and the mean absolute difference from the model's own risk in discovery patients, at the last
        horizon.
    """

    axes: tuple[NomogramAxis, ...]
    per_point: float
    offset: float
    risks: tuple[RiskScale, ...]
    gap: float | None = None
    mean_gap: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClinicalHistology:
    """The model of covariates and score, frozen in discovery, and its performance in other cohorts.

    Attributes
    ----------
    model, clinical
        The model with the score, and the model of the same covariates without it.
    effects
        Hazard ratios of `model`.
    nomogram
        Nomogram of `model`.
    cohorts
        Performance in each cohort that evaluates it.
    """

    model: ClinicalModel
    clinical: ClinicalModel
    effects: tuple[Effect, ...]
    nomogram: Nomogram
    cohorts: tuple[ClinicalCohort, ...] = ()
