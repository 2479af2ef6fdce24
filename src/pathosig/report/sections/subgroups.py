"""Section on subgroups: the effect of the score in each, with its interaction test."""

from __future__ import annotations

from pathosig.figures.forest import ForestRow, forest_plot
from pathosig.figures.results import known, subgroup_row
from pathosig.figures.style import p_text
from pathosig.figures.titles import variable_title
from pathosig.report.cells import analysis_name, is_main, numbered
from pathosig.report.images import picture
from pathosig.report.material import Material
from pathosig.report.page import Block, Section, folded


def subgroup_section(material: Material) -> Section | None:
    """Effect of the score in every subgroup with its interaction test; None when none is declared."""
    blocks: list[Block] = []
    for number, a in numbered(material):
        rows: list[ForestRow] = []
        for group in known(a.subgroups) or ():
            q = "" if group.q_interaction is None else f", q = {group.q_interaction:.2f}"
            text = f"{variable_title(group.variable)}: interaction {p_text(group.p_interaction)}{q}"
            rows.append(ForestRow(label=text, kind="heading"))
            rows += [subgroup_row(r) for r in group.rows]
        if rows:
            name = analysis_name(a)
            caption = f"{name}: hazard ratio per discovery SD in every subgroup; q over the declared family."
            drawn = picture(f"subgroups_{number:02d}", forest_plot(rows, title=name), caption)
            blocks += [drawn] if is_main(material, a) else folded(name, [drawn])
    if not blocks:
        return None
    lead = (
        "All declared subgroups are shown. A difference between them is claimed only by its interaction test."
    )
    return Section(id="subgroups", title="Subgroups", blocks=blocks, lead=lead)
