"""How often benefit by score is called predictive where a treatment does nothing, and where it helps: one JSON line.

Usage: python benchmarks/treatment.py [RUNS [FIRST]]. FIRST is the first seed. Each run has a discovery cohort and one validation cohort of 200 patients.
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
    "randomised, benefit -1 per SD": (
        "randomised",
        {"design": TreatmentDesign(randomised=True), "benefit": -1.0},
    ),
    "measured, benefit -1 per SD": (
        "measured",
        {"design": TreatmentDesign(start="time zero"), "covariates": ["x"], "benefit": -1.0},
    ),
    "unmeasured, differs by score": (
        "unmeasured",
        {"design": TreatmentDesign(start="time zero"), "covariates": ["x"]},
    ),
}


def main(runs: int, first: int) -> None:
    """Proportion of runs whose verdict is "predictive", and proportion that confounding might explain."""
    situations = {name: (name, options) for name, options in SITUATIONS.items()} | EXTRA
    out: dict[str, dict[str, float]] = {}
    for name, (situation, options) in situations.items():
        calls = []
        asked = dict(options)
        benefit = asked.pop("benefit", 0.0)
        for seed in range(first, first + runs):
            rng = np.random.default_rng(seed)
            frames = {
                "discovery": simulate(situation, rng, n=60, benefit=benefit),
                "v": simulate(situation, rng, n=200, benefit=benefit),
            }
            calls.append(treatment_benefit(frames, arm="arm", endpoint="os", **asked))
        called = [c for c in calls if c.verdict == "predictive"]
        undecided = [c for c in calls if c.words == UNDECIDED]
        out[name] = {"predictive": len(called) / runs, "not distinguishable": len(undecided) / runs}
    print(json.dumps({"benchmark": "treatment", "runs": runs, "situations": out}))


if __name__ == "__main__":
    main(*(int(given) for given in (*sys.argv[1:], *("400", "0")[len(sys.argv) - 1 :])))
