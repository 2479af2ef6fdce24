"""Section that names, for each figure and table of the published microarray study, where this report has its counterpart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pathosig.report.material import Material
from pathosig.report.page import Cell, Section, Table, Text

PAPER = (
    "Zhang Y et al. Histopathology images-based deep learning prediction of prognosis and therapeutic response in small cell "
    "lung cancer. npj Digital Medicine 2024"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Counterpart:
    """One figure or table of the published study, as its abstract and scripts describe it.

    Attributes
    ----------
    panel
        The claim planted behind it in a simulated study (see `core.planted_claims`).
    published
        What it shows.
    sections
        Ids of the sections of the report that show the same, the best one first.
    better
        What these sections add to it.
    """

    panel: str
    published: str
    sections: tuple[str, ...]
    better: str


COUNTERPARTS = tuple(
    Counterpart(panel=panel, published=published, sections=tuple(sections.split()), better=better)
    for panel, published, sections, better in (
        (
            "cores", "Microarray cores, and tiles on a grid of 23 × 23", "tissue flow",
            "Cores are located on the scan with row and column; missing and poor ones are listed; tiles of physical size by "
            "area of tissue instead of mean darkness; every exclusion is counted",
        ),
        (
            "phenotypes", "Fifty histomorphological phenotype clusters", "health atlas",
            "Consensus of many runs with a tree; stability of each cluster, and a mark on clusters that come from one slide or patient",
        ),
        (
            "montage", "Montage of tiles of each cluster", "atlas drivers",
            "Scale bars; tiles of different patients; names given by pathologists, with their agreement",
        ),
        (
            "maps", "Cluster map on the core", "maps",
            "For whole slides too; interactive in the viewer, with confidence and distance to training",
        ),
        (
            "proportions", "Vectors of cluster proportions of each patient", "profiles",
            "Tree nodes beside leaves; artefacts are left out before proportions are scaled to sum to one",
        ),
        (
            "prognostic", "The two prognostic clusters and the equation of the score", "signature univariable drivers",
            "Stability selection with a bound on false selections; baseline survival, so that a patient's risk can "
            "be computed",
        ),
        (
            "os", "Overall survival of low and high risk in every cohort", "survival performance",
            "The continuous effect comes first; discrimination, calibration and error beside the curves; the cut-off is frozen",
        ),
        (
            "dfs", "Disease-free survival of low and high risk in every cohort", "survival outcomes",
            "As for overall survival",
        ),
        (
            "recurrence", "Recurrence by risk group", "outcomes",
            "Cumulative incidence with death as a competing event, cause-specific and Fine-Gray models",
        ),
        (
            "heterogeneity", "Low, high and heterogeneous patients by their cores", "cores",
            "Heterogeneous only where cores differ by more than sampling within them explains; the expected rate is "
            "printed, and nobody is left out of the main analysis",
        ),
        (
            "forests", "Uni- and multivariable forests", "models added-value",
            "Missing covariates are imputed; the gain over a clinical model is measured in validation",
        ),
        (
            "strata", "Strata by stage and molecular subtype", "subgroups",
            "Tests of interaction, adjusted for their number",
        ),
        (
            "subtypes", "Alluvial diagram of risk groups and molecular subtypes", "associations",
            "Effect sizes beside the picture",
        ),
        (
            "groups", "Chi-square table of risk groups and clinical variables", "associations characteristics",
            "Exact tests where counts are small; patients without a value are counted",
        ),
        (
            "adjuvant", "Postoperative chemoradiotherapy by risk group", "treatment",
            "Start of treatment declared (no immortal time), weighting, test of interaction, E-value, and a verdict "
            "in words",
        ),
        (
            "neoadjuvant", "Preoperative chemoradiotherapy by risk group", "treatment",
            "As for postoperative treatment",
        ),
    )
)  # fmt: skip


def counterparts_section(material: Material, titles: Mapping[str, str]) -> Section | None:
    """The table of counterparts; None for a study without cores.

    Parameters
    ----------
    material
        What the study holds.
    titles
        Sections that this report has: id -> title.
    """
    if not any(s.kind == "core" for s in material.slides):
        return None
    claims = {claim.panel: claim for claim in material.claims}
    rows: list[list[Cell]] = []
    for item in COUNTERPARTS:
        here = [titles[s] for s in item.sections if s in titles]
        row: list[Cell] = [item.published, ", ".join(here) or "not in this report", item.better]
        if claims:
            claim = claims.get(item.panel)
            row += [claim.planted, claim.found, claim.outcome] if claim else [None, None, None]
        rows.append(row)
    columns = ["Published", "Sections of this report", "What they add"]
    blocks: list[Text | Table] = []
    lead = f"Each figure and table of the published microarray study ({PAPER}) and where this report shows the same."
    if claims:
        columns += ["Planted", "Found", "Outcome"]
        right = sum(c.outcome == "found" for c in material.claims)
        blocks.append(
            Text(
                text=f"This study was simulated: {right} of {len(material.claims)} planted claims were found. The method never "
                "saw what was planted."
            )
        )
    blocks.append(Table(caption="Counterparts of the published study", columns=columns, rows=rows))
    return Section(id="counterparts", title="Counterparts of the published study", blocks=blocks, lead=lead)
