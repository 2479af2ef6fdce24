"""Audits of the whole procedure, and how they read."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from pathosig.audits import (
    audit_depth,
    audit_null,
    audit_optimism,
    audit_site,
    audit_stability,
)
from pathosig.audits.results import audit_json
from pathosig.audits.site import site_only_c
from pathosig.audits.text import audit_text
from pathosig.signature import SignatureSpec, TrainingSet, fit_signature

QUICK = SignatureSpec(bootstraps=0, n_subsamples=40)


def patients(simulated) -> TrainingSet:
    return TrainingSet.of(simulated["profiles"], simulated["outcome"], tree=simulated["tree"])


def without_minimum(signature):
    transform = dataclasses.replace(signature.transform, min_tiles=0)
    return dataclasses.replace(signature, transform=transform)


@pytest.fixture(scope="module")
def signature(cohort):
    return fit_signature(cohort["profiles"][:140], cohort["outcome"][:140], tree=cohort["tree"], spec=QUICK)


def test_optimism_is_the_same_over_one_and_two_processes_and_says_its_monte_carlo_error(noise):
    made = [
        audit_optimism(
            patients(noise), spec=QUICK.replace(selection="ridge"), resamples=10, repeats=2, folds=3, workers=workers,
        )
        for workers in (1, 2)
    ]  # fmt: skip
    assert made[0] == made[1]
    assert made[0].apparent_c > made[0].out_of_bag_c.estimate
    assert made[0].harrell_corrected_c < made[0].apparent_c
    assert 0 < made[0].monte_carlo.out_of_bag_c < 0.1


def test_fewer_tiles_lower_the_icc(cohort, signature):
    free = without_minimum(signature)
    counts = cohort["profiles"].copy()
    counts[[c for c in counts if c.startswith("hpc_")]] *= 400
    made = audit_depth(free.score, free.group, counts, depths=(30, 300), draws=3).depths
    assert made[0].icc < made[1].icc
    assert made[0].group_flips > made[1].group_flips


def counted(cohort, tiles=400):
    counts = cohort["profiles"].copy()
    counts[[c for c in counts if c.startswith("hpc_")]] *= tiles
    return counts


def test_correlation_of_score_and_tiles_is_pearsons_in_every_cohort(cohort, signature):
    free = without_minimum(signature)
    counts = counted(cohort)
    many = np.where(np.arange(len(counts)) % 2, 2, 1)
    leaves = [c for c in counts if c.startswith("hpc_")]
    counts[leaves] = np.rint(counts[leaves].to_numpy() * many[:, None])
    ids = counts["patient_id"]
    cohorts = {p: "discovery" if i < 140 else "validation_1" for i, p in enumerate(ids)}
    made = audit_depth(free.score, free.group, counts, depths=(30,), draws=2, cohorts=cohorts).tiles
    assert [row.cohort for row in made] == ["discovery", "validation_1"]
    tiles = counts[leaves].to_numpy().sum(1)
    shares = counts.assign(**{c: counts[c] / tiles for c in leaves}, n_tiles=tiles)
    score = free.score(shares)
    expected = stats.pearsonr(score[:140], np.log(tiles[:140]))
    assert made[0].correlation.estimate == pytest.approx(expected.statistic, abs=1e-9)
    assert made[0].p == pytest.approx(expected.pvalue, rel=1e-6)
    assert made[0].correlation.lower < made[0].correlation.estimate < made[0].correlation.upper


def test_stability_at_levels_of_the_tree_ends_with_the_leaves(cohort):
    made = audit_stability(
        patients(cohort), spec=QUICK.replace(selection="ridge"), resamples=3, seeds=(1,),
    )  # fmt: skip
    assert [row.k for row in made.levels] == [k for k in (3, 5, 10, 20, 30) if k < cohort["tree"]["k"]] + [
        cohort["tree"]["k"]
    ]
    assert made.levels[-1].correlation == pytest.approx(
        1.0, abs=1e-9
    )  # ridge on the leaves is the signature itself
    assert made.levels[0].correlation < 0.999
    assert made.levels[0].features == 3


def test_every_audit_reads_as_lines_with_its_numbers(cohort, noise, signature):
    free = without_minimum(signature)
    data = patients(cohort)
    site = {p: "AB"[i % 2] for i, p in enumerate(data.outcome["patient_id"])}
    ridge = QUICK.replace(selection="ridge")
    made = {
        "null": audit_null(patients(noise), spec=ridge, permutations=10),
        "optimism": audit_optimism(data, spec=ridge, resamples=10, repeats=2, folds=2),
        "site": audit_site(data, site, spec=ridge, folds=2),
        "depth": audit_depth(free.score, free.group, counted(cohort), depths=(30,), draws=2),
        "stability": audit_stability(data, spec=ridge, resamples=3),
    }  # fmt: skip
    texts = {name: audit_text(result) for name, result in made.items()}
    for name, text in texts.items():
        assert text.startswith(f"{name}: ")
        assert "{" not in text
    assert "preview, no verdict" in texts["null"]
    rejected = made["null"].reported_rejection
    assert f"{rejected.estimate:.1%} [{rejected.lower:.1%}, {rejected.upper:.1%}]" in texts["null"]
    assert f"{made['optimism'].out_of_bag_c.estimate:.3f} [" in texts["optimism"]
    assert f"Monte Carlo error {made['optimism'].monte_carlo.out_of_bag_c:.4f}" in texts["optimism"]
    assert f"C, site alone                 {made['site'].site_only_c:.3f}" in texts["site"]
    assert "30 tiles" in texts["depth"]
    assert "tree cut at 5" in texts["stability"]


def test_thirty_sites_without_an_effect_do_not_predict_survival():
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        site, time, event = (
            rng.integers(0, 30, 150).astype(str),
            rng.exponential(size=150),
            rng.random(150) < 0.6,
        )
        found.append(site_only_c(site, time, event, rng))
    assert len(found) == 12
    assert abs(np.mean(found) - 0.5) < 0.02


def test_a_site_effect_shows_in_other_patients():
    rng = np.random.default_rng(1)
    site = rng.integers(0, 4, 200)
    time = rng.exponential(np.exp(-site * 0.8))
    assert site_only_c(site.astype(str), time, np.ones(200, bool), rng) > 0.6


def test_an_audit_is_written_with_its_name_and_without_empty_fields(noise):
    found = audit_json(
        audit_optimism(
            patients(noise), spec=QUICK.replace(selection="ridge"), resamples=10, repeats=1, folds=2
        )
    )
    assert found["audit"] == "optimism"
    assert found["out_of_bag_c"]["estimate"] == pytest.approx(0.5, abs=0.2)
    assert found["monte_carlo"]["optimism"] > 0
