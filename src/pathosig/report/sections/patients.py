"""Section on patients: endpoints, cohorts, covariates and how much is missing."""

from __future__ import annotations

from pathosig.figures.titles import sentence_case, words_of
from pathosig.report.cells import listed
from pathosig.report.material import Material, cohort_title, endpoint_title
from pathosig.report.page import Block, Cell, Section, Table


def data_section(material: Material) -> Section | None:
    """Endpoints, cohorts, covariates and how much is missing; None without a patient table."""
    table = material.patients
    if table is None:
        return None
    rows: list[list[Cell]] = []
    for name, endpoint in material.endpoints.items():
        for cohort in material.cohorts:
            n, events = material.events.get((cohort, name), (0, 0))
            total = int((table["cohort"] == cohort).sum())
            rows.append(
                [endpoint_title(name), cohort_title(cohort), total, n, total - n, events, endpoint.unit]
            )
    columns = ["Endpoint", "Cohort", "Patients", "With outcome", "Outcome missing", "Events", "Unit"]
    blocks: list[Block] = [Table(caption="Endpoints", columns=columns, rows=rows)]
    skip = {"patient_id", "cohort"} | {
        c for e in material.endpoints.values() for c in (e.time, e.event, e.entry) if c
    }
    missing: list[list[Cell]] = [
        [
            sentence_case(words_of(c)),
            int(table[c].isna().sum() + (table[c].astype(str) == "").sum()),
            len(table),
        ]
        for c in table.columns
        if c not in skip
    ]
    if missing:
        columns = ["Column", "Missing", "Patients"]
        blocks.append(Table(caption="Clinical columns", columns=columns, rows=missing, folded=True))
    lead = (
        "Time zero is the day from which the time columns of patients.csv count. "
        f"Primary analysis: {primary_text(material)}"
    )
    return Section(id="data", title="Patients and endpoints", blocks=blocks, lead=lead)


def primary_text(material: Material) -> str:
    """The one primary analysis in a sentence."""
    p = material.primary
    if p is None:
        return "study.toml declares none."
    text = f"{endpoint_title(p.endpoint).lower()}, with models fitted in {cohort_title(p.discovery)}"
    text += f"; covariates: {listed([words_of(c) for c in p.covariates])}" if p.covariates else ""
    text += f"; treatment: {words_of(p.treatment)}" if p.treatment else ""
    return text + ". All other analyses are sensitivity analyses."
