"""Tests of proportional hazards for whole terms (all levels of a category) and globally agree with R's cox.zph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import InputError
from pathosig.survival import cox, ph_test
from pathosig.validation.forests import forest

GOLDEN = Path(__file__).parents[1] / "golden"
R = json.loads((GOLDEN / "ph.json").read_text())
D = pd.read_csv(GOLDEN / "cohort.csv", float_precision="round_trip")
TERMS = ["x1", "stratum", "stratum", "x3"]


def design(frame: pd.DataFrame) -> np.ndarray:
    columns = [frame["x1"], frame["stratum"] == "b", frame["stratum"] == "c", frame["x3"]]
    return np.column_stack([c.to_numpy(float) for c in columns])


@pytest.mark.parametrize("transform", ["km", "rank", "identity"])
def test_terms_and_the_global_test_equal_cox_zph(transform):
    test = ph_test(cox(design(D), D["time"], D["event"]), transform, terms=TERMS)
    theirs = R["plain"][transform]
    assert test.names == ("x1", "stratum", "x3")
    np.testing.assert_allclose([*test.statistic, test.global_statistic], theirs["chisq"], rtol=1e-6)
    np.testing.assert_array_equal([*test.df, test.global_df], theirs["df"])
    np.testing.assert_allclose([*test.p, test.global_p], theirs["p"], rtol=1e-6)


def test_terms_with_delayed_entry_equal_cox_zph():
    late = D[D["entry"] < D["time"]]
    fit = cox(design(late), late["time"], late["event"], entry=late["entry"])
    test = ph_test(fit, "identity", terms=TERMS)
    theirs = R["entry"]["identity"]["chisq"]
    np.testing.assert_allclose([*test.statistic, test.global_statistic], theirs, rtol=1e-6)


def test_a_forest_carries_the_tests_of_its_multivariable_model():
    frame = D.drop(columns="entry").assign(score=D["x1"], event=D["event"] == 1)
    ph = forest(frame, ["stratum", "x3"], sd=2.0).ph
    theirs = R["plain"]["km"]
    assert list(ph.variables) == ["score", "stratum", "x3"]
    statistics = [*(v.statistic for v in ph.variables.values()), ph.whole.statistic]
    np.testing.assert_allclose(statistics, theirs["chisq"], rtol=1e-6)
    assert [*(v.df for v in ph.variables.values()), ph.whole.df] == theirs["df"]


def test_another_number_of_terms_than_columns_is_refused():
    with pytest.raises(InputError, match="2 terms for 4 columns"):
        ph_test(cox(design(D), D["time"], D["event"]), terms=["a", "b"])
