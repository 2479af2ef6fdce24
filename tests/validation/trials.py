"""Simulated cohorts in which a treatment has no effect or one that depends on the score, with common sources of bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.clinical import TreatmentDesign

SITUATIONS: dict[str, dict[str, Any]] = {
    "randomised": {"design": TreatmentDesign(randomised=True)},
    "measured": {"design": TreatmentDesign(start="time zero"), "covariates": ["x"]},
    "landmark": {"design": TreatmentDesign(start="start", landmark=6.0), "covariates": ["x"]},
    "time-dependent": {"design": TreatmentDesign(start="start"), "covariates": ["x"]},
}


def simulate(situation: str, rng: np.random.Generator, *, n: int, benefit: float = 0.0) -> pd.DataFrame:
    """A cohort in which the score raises the log hazard by 0.5 per SD and the covariate x by 0.5 per unit.

    Parameters
    ----------
    situation
        ``randomised``; ``measured``: the choice of treatment depends on x; ``unmeasured``: fit patients with a high score and
        unfit patients with a low score are treated, and fitness is not in the table; ``landmark`` and ``time-dependent``:
        treatment begins after 12 months on average, earlier with a high score, if the patient lives until then.
    benefit
        Interaction of score and treatment on the log hazard.
    """
    score, x, u = rng.normal(size=(3, n))
    late = situation in ("landmark", "time-dependent")
    logit = {"measured": 0.8 * x, "unmeasured": np.where(score > 0, -1.2, 1.2) * u}.get(
        situation, np.zeros(n)
    )
    arm = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(float)
    hazard = np.exp(
        0.5 * score + 0.5 * x + (0.7 * u if situation == "unmeasured" else 0) + benefit * arm * score
    )
    death, censored = rng.exponential(20, n) / hazard, rng.uniform(10, 80, n)
    time = np.minimum(death, censored)
    start = rng.exponential(12, n) * np.exp(-0.4 * score)
    if late:
        arm = (start < time).astype(float)
    return pd.DataFrame({
        "patient_id": [str(i) for i in range(n)], "score": score, "group": np.where(score > 0, "high", "low"),
        "time": time, "event": death <= censored, "arm": arm, "x": x, "start": np.where(arm == 1, start, np.nan),
    })  # fmt: skip
