"""Compositions against zCompositions (golden) and their algebra."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import ConfigError, InputError
from pathosig.profiles import bayesian_replacement, clr, ilr, ilr_basis, log_odds, log_ratios, multi_replace


@pytest.fixture
def golden(pathosig_data: Path) -> tuple[dict, np.ndarray, Path]:
    folder = pathosig_data.parent / "golden"
    facts = json.loads((folder / "composition.json").read_text())
    table = pd.read_csv(folder / "discovery.csv", float_precision="round_trip")
    counts = (table[facts["columns"]].to_numpy() * table["n_tiles"].to_numpy()[:, None]).round()
    return facts, counts, folder


@pytest.mark.parametrize("method", ["GBM", "CZM"])
def test_bayesian_replacement_equals_zcompositions(golden, method):
    facts, counts, folder = golden
    expected = pd.read_csv(folder / facts[method]["file"], float_precision="round_trip").to_numpy()
    found = bayesian_replacement(counts, method=method)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(clr(found)[0], facts[method]["clr_row1"], rtol=0, atol=1e-10)


def test_multi_replace_equals_multrepl(golden):
    facts, counts, _ = golden
    found = multi_replace(counts, delta=facts["multRepl"]["frac"] * facts["multRepl"]["dl"])
    np.testing.assert_allclose(found[0], facts["multRepl"]["row1"], rtol=0, atol=1e-10)


def test_square_root_and_laplace_priors_put_in_t_s_over_n_plus_s():
    counts = np.array([[0, 30, 70.0], [40, 50, 10], [60, 20, 20]])
    n, d, t = 100.0, 3, (40 + 60) / 200  # t: the part's share in the other rows, as cmultRepl
    laplace = bayesian_replacement(counts, method="BL", adjust=False)
    assert laplace[0, 0] == pytest.approx(t * d / (n + d), abs=1e-14)
    root = bayesian_replacement(counts, method="SQ", adjust=False)
    assert root[0, 0] == pytest.approx(t * 10 / 110, abs=1e-14)
    np.testing.assert_allclose(root.sum(1), 1)
    assert root[0, 1] / root[0, 2] == pytest.approx(3 / 7)


def test_multi_replace_default_is_scikit_bios():
    found = multi_replace([[0.2, 0.4, 0.4, 0]])
    np.testing.assert_allclose(found, [[0.1875, 0.375, 0.375, 0.0625]])


def test_ilr_keeps_aitchison_distances():
    rng = np.random.default_rng(0)
    x = rng.dirichlet(np.ones(6), 5)
    basis = ilr_basis(6)
    np.testing.assert_allclose(basis @ basis.T, np.eye(5), atol=1e-12)
    assert np.linalg.norm(ilr(x)[0] - ilr(x)[1]) == pytest.approx(np.linalg.norm(clr(x)[0] - clr(x)[1]))


def test_log_ratios_of_a_patient_alone_equal_those_in_a_batch():
    rng = np.random.default_rng(1)
    x = rng.multinomial(120, rng.dirichlet(np.full(8, 0.4)), 20) / 120
    batch = log_ratios(x, np.full(20, 120))
    np.testing.assert_array_equal(batch[3], log_ratios(x[3:4], [120])[0])
    np.testing.assert_allclose(batch.sum(1), 0, atol=1e-9)


def test_zeros_are_replaced_below_half_the_smallest_share_a_patient_can_show():
    odds = log_odds([[0.0, 0.5]], [100])
    assert 1 / (1 + np.exp(-odds[0, 0])) == pytest.approx(0.005)


def test_a_zero_has_no_log_and_the_message_says_where():
    with pytest.raises(InputError, match="row 1, part 2"):
        clr([[1, 2, 3], [1, 1, 0]])


def test_parts_that_are_never_seen_are_refused():
    with pytest.raises(InputError, match="part 1 is 0 in every row"):
        bayesian_replacement([[1, 0], [2, 0]])
    with pytest.raises(ConfigError, match="expected GBM"):
        bayesian_replacement([[1, 2], [2, 0]], method="XYZ")


def test_negative_parts_are_refused():
    with pytest.raises(InputError, match="row 0"):
        multi_replace([[-1, 2]])
