"""Sections on use: added value, subgroups, treatment, audits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pathosig.figures.alluvial import alluvial_plot
from pathosig.figures.forest import ForestRow, forest_plot
from pathosig.figures.km import KmData, km_grid
from pathosig.figures.performance import decision_curve_plot, effect_curve_plot
from pathosig.figures.results import (
    analysis_title,
    hr_row,
    km_curve,
    real,
    reason,
    risk_label,
    triple,
    usable,
)
from pathosig.figures.style import estimate_text, p_text
from pathosig.report.material import Material, cohort_title, endpoint_title
from pathosig.report.page import Block, Cell, Facts, Note, Section, Table
from pathosig.report.tissue import picture


def _analyses(material: Material) -> list[Mapping[str, Any]]:
    return [a for a in material.results.get("analyses") or () if isinstance(a, Mapping)]


def _honest(material: Material) -> list[Mapping[str, Any]]:
    """Analyses of patients the model was not fitted on; all of them when there are no others."""
    found = _analyses(material)
    return [a for a in found if not a.get("apparent")] or found


def _name(analysis: Mapping[str, Any]) -> str:
    return f"{analysis_title(analysis)}, {endpoint_title(str(analysis.get('endpoint')))}"


def added_value_section(material: Material) -> Section | None:
    """Clinical, score and combined models on validation data; None without them."""
    blocks: list[Block] = []
    rows: list[list[Cell]] = []
    for number, a in enumerate(_analyses(material), start=1):
        value = a.get("added_value")
        if not usable(value) or not isinstance(value, Mapping):
            continue
        cs = value.get("uno_c") or {}
        test = value.get("lr_test") or {}
        difference = triple(value.get("difference_c"))
        rows.append(
            [
                _name(a),
                *(_text(cs.get(k)) for k in ("clinical", "score", "combined")),
                estimate_text(*difference, digits=3) if difference else "–",
                p_text(real(test.get("p"))),
            ]
        )
        benefit = value.get("net_benefit")
        horizon = value.get("horizon") or {}
        if usable(benefit) and isinstance(benefit, Mapping) and benefit.get("thresholds"):
            lines = {str(k): _line(v) for k, v in (benefit.get("models") or {}).items()}
            lines |= {"treat all": _line(benefit.get("all")), "treat none": _line(benefit.get("none"))}
            lines = {k: v for k, v in lines.items() if len(v) == len(benefit["thresholds"])}
            label = f"{_short(horizon.get('time'))} {a.get('unit', '')}".strip()
            figure = decision_curve_plot(benefit["thresholds"], lines, title=_name(a), time_label=label)
            blocks.append(
                picture(f"net_benefit_{number:02d}", figure, f"{_name(a)}: net benefit.", wide=False)
            )
    if not rows:
        return None
    columns = [
        "Analysis",
        "Clinical: Uno C",
        "Score: Uno C",
        "Combined: Uno C",
        "Combined − clinical",
        "LR test of the score",
    ]
    lead = "All three models are frozen from discovery. Differences carry paired bootstrap intervals."
    table = Table(caption="Added value over clinical variables", columns=columns, rows=rows)
    return Section(id="added-value", title="Added value", blocks=[table, *blocks], lead=lead)


def _line(values: Any) -> list[float]:
    return [float("nan") if v is None else float(v) for v in values or ()]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str("" if value is None else value)


def _text(value: Any) -> str:
    found = triple(value)
    return estimate_text(*found, digits=3) if found else (reason(value) or "–")


def subgroup_section(material: Material) -> Section | None:
    """Effect of the score in every subgroup with its interaction test; None when none is declared."""
    blocks: list[Block] = []
    for number, a in enumerate(_honest(material), start=1):
        found = a.get("subgroups")
        if not isinstance(found, Sequence) or not found:
            continue
        rows: list[ForestRow] = []
        for group in found:
            if not usable(group):
                continue
            p, q = real(group.get("p_interaction")), real(group.get("q_interaction"))
            text = f"{group.get('variable')}: interaction {p_text(p)}" + (
                "" if q is None else f", q = {q:.2f}"
            )
            rows.append(ForestRow(label=text, kind="heading"))
            rows += [hr_row(str(r.get("level")), r, level=1) for r in group.get("rows") or ()]
        if rows:
            caption = (
                f"{_name(a)}: hazard ratio per discovery SD in every subgroup; q over the declared family."
            )
            blocks.append(picture(f"subgroups_{number:02d}", forest_plot(rows, title=_name(a)), caption))
    moved = _alluvial(material) if blocks else None
    blocks += [moved] if moved is not None else []
    if not blocks:
        return None
    lead = (
        "All declared subgroups are shown. A difference between them is claimed only by its interaction test."
    )
    return Section(id="subgroups", title="Subgroups", blocks=blocks, lead=lead)


def _alluvial(material: Material) -> Block | None:
    """Risk group against the first two declared subgroups that have few categories; None without any."""
    table = material.patients
    declared = (material.config.get("columns") or {}).get("subgroups") or []
    groups = {
        r["patient_id"]: r.get("group", "") for r in material.scores if r.get("group") in ("low", "high")
    }
    if table is None or not groups:
        return None
    known = table[table["patient_id"].isin(groups)].copy()
    columns = [c for c in declared if c in known and 2 <= known[c].nunique() <= 8][:2]
    if not columns or len(known) < 5:
        return None
    known = known.dropna(subset=columns)
    patients = [
        (groups[row["patient_id"]], *(str(row[c]) for c in columns))
        for row in known[["patient_id", *columns]].to_dict("records")
    ]
    figure = alluvial_plot(["Risk group", *columns], patients, title="Risk groups and declared subgroups")
    return picture(
        "alluvial",
        figure,
        f"Risk group and {' and '.join(columns)} of {len(patients):,} patients, all cohorts.",
    )


def treatment_section(material: Material) -> Section | None:
    """Treatment by score, with the verdict and its reasons; None when no treatment is declared."""
    items = [t for t in material.results.get("treatment") or () if isinstance(t, Mapping)]
    if not items:
        return None
    blocks: list[Block] = []
    for number, item in enumerate(items, start=1):
        declared = material.endpoints.get(str(item.get("endpoint", "")))
        unit = "" if declared is None else declared.unit
        blocks += _treatment({"unit": unit, **item}, number)
    lead = (
        "Hazard ratios are treated against untreated. Patients were treated by choice, not by "
        "lot, unless stated."
    )
    return Section(id="treatment", title="Treatment", blocks=blocks, lead=lead)


def _treatment(item: Mapping[str, Any], number: int) -> list[Block]:
    cohort, endpoint = (
        cohort_title(str(item.get("cohort", ""))),
        endpoint_title(str(item.get("endpoint", ""))),
    )
    title = f"{item.get('arm', 'treatment')}: {cohort}, {endpoint}"
    if reason(item):
        return [Note(title=title, text=reason(item), level="warning")]
    blocks: list[Block] = []
    words = str(item.get("words") or item.get("verdict") or "")
    reasons = "; ".join(str(r) for r in item.get("reasons") or ())
    if words:
        blocks.append(Note(title=f"{title}: {words}.", text=reasons))
    rows = [
        hr_row(f"{risk_label(str(g.get('label')))}, {g.get('n_treated')} treated", g)
        for g in item.get("groups") or ()
    ]
    interaction = item.get("interaction")
    if usable(interaction):
        rows.append(hr_row("Interaction, score × treatment", interaction))
    if rows:
        figure = forest_plot(rows, title=title, left_label="treatment better", right_label="treatment worse")
        adjusted = real((interaction or {}).get("p_adjusted")) if isinstance(interaction, Mapping) else None
        caption = f"{title}: effect of treatment in each risk group."
        caption += (
            f" Interaction, adjusted over cohorts and endpoints: {p_text(adjusted)}."
            if adjusted is not None
            else ""
        )
        blocks.append(picture(f"treatment_{number:02d}", figure, caption))
    line = item.get("continuous")
    if usable(line) and isinstance(line, Mapping) and line.get("score"):
        figure = effect_curve_plot(
            line["score"],
            _line(line["hr"]),
            (_line(line["lower"]), _line(line["upper"])),
            title=title,
            x_label="Risk score (discovery SD)",
            y_label="HR of treatment",
        )
        text = f"{title}: hazard ratio of treatment along the score."
        blocks.append(picture(f"treatment_score_{number:02d}", figure, text, wide=False))
    blocks += _treatment_curves(item, title, number)
    balance: list[list[Cell]] = [
        [str(b.get("variable")), real(b.get("smd_before")), real(b.get("smd_after"))]
        for b in item.get("balance") or ()
    ]
    if balance:
        columns = ["Variable", "SMD before", "SMD after weighting"]
        blocks.append(Table(caption=f"Balance, {title}", columns=columns, rows=balance, folded=True))
    if real(item.get("minimum_detectable")) is not None:
        blocks.append(
            Facts(rows=[("Smallest detectable interaction (HR)", _short(float(item["minimum_detectable"])))])
        )
    return blocks


def _treatment_curves(item: Mapping[str, Any], title: str, number: int) -> list[Block]:
    """Kaplan-Meier curves of treated and untreated patients, one panel per risk group."""
    panels = []
    curves = [c for c in item.get("km") or () if isinstance(c, Mapping) and c.get("time")]
    for label in dict.fromkeys(str(c.get("label")) for c in curves):
        drawn = [km_curve(c, label=str(c.get("arm"))) for c in curves if str(c.get("label")) == label]
        panels.append(
            KmData(
                title=risk_label(label),
                unit=str(item.get("unit", "")) or "time units",
                curves=drawn,
                endpoint=endpoint_title(str(item.get("endpoint", ""))),
            )
        )
    if not panels:
        return []
    return [
        picture(
            f"treatment_km_{number:02d}",
            km_grid(panels),
            f"{title}: survival by treatment in each risk group.",
        )
    ]


def audits_section(material: Material) -> Section | None:
    """What the audits found, each with its bar; None when none was run."""
    if not material.audits:
        return None
    blocks: list[Block] = []
    for name, result in sorted(material.audits.items()):
        if not isinstance(result, Mapping):
            continue
        verdict = result.get("verdict") or result.get("words")
        if verdict is not None:
            good = str(verdict).lower().startswith(("pass", "good", "ok"))
            blocks.append(Note(title=f"{name}:", text=str(verdict), level="good" if good else "warning"))
        blocks.append(Facts(rows=[(f"{name}: {k}", v) for k, v in _audit_facts(result)]))
        blocks += [_audit_table(name, k, v) for k, v in sorted(result.items()) if _is_table(v)]
    return Section(id="audits", title="Audits", blocks=blocks)


def _audit_facts(result: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Single numbers and estimates of an audit, those one level down included."""
    out = []
    for key, value in sorted(result.items()):
        label = prefix + str(key).replace("_", " ")
        if triple(value):
            out.append((label, _text(value)))
        elif isinstance(value, Mapping) and not prefix and key not in ("selected",):
            out += _audit_facts(value, f"{label}, ")
        elif isinstance(value, (str, int, float)) and key not in ("verdict", "words", "schema", "audit"):
            out.append((label, _short(value)))
    return out


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _audit_table(name: str, key: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = list(rows[0])
    cells: list[list[Cell]] = [
        [_text(row.get(c)) if isinstance(row.get(c), Mapping) else _cell(row.get(c)) for c in columns]
        for row in rows
    ]
    heads = [c.replace("_", " ") for c in columns]
    return Table(caption=f"{name}: {key.replace('_', ' ')}", columns=heads, rows=cells)


def _cell(value: Any) -> Cell:
    return value if value is None or isinstance(value, (int, float, str)) else str(value)
