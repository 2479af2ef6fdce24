"""Standard errors of a treatment effect with estimated weights. Prints one JSON object as its last line.

    python benchmarks/weights.py [--runs 1000] [--patients 200]

`validate` weights observational arms by inverse propensities and gives robust standard errors that take these weights as known. For the
arm and for its interaction with the score: the standard deviation of the log hazard ratio over simulated cohorts without a treatment
effect, the mean standard error, their ratio (above 1: the error is too large), and how often the test rejects at 5 %.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.validation.trials import simulate

from pathosig.survival import cox
from pathosig.validation.propensity import propensity_weights


def measure(situation: str, runs: int, patients: int) -> dict[str, dict[str, float]]:
    """Errors of both effects in one situation."""
    found = []
    for seed in range(runs):
        frame = simulate(situation, np.random.default_rng(seed), n=patients)
        arm, score = frame["arm"].to_numpy(float), frame["score"].to_numpy(float)
        scaled = score / score.std()
        weights = propensity_weights(arm, frame, ["x"], scaled).weights
        options = {"weights": weights, "cluster": np.arange(patients)}
        outcome = (frame["time"], frame["event"])
        alone = cox(arm[:, None], *outcome, **options)
        both = cox(np.column_stack([arm * scaled, arm, scaled]), *outcome, **options)
        found.append([alone.coef[0], alone.se[0], both.coef[0], both.se[0]])
    table = np.array(found)
    out = {}
    for j, name in enumerate(("arm", "arm x score")):
        coef, se = table[:, 2 * j], table[:, 2 * j + 1]
        sd = float(coef.std(ddof=1))
        out[name] = {
            "sd": round(sd, 4),
            "mean_se": round(float(se.mean()), 4),
            "ratio": round(float(se.mean() / sd), 3),
            "ratio_se": round(float(se.mean() / sd / np.sqrt(2 * runs)), 3),
            "rejected": round(float((np.abs(coef / se) > 1.959964).mean()), 4),
        }
    return out


def main() -> None:
    """Measured confounding, and arms at random that are weighted all the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--patients", type=int, default=200)
    options = parser.parse_args()
    results = {name: measure(name, options.runs, options.patients) for name in ("measured", "randomised")}
    print(json.dumps({"runs": options.runs, "patients": options.patients, "situations": results}))


if __name__ == "__main__":
    main()
