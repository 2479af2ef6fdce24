"""Section on effects: across cohorts, pooled, and uni- and multivariable models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pathosig.figures.forest import ForestRow, forest_plot
from pathosig.figures.results import analysis_title, hr_row, known, model_row, pooled_rows
from pathosig.figures.titles import endpoint_title
from pathosig.report.cells import (
    analyses_of,
    analysis_name,
    is_primary_endpoint,
    listed,
    numbered,
)
from pathosig.report.images import picture
from pathosig.report.material import Material
from pathosig.report.page import Block, Section, folded
from pathosig.validation.analysis import Analysis, Forest


def models_section(material: Material) -> Section | None:
    """Effects across cohorts, pooled effects, and uni- and multivariable models; None without an analysis."""
    analyses = analyses_of(material)
    if not analyses:
        return None
    blocks: list[Block] = []
    for endpoint in dict.fromkeys(a.endpoint for a in analyses):
        inside = [_effects(endpoint, analyses), *_pools(material, endpoint)]
        for number, analysis in numbered(material):
            if analysis.endpoint != endpoint:
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


def _effects(endpoint: str, analyses: Sequence[Analysis]) -> Block:
    chosen = [a for a in analyses if a.endpoint == endpoint]
    rows = [ForestRow(label="Score, per discovery SD", kind="heading")]
    rows += [hr_row(analysis_title(a), a.hr_sd, level=1) for a in chosen]
    rows += [ForestRow(label="High against low risk", kind="heading")]
    rows += [hr_row(analysis_title(a), a.hr_group, level=1) for a in chosen]
    title = endpoint_title(endpoint)
    caption = f"Effect of the signature on {title.lower()} in every cohort."
    return picture(f"effects_{endpoint}", forest_plot(rows, title=title), caption)


def _pools(material: Material, endpoint: str) -> list[Block]:
    """Random-effects pools of the validation cohorts."""
    out: list[Block] = []
    for pool in () if material.results is None else material.results.pooled:
        effect = known(pool.result)
        if pool.endpoint != endpoint or effect is None:
            continue
        title = f"{endpoint_title(endpoint)}, HR {'per SD' if pool.effect == 'hr_sd' else 'high against low'}"
        caption = (
            "Random-effects pool of the validation cohorts (Hartung-Knapp); thin line: prediction interval."
        )
        caption += (
            "" if effect.i2 is None else f" I² = {effect.i2 if effect.i2 > 1 else 100 * effect.i2:.0f}%."
        )
        models = {
            a.cohort: model
            for a in analyses_of(material)
            if a.endpoint == endpoint and (model := known(getattr(a, pool.effect))) is not None
        }
        figure = forest_plot(pooled_rows(effect, models), title=title)
        out.append(picture(f"pooled_{endpoint}_{pool.effect}", figure, caption))
    return out


def _forest(analysis: Analysis, number: int) -> list[Block]:
    forest = known(analysis.forest)
    if forest is None:
        return []
    imputation = known(forest.imputation)
    m = "" if imputation is None else f" ({imputation.m} imputations)"
    rows: list[ForestRow] = []
    for effects, label in (
        (forest.univariable, "Univariable"),
        (forest.multivariable, "Multivariable, complete cases"),
        (forest.imputed, f"Multivariable, imputed{m}"),
    ):
        if effects:
            rows.append(ForestRow(label=label, kind="heading"))
            rows += [_indented(model_row(r)) for r in effects]
    if not rows:
        return []
    title = analysis_name(analysis)
    return [picture(f"forest_{number:02d}", forest_plot(rows, title=title), f"{title}: {_caption(forest)}")]


def _caption(forest: Forest) -> str:
    text = f"Cox models (Efron). Complete cases: {forest.n_complete} of {forest.n}."
    ph = known(forest.ph)
    if ph is not None and ph.whole.p is not None:
        text += f" Proportional hazards of the multivariable model, global test: p = {ph.whole.p:.3f}."
    imputation = known(forest.imputation)
    if imputation is None:
        return text
    missing = listed([f"{k} ({v})" for k, v in imputation.missing.items() if v])
    return f"{text} Imputed by {imputation.method}; missing: {missing}." if missing else text


def _indented(row: ForestRow) -> ForestRow:
    kind = "estimate" if row.kind == "heading" and row.hr is not None else row.kind
    return replace(row, level=row.level + 1, kind=kind)
