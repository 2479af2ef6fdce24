"""The small figures of a patient's page show the numbers they stand for."""

import dataclasses
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from pathosig.scoring.card import phenotype_names
from pathosig.scoring.drawings import place_among_discovery, survival_curve
from pathosig.scoring.readings import percentile, survival, unscored
from pathosig.signature.model import Signature


@pytest.fixture(scope="module")
def signature(members):
    return Signature.from_json(members["signature/signature.json"].decode())


def reading(signature, score):
    bounds = score - 0.3, score + 0.4
    return dataclasses.replace(
        unscored("A", ""), score=score, lower=bounds[0], upper=bounds[1], group=str(signature.group([score])[0]),
        percentile=percentile(signature, score), survival=survival(signature, score, bounds),
    )  # fmt: skip


def drawn(markup, kind):
    return [e for e in ElementTree.fromstring(str(markup)) if kind in e.get("class", "").split()]


def test_the_score_stands_right_of_the_cut_off_when_it_is_above_it(signature):
    places = []
    for away in (-0.5, 0.5):
        svg = place_among_discovery(signature, reading(signature, signature.cutoff + away))
        (dot,), (cut,), (interval,) = (drawn(svg, k) for k in ("dot", "cut", "interval"))
        places.append(float(dot.get("cx")) - float(cut.get("d")[1:].split()[0]))
        assert ("high" in dot.get("class")) == (away > 0)
        ends = interval.get("d")[1:].split()[0], interval.get("d").split("H")[1]
        assert float(ends[0]) < float(dot.get("cx")) < float(ends[1])
    assert places[0] < 0 < places[1]


def test_the_curve_ends_at_the_predicted_survival_and_a_higher_score_lies_below(signature):
    base, ends = signature.baseline, []
    for score in (-1.0, 1.0):
        svg = survival_curve(signature, reading(signature, score))
        (curve,) = drawn(svg, "curve")
        end = float(curve.get("points").split()[-1].split(",")[1])
        assert (150 - end) / 136 == pytest.approx(base.survival[-1] ** np.exp(score), abs=1e-3)
        ends.append(end)
        assert len(drawn(svg, "band")) == 1
    assert ends[0] < ends[1]  # y grows downwards


def test_nothing_is_drawn_without_a_score(signature):
    none = unscored("A", "no tissue found")
    assert not place_among_discovery(signature, none)
    assert not survival_curve(signature, none)


def test_names_of_phenotypes_on_a_strangers_card_are_taken_only_where_they_are_names():
    card = json.loads(
        '{"phenotype_names": {"2": "stroma", "9": "beyond", "x": "no", "coarse_1": "tumour", "coarse_9": "no", "3": 7, "1": "%s"}}'
        % ("a" * 200)
    )
    names = phenotype_names(card, 6)
    assert names.hpcs == {2: "stroma", 1: "a" * 80}
    assert names.coarse == {1: "tumour"}
    for nothing in ({"phenotype_names": ["stroma"]}, {}):
        assert not phenotype_names(nothing, 6).hpcs
