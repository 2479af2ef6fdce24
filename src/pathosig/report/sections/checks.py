"""Sections on the form of the model, on internal validation and sample size."""

from __future__ import annotations

from pathosig.core.words import counted
from pathosig.figures.instability import instability_plot
from pathosig.figures.performance import effect_curve_plot
from pathosig.figures.results import floats, known, p_of
from pathosig.figures.titles import prose
from pathosig.figures.uncertainty import time_scale, why_too_wide
from pathosig.report.cells import (
    analysis_name,
    estimate_cell,
    estimate_words,
    feature_title,
    hr_cell,
    in_words,
    is_main,
    number_text,
    numbered,
    per_cent,
    rounded,
    time_text,
)
from pathosig.report.images import picture
from pathosig.report.material import Material
from pathosig.report.page import Block, Cell, Facts, Note, Number, Section, Table
from pathosig.report.rendering import without_empty
from pathosig.validation.analysis import Analysis


def hazards_section(material: Material) -> Section | None:
    """Proportional hazards, restricted mean survival and the spline check; None without them."""
    blocks: list[Block] = []
    rows: list[list[Cell]] = []
    for number, a in numbered(material):
        ph, spline, name = known(a.ph), known(a.spline), analysis_name(a)
        tests = [None, None] if ph is None else [p_of(ph.score), p_of(ph.group)]
        rows.append([name, *tests, None if spline is None else spline.p_nonlinear, rmst_cell(a)])
        if ph is not None and ph.violated and ph.piecewise:
            cells: list[list[Cell]] = [
                [f"{number_text(p.start, 0)} to {number_text(p.end, 0)} {a.unit}", hr_cell(p.effect)]
                for p in ph.piecewise
            ]
            caption = f"{name}: hazards are not proportional; hazard ratio by period"
            blocks.append(Table(caption=caption, columns=["Period", "HR (95% CI)"], rows=cells))
        if spline is not None and is_main(material, a):
            figure = effect_curve_plot(
                spline.score,
                floats(spline.hr),
                (floats(spline.lower), floats(spline.upper)),
                title=name,
                x_label="Risk score (discovery SD)",
            )
            text = f"{name}: hazard ratio along the score (restricted cubic spline)."
            blocks.append(picture(f"spline_{number:02d}", figure, text, wide=False))
    if not any(isinstance(c, float) for r in rows for c in r):
        return None
    columns = ["Analysis", "PH test, score: p", "PH test, groups: p", "Non-linearity: p"]
    columns += ["RMST, high − low (95% CI)"]
    note = (
        "RMST: restricted mean survival time, the mean time without an event up to a horizon. It is shown where both risk "
        "groups are followed for at least half of the median follow-up."
    )
    table = without_empty(Table(caption="Checks of the model's form", columns=columns, rows=rows, note=note))
    return Section(id="hazards", title="Proportional hazards and form", blocks=[table, *blocks])


def rmst_cell(analysis: Analysis) -> str | Number | None:
    """Difference of restricted means with unit and horizon; where the horizon is too short to mean anything, a sentence with the horizon."""
    rmst, follow_up = known(analysis.rmst), known(analysis.follow_up)
    if rmst is None:
        return None
    until = f"{rounded(rmst.tau, 2 if rmst.tau < 100 else 3)} {analysis.unit}"
    median = None if follow_up is None else follow_up.estimate
    if median is not None and rmst.tau < median / 2:
        return f"not shown: too few at risk beyond {until}"
    text = f"{estimate_words(rmst.difference, digits=1)} {analysis.unit}, up to {until}"
    difference = known(rmst.difference)
    why = "" if difference is None else why_too_wide(difference.lower, difference.upper, time_scale(rmst.tau))
    return Number(value=text, uncertain=why) if why else text


def internal_section(material: Material) -> Section | None:
    """Repeated nested cross-validation; None when external cohorts were used."""
    results = material.results
    internal = None if results is None else known(results.internal)
    if results is None or internal is None:
        return None
    facts: list[tuple[str, str | Number]] = [
        ("Repeats × folds", f"{internal.repeats} × {internal.folds}, grouped by patient")
    ]
    facts += [
        (label, estimate_cell(value))
        for label, value in (
            ("Harrell C, cross-validated", internal.harrell_c),
            ("Uno C, cross-validated", internal.uno_c),
            ("Ridge on all leaves, C", internal.ridge_c),
            ("Apparent C (optimistic)", internal.apparent_c),
        )
        if known(value) is not None
    ]
    against = known(results.against_ridge)
    if against is not None and against.difference is not None:
        facts.append(("Selection minus ridge on all leaves, C", number_text(against.difference, 3)))
    if known(internal.hr_sd) is not None:
        facts.append(("HR per SD, cross-validated", hr_cell(internal.hr_sd)))
    facts.append(("Folds in which nothing was selected", per_cent(internal.share_empty)))
    blocks: list[Block] = []
    if internal.share_empty >= 1:
        text = "No fold selected anything, so every patient's cross-validated score is the same and the C-index of 0.50 is not a measurement."
        blocks.append(Note(title="Nothing found.", text=text, level="warning"))
    blocks.append(Facts(rows=facts))
    if internal.selected:
        rows: list[list[Cell]] = [
            [feature_title(material, s.feature), s.share] for s in internal.selected[:60]
        ]
        columns = ["Feature", "Proportion of folds"]
        caption = "How often each feature was selected"
        blocks.append(Table(caption=caption, columns=columns, rows=rows, folded=len(rows) > 12))
    blocks += [Note(text=internal.note)] if internal.note else []
    lead = "There is no external cohort. Every number here is from patients whom the model of their fold never saw."
    return Section(id="internal", title="Internal validation", blocks=blocks, lead=lead)


def sample_size_section(material: Material) -> Section | None:
    """Riley's criteria: what the number of candidates and of selected features would need; None without."""
    size = None if material.results is None else known(material.results.sample_size)
    if size is None:
        return None
    rows: list[list[Cell]] = [
        [
            label,
            part.parameters,
            part.required_n,
            round(part.required_events),
            part.events_per_parameter,
            part.expected_shrinkage,
        ]
        for label, part in (("All candidates", size.candidates), ("Selected features", size.selected))
        if part is not None
    ]
    if not rows:
        return None
    columns = ["Parameters of", "Parameters", "Patients needed", "Events needed", "Events per parameter"]
    columns += ["Expected shrinkage"]
    primary = (
        material.endpoints[material.primary_endpoint].unit
        if material.primary_endpoint in material.endpoints
        else ""
    )
    note = (
        "Riley et al. 2019: shrinkage of at least 0.90, small optimism and a precise overall risk at "
        f"{time_text(size.timepoint, primary)}; anticipated R²: {prose(size.anticipated_r2)}. A model chosen among all candidates lies between the two rows."
    )
    blocks: list[Block] = [
        Table(caption="Sample size for a prediction model", columns=columns, rows=rows, note=note)
    ]
    blocks += _small_study(material)
    lead = f"Discovery had {counted(size.n, 'patient')} and {counted(size.events, 'event')}."
    return Section(id="sample-size", title="Sample size", blocks=blocks, lead=lead)


def _small_study(material: Material) -> list[Block]:
    """What discovery of this size can show, in a sentence, and how far each patient's predicted risk moves."""
    small = None if material.results is None else known(material.results.small_study)
    if small is None:
        return []
    blocks: list[Block] = [Note(text=in_words(material, small.sentence()))]
    moves = known(small.instability)
    if moves is not None:
        caption = (
            f"Instability of predictions. A line per discovery patient holds 95% of the risks that the whole procedure, repeated "
            f"on {moves.bootstraps} bootstrap samples of patients, predicts for them; the dot is the risk that the signature predicts."
        )
        caption += "" if moves.flips is None else f" {per_cent(moves.flips)} of risk groups change."
        blocks.append(picture("instability", instability_plot(moves), caption, wide=False))
    return blocks
