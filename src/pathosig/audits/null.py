"""Audit `null`: the whole procedure on outcomes that are permuted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from pathosig.audits.repeats import Procedure, repeat
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.validation.estimates import estimate

_PASS = 0.07


def permuted_order(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An order of patients that mixes them within strata (cohort and site): int[n]."""
    order = np.arange(len(strata))
    for label in np.unique(strata):
        inside = np.flatnonzero(strata == label)
        order[inside] = rng.permutation(inside)
    return order


def audit_null(
    training: TrainingSet,
    *,
    spec: SignatureSpec,
    strata: Mapping[str, str] | None = None,
    permutations: int = 1000,
    seed: int = 0,
    workers: int = 1,
) -> dict[str, Any]:
    """The whole procedure on permuted outcomes.

    Parameters
    ----------
    training
        Discovery patients.
    spec
        The signature's settings.
    strata
        patient_id -> label within which outcomes are permuted (cohort and site).
    permutations
        1,000 for a verdict; fewer than 1,000 are a preview without one.
    seed
        Seed.
    workers
        Processes side by side; results do not depend on it.

    Returns
    -------
    dict with ``any_signature``, ``naive_rejection``, ``reported_rejection`` (each with Monte-Carlo limits),
    ``observed_c``, ``p`` (rank of the observed apparent C among the permuted ones) and ``verdict``.
    """
    procedure = Procedure(training=training, spec=spec.replace(bootstraps=0))
    labels = training.outcome["patient_id"].map(strata or {}).fillna("").to_numpy(str)
    rng = np.random.default_rng(seed)
    observed = procedure.apparent(training)[0]
    orders = [permuted_order(labels, rng) for _ in range(permutations)]
    made = repeat(procedure, "permuted", orders, workers=workers)
    statistics, some = [c for c, _, _ in made], sum(found for _, _, found in made)
    naive = [p < 0.05 for _, p, _ in made]
    drawn = np.array(statistics)
    # p of each permuted data set among the others, exactly as the observed one is ranked; no signature never rejects
    ranks = np.array([(1 + (np.delete(drawn, i) >= c).sum()) / len(drawn) for i, c in enumerate(drawn)])
    rejected = int(((ranks < 0.05) & (drawn > 0.5)).sum())
    reported = _rate(rejected, permutations)
    verdict = "preview" if permutations < 1000 else "pass" if (reported["upper"] or 1) <= _PASS else "fail"
    return {
        "audit": "null",
        "permutations": permutations,
        "any_signature": _rate(some, permutations),
        "naive_rejection": _rate(int(np.sum(naive)), permutations),
        "reported_rejection": reported,
        "observed_c": observed,
        "null_c": estimate(drawn.mean(), *np.quantile(drawn, [0.025, 0.975])),
        "p": float((1 + (drawn >= observed).sum()) / (1 + permutations)) if observed > 0.5 else 1.0,
        "bar": _PASS,
        "verdict": verdict,
    }


def _rate(count: int, n: int) -> dict[str, Any]:
    lower = stats.beta.ppf(0.025, count, n - count + 1) if count else 0.0
    upper = stats.beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
    return estimate(count / n, lower, upper, n=n)
