"""The first page: what was asked, what was found, how far to trust it, and where to read on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathosig.figures.km import km_grid
from pathosig.figures.results import km_data, real, triple, usable
from pathosig.figures.style import estimate_text, p_text
from pathosig.report.cells import (
    estimate_cell,
    feature_name,
    is_main,
    is_primary_endpoint,
    largest_first,
    mapping,
    mappings,
    numbered,
)
from pathosig.report.images import picture
from pathosig.report.material import Material, cohort_title, endpoint_title
from pathosig.report.page import Block, Facts, Section, Tiles
from pathosig.report.sections.drivers import driver_grid
from pathosig.report.sections.patients import primary_text
from pathosig.report.sections.validation import IN_SUMMARY, headline


def summary_section(material: Material) -> Section:
    """The main numbers, the primary curves and one line for every question a reader has first."""
    tiles = headline(material)
    if not tiles:
        for cohort in material.cohorts[:4]:
            endpoint = material.primary_endpoint or next(iter(material.endpoints), "")
            n, events = material.events.get((cohort, endpoint), (0, 0))
            tiles.append(
                (cohort_title(cohort), f"{n:,}", f"patients, {events:,} events ({endpoint.upper()})")
            )
    blocks: list[Block] = [Tiles(items=tiles)] if tiles else []
    main = [a for _, a in numbered(material) if is_main(material, a) and usable(a.get("km"))]
    if main:
        endpoint = endpoint_title(str(main[0].get("endpoint", "")))
        caption = f"Primary analysis: {endpoint} by risk group in patients the model was not fitted on."
        blocks.append(picture("primary", km_grid([km_data(a) for a in main[:IN_SUMMARY]]), caption))
    grid = driver_grid(material, at_most=3)
    blocks += [grid] if grid is not None else []
    facts = _answers(material, main)
    blocks += [Facts(rows=facts)] if facts else []
    lead = f"Primary analysis: {primary_text(material)}"
    return Section(id="summary", title="Summary", blocks=blocks, lead=lead)


def _answers(material: Material, main: list[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """One line for each question, in the words of its section; a question without an answer is left out."""
    rows: list[tuple[str, str]] = []
    terms = [feature_name(t.feature) for t in largest_first(material.terms)]
    if terms:
        more = f" and {len(terms) - 6} more" if len(terms) > 6 else ""
        rows.append(("Signature", f"{', '.join(terms[:6])}{more}"))
    for a in main[:IN_SUMMARY]:
        name = cohort_title(str(a.get("cohort", "")))
        logrank = p_text(real(mapping(a.get("logrank")).get("p")))
        group = triple(a.get("hr_group"), key="hr")
        if group:
            rows.append((f"{name}: high against low risk", f"HR {estimate_text(*group)}; log-rank {logrank}"))
    for a in main[:IN_SUMMARY]:
        value = mapping(a.get("added_value"))
        if triple(value.get("difference_c")):
            name = cohort_title(str(a.get("cohort", "")))
            text = f"Uno C {_signed(value['difference_c'])}, combined minus clinical"
            if triple(value.get("difference_brier")):
                text += f"; Brier score {_signed(value['difference_brier'])}"
            rows.append((f"{name}: beyond clinical variables", text))
    rows += _benefit(material)
    rows += _trust(material)
    return rows


def _signed(value: Any) -> str:
    text = estimate_cell(value)
    return text if text.startswith("−") else f"+{text}"


def _benefit(material: Material) -> list[tuple[str, str]]:
    found: dict[str, list[str]] = {}
    for item in mappings(material.results.get("treatment")):
        words = str(item.get("words") or item.get("verdict") or "")
        if words and is_primary_endpoint(material, str(item.get("endpoint", ""))):
            found.setdefault(str(item.get("arm", "treatment")), []).append(words)
    return [(f"Treatment: {arm}", "; ".join(dict.fromkeys(words))) for arm, words in found.items()]


def _trust(material: Material) -> list[tuple[str, str]]:
    rows = []
    null, optimism = (mapping(material.audits.get(k)) for k in ("null", "optimism"))
    if null:
        rate = mapping(null.get("reported_rejection"))
        share = real(rate.get("estimate"))
        text = str(null.get("verdict", ""))
        text += "" if share is None else f"; the reported test rejects in {100 * share:.1f}% of permutations"
        rows.append(("Audit on noise", text))
    if triple(optimism.get("cross_validated_c")):
        text = f"C {estimate_cell(optimism['cross_validated_c'])} cross-validated"
        apparent = real(optimism.get("apparent_c"))
        text += "" if apparent is None else f", {apparent:.3f} apparent"
        rows.append(("Audit of optimism", text))
    violated = [
        cohort_title(str(a.get("cohort", "")))
        for _, a in numbered(material)
        if is_main(material, a) and mapping(a.get("ph")).get("violated")
    ]
    if violated:
        rows.append(("Hazards not proportional", f"{', '.join(violated)}; see Proportional hazards and form"))
    return rows
