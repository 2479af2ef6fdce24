"""AUC, Brier score and net benefit with competing events against R (tests/golden/make_competing.R)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import InputError
from pathosig.survival import brier, decision_curve, time_auc
from pathosig.validation.resampled import ResampledError

HERE = Path(__file__).parents[1] / "golden"
R = json.loads((HERE / "competing.json").read_text())
D = pd.read_csv(HERE / "cohort.csv", float_precision="round_trip")
RISK = 1 / (1 + np.exp(-(D["x1"].to_numpy() - 0.5)))
EVENT, OTHER = (D["cause"] == 1).to_numpy(), (D["cause"] == 2).to_numpy()
TIMES = {
    "time": D["time"].to_numpy(float),
    "apart": (D["time"] + D["time"].rank(method="first") / 1e4).to_numpy(float),
}


@pytest.mark.parametrize("kind", TIMES)
def test_auc_with_its_standard_error_equals_risk_regression(kind):
    auc = time_auc(RISK, TIMES[kind], EVENT, times=R["times"], competing=OTHER)
    np.testing.assert_allclose(auc.auc, R[f"{kind}_auc"], rtol=1e-10)
    np.testing.assert_allclose(auc.se, R[f"{kind}_se"], rtol=1e-10)
    assert auc.n_controls[0] == ((TIMES[kind] > 5) | OTHER).sum()


def test_auc_is_that_of_all_pairs_weighed_one_by_one():
    auc = time_auc(RISK, TIMES["apart"], EVENT, times=R["times"], competing=OTHER)
    np.testing.assert_allclose(auc.auc, R["pairs"], rtol=1e-10)


@pytest.mark.parametrize("kind", TIMES)
def test_brier_score_and_that_of_the_aalen_johansen_null_model_equal_risk_regression(kind):
    free = np.repeat(1 - RISK[:, None], 3, axis=1)
    score = brier(free, TIMES[kind], EVENT, times=R["times"], competing=OTHER)
    np.testing.assert_allclose(score, R[f"{kind}_brier"], rtol=1e-10)
    error = ResampledError(free, TIMES[kind], EVENT, np.array(R["times"]), competing=OTHER)
    model, null = error.scores(np.ones((1, len(D))))
    np.testing.assert_allclose(model[0], R[f"{kind}_brier"], rtol=1e-10)
    np.testing.assert_allclose(null[0], R[f"{kind}_null"], rtol=1e-10)


def test_net_benefit_is_that_of_aalen_johansen_estimates():
    curve = decision_curve(
        RISK, TIMES["time"], EVENT, horizon=10, thresholds=[0.2, 0.3, 0.5], competing=OTHER
    )
    np.testing.assert_allclose(curve.net_benefit["model"], R["net"], rtol=1e-10)


def test_competing_events_taken_for_censoring_give_other_numbers():
    free = np.repeat(1 - RISK[:, None], 3, axis=1)
    plain = brier(free, TIMES["time"], EVENT, times=R["times"])
    assert (np.abs(plain - R["time_brier"]) > 0.002).all()


def test_a_patient_cannot_have_both_events_nor_enter_late():
    with pytest.raises(InputError, match="have both the event and the competing event"):
        time_auc([1, 2, 3], [1, 2, 3], [1, 0, 1], times=[2], competing=[1, 0, 0])
    with pytest.raises(InputError, match="delayed entry"):
        brier([0.5], [1, 2, 3], [1, 0, 1], times=[2], competing=[0, 1, 0], entry=[0, 0, 0])
    with pytest.raises(InputError, match="2 values for 3"):
        brier([0.5], [1, 2, 3], [1, 0, 1], times=[2], competing=[0, 1])
