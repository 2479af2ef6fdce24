"""The order of the report: six chapters and an appendix, and where the checklist finds things."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathosig.core.words import counted
from pathosig.figures.results import known
from pathosig.report.cells import listed
from pathosig.report.material import Material, endpoint_title
from pathosig.report.page import Chapter, Page, Section
from pathosig.report.sections.added import added_value_section
from pathosig.report.sections.associations import associations_section
from pathosig.report.sections.atlas import atlas_section
from pathosig.report.sections.audits import audits_section
from pathosig.report.sections.characteristics import table1_section
from pathosig.report.sections.checklist import checklist_section
from pathosig.report.sections.checks import (
    hazards_section,
    internal_section,
    sample_size_section,
)
from pathosig.report.sections.codebook import health_section
from pathosig.report.sections.cores import cores_section
from pathosig.report.sections.counterparts import counterparts_section
from pathosig.report.sections.drivers import drivers_section
from pathosig.report.sections.equation import signature_section
from pathosig.report.sections.findings import warnings_section
from pathosig.report.sections.flow import flow_section
from pathosig.report.sections.maps import maps_section
from pathosig.report.sections.methods import methods_section
from pathosig.report.sections.models import models_section
from pathosig.report.sections.nomogram import nomogram_section
from pathosig.report.sections.outcomes import outcomes_section
from pathosig.report.sections.patients import data_section
from pathosig.report.sections.performance import performance_section
from pathosig.report.sections.profiles import profiles_section
from pathosig.report.sections.provenance import (
    failures_section,
    limitations_section,
    planted_section,
    provenance_section,
)
from pathosig.report.sections.subgroups import subgroup_section
from pathosig.report.sections.summary import summary_section
from pathosig.report.sections.survival import not_run_section, survival_section
from pathosig.report.sections.tissue import tissue_section
from pathosig.report.sections.treatment import treatment_section
from pathosig.report.sections.univariable import univariable_section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pathosig.report.spec import ReportSpec


def compose(material: Material, spec: ReportSpec) -> Page:
    """All chapters that the study can fill, in reading order."""
    chapters = [
        _chapter(
            "answer", "Answer", "Does the signature hold, and what drives it?", [summary_section(material)]
        ),
        _chapter(
            "evidence",
            "Evidence",
            "How well does it work in patients it was not fitted on?",
            [
                not_run_section(material),
                survival_section(material),
                models_section(material),
                performance_section(material),
                added_value_section(material),
                internal_section(material),
            ],
        ),
        _chapter(
            "tissue",
            "Tissue",
            "What does it look at?",
            [
                drivers_section(material),
                maps_section(material, at_most=spec.max_maps),
                cores_section(material),
            ],
        ),
        _chapter(
            "score",
            "Score",
            "How is it computed, and how was it chosen?",
            [
                signature_section(material),
                nomogram_section(material),
                profiles_section(material),
                univariable_section(material),
            ],
        ),
        _chapter(
            "patients",
            "Patients",
            "In whom, and with which treatment?",
            [
                flow_section(material),
                data_section(material),
                table1_section(material),
                outcomes_section(material),
                subgroup_section(material),
                associations_section(material),
                treatment_section(material),
            ],
        ),
        _chapter(
            "trust",
            "Trust",
            "What could be wrong?",
            [
                methods_section(material),
                audits_section(material),
                hazards_section(material),
                sample_size_section(material),
                warnings_section(material),
                failures_section(material),
                limitations_section(material),
            ],
        ),
    ]
    appendix = [
        atlas_section(material),
        health_section(material),
        tissue_section(material),
        planted_section(material),
        provenance_section(material),
    ]
    sections = [s for c in chapters for s in c.sections] + [s for s in appendix if s is not None]
    places = (
        {s.id: s.id for s in sections} | {"primary": "summary", "endpoints": "data"} | places_of(material)
    )
    appendix.append(counterparts_section(material, {s.id: s.title for s in sections}))
    appendix.append(checklist_section(sections, places))
    last = _chapter("appendix", "Appendix", "Everything else, for reference.", appendix, appendix=True)
    title = spec.title or material.name or "Tissue phenotypes and survival"
    footer = [
        "Made by pathosig, an independent implementation; research use only, not for clinical decisions.",
        "This file makes no request to any host and runs no script. The figures are also in the folder figures of the study.",
    ]
    filled = [c for c in [*chapters, last] if c.sections]
    return Page(title=title, subtitle=_subtitle(material), chapters=filled, footer=footer)


def _chapter(
    name: str, title: str, question: str, sections: Sequence[Section | None], *, appendix: bool = False
) -> Chapter:
    there = [s for s in sections if s is not None]
    return Chapter(id=f"chapter-{name}", title=title, question=question, sections=there, appendix=appendix)


def _subtitle(material: Material) -> str:
    parts = []
    if material.patients is not None:
        patients, cohorts = (
            counted(len(material.patients), "patient"),
            counted(len(material.cohorts), "cohort"),
        )
        parts.append(f"{patients} in {cohorts}")
    cores = sum(s.kind == "core" for s in material.slides)
    counts = [(len(material.slides) - cores, "slide"), (cores, "core")]
    parts += [counted(n, word) for n, word in counts if n]
    if material.endpoints:
        names = [endpoint_title(e).lower() for e in material.endpoints]
        parts.append(f"{'endpoint' if len(names) == 1 else 'endpoints'} {listed(names)}")
    return "; ".join(parts)


def places_of(material: Material) -> dict[str, str]:
    """Topics of the checklist -> the sections of the validation that meet them."""
    results = material.results
    if results is None:
        return {}
    places = {}
    if any(a.role == "validation" for a in results.analyses):
        places["external"] = "survival"
    if any(known(a.competing) is not None for a in results.analyses):
        places["competing"] = "outcomes"
    declared = {results.roles.sex, results.roles.age, results.roles.site} - {None}
    shown = {s.variable for a in results.analyses for s in known(a.subgroups) or ()}
    if declared & shown:
        places["fairness"] = "subgroups"
    return places
