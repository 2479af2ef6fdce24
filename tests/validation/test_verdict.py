"""The verdict of a validation: a fixed rule for each endpoint."""

from __future__ import annotations

import numpy as np
import pytest

from pathosig.survival import cox
from pathosig.validation.analysis import Analysis
from pathosig.validation.values import HazardRatio, NotEstimable
from pathosig.validation.verdict import external_verdict, headlines, internal_verdict, nothing_found


def effect(hr, lower, upper, p):
    return HazardRatio(hr=hr, lower=lower, upper=upper, p=p, n=100, events=60)


def cohort(name, hr_sd, endpoint="os", role="validation"):
    return Analysis(
        cohort=name, endpoint=endpoint, unit="months", role=role, primary=True, n=100, events=60, hr_sd=hr_sd
    )


STRONG, WEAK = effect(2.0, 1.5, 2.7, 0.001), effect(1.1, 0.9, 1.3, 0.4)
WIDE, OPPOSITE = effect(1.3, 0.7, 2.4, 0.4), effect(0.5, 0.4, 0.7, 0.001)
MISSING = NotEstimable(reason="no events")


@pytest.mark.parametrize(
    ("effects", "verdict", "words"),
    [
        ([STRONG], "holds", "Holds in 1 of 1 validation cohort (os)."),
        ([STRONG, WEAK], "holds", "Holds in 1 of 2"),
        ([STRONG, MISSING], "holds", "Holds in 1 of 1"),
        ([STRONG, WEAK, WEAK], "uncertain", "only 1 of 3"),
        ([STRONG, STRONG, OPPOSITE], "uncertain", "in 2 of 3 validation cohorts, and the opposite in 1."),
        ([WIDE], "uncertain", "do not exclude a hazard ratio per SD of 1.5"),
        ([WEAK, WEAK], "not shown", "any of 2 validation cohorts"),
        ([effect(1.5, 1.0, 2.2, 0.03), effect(1.4, 1.0, 1.9, 0.04)], "uncertain", "do not exclude"),  # Holm
        ([MISSING], "not shown", "no validation cohort has an estimable effect"),
    ],
)
def test_the_rule_over_validation_cohorts(effects, verdict, words):
    answer = external_verdict([cohort(f"c{i}", e) for i, e in enumerate(effects)], "os", primary=True)
    assert answer.verdict == verdict
    assert words in answer.sentence


def test_discovery_and_other_endpoints_never_count():
    rows = [cohort("d", STRONG, role="discovery"), cohort("v", STRONG, endpoint="dfs"), cohort("v", WEAK)]
    answer = external_verdict(rows, "os", primary=True)
    assert (answer.verdict, answer.holds, answer.tested) == ("not shown", 0, 1)


@pytest.mark.parametrize(
    ("c", "lower", "upper", "empty", "verdict"),
    [
        (0.5, 0.5, 0.5, 1.0, "nothing found"),
        (0.65, 0.58, 0.72, 0.0, "holds"),
        (0.56, 0.48, 0.64, 0.4, "uncertain"),
        (0.49, 0.40, 0.58, 0.2, "not shown"),
        (None, None, None, 0.0, "not shown"),
    ],
)
def test_the_rule_of_cross_validation(c, lower, upper, empty, verdict):
    answer = internal_verdict("os", c=c, lower=lower, upper=upper, share_empty=empty)
    assert answer.verdict == verdict
    assert ("% of the folds selected nothing" in answer.sentence) == (0 < empty < 1)


def test_without_a_signature_the_verdict_says_why():
    assert (
        nothing_found("os", "no candidate was selected.").sentence
        == "No signature: no candidate was selected."
    )


@pytest.mark.parametrize("cohorts", [1, 3])
def test_on_noise_the_rule_holds_in_at_most_five_per_cent(cohorts):
    """The null distribution of the verdict over 200 simulated validations of a score without effect."""
    rng = np.random.default_rng(cohorts)
    holds = 0
    for _ in range(200):
        rows = []
        for k in range(cohorts):
            time, event = rng.exponential(size=60), rng.random(60) < 0.7
            fit = cox(rng.normal(size=(60, 1)), time, event)
            rows.append(
                cohort(f"c{k}", effect(*(float(v[0]) for v in (fit.hr, fit.lower, fit.upper, fit.p))))
            )
        holds += external_verdict(rows, "os", primary=True).verdict == "holds"
    assert holds <= 0.05 * 200  # expected 2.5 %: two-sided tests, one direction


def test_headlines_leave_discovery_out():
    rows = [cohort("d", STRONG, role="discovery"), cohort("v", WEAK), cohort("v", WEAK, endpoint="dfs")]
    assert [(h.cohort, h.endpoint, h.role) for h in headlines(rows, "os")] == [("v", "os", "validation")]
