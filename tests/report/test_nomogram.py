"""The nomogram of the report gives the risk of the frozen model, for a patient whose values lie on its scales."""

from __future__ import annotations

import numpy as np
import pytest

from pathosig.report.page import Picture
from pathosig.report.sections.nomogram import _marks, example_patient, nomogram_section


def test_points_of_the_example_add_up_to_the_risk_of_the_model(material):
    both = material.results.clinical_histology
    patient = example_patient(material, both)
    sheet, model = both.nomogram, both.model
    total = sum(patient.points)
    assert all(0 <= p <= max(a.points) + 1e-6 for p, a in zip(patient.points, sheet.axes, strict=True))
    row = material.patients[material.patients["patient_id"] == patient.name]
    score = np.array([next(r.score for r in material.scores if r.patient == patient.name)])
    predictor = total * sheet.per_point + sheet.offset
    assert predictor == pytest.approx(model.linear_predictor(row, score)[0], abs=1e-6)
    times = [h.time for h in model.horizons]
    free = model.survival_at(model.predictors(row, score), times)[0]
    assert patient.risks == pytest.approx(1 - free, abs=1e-6)
    net = [1 - np.exp(-h.hazard * np.exp(predictor)) for h in model.horizons]
    assert all(
        0.8 * n < r < n for r, n in zip(patient.risks, net, strict=True)
    )  # others die of another cause before
    for at, risk in zip(sheet.risks, patient.risks, strict=True):
        if at.points[0] <= total <= at.points[-1]:
            assert abs(np.interp(total, at.points, at.risk) - risk) <= sheet.gap + 0.01


def test_round_ticks_lie_where_the_frozen_axis_puts_them(material):
    both = material.results.clinical_histology
    age = next(a for a in both.nomogram.axes if a.variable == "age")
    marks = _marks(age, both.model)
    low, high = float(age.values[0]), float(age.values[-1])
    assert len(marks) >= 3
    for points, text in marks:
        assert float(text) % 1 == 0
        share = (float(text) - low) / (high - low)
        assert points == pytest.approx(age.points[0] + share * (age.points[-1] - age.points[0]))


def test_the_section_shows_the_nomogram_its_example_and_the_effects(material):
    section = nomogram_section(material)
    drawing = next(b for b in section.blocks if isinstance(b, Picture))
    patient = example_patient(material, material.results.clinical_histology)
    assert f"Green: patient {patient.name}, {sum(patient.points):.0f} points" in drawing.caption
    assert [row[0] for row in section.blocks[1].rows][-1] == "Histology score, per SD"
