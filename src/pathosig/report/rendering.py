"""Turns a page into one HTML document that needs nothing beside it."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from pathosig.core.templates import environment as templates_of
from pathosig.report.page import LONG, Cell, Number, Page, Table

if TYPE_CHECKING:
    from jinja2 import Environment


def show(cell: Cell) -> str:
    """A table cell as printed: a dash for what is missing, thousands apart, three decimals."""
    if cell is None or (isinstance(cell, float) and cell != cell):
        return "–"
    if isinstance(cell, Number):
        return cell.value
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}".replace("-", "−")
    if isinstance(cell, float):
        size = abs(cell)
        text = f"{cell:.4g}" if size >= 10 else f"{cell:.3g}" if 0 < size < 0.001 else f"{cell:.3f}"
        return text.replace("-", "−")
    return str(cell)


def coded(text: str) -> Markup:
    """The text escaped, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  escaped before


def kept_together(text: str) -> Markup:
    """The text escaped; an estimate may break before its confidence interval and a p-value nowhere.

    Examples
    --------
    >>> kept_together("p < 0.001")
    Markup('<span class="nb">p &lt; 0.001</span>')
    >>> kept_together("1.42 (1.10–1.83)")
    Markup('1.42 <span class="nb">(1.10–1.83)</span>')
    """
    if re.fullmatch(r"[pq] [<=] [\d.]+", text):
        return Markup('<span class="nb">{}</span>').format(text)
    head, bracket, rest = text.partition(" (")
    if not bracket or len(text) >= 30 or not rest.endswith(")"):
        return escape(text)
    return Markup('{} <span class="nb">({}</span>').format(head, rest)  # format escapes what it is given


def is_number(cell: Cell) -> bool:
    """Whether a cell is aligned to the right."""
    return cell is None or (isinstance(cell, (int, float)) and not isinstance(cell, bool))


def why_uncertain(cell: Cell) -> str:
    """Why a cell is small and grey; empty for all others."""
    return cell.uncertain if isinstance(cell, Number) else ""


@cache
def environment() -> Environment:
    """The templates of the report with their filters."""
    env = templates_of("pathosig.report")
    env.filters["show"] = show
    env.filters["coded"] = coded
    env.filters["kept_together"] = kept_together
    env.filters["why_uncertain"] = why_uncertain
    env.tests["number_cell"] = is_number
    env.globals["LONG"] = LONG
    return env


def render(page: Page) -> str:
    """The page as one HTML document that needs nothing beside it."""
    css = files("pathosig.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    # The style sheet is our own file: the one text that is not escaped.
    return environment().get_template("report.html.j2").render(page=page, css=Markup(css)) + "\n"  # noqa: S704


def without_empty(table: Table) -> Table:
    """The table without columns in which every cell is missing; the note says which were left out."""
    missing = [all(show(row[i]) == "–" for row in table.rows) for i in range(len(table.columns))]
    if not table.rows or not any(missing):
        return table
    left_out = "Not available in any row: " + ", ".join(
        c for c, gone in zip(table.columns, missing, strict=True) if gone
    )
    return replace(
        table,
        columns=[c for c, gone in zip(table.columns, missing, strict=True) if not gone],
        rows=[[v for v, gone in zip(row, missing, strict=True) if not gone] for row in table.rows],
        note=f"{table.note} {left_out}.".strip(),
    )
