"""Section with every warning: findings about the analysis first, then what the stages reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pathosig.report.cells import in_words
from pathosig.report.material import Material
from pathosig.report.page import Block, Cell, Note, Section, Table
from pathosig.validation.values import Finding

GRAVEST = ("W_LEAK", "W_EVENTS", "W_SEPARATION", "W_PH", "W_DEPTH")
"""Beginnings of the codes that a reader must see first, in this order; all others follow as they came."""


def warnings_of(material: Material) -> Sequence[Finding]:
    """Findings that signature and validation collected, each once."""
    return () if material.results is None else tuple(dict.fromkeys(material.results.warnings))


def grouped(material: Material, warnings: Sequence[Finding]) -> list[tuple[str, str]]:
    """Code and sentence of every warning as printed, the gravest first; equal ones in one line with where they occurred."""
    places: dict[tuple[str, str], list[str]] = {}
    ordered = gravest_first(warnings)
    codes = list(dict.fromkeys(w.code for w in ordered))
    for warning in sorted(ordered, key=lambda w: codes.index(w.code)):
        place, text = _placed(warning)
        places.setdefault((warning.code, text), []).append(place)
    lines = []
    for (code, text), where in places.items():
        if len(where) == 1:
            lines.append((code, in_words(material, f"{where[0]}: {text}" if where[0] else text)))
            continue
        named = "; ".join(in_words(material, f"{place}:").rstrip(":") for place in where)
        lines.append((code, f"{in_words(material, text).rstrip('.')}. Where: {named}."))
    return lines


def _placed(warning: Finding) -> tuple[str, str]:
    """Where a warning arose, as its sentence begins, and the rest of the sentence; all of it where it names no place."""
    place, colon, text = warning.message.partition(": ")
    named = bool(colon) and bool(warning.where) and place in (warning.where, f"cohort {warning.where}")
    return (place, text) if named else ("", warning.message)


def gravest_first(warnings: Sequence[Finding]) -> list[Finding]:
    """The warnings ordered by how much they endanger the conclusion."""

    def rank(finding: Finding) -> int:
        places = [i for i, code in enumerate(GRAVEST) if finding.code.startswith(code)]
        return places[0] if places else len(GRAVEST)

    return sorted(warnings, key=rank)


def warnings_section(material: Material) -> Section | None:
    """All warnings, equal ones counted together; None when no record exists."""
    if not any(material.records.values()):
        return None
    findings = warnings_of(material)
    blocks: list[Block] = [
        Note(title=code, text=text, level="warning") for code, text in grouped(material, findings)
    ]
    counts: Counter[tuple[str, str]] = Counter()
    example: dict[tuple[str, str], str] = {}
    for stage, records in material.records.items():
        for record in records:
            for text in record.warnings:
                key = (stage, text.replace(record.unit, "…") if len(record.unit) > 3 else text)
                counts[key] += 1
                example.setdefault(key, record.unit)
    shown = {t for w in findings for t in (w.message, f"{w.code} {w.message}", f"{w.code}: {w.message}")}
    rows: list[list[Cell]] = [
        [stage, in_words(material, text), n, example[stage, text].lstrip("_")]
        for (stage, text), n in sorted(counts.items())
        if text not in shown
    ]
    if rows:
        columns = ["Stage", "Warning", "Times", "For example"]
        blocks.append(
            Table(caption="Warnings of the stages", columns=columns, rows=rows, folded=len(rows) > 8)
        )
    if not blocks:
        blocks.append(Note(text="No warning was given.", level="good"))
    return Section(id="warnings", title="Warnings", blocks=blocks)
