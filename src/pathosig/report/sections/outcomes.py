"""Section on what happened in each risk group: competing events and counts."""

from __future__ import annotations

from pathosig.core.words import counted
from pathosig.figures.forest import ForestRow, forest_plot
from pathosig.figures.outcomes import (
    StackedBar,
    cumulative_incidence_plot,
    stacked_bars,
)
from pathosig.figures.results import floats, hr_row, km_data, known
from pathosig.figures.titles import level_title, risk_label, sentence_case
from pathosig.report.cells import analysis_name, estimate_cell, is_main, number_text, numbered
from pathosig.report.images import picture
from pathosig.report.material import Material
from pathosig.report.page import Block, Cell, Note, Section, Table, folded
from pathosig.validation.analysis import Analysis
from pathosig.validation.competing_values import CompetingRisks, IncidenceCurve
from pathosig.validation.values import NOT_COMPUTED, Counts, NotEstimable

OUTCOMES = ("no event", "competing event", "event")
"""What a patient can have met, from the bottom of a bar to its top."""


def outcomes_section(material: Material) -> Section | None:
    """Cumulative incidence under competing risks and counts of what happened; None without either."""
    blocks: list[Block] = []
    unseen = any(known(a.competing) is not None and not a.apparent for _, a in numbered(material))
    for number, analysis in numbered(material):
        competing = _competing(analysis, number)
        inside = [
            *competing[:1],
            *_counts(analysis, number),
            *competing[1:],
        ]  # two narrow figures side by side
        hidden = unseen and analysis.apparent
        if is_main(material, analysis) or (known(analysis.competing) is not None and not hidden):
            blocks += inside
        else:
            blocks += folded(analysis_name(analysis), inside)
    if not blocks:
        return None
    lead = "What happened in each risk group. The bars ignore how long patients were followed"
    compared = any(known(a.competing) is not None for _, a in numbered(material))
    lead += (
        "; cumulative incidence and Gray's test do not." if compared else ", which survival curves do not."
    )
    return Section(id="outcomes", title="Events and competing risks", blocks=blocks, lead=lead)


def _competing(analysis: Analysis, number: int) -> list[Block]:
    """Aalen-Johansen curves with Gray's test, and hazard ratios of both models for both causes."""
    name, risks = analysis_name(analysis), analysis.competing
    if isinstance(risks, NotEstimable):
        asked = risks != NOT_COMPUTED
        return [Note(title=f"{name}: competing risks.", text=risks.reason, level="warning")] if asked else []
    gray = {g.cause: g.p for g in risks.gray}
    groups = sorted(risks.groups, key=lambda g: ("low", "high").index(g) if g in ("low", "high") else 2)
    by_cause = {
        cause: {
            risk_label(g): _curve(c) for g in groups for c in risks.curves if (c.cause, c.group) == (cause, g)
        }
        for cause in (1, 2)
    }
    figure = cumulative_incidence_plot(
        by_cause[1],
        title=name,
        unit=analysis.unit,
        competing=by_cause[2],
        p=gray.get(1),
        p_competing=gray.get(2),
        at_risk=km_data(analysis).curves,
    )
    caption = (
        f"{name}: cumulative incidence (Aalen-Johansen) of the event (solid, 95% CI) and of the competing event (dotted). "
        "Gray's test compares the groups."
    )
    text = (
        f"{name}: {counted(risks.events, 'event')} and {counted(risks.competing_events, 'competing event')} in "
        f"{counted(risks.n, 'patient')}. Cause-specific hazards describe what drives the event; Fine-Gray's subdistribution "
        "hazard ratios describe the incidence above."
    )
    drawn = forest_plot(_model_rows(risks), title=name)
    return [
        picture(f"incidence_{number:02d}", figure, caption, wide=False),
        picture(f"competing_{number:02d}", drawn, text),
        *_absolute(risks, name),
    ]


def _absolute(risks: CompetingRisks, name: str) -> list[Block]:
    """Absolute risks at the horizons, beside 1 - Kaplan-Meier."""
    if not risks.at:
        return []
    rows: list[list[Cell]] = [
        [
            risk_label(r.group),
            f"{r.years:g}",
            estimate_cell(r.event),
            estimate_cell(r.competing),
            "–" if r.net is None else number_text(r.net, 3),
        ]
        for r in risks.at
    ]
    caption = f"{name}: absolute risk (Aalen-Johansen, 95% CI) beside 1 - Kaplan-Meier, which overstates it"
    columns = ["Group", "Years", "Event", "Competing event", "1 - Kaplan-Meier"]
    return [Table(caption=caption, columns=columns, rows=rows)]


def _model_rows(risks: CompetingRisks) -> list[ForestRow]:
    rows: list[ForestRow] = []
    for cause, what in ((1, "event"), (2, "competing event")):
        for model in dict.fromkeys(m.model for m in risks.models):
            chosen = [m for m in risks.models if (m.cause, m.model) == (cause, model)]
            if chosen:
                rows.append(ForestRow(label=f"{sentence_case(model)}, {what}", kind="heading"))
            rows += [
                hr_row("Score, per SD" if m.effect == "hr_sd" else "High against low", m.result, level=1)
                for m in chosen
            ]
    return rows


def _curve(curve: IncidenceCurve) -> dict[str, list[float]]:
    return {
        "time": list(curve.time),
        "estimate": floats(curve.estimate),
        "lower": floats(curve.lower),
        "upper": floats(curve.upper),
    }


def _counts(analysis: Analysis, number: int) -> list[Block]:
    """Stacked bars of what happened in each group with one exact test."""
    counts = known(analysis.outcome_counts)
    if counts is None or not counts.rows:
        return []
    name, test = analysis_name(analysis), known(counts.fisher)
    figure = stacked_bars(
        bars_of(counts), title=name, p=None if test is None else test.p, test="Fisher's exact test"
    )
    caption = f"{name}: patients with an event in each risk group."
    return [picture(f"outcome_{number:02d}", figure, caption, wide=False)]


def bars_of(counts: Counts) -> list[StackedBar]:
    """Bars of a cross table; patients without an event lie at the bottom."""
    levels = list(dict.fromkeys(r.level for r in counts.rows))
    if set(levels) <= set(OUTCOMES):
        levels = [v for v in OUTCOMES if v in levels]
    n = {(r.group, r.level): r.n for r in counts.rows}
    return [
        StackedBar(label=risk_label(g), counts={level_title(v): n.get((g, v), 0) for v in levels})
        for g in dict.fromkeys(r.group for r in counts.rows)
    ]
