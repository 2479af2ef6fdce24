"""Section on the signature itself: everything needed to compute one patient by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pathosig.figures.equation import Term, equation_figure
from pathosig.report.cells import time_text
from pathosig.report.material import Material, endpoint_title
from pathosig.report.page import Block, Facts, Note, Section, Table, show
from pathosig.report.sections.patients import (
    MOST_ROWS,
    feature_name,
    largest_first,
    locked_cutoff,
    node_leaves,
    number_of,
    signature_terms,
)
from pathosig.report.sections.tissue import picture

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

MOST_TERMS = 12
"""A signature of more terms is not drawn as scales."""


def signature_section(material: Material) -> Section:
    """The equation, the cut-off, baseline survival and a scale to read a score by hand."""
    terms = signature_terms(material)
    if not terms:
        why = _why_none(material)
        box = Note(title="No signature.", text=why, level="warning")
        return Section(id="signature", title="Signature", blocks=[box])
    leaves = node_leaves(material)
    rows = []
    for term in largest_first(terms)[:MOST_ROWS]:
        inside = ", ".join(f"{int(h):02d}" for h in leaves.get(term["feature"], []))
        rows.append([feature_name(term["feature"]), inside or "–", term["coef"], term["center"]])
    s = material.signature
    transform = s.get("transform")
    scale = transform.get("name") or transform.get("scale") if isinstance(transform, Mapping) else transform
    facts = [
        ("Endpoint", endpoint_title(str(s.get("endpoint", "")))),
        ("Score", "sum over the terms of coefficient × (value − centre)"),
        (
            "Scale of the values",
            "feature, as z-score of discovery" if scale == "feature" else str(scale or "share"),
        ),
        (
            "Cut-off (locked)",
            f"{number_of(s.get('cutoff')):.4g}, rule: {s.get('cutoff_rule', '')}; high risk above it",
        ),
    ]
    if s.get("equation"):
        short = len(terms) <= MOST_TERMS
        written = str(s["equation"]) if short else f"{len(terms)} terms: signature/signature.json, equation"
        facts.insert(1, ("Equation", written))
    trained = s.get("trained_on")
    if isinstance(trained, Mapping):
        facts += [
            (f"Trained on: {k}".replace("_", " "), show(v)) for k, v in sorted(trained.items()) if _plain(v)
        ]
    more = len(terms) - len(rows)
    left = f"The {len(rows)} largest coefficients; {more} more in signature/signature.json." if more else ""
    columns = ["Term", "HPCs inside", "Coefficient", "Centre"]
    if scale == "feature":
        columns, rows = [columns[0], *columns[2:]], [[r[0], *r[2:]] for r in rows]
    blocks: list[Block] = [
        Table(caption="Equation", columns=columns, rows=rows, note=left),
        Facts(rows=facts),
    ]
    baseline = baseline_rows(material)
    if baseline:
        columns = ["Time", "Baseline survival"]
        note = "Survival of a patient with score s at a time is the baseline survival to the power exp(s)."
        blocks.append(Table(caption="Baseline survival", columns=columns, rows=baseline, note=note))
    nomogram = _nomogram(material, terms)
    if nomogram is not None:
        blocks.append(nomogram)
    lead = (
        "Everything needed to compute one patient's score by hand. It was frozen before any "
        "validation cohort was read."
    )
    return Section(id="signature", title="Signature", blocks=blocks, lead=lead)


def _why_none(material: Material) -> str:
    for record in material.records.get("signature", ()):
        if record.error:
            return str(record.error.get("message", ""))
        if record.status == "empty":
            return (
                "; ".join(record.warnings) or "Nothing was selected: no HPC is associated with the endpoint."
            )
    return "The signature stage has not run."


def baseline_rows(material: Material) -> list[list[Any]]:
    """Time and baseline survival at up to eight times."""
    baseline = material.signature.get("baseline") or {}
    if not isinstance(baseline, Mapping):
        return []
    unit = str(baseline.get("unit", ""))
    if baseline.get("at"):
        return [[time_text(r["time"], unit), number_of(r.get("survival"))] for r in baseline["at"]]
    time, survival = baseline.get("time") or baseline.get("times"), baseline.get("survival")
    if not time or survival is None or len(time) != len(survival):
        return []
    year = {"days": 365.25, "weeks": 52.18, "months": 12.0, "years": 1.0}.get(unit, 0.0)
    wanted = [y * year for y in (1, 2, 3, 5, 10)] if year else list(np.quantile(time, [0.25, 0.5, 0.75]))
    rows = []
    for t in wanted:
        if not float(time[0]) <= t <= float(time[-1]):
            continue
        at = int(np.searchsorted(np.asarray(time, float), t, side="right")) - 1
        rows.append([time_text(t, unit), float(survival[at])])
    return rows


def _nomogram(material: Material, terms: Sequence[Mapping[str, Any]]) -> Block | None:
    """The equation as scales with one patient marked; None where the shown values do not give the score."""
    table = material.patient_profiles
    scores = {str(r.get("patient_id")): number_of(r.get("score")) for r in material.scores}
    scores = {k: v for k, v in scores.items() if math.isfinite(v)}
    if table is None or not terms or len(terms) > MOST_TERMS:
        return None
    known = table[table["patient_id"].isin(scores)]
    values = _values(material, terms, known)
    if values is None or not len(known):
        return None
    score = np.array([scores[str(p)] for p in known["patient_id"]])
    coef, center = (np.array([float(t[k]) for t in terms]) for k in ("coef", "center"))
    if not np.allclose((values - center) @ coef, score, rtol=1e-4, atol=1e-6, equal_nan=True):
        return None
    ends = np.nanquantile(values, [0.01, 0.99], axis=0)
    share = material.profile_facts.get("kind") != "features"
    drawn = [
        Term(
            label=feature_name(str(t["feature"])),
            coefficient=float(b),
            low=float(bottom),
            high=float(top),
            center=float(c),
            percent=share,
        )
        for t, b, c, bottom, top in zip(terms, coef, center, *ends, strict=True)
    ]
    low, high = (float(np.quantile(score, q)) for q in (0.01, 0.99))
    grid = np.linspace(low, high, 60)
    survival = [
        (f"Survival {t}", grid.tolist(), (float(s) ** np.exp(grid)).tolist())
        for t, s in baseline_rows(material)
        if 0 < s < 1
    ]
    one = int(np.argmin(np.abs(score - np.quantile(score, 0.8))))
    figure = equation_figure(
        drawn,
        cutoff=locked_cutoff(material) or 0.0,
        score_range=(low, high),
        survival=survival,
        example=values[one].tolist(),
    )
    caption = (
        "The score read by hand: each value points to its contribution on the common scale at the top, the "
        "contributions add up to the score, and the scales below give the survival it means. Green: patient "
        f"{known['patient_id'].iloc[one]}, score {score[one]:.2f}."
    )
    return picture("equation", figure, caption)


def _values(
    material: Material, terms: Sequence[Mapping[str, Any]], table: pd.DataFrame
) -> NDArray[np.floating] | None:
    """Value of every term in every patient: float[n_patients, n_terms]; None when a column is not there."""
    leaves = node_leaves(material)
    out = []
    for term in terms:
        columns = [f"hpc_{int(h):02d}" for h in leaves.get(term["feature"], [])] or [term["feature"]]
        if not set(columns) <= set(table.columns):
            return None
        out.append(table[columns].sum(axis=1, min_count=1).to_numpy(float))
    return np.column_stack(out)


def _plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool))
