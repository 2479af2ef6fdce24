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
from pathosig.report.rendering import is_number, show, why_uncertain

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
    """A table of the report under a file name of its own.

    Attributes
    ----------
    name
        Of the file, without suffix.
    caption, columns, rows, note
        As printed.
    right
        Which columns align right.
    uncertain
        For every row and cell why its estimate means nothing; empty for all others. No entries where no cell has a reason.
    """

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[bool]
    note: str = ""
    uncertain: Sequence[Sequence[str]] = ()

    def reasons(self) -> dict[str, str]:
        """Each reason with the letter that marks its cells: ``a``, ``b`` and so on, in reading order."""
        unique = dict.fromkeys(why for row in self.uncertain for why in row if why)
        return {why: chr(ord("a") + i) for i, why in enumerate(unique)}

    def marks(self, row: int) -> Sequence[str]:
        """The letter of every cell of a row; empty for estimates that are shown like a fact."""
        letters = self.reasons()
        return (
            [letters[why] if why else "" for why in self.uncertain[row]]
            if letters
            else [""] * len(self.columns)
        )


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
                    uncertain=[[why_uncertain(cell) for cell in row] for row in block.rows],
                )


def table_csv(table: PaperTable) -> str:
    r"""The table as CSV; cells a spreadsheet would run are quoted, and a reason stands in brackets behind its estimate.

    Examples
    --------
    >>> table = PaperTable(name="t", caption="C", columns=["Cohort", "n"], rows=[["A", "12"]], right=[False, True])
    >>> table_csv(table)
    'Cohort,n\nA,12\n'
    """
    keys = [str(i) for i in range(len(table.columns))]
    reasons = table.uncertain or [[""] * len(keys)] * len(table.rows)
    cells = [
        [f"{text} [{why}]" if why else text for text, why in zip(row, whys, strict=True)]
        for row, whys in zip(table.rows, reasons, strict=True)
    ]
    rows = [dict(zip(keys, row, strict=True)) for row in [table.columns, *cells]]
    return csv_text(rows, keys).partition("\n")[2]


def table_tex(table: PaperTable) -> str:
    r"""The table as LaTeX for the booktabs package, captioned and labelled.

    Examples
    --------
    >>> table = PaperTable(name="t", caption="High risk", columns=["Cohort", "%"], rows=[["A_1", "12"]], right=[False, True])
    >>> r"A\_1 & 12 \\" in table_tex(table)
    True
    """
    reasons = table.reasons()
    lines = [
        r"% \usepackage{booktabs,xcolor}" if reasons else r"% \usepackage{booktabs}",
        r"\begin{table}[htbp]",
        rf"\caption{{{tex(table.caption)}}}\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{''.join('r' if r else 'l' for r in table.right)}}}",
        r"\toprule",
        _tex_row(table.columns),
        r"\midrule",
        *(_tex_row(row, table.marks(i)) for i, row in enumerate(table.rows)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    notes = [tex(table.note)] if table.note else []
    notes += [rf"\textsuperscript{{{letter}}} {tex(why)}." for why, letter in reasons.items()]
    lines += [rf"\par\smallskip\footnotesize {' '.join(notes)}"] if notes else []
    return "\n".join([*lines, r"\end{table}", ""])


def tex(text: str) -> str:
    """The text with everything that LaTeX would read as a command written out."""
    return "".join(_TEX.get(letter, letter) for letter in text)


def _tex_row(cells: Sequence[str], marks: Sequence[str] = ()) -> str:
    """One line of the table; cells with a mark are small and grey."""
    printed = [tex(cell) for cell in cells]
    for i, mark in enumerate(marks):
        if mark:
            printed[i] = rf"{{\scriptsize\color{{gray}}{printed[i]}\textsuperscript{{{mark}}}}}"
    return " & ".join(printed) + r" \\"
