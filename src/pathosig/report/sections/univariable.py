"""Section on the univariable screen, the selection and the cut-off."""

from __future__ import annotations

import math

from pathosig.core.words import counted
from pathosig.figures.results import known
from pathosig.figures.titles import selection_words
from pathosig.figures.volcano import VolcanoPoint, volcano_plot
from pathosig.report.cells import feature_name, feature_title, number_text, ratio_cell, units_of
from pathosig.report.images import picture
from pathosig.report.material import Candidate, Material
from pathosig.report.page import Block, Cell, Facts, Section, Table
from pathosig.report.rendering import without_empty


def univariable_section(material: Material) -> Section | None:
    """All univariable results, how the signature was selected and how its cut-off was set; None without."""
    rows = material.candidates
    if not rows:
        return None
    hidden = complements(material)
    points = [
        VolcanoPoint(
            name=feature_name(r.feature),
            log_hr=math.log(r.hr) if r.hr is not None and r.hr > 0 else math.nan,
            q=math.nan if r.q is None else r.q,
            selected=r.selected,
        )
        for r in rows
        if r.feature not in hidden
    ]
    caption = (
        "Every candidate: log hazard ratio per discovery SD against the Benjamini-Hochberg q-value. Outlined and in bold: "
        "selected for the signature."
    )
    if hidden:
        caption += (
            f" Not drawn: {counted(len(hidden), 'node')} that {'is' if len(hidden) == 1 else 'are'} the complement of a "
            "selected one and hence its mirror image."
        )
    figure = volcano_plot(points, title="Univariable screen")
    blocks: list[Block] = [picture("volcano", figure, caption, wide=False)]
    blocks += _selection(material)
    blocks.append(_table(material))
    lead = f"{counted(len(rows), 'candidate')}, fixed before survival was read, in the discovery cohort."
    test = None if material.results is None else known(material.results.candidates_test)
    lead += "" if test is None else f" {test.sentence()}"
    return Section(id="univariable", title="Univariable screen and selection", blocks=blocks, lead=lead)


def complements(material: Material) -> set[str]:
    """Candidates that hold all HPCs but those of a selected one: one minus it, so no result of their own."""
    if material.phenotypes is None:
        return set()
    everything = set(range(material.phenotypes.k)) - material.phenotypes.artefacts
    selected = [set(r.leaves) for r in material.candidates if r.selected and r.leaves]
    return {
        r.feature
        for r in material.candidates
        if not r.selected and r.leaves and any(set(r.leaves) == everything - inside for inside in selected)
    }


def _table(material: Material) -> Table:
    def by_p(r: Candidate) -> tuple[float, str]:
        return (2.0 if r.p is None else r.p, r.feature)

    cells: list[list[Cell]] = [
        [
            feature_title(material, r.feature),
            r.kind,
            ratio_cell(r.hr, r.lower, r.upper),
            r.p,
            r.q,
            "yes" if r.selected else "",
            r.frequency,
            r.steadiness,
            r.prevalence,
        ]
        for r in sorted(material.candidates, key=by_p)
    ]
    columns = ["Candidate", "Kind", "HR per SD (95% CI)", "p", "q", "Selected"]
    columns += ["Selection frequency", "Steadiness", "Prevalence"]
    return without_empty(
        Table(caption="All univariable results", columns=columns, rows=cells, folded=len(cells) > 12)
    )


def _selection(material: Material) -> list[Block]:
    results = material.results
    if results is None:
        return []
    facts: list[tuple[str, str]] = []
    s = results.selection
    if s is not None:
        settings = (
            ("Candidates kept per half-sample (q)", s.q),
            ("Threshold of the selection frequency", s.threshold),
            ("Half-samples", s.n_subsamples),
            ("Expected false selections allowed", s.expected_false),
        )
        facts = [("Selection", selection_words(s.method, units_of(material)))]
        facts += [(label, f"{v:.4g}") for label, v in settings if v is not None]
        facts += [("Bound used", s.bound)] if s.bound else []
    c = results.cutoff
    if c is not None:
        facts += [("Cut-off rule", c.rule), ("Cut-off", number_text(c.value, 3))]
        if c.bootstrap is not None:
            span = f"{number_text(c.bootstrap.lower, 3)} to {number_text(c.bootstrap.upper, 3)}"
            facts.append(("Cut-off over bootstrap samples", span))
        for p, label in (
            (c.p_naive, "p, uncorrected (not to be used)"),
            (c.p_corrected, "p, corrected for the search"),
        ):
            facts += [] if p is None else [(label, f"{p:.3g}")]
    return [Facts(rows=facts)] if facts else []
