"""Section on treatment: one table of verdicts, one figure of the primary endpoint, the rest behind a line each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pathosig.figures.forest import ForestRow, forest_plot
from pathosig.figures.km import KmData
from pathosig.figures.performance import effect_curve_plot
from pathosig.figures.results import floats, hr_row, km_curve, known
from pathosig.figures.style import estimate_text, p_text
from pathosig.figures.titles import endpoint_title, risk_label, sentence_case, variable_title
from pathosig.figures.uncertainty import time_scale, why_too_wide
from pathosig.report.cells import hr_cell, in_words, is_primary_endpoint, number_text, per_cent
from pathosig.report.images import km_pictures, picture
from pathosig.report.material import Material, cohort_title
from pathosig.report.page import Block, Cell, Facts, Note, Number, Section, Table, folded
from pathosig.validation.arms import Treatment, TreatmentCohort, TreatmentEffect
from pathosig.validation.values import Estimate, HazardRatio, NotEstimable


def treatment_section(material: Material) -> Section | None:
    """Treatment by score, with the verdict and its reasons; None when no treatment is declared."""
    items = () if material.results is None else material.results.treatment
    if not items:
        return None
    open_ones = [i for i in items if is_primary_endpoint(material, i.endpoint)] or list(items)
    rest: list[Block] = [_verdict(material, i) for i in items if i not in open_ones]
    blocks: list[Block] = [_verdict(material, i) for i in open_ones]
    blocks += folded("Verdicts for other endpoints", rest, small="sensitivity analyses")
    blocks.append(_table(items))
    for number, arm in enumerate(dict.fromkeys(i.arm for i in items), start=1):
        chosen = [i for i in items if i.arm == arm]
        main = [i for i in chosen if is_primary_endpoint(material, i.endpoint)]
        blocks += _forest(arm, main or chosen, number)
    number = 0
    unknown: list[tuple[str, str]] = []
    for item in items:
        unit = material.endpoints[item.endpoint].unit if item.endpoint in material.endpoints else ""
        for cohort in item.cohorts:
            number += 1
            effect, title = cohort.result, _title(item, cohort)
            if isinstance(effect, NotEstimable):
                unknown.append((title, in_words(material, effect.reason)))
                continue
            details = _details(effect, title, number, (unit, item.endpoint))
            blocks += folded(title, details, small="survival by treatment, effect along the score, balance")
    if unknown:
        blocks.append(
            Note(
                title="Not estimable:", text="; ".join(f"{t} ({why.rstrip('.')})" for t, why in unknown) + "."
            )
        )
    lead = "Hazard ratios are treated against untreated. "
    if all(i.design == "observational" for i in items):
        lead += "Treatment was not randomised. "
    lead += "A claim needs the interaction in cohorts that the score was not fitted on."
    return Section(id="treatment", title="Treatment", blocks=blocks, lead=lead)


def _title(item: Treatment, cohort: TreatmentCohort) -> str:
    return (
        f"{variable_title(item.arm)}: {cohort_title(cohort.cohort)}, {endpoint_title(item.endpoint).lower()}"
    )


def _verdict(material: Material, item: Treatment) -> Note:
    """The verdict of one treatment and endpoint, and the reasons why it is not stronger."""
    reasons = "; ".join(dict.fromkeys(item.reasons))
    text = f"{sentence_case(item.words)}." + (f" Because: {reasons}." if reasons else "")
    title = f"{variable_title(item.arm)}, {endpoint_title(item.endpoint).lower()}:"
    level = "good" if item.verdict == "predictive" else "info"
    return Note(title=title, text=in_words(material, text), level=level)  # type: ignore[arg-type]


def _table(items: Sequence[Treatment]) -> Table:
    rows: list[list[Cell]] = []
    for item in items:
        for cohort in item.cohorts:
            place = [variable_title(item.arm), cohort_title(cohort.cohort), endpoint_title(item.endpoint)]
            effect = cohort.result
            if isinstance(effect, NotEstimable):
                rows.append([*place, None, None, "not estimable", "", "", None])
                continue
            by_group = {g.label: hr_cell(g.effect) for g in effect.groups}
            adjusted = effect.interaction.p_adjusted if isinstance(effect.interaction, HazardRatio) else None
            hrs = [by_group.get(g) for g in ("low", "high")]
            rows.append([*place, effect.n, effect.events, *hrs, hr_cell(effect.interaction), adjusted])
    columns = ["Treatment", "Cohort", "Endpoint", "n", "Events", "HR, low risk", "HR, high risk"]
    columns += ["Interaction per SD", "p, adjusted"]
    note = (
        "Interaction: how the hazard ratio of treatment changes per discovery SD of the score; p adjusted over the declared "
        "family of treatments, endpoints and cohorts."
    )
    return Table(caption="Effect of treatment by risk group", columns=columns, rows=rows, note=note)


def _forest(arm: str, items: Sequence[Treatment], number: int) -> list[Block]:
    """All cohorts of one treatment and endpoint in one figure."""
    rows: list[ForestRow] = []
    for item in items:
        for cohort in item.cohorts:
            effect = known(cohort.result)
            if effect is None or not effect.groups:
                continue
            label = f"{cohort_title(cohort.cohort)}, {endpoint_title(item.endpoint).lower()}"
            rows.append(ForestRow(label=label, kind="heading"))
            rows += [
                hr_row(f"{risk_label(g.label)}, {g.n_treated} treated", g.effect, level=1)
                for g in effect.groups
            ]
            rows.append(hr_row("Interaction, score × treatment", effect.interaction, level=1))
    if not rows:
        return []
    name = variable_title(arm)
    figure = forest_plot(
        rows, title=f"Treatment: {name}", left_label="treatment better", right_label="treatment worse"
    )
    caption = f"{name}: hazard ratio of treatment in each risk group, and its interaction with the score."
    return [picture(f"treatment_{number:02d}", figure, caption)]


def _details(effect: TreatmentEffect, title: str, number: int, axis: tuple[str, str]) -> list[Block]:
    blocks = _curves(effect, title, number, axis)
    line = known(effect.continuous)
    if line is not None and line.score:
        figure = effect_curve_plot(
            line.score,
            floats(line.hr),
            (floats(line.lower), floats(line.upper)),
            title=title,
            x_label="Risk score (discovery SD)",
            y_label="HR of treatment",
        )
        text = f"{title}: hazard ratio of treatment along the score."
        blocks.append(picture(f"treatment_score_{number:02d}", figure, text, wide=False))
    balance: list[list[Cell]] = [
        [variable_title(b.variable), b.smd_before, b.smd_after] for b in effect.balance
    ]
    if balance:
        columns = ["Variable", "SMD before", "SMD after weighting"]
        blocks.append(Table(caption=f"Balance, {title}", columns=columns, rows=balance))
    return [*blocks, Facts(rows=_facts(effect, axis[0]))]


def _facts(effect: TreatmentEffect, unit: str) -> list[tuple[str, str | Number]]:
    facts: list[tuple[str, str | Number]] = []
    longest = max((c.time[-1] for c in effect.km if c.time), default=math.inf)
    if effect.overlap is not None:
        facts.append(("Patients outside the overlap of the arms", per_cent(effect.overlap.share_outside)))
    for group, value in effect.rmst.items():
        if isinstance(value, Estimate) and value.estimate is not None:
            text = f"{estimate_text(value.estimate, value.lower, value.upper, digits=1)} {unit}"
            why = why_too_wide(value.lower, value.upper, time_scale(longest))
            shown = Number(value=text, uncertain=why) if why else text
            facts.append((f"RMST, treated − untreated, {risk_label(group).lower()}", shown))
    if isinstance(effect.interaction, HazardRatio):
        facts.append(("Interaction, unadjusted", p_text(effect.interaction.p)))
    if effect.e_value is not None:
        text = f"{number_text(effect.e_value.estimate)}, of the confidence bound {number_text(effect.e_value.bound)}"
        facts.append(("E-value of the interaction", text))
    if effect.minimum_detectable is not None:
        facts.append(("Smallest detectable interaction (HR)", number_text(effect.minimum_detectable)))
    return facts


def _curves(effect: TreatmentEffect, title: str, number: int, axis: tuple[str, str]) -> list[Block]:
    """Kaplan-Meier curves of treated and untreated patients, one panel per risk group."""
    unit, endpoint = axis
    panels = []
    for label in dict.fromkeys(c.label for c in effect.km):
        drawn = [km_curve(c, label=sentence_case(c.arm)) for c in effect.km if c.label == label and c.time]
        panel = KmData(title=risk_label(label), unit=unit, curves=drawn, endpoint=endpoint_title(endpoint))
        panels.append((panel, f"{title}, {risk_label(label).lower()}"))
    return km_pictures(f"treatment_km_{number:02d}", panels, "{title}: survival by treatment.")
