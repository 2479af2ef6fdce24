"""The order of the report: which sections there are, and where the checklist finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathosig.report.checklist import checklist_section
from pathosig.report.material import Material, cohort_title, endpoint_title
from pathosig.report.page import Page, Section, Tiles
from pathosig.report.patients import data_section, primary_text, profiles_section, signature_section
from pathosig.report.provenance import (
    failures_section,
    limitations_section,
    planted_section,
    provenance_section,
    warnings_section,
)
from pathosig.report.tissue import atlas_section, flow_section, health_section, maps_section, tissue_section
from pathosig.report.validation import effects_by_column, headline, places_of, validation_sections

if TYPE_CHECKING:
    from pathosig.report.stage import ReportSpec


def compose(material: Material, spec: ReportSpec) -> Page:
    """All sections that the study can fill, in reading order."""
    found = [
        _summary(material),
        planted_section(material),
        flow_section(material),
        data_section(material),
        tissue_section(material),
        atlas_section(material, effects_by_column(material)),
        health_section(material),
        maps_section(material, at_most=spec.max_maps),
        profiles_section(material),
        signature_section(material),
        *validation_sections(material),
        warnings_section(material),
        failures_section(material),
        limitations_section(material),
        provenance_section(material),
    ]
    sections = [s for s in found if s is not None]
    places = (
        {s.id: s.id for s in sections} | {"primary": "summary", "endpoints": "data"} | places_of(material)
    )
    sections.insert(-1, checklist_section(sections, places))
    title = spec.title or (f"Study {material.name}" if material.name else "Tissue phenotypes and survival")
    footer = [
        "Made by pathosig, an independent implementation; research use only, not for clinical decisions.",
        "This file makes no request to any host and runs no script. Figures lie beside it in figures/.",
    ]
    return Page(title=title, subtitle=_subtitle(material), sections=sections, footer=footer)


def _subtitle(material: Material) -> str:
    parts = []
    if material.patients is not None:
        parts.append(f"{len(material.patients):,} patients in {len(material.cohorts)} cohorts")
    if material.slides:
        parts.append(f"{len(material.slides):,} slides and cores")
    if material.endpoints:
        parts.append("endpoints " + ", ".join(endpoint_title(e).lower() for e in material.endpoints))
    return "; ".join(parts)


def _summary(material: Material) -> Section:
    """The main numbers and the primary analysis."""
    tiles = headline(material)
    if not tiles:
        for cohort in material.cohorts[:4]:
            endpoint = str(material.primary.get("endpoint", "")) or next(iter(material.endpoints), "")
            n, events = material.events.get((cohort, endpoint), (0, 0))
            tiles.append(
                (cohort_title(cohort), f"{n:,}", f"patients, {events:,} events ({endpoint.upper()})")
            )
    lead = f"Primary analysis: {primary_text(material)}"
    return Section(id="summary", title="Summary", blocks=[Tiles(items=tiles)] if tiles else [], lead=lead)
