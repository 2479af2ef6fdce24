"""Section on treatment: one table of verdicts, one figure of the primary endpoint, the rest behind a line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathosig.figures.forest import ForestRow, forest_plot
from pathosig.figures.km import KmData, km_grid
from pathosig.figures.performance import effect_curve_plot
from pathosig.figures.results import hr_row, km_curve, real, reason, risk_label, triple
from pathosig.figures.style import estimate_text, p_text
from pathosig.report.cells import is_primary_endpoint, line_of, mapping, mappings, short
from pathosig.report.images import picture
from pathosig.report.material import Material, cohort_title, endpoint_title
from pathosig.report.page import Block, Cell, Facts, Note, Section, Table, folded

_Item = Mapping[str, Any]


def treatment_section(material: Material) -> Section | None:
    """Treatment by score, with the verdict and its reasons; None when no treatment is declared."""
    items = mappings(material.results.get("treatment"))
    if not items:
        return None
    blocks: list[Block] = [*_verdicts(items), _table(items)]
    arms = dict.fromkeys(str(i.get("arm", "treatment")) for i in items)
    for number, arm in enumerate(arms, start=1):
        chosen = [i for i in items if str(i.get("arm", "treatment")) == arm and not reason(i)]
        main = [i for i in chosen if is_primary_endpoint(material, str(i.get("endpoint", "")))]
        blocks += _forest(arm, main or chosen, number)
    for number, item in enumerate(items, start=1):
        if reason(item):
            blocks.append(Note(title=_title(item), text=reason(item), level="warning"))
            continue
        declared = material.endpoints.get(str(item.get("endpoint", "")))
        unit = "" if declared is None else declared.unit
        blocks += folded(
            _title(item),
            _details({"unit": unit, **item}, number),
            small="survival by treatment, effect along the score, balance",
        )
    lead = (
        "Hazard ratios are treated against untreated. Patients were treated by choice, not by lot, unless "
        "stated. A claim needs the interaction in cohorts that the score was not fitted on."
    )
    return Section(id="treatment", title="Treatment", blocks=blocks, lead=lead)


def _title(item: _Item) -> str:
    cohort, endpoint = str(item.get("cohort", "")), str(item.get("endpoint", ""))
    return f"{item.get('arm', 'treatment')}: {cohort_title(cohort)}, {endpoint_title(endpoint)}"


def _words(item: _Item) -> str:
    return str(item.get("words") or item.get("verdict") or "")


def _verdicts(items: list[_Item]) -> list[Note]:
    """One box per treatment and endpoint: the verdict and the reasons of all its cohorts."""
    out = []
    groups: dict[tuple[str, str, str], list[_Item]] = {}
    for item in items:
        if _words(item):
            key = (str(item.get("arm", "treatment")), str(item.get("endpoint", "")), _words(item))
            groups.setdefault(key, []).append(item)
    for (arm, endpoint, words), same in groups.items():
        reasons = list(dict.fromkeys(str(r) for i in same for r in i.get("reasons") or ()))
        text = f"{words}." + (f" Because: {'; '.join(reasons)}." if reasons else "")
        level = "good" if words.startswith(("predictive", "consistent")) else "info"
        out.append(Note(title=f"{arm}, {endpoint_title(endpoint)}:", text=text, level=level))  # type: ignore[arg-type]
    return out


def _table(items: list[_Item]) -> Table:
    rows: list[list[Cell]] = []
    for item in items:
        place = [str(item.get("arm", "treatment")), cohort_title(str(item.get("cohort", "")))]
        place.append(endpoint_title(str(item.get("endpoint", ""))))
        if reason(item):
            rows.append([*place, None, None, reason(item), None, None, None])
            continue
        groups = {str(g.get("label")): g for g in mappings(item.get("groups"))}
        interaction = mapping(item.get("interaction"))
        rows.append(
            [
                *place,
                item.get("n"),
                item.get("events"),
                *(_hr(groups.get(g)) for g in ("low", "high")),
                _hr(interaction),
                real(interaction.get("p_adjusted")),
            ]
        )
    columns = ["Treatment", "Cohort", "Endpoint", "n", "Events", "HR, low risk", "HR, high risk"]
    columns += ["Interaction per SD", "p, adjusted"]
    note = (
        "Interaction: how the hazard ratio of treatment changes per discovery SD of the score; p adjusted over "
        "cohorts and endpoints."
    )
    return Table(caption="Effect of treatment by risk group", columns=columns, rows=rows, note=note)


def _hr(value: Any) -> str:
    found = triple(value, key="hr")
    return estimate_text(*found) if found else (reason(value) or "–")


def _forest(arm: str, items: list[_Item], number: int) -> list[Block]:
    """All cohorts of one treatment and endpoint in one figure."""
    rows: list[ForestRow] = []
    for item in items:
        groups = mappings(item.get("groups"))
        if not groups:
            continue
        endpoint = endpoint_title(str(item.get("endpoint", "")))
        rows.append(
            ForestRow(label=f"{cohort_title(str(item.get('cohort', '')))}, {endpoint}", kind="heading")
        )
        rows += [
            hr_row(f"{risk_label(str(g.get('label')))}, {g.get('n_treated')} treated", g, level=1)
            for g in groups
        ]
        if mapping(item.get("interaction")):
            rows.append(hr_row("Interaction, score × treatment", item["interaction"], level=1))
    if not rows:
        return []
    figure = forest_plot(
        rows, title=f"Treatment: {arm}", left_label="treatment better", right_label="treatment worse"
    )
    caption = f"{arm}: hazard ratio of treatment in each risk group, and its interaction with the score."
    return [picture(f"treatment_{number:02d}", figure, caption)]


def _details(item: _Item, number: int) -> list[Block]:
    title = _title(item)
    blocks = _curves(item, title, number)
    line = mapping(item.get("continuous"))
    if line.get("score"):
        figure = effect_curve_plot(
            line["score"],
            line_of(line["hr"]),
            (line_of(line["lower"]), line_of(line["upper"])),
            title=title,
            x_label="Risk score (discovery SD)",
            y_label="HR of treatment",
        )
        text = f"{title}: hazard ratio of treatment along the score."
        blocks.append(picture(f"treatment_score_{number:02d}", figure, text, wide=False))
    balance: list[list[Cell]] = [
        [str(b.get("variable")), real(b.get("smd_before")), real(b.get("smd_after"))]
        for b in mappings(item.get("balance"))
    ]
    if balance:
        columns = ["Variable", "SMD before", "SMD after weighting"]
        blocks.append(Table(caption=f"Balance, {title}", columns=columns, rows=balance))
    overlap = mapping(item.get("overlap"))
    facts = []
    if real(overlap.get("share_outside")) is not None:
        facts.append(("Patients outside the overlap of the arms", f"{100 * overlap['share_outside']:.0f}%"))
    for group, value in mapping(item.get("rmst")).items():
        found = triple(value)
        if found:
            facts.append(
                (f"RMST, treated − untreated, {risk_label(str(group)).lower()}", estimate_text(*found))
            )
    p = real(mapping(item.get("interaction")).get("p"))
    facts += [("Interaction, unadjusted", p_text(p))] if p is not None else []
    least = real(item.get("minimum_detectable"))
    facts += [("Smallest detectable interaction (HR)", short(least))] if least is not None else []
    return [*blocks, Facts(rows=facts)] if facts else blocks


def _curves(item: _Item, title: str, number: int) -> list[Block]:
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
