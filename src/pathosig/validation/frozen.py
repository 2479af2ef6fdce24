"""Validation of a frozen signature in every cohort and for every endpoint; the cut-off is always that of the signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pathosig.core.clinical import UNITS, Primary, TreatmentDesign
from pathosig.core.threads import one_blas_thread
from pathosig.signature.model import NOT_ASSESSABLE, Signature
from pathosig.survival import harrell_c
from pathosig.survival.causes import causes_of
from pathosig.validation.absolute import net_risk_finding, with_competing, with_incidence
from pathosig.validation.analysis import Analysis
from pathosig.validation.arms import Treatment
from pathosig.validation.associations import associations, outcomes_by_group
from pathosig.validation.clinical_names import (
    clinical_design,
    clinical_name,
    clinical_names,
    clinical_primary,
    clinical_table,
)
from pathosig.validation.cohorts import cohort_result, horizon_findings
from pathosig.validation.competing import CAUSES, competing_risks
from pathosig.validation.estimates import entry_of
from pathosig.validation.families import with_families
from pathosig.validation.findings import cohort_findings, survival_findings
from pathosig.validation.forests import forest, subgroup_effects
from pathosig.validation.performance import analyse
from pathosig.validation.performance_table import performance_rows
from pathosig.validation.pool import pooled
from pathosig.validation.results import Association, CohortResult, Pooled, RidgeComparison
from pathosig.validation.spec import ValidateSpec
from pathosig.validation.treatment import treatment_benefit
from pathosig.validation.values import Estimate, Finding, NotEstimable, attempt

Benchmark = Mapping[str, Mapping[str, RidgeComparison | NotEstimable]]
"""For each cohort and endpoint, the comparison with ridge regression on all leaves."""


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The results of a frozen signature in all cohorts; they are also part of `Results`.

    Attributes
    ----------
    scores
        patient_id, cohort, score and group of every patient.
    cohorts, analyses, pooled, associations, benchmark, treatment, warnings
        See docs/reference/results-json.md.

    Examples
    --------
    >>> from pathosig.signature import SignatureSpec, fit_signature
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"patient_id": [f"P{i}" for i in range(80)], "grade": rng.normal(size=80)})
    >>> outcome = table[["patient_id"]].assign(time=rng.exponential(30 * np.exp(-table["grade"])), event=True)
    >>> signature = fit_signature(table[:50], outcome[:50], spec=SignatureSpec(selection="ridge", bootstraps=0))
    >>> result = validate(signature, table[50:], {"os": outcome[50:]}, spec=ValidateSpec(bootstraps=5))
    >>> frame = result.to_frame()
    >>> frame.loc[frame["measure"] == "harrell_c", ["cohort", "estimate", "n"]].round(2)
           cohort  estimate   n
    0  validation      0.77  30
    """

    scores: pd.DataFrame
    cohorts: tuple[CohortResult, ...]
    analyses: tuple[Analysis, ...]
    pooled: tuple[Pooled, ...]
    associations: tuple[Association, ...]
    benchmark: Benchmark
    treatment: tuple[Treatment, ...]
    warnings: tuple[Finding, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row per cohort, endpoint and measure: estimate, lower, upper, p, n, events."""
        return pd.DataFrame(performance_rows(self.analyses))

    def analysis(self, cohort: str, endpoint: str) -> Analysis:
        """The analysis of one cohort and endpoint.

        Raises
        ------
        KeyError
            If there is no such analysis.
        """
        for row in self.analyses:
            if (row.cohort, row.endpoint) == (cohort, endpoint):
                return row
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
    designs: Mapping[str, TreatmentDesign] | None = None,
    primary: Primary | None = None,
    benchmark: Signature | None = None,
    scores: pd.DataFrame | None = None,
    competing: Mapping[str, str] | None = None,
    spec: ValidateSpec | None = None,
) -> Validation:
    """Performance of a frozen signature in every cohort and for every endpoint.

    Parameters
    ----------
    signature
        The frozen signature, with its cut-off.
    profiles
        One row per patient: patient_id and the features of the signature.
    survival
        patient_id, time and event of each endpoint. With a column `entry`, patients are at risk from then on (delayed entry).
    patients
        patient_id, cohort and covariates; without it all patients form one cohort called "validation".
    units
        Unit of time of each endpoint: days, weeks, months or years; by default that of the signature.
    discovery
        Name of the cohort to which the signature was fitted; by default the name in the signature.
    covariates, subgroups, treatments
        Columns of `patients`. Those whose names are used for outcome or score are renamed by `clinical_name`.
    designs
        For each treatment column, how and when treatment was given; without it benefit by score is not estimable.
    primary
        The declared primary analysis; its endpoint is that of the signature by default.
    benchmark
        Signature of the ridge benchmark, with which C is compared.
    scores
        patient_id, score and group, in place of scores computed from `profiles`; for policies that need slides.
    competing
        The competing endpoint of an endpoint, such as death (os) for recurrence.
    spec
        Horizons and number of resamples.

    Returns
    -------
    Validation

    Examples
    --------
    >>> from pathosig.signature.fit import fit_signature
    >>> from pathosig.signature.spec import SignatureSpec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"patient_id": [f"P{i}" for i in range(200)], "grade": rng.normal(size=200)})
    >>> time = rng.exponential(30 * np.exp(-table["grade"]))
    >>> outcome = pd.DataFrame({"patient_id": table["patient_id"], "time": np.minimum(time, 60), "event": time < 60})
    >>> signature = fit_signature(table[:120], outcome[:120], spec=SignatureSpec(selection="ridge", bootstraps=0))
    >>> result = validate(signature, table[120:], {"os": outcome[120:]}, spec=ValidateSpec(bootstraps=5))
    >>> row = result.analyses[0]
    >>> row.n, row.events, round(row.hr_sd.hr, 2), round(row.harrell_c.estimate, 2)
    (80, 62, 2.51, 0.7)
    """
    spec = spec or ValidateSpec()
    primary = clinical_primary(primary or Primary(endpoint=signature.endpoint))
    covariates, subgroups, treatments = map(clinical_names, (covariates, subgroups, treatments))
    designs = {clinical_name(arm): clinical_design(d) for arm, d in (designs or {}).items()}
    table = _scored(signature, profiles, patients, scores)
    if benchmark is not None:
        full = dict(zip(profiles["patient_id"], benchmark.score(profiles), strict=True))
        table["ridge_score"] = table["patient_id"].map(full)
    discovery = discovery or signature.trained_on.cohort
    units = {e: (units or {}).get(e, signature.baseline.unit) for e in survival}
    names = [
        c for c in dict.fromkeys([discovery, *sorted(set(table["cohort"]))]) if (table["cohort"] == c).any()
    ]
    cohorts, warnings = [], list[Finding]()
    for name in names:
        rows = table[table["cohort"] == name]
        cohorts.append(cohort_result(rows, name, "discovery" if name == discovery else "validation"))
        warnings += cohort_findings(name, *(rows[c].to_numpy() for c in ("score", "group", "n_tiles")))
    frozen = signature
    analyses: list[Analysis] = []
    frames: dict[tuple[str, str], pd.DataFrame] = {}
    for endpoint, outcome in survival.items():
        for name in names:
            frame = joined(table[table["cohort"] == name], outcome)
            row = Analysis(
                cohort=name,
                endpoint=endpoint,
                unit=units[endpoint],
                role="discovery" if name == discovery else "validation",
                primary=name != discovery and endpoint == primary.endpoint,
                n=len(frame),
                events=0,
            )
            if not frame["event"].any():
                analyses.append(_without_events(row))
                continue
            fitted = endpoint == signature.endpoint
            other = (competing or {}).get(endpoint)
            competes = other is not None and other in survival
            row = analyse(
                row,
                frame,
                signature=signature if fitted and not competes and not signature.baseline.competing else None,
                sd=signature.sd,
                per_year=UNITS[units[endpoint]],
                horizons=spec.horizons,
                bootstraps=spec.bootstraps,
                seed=spec.seed,
            )
            row = replace(
                row,
                forest=attempt(
                    forest,
                    frame,
                    covariates,
                    sd=signature.sd,
                    imputations=spec.imputations if spec.forest else 0,
                    seed=spec.seed,
                ),
                subgroups=attempt(subgroup_effects, frame, subgroups, sd=signature.sd),
            )
            if other is not None and competes:
                coded = causes_of(frame, survival[other])
                row = replace(
                    row,
                    competing=attempt(
                        competing_risks,
                        coded,
                        sd=signature.sd,
                        per_year=UNITS[units[endpoint]],
                        horizons=spec.horizons,
                    ),
                    outcome_counts=attempt(outcomes_by_group, coded, CAUSES),
                )
                if name == discovery and fitted and frozen.baseline.competing is None:
                    frozen = with_incidence(frozen, coded, per_year=UNITS[units[endpoint]])
                predicts: Signature | NotEstimable | None = frozen if fitted else None
                if fitted and frozen.baseline.competing is None:
                    predicts = NotEstimable(
                        reason="absolute risk under competing events needs the discovery patients"
                    )
                    warnings += net_risk_finding(endpoint, other) if name == names[0] else []
                row = with_competing(
                    row,
                    coded,
                    predicts,
                    coded["score"].to_numpy(float),
                    per_year=UNITS[units[endpoint]],
                    horizons=spec.horizons,
                    bootstraps=spec.bootstraps,
                    seed=spec.seed,
                )
            analyses.append(row)
            frames[name, endpoint] = frame
    analyses = list(with_families(analyses))
    for row in analyses:
        if row.events:
            frame = frames[row.cohort, row.endpoint]
            warnings += survival_findings(frame, row)
            if row.endpoint == signature.endpoint:
                warnings += horizon_findings(frame, row, spec.horizons)
    return Validation(
        scores=table[["patient_id", "cohort", "score", "group"]],
        cohorts=tuple(cohorts),
        analyses=tuple(analyses),
        pooled=pooled(analyses),
        associations=associations(table, list(dict.fromkeys([*subgroups, *covariates])), names),
        benchmark=_benchmark(table, survival, names) if benchmark is not None else {},
        treatment=_treatments(
            {e: {n: joined(table[table["cohort"] == n], survival[e]) for n in names} for e in survival},
            treatments,
            covariates,
            designs,
            units=units,
            discovery=discovery,
            sd=signature.sd,
            primary=primary,
            horizons=spec.horizons,
        ),
        warnings=tuple(warnings),
    )


def _without_events(row: Analysis) -> Analysis:
    """An analysis in which nothing can be estimated."""
    none = NotEstimable(reason="no events")
    return replace(row, km=none, logrank=none, hr_sd=none, hr_group=none, harrell_c=none, uno_c=none)


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
    return table.merge(clinical_table(patients), on="patient_id", how="inner")


def joined(table: pd.DataFrame, outcome: pd.DataFrame) -> pd.DataFrame:
    """Assessable patients who have an outcome.

    Parameters
    ----------
    table
        patient_id, group and any other columns; the columns time, event and entry are replaced.
    outcome
        patient_id, time, event and, with delayed entry, entry.

    Returns
    -------
    The columns of `table` with those of `outcome`, one row per patient.

    Examples
    --------
    >>> table = pd.DataFrame({"patient_id": ["P1", "P2", "P3"], "group": ["low", "high", "not assessable"]})
    >>> outcome = pd.DataFrame({"patient_id": ["P1", "P3"], "time": [10.0, 5.0], "event": [True, False]})
    >>> joined(table, outcome)
      patient_id group  time  event
    0         P1   low  10.0   True
    """
    rows = table.drop(columns=[c for c in ("time", "event", "entry") if c in table])
    wanted = [c for c in ("patient_id", "time", "event", "entry") if c in outcome]
    rows = rows.merge(outcome[wanted], on="patient_id", how="inner")
    return rows[rows["group"] != NOT_ASSESSABLE].reset_index(drop=True)


def _benchmark(table: pd.DataFrame, survival: Mapping[str, pd.DataFrame], names: Sequence[str]) -> Benchmark:
    """Comparison of the signature with ridge regression on all leaves by Harrell's C."""
    return {
        name: {
            endpoint: attempt(_against_ridge, joined(table[table["cohort"] == name], outcome))
            for endpoint, outcome in survival.items()
        }
        for name in names
    }


def _against_ridge(frame: pd.DataFrame) -> RidgeComparison:
    frame = frame[np.isfinite(frame["ridge_score"].to_numpy(float))]
    time, event = frame["time"].to_numpy(), frame["event"].to_numpy(bool)
    entry = entry_of(frame)
    ridge = harrell_c(frame["ridge_score"].to_numpy(), time, event, entry=entry)
    signature = harrell_c(frame["score"].to_numpy(), time, event, entry=entry)
    return RidgeComparison(
        harrell_c=Estimate.of(ridge.c, ridge.lower, ridge.upper), difference=signature.c - ridge.c
    )


def _treatments(
    frames: Mapping[str, Mapping[str, pd.DataFrame]],
    treatments: Sequence[str],
    covariates: Sequence[str],
    designs: Mapping[str, TreatmentDesign],
    *,
    units: Mapping[str, str],
    discovery: str,
    sd: float,
    primary: Primary,
    horizons: Sequence[float],
) -> tuple[Treatment, ...]:
    out = []
    for arm in treatments:
        for endpoint, cohorts in frames.items():
            declared = arm == primary.treatment and endpoint == primary.endpoint
            out.append(
                treatment_benefit(
                    cohorts,
                    arm=arm,
                    endpoint=endpoint,
                    discovery=discovery,
                    covariates=[c for c in covariates if c != arm],
                    sd=sd,
                    per_year=UNITS[units[endpoint]],
                    design=designs.get(arm, TreatmentDesign()),
                    declared=declared,
                    family=1 if declared else max(1, len(treatments) * len(frames)),
                    horizons=horizons,
                )
            )
    return tuple(out)
