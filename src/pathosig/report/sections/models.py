"""Section on effects: across cohorts, pooled, and uni- and multivariable models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pathosig.figures.forest import ForestRow, forest_plot
from pathosig.figures.results import (
    analyses_of,
    analysis_title,
    endpoints_of,
    forest_row,
    hr_row,
    pooled_rows,
    real,
)
from pathosig.report.cells import analysis_name, is_primary_endpoint, mapping, mappings, numbered
from pathosig.report.images import picture
from pathosig.report.material import Material, endpoint_title
from pathosig.report.page import Block, Section, folded


def models_section(material: Material) -> Section | None:
    """Effects across cohorts, pooled effects, and uni- and multivariable models; None without an analysis."""
    analyses = analyses_of(material.results, material.primary_endpoint)
    if not analyses:
        return None
    blocks: list[Block] = []
    for endpoint in endpoints_of(analyses):
        inside = [_effects(endpoint, analyses), *_pools(material, endpoint)]
        for number, analysis in numbered(material):
            if analysis.get("endpoint") != endpoint:
                continue
            drawn = _forest(analysis, number)
            if number == 1 or not is_primary_endpoint(material, endpoint):
                inside += drawn
            else:
                inside += folded(f"Models: {analysis_name(analysis)}", drawn)
        if is_primary_endpoint(material, endpoint):
            blocks += inside
        else:
            blocks += folded(endpoint_title(endpoint), inside, small="effects in every cohort, models")
    return Section(id="models", title="Effect estimates", blocks=blocks)


def _effects(endpoint: str, analyses: Sequence[Mapping[str, Any]]) -> Block:
    chosen = [a for a in analyses if a.get("endpoint") == endpoint]
    rows = [ForestRow(label="Score, per discovery SD", kind="heading")]
    rows += [hr_row(analysis_title(a), a.get("hr_sd"), level=1) for a in chosen]
    rows += [ForestRow(label="High against low risk", kind="heading")]
    rows += [hr_row(analysis_title(a), a.get("hr_group"), level=1) for a in chosen]
    caption = f"Effect of the signature on {endpoint_title(endpoint).lower()} in every cohort."
    return picture(f"effects_{endpoint}", forest_plot(rows, title=endpoint_title(endpoint)), caption)


def _pools(material: Material, endpoint: str) -> list[Block]:
    """Random-effects pools of the validation cohorts."""
    out: list[Block] = []
    for pool in mappings(material.results.get("pooled")):
        effect, known = pool.get("effect"), real(pool.get("estimate")) is not None
        if pool.get("endpoint") != endpoint or effect not in ("hr_sd", "hr_group") or not known:
            continue
        title = f"{endpoint_title(endpoint)}, HR {'per SD' if effect == 'hr_sd' else 'high vs low'}"
        i2 = real(pool.get("i2"))
        caption = (
            "Random-effects pool of the validation cohorts (Hartung-Knapp); thin line: prediction interval."
        )
        caption += "" if i2 is None else f" I² = {i2 if i2 > 1 else 100 * i2:.0f}%."
        out.append(
            picture(f"pooled_{endpoint}_{effect}", forest_plot(pooled_rows(pool), title=title), caption)
        )
    return out


def _forest(analysis: Mapping[str, Any], number: int) -> list[Block]:
    forest = mapping(analysis.get("forest"))
    made = mapping(forest.get("imputation"))
    m = f" (m = {made['m']})" if made.get("m") else ""
    rows: list[ForestRow] = []
    for key, label in (
        ("univariable", "Univariable"),
        ("multivariable", "Multivariable, complete cases"),
        ("imputed", f"Multivariable, imputed{m}"),
    ):
        part = mappings(forest.get(key))
        if part:
            rows.append(ForestRow(label=label, kind="heading"))
            rows += [_indented(forest_row(r)) for r in part]
    if not rows:
        return []
    title = analysis_name(analysis)
    complete, n = forest.get("n_complete"), forest.get("n")
    caption = f"{title}: Cox models (Efron)."
    caption += f" Complete cases: {complete} of {n}." if complete is not None and n is not None else ""
    missing = ", ".join(f"{k} {v}" for k, v in mapping(made.get("missing")).items() if v)
    caption += f" Imputed by {made.get('method')}; missing: {missing}." if missing else ""
    return [picture(f"forest_{number:02d}", forest_plot(rows, title=title), caption)]


def _indented(row: ForestRow) -> ForestRow:
    return replace(
        row,
        level=row.level + 1,
        kind="estimate" if row.kind == "heading" and row.hr is not None else row.kind,
    )
