"""Sections drawn from validation/results.json."""

from __future__ import annotations

from pathosig.report.material import Material
from pathosig.report.page import Section


def effects_by_column(material: Material) -> dict[str, str]:
    """Column of the profiles -> its univariable effect in words."""
    return {}


def headline(material: Material) -> list[tuple[str, str, str]]:
    """The main numbers of the summary."""
    return []


def places_of(material: Material) -> dict[str, str]:
    """Topics of the checklist -> sections of validation that meet them."""
    return {}


def validation_sections(material: Material) -> list[Section | None]:
    """All sections on validation."""
    return []
