"""Section on added value: clinical, score and combined models in patients of other cohorts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathosig.figures.performance import decision_curve_plot
from pathosig.figures.results import real, triple
from pathosig.figures.style import p_text
from pathosig.report.cells import (
    analysis_name,
    estimate_cell,
    is_main,
    line_of,
    mapping,
    mappings,
    numbered,
    time_text,
)
from pathosig.report.images import picture
from pathosig.report.material import Material
from pathosig.report.page import Block, Cell, Section, Table, folded, without_empty

MODELS = ("clinical", "score", "combined")


def added_value_section(material: Material) -> Section | None:
    """Clinical, score and combined models on validation data; None without them."""
    found = [(n, a, mapping(a.get("added_value"))) for n, a in numbered(material)]
    found = [(n, a, v) for n, a, v in found if v]
    if not found:
        return None
    blocks: list[Block] = [_discrimination([(a, v) for _, a, v in found])]
    error = _error([(a, v) for _, a, v in found])
    blocks += [error] if error is not None else []
    for number, analysis, value in found:
        drawn = _net_benefit(analysis, value, number)
        if is_main(material, analysis):
            blocks += drawn
        else:
            blocks += folded(f"Net benefit: {analysis_name(analysis)}", drawn)
    benefit = _benefit([(a, v) for _, a, v in found])
    blocks += [benefit] if benefit is not None else []
    lead = (
        "All three models are frozen from discovery; differences are combined minus clinical with paired "
        "bootstrap intervals. A difference in C above 0, in Brier score below 0, favours the score."
    )
    return Section(id="added-value", title="Added value", blocks=blocks, lead=lead)


def _discrimination(found: list[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Table:
    """Uno C of the three models, in complete cases and, beneath, in all patients by imputation."""
    rows: list[list[Cell]] = []
    note = ""
    for analysis, value in found:
        cs = mapping(value.get("uno_c"))
        name = analysis_name(analysis)
        imputed = mapping(value.get("imputed"))
        rows.append(
            [
                f"{name}, complete cases" if imputed else name,
                *(value.get(k) for k in ("n", "events")),
                *(estimate_cell(cs.get(k)) for k in MODELS),
                estimate_cell(value.get("difference_c")),
                p_text(real(mapping(value.get("lr_test")).get("p"))),
            ]
        )
        if imputed:
            cs = mapping(imputed.get("uno_c"))
            rows.append(
                [
                    f"{name}, imputed",
                    *(imputed.get(k) for k in ("n", "events")),
                    *(estimate_cell(cs.get(k)) for k in MODELS),
                    estimate_cell(imputed.get("difference_c")),
                    None,
                ]
            )
            missing = ", ".join(f"{k} ({v})" for k, v in mapping(imputed.get("missing")).items() if v)
            note = (
                f"Imputed: {imputed.get('method', '')}; {imputed.get('m')} imputations inside each of "
                f"{imputed.get('bootstraps')} resamples. Missing: {missing}."
            )
    columns = ["Analysis", "n", "Events", "Clinical: Uno C", "Score: Uno C", "Combined: Uno C"]
    columns += ["Combined − clinical", "LR test of the score"]
    return without_empty(
        Table(caption="Discrimination of the three models", columns=columns, rows=rows, note=note)
    )


def _error(found: list[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Table | None:
    """Brier scores at the horizon and their difference."""
    rows: list[list[Cell]] = []
    for analysis, value in found:
        brier = mapping(value.get("brier"))
        if triple(value.get("difference_brier")) is None and not brier:
            continue
        horizon = mapping(value.get("horizon")).get("time")
        rows.append(
            [
                analysis_name(analysis),
                time_text(horizon, analysis.get("unit")),
                *(estimate_cell(brier.get(k)) for k in MODELS),
                estimate_cell(value.get("difference_brier")),
            ]
        )
    if not rows:
        return None
    columns = ["Analysis", "At", "Clinical", "Score", "Combined", "Combined − clinical (95% CI)"]
    return Table(caption="Brier score of the three models", columns=columns, rows=rows)


def _net_benefit(analysis: Mapping[str, Any], value: Mapping[str, Any], number: int) -> list[Block]:
    """The decision curve, and combined minus clinical at a few thresholds."""
    benefit = mapping(value.get("net_benefit"))
    if not benefit.get("thresholds"):
        return []
    name = analysis_name(analysis)
    at = benefit["thresholds"]
    lines = {str(k): line_of(v) for k, v in mapping(benefit.get("models")).items()}
    lines |= {"treat all": line_of(benefit.get("all")), "treat none": line_of(benefit.get("none"))}
    lines = {k: v for k, v in lines.items() if len(v) == len(at)}
    label = time_text(mapping(value.get("horizon")).get("time"), analysis.get("unit"))
    figure = decision_curve_plot(at, lines, title=name, time_label=label)
    caption = f"{name}: net benefit of acting on each model's risk of an event by {label}."
    return [picture(f"net_benefit_{number:02d}", figure, caption, wide=False)]


def _benefit(found: list[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Table | None:
    """Net benefit, combined minus clinical, at the thresholds that were tested."""
    rows = {
        analysis_name(a): {
            real(d.get("threshold")): estimate_cell(d)
            for d in mappings(mapping(v.get("net_benefit")).get("difference"))
        }
        for a, v in found
    }
    at = sorted({t for cells in rows.values() for t in cells if t is not None})
    if not at:
        return None
    columns = ["Analysis", *(f"at {100 * t:.3g}%" for t in at)]
    cells: list[list[Cell]] = [[name, *(row.get(t) for t in at)] for name, row in rows.items()]
    return Table(caption="Net benefit, combined − clinical (95% CI)", columns=columns, rows=cells)
