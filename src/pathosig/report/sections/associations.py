"""Section on clinical variables in each risk group, with an alluvial figure."""

from __future__ import annotations

from collections.abc import Sequence

from pathosig.core.words import counted
from pathosig.figures.alluvial import alluvial_plot
from pathosig.figures.outcomes import BarPanel, bar_panels
from pathosig.figures.results import known, p_of
from pathosig.figures.titles import level_title, variable_title
from pathosig.report.cells import listed
from pathosig.report.images import picture
from pathosig.report.material import Material, cohort_title
from pathosig.report.page import Block, Cell, Section, Table, folded
from pathosig.report.sections.outcomes import bars_of
from pathosig.validation.results import Association
from pathosig.validation.values import Counts, NotEstimable


def associations_section(material: Material) -> Section | None:
    """Risk group against every declared variable: one table, and bars for each cohort; None without."""
    rows = () if material.results is None else material.results.associations
    if not rows:
        return None
    cohorts = list(dict.fromkeys(a.cohort for a in rows))
    discovery = "" if material.primary is None else material.primary.discovery
    first = next((c for c in cohorts if c != discovery), cohorts[0])
    blocks: list[Block] = []
    for number, cohort in enumerate(sorted(cohorts, key=lambda c: c != first), start=1):
        chosen = [a for a in rows if a.cohort == cohort]
        inside = [*_bars(chosen, cohort, number), _table(chosen, cohort)]
        blocks += (
            inside
            if cohort == first
            else folded(cohort_title(cohort), inside, small=counted(len(chosen), "variable"))
        )
    blocks += _alluvial(material)
    lead = "Which patients are in each risk group. An association here says nothing about outcome."
    return Section(id="associations", title="Risk groups and clinical variables", blocks=blocks, lead=lead)


def _bars(chosen: Sequence[Association], cohort: str, number: int) -> list[Block]:
    panels = [
        BarPanel(
            title=_name(a.variable),
            bars=bars_of(counts),
            p=None if (test := known(counts.fisher)) is None else test.p,
            n=counts.n,
        )
        for a in chosen
        if (counts := known(a.counts)) is not None and counts.rows
    ]
    if not panels:
        return []
    caption = (
        f"{cohort_title(cohort)}: proportion of each level in the risk groups; Fisher's exact test (r × c)."
    )
    return [picture(f"associations_{number:02d}", bar_panels(panels), caption)]


def _name(variable: str) -> str:
    return variable_title(variable)


def _table(chosen: Sequence[Association], cohort: str) -> Table:
    rows: list[list[Cell]] = []
    for a in chosen:
        if isinstance(a.counts, NotEstimable):
            rows.append([_name(a.variable), a.counts.reason, None, None, None, None, None])
        else:
            rows += _rows(a.variable, a.counts)
    columns = ["Variable", "Level", "Low risk", "High risk", "Chi-square: p", "Fisher: p", "Fisher: q"]
    note = (
        "Patients (proportion of the risk group). Numbers of many values are split at their median. q: Benjamini-Hochberg "
        "within the cohort."
    )
    caption = f"{cohort_title(cohort)}: counts and tests"
    return Table(caption=caption, columns=columns, rows=rows, note=note, folded=True)


def _rows(variable: str, counts: Counts) -> list[list[Cell]]:
    fisher = known(counts.fisher)
    tests: list[Cell] = [p_of(counts.chi_square), *((None, None) if fisher is None else (fisher.p, fisher.q))]
    shown = {
        (r.group, r.level): f"{r.n}" + ("" if r.share is None else f" ({100 * r.share:.0f}%)")
        for r in counts.rows
    }
    return [
        [
            _name(variable) if i == 0 else "",
            level_title(level),
            *(shown.get((g, level), "–") for g in ("low", "high")),
            *(tests if i == 0 else ("", "", "")),
        ]
        for i, level in enumerate(dict.fromkeys(r.level for r in counts.rows))
    ]


def _alluvial(material: Material) -> list[Block]:
    """Risk group against the first declared subgroups that have few categories; nothing without any."""
    table = material.patients
    groups = {r.patient: r.group for r in material.scores if r.group in ("low", "high")}
    if table is None or not groups:
        return []
    rows = table[table["patient_id"].isin(groups)]
    columns = [c for c in material.columns.subgroups if c in rows and 2 <= rows[c].nunique() <= 8]
    columns = sorted(columns, key=lambda c: "type" not in c.lower())[:3]  # subtypes first
    if not columns or len(rows) < 5:
        return []
    rows = rows.dropna(subset=columns)
    patients = [
        (groups[row["patient_id"]], *(str(row[c]) for c in columns))
        for row in rows[["patient_id", *columns]].to_dict("records")
    ]
    names = [_name(c) for c in columns]
    figure = alluvial_plot(["Risk group", *names], patients, title=f"Risk group, {', '.join(names).lower()}")
    caption = f"Risk group and {listed([c.replace('_', ' ') for c in columns])} of {counted(len(patients), 'patient')}, all cohorts."
    return folded(
        "Patients across the variables", [picture("alluvial", figure, caption)], small="alluvial figure"
    )
