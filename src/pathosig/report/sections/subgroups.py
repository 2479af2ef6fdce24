"""Section on subgroups: the effect of the score in each, with its interaction test, and an alluvial."""

from __future__ import annotations

from collections.abc import Sequence

from pathosig.figures.alluvial import alluvial_plot
from pathosig.figures.forest import ForestRow, forest_plot
from pathosig.figures.results import real, subgroup_row, usable
from pathosig.figures.style import p_text
from pathosig.report.cells import analysis_name, is_main, numbered
from pathosig.report.images import picture
from pathosig.report.material import Material
from pathosig.report.page import Block, Section, folded


def subgroup_section(material: Material) -> Section | None:
    """Effect of the score in every subgroup with its interaction test; None when none is declared."""
    blocks: list[Block] = []
    for number, a in numbered(material):
        found = a.get("subgroups")
        if not isinstance(found, Sequence) or not found:
            continue
        rows: list[ForestRow] = []
        for group in found:
            if not usable(group):
                continue
            p, q = real(group.get("p_interaction")), real(group.get("q_interaction"))
            text = f"{group.get('variable')}: interaction {p_text(p)}" + (
                "" if q is None else f", q = {q:.2f}"
            )
            rows.append(ForestRow(label=text, kind="heading"))
            rows += [subgroup_row(r) for r in group.get("rows") or ()]
        if rows:
            caption = f"{analysis_name(a)}: hazard ratio per discovery SD in every subgroup; q over the declared family."
            drawn = picture(f"subgroups_{number:02d}", forest_plot(rows, title=analysis_name(a)), caption)
            blocks += [drawn] if is_main(material, a) else folded(analysis_name(a), [drawn])
    moved = _alluvial(material) if blocks else None
    blocks += [moved] if moved is not None else []
    if not blocks:
        return None
    lead = (
        "All declared subgroups are shown. A difference between them is claimed only by its interaction test."
    )
    return Section(id="subgroups", title="Subgroups", blocks=blocks, lead=lead)


def _alluvial(material: Material) -> Block | None:
    """Risk group against the first two declared subgroups that have few categories; None without any."""
    table = material.patients
    declared = material.columns.subgroups
    groups = {r.patient: r.group for r in material.scores if r.group in ("low", "high")}
    if table is None or not groups:
        return None
    known = table[table["patient_id"].isin(groups)].copy()
    columns = [c for c in declared if c in known and 2 <= known[c].nunique() <= 8]
    columns = sorted(columns, key=lambda c: "type" not in c.lower())[:3]  # subtypes first
    if not columns or len(known) < 5:
        return None
    known = known.dropna(subset=columns)
    patients = [
        (groups[row["patient_id"]], *(str(row[c]) for c in columns))
        for row in known[["patient_id", *columns]].to_dict("records")
    ]
    figure = alluvial_plot(["Risk group", *columns], patients, title="Risk group, " + ", ".join(columns))
    return picture(
        "alluvial",
        figure,
        f"Risk group and {' and '.join(columns)} of {len(patients):,} patients, all cohorts.",
    )
