"""Section with the characteristics of patients (Table 1)."""

from __future__ import annotations

import re

from pathosig.figures.titles import level_title, risk_label, sentence_case
from pathosig.report.material import Material, cohort_title
from pathosig.report.page import Block, Cell, Section, Table
from pathosig.validation.results import Table1


def table1_section(material: Material) -> Section | None:
    """Characteristics by cohort and by risk group; None without them."""
    results = material.results
    if results is None:
        return None
    blocks: list[Block] = []
    if results.table1.rows:
        blocks.append(_table1(results.table1, "Characteristics by cohort"))
    for cohort, table in results.table1_groups.items():
        if table.rows:
            caption = f"Characteristics by risk group, {cohort_title(cohort)}"
            blocks.append(_table1(table, caption, folded=True))
    missing: list[list[Cell]] = [
        [cohort_title(m.cohort), m.variable, m.missing, m.n] for m in results.missing if m.missing
    ]
    if missing:
        columns = ["Cohort", "Variable", "Missing", "Patients"]
        blocks.append(Table(caption="Missing values", columns=columns, rows=missing, folded=True))
    return Section(id="characteristics", title="Characteristics", blocks=blocks) if blocks else None


def _table1(table: Table1, caption: str, *, folded: bool = False) -> Table:
    rows: list[list[Cell]] = []
    for row in table.rows:
        name = sentence_case(row.variable.replace("_", " "))
        label = f"{name}: {level_title(row.level)}" if row.level else name
        p = "" if row.p is None else "<0.001" if row.p < 0.001 else f"{row.p:.3f}"
        values = [re.sub(r"(?<=\d)-(?=\d)", "–", row.values.get(c, "")) for c in table.columns]
        rows.append([label, *values, p, row.test])
    heads = [
        "",
        *(risk_label(c) if c in ("low", "high") else cohort_title(c) for c in table.columns),
        "p",
        "Test",
    ]
    if not any(row[-1] or row[-2] for row in rows):  # one column has nothing to be compared with
        heads, rows = heads[:-2], [row[:-2] for row in rows]
    return Table(caption=caption, columns=heads, rows=rows, folded=folded)
