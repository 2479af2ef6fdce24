"""Treatment benefit by risk group: prognostic, or consistent with predictive; with rules fixed beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import NotEstimableError
from pathosig.signature.model import HIGH, LOW
from pathosig.survival import adjust_p, cox
from pathosig.survival.covariates import as_level, encode
from pathosig.validation.estimates import Z95, attempt, finite, hazard_ratio
from pathosig.validation.performance import km_curves, rmst_of

PREDICTIVE, PROGNOSTIC, NOT_ESTIMABLE = "predictive", "prognostic", "not estimable"
_MIN_ARM_EVENTS = 5


@dataclass(frozen=True, kw_only=True)
class TreatmentBenefit:
    """Effect of one treatment by score, cohort by cohort.

    Attributes
    ----------
    arm, endpoint
        Column of the treatment; endpoint.
    cohorts
        One mapping per cohort: groups, interaction, continuous, balance, overlap, rmst, km.
    verdict
        ``predictive``, ``prognostic`` or ``not estimable``.
    words
        The sentence that may be printed.
    reasons
        Why the verdict is not stronger.
    p_adjusted
        BH-adjusted interaction p over cohorts used for the verdict.
    """

    arm: str
    endpoint: str
    cohorts: tuple[Mapping[str, Any], ...]
    verdict: str
    words: str
    reasons: tuple[str, ...]
    p_adjusted: tuple[float, ...] = field(default=())

    def to_rows(self) -> list[dict[str, Any]]:
        """Rows of ``treatment[]`` in results.json."""
        shared = {"arm": self.arm, "endpoint": self.endpoint, "verdict": self.verdict, "words": self.words}
        return [{**shared, "reasons": list(self.reasons), **dict(c)} for c in self.cohorts]

    def to_frame(self) -> pd.DataFrame:
        """One row per cohort and group."""
        rows = [
            {"cohort": c["cohort"], "endpoint": self.endpoint, "arm": self.arm, **g}
            for c in self.cohorts
            for g in c.get("groups", ())
        ]
        return pd.DataFrame(rows)


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
) -> TreatmentBenefit:
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
    TreatmentBenefit
    """
    rows = []
    for cohort, frame in frames.items():
        made = attempt(_one_cohort, frame, arm=arm, covariates=covariates, sd=sd, per_year=per_year)
        rows.append({"cohort": cohort, "role": "discovery" if cohort == discovery else "validation", **made})
    usable = [r for r in rows if r["role"] == "validation" and r.get("interaction", {}).get("p") is not None]
    adjusted: list[float] = []
    if usable:
        values = adjust_p([r["interaction"]["p"] for r in usable], "BH")
        adjusted = [min(1.0, float(p) * family) for p in values]
        for row, p in zip(usable, adjusted, strict=True):
            row["interaction"]["p_adjusted"] = p
    verdict, words, reasons = _verdict(rows, usable, adjusted, randomised=randomised, declared=declared)
    return TreatmentBenefit(
        arm=arm, endpoint=endpoint, cohorts=tuple(rows), verdict=verdict, words=words, reasons=reasons,
        p_adjusted=tuple(adjusted),
    )  # fmt: skip


def _verdict(
    rows: Sequence[Mapping[str, Any]],
    usable: Sequence[Mapping[str, Any]],
    adjusted: Sequence[float],
    *,
    randomised: bool,
    declared: bool,
) -> tuple[str, str, tuple[str, ...]]:
    if not usable:
        smallest = [r["minimum_detectable"] for r in rows if r.get("minimum_detectable")]
        reasons = ["no validation cohort has enough events in both arms"]
        if smallest:
            reasons.append(f"smallest interaction HR detectable with 80 % power: {min(smallest):.2f}")
        return NOT_ESTIMABLE, "benefit by score: not estimable", tuple(reasons)
    reasons = []
    signs = {np.sign(r["interaction"]["coef"]) for r in usable}
    if not declared:
        reasons.append("arm and endpoint were not declared as primary")
    if min(adjusted) >= 0.05:
        reasons.append(f"score x treatment p (adjusted) = {min(adjusted):.3f}, not below .05")
    if len(signs) > 1:
        reasons.append("the interaction changes sign between cohorts")
    unbalanced = [
        r["cohort"] for r in usable if r.get("max_smd_after") is not None and r["max_smd_after"] >= 0.1
    ]
    if unbalanced and not randomised:
        reasons.append(f"arms differ after weighting (|SMD| >= .1) in {', '.join(unbalanced)}")
    strong = declared and min(adjusted) < 0.05 and len(signs) == 1
    if strong and (randomised or not unbalanced):
        words = "predictive" if randomised else "consistent with predictive (observational)"
        return PREDICTIVE, words, tuple(reasons)
    return PROGNOSTIC, "prognostic; no evidence that benefit depends on the score", tuple(reasons)


def _arm_of(column: pd.Series) -> np.ndarray:
    """1 treated, 0 not, NaN unknown; of two levels the later one (sorted) is the treatment."""
    labels = column.map(lambda v: None if pd.isna(v) else as_level(v))
    levels = sorted(set(labels.dropna()))
    if len(levels) != 2:
        message = f"treatment {column.name!r}: {len(levels)} levels ({levels[:4]}); expected two."
        raise NotEstimableError(message)
    return np.where(labels.isna(), np.nan, (labels == levels[1]).to_numpy(float))


def _one_cohort(
    frame: pd.DataFrame, *, arm: str, covariates: Sequence[str], sd: float, per_year: float
) -> dict[str, Any]:
    if arm not in frame:
        message = f"treatment: no column {arm!r} in patients.csv."
        raise NotEstimableError(message)
    treated = _arm_of(frame[arm])
    known = np.isfinite(treated) & np.isfinite(frame["score"].to_numpy(float))
    frame, treated = frame[known].reset_index(drop=True), treated[known]
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    scaled = frame["score"].to_numpy(float) / (sd or 1.0)
    group = frame["group"].to_numpy(object)
    events = {int(a): int(event[treated == a].sum()) for a in (0, 1)}
    if min(events.values()) < _MIN_ARM_EVENTS:
        message = f"treatment {arm}: {events[0]} and {events[1]} events in the arms; {_MIN_ARM_EVENTS} each are needed."
        raise NotEstimableError(message)
    weights, balance, overlap = propensity_weights(treated, frame, covariates, scaled)
    cluster = np.arange(len(frame))
    options: dict[str, Any] = {"weights": weights, "cluster": cluster}
    centred = scaled - scaled.mean()
    main = np.column_stack([centred * treated, treated, centred])
    interaction = hazard_ratio(main[:, 0], time, event, adjust=main[:, 1:], **options)
    groups, curves, means = [], [], {}
    for label in (LOW, HIGH):
        inside = group == label
        row = {"label": label, "n_treated": int(treated[inside].sum()), "n": int(inside.sum())}
        part = {"weights": weights[inside], "cluster": cluster[inside]}
        groups.append({**row, **hazard_ratio(treated[inside], time[inside], event[inside], **part)})
        arms = np.where(treated == 1, "treated", "untreated").astype(object)
        if inside.any():
            made = attempt(
                km_curves, time[inside], event[inside], arms[inside], per_year=per_year, horizons=(1.0, 3.0, 5.0),
                labels=("untreated", "treated"),
            )  # fmt: skip
            curves += [{**c, "arm": c["label"], "label": label} for c in made.get("groups", ())]
            as_groups = np.where(arms == "treated", HIGH, LOW).astype(object)
            found = attempt(rmst_of, time[inside], event[inside], as_groups[inside])
            means[label] = found.get("difference", found)
    se = interaction.get("se") or float("nan")
    detectable = float(np.exp((Z95 + stats.norm.ppf(0.8)) * se)) if np.isfinite(se) else None
    smd = [abs(b["smd_after"]) for b in balance if b["smd_after"] is not None]
    return {
        "n": len(frame),
        "events": int(event.sum()),
        "groups": groups,
        "interaction": interaction,
        "continuous": attempt(lambda: _continuous(main, time, event, scaled, options)),
        "balance": balance,
        "overlap": overlap,
        "max_smd_after": max(smd) if smd else None,
        "rmst": means,
        "km": curves,
        "minimum_detectable": finite(detectable) if detectable else None,
    }


def _continuous(
    main: np.ndarray, time: np.ndarray, event: np.ndarray, scaled: np.ndarray, options: Mapping[str, Any]
) -> dict[str, Any]:
    fit = cox(main, time, event, **options)
    ends = np.quantile(scaled, [0.05, 0.95])
    grid = np.linspace(ends[0], ends[1], 31)
    shifted = grid - scaled.mean()
    log_hr = fit.coef[1] + fit.coef[0] * shifted
    v = fit.covariance
    se = np.sqrt(np.maximum(v[1, 1] + 2 * shifted * v[0, 1] + shifted**2 * v[0, 0], 0))
    limits = {"lower": np.exp(log_hr - Z95 * se).tolist(), "upper": np.exp(log_hr + Z95 * se).tolist()}
    return {"score": grid.tolist(), "hr": np.exp(log_hr).tolist(), **limits}


def propensity_weights(
    treated: np.ndarray, frame: pd.DataFrame, covariates: Sequence[str], scaled: np.ndarray
) -> tuple[np.ndarray, list[dict[str, Any]], dict[str, Any]]:
    """Stabilised inverse-probability weights, balance before and after, overlap of propensities.

    Missing covariates are filled by the median with an indicator column.
    """
    columns, names = [scaled], ["score"]
    for term in encode(frame, covariates):
        missing = ~np.isfinite(term.values)
        columns.append(np.where(missing, np.nanmedian(term.values), term.values))
        names.append(f"{term.variable} {term.level}".replace(" per unit", ""))
        if missing.any():
            columns.append(missing.astype(float))
            names.append(f"{term.variable} missing")
    x = np.column_stack(columns)
    z = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1.0)
    p = _logistic(z, treated)
    share = treated.mean()
    weights = np.where(treated == 1, share / p, (1 - share) / (1 - p))
    weights = np.clip(weights, *np.quantile(weights, [0.01, 0.99]))
    balance = [
        {
            "variable": n,
            "smd_before": _smd(c, treated, np.ones(len(c))),
            "smd_after": _smd(c, treated, weights),
        }
        for n, c in zip(names, x.T, strict=True)
    ]
    ends = [max(p[treated == a].min() for a in (0, 1)), min(p[treated == a].max() for a in (0, 1))]
    outside = float(((p < ends[0]) | (p > ends[1])).mean())
    return weights, balance, {"lower": float(ends[0]), "upper": float(ends[1]), "share_outside": outside}


def _logistic(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fitted probabilities of a lightly penalised logistic regression."""
    x = np.column_stack([np.ones(len(z)), z])
    ridge = np.diag([0.0] + [1.0] * z.shape[1])
    beta = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + ridge, x.T @ (y - p) - ridge @ beta)
        beta += step
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(np.clip(1 / (1 + np.exp(-np.clip(x @ beta, -30, 30))), 1e-3, 1 - 1e-3))


def _smd(values: np.ndarray, treated: np.ndarray, weights: np.ndarray) -> float | None:
    means = [np.average(values[treated == a], weights=weights[treated == a]) for a in (0, 1)]
    spread = np.sqrt(np.mean([values[treated == a].var() for a in (0, 1)]))
    return float((means[1] - means[0]) / spread) if spread > 0 else None
