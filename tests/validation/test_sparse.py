"""The sparse alternative to a completed signature: its features, and how much prediction it loses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pathosig.signature import SignatureSpec, TrainingSet, fit_details
from pathosig.survival import harrell_c
from pathosig.validation.sparse import sparse_alternative
from pathosig.validation.spec import ValidateSpec
from tests.signature.conftest import simulate

QUICK = SignatureSpec(selection="completed", bootstraps=0, n_subsamples=20)
SPEC = ValidateSpec(bootstraps=40, repeats=1, folds=3)


def alternative(data, scores, *, first: int, within: bool):
    patients = TrainingSet.of(data["profiles"][:first], data["outcome"][:first], tree=data["tree"])
    frame = data["outcome"].assign(score=scores)
    rows = frame[:first] if within else frame[first:]
    return sparse_alternative(
        patients,
        QUICK,
        {"discovery" if within else "v1": rows},
        profiles=data["profiles"],
        slides=data["profiles"],
        terms=9,
        spec=SPEC,
        within=within,
    )


@pytest.fixture(scope="module")
def data() -> dict:
    return simulate(1, 300, k=24, types=6)


def test_its_price_is_the_difference_of_c_of_two_frozen_models_in_the_same_patients(data):
    patients = TrainingSet.of(data["profiles"][:180], data["outcome"][:180], tree=data["tree"])
    signature = fit_details(patients, QUICK, benchmark=False).signature
    tree = fit_details(patients, QUICK.replace(selection="tree"), benchmark=False).signature
    scores = signature.score(data["profiles"])
    result = alternative(data, scores, first=180, within=False)
    late = data["outcome"][180:]
    c = [harrell_c(s.score(data["profiles"])[180:], late["time"], late["event"]).c for s in (signature, tree)]
    assert result.features == tree.hpcs
    (row,) = result.cohorts
    assert (row.signature, row.comparator) == pytest.approx(c, abs=1e-12)
    assert row.difference.estimate == pytest.approx(c[0] - c[1], abs=1e-12)
    assert row.difference.lower < row.difference.estimate < row.difference.upper
    assert f"has {len(tree.hpcs)} feature" in result.sentence()
    assert f"{c[0] - c[1]:+.3f}" in result.sentence()


def test_without_a_validation_cohort_the_alternative_is_judged_out_of_fold(data):
    oracle = np.random.default_rng(0).normal(
        size=len(data["outcome"])
    )  # has no predictive value, so the alternative is better
    result = alternative(data, oracle, first=180, within=True)
    (row,) = result.cohorts
    assert row.role == "cross-validated"
    assert row.comparator > 0.58
    apparent = fit_details(
        TrainingSet.of(data["profiles"][:180], data["outcome"][:180], tree=data["tree"]),
        QUICK.replace(selection="tree"),
        benchmark=False,
    ).signature
    ends = data["outcome"][:180]
    assert row.comparator < harrell_c(apparent.score(data["profiles"][:180]), ends["time"], ends["event"]).c


def test_an_alternative_that_finds_nothing_counts_as_chance(data):
    noise = data | {"outcome": permuted(data["outcome"])}
    strict = QUICK.replace(min_threshold=1.0)
    patients = TrainingSet.of(noise["profiles"], noise["outcome"], tree=noise["tree"])
    frame = noise["outcome"].assign(score=np.linspace(0, 1, len(noise["outcome"])))
    result = sparse_alternative(
        patients, strict, {"v1": frame}, profiles=noise["profiles"], slides=noise["profiles"], terms=9, spec=SPEC,
        within=False,
    )  # fmt: skip
    assert result.features == ()
    assert result.cohorts[0].comparator == 0.5
    assert "finds no signature" in result.sentence()


def permuted(outcome: pd.DataFrame) -> pd.DataFrame:
    order = np.random.default_rng(5).permutation(len(outcome))
    return outcome.assign(**{c: outcome[c].to_numpy()[order] for c in ("time", "event")})
