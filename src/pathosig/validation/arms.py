"""Values of a treatment's effect by score: ``treatment[]`` of results.json."""

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
    """Standardised mean difference of a covariate between arms, before and after weighting."""

    variable: str
    smd_before: float | None
    smd_after: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """Range of propensities that both arms share, and the proportion of patients outside."""

    lower: float
    upper: float
    share_outside: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmCurve(Curve):
    """Kaplan-Meier curve of one arm in the risk group `label`."""

    arm: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EValue:
    """Risk ratio that an unmeasured confounder would need with treatment and outcome to explain an interaction away.

    Of the estimate, and of the confidence bound nearer to 1 (1 where the interval contains 1).
    """

    estimate: float
    bound: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TreatmentEffect:
    """Effect of treatment in one cohort.

    Attributes
    ----------
    n, events
        Patients compared, and their events: with a landmark those still under observation then.
    overlap
        None for a time-dependent treatment, which is adjusted for covariates instead of weighted.
    interaction
        Score (per SD) x treatment.
    max_smd_after
        Largest absolute standardised mean difference after weighting.
    minimum_detectable
        Interaction hazard ratio detectable with 80 % power.
    rmst
        Risk group -> difference of restricted means, treated minus untreated.
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
    """One cohort of a treatment analysis; discovery never counts for the verdict."""

    cohort: str
    role: Literal["discovery", "validation"]
    result: TreatmentEffect | NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class Treatment:
    """One treatment and endpoint over all cohorts.

    Attributes
    ----------
    design, start
        As declared in study.toml; `adjusted` says whether covariates enter weights or model.
    declared
        Whether arm and endpoint are the primary ones.
    family
        Number of arms and endpoints tested; interaction p-values are adjusted for it.
    verdict, words, reasons
        The verdict, the sentence that may be printed, and why it is not stronger.
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
