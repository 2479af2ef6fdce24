"""Shares of leaves and nodes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathosig.core.errors import InputError
from pathosig.profiles import close_without, pool_patients, shares, shares_at_level, tree_nodes, tree_shares

TREE = {
    "k": 4,
    "nodes": [
        {"id": "node_00", "leaves": [0, 1], "height": 1.0},
        {"id": "node_01", "leaves": [2, 3], "height": 2.0},
        {"id": "node_02", "leaves": [0, 1, 2, 3], "height": 3.0},
    ],
}


def test_every_node_is_the_sum_of_its_leaves_and_the_root_is_left_out():
    table = tree_shares(np.array([[0.1, 0.2, 0.3, 0.4]]), TREE)
    assert list(table.columns) == ["hpc_00", "hpc_01", "hpc_02", "hpc_03", "node_00", "node_01"]
    assert table["node_00"][0] == pytest.approx(0.3)
    assert table["node_01"][0] == pytest.approx(0.7)


def test_a_linkage_gives_the_same_nodes():
    linkage = [[0, 1, 1.0, 2], [2, 3, 2.0, 2], [4, 5, 3.0, 4]]
    assert tree_nodes({"k": 4, "linkage": linkage}) == tree_nodes(TREE)


def test_artefacts_leave_the_tree_and_shares_close_again():
    closed, taken = close_without([[0.5, 0.1, 0.2, 0.2]], [0])
    np.testing.assert_allclose(closed, [[0, 0.2, 0.4, 0.4]])
    assert taken[0] == pytest.approx(0.5)
    assert tree_nodes(TREE, without=[0]) == {"node_01": (2, 3)}


def test_a_missing_leaf_is_named():
    with pytest.raises(InputError, match="hpc_03"):
        tree_shares(pd.DataFrame({"hpc_00": [1.0], "hpc_01": [0.0], "hpc_02": [0.0]}), TREE)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=60))
def test_shares_add_up_to_one(labels):
    assert shares(labels, 7).sum() == pytest.approx(1)


def test_an_hpc_outside_the_codebook_is_refused():
    with pytest.raises(InputError, match="0 to 3"):
        shares([0, 4], 4)


CORES = pd.DataFrame(
    {
        "slide_id": ["a1", "a2", "b1"],
        "patient_id": ["a", "a", "b"],
        "n_tiles": [100, 300, 50],
        "hpc_00": [1.0, 0.0, 0.5],
        "hpc_01": [0.0, 1.0, 0.5],
    }
)


def test_pooled_counts_tiles_and_mean_counts_slides():
    pooled = pool_patients(CORES, policy="pooled")
    assert list(pooled["hpc_01"]) == [0.75, 0.5]
    assert list(pooled["n_tiles"]) == [400, 50]
    assert list(pooled["n_slides"]) == [2, 1]
    assert list(pool_patients(CORES, policy="mean")["hpc_01"]) == [0.5, 0.5]


def test_worst_takes_the_slide_with_the_highest_score():
    worst = pool_patients(CORES, policy="worst", score=[2.0, 1.0, 0.0])
    assert list(worst["hpc_00"]) == [1.0, 0.5]


def test_per_core_keeps_one_row_per_core():
    assert len(pool_patients(CORES, policy="per_core")) == 3


def test_missing_features_are_averaged_over_the_slides_that_have_them():
    table = pd.DataFrame({"patient_id": ["a", "a", "b"], "f": [1.0, np.nan, np.nan]})
    pooled = pool_patients(table)
    assert pooled["f"][0] == 1.0
    assert np.isnan(pooled["f"][1])


def test_shares_at_a_level_follow_the_merges_and_add_up_to_one():
    # 0 and 1 merge first, then 2 and 3, then all
    tree = {"k": 4, "linkage": [[0, 1, 0.1, 2], [2, 3, 0.2, 2], [4, 5, 1.0, 4]]}
    rows = pd.DataFrame([[0.1, 0.2, 0.3, 0.4]], columns=[f"hpc_0{i}" for i in range(4)])
    np.testing.assert_allclose(shares_at_level(rows, tree, 4), rows)
    np.testing.assert_allclose(shares_at_level(rows, tree, 3), [[0.3, 0.3, 0.4]])
    np.testing.assert_allclose(shares_at_level(rows, tree, 2), [[0.3, 0.7]])
    np.testing.assert_allclose(shares_at_level(rows, tree, 1), [[1.0]])
    np.testing.assert_allclose(shares_at_level(rows, tree, 2, without=[0]), [[0.2 / 0.9, 0.7 / 0.9]])
    with pytest.raises(InputError, match="cut at 5"):
        shares_at_level(rows, tree, 5)
    with pytest.raises(InputError, match="hpc_03"):
        shares_at_level(rows.drop(columns="hpc_03"), tree, 2)
