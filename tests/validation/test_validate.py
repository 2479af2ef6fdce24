"""Validation, treatment, subgroups, agreement of cores, Table 1 and internal validation."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest

from pathosig.core.clinical import Primary
from pathosig.core.errors import NotEstimableError
from pathosig.signature import SignatureSpec, TrainingSet, core_agreement, fit_signature
from pathosig.survival import cox, harrell_c, logrank
from pathosig.survival.agreement import block_variance, multinomial_variance
from pathosig.survival.covariates import encode
from pathosig.validation import cross_validate, validate
from pathosig.validation.estimates import hazard_ratio
from pathosig.validation.forests import forest, subgroup_effects
from pathosig.validation.table1 import table_one
from pathosig.validation.values import NotEstimable

QUICK = SignatureSpec(bootstraps=0, n_subsamples=40)


@pytest.fixture(scope="module")
def signature(cohort):
    return fit_signature(cohort["profiles"][:140], cohort["outcome"][:140], tree=cohort["tree"], spec=QUICK)


@pytest.fixture(scope="module")
def patients(cohort):
    rng = np.random.default_rng(0)
    n = len(cohort["profiles"])
    return pd.DataFrame(
        {
            "patient_id": cohort["profiles"]["patient_id"],
            "cohort": ["discovery"] * 140 + ["validation_1"] * (n - 140),
            "age": rng.normal(60, 8, n),
            "sex": rng.choice(["F", "M"], n),
            "chemo": rng.integers(0, 2, n).astype(float),
        }
    )


@pytest.fixture(scope="module")
def found(cohort, signature, patients):
    return validate(
        signature, cohort["profiles"], {"os": cohort["outcome"]}, patients=patients, covariates=["age", "sex"],
        subgroups=["sex"], treatments=["chemo"], primary=Primary(endpoint="os", treatment="chemo"),
    )  # fmt: skip


def test_validate_has_no_cutoff_argument():
    assert not [p for p in inspect.signature(validate).parameters if "cut" in p]


def test_numbers_are_those_of_the_survival_functions(cohort, signature, found):
    a = found.analysis("validation_1", "os")
    rows = cohort["outcome"][140:]
    score = signature.score(cohort["profiles"][140:])
    time, event = rows["time"].to_numpy(), rows["event"].to_numpy()
    assert a.n == 100
    assert a.events == event.sum()
    assert a.harrell_c.estimate == harrell_c(score, time, event).c
    fit = cox(score[:, None] / signature.sd, time, event)
    assert a.hr_sd.hr == pytest.approx(fit.hr[0], rel=1e-12)
    assert a.logrank.p == pytest.approx(logrank(time, event, score > signature.cutoff).p, rel=1e-9)
    assert [g.label for g in a.km.groups] == ["low", "high"]
    assert sum(g.n for g in a.km.groups) == 100
    assert a.km.at_risk.groups["low"][0] + a.km.at_risk.groups["high"][0] == 100
    assert a.primary is True
    assert 0.4 < a.calibration.slope.estimate < 2.5


def test_discovery_is_marked_apparent(found):
    assert found.analysis("discovery", "os").apparent is True
    assert [c.role for c in found.cohorts] == ["discovery", "validation"]


def test_pooling_needs_three_cohorts(found):
    assert len(found.pooled) == 2
    assert all("needs 3" in row.result.reason for row in found.pooled)


def test_three_validation_cohorts_are_pooled_with_a_prediction_interval(cohort, signature, patients):
    parts = np.array(["discovery"] * 90 + ["a"] * 50 + ["b"] * 50 + ["c"] * 50)
    made = validate(
        signature, cohort["profiles"], {"os": cohort["outcome"]}, patients=patients.assign(cohort=parts),
        discovery="discovery",
    )  # fmt: skip
    pool = made.pooled[0].result
    assert len(pool.cohorts) == 3
    assert pool.prediction[0] <= pool.lower <= pool.estimate <= pool.upper <= pool.prediction[1]
    assert sum(c.weight for c in pool.cohorts) == pytest.approx(100)


def test_separated_events_get_firths_estimate():
    rng = np.random.default_rng(0)
    time, x = rng.exponential(10, 60), np.r_[np.zeros(40), np.ones(20)]
    row = hazard_ratio(x, time, np.r_[np.ones(40, bool), np.zeros(20, bool)])
    assert row.separated and row.firth
    assert 0 < row.hr < 1
    assert row.upper < 1


def test_the_tidy_frame_has_a_row_per_measure(found):
    frame = found.to_frame()
    assert {"harrell_c", "uno_c", "hr_sd", "auc", "observed_expected"} <= set(frame["measure"])


def test_a_cohort_without_events_says_so(cohort, signature):
    outcome = cohort["outcome"].assign(event=False)
    made = validate(signature, cohort["profiles"], {"os": outcome})
    assert made.analyses[0].harrell_c == NotEstimable(reason="no events")


def frame_with(effect: float, seed: int, n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    score, arm = rng.normal(size=n), rng.integers(0, 2, n)
    hazard = np.exp(0.5 * score + effect * arm * score)
    time = rng.exponential(20, n) / hazard
    return pd.DataFrame(
        {
            "patient_id": [str(i) for i in range(n)],
            "score": score,
            "group": np.where(score > 0, "high", "low"),
            "time": time,
            "event": time < 60,
            "arm": arm.astype(float),
        }
    )


def test_forest_rows_have_headings_and_references_for_categories():
    frame = frame_with(0, 0).assign(
        sex=lambda f: np.where(f["arm"] == 1, "M", "F"), age=50.0 + np.arange(400) % 30
    )
    made = forest(frame, ["sex", "age", "absent"], sd=1.0)
    kinds = [(r.variable, r.kind) for r in made.multivariable]
    assert kinds == [
        ("score", "estimate"),
        ("sex", "heading"),
        ("sex", "reference"),
        ("sex", "estimate"),
        ("age", "estimate"),
    ]
    terms = encode(frame, ["sex"])
    assert terms[0].reference == "F"


def test_forest_rows_count_the_patients_and_events_of_their_level():
    frame = frame_with(0, 0).assign(sex=lambda f: np.where(f["arm"] == 1, "M", "F"))
    frame["sex"] = frame["sex"].where(np.arange(400) % 10 != 0, None)
    frame["age"] = 50.0 + np.arange(400) % 30
    models = forest(frame, ["sex", "age"], sd=1.0, imputations=2)
    known = frame[frame["sex"].notna()]
    rows = {(r.variable, r.level): (r.n, r.events) for r in models.multivariable}
    for level in ("F", "M"):
        patients = known[known["sex"] == level]
        assert rows["sex", level] == (len(patients), int(patients["event"].sum()))
    everyone = (len(known), int(known["event"].sum()))
    assert rows["sex", ""] == rows["age", "per unit"] == rows["score", "per SD"] == everyone
    alone = {(r.variable, r.level): (r.n, r.events) for r in models.univariable}
    assert alone["age", "per unit"] == (400, int(frame["event"].sum()))
    assert {(r.n, r.events) for r in models.imputed} == {(None, None)}


def test_subgroups_test_interaction_and_adjust_over_the_family():
    frame = frame_with(-1, 3)
    made = subgroup_effects(frame.assign(noise=np.arange(400) % 2), ["arm", "noise"], sd=1.0)
    assert made[0].p_interaction < 0.001
    assert made[1].q_interaction >= made[1].p_interaction


def test_alike_cores_are_not_called_heterogeneous_by_sampling_alone():
    rng = np.random.default_rng(0)
    centre = rng.normal(size=300)
    rows = [
        {"patient_id": str(i), "score": c + rng.normal() * 0.3, "variance": 0.09}
        for i, c in enumerate(centre)
        for _ in "ab"
    ]
    made = core_agreement(pd.DataFrame(rows), cutoff=0.0)
    assert made.observed < 0.06
    assert made.naive > 0.08
    assert abs(made.observed - made.expected) < 0.04


def test_clearly_different_cores_are_heterogeneous_and_one_core_is_single():
    rows = [("a", 2.0), ("a", -2.0), ("b", 1.0), ("c", 1.0), ("c", 1.1)]
    table = pd.DataFrame([{"patient_id": p, "score": s, "variance": 0.01} for p, s in rows])
    labels = core_agreement(table, cutoff=0.0).table.set_index("patient_id")["agreement"].to_dict()
    assert labels == {"a": "heterogeneous", "b": "single", "c": "agree"}


def test_blocks_see_spatial_clumps_that_independent_tiles_do_not():
    x, y = (v.ravel().astype(float) for v in np.meshgrid(np.arange(20), np.arange(20)))
    clumped = (x >= 10).astype(float)
    mixed = np.random.default_rng(0).permutation(clumped)
    simple = multinomial_variance(np.array([0.0, 1.0]), np.array([0.5, 0.5]), 400)
    assert block_variance(clumped, x, y, block=4) > 5 * simple
    assert block_variance(mixed, x, y, block=4) < 3 * simple


def test_table_one_counts_levels_and_missing_values():
    table = pd.DataFrame(
        {"cohort": ["a", "a", "b", "b"], "sex": ["F", "M", "F", None], "age": [1.0, 3.0, 5.0, 7.0]}
    )
    rows = table_one(table, ["sex", "age"], "cohort", ["a", "b"]).rows
    assert rows[0].values == {"a": "2", "b": "2"}
    assert [r.level for r in rows if r.variable == "sex"] == ["F", "M", "missing"]
    assert rows[-1].values["a"] == "2 (1.5-2.5)"


def test_cross_validation_on_noise_does_not_find_signal(noise):
    patients = TrainingSet.of(noise["profiles"], noise["outcome"], tree=noise["tree"])
    made = cross_validate(patients, spec=QUICK, repeats=1, folds=3)
    if made.share_empty == 1:
        assert np.isnan(made.c)
        assert not made.selected
    else:
        assert 0.35 < made.c < 0.62


def test_cross_validation_needs_events(noise):
    outcome = noise["outcome"].assign(event=False)
    with pytest.raises(NotEstimableError, match="0 events"):
        cross_validate(TrainingSet.of(noise["profiles"], outcome), spec=QUICK)


def test_cross_validation_is_the_same_with_two_workers(cohort):
    patients = TrainingSet.of(cohort["profiles"], cohort["outcome"], tree=cohort["tree"])
    alone, two = (
        cross_validate(patients, spec=QUICK, repeats=2, folds=4, benchmark=True, workers=w) for w in (1, 2)
    )
    pd.testing.assert_frame_equal(alone.scores, two.scores)
    assert (alone.c, alone.lower, alone.upper, alone.ridge) == (two.c, two.lower, two.upper, two.ridge)
    assert alone.selected == two.selected
    assert len(alone.selected) > 0
