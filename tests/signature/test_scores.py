"""One scorer: the policy that scores patients also sets the cut-off, the baseline and the cross-validation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import PathosigWarning
from pathosig.profiles.pooling import pool_patients
from pathosig.signature import SignatureSpec, TrainingSet, fit_details, fit_signature
from pathosig.signature.cutoff import choose_cutoff
from pathosig.signature.scores import core_table, patient_scores, score_table
from pathosig.validation import cross_validate

SPEC = SignatureSpec(bootstraps=0, selection="ridge")
POLICIES = ["pooled", "mean", "worst", "per_core"]


@pytest.fixture(scope="module")
def several(cohort) -> TrainingSet:
    """Two or three slides a patient, of different composition and size."""
    rng = np.random.default_rng(5)
    leaves = [c for c in cohort["profiles"] if c.startswith("hpc_")]
    rows = []
    for patient, shares in zip(
        cohort["profiles"]["patient_id"], cohort["profiles"][leaves].to_numpy(), strict=True
    ):
        for slide in range(int(rng.integers(2, 4))):
            tiles = int(rng.integers(15, 300))
            mixed = rng.multinomial(tiles, rng.dirichlet(shares * 15 + 1e-3)) / tiles
            rows.append([f"{patient}-{slide}", patient, tiles, *mixed])
    slides = pd.DataFrame(rows, columns=["slide_id", "patient_id", "n_tiles", *leaves])
    return TrainingSet.of(
        pool_patients(slides, columns=leaves), cohort["outcome"], slides=slides, tree=cohort["tree"]
    )


def by_hand(signature, training: TrainingSet) -> np.ndarray:
    policy, slides = signature.transform.policy, training.slides
    if policy == "mean":
        leaves = [c for c in slides if c.startswith("hpc_")]
        rows = slides.groupby("patient_id")[leaves].mean().assign(n_tiles=1000).reset_index()
        return signature.score(rows)
    if policy == "worst":
        single = slides.assign(score=signature.lenient.score(slides))
        return single.groupby("patient_id")["score"].max().to_numpy()
    return signature.score(training.profiles)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_cutoff_is_the_median_of_the_scores_of_its_own_policy(several, policy):
    signature = fit_signature(several, spec=SPEC.replace(policy=policy))
    scores = patient_scores(signature, several.profiles, several.slides)
    np.testing.assert_allclose(scores, by_hand(signature, several), atol=1e-12)
    assert signature.cutoff == np.median(scores)
    assert signature.trained_on.sd == pytest.approx(scores.std(ddof=1))
    assert signature.trained_on.percentiles[50] == signature.cutoff
    assert len(signature.trained_on.percentiles) == 101


def test_policies_give_different_scores_so_the_test_above_can_fail(several):
    fits = {p: fit_signature(several, spec=SPEC.replace(policy=p)) for p in POLICIES}
    scores = {p: patient_scores(s, several.profiles, several.slides) for p, s in fits.items()}
    assert (scores["worst"] > scores["pooled"]).mean() > 0.9
    assert not np.allclose(scores["mean"], scores["pooled"])
    np.testing.assert_array_equal(scores["per_core"], scores["pooled"])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_patient_alone_scores_as_among_others_under_every_policy(several, policy):
    signature = fit_signature(several, spec=SPEC.replace(policy=policy))
    scores = patient_scores(signature, several.profiles, several.slides)
    for i in (0, 17, 239):
        alone = several.take(np.array([i]))
        assert patient_scores(signature, alone.profiles, alone.slides)[0] == scores[i]


def test_cross_validation_scores_by_the_policy(several):
    fits = {p: cross_validate(several, spec=SPEC.replace(policy=p), repeats=1, folds=3) for p in POLICIES}
    assert fits["pooled"].scores.equals(fits["per_core"].scores)
    for policy in ("mean", "worst"):
        assert not np.allclose(fits[policy].scores["score"], fits["pooled"].scores["score"])
    high = (fits["worst"].scores["group"] == "high").mean()
    assert 0.35 < high < 0.65  # with the cut-off of pooled scores nearly everybody would be high


def test_too_few_tiles_in_all_are_not_assessable_under_any_policy(several):
    for policy in POLICIES:
        signature = fit_signature(several, spec=SPEC.replace(policy=policy))
        few = several.take(np.array([3]))
        few = dataclasses.replace(
            few, profiles=few.profiles.assign(n_tiles=45), slides=few.slides.assign(n_tiles=22)[:2]
        )
        assert np.isnan(patient_scores(signature, few.profiles, few.slides)[0])


@pytest.mark.parametrize("policy", POLICIES)
def test_the_table_of_the_stage_is_made_by_the_same_scorer(several, policy):
    fit = fit_details(several, SPEC.replace(policy=policy))
    columns = [c for c in several.slides if c.startswith("hpc_")]
    cores = core_table(fit.signature, several.slides, columns, lambda slide: None)
    cohorts = dict.fromkeys(several.outcome["patient_id"], "discovery")
    table, rates = score_table(
        fit.signature, several.profiles, several.slides, cores, cohorts=cohorts, benchmark=fit.benchmark
    )
    expected = patient_scores(fit.signature, several.profiles, several.slides)
    np.testing.assert_array_equal(table["score"], expected)
    assert list(table["group"]) == list(fit.signature.group(expected))
    assert set(table["paper_group"]) == ({"low", "high", "heterogeneous"} if policy == "per_core" else {""})
    assert rates["discovery"]["n"] == len(table)


def test_repeats_of_a_patient_keep_their_slides(several):
    sample = several.resampled(np.array([4, 4, 9] * 20))
    assert len(sample) == 60
    assert len(set(sample.slides["patient_id"])) == 60
    counts = several.slides["patient_id"].value_counts()
    assert len(sample.slides) == 20 * (2 * counts["P004"] + counts["P009"])


def test_a_cutoff_among_ties_leaves_nobody_out_and_warns():
    score = np.concatenate([np.zeros(70), -np.linspace(0.1, 1, 30)])  # the median is the maximum
    with pytest.warns(PathosigWarning, match="high and"):
        assert (score > choose_cutoff(score, score + 9, score < 0, SPEC).value).any()
    spread = np.linspace(0, 1, 101)
    assert choose_cutoff(spread, spread, spread > 0, SPEC).value == np.median(spread)
