"""Treatment benefit by risk group: whether the score is prognostic or predictive, by rules that were fixed in advance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.clinical import TIME_ZERO, TreatmentDesign
from pathosig.survival import adjust_p
from pathosig.validation.arms import (
    EValue,
    Start,
    Treatment,
    TreatmentCohort,
    TreatmentEffect,
    Verdict,
)
from pathosig.validation.arms_effect import cohort_effect
from pathosig.validation.clinical_names import refuse_taken
from pathosig.validation.values import HazardRatio, NotEstimable, attempt

_LEVEL = 0.05
ROBUST = 2.0
"""E-value that the confidence bound of an observational interaction must reach. A smaller one could be explained by confounding
that differs by score, with risk ratios of up to 2 with treatment and with outcome."""

UNDECIDED = "not distinguishable from unmeasured confounding (observational)"
_MAX_SMD = 0.1
_MAX_OUTSIDE = 0.1


def treatment_benefit(
    frames: Mapping[str, pd.DataFrame],
    *,
    arm: str,
    endpoint: str,
    discovery: str = "discovery",
    covariates: Sequence[str] = (),
    sd: float = 1.0,
    per_year: float = 12.0,
    design: TreatmentDesign = TreatmentDesign(),
    declared: bool = True,
    family: int = 1,
    horizons: Sequence[float] = (1.0, 3.0, 5.0),
    seed: int = 0,
) -> Treatment:
    """Treatment effect in each risk group and across the score, with a verdict.

    The verdict is *predictive* only if arm and endpoint were declared in advance, the adjusted p-value of score x treatment
    is below .05 in a cohort to which the score was not fitted, and the interaction has the same sign in all such cohorts.
    Without randomisation it also requires covariates to adjust for, overlapping arms (at most 10 % of patients outside
    the common range of propensities), balance after weighting (every |SMD| < .1), and an E-value of at least `ROBUST` for
    the confidence bound of the interaction in some cohort; the words are then "consistent with predictive (observational)".
    A treatment whose start is not declared has no verdict.

    Parameters
    ----------
    frames
        Patients of each cohort: score, group, time, event, the column of the arm (0/1 or two levels) and covariates.
    arm, endpoint
        Column of the treatment, and name of the endpoint.
    discovery
        Name of the cohort to which the score was fitted; it does not contribute to the verdict.
    covariates
        Covariates for inverse-probability weights, or in the model if treatment is time-dependent.
    sd
        Standard deviation of the score in discovery.
    per_year
        Units of time in a year.
    design
        Whether treatment was randomised, and when it began.
    declared
        Whether arm and endpoint were declared in advance ([primary] of study.toml).
    family
        Number of combinations of arms and endpoints that are tested. P-values are adjusted over cohorts by Benjamini and
        Hochberg's method and then multiplied by it.
    horizons
        Years at which survival of the arms is given.
    seed
        Seed of the imputations.

    Returns
    -------
    Treatment

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> score, chemo = rng.normal(size=300), rng.integers(0, 2, 300)
    >>> time = rng.exponential(20, 300) / np.exp(0.5 * score - chemo * score)
    >>> trial = pd.DataFrame({"score": score, "time": time, "event": True, "chemo": chemo})
    >>> trial["group"] = np.where(trial["score"] > 0, "high", "low")
    >>> options = {"arm": "chemo", "endpoint": "os"}
    >>> treatment_benefit({"trial": trial}, design=TreatmentDesign(randomised=True), **options).words
    'predictive'
    >>> treatment_benefit({"trial": trial}, **options).words
    'benefit by score: not estimable: start of treatment unknown'
    """
    refuse_taken([arm, *covariates])
    cohorts = [
        TreatmentCohort(
            cohort=cohort,
            role="discovery" if cohort == discovery else "validation",
            result=attempt(
                cohort_effect,
                frame,
                arm=arm,
                covariates=covariates,
                sd=sd,
                per_year=per_year,
                design=design,
                horizons=horizons,
                seed=seed,
            ),
        )
        for cohort, frame in frames.items()
    ]
    treatment = Treatment(
        arm=arm,
        endpoint=endpoint,
        verdict="not estimable",
        words="",
        reasons=(),
        declared=declared,
        family=family,
        cohorts=tuple(_adjusted(cohorts, family)),
        design="randomised" if design.randomised else "observational",
        start=_start(design),
        adjusted=any(c in f for f in frames.values() for c in covariates),
    )
    verdict, words, reasons = _verdict(treatment)
    return replace(treatment, verdict=verdict, words=words, reasons=reasons)


def _start(design: TreatmentDesign) -> Start:
    if design.randomised or design.start == TIME_ZERO:
        return "time zero"
    if design.start is None:
        return "unknown"
    return "time-dependent" if design.landmark is None else "landmark"


def _tested(cohort: TreatmentCohort) -> HazardRatio | None:
    """The interaction of a validation cohort; None for discovery, or if it could not be tested."""
    if cohort.role == "discovery" or isinstance(cohort.result, NotEstimable):
        return None
    interaction = cohort.result.interaction
    return interaction if isinstance(interaction, HazardRatio) and interaction.p is not None else None


def _small_sample_p(test: HazardRatio) -> float:
    """P-value by a t distribution with events - 3 degrees of freedom, as robust errors are too small in small samples."""
    if test.coef is None or not test.se:
        return float(test.p or 1.0)
    return float(2 * stats.t.sf(abs(test.coef / test.se), max(test.events - 3, 1)))


def _adjusted(cohorts: Sequence[TreatmentCohort], family: int) -> list[TreatmentCohort]:
    """The cohorts with p-values of interactions adjusted over cohorts (Benjamini-Hochberg) and for the family (Bonferroni)."""
    p = [_small_sample_p(test) for c in cohorts if (test := _tested(c)) is not None]
    adjusted = iter(adjust_p(p, "BH") if p else ())
    out = []
    for cohort in cohorts:
        test = _tested(cohort)
        if test is not None and isinstance(cohort.result, TreatmentEffect):
            test = replace(test, p_adjusted=min(1.0, float(next(adjusted)) * family))
            result = replace(cohort.result, interaction=test, e_value=e_value(test))
            cohort = replace(cohort, result=result)
        out.append(cohort)
    return out


def e_value(effect: HazardRatio) -> EValue | None:
    """E-value of a hazard ratio and of the end of its confidence interval nearer to 1.

    For a common outcome RR = (1 - 0.5^sqrt(HR)) / (1 - 0.5^sqrt(1 / HR)), and E = RR + sqrt(RR (RR - 1)); a hazard ratio below 1
    is replaced by 1 / HR.

    Parameters
    ----------
    effect
        A hazard ratio, such as that of an interaction.

    Returns
    -------
    `EValue`, or None where the hazard ratio is not finite.

    References
    ----------
    VanderWeele TJ, Ding P. Ann Intern Med 2017; 167: 268.

    Examples
    --------
    >>> value = e_value(HazardRatio(hr=2.0, lower=0.9, upper=4.0, p=0.1, n=100, events=60))
    >>> round(value.estimate, 2), value.bound
    (2.61, 1.0)
    """
    if effect.hr is None or effect.lower is None or effect.upper is None or effect.hr <= 0:
        return None
    near = effect.lower if effect.hr > 1 else effect.upper
    crosses = effect.lower <= 1 <= effect.upper
    return EValue(estimate=_confounding(effect.hr), bound=1.0 if crosses else _confounding(near))


def _confounding(hr: float) -> float:
    hr = max(hr, 1 / hr)
    rr = (1 - 0.5 ** np.sqrt(hr)) / (1 - 0.5 ** np.sqrt(1 / hr))
    return float(rr + np.sqrt(rr * (rr - 1)))


def _verdict(treatment: Treatment) -> tuple[Verdict, str, tuple[str, ...]]:
    if treatment.start == "unknown":
        reason = f"study.toml says neither when {treatment.arm} began nor that it was randomised ([treatment.{treatment.arm}])"
        return "not estimable", "benefit by score: not estimable: start of treatment unknown", (reason,)
    tested = [(c.cohort, c.result, test) for c in treatment.cohorts if (test := _tested(c)) is not None]
    if not tested:
        effects = [c.result for c in treatment.cohorts if isinstance(c.result, TreatmentEffect)]
        smallest = [e.minimum_detectable for e in effects if e.minimum_detectable]
        reasons = ["no validation cohort has enough events in both arms"]
        if smallest:
            reasons.append(f"smallest interaction HR detectable with 80 % power: {min(smallest):.2f}")
        return "not estimable", "benefit by score: not estimable", tuple(reasons)
    signs = {np.sign(test.coef or 0.0) for _, _, test in tested}
    p = min(test.p_adjusted for _, _, test in tested if test.p_adjusted is not None)
    reasons = []
    if not treatment.declared:
        reasons.append("arm and endpoint were not declared as primary")
    if p >= _LEVEL:
        reasons.append(f"score x treatment p (adjusted) = {p:.3f}, not below .05")
    if len(signs) > 1:
        reasons.append("the interaction changes sign between cohorts")
    if treatment.design == "observational":
        reasons += _confounded(
            treatment, [(name, e) for name, e, _ in tested if isinstance(e, TreatmentEffect)]
        )
    if reasons:
        return "prognostic", "prognostic; no evidence that benefit depends on the score", tuple(reasons)
    if treatment.design == "randomised":
        return "predictive", "predictive", ()
    values = [v for _, _, test in tested if (v := e_value(test)) is not None]
    if not any(v.bound >= ROBUST for v in values):  # one robust cohort is enough
        return "prognostic", UNDECIDED, (_caveat(values),)
    return "predictive", "consistent with predictive (observational)", (_caveat(values),)


def _confounded(treatment: Treatment, tested: Sequence[tuple[str, TreatmentEffect]]) -> list[str]:
    """Reasons why the arms of observational cohorts cannot be compared."""
    reasons = []
    if not treatment.adjusted:
        reasons.append("no covariates were declared to adjust for")
    unbalanced = [name for name, e in tested if (e.max_smd_after or 0.0) >= _MAX_SMD]
    if unbalanced:
        reasons.append(f"arms differ after weighting (|SMD| >= .1) in {', '.join(unbalanced)}")
    apart = [name for name, e in tested if e.overlap is not None and e.overlap.share_outside > _MAX_OUTSIDE]
    if apart:
        reasons.append(f"over 10 % of patients have no counterpart in the other arm in {', '.join(apart)}")
    return reasons


def _caveat(values: Sequence[EValue]) -> str:
    """Caveat with the smallest E-value: confounding that differs by score can look like benefit that differs by score."""
    weakest = min(values, key=lambda v: v.bound, default=None)
    size = (
        ""
        if weakest is None
        else f" of risk ratio {weakest.estimate:.2f} ({weakest.bound:.2f} for the bound)"
    )
    return f"unmeasured confounding that differs by score{size} would explain it and is not excluded"
