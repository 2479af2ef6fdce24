"""How often benefit by score is called predictive where a treatment does nothing: one JSON line.

Usage: python benchmarks/treatment.py [RUNS]. Each run has a discovery cohort and one validation cohort of 200 patients.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.validation.trials import SITUATIONS, simulate

from pathosig.core.clinical import TreatmentDesign
from pathosig.validation import treatment_benefit
from pathosig.validation.treatment import UNDECIDED

EXTRA = {
    "landmark, start taken for time zero": (
        "landmark",
        {"design": TreatmentDesign(start="time zero"), "covariates": ["x"]},
    ),
    "landmark, start not declared": ("landmark", {"covariates": ["x"]}),
    "measured, no covariates": ("measured", {"design": TreatmentDesign(start="time zero")}),
    "unmeasured, differs by score": (
        "unmeasured",
        {"design": TreatmentDesign(start="time zero"), "covariates": ["x"]},
    ),
}


def main(runs: int) -> None:
    """Proportion of runs whose verdict is "predictive", and proportion that confounding might explain."""
    situations = {name: (name, options) for name, options in SITUATIONS.items()} | EXTRA
    out: dict[str, dict[str, float]] = {}
    for name, (situation, options) in situations.items():
        calls = []
        for seed in range(runs):
            rng = np.random.default_rng(seed)
            frames = {"discovery": simulate(situation, rng, n=60), "v": simulate(situation, rng, n=200)}
            calls.append(treatment_benefit(frames, arm="arm", endpoint="os", **options))
        called = [c for c in calls if c.verdict == "predictive"]
        undecided = [c for c in calls if c.words == UNDECIDED]
        out[name] = {"predictive": len(called) / runs, "not distinguishable": len(undecided) / runs}
    print(json.dumps({"benchmark": "treatment", "runs": runs, "situations": out}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
