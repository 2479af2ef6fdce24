"""Sample size and optimism."""

import json

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import ConfigError, InputError, NotEstimableError
from pathosig.survival import cox, harrell_c, optimism, sample_size

# r2, parameters, rate, timepoint, mean follow-up -> criteria 1 and 2 and events per parameter of R's pmsampsize
KNOWN = [
    (0.051, 25, 0.065, 2, 2.07, 4286, 875, 23.07),
    (0.065, 25, 0.065, 2, 2.07, 3335, 868, 17.95),
    (0.051, 50, 0.065, 2, 2.07, 8572, 1749, 23.07),
    (0.051, 25, 0.1, 2, 2.07, 4286, 725, 35.49),
    (0.051, 25, 0.065, 4, 2.07, 4286, 875, 23.07),
    (0.051, 25, 0.065, 2, 4, 4286, 684, 44.57),
    (0.06, 40, 0.08, 3, 5, 5798, 974, 57.98),
    (0.03, 10, 0.09, 3, 3, 2950, 273, 79.65),
    (0.3, 80, 0.03, 1, 5, 1974, 2279, 4.27),
]


@pytest.mark.parametrize("case", KNOWN)
def test_criteria_equal_pmsampsize(case):
    r2, parameters, rate, timepoint, followup, first, second, epp = case
    found = sample_size(parameters, rate, timepoint, followup, r2=r2)
    assert (found.n_shrinkage, found.n_optimism, found.n) == (first, second, max(first, second))
    assert round(found.events_per_parameter, 2) == epp


def test_criteria_equal_the_published_formulas_by_hand():
    found = sample_size(30, 0.065, 2, 2.07, r2=0.051)
    assert found.n_shrinkage == np.ceil(30 / (-0.1 * np.log(1 - 0.051 / 0.9)))
    assert found.n_shrinkage == 5143
    assert found.risk == pytest.approx(1 - np.exp(-0.13), abs=1e-12)
    half = 1.96 * np.sqrt(0.065 / round(2.07 * 5143, 1))
    assert found.risk_upper == pytest.approx(1 - np.exp(-2 * (0.065 + half)), abs=1e-12)
    rate_limit = -np.log(1 - found.risk - 0.05) / 2
    years = found.n_risk_margin * 2.07
    assert 0.065 + 1.96 * np.sqrt(0.065 / years) <= rate_limit + 1e-12
    assert 0.065 + 1.96 * np.sqrt(0.065 / (years - 2.07)) > rate_limit


def test_nagelkerke_r2_is_a_share_of_the_maximum():
    found = sample_size(30, 0.065, 2, 2.07, nagelkerke_r2=0.1)
    assert found == sample_size(30, 0.065, 2, 2.07, r2=0.1 * found.max_r2)


def test_impossible_plans_are_refused():
    for bad in (
        {"r2": 0.95},
        {"r2": 0.0},
        {},
        {"r2": 0.1, "nagelkerke_r2": 0.1},
        {"r2": 0.1, "shrinkage": 1.0},
    ):
        with pytest.raises(ConfigError):
            sample_size(10, 0.065, 2, 2.07, **bad)
    with pytest.raises(ConfigError):
        sample_size(0, 0.065, 2, 2.07, r2=0.1)


def _fit(x, time, event):
    coef = np.nan_to_num(cox(x, time, event).coef)
    return lambda new: np.asarray(new, float) @ coef


def test_optimism_equals_r_on_the_same_resamples(golden_folder):
    theirs = json.loads((golden_folder / "performance.json").read_text())["bootstrap"]
    cohort = pd.read_csv(golden_folder / "discovery.csv", float_precision="round_trip")
    indices = np.loadtxt(golden_folder / "bootstrap_indices_B200.csv", delimiter=",", dtype=int)
    indices = indices if indices.shape[1] == len(cohort) else indices.T
    found = optimism(_fit, cohort[["HPC_6", "HPC_21"]], cohort["os_time"], cohort["os_event"], indices)
    np.testing.assert_allclose(found.boot, theirs["boot_c"], atol=1e-6)
    np.testing.assert_allclose(found.original, theirs["orig_c"], atol=1e-6)
    for name, key in (("apparent", "apparent"), ("optimism", "optimism"), ("corrected", "corrected")):
        assert getattr(found, name) == pytest.approx(theirs[key], abs=1e-6)
    assert found.slope == pytest.approx(theirs["calibration_slope"], abs=1e-5)


def test_noise_is_corrected_to_about_one_half_and_empty_models_score_one_half():
    rng = np.random.default_rng(3)
    x, time, event = rng.normal(size=(80, 10)), rng.exponential(size=80), rng.random(80) < 0.7
    indices = rng.integers(0, 80, (40, 80))
    found = optimism(_fit, x, time, event, indices)
    assert found.apparent > 0.57
    assert abs(found.corrected - 0.5) < 0.09
    assert found.slope < 0.6
    empty = optimism(lambda x, t, e: lambda new: np.zeros(len(new)), x, time, event, indices)
    assert (empty.corrected, empty.empty, empty.slope) == (0.5, 1.0, 0.0)


def test_failed_resamples_are_counted_and_wrong_indices_refused():
    x, time, event = np.arange(6.0)[:, None] % 4, np.arange(1.0, 7.0), np.arange(6) < 2
    indices = np.array([[3, 4, 5, 3, 4, 5], [0, 1, 2, 3, 4, 5]])
    found = optimism(_fit, x, time, event, indices)
    assert found.failed == 1
    assert found.apparent == harrell_c(_fit(x, time, event)(x), time, event).c
    with pytest.raises(NotEstimableError):
        optimism(_fit, x, time, event, indices[:1])
    with pytest.raises(InputError):
        optimism(_fit, x, time, event, indices + 1)
