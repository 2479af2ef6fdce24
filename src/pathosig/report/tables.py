"""The report's tables for a manuscript, as CSV and LaTeX; `pathosig.report.word` makes one Word document of them.

Cells read as in the report. Numbers stay text on purpose: a journal's table is not computed with, and
validation/tables holds the same values in full precision.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count

from pathosig.core.tables import csv_text
from pathosig.report.page import Page, Table, every_block
from pathosig.report.rendering import is_number, show

NOT_FOR_PAPERS = frozenset({"provenance", "checklist", "failures", "flow"})
"""Sections whose tables document the run, not the results."""

_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": r"$-$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "<": r"$<$",
    ">": r"$>$",
    "–": "--",
    "µ": r"\textmu{}",
    "²": r"$^2$",
    "±": r"$\pm$",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperTable:
    """A table of the report under a file name of its own; `right` says which columns align right."""

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[bool]
    note: str = ""


def paper_tables(page: Page) -> Iterator[PaperTable]:
    """The tables of results in reading order, those behind a line included."""
    taken: set[str] = set()
    for section in page.sections:
        if section.id in NOT_FOR_PAPERS:
            continue
        for block in every_block(section.blocks):
            if isinstance(block, Table) and block.rows:
                name = (
                    re.sub(r"[^a-z0-9]+", "_", f"{section.id} {block.caption}".lower())
                    .strip("_")[:60]
                    .strip("_")
                )
                numbered = (f"{name}_{i}" for i in count(2))
                unique = next(n for n in chain([name], numbered) if n not in taken)
                taken.add(unique)
                yield PaperTable(
                    name=unique,
                    caption=block.caption,
                    columns=list(block.columns),
                    rows=[[show(cell) for cell in row] for row in block.rows],
                    right=[is_number(cell) for cell in block.rows[0]],
                    note=block.note,
                )


def table_csv(table: PaperTable) -> str:
    r"""The table as CSV; cells a spreadsheet would run are quoted.

    Examples
    --------
    >>> table = PaperTable(name="t", caption="C", columns=["Cohort", "n"], rows=[["A", "12"]], right=[False, True])
    >>> table_csv(table)
    'Cohort,n\nA,12\n'
    """
    keys = [str(i) for i in range(len(table.columns))]
    rows = [dict(zip(keys, row, strict=True)) for row in [table.columns, *table.rows]]
    return csv_text(rows, keys).partition("\n")[2]


def table_tex(table: PaperTable) -> str:
    r"""The table as LaTeX for the booktabs package, captioned and labelled.

    Examples
    --------
    >>> table = PaperTable(name="t", caption="High risk", columns=["Cohort", "%"], rows=[["A_1", "12"]], right=[False, True])
    >>> r"A\_1 & 12 \\" in table_tex(table)
    True
    """
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}[htbp]",
        rf"\caption{{{tex(table.caption)}}}\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{''.join('r' if r else 'l' for r in table.right)}}}",
        r"\toprule",
        _tex_row(table.columns),
        r"\midrule",
        *(_tex_row(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    lines += [rf"\par\smallskip\footnotesize {tex(table.note)}"] if table.note else []
    return "\n".join([*lines, r"\end{table}", ""])


def tex(text: str) -> str:
    """The text with everything that LaTeX would read as a command written out."""
    return "".join(_TEX.get(letter, letter) for letter in text)


def _tex_row(cells: Sequence[str]) -> str:
    return " & ".join(tex(cell) for cell in cells) + r" \\"
