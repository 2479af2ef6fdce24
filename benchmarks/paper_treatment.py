"""How often the benefit planted in `demo --study paper` is found at the size of its cohorts: one JSON line.

Usage: python benchmarks/paper_treatment.py [RUNS [FIRST]]. FIRST is the first seed.

The clinical tables are those that `simulate --kind mixed` draws; nothing is painted. The score is the planted log hazard with noise of
.45 of its SD, a correlation of .91. For each planted benefit and size of a validation cohort the line holds the proportion of runs with each verdict:

found              "consistent with predictive (observational)"
confounding        an interaction below .05 of one sign, whose confidence bound has an E-value below 2
no interaction     p of score x treatment, adjusted, is not below .05, or its sign changes between cohorts
treated_high       treated patients above the cut-off in a validation cohort, mean
factor             by how much the 95 % interval of the interaction's hazard ratio reaches to either side, median
"""

from __future__ import annotations

import json
import sys
from collections import Counter

import numpy as np
import pandas as pd

from pathosig.commands.demo import PAPER
from pathosig.core.clinical import TreatmentDesign
from pathosig.synthetic.clinic import clinic_config, draw_clinic
from pathosig.synthetic.patients import COHORTS, draw_patients, draw_shares, linear_predictor
from pathosig.synthetic.spec import SimulateSpec
from pathosig.validation import treatment_benefit
from pathosig.validation.arms import Treatment, TreatmentEffect
from pathosig.validation.treatment import UNDECIDED
from pathosig.validation.values import Z95, HazardRatio

NOISE = 0.45
ARM = "adjuvant_crt"
DESIGNS = (
    PAPER,
    PAPER.replace(n_validation=160),
    PAPER.replace(treatment_benefit=-3.5),
    PAPER.replace(treatment_benefit=-0.8),
)


def frames_of(spec: SimulateSpec) -> dict[str, pd.DataFrame]:
    """Each cohort with a score, as `validate` has it."""
    patients = draw_patients(spec)
    shares = draw_shares(spec, len(patients))
    discovery = np.array([p.cohort == COHORTS[0] for p in patients])
    risk, _ = linear_predictor(shares, spec, discovery)
    table = pd.DataFrame(draw_clinic(patients, shares, risk, spec).rows)
    noise = np.random.default_rng([spec.seed, 99]).normal(0, NOISE * risk[discovery].std(), len(table))
    table = table.assign(score=risk + noise, time=table["os_time"], event=table["os_event"].astype(bool))
    table["group"] = np.where(table["score"] > np.median(table["score"][discovery]), "high", "low")
    table["adjuvant_months"] = pd.to_numeric(table["adjuvant_months"], errors="coerce")
    return {cohort: table[table["cohort"] == cohort].reset_index(drop=True) for cohort in COHORTS}


def benefit_in(frames: dict[str, pd.DataFrame]) -> Treatment:
    """What `validate` says of the arm."""
    settings = clinic_config("slides")
    covariates = settings["primary"]["covariates"]  # type: ignore[index]
    return treatment_benefit(
        frames,
        arm=ARM,
        endpoint="os",
        covariates=covariates,
        sd=float(frames[COHORTS[0]]["score"].std()),
        design=TreatmentDesign(**settings["treatment"][ARM]),  # type: ignore[index]
    )


def verdict_of(treatment: Treatment) -> str:
    """One of the three of this benchmark."""
    if treatment.verdict == "predictive":
        return "found"
    return "confounding" if treatment.words == UNDECIDED else "no interaction"


def factors_of(treatment: Treatment) -> list[float]:
    """Reach of the interval of the interaction in each validation cohort."""
    results = [c.result for c in treatment.cohorts if c.role == "validation"]
    tests = [r.interaction for r in results if isinstance(r, TreatmentEffect)]
    return [float(np.exp(Z95 * test.se)) for test in tests if isinstance(test, HazardRatio) and test.se]


def judged(design: SimulateSpec, seeds: range) -> dict[str, float]:
    """Proportions of the verdicts on one design, and what they rest on."""
    verdicts: Counter[str] = Counter()
    treated, factors = [], []
    for seed in seeds:
        frames = frames_of(design.replace(seed=seed))
        treatment = benefit_in(frames)
        verdicts[verdict_of(treatment)] += 1
        factors += factors_of(treatment)
        treated += [int((frames[c][ARM].eq(1) & frames[c]["group"].eq("high")).sum()) for c in COHORTS[1:]]
    return {
        "hazard_ratio": round(float(np.exp(design.treatment_benefit)), 3),
        "n_validation": design.n_validation,
        **{v: verdicts[v] / len(seeds) for v in ("found", "confounding", "no interaction")},
        "treated_high": round(float(np.mean(treated)), 1),
        "factor": round(float(np.median(factors)), 2),
    }


def main(runs: int, first: int) -> None:
    """Every design on the same seeds."""
    out = [judged(design, range(first, first + runs)) for design in DESIGNS]
    print(json.dumps({"benchmark": "paper_treatment", "runs": runs, "first": first, "designs": out}))


if __name__ == "__main__":
    main(*(int(given) for given in (*sys.argv[1:], *("20", "0")[len(sys.argv) - 1 :])))
