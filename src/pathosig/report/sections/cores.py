"""Section on the cores of each patient: their scores, and whether they agree."""

from __future__ import annotations

import math
from collections import defaultdict

from pathosig.core.words import counted
from pathosig.figures.cores import PatientCores, cores_plot, score_limits
from pathosig.report.images import picture
from pathosig.report.material import CoreScore, Material, cohort_title
from pathosig.report.page import Block, Cell, Section, Table, folded

HETEROGENEOUS = "heterogeneous"


def cores_section(material: Material) -> Section | None:
    """Agreement of cores within patients; None without several cores."""
    rates = material.core_agreement
    if all(c.single == c.n for c in rates.values()):
        return None
    rows: list[list[Cell]] = [
        [cohort_title(name), c.n, c.single, c.agree, c.heterogeneous, c.observed_rate, c.expected_rate]
        for name, c in sorted(rates.items())
    ]
    columns = [
        "Cohort",
        "Patients",
        "One core",
        "Agree",
        "Heterogeneous",
        "Observed rate",
        "Expected if homogeneous",
    ]
    blocks: list[Block] = [Table(caption="Agreement of cores", columns=columns, rows=rows)]
    cores: dict[str, list[CoreScore]] = defaultdict(list)
    for core in material.core_scores:
        cores[core.patient].append(core)
    if material.signature is not None and any(len(c) > 1 for c in cores.values()):
        blocks += _pictures(material, cores, material.signature.cutoff)
        blocks += _tables(material, cores)
    lead = (
        "A patient is heterogeneous only when cores lie on both sides of the cut-off and disagree by more than sampling within "
        "them explains; the score of all tiles together decides the group."
    )
    return Section(id="cores", title="Agreement of cores", blocks=blocks, lead=lead)


def _pictures(material: Material, cores: dict[str, list[CoreScore]], cutoff: float) -> list[Block]:
    """A figure per cohort, each narrow enough for a telephone."""
    cohorts = {
        name: _patients(material, name, cores) for name in material.cohorts if name in material.core_agreement
    }
    limits = score_limits(cohorts.values(), cutoff)
    return [
        picture(
            "cores" if len(cohorts) == 1 else f"cores_{number}",
            cores_plot(cohort_title(name), patients, cutoff=cutoff, limits=limits),
            f"{cohort_title(name)}: scores of single cores or slides, a column per patient with several, in the order of the "
            "patient's score. Orange: above the cut-off (dashed); blue: below. A thick line joins the cores of a heterogeneous "
            "patient, a thin one those of any other.",
            wide=False,
        )
        for number, (name, patients) in enumerate(cohorts.items(), start=1)
    ]


def _patients(material: Material, cohort: str, cores: dict[str, list[CoreScore]]) -> list[PatientCores]:
    return [
        PatientCores(
            score=p.score,
            cores=tuple(c.score for c in cores[p.patient] if math.isfinite(c.score)),
            heterogeneous=p.agreement == HETEROGENEOUS,
        )
        for p in material.scores
        if p.cohort == cohort
    ]


def _tables(material: Material, cores: dict[str, list[CoreScore]]) -> list[Block]:
    """Every core of the heterogeneous patients, and of all others behind a line."""
    columns = ["Patient", "Cohort", "Group", "Score", "Core", "Tiles of the core", "Its score", "Its group"]
    split: list[list[list[Cell]]] = []
    others: list[list[list[Cell]]] = []
    for patient in sorted(material.scores, key=lambda p: (p.cohort, p.patient)):
        several = cores[patient.patient]
        if len(several) < 2:
            continue
        rows: list[list[Cell]] = [
            [
                patient.patient,
                cohort_title(patient.cohort),
                patient.group,
                _finite(patient.score),
                c.core,
                c.tiles,
                _finite(c.score),
                c.group,
            ]
            for c in sorted(several, key=lambda c: c.core)
        ]
        (split if patient.agreement == HETEROGENEOUS else others).append(rows)
    blocks: list[Block] = []
    for title, patients in (
        ("Heterogeneous patients, core by core", split),
        ("All other patients, core by core", others),
    ):
        if patients:
            table = Table(caption=title, columns=columns, rows=[row for rows in patients for row in rows])
            blocks += folded(title, [table], small=counted(len(patients), "patient"))
    return blocks


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
