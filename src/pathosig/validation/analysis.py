"""Values of the analysis of one endpoint in one cohort: ``analyses[]`` of results.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pathosig.validation.competing_values import CompetingRisks
from pathosig.validation.values import (
    NOT_COMPUTED,
    ChiSquare,
    Concordance,
    Counts,
    Estimate,
    HazardRatio,
    KaplanMeier,
    NotEstimable,
    Role,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AucAt(Estimate):
    """Area under the ROC curve at a horizon, with the number of patients at risk and of events up to it."""

    years: float
    time: float
    n_risk: int
    events: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectCurve:
    """Hazard ratio along the score, which is in standard deviations of discovery."""

    score: tuple[float, ...]
    hr: tuple[float | None, ...]
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spline(EffectCurve):
    """Restricted cubic spline of the hazard ratio relative to a score of 0, and the test of linearity."""

    p_nonlinear: float
    knots: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Hazard ratio per standard deviation in one period of follow-up."""

    start: float = field(metadata={"key": "from"})
    end: float = field(metadata={"key": "to"})
    effect: HazardRatio | NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class ProportionalHazards:
    """Score tests of proportional hazards, and hazard ratios before and after the median event time.

    `violated` is True if the p-value of the score, adjusted by Holm's method over cohorts and endpoints, is below .05.
    """

    violated: bool
    p_adjusted: float | None = None
    score: ChiSquare | NotEstimable = NOT_COMPUTED
    group: ChiSquare | NotEstimable = NOT_COMPUTED
    piecewise: tuple[Piece, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RestrictedMeans:
    """Restricted mean survival time up to `tau`; `difference` is high minus low."""

    tau: float
    low: Estimate
    high: Estimate
    difference: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationGroup:
    """Mean predicted and observed risk of patients with similar predictions."""

    expected: float
    observed: float | None
    lower: float | None
    upper: float | None
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationAt:
    """Observed and expected risk at a horizon, and their `ratio` with its confidence interval."""

    years: float
    time: float
    observed: float | None
    expected: float | None
    ratio: float | None
    lower: float | None
    upper: float | None
    groups: tuple[CalibrationGroup, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdatedSlope:
    """The coefficient estimated again in this cohort, which is not a validation."""

    slope: float
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Calibration of the frozen signature."""

    slope: Estimate
    horizons: tuple[CalibrationAt, ...]
    updated: UpdatedSlope


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionError:
    """Brier score of the frozen predictions (`score`) and of the Kaplan-Meier estimate of the cohort (`null`).

    `scaled` is 1 - score / null, and `difference` is score - null with a paired bootstrap interval.
    """

    time: float
    score: float | None
    null: float | None
    scaled: float | None
    difference: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class BrierAt(PredictionError):
    """Brier score at a horizon."""

    years: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Equally spaced times over which the Brier score is integrated."""

    start: float = field(metadata={"key": "from"})
    end: float = field(metadata={"key": "to"})
    points: int


@dataclass(frozen=True, kw_only=True, slots=True)
class IntegratedBrier(PredictionError):
    """Integrated Brier score up to `time`."""

    grid: Grid


@dataclass(frozen=True, kw_only=True, slots=True)
class ForestRow:
    """A row of a forest plot: the heading or the reference of a category, or one estimate.

    `n` and `events` count the patients of the model at the level of the row, or all its patients if the row is a heading or
    about a number. They are None in imputed models, because the level of a patient may differ between imputed data sets.
    """

    variable: str
    level: str
    reference: str
    label: str
    kind: Literal["heading", "reference", "estimate"]
    level_depth: int
    effect: HazardRatio | NotEstimable = NOT_COMPUTED
    n: int | None = None
    events: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Imputation:
    """How missing covariates were imputed; `missing` is the number of patients without each covariate."""

    m: int
    method: str
    missing: Mapping[str, int]
    missing_information: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProportionalModel:
    """Score tests of proportional hazards in a model of several variables, for each variable and for all (`whole`)."""

    variables: Mapping[str, ChiSquare]
    whole: ChiSquare


@dataclass(frozen=True, kw_only=True, slots=True)
class Forest:
    """Cox models of the score and covariates: each variable alone, all together, and all together with imputed data.

    `ph` has the tests of proportional hazards in the model of complete cases.
    """

    univariable: tuple[ForestRow, ...]
    multivariable: tuple[ForestRow, ...]
    n: int
    n_complete: int
    imputed: tuple[ForestRow, ...] = ()
    imputation: Imputation | NotEstimable = NOT_COMPUTED
    ph: ProportionalModel | NotEstimable = NOT_COMPUTED


@dataclass(frozen=True, kw_only=True, slots=True)
class SubgroupLevel:
    """Hazard ratio per standard deviation at one level of a subgroup variable."""

    level: str
    n: int
    events: int
    effect: HazardRatio | NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class Subgroup:
    """Effect at every level of a variable, and p-value and q-value of the interaction; q is within the declared family."""

    variable: str
    p_interaction: float | None
    q_interaction: float | None
    rows: tuple[SubgroupLevel, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NetBenefitGain(Estimate):
    """Net benefit of the combined model minus that of the clinical model at one threshold."""

    threshold: float


@dataclass(frozen=True, kw_only=True, slots=True)
class NetBenefit:
    """Decision curves of the frozen models, of treating all patients and of treating none."""

    thresholds: tuple[float, ...]
    models: Mapping[str, tuple[float | None, ...]]
    all: tuple[float | None, ...]
    none: tuple[float | None, ...]
    difference: tuple[NetBenefitGain, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AtHorizon:
    """Brier score and net benefit of the frozen models at one horizon; differences are combined minus clinical."""

    time: float
    brier: Mapping[str, float | None]
    difference_brier: Estimate
    net_benefit: NetBenefit


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """Number of patients and of events to which a model was fitted."""

    n: int
    events: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AddedImputed:
    """Added value in all patients, with missing covariates imputed separately in every resample."""

    n: int
    events: int
    missing: Mapping[str, int]
    m: int
    bootstraps: int
    method: str
    uno_c: Mapping[str, float | None]
    difference_c: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class AddedValue:
    """Performance in a validation cohort of the clinical, score and combined models, which were frozen in discovery."""

    models: tuple[str, ...]
    n: int
    events: int
    trained_on: Fitted
    uno_c: Mapping[str, Concordance]
    difference_c: Estimate
    lr_test: ChiSquare
    at_horizon: AtHorizon | NotEstimable = NOT_COMPUTED
    imputed: AddedImputed | NotEstimable = NOT_COMPUTED


@dataclass(frozen=True, kw_only=True, slots=True)
class Analysis:
    """Performance of the frozen score for one endpoint in one cohort.

    Attributes
    ----------
    role
        Performance in ``discovery`` is apparent, that is, optimistic; ``cross-validated`` takes the place of validation
        cohorts if there are none.
    primary
        Whether it belongs to the declared primary analysis.
    unit
        Unit of all times.
    follow_up
        Median follow-up by reverse Kaplan-Meier.
    hr_sd, hr_group
        Hazard ratio per standard deviation of the score in discovery, which is the primary effect, and of the high against the
        low risk group.
    """

    cohort: str
    endpoint: str
    unit: str
    role: Role
    primary: bool
    n: int
    events: int
    follow_up: Estimate | NotEstimable = NOT_COMPUTED
    km: KaplanMeier | NotEstimable = NOT_COMPUTED
    logrank: ChiSquare | NotEstimable = NOT_COMPUTED
    hr_sd: HazardRatio | NotEstimable = NOT_COMPUTED
    hr_group: HazardRatio | NotEstimable = NOT_COMPUTED
    harrell_c: Concordance | NotEstimable = NOT_COMPUTED
    uno_c: Concordance | NotEstimable = NOT_COMPUTED
    auc: tuple[AucAt, ...] | NotEstimable = NOT_COMPUTED
    spline: Spline | NotEstimable = NOT_COMPUTED
    ph: ProportionalHazards | NotEstimable = NOT_COMPUTED
    rmst: RestrictedMeans | NotEstimable = NOT_COMPUTED
    outcome_counts: Counts | NotEstimable = NOT_COMPUTED
    calibration: Calibration | NotEstimable = NOT_COMPUTED
    brier: tuple[BrierAt, ...] | NotEstimable = NOT_COMPUTED
    ibs: IntegratedBrier | NotEstimable = NOT_COMPUTED
    forest: Forest | NotEstimable = NOT_COMPUTED
    subgroups: tuple[Subgroup, ...] | NotEstimable = NOT_COMPUTED
    competing: CompetingRisks | NotEstimable = NOT_COMPUTED
    added_value: AddedValue | NotEstimable = NOT_COMPUTED

    @property
    def apparent(self) -> bool:
        """Whether the score was fitted to these patients."""
        return self.role == "discovery"
