"""Values of the effect of a treatment by score: ``treatment[]`` of results.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from pathosig.validation.analysis import EffectCurve
from pathosig.validation.values import Curve, Estimate, HazardRatio, NotEstimable

Verdict = Literal["predictive", "prognostic", "not estimable"]
Design = Literal["randomised", "observational"]
Start = Literal["time zero", "landmark", "time-dependent", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TreatmentGroup:
    """Hazard ratio of treatment in one risk group."""

    label: str
    n: int
    n_treated: int
    effect: HazardRatio | NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """Standardised mean difference of a covariate between the arms, before and after weighting."""

    variable: str
    smd_before: float | None
    smd_after: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """Range of propensities that both arms have in common, and the proportion of patients outside it."""

    lower: float
    upper: float
    share_outside: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmCurve(Curve):
    """Kaplan-Meier curve of one arm in the risk group `label`."""

    arm: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EValue:
    """Risk ratio with both treatment and outcome that an unmeasured confounder would need to explain an interaction away.

    `estimate` is the E-value of the estimate and `bound` that of the end of the confidence interval nearer to 1; `bound` is 1
    if the interval contains 1.
    """

    estimate: float
    bound: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TreatmentEffect:
    """Effect of treatment in one cohort.

    Attributes
    ----------
    n, events
        Patients compared, and their events; with a landmark only patients still under observation at it.
    groups
        Effect of treatment in each risk group.
    interaction
        Hazard ratio of score (per SD) x treatment.
    continuous
        Hazard ratio of treatment along the score.
    balance, overlap
        Balance and overlap of the arms; `overlap` is None for a time-dependent treatment, whose model is adjusted for
        covariates instead of weighted.
    max_smd_after
        Largest absolute standardised mean difference after weighting.
    rmst
        Difference of restricted mean survival times, treated minus untreated, in each risk group.
    km
        Kaplan-Meier curves of the arms in each risk group.
    minimum_detectable
        Hazard ratio of the interaction that is detectable with 80 % power.
    e_value
        E-value of the interaction.
    """

    n: int
    events: int
    groups: tuple[TreatmentGroup, ...]
    interaction: HazardRatio | NotEstimable
    continuous: EffectCurve | NotEstimable
    balance: tuple[Balance, ...]
    overlap: Overlap | None
    max_smd_after: float | None
    rmst: Mapping[str, Estimate | NotEstimable]
    km: tuple[ArmCurve, ...]
    minimum_detectable: float | None
    e_value: EValue | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TreatmentCohort:
    """One cohort of a treatment analysis; discovery does not contribute to the verdict."""

    cohort: str
    role: Literal["discovery", "validation"]
    result: TreatmentEffect | NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class Treatment:
    """The effect of one treatment on one endpoint in all cohorts.

    Attributes
    ----------
    arm, endpoint
        Column of the treatment, and the endpoint.
    verdict, words, reasons
        The verdict, the words that may be printed, and why it is not stronger.
    cohorts
        Effect in each cohort.
    declared
        Whether arm and endpoint are those of the declared primary analysis.
    family
        Number of combinations of arms and endpoints that are tested; p-values of interactions are adjusted for it.
    design, start
        As declared in study.toml.
    adjusted
        Whether covariates are used for the weights or in the model.

    Examples
    --------
    >>> effect = NotEstimable(reason="fewer than five events in an arm")
    >>> cohort = TreatmentCohort(cohort="v1", role="validation", result=effect)
    >>> words = "benefit by score: not estimable"
    >>> treatment = Treatment(
    ...     arm="chemo", endpoint="os", verdict="not estimable", words=words, reasons=(), cohorts=(cohort,)
    ... )
    >>> len(treatment.to_frame())  # no cohort with an estimate
    0
    """

    arm: str
    endpoint: str
    verdict: Verdict
    words: str
    reasons: tuple[str, ...]
    cohorts: tuple[TreatmentCohort, ...]
    declared: bool = False
    family: int = 1
    design: Design = "observational"
    start: Start = "unknown"
    adjusted: bool = False

    def to_frame(self) -> pd.DataFrame:
        """One row per cohort and risk group: hr, lower, upper, p, n, n_treated, events."""
        rows = []
        for cohort in self.cohorts:
            groups = cohort.result.groups if isinstance(cohort.result, TreatmentEffect) else ()
            for group in groups:
                effect = None if isinstance(group.effect, NotEstimable) else group.effect
                values = {k: getattr(effect, k, None) for k in ("hr", "lower", "upper", "p", "events")}
                counts = {"n": group.n, "n_treated": group.n_treated}
                rows.append(
                    {
                        "cohort": cohort.cohort,
                        "endpoint": self.endpoint,
                        "arm": self.arm,
                        "label": group.label,
                    }
                    | values
                    | counts
                )
        return pd.DataFrame(rows)
