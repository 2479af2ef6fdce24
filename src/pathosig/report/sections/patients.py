"""Sections on patients that need no validation: data, profiles by risk, the signature itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pathosig.figures.heatmap import ClinicalBar, profile_heatmap
from pathosig.figures.style import hpc_name
from pathosig.report.material import Material, cohort_title, endpoint_title
from pathosig.report.page import Block, Cell, Note, Section, Table, folded
from pathosig.report.sections.tissue import picture

MOST_ROWS = 40
"""Of more features, the largest coefficients are shown."""


def data_section(material: Material) -> Section | None:
    """Endpoints, cohorts, covariates and how much is missing; None without a patient table."""
    table = material.patients
    if table is None:
        return None
    rows: list[list[Cell]] = []
    for name, endpoint in material.endpoints.items():
        for cohort in material.cohorts:
            n, events = material.events.get((cohort, name), (0, 0))
            total = int((table["cohort"] == cohort).sum())
            rows.append(
                [endpoint_title(name), cohort_title(cohort), total, n, total - n, events, endpoint.unit]
            )
    columns = ["Endpoint", "Cohort", "Patients", "With outcome", "Outcome missing", "Events", "Unit"]
    blocks: list[Block] = [Table(caption="Endpoints", columns=columns, rows=rows)]
    skip = {"patient_id", "cohort"} | {c for e in material.endpoints.values() for c in (e.time, e.event)}
    missing = [
        [c, int(table[c].isna().sum() + (table[c].astype(str) == "").sum()), len(table)]
        for c in table.columns
        if c not in skip
    ]
    if missing:
        columns = ["Column", "Missing", "Patients"]
        blocks.append(Table(caption="Clinical columns", columns=columns, rows=missing, folded=True))
    lead = (
        "Time zero is where the time columns of patients.csv start; pathosig does not move it. "
        f"Primary analysis: {primary_text(material)}"
    )
    return Section(id="data", title="Patients and endpoints", blocks=blocks, lead=lead)


def primary_text(material: Material) -> str:
    """The one primary analysis in a sentence."""
    p = material.primary
    if not p:
        return "study.toml declares none."
    text = (
        f"{endpoint_title(str(p.get('endpoint', '')))}, models fitted on "
        f"{cohort_title(str(p.get('discovery', '')))}"
    )
    covariates = ", ".join(str(c) for c in p.get("covariates") or ())
    text += f", covariates {covariates}" if covariates else ""
    text += f", treatment {p['treatment']}" if p.get("treatment") else ""
    return text + ". Everything else is sensitivity analysis."


def profiles_section(material: Material) -> Section | None:
    """Profiles of all patients ordered by risk, as one heatmap; None without profiles."""
    table = material.patient_profiles
    if table is None:
        return None
    columns = _profile_columns(material)
    outside = material.profile_facts.get("kind") == "features"
    scores = {r["patient_id"]: number_of(r.get("score")) for r in material.scores}
    blocks: list[Block] = []
    for number, cohort in enumerate(material.cohorts[:4], start=1):
        ids = (
            set()
            if material.patients is None
            else set(material.patients.loc[material.patients["cohort"] == cohort, "patient_id"])
        )
        rows = table[table["patient_id"].isin(ids)]
        rows = rows[[math.isfinite(scores.get(p, math.nan)) for p in rows["patient_id"]]]
        if len(rows) < 3 or not columns:
            continue
        order = sorted(
            range(len(rows)), key=lambda i: (scores[rows["patient_id"].iloc[i]], rows["patient_id"].iloc[i])
        )
        rows = rows.iloc[order]
        score = [scores[p] for p in rows["patient_id"]]
        figure = profile_heatmap(
            _unit(rows[columns].to_numpy(float), material),
            [feature_name(c) for c in columns],
            score,
            cutoff=locked_cutoff(material),
            bars=_bars(material, list(rows["patient_id"])),
            marked=[feature_name(c) for c in signature_leaves(material)],
            percent=not outside,
        )
        what = "features" if outside else "shares of the HPCs"
        caption = (
            f"{cohort_title(cohort)}: {what} (rows) of every patient (columns), ordered by risk score. "
            "Those that enter the signature are in bold."
        )
        drawn = picture(f"profiles_{number}", figure, caption)
        blocks += folded(cohort_title(cohort), [drawn], small="profiles by risk") if blocks else [drawn]
    kind = str(material.profile_facts.get("kind", "composition"))
    if not blocks:
        blocks.append(Note(text="No score was given, so profiles are not ordered by risk here."))
    what = "shares of HPCs that sum to one" if kind == "composition" else "features from an outside table"
    lead = (
        f"{len(table):,} patients; profiles are {what}, pooled over "
        f"{int(table['n_slides'].sum()):,} slides and cores."
    )
    return Section(id="profiles", title="Profiles", blocks=blocks, lead=lead)


def _profile_columns(material: Material) -> list[str]:
    """Columns of the heatmap: all HPCs, or the signature's features when there are too many."""
    table = material.patient_profiles
    if table is None:
        return []
    found = [c for c in table.columns if c not in ("patient_id", "n_slides", "n_tiles")]
    numeric = [c for c in found if table[c].dtype.kind in "fi"]
    hpcs = [c for c in numeric if c.startswith("hpc_")]
    if hpcs:
        return hpcs[:80]
    wanted = [t["feature"] for t in largest_first(signature_terms(material)) if t["feature"] in numeric]
    return (wanted or numeric)[:MOST_ROWS]


def _unit(values: np.ndarray, material: Material) -> np.ndarray:
    """Shares as they are; outside features by their rank among the patients shown, 0 to 1."""
    if material.profile_facts.get("kind") != "features":
        return values
    ranks = values.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    return np.asarray(ranks / max(len(values) - 1, 1))


def _bars(material: Material, ids: Sequence[str]) -> list[ClinicalBar]:
    table = material.patients
    if table is None:
        return []
    indexed = table.set_index("patient_id")
    columns = material.config.get("columns", {}) or {}
    names = [*columns.get("covariates", []), *columns.get("subgroups", [])]
    out = []
    for name in dict.fromkeys(n for n in names if n in indexed.columns):
        values = [None if v != v or v == "" else v for v in indexed.loc[list(ids), name].tolist()]
        distinct = set(indexed[name].dropna().tolist()) - {""}
        if len(distinct) <= 5:
            values = [None if v is None else f"{v:g}" if isinstance(v, float) else str(v) for v in values]
        elif any(isinstance(v, str) for v in distinct):
            continue
        out.append(ClinicalBar(name=name, values=values))
    return out[:8]


def feature_name(column: str) -> str:
    """A column of the profiles as written on screen: ``hpc_07`` becomes ``HPC 07``."""
    tail = column.removeprefix("hpc_")
    return hpc_name(int(tail)) if column != tail and tail.isdigit() else column.replace("node_", "node ")


def signature_terms(material: Material) -> list[dict[str, Any]]:
    """Terms of the signature: feature, coef, center."""
    s = material.signature
    names = s.get("hpcs") or s.get("features") or []
    coefs = s.get("coef") or []
    center = s.get("center") or [0.0] * len(names)
    if isinstance(coefs, Mapping):
        names = list(coefs)
        center = [dict(center).get(n, 0.0) for n in names] if isinstance(center, Mapping) else center
        coefs = [coefs[n] for n in names]
    pairs = zip(names, coefs, center, strict=False)
    return [{"feature": str(n), "coef": float(b), "center": float(c)} for n, b, c in pairs]


def largest_first(terms: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Terms by the size of their coefficients, comparable where features are z-scores; few stay in their order."""
    return (
        list(terms) if len(terms) <= MOST_ROWS else sorted(terms, key=lambda term: -abs(float(term["coef"])))
    )


def node_leaves(material: Material) -> dict[str, list[int]]:
    """HPCs inside every node: as the signature froze them, else from the tree."""
    transform = material.signature.get("transform")
    frozen = transform.get("leaves") if isinstance(transform, Mapping) else None
    out = {str(n.get("id")): [int(h) for h in n.get("leaves", [])] for n in material.tree.get("nodes", [])}
    for name, inside in frozen.items() if isinstance(frozen, Mapping) else ():
        out[str(name)] = [int(str(h).removeprefix("hpc_")) for h in inside]
    return out


def signature_leaves(material: Material) -> list[str]:
    """HPC columns that enter the signature, directly or through a node."""
    leaves = node_leaves(material)
    out: set[str] = set()
    for term in signature_terms(material):
        inside = leaves.get(term["feature"])
        out |= {term["feature"]} if inside is None else {f"hpc_{int(h):02d}" for h in inside}
    return sorted(out)


def locked_cutoff(material: Material) -> float | None:
    """The cut-off of the signature, None without one."""
    value = number_of(material.signature.get("cutoff"))
    return value if math.isfinite(value) else None


def number_of(value: Any) -> float:
    """A number from a CSV cell or JSON; NaN when it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
