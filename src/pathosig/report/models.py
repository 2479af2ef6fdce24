"""Sections from validation/results.json: effects, performance, form of the model, internal validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pathosig.figures.forest import ForestRow, forest_plot
from pathosig.figures.performance import calibration_plot, effect_curve_plot, time_auc_plot
from pathosig.figures.results import (
    analyses_of,
    analysis_title,
    endpoints_of,
    forest_row,
    hr_row,
    pooled_rows,
    real,
    reason,
    triple,
    usable,
)
from pathosig.figures.style import estimate_text
from pathosig.report.material import Material, cohort_title, endpoint_title
from pathosig.report.page import Block, Cell, Facts, Note, Section, Table, without_empty
from pathosig.report.patients import feature_name
from pathosig.report.tissue import picture


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def models_section(material: Material) -> Section | None:
    """Effects across cohorts, pooled effects, and uni- and multivariable models; None without an analysis."""
    analyses = analyses_of(material.results, material.primary)
    if not analyses:
        return None
    blocks: list[Block] = []
    for endpoint in endpoints_of(analyses):
        chosen = [a for a in analyses if a.get("endpoint") == endpoint]
        rows = [ForestRow(label="Score, per discovery SD", kind="heading")]
        rows += [hr_row(analysis_title(a), a.get("hr_sd"), level=1) for a in chosen]
        rows += [ForestRow(label="High against low risk", kind="heading")]
        rows += [hr_row(analysis_title(a), a.get("hr_group"), level=1) for a in chosen]
        caption = f"Effect of the signature on {endpoint_title(endpoint).lower()} in every cohort."
        blocks.append(
            picture(f"effects_{endpoint}", forest_plot(rows, title=endpoint_title(endpoint)), caption)
        )
    for pool in material.results.get("pooled") or ():
        if (
            usable(pool)
            and pool.get("effect") in ("hr_sd", "hr_group")
            and real(pool.get("estimate")) is not None
        ):
            what = "per SD" if pool["effect"] == "hr_sd" else "high vs low"
            name = str(pool.get("endpoint"))
            title = f"{endpoint_title(name)}, HR {what}"
            i2 = real(pool.get("i2"))
            caption = (
                "Random-effects pool of the validation cohorts (Hartung-Knapp); thin line: "
                "prediction interval."
            )
            caption += "" if i2 is None else f" I² = {i2 if i2 > 1 else 100 * i2:.0f}%."
            blocks.append(
                picture(
                    f"pooled_{name}_{pool['effect']}", forest_plot(pooled_rows(pool), title=title), caption
                )
            )
    for number, analysis in enumerate(analyses, start=1):
        block = _forest(analysis, number)
        blocks += [block] if block is not None else []
    return Section(id="models", title="Effect estimates", blocks=blocks)


def _forest(analysis: Mapping[str, Any], number: int) -> Block | None:
    forest = analysis.get("forest")
    if not usable(forest) or not isinstance(forest, Mapping):
        return None
    rows: list[ForestRow] = []
    for key, label in (
        ("univariable", "Univariable"),
        ("multivariable", "Multivariable, complete cases"),
        ("imputed", "Multivariable, multiple imputation"),
    ):
        part = forest.get(key)
        if isinstance(part, Sequence) and part:
            rows.append(ForestRow(label=label, kind="heading"))
            rows += [_indented(forest_row(r)) for r in part if isinstance(r, Mapping)]
    if not rows:
        return None
    title = f"{analysis_title(analysis)}, {endpoint_title(str(analysis.get('endpoint')))}"
    complete, n = forest.get("n_complete"), forest.get("n")
    caption = f"{title}: Cox models (Efron)."
    caption += f" Complete cases: {complete} of {n}." if complete is not None and n is not None else ""
    return picture(f"forest_{number:02d}", forest_plot(rows, title=title), caption)


def _indented(row: ForestRow) -> ForestRow:
    return replace(
        row,
        level=row.level + 1,
        kind="estimate" if row.kind == "heading" and row.hr is not None else row.kind,
    )


def performance_section(material: Material) -> Section | None:
    """Discrimination, calibration and overall error; None without an analysis."""
    analyses = [
        a
        for a in analyses_of(material.results, material.primary)
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
                _text(a.get("harrell_c")),
                _text(a.get("uno_c")),
                _text(slope),
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
    blocks += _benchmark(material)
    honest = [a for a in analyses if not a.get("apparent")] or analyses
    for number, a in enumerate(honest, start=1):
        blocks += _curves(a, number)
    return Section(id="performance", title="Discrimination and calibration", blocks=blocks)


def _benchmark(material: Material) -> list[Block]:
    """The full-information benchmark: ridge on all leaves, and what the signature loses against it."""
    found = material.results.get("benchmark")
    rows: list[list[Cell]] = []
    for cohort, endpoints in sorted(found.items()) if isinstance(found, Mapping) and usable(found) else ():
        for endpoint, value in sorted(endpoints.items()) if isinstance(endpoints, Mapping) else ():
            if usable(value) and isinstance(value, Mapping):
                place = [cohort_title(str(cohort)), endpoint_title(str(endpoint))]
                rows.append([*place, _text(value.get("harrell_c")), _text(value.get("difference"))])
    if not rows:
        return []
    columns = [
        "Cohort",
        "Endpoint",
        "Ridge on all leaves: Harrell C (95% CI)",
        "Signature minus ridge (95% CI)",
    ]
    return [Table(caption="Against the full-information benchmark", columns=columns, rows=rows)]


def _text(value: Any) -> str:
    found = triple(value)
    if found is None and real(value) is not None:
        return f"{value:.3f}".replace("-", "−")
    return estimate_text(*found, digits=3) if found else (reason(value) or "–")


def _curves(analysis: Mapping[str, Any], number: int) -> list[Block]:
    out: list[Block] = []
    name = f"{analysis_title(analysis)}, {endpoint_title(str(analysis.get('endpoint')))}"
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
        label = f"{float(horizon['time']):.4g} {unit}"
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


def hazards_section(material: Material) -> Section | None:
    """Proportional hazards, restricted mean survival and the spline check; None without them."""
    blocks: list[Block] = []
    rows: list[list[Cell]] = []
    for number, a in enumerate(analyses_of(material.results, material.primary), start=1):
        ph, rmst, spline = (_found(a, k) for k in ("ph", "rmst", "spline"))
        name = f"{analysis_title(a)}, {endpoint_title(str(a.get('endpoint')))}"
        score, group = (ph.get(k) or {} for k in ("score", "group"))
        difference = triple(rmst.get("difference"))
        rows.append(
            [
                name,
                real(score.get("p")),
                real(group.get("p")),
                real(spline.get("p_nonlinear")),
                estimate_text(*difference, digits=1) if difference else "–",
                real(rmst.get("tau")),
            ]
        )
        piecewise = [p for p in ph.get("piecewise") or () if usable(p)]
        if ph.get("violated") and piecewise:
            cells: list[list[Cell]] = [
                [
                    f"{_short(p.get('from'))} to {_short(p.get('to')) if p.get('to') is not None else 'end'}",
                    estimate_text(real(p.get("hr")), real(p.get("lower")), real(p.get("upper"))),
                    p.get("n"),
                    p.get("events"),
                ]
                for p in piecewise
            ]
            caption = f"{name}: hazards are not proportional; hazard ratio by period"
            blocks.append(
                Table(caption=caption, columns=["Period", "HR (95% CI)", "n", "Events"], rows=cells)
            )
        if spline.get("score") and a.get("primary") and not a.get("apparent"):
            s = spline
            figure = effect_curve_plot(
                s["score"], s["hr"], (s["lower"], s["upper"]), title=name, x_label="Risk score (discovery SD)"
            )
            text = f"{name}: hazard ratio along the score (restricted cubic spline)."
            blocks.append(picture(f"spline_{number:02d}", figure, text, wide=False))
    if not any(isinstance(c, float) for r in rows for c in r):
        return None
    columns = [
        "Analysis",
        "PH test, score: p",
        "PH test, groups: p",
        "Non-linearity: p",
        "RMST, high − low (95% CI)",
        "Up to",
    ]
    table = Table(caption="Checks of the model's form", columns=columns, rows=rows)
    return Section(id="hazards", title="Proportional hazards and form", blocks=[table, *blocks])


def internal_section(material: Material) -> Section | None:
    """Repeated nested cross-validation; None when external cohorts were used."""
    internal = material.results.get("internal")
    if not usable(internal) or not isinstance(internal, Mapping):
        return None
    names = {
        "harrell_c": "Harrell C, cross-validated",
        "uno_c": "Uno C, cross-validated",
        "ridge_c": "Ridge on all leaves, C",
        "apparent_c": "Apparent C (optimistic)",
        "null_c": "C of a permuted outcome",
    }
    facts = [("Repeats × folds", f"{internal.get('repeats')} × {internal.get('folds')}, grouped by patient")]
    for key, label in names.items():
        value = internal.get(key)
        if triple(value):
            facts.append((label, _text(value)))
        elif real(value) is not None:
            facts.append((label, f"{value:.3f}"))
    hr = triple(internal.get("hr_sd"), key="hr")
    facts += [("HR per SD, cross-validated", estimate_text(*hr))] if hr else []
    if real(internal.get("share_empty")) is not None:
        facts.append(("Folds in which nothing was selected", f"{100 * internal['share_empty']:.0f}%"))
    blocks: list[Block] = [Facts(rows=facts)]
    chosen = [
        [feature_name(str(s.get("feature"))), real(s.get("share"))] for s in internal.get("selected") or ()
    ]
    if chosen:
        columns = ["Feature", "Share of folds"]
        blocks.append(
            Table(
                caption="How often each feature was selected",
                columns=columns,
                rows=chosen[:60],
                folded=len(chosen) > 12,
            )
        )
    if internal.get("note"):
        blocks.append(Note(text=str(internal["note"])))
    lead = (
        "There is no external cohort. Every number here is from patients that the model of their "
        "fold never saw."
    )
    return Section(id="internal", title="Internal validation", blocks=blocks, lead=lead)


def cores_section(material: Material) -> Section | None:
    """Agreement of cores within patients; None without several cores."""
    found = material.results.get("core_agreement")
    if not usable(found) or not isinstance(found, Mapping):
        return None
    rows: list[list[Cell]] = []
    for cohort, c in sorted(found.items()):
        if usable(c) and isinstance(c, Mapping):
            rows.append(
                [
                    cohort_title(str(cohort)),
                    *(c.get(k) for k in ("n", "single", "agree", "heterogeneous")),
                    real(c.get("observed_rate")),
                    real(c.get("expected_rate")),
                ]
            )
    if not rows:
        return None
    columns = [
        "Cohort",
        "Patients",
        "One core",
        "Agree",
        "Heterogeneous",
        "Observed rate",
        "Expected if homogeneous",
    ]
    table = Table(caption="Agreement of cores", columns=columns, rows=rows)
    lead = (
        "A patient is heterogeneous only when the cores disagree by more than sampling within cores explains."
    )
    return Section(id="cores", title="Agreement of cores", blocks=[table], lead=lead)


def _found(analysis: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = analysis.get(key)
    return dict(value) if usable(value) and isinstance(value, Mapping) else {}
