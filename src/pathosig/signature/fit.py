"""Fitting a signature on discovery patients: selection, refit, cut-off, baseline, univariate table, benchmark."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.core.threads import one_blas_thread
from pathosig.signature.cutoff import Cutoff, choose_cutoff
from pathosig.signature.features import Candidates, candidates, design
from pathosig.signature.model import Signature, linear_score
from pathosig.signature.selection import Selection, select
from pathosig.signature.spec import SignatureSpec
from pathosig.survival import adjust_p, cox, cox_univariate

_UNIT_YEARS = {"days": 365.25, "weeks": 365.25 / 7, "months": 12.0, "years": 1.0}
HORIZONS = (1.0, 3.0, 5.0)


@dataclass(frozen=True, kw_only=True)
class SignatureFit:
    """Everything a fit gives.

    Attributes
    ----------
    signature
        The signature, or None when nothing was selected.
    reason
        Why there is none.
    selection
        What was chosen and how.
    univariate
        One row per candidate with hr per SD, p and BH q.
    benchmark
        Ridge on all leaves: the full-information score.
    cutoff
        Honesty sheet of the cut-off.
    dropped
        Candidate -> why it was none.
    """

    signature: Signature | None
    reason: str
    selection: Selection
    univariate: pd.DataFrame
    benchmark: Signature | None
    cutoff: Cutoff | None
    dropped: Mapping[str, str]


def fit_signature(profiles: pd.DataFrame, survival: pd.DataFrame, **options: Any) -> Signature:
    """The signature of discovery patients.

    Parameters
    ----------
    profiles, survival, options
        As in `fit_details`.

    Raises
    ------
    NotEstimableError
        If nothing is selected or there are too few events.
    """
    found = fit_details(profiles, survival, **options)
    if found.signature is None:
        raise NotEstimableError(found.reason, code="E_NO_SIGNATURE")
    return found.signature


@one_blas_thread()
def fit_details(
    profiles: pd.DataFrame,
    survival: pd.DataFrame,
    *,
    endpoint: str = "os",
    unit: str = "months",
    tree: Mapping[str, Any] | None = None,
    artefacts: Sequence[int] = (),
    kind: str | None = None,
    columns: Sequence[str] = (),
    rules: Mapping[str, Any] | None = None,
    cohort: str = "discovery",
    spec: SignatureSpec | None = None,
    groups: Any = None,
    benchmark: bool = True,
    univariate: bool = True,
) -> SignatureFit:
    """Select, fit and cut on discovery patients, with everything that is reported about it.

    Parameters
    ----------
    profiles
        Discovery patients: patient_id, n_tiles and ``hpc_00`` ... (or outside features).
    survival
        patient_id, time, event; patients without an outcome are left out.
    endpoint, unit
        Name and unit of time, for the record.
    tree, artefacts
        Content of tree.json and HPCs taken out.
    kind, columns, rules
        ``composition`` or ``features``; names of outside features; how they were filled and scaled.
    cohort
        Name of the cohort, for the record.
    spec
        Settings.
    groups
        patient_id -> label kept together in inner folds (bootstrap repeats).
    benchmark
        Whether ridge on all leaves is fitted too.
    univariate
        Whether every candidate is tested by itself; repeats of a fit leave it out.

    Raises
    ------
    NotEstimableError
        With fewer than two events, or when no candidate varies.
    """
    spec = spec or SignatureSpec()
    hpc = any(str(c).startswith("hpc_") for c in profiles.columns)
    kind = kind or ("composition" if hpc else "features")
    frame = _patients(profiles, survival, spec, kind, endpoint)
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    scale = "logratio" if spec.selection == "logcontrast" else spec.scale
    found = candidates(
        frame, tree=tree, artefacts=artefacts, scale=scale, min_prevalence=spec.min_prevalence, kind=kind,
        columns=columns or [c for c in profiles.columns if c not in ("patient_id", "slide_id", "n_slides", "n_tiles")],
    )  # fmt: skip
    transform: dict[str, Any] = {**found.transform, "min_tiles": spec.min_tiles, "policy": spec.policy}
    x = design(frame, found.names, {**transform, "leaves": found.leaves})
    table = pd.DataFrame({"feature": found.names})
    if univariate:
        table = univariate_table(x, time, event, found)
    inner = None if groups is None else frame["patient_id"].map(groups).to_numpy()
    chosen = select(x, time, event, found=found, spec=spec, groups=inner)
    table["selected"] = table["feature"].isin(chosen.names)
    table["frequency"] = table["feature"].map(chosen.details.get("frequency", {})).astype(float)
    if rules:
        transform["rules"] = dict(rules)
    facts = {"endpoint": endpoint, "unit": unit, "cohort": cohort}
    reference = None
    if benchmark and chosen.method != "ridge":
        ridge_spec = spec.replace(
            selection="ridge", scale=spec.scale, cutoff="median", cutoff_value=None, bootstraps=0
        )
        all_leaves = select(x, time, event, found=found, spec=ridge_spec, groups=inner)
        reference = _frozen(frame, all_leaves, found, transform, ridge_spec, facts)[0]
    if not chosen.names:
        reason = _nothing(chosen, len(found.names), int(event.sum()))
        return SignatureFit(
            signature=None, reason=reason, selection=chosen, univariate=table, benchmark=reference, cutoff=None,
            dropped=found.dropped,
        )  # fmt: skip
    signature, cutoff = _frozen(frame, chosen, found, transform, spec, facts)
    return SignatureFit(
        signature=signature,
        reason="",
        selection=chosen,
        univariate=table,
        benchmark=reference if chosen.method != "ridge" else signature,
        cutoff=cutoff,
        dropped=found.dropped,
    )


def _nothing(chosen: Selection, candidates_: int, events: int) -> str:
    detail = ""
    if chosen.details.get("clusters"):
        top = chosen.details["clusters"][0]
        detail = (
            f" The most frequent, {top['representative']}, appeared in {top['frequency']:.0%} of half-samples; "
            f"the threshold is {chosen.details['threshold']:.0%}."
        )
    return (
        f"no signature: selection '{chosen.method}' chose none of {candidates_} candidates ({events} events).{detail} "
        "This is a result; it is reported as such."
    )


def _patients(
    profiles: pd.DataFrame, survival: pd.DataFrame, spec: SignatureSpec, kind: str, endpoint: str
) -> pd.DataFrame:
    """Assessable patients with an outcome, sorted by id."""
    frame = profiles.drop(columns=[c for c in ("time", "event") if c in profiles])
    frame = frame.merge(survival[["patient_id", "time", "event"]], on="patient_id", how="inner")
    tiles = frame["n_tiles"] if kind != "features" and "n_tiles" in frame else None
    if tiles is not None:
        frame = frame[frame["n_tiles"] >= spec.min_tiles]
    frame = frame.sort_values("patient_id", kind="stable").reset_index(drop=True)
    events = int(frame["event"].sum())
    if events < 2:
        message = (
            f"signature: endpoint {endpoint!r} has {events} events among {len(frame)} assessable discovery patients; "
            f"at least 2 are needed.{_too_few_tiles(tiles, spec.min_tiles)} The descriptive report is written."
        )
        raise NotEstimableError(message, code="E_EVENTS")
    return frame


def _too_few_tiles(tiles: pd.Series | None, min_tiles: int) -> str:
    lost = int((tiles < min_tiles).sum()) if tiles is not None else 0
    if tiles is None or not lost:
        return ""
    return (
        f" {lost} of {len(tiles)} patients have fewer than {min_tiles} tiles (median {tiles.median():.0f}): "
        "lower [signature] min_tiles in study.toml, or use smaller tiles."
    )


def univariate_table(x: np.ndarray, time: np.ndarray, event: np.ndarray, found: Candidates) -> pd.DataFrame:
    """Every candidate by itself: hr per SD with limits, p and BH q."""
    spread = x.std(0, ddof=1)
    table = cox_univariate((x - x.mean(0)) / np.where(spread > 0, spread, 1.0), time, event)
    p = table["p"].to_numpy(float)
    q = np.full(len(p), np.nan)
    known = np.isfinite(p)
    if known.any():
        q[known] = adjust_p(p[known], "BH")
    parts = [found.leaves.get(n, ()) for n in found.names]
    kind = ["feature" if not part else "leaf" if len(part) == 1 else "node" for part in parts]
    return pd.DataFrame(
        {
            "feature": found.names,
            "kind": kind,
            "leaves": [" ".join(map(str, part)) for part in parts],
            "coef": table["coef"].to_numpy(),
            "hr": table["hr"].to_numpy(),
            "lower": table["lower"].to_numpy(),
            "upper": table["upper"].to_numpy(),
            "p": p,
            "q": q,
            "mean": x.mean(0),
            "sd": spread,
            "prevalence": (x != 0).mean(0),
            "n": table["n"].to_numpy(),
            "events": table["n_events"].to_numpy(),
        }
    )


def _frozen(
    frame: pd.DataFrame,
    chosen: Selection,
    found: Candidates,
    transform: Mapping[str, Any],
    spec: SignatureSpec,
    facts: Mapping[str, str],
) -> tuple[Signature, Cutoff]:
    leaves = {n: list(found.leaves[n]) for n in chosen.names if n in found.leaves}
    kept = {**transform, "scale": chosen.scale, "leaves": leaves}
    if "rules" in kept:
        kept["rules"] = _own_rules(kept["rules"], chosen.names)
    x = design(frame, chosen.names, kept)
    center = x.mean(0)
    score = linear_score(x, chosen.coef, center.tolist())
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    cutoff = choose_cutoff(score, time, event, spec)
    digest = hashlib.sha256("\n".join(frame["patient_id"].astype(str)).encode()).hexdigest()
    details = {k: v for k, v in chosen.details.items() if k not in ("frequency", "clusters")}
    signature = Signature(
        endpoint=facts["endpoint"],
        hpcs=chosen.names,
        coef=tuple(float(b) for b in chosen.coef),
        center=tuple(float(c) for c in center),
        transform=kept,
        cutoff=cutoff.value,
        cutoff_rule=cutoff.rule,
        baseline=baseline_of(score, time, event, facts["unit"]),
        trained_on={
            "cohort": facts["cohort"],
            "n": len(frame),
            "events": int(event.sum()),
            "sd": float(score.std(ddof=1)),
            "patients_sha256": digest,
            "selection": chosen.method,
            "details": details,
        },
    )
    return signature, cutoff


def _own_rules(rules: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    place = {n: i for i, n in enumerate(rules["columns"])}
    return {n: {k: rules[k][place[n]] for k in ("fill", "center", "scale")} for n in names if n in place}


def baseline_of(score: np.ndarray, time: np.ndarray, event: np.ndarray, unit: str) -> dict[str, Any]:
    """Survival of a patient with score 0 (Efron), its coefficient held at 1, and its value at 1, 3, 5 years."""
    fit = dataclasses.replace(cox(score[:, None], time, event), coef=np.array([1.0]))
    grid, hazard = fit.baseline_hazard()
    steps = np.flatnonzero(np.diff(hazard, prepend=0.0) > 0)
    survival = np.exp(-hazard[steps])
    until = float(time.max())
    per_year = _UNIT_YEARS.get(unit, 12.0)
    at = []
    for years in HORIZONS:
        when = years * per_year
        if when <= until:
            place = int(np.searchsorted(grid[steps], when, side="right"))
            at.append(
                {"years": years, "time": when, "survival": float(survival[place - 1]) if place else 1.0}
            )
    return {
        "unit": unit,
        "time": [float(t) for t in grid[steps]],
        "survival": [float(s) for s in survival],
        "until": until,
        "at": at,
    }
