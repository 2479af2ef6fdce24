"""Section with the frozen model of clinical variables and score as a nomogram."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pathosig.core.words import counted
from pathosig.figures.equation import round_values
from pathosig.figures.nomogram import NomogramScale, RiskMarks, nomogram_figure
from pathosig.figures.results import known
from pathosig.figures.style import p_text
from pathosig.figures.titles import endpoint_title, sentence_case, variable_title, words_of
from pathosig.report.cells import listed, number_text, ratio_cell
from pathosig.report.images import picture
from pathosig.report.material import Material
from pathosig.report.page import Block, Cell, Section, Table
from pathosig.validation.clinical_model import ClinicalModel
from pathosig.validation.clinical_names import clinical_table
from pathosig.validation.clinical_values import ClinicalHistology, NomogramAxis


@dataclass(frozen=True, kw_only=True)
class ExamplePatient:
    """A patient whose values all lie on the scales: the points of each, and the predicted risk by each horizon."""

    name: str
    points: tuple[float, ...]
    risks: tuple[float, ...]


def nomogram_section(material: Material) -> Section | None:
    """The nomogram of clinical variables and score with one patient marked; None without such a model."""
    both = None if material.results is None else known(material.results.clinical_histology)
    if both is None or not both.nomogram.axes:
        return None
    model, sheet = both.model, both.nomogram
    patient = example_patient(material, both)
    scales = [
        NomogramScale(
            label=_axis_label(axis),
            marks=_marks(axis, model),
            ends=(min(axis.points), max(axis.points)),
            example=None if patient is None else patient.points[i],
        )
        for i, axis in enumerate(sheet.axes)
    ]
    risks = [
        RiskMarks(
            label=f"Risk by {_years(r.years)}",
            marks=[(p, f"{100 * v:.0f}%") for v, p in zip(r.risk, r.points, strict=True)],
        )
        for r in sheet.risks
    ]
    top = sum(max(axis.points) for axis in sheet.axes)
    figure = nomogram_figure(scales, risks, totals=(0.0, top))
    caption = (
        "Read the points of every variable on the scale at the top, add them up, and read the risk of an event under the "
        "total. Numbers run from the 1st to the 99th percentile of discovery."
    )
    if sheet.gap is not None and sheet.mean_gap is not None:
        caption += (
            " Another event competes, so the risk is the cumulative incidence of an average patient with that total; the model's own risk "
            f"of a discovery patient differs from it by {100 * sheet.mean_gap:.0f} percentage points on average and by at most "
            f"{100 * sheet.gap:.0f}."
        )
    if patient is not None:
        predicted = listed(
            [
                f"{100 * v:.0f}% by {_years(h.years)}"
                for v, h in zip(patient.risks, model.horizons, strict=True)
            ]
        )
        caption += (
            f" Green: patient {patient.name}, {number_text(sum(patient.points), 0)} points, risk {predicted}."
        )
    blocks: list[Block] = [picture("nomogram", figure, caption), _effects(both)]
    lead = (
        f"{endpoint_title(model.endpoint)} from clinical variables and score together: a Cox model frozen in "
        f"{counted(model.trained_on.n, 'discovery patient')} with {counted(model.trained_on.events, 'event')}."
    )
    return Section(id="nomogram", title="With clinical variables", blocks=blocks, lead=lead)


def example_patient(material: Material, both: ClinicalHistology) -> ExamplePatient | None:
    """The patient nearest to the 70th percentile of total points among those whose values lie on the scales."""
    table, model, sheet = material.patients, both.model, both.nomogram
    scores = {r.patient: r.score for r in material.scores if math.isfinite(r.score)}
    if table is None or model.score_scale is None:
        return None
    frame = clinical_table(table[table["patient_id"].isin(scores)])
    score = np.array([scores[p] for p in frame["patient_id"]])
    if not len(frame):
        return None
    weighted = (model.columns(frame, score) + np.asarray(model.center)) * np.asarray(model.coef)
    parts, start = [], 0
    for width in [*(len(c.labels) for c in model.covariates), 1]:
        parts.append(weighted[:, start : start + width].sum(axis=1))
        start += width
    lowest = [_lowest(i, model) for i in range(len(parts))]
    points = (np.stack(parts, axis=1) - lowest) / sheet.per_point
    most = np.array([max(axis.points) for axis in sheet.axes])
    on_scale = np.flatnonzero(((points >= -1e-6) & (points <= most + 1e-6)).all(axis=1))
    if not len(on_scale):
        return None
    total = points[on_scale].sum(axis=1)
    one = on_scale[int(np.argmin(np.abs(total - np.quantile(total, 0.7))))]
    risk = model.risks(frame.iloc[[one]], score[[one]]).risk[0]
    return ExamplePatient(
        name=str(frame["patient_id"].iloc[one]),
        points=tuple(float(v) for v in points[one]),
        risks=tuple(float(v) for v in risk),
    )


def _lowest(place: int, model: ClinicalModel) -> float:
    """What the value worth 0 points of a variable adds to the linear predictor."""
    starts = np.cumsum([0, *(len(c.labels) for c in model.covariates)])
    first = int(starts[place])
    if place == len(model.covariates):
        return min(model.coef[-1] * v for v in (model.score_range[0], model.score_range[-1]))
    covariate = model.covariates[place]
    weights = model.coef[first : first + len(covariate.labels)]
    if covariate.levels:
        return min(0.0, *weights)
    return min(weights[0] * v for v in (covariate.lower or 0.0, covariate.upper or 0.0))


def _marks(axis: NomogramAxis, model: ClinicalModel) -> list[tuple[float, str]]:
    """Points and text of every tick: the levels of a category, round values of a number."""
    if axis.variable in {c.name for c in model.covariates if c.levels}:
        return [
            (p, level.replace("<=", "≤").replace(">=", "≥"))
            for level, p in zip(axis.values, axis.points, strict=True)
        ]
    ends = float(axis.values[0]), float(axis.values[-1])
    if ends[0] == ends[1]:
        return list(zip(axis.points, axis.values, strict=True))
    slope = (axis.points[-1] - axis.points[0]) / (ends[1] - ends[0])
    return [
        (axis.points[0] + slope * (v - ends[0]), f"{v:.4g}".replace("-", "−"))
        for v in round_values(*ends)
        if min(ends) <= v <= max(ends)
    ]


def _axis_label(axis: NomogramAxis) -> str:
    return "Histology score" if axis.variable == "score" else sentence_case(words_of(axis.variable))


def _years(years: float) -> str:
    return f"{years:g} {'year' if years == 1 else 'years'}"


def _effects(both: ClinicalHistology) -> Table:
    """Hazard ratios of the model."""
    rows: list[list[Cell]] = []
    for e in both.effects:
        name = (
            "Histology score, per SD" if e.variable == "score" else variable_title(f"{e.variable} (per unit)")
        )
        if e.level:
            name = f"{sentence_case(words_of(e.variable))}: {e.level} against {e.reference}"
        rows.append([name, ratio_cell(e.hr, e.lower, e.upper), p_text(e.p)])
    return Table(
        caption="Hazard ratios of the model",
        columns=["Variable", "Hazard ratio (95% CI)", "Wald test"],
        rows=rows,
        note="Per unit of a number; 95% confidence intervals include the uncertainty of imputation.",
    )
