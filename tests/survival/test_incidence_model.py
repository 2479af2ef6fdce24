"""Absolute risks under competing events equal those of R's multi-state Cox models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import InputError, NotEstimableError
from pathosig.survival import IncidenceModel, cox, cumulative_incidence

GOLDEN = Path(__file__).parents[1] / "golden"
R = json.loads((GOLDEN / "incidence.json").read_text())
DATA = pd.read_csv(GOLDEN / "cohort.csv", float_precision="round_trip")
X = DATA[["x1", "x2"]].to_numpy()
NEW = np.column_stack([R["x1"], R["x2"]])


@pytest.mark.parametrize("tied", [False, True])
def test_predicted_incidences_of_both_causes_equal_those_of_multi_state_cox_models(tied):
    rank = DATA["time"].rank(method="first")
    time, prefix = (DATA["time"], "tied_") if tied else (DATA["time"] + rank / 1e4, "")
    model = IncidenceModel.fit(X, time, DATA["cause"])
    np.testing.assert_allclose(model.coef.ravel(), R[f"{prefix}coef"], rtol=1e-6)
    for cause, name in ((1, "first"), (2, "second")):
        theirs = np.array(R[f"{prefix}{name}"]).reshape(len(NEW), len(R["times"]))
        np.testing.assert_allclose(model.incidence_at(NEW, R["times"], cause=cause), theirs, rtol=1e-6)


def test_predictions_average_to_the_curve_of_the_patients():
    model = IncidenceModel.fit(X, DATA["time"], DATA["cause"])
    curve = cumulative_incidence(DATA["time"], DATA["cause"]).curve(1)
    mean = model.incidence_at(X, R["times"]).mean(axis=0)
    np.testing.assert_allclose(mean, curve.incidence_at(R["times"])[0], atol=0.015)


def test_curves_of_groups_equal_survfit():
    high = DATA["x1"] > DATA["x1"].median()
    for group in (0, 1):
        rows = DATA[high == bool(group)]
        curves = cumulative_incidence(rows["time"], rows["cause"])
        for cause, name in ((1, "first"), (2, "second")):
            ours = curves.curve(cause).incidence_at(R["times"])[0]
            np.testing.assert_allclose(ours, R[f"group{group}_{name}"], rtol=1e-10)


def test_without_a_competing_event_it_is_the_risk_of_the_cox_model_and_with_one_it_is_less():
    event = DATA["cause"] == 1
    fit = cox(X, DATA["time"], event)
    net = 1 - fit.survival_at(NEW, R["times"])
    alone = IncidenceModel.fit(X, DATA["time"], event.astype(int))
    np.testing.assert_allclose(alone.incidence_at(NEW, R["times"]), net, rtol=1e-9)
    both = IncidenceModel.fit(X, DATA["time"], DATA["cause"])
    assert (both.incidence_at(NEW, R["times"]) < net).all()
    total = sum(both.incidence_at(NEW, R["times"], cause=c) for c in (1, 2))
    assert (total < 1).all()


def test_nothing_is_predicted_beyond_follow_up_and_impossible_questions_are_refused():
    model = IncidenceModel.fit(X, DATA["time"], DATA["cause"])
    assert np.isnan(model.incidence_at(NEW, [DATA["time"].max() + 1])).all()
    with pytest.raises(InputError, match="no cause 3"):
        model.incidence_at(NEW, [5], cause=3)
    with pytest.raises(NotEstimableError, match="no event"):
        IncidenceModel.fit(X, DATA["time"], np.zeros(len(X), int))
