"""Claims about outcomes: effects planted on survival and of treatment, and what the validation found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pathosig.core.planted_claims import Claim, ClaimOutcome
from pathosig.survival import adjust_p
from pathosig.synthetic.truth import Comparison
from pathosig.validation.analysis import Analysis, Forest, Subgroup
from pathosig.validation.arms import Treatment
from pathosig.validation.competing_values import CompetingRisks
from pathosig.validation.results import Results
from pathosig.validation.values import ChiSquare, Counts, HazardRatio, NotEstimable

_LEVEL = 0.05


def prognostic_claim(general: Comparison) -> Claim:
    """Prognostic HPCs: found if both planted types are selected with the right sign, and no other type is."""
    signs = {general.harmful: 1, general.protective: -1}
    right, wrong = set[str](), set[str]()
    for name, kind in general.selected.items():
        (right if np.sign(general.coef[name]) == signs.get(kind, 0) else wrong).add(kind)
    shown = ", ".join(
        f"{name} ({kind}, {general.coef[name]:+.2f})" for name, kind in general.selected.items()
    )
    return Claim(
        panel="prognostic",
        subject="prognostic HPCs and the equation of the score",
        planted=f"{general.harmful} harms, {general.protective} protects",
        found=shown or "nothing selected",
        outcome="found" if len(right) == 2 and not wrong else "partly" if right else "not found",
    )


def _validated(results: Results, endpoint: str) -> list[Analysis]:
    return [
        a for a in results.analyses if a.endpoint == endpoint and a.role == "validation" and not a.apparent
    ]


def _effect_claim(
    effects: Sequence[tuple[str, HazardRatio | NotEstimable]],
    measure: str,
    *,
    panel: str,
    subject: str,
    planted: str,
) -> Claim:
    """A claim about hazard ratios: found if the intervals of all cohorts lie above 1, partly found if one does."""
    estimable = [h for _, h in effects if isinstance(h, HazardRatio)]
    shown = [h for h in estimable if h.lower is not None and h.lower > 1]
    outcome: ClaimOutcome = "found" if len(shown) == len(effects) else "partly" if shown else "not found"
    numbers = "; ".join(f"{cohort} {_ratio(effect)}" for cohort, effect in effects)
    return Claim(
        panel=panel,
        subject=subject,
        planted=planted,
        found=f"{measure}: {numbers}" if numbers else "not analysed in a validation cohort",
        outcome=outcome if estimable else "not estimable",
    )


def survival_claim(results: Results, endpoint: str) -> Claim:
    """The hazard ratio of the continuous score in the validation cohorts."""
    return _effect_claim(
        [(a.cohort, a.hr_sd) for a in _validated(results, endpoint)],
        "hazard ratio per SD",
        panel=endpoint,
        subject=f"{endpoint.upper()} by risk score in independent cohorts",
        planted="the score's tissue types act on this endpoint in every cohort",
    )


def recurrence_claim(results: Results) -> Claim:
    """Recurrence with death as a competing event: the cause-specific hazard ratio of the score."""
    effects = [
        (analysis.cohort, model.result)
        for analysis in _validated(results, "recurrence")
        if isinstance(analysis.competing, CompetingRisks)
        for model in analysis.competing.models
        if (model.model, model.effect, model.cause) == ("cause-specific", "hr_sd", 1)
    ]
    return _effect_claim(
        effects,
        "cause-specific hazard ratio per SD",
        panel="recurrence",
        subject="recurrence by risk score, death competing",
        planted="the score's tissue types act on the hazard of recurrence in every cohort",
    )


def forest_claim(results: Results) -> Claim:
    """The hazard ratio of the score, adjusted for age, sex, stage and nodes."""
    effects = [
        (analysis.cohort, row.effect)
        for analysis in _validated(results, results.primary.endpoint)
        if isinstance(analysis.forest, Forest)
        for row in analysis.forest.multivariable
        if row.variable == "score" and row.kind == "estimate"
    ]
    return _effect_claim(
        effects,
        "adjusted hazard ratio per SD",
        panel="forests",
        subject="uni- and multivariable models",
        planted="the score's tissue types act beside stage, nodes and age",
    )


def strata_claim(results: Results) -> Claim:
    """Strata by stage, nodes, sex and subtype: the score has the same effect in all of them."""
    tested: list[Subgroup] = []
    for analysis in _validated(results, results.primary.endpoint):
        if not isinstance(analysis.subgroups, NotEstimable):
            tested += [s for s in analysis.subgroups if s.p_interaction is not None]
    differing = [s.variable for s in tested if s.q_interaction is not None and s.q_interaction < _LEVEL]
    effects = [r.effect for s in tested for r in s.rows if isinstance(r.effect, HazardRatio) and r.effect.hr]
    above = sum((e.hr or 0) > 1 for e in effects)
    return Claim(
        panel="strata",
        subject="strata by stage, nodes, sex and molecular subtype",
        planted="the same effect of the score in every stratum",
        found=f"hazard ratio above 1 in {above} of {len(effects)} strata; interactions with q < .05: "
        f"{', '.join(differing) or 'none'} of {len(tested)}",
        outcome="not estimable"
        if not tested or not effects
        else "found"
        if not differing and above >= 0.8 * len(effects)
        else "not found",
    )


def groups_claim(results: Results) -> Claim:
    """Chi-square table: risk groups are not associated with any clinical variable."""
    pairs = [
        (a.variable, a.counts.chi_square.p)
        for a in results.associations
        if isinstance(a.counts, Counts)
        and isinstance(a.counts.chi_square, ChiSquare)
        and a.counts.chi_square.p is not None
        and a.cohort != results.primary.discovery
    ]
    adjusted = adjust_p([p for _, p in pairs], "BH") if pairs else ()
    tied = sorted({name for (name, _), q in zip(pairs, adjusted, strict=True) if q < _LEVEL})
    return Claim(
        panel="groups",
        subject="risk groups and clinical variables (chi-square table)",
        planted="neither stage nor nodes nor sex nor subtype is tied to the two prognostic types",
        found=f"{len(pairs)} tables, adjusted p < .05 in {', '.join(tied) or 'none'}",
        outcome="not estimable" if not pairs else "not found" if tied else "found",
    )


def treatment_claim(results: Results, planted: Mapping[str, float | str], arm: str) -> Claim:
    """Benefit from chemoradiotherapy, which is planted only for adjuvant treatment of patients at high risk."""
    analysed: Sequence[Treatment] = [t for t in results.treatment if t.arm == arm and t.endpoint == "os"]
    benefit = float(planted["log_hr_high_risk"]) if arm == planted["column"] else 0.0
    wanted = (
        f"hazard ratio {np.exp(benefit):.2f} from its start above the median risk, 1 below"
        if benefit
        else "no effect"
    )
    panel = arm.removesuffix("_crt")
    subject = f"benefit from {arm.replace('_crt', ' chemoradiotherapy')}"
    if not analysed:
        return Claim(
            panel=panel, subject=subject, planted=wanted, found="not analysed", outcome="not estimable"
        )
    treatment = analysed[0]
    outcome: ClaimOutcome = (
        "not estimable"
        if treatment.verdict == "not estimable"
        else "found"
        if (treatment.verdict == "predictive") == bool(benefit)
        else "not found"
    )
    reasons = f" ({'; '.join(treatment.reasons)})" if outcome == "not found" and treatment.reasons else ""
    return Claim(
        panel=panel, subject=subject, planted=wanted, found=treatment.words + reasons, outcome=outcome
    )


def _ratio(value: HazardRatio | NotEstimable) -> str:
    if isinstance(value, NotEstimable) or value.hr is None or value.lower is None or value.upper is None:
        return "not estimable"
    upper = f"{value.upper:.2f}" if value.upper < 1000 else ">1000"
    return f"{value.hr:.2f} ({value.lower:.2f}-{upper})"
