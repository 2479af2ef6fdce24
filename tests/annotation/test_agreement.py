"""Statistics of agreement against published worked examples and numbers computed by hand."""

import pytest

from pathosig.annotation import fleiss_kappa, krippendorff_alpha
from pathosig.annotation.answers import Answers, PanelAnswer, agreement_of, consensus_of
from pathosig.annotation.forms import FormKey, OddTest, Panel
from pathosig.core.errors import InputError

FOURTEEN_RATERS = (  # counts of five categories for ten subjects: the usual worked example of Fleiss' kappa
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
)  # fmt: skip
FOUR_OBSERVERS = (  # Krippendorff 2011, example C: 12 units, points where a value is missing
    "123321412...",
    "1233224125.3",
    ".3332342251.",
    "12332441251.",
)


def test_kappa_of_fourteen_raters_is_the_published_one():
    ratings = [[c for c, n in zip("abcde", row, strict=True) for _ in range(n)] for row in FOURTEEN_RATERS]
    assert fleiss_kappa(ratings) == pytest.approx(0.210, abs=0.0005)


def test_alpha_of_four_observers_with_gaps_is_krippendorffs():
    units = [[None if c == "." else c for c in unit] for unit in zip(*FOUR_OBSERVERS, strict=True)]
    assert len(units) == 12
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=0.0005)


def test_perfect_agreement_is_one_and_steady_disagreement_is_below_zero():
    assert fleiss_kappa(["aaa", "bbb"]) == krippendorff_alpha(["aaa", "bbb"]) == 1
    assert fleiss_kappa(["ab", "ba"]) == -1
    assert krippendorff_alpha(["ab", "ba"]) == pytest.approx(-0.5)  # D_o = 1, D_e = 8 / 12


def test_without_variation_agreement_is_not_estimable():
    for ratings in ([], ["aa", "aa"]):
        assert fleiss_kappa(ratings) is None
        assert krippendorff_alpha(ratings) is None
    assert krippendorff_alpha([["a", None], [None, "b"]]) is None


def test_kappa_refuses_items_with_different_numbers_of_labels():
    with pytest.raises(InputError, match="same number"):
        fleiss_kappa(["ab", "abc"])


def _panel(tissue="", pattern="", artefact="", name=""):
    return PanelAnswer(tissue=tissue, pattern=pattern, artefact=artefact, name=name)


def _form(reader, hpcs, place):
    return FormKey(
        form=f"form of {reader}",
        panels=tuple(Panel(hpc=h, tiles=(h,)) for h in hpcs),
        odd=tuple(OddTest(hpc=h, other=9, place=place, tiles=(0, 1, 2, 3)) for h in hpcs),
    )


def _answers(reader, panels, odd):
    return Answers(
        kind="pathosig annotation", form=f"form of {reader}", reader=reader, panels=panels, odd=odd
    )


def test_answers_are_joined_by_hpc_and_not_by_the_order_of_the_form():
    keys = {"A": _form("A", (4, 7), place=1), "B": _form("B", (7, 4), place=3)}
    agreement = agreement_of(
        [
            _answers("B", (_panel("stroma", "fibrous"), _panel("tumour", "solid")), (3, -1)),
            _answers("A", (_panel("tumour", "solid"), _panel("stroma")), (1, 0)),
        ],
        keys,
    )
    assert agreement.readers == ("A", "B")
    tissue, pattern, artefact = agreement.questions
    assert (tissue.complete, tissue.agreed, tissue.fleiss_kappa) == (2, 2, 1.0)
    assert (pattern.complete, pattern.agreed, pattern.fleiss_kappa) == (1, 1, None)
    assert (artefact.complete, artefact.krippendorff_alpha) == (0, None)
    assert [(o.of, o.solved, o.tests) for o in agreement.by_reader] == [("A", 1, 2), ("B", 1, 1)]
    assert [(o.of, o.solved, o.tests) for o in agreement.by_hpc] == [("hpc_04", 1, 1), ("hpc_07", 1, 2)]
    whole = agreement.odd_one_out
    assert (whole.solved, whole.tests) == (2, 3)
    assert whole.accuracy.lower == pytest.approx(0.0943, abs=5e-5)  # Clopper and Pearson of 2 in 3
    assert whole.accuracy.upper == pytest.approx(0.9916, abs=5e-5)
    assert [(c.hpc, c.name) for c in agreement.consensus] == [(4, "tumour, solid"), (7, "")]


def test_one_reader_is_no_agreement_and_one_reader_twice_is_neither():
    keys = {"A": _form("A", (4, 7), place=1)}
    one = _answers("A", (_panel(), _panel()), (0, 0))
    for answers in ([one], [one, one]):
        with pytest.raises(InputError, match="at least 2") as caught:
            agreement_of(answers, keys)
        assert caught.value.code == "E_ANSWERS"


def test_a_name_is_consensus_only_where_all_who_named_agree():
    assert (
        consensus_of(1, [_panel(name="Tumour bed"), _panel(name="tumour  bed "), _panel()]).name
        == "Tumour bed"
    )
    assert consensus_of(1, [_panel(name="tumour bed"), _panel()]).name == ""
    assert consensus_of(1, [_panel("fat", "none", name="a"), _panel("fat", "none", name="b")]).name == ""
    assert consensus_of(1, [_panel("fat", "none")] * 2).name == "fat"
    assert consensus_of(1, [_panel("cannot say", "none")] * 2).name == ""
