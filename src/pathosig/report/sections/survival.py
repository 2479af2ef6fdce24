"""Sections on survival by risk group, and why there is no validation where there is none."""

from __future__ import annotations

from collections.abc import Sequence

from pathosig.figures.results import analysis_title, km_data, known, p_of
from pathosig.figures.style import p_text
from pathosig.figures.titles import endpoint_title
from pathosig.report.cells import (
    analyses_of,
    analysis_name,
    estimate_words,
    is_main,
    is_primary_endpoint,
    per_cent_cell,
)
from pathosig.report.images import km_pictures
from pathosig.report.material import Material, cohort_title
from pathosig.report.page import Block, Cell, Note, Section, Table, folded
from pathosig.report.sections.summary import IN_SUMMARY
from pathosig.validation.analysis import Analysis
from pathosig.validation.values import NotEstimable


def not_run_section(material: Material) -> Section | None:
    """Why there is no validation; None when there is one."""
    if analyses_of(material):
        return None
    for record in material.of("validate"):
        if record.error:
            note = Note(title="No validation.", text=str(record.error["message"]), level="warning")
            return Section(id="validation", title="Validation", blocks=[note])
    return None


def survival_section(material: Material) -> Section | None:
    """Kaplan-Meier curves, one group of panels per endpoint; None without an analysis."""
    analyses = analyses_of(material)
    if not analyses:
        return None
    blocks: list[Block] = [_table(analyses)]
    in_summary = sum(is_main(material, a) for a in analyses) <= IN_SUMMARY
    for endpoint in dict.fromkeys(a.endpoint for a in analyses):
        chosen = [a for a in analyses if a.endpoint == endpoint]
        inside = _curves(endpoint, chosen)
        if is_primary_endpoint(material, endpoint) and not in_summary:
            blocks += inside
        else:
            blocks += folded(endpoint_title(endpoint), inside, small="Kaplan-Meier curves of every cohort")
    blocks += _shares(material)
    lead = "The frozen signature and its locked cut-off were applied unchanged. Results in discovery are apparent and therefore optimistic."
    if any(a.role == "cross-validated" for a in analyses):
        lead = "Curves of the cross-validated groups: internal validation."
    lead += " The primary curves are in the chapter Answer." if in_summary else ""
    return Section(id="survival", title="Survival by risk group", blocks=blocks, lead=lead)


def _table(analyses: Sequence[Analysis]) -> Table:
    rows: list[list[Cell]] = [
        [
            analysis_title(a),
            endpoint_title(a.endpoint),
            a.n,
            a.events,
            estimate_words(a.follow_up, digits=1),
            p_text(p_of(a.logrank)),
            "primary" if a.primary else "sensitivity",
        ]
        for a in analyses
    ]
    units = {a.unit for a in analyses}
    unit = f", {next(iter(units))}" if len(units) == 1 else ""
    columns = ["Cohort", "Endpoint", "n", "Events", f"Median follow-up (95% CI){unit}", "Log-rank", "Role"]
    note = "Follow-up by reverse Kaplan-Meier. Risk groups are shown for illustration; the primary effect is the hazard ratio per SD."
    return Table(caption="Analyses", columns=columns, rows=rows, note=note)


def _curves(endpoint: str, chosen: Sequence[Analysis]) -> list[Block]:
    """Kaplan-Meier panels of one endpoint, patients the model has not seen first."""
    panels = [(km_data(a), analysis_name(a)) for a in chosen if known(a.km) is not None]
    caption = "{title} by risk group. Bands: 95% CI. Ticks: censored. The table counts patients at risk and events so far."
    blocks = km_pictures(f"km_{endpoint}", panels, caption)
    blocks += [
        Note(text=f"{analysis_name(a)}: {a.km.reason}", level="warning")
        for a in chosen
        if isinstance(a.km, NotEstimable)
    ]
    return blocks


def _shares(material: Material) -> list[Block]:
    if material.results is None or not material.results.cohorts:
        return []
    rows: list[list[Cell]] = [
        [
            cohort_title(c.name),
            c.role,
            c.n_patients,
            c.n_assessable,
            per_cent_cell(c.share_high),
            c.tiles.median or None,
        ]
        for c in material.results.cohorts
    ]
    columns = ["Cohort", "Role", "Patients", "Assessable", "High risk (95% CI)", "Tiles per patient, median"]
    return [Table(caption="Cohorts under the locked cut-off", columns=columns, rows=rows)]
