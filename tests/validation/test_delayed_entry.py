"""Delayed entry, from study.toml to the numbers of a validation: patients are at risk from their entry on, as in R."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathosig.core.clinical import parse_endpoints
from pathosig.core.errors import ConfigError, InputError
from pathosig.core.patients import survival_frame
from pathosig.survival import brier
from pathosig.survival.baseline import Baseline
from pathosig.validation.analysis import Analysis
from pathosig.validation.forests import forest
from pathosig.validation.performance import analyse
from pathosig.validation.resampled import ResampledError
from pathosig.validation.values import NotEstimable

GOLDEN = Path(__file__).parents[1] / "golden"
R = json.loads((GOLDEN / "entry.json").read_text())
ROW = Analysis(cohort="v1", endpoint="os", unit="months", role="validation", primary=True, n=0, events=0)


class Exponential:
    """Survival exp(-.03 t exp(.4 x)), as predicted in make_entry.R."""

    baseline = Baseline(unit="months", until=100.0)

    def survival_at(self, predictor, times):
        return np.exp(-0.03 * np.asarray(times)[None, :] * np.exp(0.4 * np.asarray(predictor)[:, None]))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    table = pd.read_csv(GOLDEN / "cohort.csv", float_precision="round_trip")
    table = table[table["entry"] < table["time"]].reset_index(drop=True).drop(columns="cause")
    group = np.where(table["x1"] > table["x1"].median(), "high", "low")
    return table.assign(score=table["x1"], group=group, event=table["event"] == 1)


@pytest.fixture(scope="module")
def row(frame) -> Analysis:
    horizons = [h / 12 for h in R["horizons"]]
    return analyse(
        ROW, frame, signature=Exponential(), sd=1.0, per_year=12.0, horizons=horizons, bootstraps=50
    )


def test_cox_models_and_their_tests_equal_coxph(row):
    assert row.n == R["n"]
    for effect, theirs in ((row.hr_sd, R["hr_sd"]), (row.hr_group, R["hr_group"])):
        np.testing.assert_allclose([effect.coef, effect.se], theirs, rtol=1e-6)
    np.testing.assert_allclose(row.logrank.statistic, R["score"], rtol=1e-6)
    np.testing.assert_allclose([row.ph.score.statistic, row.ph.score.p], R["zph_score"], rtol=1e-6)
    np.testing.assert_allclose([row.ph.group.statistic, row.ph.group.p], R["zph_group"], rtol=1e-6)


def test_kaplan_meier_curves_equal_survfit(row):
    for curve in row.km.groups:
        theirs = R[f"km_{curve.label}"]
        at = [(s.estimate, s.lower, s.upper) for s in curve.survival_at]
        np.testing.assert_allclose(
            at, np.column_stack([theirs[k] for k in ("surv", "lower", "upper")]), rtol=1e-10
        )


def test_harrells_c_equals_concordance(row):
    np.testing.assert_allclose(row.harrell_c.estimate, R["c"], rtol=1e-10)


def test_auc_brier_score_and_null_model_equal_their_formulas_in_r(row):
    np.testing.assert_allclose([a.estimate for a in row.auc], R["auc"], rtol=1e-10)
    np.testing.assert_allclose([b.score for b in row.brier], R["brier"], rtol=1e-10)
    np.testing.assert_allclose([b.null for b in row.brier], R["null"], rtol=1e-10)
    assert all(b.difference.lower < b.difference.upper for b in row.brier)


def test_resamples_of_late_patients_are_those_of_the_table_drawn_out(frame):
    time, event, entry = (frame[c].to_numpy() for c in ("time", "event", "entry"))
    times = np.array(R["horizons"])
    predicted = Exponential().survival_at(frame["score"], times)
    error = ResampledError(predicted, time, event, times, entry=entry)
    drawn = np.random.default_rng(0).integers(0, len(time), len(time))
    counts = np.bincount(drawn, minlength=len(time))[None, :].astype(float)
    again = brier(predicted[drawn], time[drawn], event[drawn], times=times, entry=entry[drawn])
    np.testing.assert_allclose(error.scores(counts)[0][0], again, rtol=1e-10)


def test_entry_changes_every_number_and_what_cannot_use_it_says_so(frame, row):
    plain = analyse(ROW, frame.drop(columns="entry"), signature=None, sd=1.0, per_year=12.0)
    assert plain.hr_sd.coef != row.hr_sd.coef
    assert plain.harrell_c.estimate != row.harrell_c.estimate
    assert plain.km.groups[0].survival_at != row.km.groups[0].survival_at
    assert "delayed entry" in row.rmst.reason
    with_covariate = forest(frame, ["x3"], sd=1.0).multivariable
    without = forest(frame.drop(columns="entry"), ["x3"], sd=1.0).multivariable
    assert (
        with_covariate[0].effect.coef != without[0].effect.coef
        or with_covariate[0].effect.hr != without[0].effect.hr
    )
    assert not isinstance(row.calibration, NotEstimable)


def endpoint(**more):
    return parse_endpoints({"os": {"time": "t", "event": "e", "unit": "months", **more}})["os"]


def test_the_column_of_entry_is_read_and_times_that_were_never_at_risk_are_refused():
    rows = [
        {"patient_id": "A", "t": "10", "e": "1", "start": "2.5"},
        {"patient_id": "B", "t": "8", "e": "0", "start": "0"},
    ]
    assert survival_frame(rows, endpoint(entry="start"))["entry"].tolist() == [2.5, 0.0]
    assert "entry" not in survival_frame(rows, endpoint())
    with pytest.raises(InputError, match="1 patient enters .* no earlier .* B") as caught:
        survival_frame([rows[0], rows[1] | {"start": "8"}], endpoint(entry="start"))
    assert caught.value.code == "E_TIME"
    with pytest.raises(InputError, match="1 value that is not a time"):
        survival_frame([rows[0] | {"start": ""}], endpoint(entry="start"))
    with pytest.raises(InputError, match="needs column begun"):
        survival_frame(rows, endpoint(entry="begun"))
    with pytest.raises(ConfigError, match="entry: expected the name of a column"):
        endpoint(entry=3)
