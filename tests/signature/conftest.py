"""A small simulated cohort of compositions with two planted types."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import ward


def simulate(seed: int = 0, n: int = 240, *, effect: float = 1.0, k: int = 12, types: int = 4) -> dict:
    """Types 0 (harmful) and 1 (protective) of `types`, each split over k / types HPCs."""
    rng = np.random.default_rng(seed)
    owner = np.sort(np.arange(k) % types)
    centres = rng.normal(size=(types, 16))
    tree = {"k": k, "linkage": ward(centres[owner] + 0.3 * rng.normal(size=(k, 16))).tolist()}
    true = rng.dirichlet(np.full(types, 2.0), size=n)
    lp = effect * 0.7 * ((true - true.mean(0)) / true.std(0))[:, :2] @ np.array([1.0, -1.0])
    counts = np.zeros((n, k))
    for i in range(n):
        shares = np.concatenate(
            [true[i, t] * rng.dirichlet(np.full((owner == t).sum(), 1.5)) for t in range(types)]
        )
        counts[i] = rng.multinomial(400, shares)
    death, censored = rng.exponential(30, n) * np.exp(-lp), rng.uniform(10, 90, n)
    profiles = pd.DataFrame(counts / 400, columns=[f"hpc_{j:02d}" for j in range(k)])
    profiles.insert(0, "patient_id", [f"P{i:03d}" for i in range(n)])
    profiles["n_tiles"] = 400
    outcome = pd.DataFrame(
        {
            "patient_id": profiles["patient_id"],
            "time": np.minimum(death, censored),
            "event": death <= censored,
        }
    )
    return {"profiles": profiles, "outcome": outcome, "tree": tree, "owner": owner}


@pytest.fixture(scope="session")
def cohort() -> dict:
    return simulate()


@pytest.fixture(scope="session")
def noise() -> dict:
    return simulate(3, 120, effect=0.0)


@pytest.fixture(scope="session")
def loud_leaf() -> dict:
    """A cohort in which one HPC of the harmful type collects more votes than the type's node."""
    return simulate(26, 200, k=24)
