"""Section on discrimination, calibration and overall error, and the curves behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pathosig.figures.performance import calibration_plot, time_auc_plot
from pathosig.figures.results import analyses_of, analysis_title, real, triple, usable
from pathosig.figures.style import estimate_text
from pathosig.report.cells import (
    analysis_name,
    estimate_cell,
    is_main,
    mapping,
    mappings,
    numbered,
    time_text,
)
from pathosig.report.images import picture
from pathosig.report.material import Material, cohort_title, endpoint_title
from pathosig.report.page import Block, Cell, Section, Table, folded, without_empty


def performance_section(material: Material) -> Section | None:
    """Discrimination, calibration and overall error; None without an analysis."""
    analyses = [
        a
        for a in analyses_of(material.results, material.primary_endpoint)
        if usable(a.get("harrell_c")) or usable(a.get("calibration"))
    ]
    if not analyses:
        return None
    rows: list[list[Cell]] = []
    for a in analyses:
        ibs = a.get("ibs") if usable(a.get("ibs")) else {}
        slope = (a.get("calibration") or {}).get("slope") if usable(a.get("calibration")) else None
        rows.append(
            [
                analysis_title(a),
                endpoint_title(str(a.get("endpoint"))),
                estimate_cell(a.get("harrell_c")),
                estimate_cell(a.get("uno_c")),
                estimate_cell(slope),
                real((ibs or {}).get("score")),
                real((ibs or {}).get("null")),
            ]
        )
    columns = [
        "Cohort",
        "Endpoint",
        "Harrell C (95% CI)",
        "Uno C (95% CI)",
        "Calibration slope (95% CI)",
        "IBS",
        "IBS, null",
    ]
    note = (
        "C-index: higher score means earlier event; below 0.50 is reported as it is. IBS: "
        "integrated Brier score."
    )
    table = Table(caption="Discrimination and error", columns=columns, rows=rows, note=note)
    blocks: list[Block] = [without_empty(table)]
    for number, a in numbered(material):
        drawn = _curves(a, number)
        if is_main(material, a):
            blocks += drawn
        elif not a.get("apparent"):
            blocks += folded(f"Curves: {analysis_name(a)}", drawn)
    blocks += _brier(material)
    blocks += _benchmark(material)
    return Section(id="performance", title="Discrimination and calibration", blocks=blocks)


def _brier(material: Material) -> list[Block]:
    """Brier scores at each horizon against the cohort's own Kaplan-Meier estimate."""
    rows: list[list[Cell]] = []
    for _, a in numbered(material):
        name, unit = analysis_name(a), str(a.get("unit", ""))
        found = [(time_text(b["time"], unit), b) for b in mappings(a.get("brier")) if usable(b)]
        whole = mapping(a.get("ibs"))
        if whole:
            grid = mapping(whole.get("grid"))
            ends = [real(grid.get(k)) for k in ("from", "to")]
            span = "" if None in ends else f", {time_text(ends[0])} to {time_text(ends[1], unit)}"
            found.append((f"Integrated{span}", whole))
        for at, b in found:
            rows.append(
                [
                    name,
                    at,
                    *(real(b.get(k)) for k in ("score", "null", "scaled")),
                    estimate_cell(b.get("difference")),
                ]
            )
    if not rows:
        return []
    columns = ["Analysis", "At", "Score", "Kaplan-Meier", "Scaled", "Difference (95% CI)"]
    note = (
        "Weighted by the inverse probability of censoring. Scaled: 1 − score / Kaplan-Meier, above 0 when the "
        "score helps; difference: score − Kaplan-Meier, paired bootstrap."
    )
    table = without_empty(Table(caption="Brier score", columns=columns, rows=rows, note=note))
    return [table] if len(rows) <= 8 else folded("Brier score at every horizon", [table])


def _benchmark(material: Material) -> list[Block]:
    """The full-information benchmark: ridge on all leaves, and what the signature loses against it."""
    found = material.results.get("benchmark")
    rows: list[list[Cell]] = []
    for cohort, endpoints in sorted(found.items()) if isinstance(found, Mapping) and usable(found) else ():
        for endpoint, value in sorted(endpoints.items()) if isinstance(endpoints, Mapping) else ():
            if usable(value) and isinstance(value, Mapping):
                place = [cohort_title(str(cohort)), endpoint_title(str(endpoint))]
                rows.append(
                    [*place, estimate_cell(value.get("harrell_c")), estimate_cell(value.get("difference"))]
                )
    if not rows:
        return []
    columns = [
        "Cohort",
        "Endpoint",
        "Ridge on all leaves: Harrell C (95% CI)",
        "Signature minus ridge (95% CI)",
    ]
    return [Table(caption="Against the full-information benchmark", columns=columns, rows=rows)]


def _curves(analysis: Mapping[str, Any], number: int) -> list[Block]:
    out: list[Block] = []
    name = analysis_name(analysis)
    unit = str(analysis.get("unit", ""))
    auc = [
        {
            "time": float(r["time"]),
            "auc": float(r["estimate"]),
            "lower": _nan(r.get("lower")),
            "upper": _nan(r.get("upper")),
            "n_risk": r.get("n_risk"),
        }
        for r in analysis.get("auc") or ()
        if usable(r) and real(r.get("estimate")) is not None
    ]
    if auc:
        risk = [int(r["n_risk"]) for r in auc if r["n_risk"] is not None]
        figure = time_auc_plot(
            {"Score": auc}, title=name, unit=unit, at_risk=risk if len(risk) == len(auc) else ()
        )
        out.append(
            picture(
                f"auc_{number:02d}",
                figure,
                f"{name}: AUC(t) with 95% CI (inverse-probability weights).",
                wide=False,
            )
        )
    calibration = analysis.get("calibration")
    horizons = (
        calibration.get("horizons", []) if usable(calibration) and isinstance(calibration, Mapping) else []
    )
    known = [h for h in horizons if usable(h) and h.get("groups")]
    if known:
        horizon = known[min(1, len(known) - 1)]
        groups = [
            {
                "predicted": float(g["expected"]),
                "observed": float(g["observed"]),
                "lower": _nan(g.get("lower")),
                "upper": _nan(g.get("upper")),
            }
            for g in horizon["groups"]
            if real(g.get("expected")) is not None and real(g.get("observed")) is not None
        ]
        facts = []
        if real(horizon.get("ratio")) is not None:
            ratio = estimate_text(horizon["ratio"], real(horizon.get("lower")), real(horizon.get("upper")))
            facts.append(f"O/E {ratio}")
        slope = triple(calibration.get("slope")) if isinstance(calibration, Mapping) else None
        facts += [f"slope {estimate_text(*slope)}"] if slope else []
        label = time_text(horizon["time"], unit)
        figure = calibration_plot(groups, title=name, time_label=label, facts=facts)
        out.append(
            picture(
                f"calibration_{number:02d}", figure, f"{name}: calibration of the frozen model.", wide=False
            )
        )
    return out


def _nan(value: Any) -> float:
    found = real(value)
    return math.nan if found is None else found
