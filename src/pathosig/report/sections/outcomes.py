"""Sections on what happened in each risk group: competing events, counts, and what goes with the groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pathosig.figures.forest import ForestRow, forest_plot
from pathosig.figures.outcomes import (
    BarPanel,
    StackedBar,
    bar_panels,
    cumulative_incidence_plot,
    stacked_bars,
)
from pathosig.figures.results import hr_row, km_data, level_title, real, reason, risk_label
from pathosig.figures.style import p_text
from pathosig.report.cells import analysis_name, is_main, mapping, mappings, numbered, short
from pathosig.report.images import picture
from pathosig.report.material import Material, cohort_title
from pathosig.report.page import Block, Cell, Note, Section, Table, folded

OUTCOMES = ("no event", "competing event", "event")
"""What a patient can have met, from the bottom of a bar to its top."""


def outcomes_section(material: Material) -> Section | None:
    """Cumulative incidence under competing risks and counts of what happened; None without either."""
    blocks: list[Block] = []
    unseen = any(mapping(a.get("competing")) and not a.get("apparent") for _, a in numbered(material))

    def hidden(analysis: Mapping[str, Any]) -> bool:
        return unseen and bool(analysis.get("apparent"))

    for number, analysis in numbered(material):
        competing = _competing(analysis, number)
        inside = [
            *competing[:1],
            *_counts(analysis, number),
            *competing[1:],
        ]  # two narrow figures side by side
        if not inside:
            continue
        if is_main(material, analysis) or (mapping(analysis.get("competing")) and not hidden(analysis)):
            blocks += inside
        else:
            blocks += folded(analysis_name(analysis), inside)
    if not blocks:
        return None
    lead = (
        "What happened in each risk group. Bars ignore how long patients were followed; cumulative "
        "incidence and Gray's test do not."
    )
    return Section(id="outcomes", title="Events and competing risks", blocks=blocks, lead=lead)


def _competing(analysis: Mapping[str, Any], number: int) -> list[Block]:
    """Aalen-Johansen curves with Gray's test, and hazard ratios of both models for both causes."""
    name = analysis_name(analysis)
    if reason(analysis.get("competing")):
        return [
            Note(title=f"{name}: competing risks.", text=reason(analysis.get("competing")), level="warning")
        ]
    found = mapping(analysis.get("competing"))
    curves = mappings(found.get("curves"))
    if not curves:
        return []
    gray = {g.get("cause"): real(g.get("p")) for g in mappings(found.get("gray"))}
    groups = dict.fromkeys(str(c.get("group")) for c in curves)
    order = sorted(groups, key=lambda g: ("low", "high").index(g) if g in ("low", "high") else 2)
    by_cause = {
        cause: {risk_label(g): _curve(c) for g in order for c in curves if _is(c, cause, g)}
        for cause in (1, 2)
    }
    figure = cumulative_incidence_plot(
        by_cause[1],
        title=name,
        unit=str(analysis.get("unit", "")),
        competing=by_cause[2],
        p=gray.get(1),
        p_competing=gray.get(2),
        at_risk=km_data(analysis).curves,
    )
    caption = (
        f"{name}: cumulative incidence (Aalen-Johansen) of the event (solid, 95% CI) and of the competing "
        "event (dotted). Gray's test compares the groups."
    )
    out: list[Block] = [picture(f"incidence_{number:02d}", figure, caption, wide=False)]
    rows: list[ForestRow] = []
    models = mappings(found.get("models"))
    for cause, what in ((1, "event"), (2, "competing event")):
        for model in dict.fromkeys(str(m.get("model")) for m in models):
            chosen = [m for m in models if m.get("cause") == cause and str(m.get("model")) == model]
            if chosen:
                rows.append(ForestRow(label=f"{model[:1].upper()}{model[1:]}, {what}", kind="heading"))
            rows += [
                hr_row("Score, per SD" if m.get("effect") == "hr_sd" else "High against low", m, level=1)
                for m in chosen
            ]
    if rows:
        text = (
            f"{name}: {found.get('events')} events and {found.get('competing_events')} competing events in "
            f"{found.get('n')} patients. Cause-specific hazards say what drives the event; Fine-Gray's "
            "subdistribution hazard ratios say what it does to the incidence above."
        )
        figure = forest_plot(rows, title=name)
        out.append(picture(f"competing_{number:02d}", figure, text))
    return out


def _is(curve: Mapping[str, Any], cause: int, group: str) -> bool:
    return curve.get("cause") == cause and str(curve.get("group")) == group


def _curve(curve: Mapping[str, Any]) -> dict[str, list[float]]:
    return {
        k: [float("nan") if v is None else float(v) for v in curve.get(k) or ()]
        for k in ("time", "estimate", "lower", "upper")
    }


def _counts(analysis: Mapping[str, Any], number: int) -> list[Block]:
    """Stacked bars of what happened in each group with exact tests."""
    found = mapping(analysis.get("outcome_counts"))
    bars = bars_of(found)
    if not bars:
        return []
    name = analysis_name(analysis)
    figure = stacked_bars(bars, title=name, p=exact_p(found), test="Fisher's exact test")
    square = mapping(found.get("chi_square"))
    caption = f"{name}: patients with an event in each risk group."
    if real(square.get("p")) is not None:
        caption += f" Chi-square {short(real(square.get('statistic')))}, {square.get('df')} df, {p_text(real(square['p']))}."
    return [picture(f"outcome_{number:02d}", figure, caption, wide=False)]


def exact_p(found: Mapping[str, Any]) -> float | None:
    """Fisher's exact p of a table of counts."""
    return real(mapping(found.get("fisher")).get("p"))


def bars_of(found: Mapping[str, Any]) -> list[StackedBar]:
    """Bars of a table of group, level and n; patients without an event lie at the bottom."""
    rows = mappings(found.get("rows"))
    levels = list(dict.fromkeys(str(r.get("level")) for r in rows))
    if set(levels) <= set(OUTCOMES):
        levels = [v for v in OUTCOMES if v in levels]
    groups = list(dict.fromkeys(str(r.get("group")) for r in rows))
    counts = {(str(r.get("group")), str(r.get("level"))): int(r.get("n") or 0) for r in rows}
    return [
        StackedBar(label=risk_label(g), counts={level_title(v): counts.get((g, v), 0) for v in levels})
        for g in groups
    ]


def associations_section(material: Material) -> Section | None:
    """Risk group against every declared variable: one table, and bars for each cohort; None without."""
    found = mappings(material.results.get("associations"))
    if not found:
        return None
    blocks: list[Block] = []
    cohorts = list(dict.fromkeys(str(f.get("cohort")) for f in found))
    discovery = "" if material.primary is None else material.primary.discovery
    first = next((c for c in cohorts if c != discovery), cohorts[0])
    for number, cohort in enumerate(sorted(cohorts, key=lambda c: c != first), start=1):
        chosen = [f for f in found if str(f.get("cohort")) == cohort]
        rows = [row for f in chosen for row in _association_rows(f)]
        columns = ["Variable", "Level", "Low risk", "High risk", "Chi-square: p", "Fisher: p", "Fisher: q"]
        note = "Patients (share of the risk group). Numbers of many values are split at their median. q: Benjamini-Hochberg within the cohort."
        table = Table(
            caption=f"{cohort_title(cohort)}: tables and tests", columns=columns, rows=rows, note=note
        )
        inside = [*_bars(chosen, cohort, number), *folded("Counts and tests", [table])]
        small = f"{len(chosen)} variables"
        blocks += inside if cohort == first else folded(cohort_title(cohort), inside, small=small)
    lead = "Which patients the risk groups are made of: an association is no effect on outcome."
    return Section(id="associations", title="Risk groups and clinical variables", blocks=blocks, lead=lead)


def _bars(found: Sequence[Mapping[str, Any]], cohort: str, number: int) -> list[Block]:
    panels = [
        BarPanel(title=str(f.get("variable")), bars=bars_of(f), p=exact_p(f), n=int(f.get("n") or 0))
        for f in found
        if bars_of(f)
    ]
    if not panels:
        return []
    caption = f"{cohort_title(cohort)}: share of each level in the risk groups; Fisher's exact test (r × c)."
    return [picture(f"associations_{number:02d}", bar_panels(panels), caption)]


def _association_rows(found: Mapping[str, Any]) -> list[list[Cell]]:
    name = str(found.get("variable"))
    if reason(found):
        return [[name, reason(found), None, None, None, None, None]]
    rows = mappings(found.get("rows"))
    fisher = mapping(found.get("fisher"))
    out: list[list[Cell]] = []
    for i, level in enumerate(dict.fromkeys(str(r.get("level")) for r in rows)):
        cells = {str(r.get("group")): r for r in rows if str(r.get("level")) == level}
        shown = [_share(cells.get(g)) for g in ("low", "high")]
        tests = [
            real(mapping(found.get("chi_square")).get("p")),
            real(fisher.get("p")),
            real(fisher.get("q")),
        ]
        out.append([name if i == 0 else "", level_title(level), *shown, *(tests if i == 0 else ("", "", ""))])
    return out


def _share(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "–"
    share = real(row.get("share"))
    return f"{row.get('n')}" + ("" if share is None else f" ({100 * share:.0f}%)")
