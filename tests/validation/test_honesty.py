"""Negative findings are reported, families of tests are adjusted together, and units, follow-up and folds are correct."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import NotEstimableError
from pathosig.signature import SignatureSpec, TrainingSet, fit_signature
from pathosig.survival.causes import causes_of
from pathosig.validation import ValidateSpec, cross_validate, read_results, validate
from pathosig.validation.analysis import Analysis, ProportionalHazards, Subgroup
from pathosig.validation.calibrate import calibration_of
from pathosig.validation.families import with_families
from pathosig.validation.findings import cohort_findings, fold_findings
from pathosig.validation.internal import _refitting_error
from pathosig.validation.values import ChiSquare, NotEstimable
from tests.signature.test_stage import make_study, run

QUICK = SignatureSpec(bootstraps=0, n_subsamples=40)
FAST = ValidateSpec(bootstraps=20, imputations=0)


@pytest.fixture(scope="module")
def signature(cohort):
    return fit_signature(cohort["profiles"][:140], cohort["outcome"][:140], tree=cohort["tree"], spec=QUICK)


def codes(findings):
    return [f.code for f in findings]


def test_one_group_and_equal_scores_are_warned_of():
    tiles = np.full(40, 100.0)
    scores = np.r_[np.zeros(30), np.linspace(-2, -1, 10)]
    low = np.full(40, "low", object)
    assert codes(cohort_findings("v", scores, low, tiles)) == ["W_TIED", "W_ONE_GROUP"]
    spread = np.linspace(-1, 1, 40)
    assert codes(cohort_findings("v", spread, np.where(spread > 0, "high", "low"), tiles)) == []


def test_one_group_gets_no_curves_and_no_labels(cohort, signature):
    far = replace(signature, cutoff=1e6)
    made = validate(far, cohort["profiles"][140:], {"os": cohort["outcome"]}, spec=FAST)
    row = made.analyses[0]
    for value in (row.km, row.logrank, row.hr_group, row.rmst):
        assert isinstance(value, NotEstimable)
    assert row.harrell_c.estimate > 0.5
    assert "W_ONE_GROUP" in codes(made.warnings)


def test_folds_that_select_nothing_are_warned_of():
    assert codes(fold_findings(1.0, "os")) == ["W_ALL_FOLDS_EMPTY"]
    assert codes(fold_findings(0.4, "os")) == ["W_EMPTY_FOLDS"]
    assert fold_findings(0.0, "os") == []


def test_a_cross_validation_that_selects_nothing_has_neither_a_c_nor_groups(noise):
    training = TrainingSet.of(noise["profiles"], noise["outcome"], tree=noise["tree"])
    strict = QUICK.replace(min_threshold=1.0)
    made = cross_validate(training, spec=strict, repeats=1, folds=3)
    assert made.share_empty == 1
    assert np.isnan([made.c, made.lower, made.upper]).all()
    assert set(made.scores["group"]) == {"not assessable"}


def test_validate_exits_5_where_no_fold_selects_anything_and_results_are_written_all_the_same(tmp_path):
    """20 patients with a weak effect: a feature is selected in the whole cohort and none in half of it."""
    study = make_study(tmp_path / "s", cohorts=("discovery",), effect=0.3, n=24)
    spec = SignatureSpec(bootstraps=0, n_subsamples=40, selection="tree")
    with pytest.raises(NotEstimableError, match="selected nothing in any fold") as caught:
        run(study, spec, bootstraps=5, folds=2, repeats=1, imputations=0)
    assert caught.value.code == "E_NOTHING_FOUND"
    results = read_results(study.paths.results)
    assert results.internal.share_empty == 1
    assert results.internal.harrell_c.estimate is None
    assert results.verdicts[0].verdict == "nothing found"
    assert "W_ALL_FOLDS_EMPTY" in codes(results.warnings)


def test_the_interval_of_a_cross_validated_c_accounts_for_refitting():
    folds = [0.5, 0.6, 0.7, 0.8, 0.65]
    expected = np.sqrt((1 / 5 + 1 / 4) * np.var(folds, ddof=1))
    assert _refitting_error([0.03], folds, fits=5, folds=5) == pytest.approx(expected)
    assert _refitting_error([0.3], folds, fits=5, folds=5) == 0.3


def test_units_of_signature_and_cohort_may_differ(cohort, signature):
    rows, days = cohort["outcome"][140:], 365.25 / 12
    score = signature.score(cohort["profiles"][140:])
    time, event = rows["time"].to_numpy(), rows["event"].to_numpy()
    months = calibration_of(signature, score, time, event, per_year=12.0, horizons=(1.0, 3.0))
    same = calibration_of(signature, score, time * days, event, per_year=365.25, horizons=(1.0, 3.0))
    assert [h.years for h in months.horizons] == [1.0, 3.0]
    np.testing.assert_allclose([h.ratio for h in same.horizons], [h.ratio for h in months.horizons])
    made = {
        unit: validate(
            signature, cohort["profiles"][140:], {"os": rows.assign(time=rows["time"] * factor)}, units={"os": unit}, spec=FAST
        ).analyses[0]
        for unit, factor in (("months", 1.0), ("days", days))
    }  # fmt: skip
    assert made["days"].ibs.score == pytest.approx(made["months"].ibs.score)


def test_a_group_that_is_not_followed_to_the_horizon_has_no_observed_risk(cohort, signature):
    rows = cohort["outcome"][140:]
    score = signature.score(cohort["profiles"][140:])
    time, event = rows["time"].to_numpy().copy(), rows["event"].to_numpy().copy()
    worst = score >= np.quantile(score, 0.75)
    time[worst], event[worst] = np.minimum(time[worst], 20.0), event[worst] & (time[worst] <= 20)
    at = calibration_of(signature, score, time, event, per_year=12.0, horizons=(3.0,)).horizons[0]
    whole = calibration_of(
        signature, score, rows["time"].to_numpy(), rows["event"].to_numpy(), per_year=12.0, horizons=(3.0,)
    )
    assert len(at.groups) == len(whole.horizons[0].groups) - 1


def test_a_competing_death_after_follow_up_is_not_counted():
    frame = pd.DataFrame({"patient_id": ["a", "b"], "time": [12.0, 60.0], "event": [False, False]})
    deaths = pd.DataFrame({"patient_id": ["a", "b"], "time": [60.0, 60.0], "event": [True, True]})
    coded = causes_of(frame, deaths)
    assert coded["cause"].tolist() == [0, 2]
    assert coded["time"].tolist() == [12.0, 60.0]


def analysis(cohort, endpoint, p_interaction, p_hazards, role="validation"):
    return Analysis(
        cohort=cohort, endpoint=endpoint, unit="months", role=role, primary=True, n=100, events=50,
        subgroups=(Subgroup(variable="sex", p_interaction=p_interaction, q_interaction=None, rows=()),),
        ph=ProportionalHazards(violated=p_hazards < 0.05, score=ChiSquare(statistic=1.0, df=1, p=p_hazards)),
    )  # fmt: skip


def test_families_run_over_cohorts_and_endpoints_and_leave_discovery_apart():
    rows = [
        analysis("d", "os", 0.01, 0.03, role="discovery"),
        analysis("v1", "os", 0.02, 0.03),
        analysis("v1", "dfs", 0.4, 0.5),
        analysis("v2", "os", None, 0.9),
        analysis("v2", "dfs", 0.9, 0.01),
    ]
    made = with_families(rows)
    assert [a.subgroups[0].q_interaction for a in made] == pytest.approx([0.01, 0.06, 0.6, None, 0.9])
    assert [a.ph.p_adjusted for a in made] == pytest.approx([0.03, 0.09, 1.0, 1.0, 0.04])
    assert [a.ph.violated for a in made] == [True, False, False, False, True]
