"""Sections on the form of the model, on internal validation, sample size and the agreement of cores."""

from __future__ import annotations

from collections.abc import Mapping

from pathosig.figures.performance import effect_curve_plot
from pathosig.figures.results import real, triple, usable
from pathosig.figures.style import estimate_text
from pathosig.report.cells import (
    analysis_name,
    estimate_cell,
    feature_name,
    is_main,
    mapping,
    numbered,
    short,
)
from pathosig.report.images import picture
from pathosig.report.material import Material, cohort_title
from pathosig.report.page import Block, Cell, Facts, Note, Section, Table


def hazards_section(material: Material) -> Section | None:
    """Proportional hazards, restricted mean survival and the spline check; None without them."""
    blocks: list[Block] = []
    rows: list[list[Cell]] = []
    for number, a in numbered(material):
        ph, rmst, spline = (mapping(a.get(k)) for k in ("ph", "rmst", "spline"))
        name = analysis_name(a)
        score, group = (ph.get(k) or {} for k in ("score", "group"))
        difference = triple(rmst.get("difference"))
        rows.append(
            [
                name,
                real(score.get("p")),
                real(group.get("p")),
                real(spline.get("p_nonlinear")),
                estimate_text(*difference, digits=1) if difference else "–",
                real(rmst.get("tau")),
            ]
        )
        piecewise = [p for p in ph.get("piecewise") or () if usable(p)]
        if ph.get("violated") and piecewise:
            cells: list[list[Cell]] = [
                [
                    f"{short(p.get('from'))} to {short(p.get('to')) if p.get('to') is not None else 'end'}",
                    estimate_text(real(p.get("hr")), real(p.get("lower")), real(p.get("upper"))),
                    p.get("n"),
                    p.get("events"),
                ]
                for p in piecewise
            ]
            caption = f"{name}: hazards are not proportional; hazard ratio by period"
            blocks.append(
                Table(caption=caption, columns=["Period", "HR (95% CI)", "n", "Events"], rows=cells)
            )
        if spline.get("score") and is_main(material, a):
            s = spline
            figure = effect_curve_plot(
                s["score"], s["hr"], (s["lower"], s["upper"]), title=name, x_label="Risk score (discovery SD)"
            )
            text = f"{name}: hazard ratio along the score (restricted cubic spline)."
            blocks.append(picture(f"spline_{number:02d}", figure, text, wide=False))
    if not any(isinstance(c, float) for r in rows for c in r):
        return None
    columns = [
        "Analysis",
        "PH test, score: p",
        "PH test, groups: p",
        "Non-linearity: p",
        "RMST, high − low (95% CI)",
        "Up to",
    ]
    table = Table(caption="Checks of the model's form", columns=columns, rows=rows)
    return Section(id="hazards", title="Proportional hazards and form", blocks=[table, *blocks])


def internal_section(material: Material) -> Section | None:
    """Repeated nested cross-validation; None when external cohorts were used."""
    internal = material.results.get("internal")
    if not usable(internal) or not isinstance(internal, Mapping):
        return None
    names = {
        "harrell_c": "Harrell C, cross-validated",
        "uno_c": "Uno C, cross-validated",
        "ridge_c": "Ridge on all leaves, C",
        "apparent_c": "Apparent C (optimistic)",
        "null_c": "C of a permuted outcome",
    }
    facts = [("Repeats × folds", f"{internal.get('repeats')} × {internal.get('folds')}, grouped by patient")]
    for key, label in names.items():
        value = internal.get(key)
        if triple(value):
            facts.append((label, estimate_cell(value)))
        elif real(value) is not None:
            facts.append((label, f"{value:.3f}"))
    against = mapping(material.results.get("against_ridge"))
    if real(against.get("difference")) is not None:
        facts.append(("Selection minus ridge on all leaves, C", estimate_cell(against["difference"])))
    hr = triple(internal.get("hr_sd"), key="hr")
    facts += [("HR per SD, cross-validated", estimate_text(*hr))] if hr else []
    if real(internal.get("share_empty")) is not None:
        facts.append(("Folds in which nothing was selected", f"{100 * internal['share_empty']:.0f}%"))
    blocks: list[Block] = [Facts(rows=facts)]
    chosen = [
        [feature_name(str(s.get("feature"))), real(s.get("share"))] for s in internal.get("selected") or ()
    ]
    if chosen:
        columns = ["Feature", "Share of folds"]
        blocks.append(
            Table(
                caption="How often each feature was selected",
                columns=columns,
                rows=chosen[:60],
                folded=len(chosen) > 12,
            )
        )
    if internal.get("note"):
        blocks.append(Note(text=str(internal["note"])))
    lead = (
        "There is no external cohort. Every number here is from patients that the model of their "
        "fold never saw."
    )
    return Section(id="internal", title="Internal validation", blocks=blocks, lead=lead)


def sample_size_section(material: Material) -> Section | None:
    """Riley's criteria: what the number of candidates and of selected features would need; None without."""
    found = mapping(material.results.get("sample_size"))
    rows: list[list[Cell]] = []
    for key, label in (("candidates", "All candidates"), ("selected", "Selected features")):
        part = mapping(found.get(key))
        if part:
            events = real(part.get("required_events"))
            rows.append(
                [
                    label,
                    part.get("parameters"),
                    part.get("required_n"),
                    None if events is None else round(events),
                    real(part.get("events_per_parameter")),
                    real(part.get("expected_shrinkage")),
                ]
            )
    if not rows:
        return None
    columns = ["Parameters of", "Parameters", "Patients needed", "Events needed", "Events per parameter"]
    columns += ["Expected shrinkage"]
    at = real(found.get("timepoint"))
    note = (
        "Riley et al. 2019: shrinkage of at least 0.90, small optimism, precise overall risk"
        + ("" if at is None else f" at time {at:.4g}")
        + f"; anticipated R² {found.get('anticipated_r2', 'not stated')}. A model chosen among all candidates "
        "lies between the two rows."
    )
    table = Table(caption="Sample size for a prediction model", columns=columns, rows=rows, note=note)
    lead = f"Discovery had {found.get('n')} patients and {found.get('events')} events."
    return Section(id="sample-size", title="Sample size", blocks=[table], lead=lead)


def cores_section(material: Material) -> Section | None:
    """Agreement of cores within patients; None without several cores."""
    found = material.results.get("core_agreement")
    if not usable(found) or not isinstance(found, Mapping):
        return None
    rows: list[list[Cell]] = []
    for cohort, c in sorted(found.items()):
        if usable(c) and isinstance(c, Mapping):
            rows.append(
                [
                    cohort_title(str(cohort)),
                    *(c.get(k) for k in ("n", "single", "agree", "heterogeneous")),
                    real(c.get("observed_rate")),
                    real(c.get("expected_rate")),
                ]
            )
    if not rows or all(mapping(c).get("single") == mapping(c).get("n") for c in found.values()):
        return None
    columns = [
        "Cohort",
        "Patients",
        "One core",
        "Agree",
        "Heterogeneous",
        "Observed rate",
        "Expected if homogeneous",
    ]
    table = Table(caption="Agreement of cores", columns=columns, rows=rows)
    lead = (
        "A patient is heterogeneous only when the cores disagree by more than sampling within cores explains."
    )
    return Section(id="cores", title="Agreement of cores", blocks=[table], lead=lead)
