"""Treatment benefit by risk group: prognostic, or consistent with predictive; with rules fixed beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import NotEstimableError
from pathosig.signature.model import HIGH, LOW
from pathosig.survival import adjust_p, cox
from pathosig.survival.covariates import as_level
from pathosig.validation.analysis import EffectCurve
from pathosig.validation.arms import (
    ArmCurve,
    Treatment,
    TreatmentCohort,
    TreatmentEffect,
    TreatmentGroup,
    Verdict,
)
from pathosig.validation.estimates import hazard_ratio
from pathosig.validation.performance import km_curves, rmst_of
from pathosig.validation.propensity import propensity_weights
from pathosig.validation.values import Z95, Estimate, HazardRatio, NotEstimable, attempt, finite, numbers

_MIN_ARM_EVENTS = 5
_LEVEL = 0.05
_MAX_SMD = 0.1


def treatment_benefit(
    frames: Mapping[str, pd.DataFrame],
    *,
    arm: str,
    endpoint: str,
    discovery: str = "discovery",
    covariates: Sequence[str] = (),
    sd: float = 1.0,
    per_year: float = 12.0,
    randomised: bool = False,
    declared: bool = True,
    family: int = 1,
) -> Treatment:
    """Treatment effect in each risk group and across the score, with the verdict's rules.

    Parameters
    ----------
    frames
        Cohort -> patients with score, group, time, event, the arm's column (0/1 or two levels) and covariates.
    arm, endpoint
        Column of the treatment and endpoint.
    discovery
        Cohort the score was fitted on; it never counts for the verdict.
    covariates
        For inverse-probability weights.
    sd
        SD of the score in discovery.
    per_year
        Units of time in a year.
    randomised
        Whether the arm was randomised; without it the strongest words are "consistent with predictive (observational)".
    declared
        Whether arm and endpoint were declared beforehand ([primary] of study.toml).
    family
        Number of arms and endpoints looked at; p-values are multiplied accordingly after BH over cohorts.

    Returns
    -------
    Treatment
    """
    cohorts = [
        TreatmentCohort(
            cohort=cohort,
            role="discovery" if cohort == discovery else "validation",
            result=attempt(_effect, frame, arm=arm, covariates=covariates, sd=sd, per_year=per_year),
        )
        for cohort, frame in frames.items()
    ]
    cohorts = _adjusted(cohorts, family)
    verdict, words, reasons = _verdict(cohorts, randomised=randomised, declared=declared)
    return Treatment(
        arm=arm, endpoint=endpoint, cohorts=tuple(cohorts), verdict=verdict, words=words, reasons=reasons,
        declared=declared, family=family, design="randomised" if randomised else "observational",
    )  # fmt: skip


def _tested(cohort: TreatmentCohort) -> HazardRatio | None:
    """The interaction of a validation cohort, where it could be tested."""
    if cohort.role == "discovery" or isinstance(cohort.result, NotEstimable):
        return None
    interaction = cohort.result.interaction
    return interaction if isinstance(interaction, HazardRatio) and interaction.p is not None else None


def _adjusted(cohorts: Sequence[TreatmentCohort], family: int) -> list[TreatmentCohort]:
    """With p of the interactions adjusted over cohorts (Benjamini and Hochberg) and for the family (Bonferroni)."""
    p = [test.p for c in cohorts if (test := _tested(c)) is not None and test.p is not None]
    adjusted = iter(adjust_p(p, "BH") if p else ())
    out = []
    for cohort in cohorts:
        test = _tested(cohort)
        if test is not None and isinstance(cohort.result, TreatmentEffect):
            test = replace(test, p_adjusted=min(1.0, float(next(adjusted)) * family))
            cohort = replace(cohort, result=replace(cohort.result, interaction=test))
        out.append(cohort)
    return out


def _verdict(
    cohorts: Sequence[TreatmentCohort], *, randomised: bool, declared: bool
) -> tuple[Verdict, str, tuple[str, ...]]:
    tested = [(c, c.result, test) for c in cohorts if (test := _tested(c)) is not None]
    if not tested:
        effects = [c.result for c in cohorts if isinstance(c.result, TreatmentEffect)]
        smallest = [e.minimum_detectable for e in effects if e.minimum_detectable]
        reasons = ["no validation cohort has enough events in both arms"]
        if smallest:
            reasons.append(f"smallest interaction HR detectable with 80 % power: {min(smallest):.2f}")
        return "not estimable", "benefit by score: not estimable", tuple(reasons)
    reasons = []
    signs = {np.sign(test.coef or 0.0) for _, _, test in tested}
    p = min(test.p_adjusted for _, _, test in tested if test.p_adjusted is not None)
    if not declared:
        reasons.append("arm and endpoint were not declared as primary")
    if p >= _LEVEL:
        reasons.append(f"score x treatment p (adjusted) = {p:.3f}, not below .05")
    if len(signs) > 1:
        reasons.append("the interaction changes sign between cohorts")
    unbalanced = [
        c.cohort
        for c, effect, _ in tested
        if isinstance(effect, TreatmentEffect) and (effect.max_smd_after or 0.0) >= _MAX_SMD
    ]
    if unbalanced and not randomised:
        reasons.append(f"arms differ after weighting (|SMD| >= .1) in {', '.join(unbalanced)}")
    if declared and p < _LEVEL and len(signs) == 1 and (randomised or not unbalanced):
        words = "predictive" if randomised else "consistent with predictive (observational)"
        return "predictive", words, tuple(reasons)
    return "prognostic", "prognostic; no evidence that benefit depends on the score", tuple(reasons)


def _arm_of(column: pd.Series) -> np.ndarray:
    """1 treated, 0 not, NaN unknown; of two levels the later one (sorted) is the treatment."""
    labels = column.map(lambda v: None if pd.isna(v) else as_level(v))
    levels = sorted(set(labels.dropna()))
    if len(levels) != 2:
        message = f"treatment {column.name!r}: {len(levels)} levels ({levels[:4]}); expected two."
        raise NotEstimableError(message)
    return np.where(labels.isna(), np.nan, (labels == levels[1]).to_numpy(float))


def _effect(
    frame: pd.DataFrame, *, arm: str, covariates: Sequence[str], sd: float, per_year: float
) -> TreatmentEffect:
    if arm not in frame:
        message = f"treatment: no column {arm!r} in patients.csv."
        raise NotEstimableError(message)
    treated = _arm_of(frame[arm])
    usable = np.isfinite(treated) & np.isfinite(frame["score"].to_numpy(float))
    frame, treated = frame[usable].reset_index(drop=True), treated[usable]
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    scaled = frame["score"].to_numpy(float) / (sd or 1.0)
    group = frame["group"].to_numpy(object)
    events = {int(a): int(event[treated == a].sum()) for a in (0, 1)}
    if min(events.values()) < _MIN_ARM_EVENTS:
        message = f"treatment {arm}: {events[0]} and {events[1]} events in the arms; {_MIN_ARM_EVENTS} each are needed."
        raise NotEstimableError(message)
    weighting = propensity_weights(treated, frame, covariates, scaled)
    options: dict[str, Any] = {"weights": weighting.weights, "cluster": np.arange(len(frame))}
    centred = scaled - scaled.mean()
    design = np.column_stack([centred * treated, treated, centred])
    interaction = hazard_ratio(design[:, 0], time, event, adjust=design[:, 1:], **options)
    groups, curves, means = [], list[ArmCurve](), dict[str, Estimate | NotEstimable]()
    for label in (LOW, HIGH):
        inside = group == label
        selected = {name: values[inside] for name, values in options.items()}
        groups.append(
            TreatmentGroup(
                label=label,
                n=int(inside.sum()),
                n_treated=int(treated[inside].sum()),
                effect=hazard_ratio(treated[inside], time[inside], event[inside], **selected),
            )
        )
        if inside.any():
            curves += _curves(label, treated[inside], time[inside], event[inside], per_year)
            means[label] = attempt(_mean_difference, treated[inside], time[inside], event[inside])
    return TreatmentEffect(
        n=len(frame),
        events=int(event.sum()),
        groups=tuple(groups),
        interaction=interaction,
        continuous=attempt(_continuous, design, time, event, scaled, options),
        balance=weighting.balance,
        overlap=weighting.overlap,
        max_smd_after=weighting.max_smd_after,
        rmst=means,
        km=tuple(curves),
        minimum_detectable=_detectable(interaction),
    )


def _detectable(interaction: HazardRatio | NotEstimable) -> float | None:
    """Hazard ratio detectable with 80 % power at the 5 % level: exp((z_.975 + z_.8) se)."""
    if isinstance(interaction, NotEstimable) or not interaction.se:
        return None
    return finite(np.exp((Z95 + stats.norm.ppf(0.8)) * interaction.se))


def _curves(
    label: str, treated: np.ndarray, time: np.ndarray, event: np.ndarray, per_year: float
) -> list[ArmCurve]:
    arms = np.where(treated == 1, "treated", "untreated").astype(object)
    order = ("untreated", "treated")
    panel = attempt(km_curves, time, event, arms, per_year=per_year, horizons=(1.0, 3.0, 5.0), labels=order)
    if isinstance(panel, NotEstimable):
        return []
    fields = [{f: getattr(c, f) for f in c.__dataclass_fields__} for c in panel.groups]
    return [ArmCurve(**{**f, "label": label}, arm=c.label) for f, c in zip(fields, panel.groups, strict=True)]


def _mean_difference(treated: np.ndarray, time: np.ndarray, event: np.ndarray) -> Estimate:
    return rmst_of(time, event, np.where(treated == 1, HIGH, LOW).astype(object)).difference


def _continuous(
    design: np.ndarray, time: np.ndarray, event: np.ndarray, scaled: np.ndarray, options: Mapping[str, Any]
) -> EffectCurve:
    """Hazard ratio of treatment along the score: log HR(s) = b_arm + b_interaction (s - mean)."""
    fit = cox(design, time, event, **options)
    ends = np.quantile(scaled, [0.05, 0.95])
    grid = np.linspace(ends[0], ends[1], 31)
    shifted = grid - scaled.mean()
    log_hr = fit.coef[1] + fit.coef[0] * shifted
    v = fit.covariance
    se = np.sqrt(np.maximum(v[1, 1] + 2 * shifted * v[0, 1] + shifted**2 * v[0, 0], 0))
    return EffectCurve(
        score=tuple(grid.tolist()),
        hr=numbers(np.exp(log_hr)),
        lower=numbers(np.exp(log_hr - Z95 * se)),
        upper=numbers(np.exp(log_hr + Z95 * se)),
    )
