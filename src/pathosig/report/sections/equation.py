"""Section on the signature itself: everything needed to compute one patient's score by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pathosig.core.words import counted
from pathosig.figures.equation import Term as DrawnTerm
from pathosig.figures.equation import equation_figure
from pathosig.report.cells import (
    MOST_ROWS,
    feature_name,
    feature_title,
    largest_first,
    number_text,
    per_cent,
    rounded,
    time_text,
)
from pathosig.report.drivers import feature_values, frequency_of
from pathosig.report.images import picture
from pathosig.report.material import FrozenScore, Material, Term, endpoint_title
from pathosig.report.page import Block, Cell, Facts, Note, Section, Table

MOST_TERMS = 12
"""A signature of more terms is not drawn as scales."""

SCALES = {
    "share": "proportion of tiles",
    "feature": "feature, as z-score of discovery",
    "logodds": "log-odds of the proportion",
    "logratio": "log-ratio of proportions",
}


def signature_section(material: Material) -> Section:
    """The equation, the cut-off, baseline survival and a scale to read a score by hand."""
    frozen = material.signature
    if frozen is None or not frozen.terms:
        box = Note(title="No signature.", text=_why_none(material), level="warning")
        return Section(id="signature", title="Equation", blocks=[box])
    outside = frozen.scale == "feature"
    rows: list[list[Cell]] = [
        [
            feature_title(material, t.feature),
            *([] if outside else [", ".join(f"{h:02d}" for h in t.leaves) or "–"]),
            rounded(t.coef),
            rounded(t.center),
            per_cent(frequency_of(material, t.feature)),
        ]
        for t in largest_first(frozen.terms)[:MOST_ROWS]
    ]
    more = len(frozen.terms) - len(rows)
    left = f"The {len(rows)} largest coefficients; {more} more in signature/signature.json." if more else ""
    columns = ["Term", *([] if outside else ["HPCs inside"]), "Coefficient", "Centre", "Selected in"]
    meaning = "Selected in: proportion of half-samples of the discovery patients whose selection returns to the term"
    left = f"{left} {meaning} or, where it is stable, to a feature that hardly differs from it.".strip()
    blocks: list[Block] = []
    drawn = _nomogram(material, frozen)
    blocks += [drawn] if drawn is not None else []
    blocks += [
        Facts(rows=_facts(frozen)),
        Table(caption="Terms", columns=columns, rows=rows, note=left, folded=len(rows) > 12),
    ]
    if frozen.baseline:
        table: list[list[Cell]] = [[time_text(t, frozen.unit), s] for t, s in frozen.baseline]
        caption, head = "Baseline survival", "Baseline survival"
        note = "The survival of a patient with score s is the baseline survival to the power exp(s)."
        if frozen.competes:
            caption, head = "Free of the event at score 0", "Free of the event"
            note = (
                "Another event competes: the values are 1 − cumulative incidence of a patient with score 0. For other scores both "
                "hazards are needed (signature/signature.json, baseline)."
            )
        blocks.append(Table(caption=caption, columns=["Time", head], rows=table, note=note))
    lead = "Everything needed to compute one patient's score by hand. It was frozen before any validation cohort was read."
    return Section(id="signature", title="Equation", blocks=blocks, lead=lead)


def _facts(frozen: FrozenScore) -> list[tuple[str, str]]:
    short = len(frozen.terms) <= MOST_TERMS
    written = (
        equation_text(frozen)
        if short
        else f"{counted(len(frozen.terms), 'term')}: signature/signature.json, equation"
    )
    scale = SCALES.get(frozen.scale, frozen.scale)
    return [
        ("Endpoint", endpoint_title(frozen.endpoint)),
        ("Score, rounded", written),
        ("Scale of the values", scale),
        ("Cut-off (locked)", f"{number_text(frozen.cutoff, 3)} ({frozen.cutoff_rule}); high risk above it"),
        *frozen.trained_on,
    ]


def equation_text(frozen: FrozenScore) -> str:
    """The score as a formula rounded to three digits, with true minus signs; exact in signature.json."""
    parts = []
    for i, term in enumerate(frozen.terms):
        sign = "−" if term.coef < 0 else "" if i == 0 else "+"
        center = f"{'−' if term.center >= 0 else '+'} {rounded(abs(term.center))}"
        value = f"({feature_name(term.feature)} {center})" if term.center else feature_name(term.feature)
        parts.append(f"{sign} {rounded(abs(term.coef))} × {value}".strip())
    return f"score = {' '.join(parts)}".replace("= − ", "= −")


def _why_none(material: Material) -> str:
    for record in material.of("signature"):
        if record.error:
            return str(record.error["message"])
        if record.status == "empty":
            return (
                "; ".join(record.warnings) or "Nothing was selected: no HPC is associated with the endpoint."
            )
        if "reason" in record.summary:
            reason = str(record.summary["reason"])
            return reason[:1].upper() + reason[1:]
    return "The signature stage has not run."


def _nomogram(material: Material, frozen: FrozenScore) -> Block | None:
    """The equation as scales with one patient marked; None where the shown values do not give the score."""
    table = material.profiles.patients
    if table is None or len(frozen.terms) > MOST_TERMS:
        return None
    columns = [feature_values(material, t) for t in frozen.terms]
    scores = {r.patient: r.score for r in material.scores if math.isfinite(r.score)}
    scored = table["patient_id"].isin(scores).to_numpy()
    if not scored.any() or not all(len(c) for c in columns):
        return None
    values = np.column_stack(columns)[scored]
    patients = table["patient_id"][scored].tolist()
    score = np.array([scores[p] for p in patients])
    coef, center = np.array([t.coef for t in frozen.terms]), np.array([t.center for t in frozen.terms])
    if not np.allclose((values - center) @ coef, score, rtol=1e-4, atol=1e-6, equal_nan=True):
        return None
    one = _example(score, frozen.cutoff)
    figure = equation_figure(
        _drawn(material, frozen.terms, values),
        cutoff=frozen.cutoff,
        score_range=(float(np.quantile(score, 0.01)), float(np.quantile(score, 0.99))),
        survival=[
            (f"Survival at {time_text(t, frozen.unit)}", s)
            for t, s in frozen.baseline
            if 0 < s < 1 and not frozen.competes
        ],
        example=values[one].tolist(),
    )
    caption = (
        "The score read by hand: each value points to its contribution on the common scale at the top, the "
        "contributions add up to the score, and the scales below give the predicted survival. Green: patient "
        f"{patients[one]}, score {number_text(score[one])}."
    )
    return picture("equation", figure, caption)


def _example(score: np.ndarray, cutoff: float) -> int:
    """A patient well within the range and off the cut-off: the one nearest to the 70th percentile."""
    return int(np.argmin(np.abs(score - np.quantile(score, 0.7)) + (np.abs(score - cutoff) < 1e-9)))


def _drawn(material: Material, terms: Sequence[Term], values: np.ndarray) -> list[DrawnTerm]:
    ends = np.nanquantile(values, [0.01, 0.99], axis=0)
    nested = {
        t.feature for t in terms for u in terms if t is not u and t.leaves and set(t.leaves) < set(u.leaves)
    }
    return [
        DrawnTerm(
            label=feature_title(material, t.feature) + (" (nested)" if t.feature in nested else ""),
            coefficient=t.coef,
            low=float(bottom),
            high=float(top),
            center=t.center,
            percent=material.profiles.kind != "features",
        )
        for t, bottom, top in zip(terms, *ends, strict=True)
    ]
