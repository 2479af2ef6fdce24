"""Weights of tiles: their mean over a slide is its score."""

import numpy as np
import pandas as pd
import pytest

from pathosig.profiles.tree import tile_weights
from pathosig.signature import SignatureSpec, fit_signature
from pathosig.signature.contributions import risk_of_tiles


@pytest.mark.parametrize("scale", ["share", "logodds"])
def test_the_mean_weight_of_the_tiles_is_the_score_of_the_slide(scale):
    rng = np.random.default_rng(0)
    names = [f"hpc_{i:02d}" for i in range(5)]
    shares = rng.dirichlet(np.ones(5), 90)
    table = pd.DataFrame(shares, columns=names).assign(
        n_tiles=400, patient_id=[f"P{i:02d}" for i in range(90)]
    )
    time = rng.exponential(30 * np.exp(-3 * shares[:, 0]))
    outcome = pd.DataFrame({"time": np.minimum(time, 60), "event": time < 60})
    signature = fit_signature(
        table, outcome, spec=SignatureSpec(selection="ridge", bootstraps=0, scale=scale)
    )
    row = table.iloc[[3]]
    weights = risk_of_tiles(signature, row, names)
    assert shares[3] @ weights == pytest.approx(float(signature.score(row)[0]), abs=1e-3)
    if scale == "share":
        terms = [
            (signature.transform.leaves[name], b)
            for name, b in zip(signature.hpcs, signature.coef, strict=True)
        ]
        constant = float(np.dot(signature.coef, signature.center))
        np.testing.assert_allclose(weights, tile_weights(terms, 5) - constant, atol=1e-6)
