"""Validation: the frozen signature on every cohort and endpoint. There is no cut-off argument here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.threads import one_blas_thread
from pathosig.signature.model import HIGH, NOT_ASSESSABLE, Signature
from pathosig.survival import harrell_c
from pathosig.validation.associations import associations, outcomes_by_group
from pathosig.validation.competing import CAUSES, causes_of, competing_risks
from pathosig.validation.estimates import attempt, estimate, finite
from pathosig.validation.forests import forest, subgroup_effects
from pathosig.validation.guards import cohort_guards, depth_correlation, survival_guards
from pathosig.validation.performance import analyse
from pathosig.validation.spec import ValidateSpec
from pathosig.validation.treatment import TreatmentBenefit, treatment_benefit

PER_YEAR = {"days": 365.25, "weeks": 365.25 / 7, "months": 12.0, "years": 1.0}


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Everything validation found; `results` is what results.json holds of it.

    Attributes
    ----------
    results
        ``cohorts``, ``analyses``, ``pooled``, ``treatment``, ``guards``; see docs/reference/results-json.md.
    scores
        patient_id, cohort, score, group.
    """

    results: Mapping[str, Any]
    scores: pd.DataFrame
    treatments: tuple[TreatmentBenefit, ...] = field(default=())

    def to_frame(self) -> pd.DataFrame:
        """One row per cohort, endpoint and measure: estimate, lower, upper, p, n, events."""
        return pd.DataFrame(performance_rows(self.results["analyses"]))

    def analysis(self, cohort: str, endpoint: str) -> Mapping[str, Any]:
        """The analysis of one cohort and endpoint.

        Raises
        ------
        KeyError
            If there is none.
        """
        for row in self.results["analyses"]:
            if row["cohort"] == cohort and row["endpoint"] == endpoint:
                return dict(row)
        raise KeyError((cohort, endpoint))


@one_blas_thread()
def validate(
    signature: Signature,
    profiles: pd.DataFrame,
    survival: Mapping[str, pd.DataFrame],
    *,
    patients: pd.DataFrame | None = None,
    units: Mapping[str, str] | None = None,
    discovery: str | None = None,
    covariates: Sequence[str] = (),
    subgroups: Sequence[str] = (),
    treatments: Sequence[str] = (),
    primary: Mapping[str, Any] | None = None,
    benchmark: Signature | None = None,
    scores: pd.DataFrame | None = None,
    competing: Mapping[str, str] | None = None,
    spec: ValidateSpec | None = None,
) -> Validation:
    """Performance of a frozen signature, cohort by cohort and endpoint by endpoint.

    Parameters
    ----------
    signature
        Frozen; score and cut-off are its own.
    profiles
        patient_id and what the signature scores.
    survival
        Endpoint -> patient_id, time, event.
    patients
        patient_id, cohort, covariates; one cohort called "validation" without it.
    units
        Endpoint -> days, weeks, months or years; the signature's unit by default.
    discovery
        Name of the cohort it was fitted on; by default as the signature says.
    covariates, subgroups, treatments
        Columns of `patients`.
    primary
        ``endpoint`` and ``treatment`` declared beforehand.
    benchmark
        Full-information score, compared by C-index.
    scores
        patient_id, score, group to use in place of scoring `profiles` (policies that need slides).
    competing
        Endpoint -> endpoint whose event rules it out (recurrence -> os).
    spec
        Horizons, resamples.
    """
    spec = spec or ValidateSpec()
    table = _scored(signature, profiles, patients, scores)
    if benchmark is not None:
        full = dict(zip(profiles["patient_id"], benchmark.score(profiles), strict=True))
        table["ridge_score"] = table["patient_id"].map(full)
    discovery = discovery or str(signature.trained_on.cohort)
    names = [
        c for c in dict.fromkeys([discovery, *sorted(set(table["cohort"]))]) if (table["cohort"] == c).any()
    ]
    cohorts, guards = [], []
    for name in names:
        part = table[table["cohort"] == name]
        cohorts.append(cohort_row(part, name, "discovery" if name == discovery else "validation"))
        guards += cohort_guards(name, *(part[c].to_numpy() for c in ("score", "group", "n_tiles")))
    analyses: list[dict[str, Any]] = []
    for endpoint, outcome in survival.items():
        unit = (units or {}).get(endpoint, str(signature.baseline.unit))
        for name in names:
            frame = joined(table[table["cohort"] == name], outcome)
            row = {"cohort": name, "endpoint": endpoint, "unit": unit, "apparent": name == discovery}
            row["role"] = "discovery" if name == discovery else "validation"
            row["primary"] = name != discovery and endpoint == (primary or {}).get(
                "endpoint", signature.endpoint
            )
            if not frame["event"].any():
                analyses.append({**row, "n": len(frame), "events": 0, "not_estimable": "no events"})
                continue
            own = signature if endpoint == signature.endpoint else None
            row |= analyse(
                frame, signature=own, sd=signature.sd, per_year=PER_YEAR[unit], horizons=spec.horizons,
                bootstraps=spec.bootstraps, seed=spec.seed,
            )  # fmt: skip
            row["forest"] = attempt(
                forest, frame, covariates, sd=signature.sd, imputations=spec.imputations if spec.forest else 0,
                seed=spec.seed,
            )  # fmt: skip
            row["subgroups"] = attempt(subgroup_effects, frame, subgroups, sd=signature.sd)
            if (competing or {}).get(endpoint) in survival:
                coded = causes_of(frame, survival[(competing or {})[endpoint]])
                row["competing"] = attempt(competing_risks, coded, sd=signature.sd)
                row["outcome_counts"] = attempt(outcomes_by_group, coded, CAUSES)
            analyses.append(row)
            guards += survival_guards(name, endpoint, frame, row)
    made = _treatments(
        table, survival, names, signature, discovery, units or {}, treatments, covariates, primary or {}
    )
    results = {
        "cohorts": cohorts,
        "analyses": analyses,
        "pooled": pooled(analyses),
        "associations": associations(table, list(dict.fromkeys([*subgroups, *covariates])), names),
        "benchmark": _benchmark(table, survival, names) if benchmark is not None else {},
        "treatment": [row for t in made for row in t.to_rows()],
        "guards": guards,
    }
    return Validation(
        results=results, scores=table[["patient_id", "cohort", "score", "group"]], treatments=made
    )


def _scored(
    signature: Signature, profiles: pd.DataFrame, patients: pd.DataFrame | None, scores: pd.DataFrame | None
) -> pd.DataFrame:
    if scores is not None:
        table = scores[["patient_id", "score", "group"]].copy()
    else:
        table = pd.DataFrame({"patient_id": profiles["patient_id"], "score": signature.score(profiles)})
        table["group"] = signature.group(table["score"].to_numpy())
    tiles = (
        dict(zip(profiles["patient_id"], profiles["n_tiles"], strict=True)) if "n_tiles" in profiles else {}
    )
    table["n_tiles"] = table["patient_id"].map(tiles).fillna(0).astype(float)
    if patients is None:
        return table.assign(cohort="validation")
    extra = [c for c in patients.columns if c not in ("score", "group", "n_tiles", "time", "event")]
    return table.merge(patients[extra], on="patient_id", how="inner")


def joined(table: pd.DataFrame, outcome: pd.DataFrame) -> pd.DataFrame:
    """Assessable patients with an outcome."""
    rows = table.drop(columns=[c for c in ("time", "event") if c in table])
    rows = rows.merge(outcome[["patient_id", "time", "event"]], on="patient_id", how="inner")
    return rows[rows["group"] != NOT_ASSESSABLE].reset_index(drop=True)


def cohort_row(part: pd.DataFrame, name: str, role: str) -> dict[str, Any]:
    """One entry of ``cohorts``."""
    known = part[part["group"] != NOT_ASSESSABLE]
    score = known["score"].to_numpy(float)
    tiles = part["n_tiles"].to_numpy(float)
    high = int((known["group"] == HIGH).sum())
    marks = (5, 25, 50, 75, 95)
    quantiles = np.percentile(score, marks) if len(score) else [np.nan] * len(marks)
    return {
        "name": name,
        "role": role,
        "n_patients": len(part),
        "n_assessable": len(known),
        "n_not_assessable": len(part) - len(known),
        "share_high": share(high, len(known)),
        "tiles": {"median": finite(np.median(tiles)), "min": finite(tiles.min()), "max": finite(tiles.max())},
        "score": {
            "mean": finite(score.mean()) if len(score) else None,
            "sd": finite(score.std(ddof=1)) if len(score) > 1 else None,
            "quantiles": {f"p{m:02d}": finite(q) for m, q in zip(marks, quantiles, strict=True)},
        },
        "depth_correlation": depth_correlation(part["score"].to_numpy(float), tiles),
    }


def share(count: int, n: int) -> dict[str, Any]:
    """A proportion with Clopper-Pearson limits."""
    if n == 0:
        return estimate(np.nan)
    lower = stats.beta.ppf(0.025, count, n - count + 1) if count else 0.0
    upper = stats.beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
    return estimate(count / n, lower, upper, n=n)


def pooled(analyses: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Random-effects estimates over validation cohorts, per endpoint; from three cohorts on."""
    out: list[dict[str, Any]] = []
    for endpoint in dict.fromkeys(a["endpoint"] for a in analyses):
        rows = [a for a in analyses if a["endpoint"] == endpoint and a["role"] == "validation"]
        for effect in ("hr_sd", "hr_group"):
            usable = [a for a in rows if (a.get(effect) or {}).get("se")]
            base = {"endpoint": endpoint, "effect": effect}
            if len(usable) < 3:
                out.append({**base, "not_estimable": f"{len(usable)} validation cohorts; pooling needs 3"})
                continue
            out.append({**base, **attempt(_pool, usable, effect)})
    return out


def _pool(rows: Sequence[Mapping[str, Any]], effect: str) -> dict[str, Any]:
    from pathosig.survival import pool_random_effects

    coef = np.array([a[effect]["coef"] for a in rows])
    se = np.array([a[effect]["se"] for a in rows])
    found = pool_random_effects(coef, se)
    weight = 1 / (se**2 + found.tau2)
    shares = 100 * weight / weight.sum()
    return {
        "cohorts": [
            {"cohort": a["cohort"], "estimate": a[effect]["hr"], "lower": a[effect]["lower"],
             "upper": a[effect]["upper"], "weight": float(w)}
            for a, w in zip(rows, shares, strict=True)
        ],
        **estimate(np.exp(found.estimate), np.exp(found.lower), np.exp(found.upper), p=finite(found.p)),
        "tau2": finite(found.tau2),
        "i2": finite(found.i2),
        "prediction": [finite(np.exp(v)) for v in (found.prediction_lower, found.prediction_upper)],
    }  # fmt: skip


def _benchmark(
    table: pd.DataFrame, survival: Mapping[str, pd.DataFrame], names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Signature against full-information ridge by Harrell's C."""
    out: dict[str, dict[str, Any]] = {}
    for name in names:
        for endpoint, outcome in survival.items():
            frame = joined(table[table["cohort"] == name], outcome)
            frame = frame[np.isfinite(frame["ridge_score"].to_numpy(float))]

            def compare(f: pd.DataFrame = frame) -> dict[str, Any]:
                time, event = f["time"].to_numpy(), f["event"].to_numpy(bool)
                full = harrell_c(f["ridge_score"].to_numpy(), time, event)
                own = harrell_c(f["score"].to_numpy(), time, event)
                return {"harrell_c": estimate(full.c, full.lower, full.upper), "difference": own.c - full.c}

            out.setdefault(name, {})[endpoint] = attempt(compare)
    return out


def _treatments(
    table: pd.DataFrame,
    survival: Mapping[str, pd.DataFrame],
    names: Sequence[str],
    signature: Signature,
    discovery: str,
    units: Mapping[str, str],
    treatments: Sequence[str],
    covariates: Sequence[str],
    primary: Mapping[str, Any],
) -> tuple[TreatmentBenefit, ...]:
    made = []
    for arm in treatments:
        for endpoint, outcome in survival.items():
            frames = {n: joined(table[table["cohort"] == n], outcome) for n in names}
            unit = units.get(endpoint, str(signature.baseline.unit))
            declared = arm == primary.get("treatment") and endpoint == primary.get("endpoint")
            made.append(
                treatment_benefit(
                    frames, arm=arm, endpoint=endpoint, discovery=discovery,
                    covariates=[c for c in covariates if c != arm], sd=signature.sd, per_year=PER_YEAR[unit],
                    declared=declared, family=1 if declared else max(1, len(treatments) * len(survival)),
                )
            )  # fmt: skip
    return tuple(made)


_MEASURES = ("harrell_c", "uno_c", "hr_sd", "hr_group", "logrank", "follow_up")


def performance_rows(analyses: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of validation/tables/performance.csv."""
    rows: list[dict[str, Any]] = []
    for a in analyses:
        base = {k: a.get(k) for k in ("cohort", "endpoint", "role", "unit")}
        count = {"n": a["n"], "events": a["events"]}
        for name in _MEASURES:
            value = a.get(name)
            if not isinstance(value, dict):
                continue
            found = value.get("estimate", value.get("hr", value.get("statistic")))
            limits = {
                "estimate": found,
                "lower": value.get("lower"),
                "upper": value.get("upper"),
                "p": value.get("p"),
            }
            rows.append({**base, "measure": name, "years": None, **limits, **count})
        for row in a["auc"] if isinstance(a.get("auc"), list) else ():
            limits = {k: row[k] for k in ("estimate", "lower", "upper")}
            rows.append({**base, "measure": "auc", "years": row["years"], **limits, "p": None, **count})
        for name, found in (("brier_difference", a.get("brier")), ("ibs_difference", a.get("ibs"))):
            for row in found if isinstance(found, list) else [found]:
                if isinstance(row, dict) and "difference" in row:
                    base_ = {**base, "measure": name, "years": row.get("years")}
                    rows.append({**base_, **row["difference"], "p": None, **count})
        calibration = a.get("calibration")
        if isinstance(calibration, dict) and "slope" in calibration:
            limits = {k: calibration["slope"][k] for k in ("estimate", "lower", "upper")}
            rows.append({**base, "measure": "calibration_slope", "years": None, **limits, "p": None, **count})
            for row in calibration["horizons"]:
                limits = {"estimate": row["ratio"], "lower": row["lower"], "upper": row["upper"], "p": None}
                rows.append(
                    {**base, "measure": "observed_expected", "years": row["years"], **limits, **count}
                )
    return rows
