"""Audit `null`: how often the report would show an effect if there is none.

There is no effect by construction: (time, event) are permuted jointly within cohort and site, in discovery and in validation.
For each such data set the *reporter* carries out all steps that lead to a printed p-value, and the audit counts how often this is
below .05. The audit can fail: a procedure that lets outcomes leak into its validation gives p < .05 too often.

The claim about discovery is itself a permutation p-value. It is computed with a second, independent set of permutations, by the
rule that the report uses (`SelectionTest.significant`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from pathosig.audits.results import NullAudit
from pathosig.core.errors import PathosigError
from pathosig.core.pool import over_processes
from pathosig.signature.scores import training_scores
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.survival import cox
from pathosig.validation.repeats import Apparent, Procedure, apparent, quiet_fit
from pathosig.validation.significance import FULL, Rate, judge, permuted_order, stratum_labels
from pathosig.validation.values import Estimate

BAR = 0.07
LEVEL = 0.05
Verdict = Literal["pass", "fail", "preview"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The claims that a report would make about one data set.

    Attributes
    ----------
    apparent
        Apparent performance in discovery, for comparison with permutations; None if the reporter makes no such claim.
    p
        Printed p-value; None if none would be printed (no signature, or no validation cohort).
    """

    apparent: Apparent | None = None
    p: float | None = None


class Reporter(Protocol):
    """A function from data to claims, which carries out every step that uses outcomes."""

    def __call__(self, discovery: TrainingSet, validation: TrainingSet | None) -> Claim:
        """The claims about one data set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shipped:
    """The procedure of pathosig: fitted to discovery, frozen, and tested by the hazard ratio of the score in validation."""

    spec: SignatureSpec

    def __call__(self, discovery: TrainingSet, validation: TrainingSet | None) -> Claim:
        """Apparent performance in discovery, and p-value in validation."""
        fit = quiet_fit(discovery, self.spec)
        claim = apparent(fit, discovery)
        if fit is None or fit.signature is None or validation is None:
            return Claim(apparent=claim)
        return Claim(apparent=claim, p=score_p(training_scores(fit.signature, validation), validation))


def score_p(score: np.ndarray, patients: TrainingSet) -> float | None:
    """P-value of the hazard ratio of a score (Wald); None if it cannot be estimated."""
    usable = np.isfinite(score)
    try:
        fit = cox(score[usable], patients.time[usable], patients.event[usable])
    except PathosigError:
        return None
    return float(fit.p[0]) if np.isfinite(fit.p[0]) else None


@dataclass(frozen=True, kw_only=True)
class _NullData:
    reporter: Reporter
    discovery: TrainingSet
    validation: TrainingSet | None

    def claim(self, orders: tuple[np.ndarray, np.ndarray | None]) -> Claim:
        validation = self.validation
        if validation is not None and orders[1] is not None:
            validation = validation.permuted(orders[1])
        return self.reporter(self.discovery.permuted(orders[0]), validation)


def audit_null(
    training: TrainingSet,
    *,
    spec: SignatureSpec,
    validation: TrainingSet | None = None,
    reporter: Reporter | None = None,
    strata: Mapping[str, str] | None = None,
    permutations: int = 1000,
    seed: int = 0,
    workers: int = 1,
) -> NullAudit:
    """Size of the reported tests if there is no effect.

    Parameters
    ----------
    training, validation
        Discovery and validation patients with their observed outcomes.
    spec
        Settings of the signature.
    reporter
        The procedure that is audited; by default that of pathosig. With several workers it must be possible to pickle it.
    strata
        Label of each patient_id, such as cohort and site; outcomes are permuted within labels.
    permutations
        Number of permuted data sets; a verdict needs 1,000. Half as many others serve as reference, so that the cost is
        1.5 x `permutations` + 1 fits of the whole procedure.
    seed, workers
        Seed, and number of processes, on which the result does not depend.

    Returns
    -------
    NullAudit
        The ``verdict`` is *fail* if the lower end of the 95 % Monte Carlo interval of the size of a reported test is above 7 %.
        Otherwise it is *preview* with fewer than 1,000 permutations, *pass* if all upper ends are at most 7 %, and else *fail*.
        Data sets without a signature count as without a claim.
    """
    quick = spec.replace(bootstraps=0)
    report = reporter or Shipped(spec=quick)
    rng = np.random.default_rng(seed)
    labels = stratum_labels(training, strata)
    others = None if validation is None else stratum_labels(validation, strata)
    reference_size = max(1, permutations // 2)
    orders = [
        (permuted_order(labels, rng), None if others is None else permuted_order(others, rng))
        for _ in range(permutations + reference_size)
    ]
    data = _NullData(reporter=report, discovery=training, validation=validation)
    claims = over_processes(data.claim, orders[:permutations], workers=workers, label="null data sets")
    sizes: dict[str, Rate] = {}
    printed = [c.p for c in claims]
    if any(p is not None for p in printed):
        sizes["printed"] = Rate.of(sum(p is not None and p < LEVEL for p in printed), permutations)
    about_discovery = [c.apparent for c in claims if c.apparent is not None]
    observed = report(training, validation)
    test = None
    if len(about_discovery) == permutations and observed.apparent is not None:
        procedure = Procedure(training=training, spec=quick)
        reference = over_processes(
            procedure.permuted, [o for o, _ in orders[permutations:]], workers=workers, label="reference"
        )
        sizes["discovery"] = Rate.of(
            sum(judge(a, reference).significant for a in about_discovery), permutations
        )
        test = judge(observed.apparent, [*about_discovery, *reference])
    naive = sum(a.naive_p < LEVEL for a in about_discovery)
    worst = max(sizes.values(), key=lambda r: r.upper, default=None)
    return NullAudit(
        permutations=permutations,
        reference=reference_size if test is not None else 0,
        any_signature=Rate.of(sum(a.selected for a in about_discovery), permutations)
        if about_discovery
        else None,
        naive_rejection=Rate.of(naive, permutations) if about_discovery else None,
        sizes=sizes,
        reported_rejection=worst,
        observed_c=test.observed_c if test is not None else None,
        null_c=Estimate.of(*test.null_c) if test is not None else None,
        p=test.p if test is not None else None,
        bar=BAR,
        verdict=_verdict(list(sizes.values()), permutations),
    )


def _verdict(sizes: list[Rate], permutations: int) -> Verdict:
    if any(size.lower > BAR for size in sizes):
        return "fail"
    if permutations < FULL:
        return "preview"
    return "pass" if sizes and all(size.upper <= BAR for size in sizes) else "fail"
