"""Section with the characteristics of patients (Table 1)."""

from __future__ import annotations

import re
from dataclasses import replace

from pathosig.figures.titles import level_title, risk_label, variable_title
from pathosig.report.material import Material, cohort_title
from pathosig.report.page import Block, Cell, Section, Table
from pathosig.validation.table1_values import Table1, Table1Row


def table1_section(material: Material) -> Section | None:
    """Characteristics by cohort and by risk group; None without them."""
    results = material.results
    if results is None:
        return None
    blocks: list[Block] = []
    if results.table1.rows:
        blocks.append(table1_table(results.table1, "Characteristics by cohort"))
    for cohort, table in results.table1_groups.items():
        if table.rows:
            caption = f"Characteristics by risk group, {cohort_title(cohort)}"
            blocks.append(table1_table(table, caption, folded=True))
    missing: list[list[Cell]] = [
        [cohort_title(m.cohort), variable_title(m.variable), m.missing, m.n]
        for m in results.missing
        if m.missing
    ]
    if missing:
        columns = ["Cohort", "Variable", "Missing", "Patients"]
        blocks.append(Table(caption="Missing values", columns=columns, rows=missing, folded=True))
    return Section(id="characteristics", title="Characteristics", blocks=blocks) if blocks else None


def _yes_no(table: Table1) -> set[str]:
    """Variables whose levels are 0 and 1: one row says it all."""
    levels: dict[str, set[str]] = {}
    for row in table.rows:
        levels.setdefault(row.variable, set()).add(row.level)
    return {name for name, values in levels.items() if values == {"0", "1"}}


def _cell_text(row: Table1Row, column: str) -> str:
    """Median and quartiles to three digits; counts as they are."""
    cell = row.numbers.get(column)
    if cell is None or cell.median is None or cell.q1 is None or cell.q3 is None:
        return re.sub(r"(?<=\d)-(?=\d)", "–", row.values.get(column, "")).replace(" %", "%")
    median, low, high = (
        f"{v:.3g}" if abs(v) < 1000 else f"{v:,.0f}" for v in (cell.median, cell.q1, cell.q3)
    )
    return f"{median} ({low}–{high})".replace("-", "−")


def table1_table(table: Table1, caption: str, *, folded: bool = False) -> Table:
    """Table 1 as printed: one row for a variable of yes and no, quartiles to three digits."""
    rows: list[list[Cell]] = []
    yes_no = _yes_no(table)
    tests = {r.variable: r for r in table.rows if r.p is not None or r.test}
    for row in table.rows:
        if row.variable in yes_no:
            if row.level != "1":
                continue
            row = (
                replace(row, level="", p=tests[row.variable].p, test=tests[row.variable].test)
                if row.variable in tests
                else replace(row, level="")
            )
        name = variable_title(row.variable)
        label = f"{name}: {level_title(row.level)}" if row.level else name
        p = "" if row.p is None else "<0.001" if row.p < 0.001 else f"{row.p:.3f}"
        values = [_cell_text(row, c) for c in table.columns]
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
