"""What drives the score: tiles, effects, nesting, and weights of tiles that add up to the score."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from pathosig.core.clinical import Primary
from pathosig.report.coarse import coarse_summary
from pathosig.report.drivers import drivers_of, weights_of
from pathosig.report.material import (
    AtlasTile,
    Candidate,
    FrozenScore,
    HpcHealth,
    Material,
    PatientScore,
    Phenotypes,
    Profiles,
    Term,
)
from pathosig.report.page import Table, every_block
from pathosig.report.sections.drivers import driver_grid
from pathosig.report.sections.makeup import stable_sentence, tissue_rows
from pathosig.report.sections.univariable import complements, univariable_section


def tile(hpc, rank, patient):
    pixels = np.full((8, 8, 3), 200, np.uint8)
    return AtlasTile(
        hpc=hpc,
        rank=rank,
        kind="exemplar",
        slide_id=f"{patient}-1",
        patient_id=patient,
        pixels=pixels,
        width_um=112.0,
    )


@pytest.fixture
def material():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(4), 20)
    shares[:5, 3] = 0
    names = [f"P{i:02d}" for i in range(20)]
    table = pd.DataFrame(shares, columns=[f"hpc_{h:02d}" for h in range(4)]).assign(patient_id=names)
    terms = (
        Term(feature="node_01", coef=2.0, center=0.5, leaves=(0, 1, 2)),
        Term(feature="hpc_02", coef=-8.0, center=0.25, leaves=(2,)),
        Term(feature="hpc_03", coef=0.5, center=0.2, leaves=(3,)),
    )
    frozen = FrozenScore(endpoint="os", terms=terms, cutoff=0.0, cutoff_rule="median", scale="share", sd=2.0)
    tiles = [tile(2, r, p) for r, p in enumerate(["P00", "P00", "P01", "P02", "P03", "P04", "P05", "P06"])]
    candidates = [
        Candidate(
            feature=f,
            kind="node",
            leaves=leaves,
            hr=1.0,
            lower=None,
            upper=None,
            p=0.1,
            q=0.1,
            prevalence=1.0,
            selected=s,
            frequency=0.9,
            steadiness=0.62,
        )
        for f, leaves, s in (
            ("node_01", (0, 1, 2), True),
            ("hpc_03", (3,), False),
            ("node_02", (1, 2), False),
        )
    ]
    return Material(
        phenotypes=Phenotypes(k=4, health=[HpcHealth(hpc=2, share=0.3, verdict="unstable")]),
        signature=frozen,
        candidates=candidates,
        profiles=Profiles(patients=table),
        scores=[PatientScore(patient=n, cohort="discovery", score=0.0, group="low") for n in names],
        primary=Primary(endpoint="os", discovery="discovery"),
        atlas=tiles,
    )


def test_the_feature_that_moves_the_score_most_comes_first(material):
    drivers = drivers_of(material)
    assert [d.term.feature for d in drivers] == sorted(
        ("node_01", "hpc_02", "hpc_03"),
        key=lambda f: -abs(next(d.effect for d in drivers if d.term.feature == f)),
    )
    by_name = {d.term.feature: d for d in drivers}
    values = material.profiles.patients["hpc_02"]
    assert by_name["hpc_02"].effect == pytest.approx(-8 * values.std() / 2)
    assert by_name["hpc_02"].direction == "lower risk"
    assert by_name["hpc_02"].inside == "node_01"
    assert by_name["hpc_02"].unstable == (2,)
    assert by_name["hpc_03"].without == 0.25
    assert by_name["hpc_03"].frequency == 0.9


def test_tiles_are_of_different_patients_before_any_comes_twice(material):
    chosen = next(d for d in drivers_of(material) if d.term.feature == "hpc_02").tiles
    assert [t.patient_id for t in chosen] == ["P00", "P01", "P02", "P03", "P04", "P05"]


def test_the_scale_bar_has_the_length_of_fifty_micrometres(material):
    card = next(c for c in driver_grid(material).cards if c.name == "HPC 02")
    assert len(card.tiles) == 6
    assert card.tiles[0].bar == pytest.approx(100 * 50 / 112)
    assert card.direction == "lower risk"
    assert ("Part of", "node 01") in card.facts


def test_frequency_and_steadiness_stand_beside_a_feature_that_was_screened_and_in_the_table_of_candidates(
    material,
):
    cards = {c.name: c for c in driver_grid(material).cards}
    assert {("Selected in", "90% of half-samples"), ("Steadiness", "0.62")} <= set(cards["HPC 03"].facts)
    assert not {"Selected in", "Steadiness"} & {label for label, _ in cards["HPC 02"].facts}
    section = univariable_section(material)
    table = next(b for b in every_block(section.blocks) if isinstance(b, Table))
    assert [row[table.columns.index("Steadiness")] for row in table.rows] == [0.62] * 3


def test_the_mean_weight_of_a_patients_tiles_is_the_score_up_to_a_constant(material):
    weights = weights_of(material)
    table = material.profiles.patients[[f"hpc_{h:02d}" for h in range(4)]].to_numpy()
    score = sum(t.coef * (table[:, list(t.leaves)].sum(axis=1) - t.center) for t in material.terms)
    constant = sum(t.coef * t.center for t in material.terms)
    np.testing.assert_allclose(table @ weights - constant, score)


def test_the_complement_of_a_selected_node_is_no_finding_of_its_own(material):
    assert complements(material) == {"hpc_03"}


def test_coarse_groups_add_up_to_the_score(material):
    every = {
        "hpc_00": (0,),
        "hpc_01": (1,),
        "hpc_02": (2,),
        "hpc_03": (3,),
        "node_00": (1, 2),
        "node_01": (0, 1, 2),
    }
    like = material.candidates[0]
    candidates = [dataclasses.replace(like, feature=f, leaves=leaves) for f, leaves in every.items()]
    table, columns = material.profiles.patients.copy(), [f"hpc_{h:02d}" for h in range(4)]
    table[columns] = table[columns].div(table[columns].sum(axis=1), axis=0)
    shares = {h: table[f"hpc_{h:02d}"].to_numpy() for h in range(4)}
    score = sum(t.coef * (sum(shares[h] for h in t.leaves) - t.center) for t in material.signature.terms)
    sd = float(score.std(ddof=1))
    dense = dataclasses.replace(
        material,
        candidates=candidates,
        signature=dataclasses.replace(material.signature, sd=sd),
        profiles=Profiles(patients=table),
    )
    two = coarse_summary(dense, 2)
    assert {g.feature: g.leaves for g in two} == {"node_01": (0, 1, 2), "hpc_03": (3,)}
    assert {g.feature: g.inside for g in two} == {"node_01": ("node_01", "hpc_02"), "hpc_03": ("hpc_03",)}
    assert sum(g.proportion for g in two) == pytest.approx(1)
    assert sum(g.proportion * g.weight for g in two) == pytest.approx(0, abs=1e-12)
    four = {g.leaves[0]: g for g in coarse_summary(dense)}
    whole = sum(shares[h] * g.weight for h, g in four.items())  # of single HPCs the groups are the score
    np.testing.assert_allclose(whole, score - score.mean(), atol=1e-12)
    assert four[2].effect == pytest.approx(shares[2].std(ddof=1) * four[2].weight / sd)


def test_a_score_of_outside_features_has_no_coarse_groups(material):
    outside = dataclasses.replace(material.signature, scale="feature")
    assert coarse_summary(dataclasses.replace(material, signature=outside)) == []


def _with_candidates_for_groups(material):
    """Four HPCs as candidates too, so that coarse groups cover the signature."""
    leaves = [
        dataclasses.replace(material.candidates[1], feature=f"hpc_{h:02d}", leaves=(h,)) for h in range(4)
    ]
    return dataclasses.replace(material, candidates=[*material.candidates, *leaves])


def test_a_signature_of_many_terms_is_shown_by_groups_that_raise_and_lower_the_score(material):
    material = _with_candidates_for_groups(material)
    groups = {g.feature: g for g in coarse_summary(material)}
    block = tissue_rows(material)
    lengths = [r.length for r in block.rows]
    assert lengths == sorted(lengths, reverse=True)
    assert max(abs(v) for v in lengths) == pytest.approx(100)
    assert len(block.rows) == sum(abs(g.effect) >= 0.1 for g in groups.values())
    for row in block.rows:
        group = (
            groups["hpc_" + row.name[-2:]] if row.name.startswith("HPC") else groups["node_" + row.name[-2:]]
        )
        assert (row.length > 0) == (group.effect > 0)
        assert row.direction == ("higher risk" if group.effect > 0 else "lower risk")
        assert row.small == f"{100 * group.proportion:.0f}% of the tissue"
    hpc_02 = next(r for r in block.rows if r.name == "HPC 02")
    assert len(hpc_02.tiles) == 4
    assert hpc_02.direction == "lower risk"


def test_what_the_stable_features_carry_is_said_with_numbers(material):
    def sentence(stable):
        frozen = dataclasses.replace(material.signature, stable=stable)
        return stable_sentence(dataclasses.replace(material, signature=frozen))

    assert sentence(None) == ""
    assert "No single feature is stable" in sentence({})
    assert sentence({"node_01": 0.9, "hpc_02": 1.0, "hpc_03": 0.95}) == ""
    table = material.profiles.patients
    node = table[["hpc_00", "hpc_01", "hpc_02"]].sum(axis=1)
    whole = 2 * node - 8 * table["hpc_02"] + 0.5 * table["hpc_03"]
    r = np.corrcoef(2 * node, whole)[0, 1]
    assert r < 0.95
    text = sentence({"node_01": 0.93})
    assert text.startswith(
        "1 stable feature of the signature (node 01; see the chapter on tissue) returns in at least 93%"
    )
    assert f"(correlation without them {r:.2f})".replace("-", "−") in text
    assert "almost the same (correlation above 0.99)" in sentence({"node_01": 0.93, "hpc_02": 0.9})


def test_a_stable_feature_is_selected_as_often_as_its_cluster(material):
    frozen = dataclasses.replace(material.signature, stable={"hpc_02": 0.91})
    drivers = {d.term.feature: d for d in drivers_of(dataclasses.replace(material, signature=frozen))}
    assert drivers["hpc_02"].frequency == 0.91
    assert drivers["node_01"].frequency == 0.9
    assert not drivers["hpc_02"].completes
    assert drivers["node_01"].completes
    card = driver_grid(dataclasses.replace(material, signature=frozen)).cards[0]
    assert ("Selected in", "91% of half-samples") in card.facts


def test_a_feature_of_no_effect_neither_raises_nor_lowers_the_risk(material):
    terms = [dataclasses.replace(t, coef=1e-4) if t.feature == "hpc_03" else t for t in material.terms]
    frozen = dataclasses.replace(material.signature, terms=terms)
    drivers = {d.term.feature: d for d in drivers_of(dataclasses.replace(material, signature=frozen))}
    assert drivers["hpc_03"].direction == "hardly any effect"
