"""The null audit can fail: five procedures that let outcomes leak do, the shipped one passes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from pathosig.audits.null import Claim, audit_null, score_p
from pathosig.signature import SignatureSpec, TrainingSet, training_set
from pathosig.survival import cox_univariate, logrank, max_selected_cutpoint
from pathosig.validation.repeats import Procedure, apparent, quiet_fit
from pathosig.validation.significance import Rate, judge, permuted_order, selection_test

RIDGE = SignatureSpec(selection="ridge", bootstraps=0, folds=3)
PAPER = SignatureSpec(selection="paper", bootstraps=0)


def patients(n: int, columns: int, seed: int, effect: float = 0.0) -> TrainingSet:
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(rng.normal(size=(n, columns)), columns=[f"f{i:02d}" for i in range(columns)])
    death, censored = rng.exponential(np.exp(-effect * x["f00"])), rng.exponential(1.5, size=n)
    x["patient_id"] = [f"{seed}-{i:03d}" for i in range(n)]
    outcome = pd.DataFrame({"time": np.minimum(death, censored), "event": death <= censored})
    return training_set(x, outcome.assign(patient_id=x["patient_id"]))


def fitted(training):
    fit = quiet_fit(training, RIDGE)
    assert fit is not None and fit.signature is not None
    return fit.signature


def with_columns(training, **columns):
    profiles = training.profiles.assign(**columns)
    names = tuple(dict.fromkeys((*training.columns, *columns)))
    return dataclasses.replace(
        training, profiles=profiles, columns=names, rules=None, apply_rules=False, raw=None
    )


def cutoff_refitted_on_validation(discovery, validation):
    score = fitted(discovery).score(validation.profiles)
    cut = max_selected_cutpoint(score, validation.time, validation.event, p="lau92").cutpoint
    return Claim(p=logrank(validation.time, validation.event, score > cut).p)


def selection_before_the_split(discovery, validation):
    names = list(discovery.columns)
    x = np.vstack([discovery.profiles[names], validation.profiles[names]])
    time, event = np.r_[discovery.time, validation.time], np.r_[discovery.event, validation.event]
    table = cox_univariate(x, time, event)
    best = int(np.argmin(table["p"].to_numpy()))
    sign = np.sign(table["coef"][best])
    return Claim(p=score_p(sign * validation.profiles[names[best]].to_numpy(), validation))


def rows_sorted_by_outcome(discovery, validation):
    """The export was sorted by survival, and the row number went in as a feature."""
    both = [with_columns(t, row=np.argsort(np.argsort(t.time)) / len(t)) for t in (discovery, validation)]
    return Claim(p=score_p(fitted(both[0]).score(both[1].profiles), both[1]))


def patients_in_both_cohorts(discovery, validation):
    half = discovery.take(np.arange(len(discovery)) % 2 == 0)
    mixed = dataclasses.replace(
        validation,
        profiles=pd.concat([half.profiles, validation.profiles], ignore_index=True),
        outcome=pd.concat([half.outcome, validation.outcome], ignore_index=True),
        raw=None,
    )
    return Claim(p=score_p(fitted(discovery).score(mixed.profiles), mixed))


def naive_same_data_p(discovery, validation):
    return Claim(p=apparent(quiet_fit(discovery, RIDGE), discovery).naive_p)


SABOTAGED = [
    cutoff_refitted_on_validation,
    selection_before_the_split,
    rows_sorted_by_outcome,
    patients_in_both_cohorts,
    naive_same_data_p,
]


@pytest.mark.parametrize("reporter", SABOTAGED, ids=lambda f: f.__name__)
def test_a_leaky_procedure_fails(reporter):
    found = audit_null(
        patients(80, 24, 1), spec=RIDGE, validation=patients(80, 24, 2), reporter=reporter, permutations=40
    )
    assert found.verdict == "fail"
    assert found.sizes["printed"].lower > 0.07
    assert found.sizes["printed"] == found.reported_rejection
    assert found.reference == 0


def test_the_leak_is_what_fails():
    """The same patients with the shipped reporter are no failure."""
    honest = audit_null(patients(80, 24, 1), spec=RIDGE, validation=patients(80, 24, 2), permutations=40)
    assert honest.verdict == "preview"
    assert honest.sizes["printed"].estimate <= 0.15


def test_the_shipped_procedure_passes():
    found = audit_null(patients(60, 6, 3), spec=PAPER, validation=patients(60, 6, 4), permutations=1000)
    assert found.verdict == "pass"
    assert set(found.sizes) == {"printed", "discovery"}
    assert all(size.upper <= 0.07 for size in found.sizes.values())
    assert (
        found.naive_rejection.lower > 0.1
    )  # the same signatures look significant in the patients they came from
    assert found.reference == 500
    assert 0 < found.p <= 1


def test_fewer_than_a_thousand_permutations_never_pass():
    found = audit_null(patients(60, 6, 3), spec=PAPER, permutations=30)
    assert (found.verdict, list(found.sizes), found.reference) == ("preview", ["discovery"], 15)


def test_the_audit_is_the_same_over_one_and_two_processes():
    found = [
        audit_null(
            patients(50, 4, 3), spec=PAPER, validation=patients(50, 4, 4), permutations=12, workers=workers
        )
        for workers in (1, 2)
    ]
    assert found[0] == found[1]


def test_a_planted_effect_is_significant_and_noise_is_not():
    real = selection_test(patients(120, 8, 5, effect=1.0), PAPER, permutations=200)
    assert real.significant
    assert real.p == pytest.approx(1 / 201)
    assert "stronger than selection alone" in real.sentence()
    assert "a preview of 200 permutations" in real.sentence()
    nothing = selection_test(patients(120, 40, 6), PAPER, permutations=200)
    assert not nothing.significant
    assert nothing.any_signature.estimate > 0.2
    assert nothing.stopped
    assert 10 <= nothing.permutations < 200
    assert nothing.p == 10 / nothing.permutations
    assert f"ended after {nothing.permutations} permutations" in nothing.sentence()


def test_ending_early_changes_no_decision_and_two_processes_find_the_same():
    noise = patients(60, 30, 8)
    ended = selection_test(noise, PAPER, permutations=100)
    assert ended == selection_test(noise, PAPER, permutations=100, workers=2)
    assert ended.stopped
    rng = np.random.default_rng([0, 29])
    orders = [permuted_order(np.repeat("", 60), rng) for _ in range(100)]
    procedure = Procedure(training=noise, spec=PAPER.replace(bootstraps=0))
    whole = judge(procedure.apparent(noise), [procedure.permuted(o) for o in orders])
    assert whole.p == pytest.approx(ended.p, abs=0.2)
    assert whole.p > 0.05
    assert ended.p > 0.05


def test_a_claim_needs_the_upper_limit_of_its_p_below_the_level():
    null = [
        dataclasses.replace(apparent(None, patients(10, 2, 1)), c=0.5 + i / 1000, selected=True)
        for i in range(200)
    ]
    at = lambda place: judge(null[place], null)  # noqa: E731
    assert at(199).p == pytest.approx(2 / 201)
    assert at(199).significant
    assert at(193).p < 0.05
    assert not at(193).significant  # 7 of 200: further permutations might take it back


def test_a_rate_is_clopper_and_pearsons():
    rate = Rate.of(5, 100)
    assert (round(rate.lower, 5), round(rate.upper, 5)) == (
        0.01643,
        0.11283,
    )  # R: binom.test(5, 100)$conf.int


def test_permutation_keeps_pairs_and_strata():
    order = permuted_order(np.array(["x", "x", "y", "y"]), np.random.default_rng(1))
    assert set(order[:2]) == {0, 1}
    assert set(order[2:]) == {2, 3}
