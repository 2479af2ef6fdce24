"""The order of the report: which sections there are, and where the checklist finds them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pathosig.report.material import Material, endpoint_title
from pathosig.report.page import Page, Section
from pathosig.report.sections.added import added_value_section
from pathosig.report.sections.atlas import atlas_section
from pathosig.report.sections.audits import audits_section
from pathosig.report.sections.checklist import checklist_section
from pathosig.report.sections.checks import (
    cores_section,
    hazards_section,
    internal_section,
    sample_size_section,
)
from pathosig.report.sections.equation import signature_section
from pathosig.report.sections.models import models_section
from pathosig.report.sections.outcomes import associations_section, outcomes_section
from pathosig.report.sections.patients import data_section, profiles_section, signature_leaves
from pathosig.report.sections.performance import performance_section
from pathosig.report.sections.provenance import (
    failures_section,
    limitations_section,
    planted_section,
    provenance_section,
    warnings_section,
)
from pathosig.report.sections.subgroups import subgroup_section
from pathosig.report.sections.summary import summary_section
from pathosig.report.sections.tissue import flow_section, health_section, maps_section, tissue_section
from pathosig.report.sections.treatment import treatment_section
from pathosig.report.sections.validation import (
    effects_by_column,
    not_run_section,
    places_of,
    survival_section,
    table1_section,
    univariable_section,
)

if TYPE_CHECKING:
    from pathosig.report.spec import ReportSpec


def compose(material: Material, spec: ReportSpec) -> Page:
    """All sections that the study can fill, in reading order."""
    parts: dict[str, list[Section | None]] = {
        "Overview": [summary_section(material), planted_section(material)],
        "Patients": [flow_section(material), data_section(material), table1_section(material)],
        "Results": [
            not_run_section(material),
            internal_section(material),
            survival_section(material),
            models_section(material),
            performance_section(material),
            added_value_section(material),
        ],
        "Signature": [
            signature_section(material),
            profiles_section(material),
            univariable_section(material),
        ],
        "Clinic": [
            outcomes_section(material),
            subgroup_section(material),
            associations_section(material),
            treatment_section(material),
        ],
        "Tissue": [
            tissue_section(material),
            atlas_section(material, effects_by_column(material), signature_leaves(material)),
            maps_section(material, at_most=spec.max_maps),
            health_section(material),
            cores_section(material),
        ],
        "Trust": [
            audits_section(material),
            hazards_section(material),
            sample_size_section(material),
            warnings_section(material),
            failures_section(material),
            limitations_section(material),
        ],
        "Record": [provenance_section(material)],
    }
    sections = [replace(s, part=name) for name, found in parts.items() for s in found if s is not None]
    places = (
        {s.id: s.id for s in sections} | {"primary": "summary", "endpoints": "data"} | places_of(material)
    )
    sections.insert(-1, replace(checklist_section(sections, places), part="Record"))
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
