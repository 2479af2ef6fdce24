"""Comparators: fitted in the signature's folds, judged beside it, and better where prognosis lies inside a phenotype."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from pathosig.comparators import CompareSpec, attention_scores, compare, gaussian_moments, mean_pooled
from pathosig.comparators.folded import folded_scores, ridge_scorer
from pathosig.core.errors import ConfigError, InputError, NotEstimableError, PathosigWarning
from pathosig.core.study import Study
from pathosig.phenotypes import PhenotypeSpec, find_phenotypes
from pathosig.profiles import build_profiles
from pathosig.signature import SignatureSpec, build_signature
from pathosig.survival import harrell_c
from pathosig.survival.ridge import fold_of
from pathosig.synthetic import SimulateSpec, simulate
from pathosig.validation import ValidateSpec, read_results, validate_signature
from pathosig.validation.comparators import comparator_findings, compare_scores


def bags(n=120, seed=0):
    """Patients whose hazard follows the proportion of tiles far along the first axis."""
    rng = np.random.default_rng(seed)
    share = rng.beta(2, 5, n)
    tiles = [rng.normal(size=(40, 8)) + np.outer(rng.random(40) < p, 4 * np.eye(8)[0]) for p in share]
    time = rng.exponential(np.exp(-6 * share))
    return tiles, np.minimum(time, 3.0), time < 3.0


def test_every_kind_of_vector_finds_what_lies_in_the_tiles():
    tiles, time, event = bags(300)
    training = np.arange(300) < 200
    vectors = {
        "mean": mean_pooled(tiles),
        "mixture": gaussian_moments(tiles, np.concatenate(tiles[:200]), components=4),
    }
    assert vectors["mixture"].shape == (300, 4 * 17)
    np.testing.assert_allclose(vectors["mixture"][:, :4].sum(axis=1), 1)
    scores = {name: ridge_scorer(x, time, event)(training) for name, x in vectors.items()}
    scores["attention"] = attention_scores(tiles, time, event, training, epochs=60)
    assert len(scores) == 3
    for name, score in scores.items():
        assert harrell_c(score[200:], time[200:], event[200:]).lower > 0.5, name


def test_attention_never_looks_at_the_outcome_of_other_patients_and_repeats_itself():
    tiles, time, event = bags()
    training = np.arange(120) < 80
    one = attention_scores(tiles, time, event, training, epochs=5)
    other = np.where(training, time, 99.0)
    assert (attention_scores(tiles, other, event & training, training, epochs=5) == one).all()
    assert not (attention_scores(tiles, time, event, training, epochs=5, seed=1) == one).all()


def test_folds_are_those_in_which_the_signature_is_cross_validated():
    event = np.arange(60) % 2 == 0
    seen = []

    def scorer(training):
        seen.append(training.copy())
        return np.arange(60.0)

    folded_scores(scorer, np.arange(60), event, repeats=2, folds=3, seed=5)
    rng = np.random.default_rng(5)
    theirs = [fold_of(60, event, 3, rng) for _ in range(2)]
    assert len(seen) == 7
    for i, fold in enumerate(theirs):
        for k in range(3):
            assert (seen[3 * i + k] == (fold != k)).all()
    assert seen[-1].all()
    with pytest.raises(NotEstimableError):
        folded_scores(scorer, np.arange(60), np.arange(60) < 3, repeats=1, folds=3, seed=0)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    root = tmp_path_factory.mktemp("compare") / "s"
    spec = SimulateSpec(
        level="embeddings", n_discovery=90, n_validation=60, tiles_per_patient=50, types=4, subtypes=2, dim=16, harm=1.5,
        protect=-1.5,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        simulate(root, spec)
        study = Study.open(root)
        find_phenotypes(study, PhenotypeSpec(k=8))
        build_profiles(study)
        build_signature(study, SignatureSpec(selection="ridge", bootstraps=0, min_tiles=20))
    return study


def test_validate_judges_what_compare_wrote_and_says_it_in_one_line(study, tmp_path):
    rng = np.random.default_rng(0)
    patients = study.patients()["patient_id"]
    outside = pd.DataFrame(
        {"patient_id": patients, "e0": rng.normal(size=len(patients)), "e1": rng.normal(size=len(patients))}
    )
    outside.to_csv(tmp_path / "outside.csv", index=False)
    settings = ValidateSpec(bootstraps=30, imputations=0, forest=False, permutations=0, instability=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        before = validate_signature(study, settings)
        made = compare(
            study, CompareSpec(components=4, tiles=30, epochs=10, table=str(tmp_path / "outside.csv"))
        )
        again = validate_signature(study, settings)
    assert made.written == ("mean", "mixture", "attention", "table")
    assert before.done == again.done  # new comparators: validated anew
    results = read_results(study.paths.results)
    assert [c.name for c in results.comparisons] == ["attention", "mean", "mixture", "table"]
    for comparison in results.comparisons:
        assert [c.cohort for c in comparison.cohorts] == ["validation_1", "validation_2"]
        for row in comparison.cohorts:
            assert row.difference.estimate == pytest.approx(row.signature - row.comparator)
            assert row.difference.lower < row.difference.estimate < row.difference.upper
    noise = results.comparisons[-1]
    assert all(c.difference.lower > 0 for c in noise.cohorts)
    said = "\n".join(study.record("validate", "_validate").summary["said"])
    assert "C of the signature minus that of the mean of all tiles" in said


def test_a_comparator_that_is_better_beyond_chance_gives_a_warning():
    rng = np.random.default_rng(0)
    risk = rng.normal(size=200)
    frame = pd.DataFrame(
        {"other": risk, "score": rng.normal(size=200), "time": rng.exponential(np.exp(-risk)), "event": True}
    )
    made = compare_scores("mean", {"v1": frame}, bootstraps=100)
    (finding,) = comparator_findings([made])
    assert finding.code == "W_COMPARATOR"
    assert "lose prognostic information in v1" in finding.message
    even = compare_scores("mean", {"v1": frame.assign(score=risk)}, bootstraps=50)
    assert comparator_findings([even]) == []


def test_a_comparison_of_nothing_is_refused(study):
    with pytest.raises(InputError, match="nothing to fit") as caught:
        compare(study, CompareSpec(methods=()))
    assert caught.value.code == "E_MISSING"


def test_unknown_methods_are_refused():
    with pytest.raises(ConfigError, match="methods"):
        CompareSpec(methods=("mil",))
    with pytest.raises(ConfigError, match="components"):
        CompareSpec(components=1)
