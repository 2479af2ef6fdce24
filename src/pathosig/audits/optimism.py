"""Audit `optimism`: the difference between the apparent C and the C in patients who were not used for the fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pathosig.audits.results import MonteCarlo, OptimismAudit
from pathosig.core.pool import over_processes
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.validation.internal import cross_validate
from pathosig.validation.repeats import Procedure
from pathosig.validation.values import Estimate, finite


def audit_optimism(
    training: TrainingSet,
    *,
    spec: SignatureSpec,
    resamples: int = 100,
    repeats: int = 5,
    folds: int = 5,
    seed: int = 0,
    workers: int = 1,
) -> OptimismAudit:
    """Apparent C, cross-validated C, out-of-bag C, .632+ and Harrell's optimism of the procedure from profiles to score.

    The codebook, which does not use outcomes, is fixed. Repeats of a patient in a bootstrap sample stay in one inner fold. A
    resample in which nothing is selected has C = .50; the proportion of such resamples is reported.

    Parameters
    ----------
    training
        Discovery patients.
    spec
        Settings of the signature.
    resamples
        Number of bootstrap resamples.
    repeats, folds
        Number of repeats and of folds of the cross-validation.
    seed
        Seed of resamples and folds.
    workers
        Number of processes; the result does not depend on it.

    Returns
    -------
    OptimismAudit

    References
    ----------
    Efron B, Tibshirani R. Improvements on cross-validation: the .632+ bootstrap method. JASA 1997; 92: 548.
    """
    procedure = Procedure(training=training, spec=spec.replace(bootstraps=0))
    apparent = procedure.apparent(training).c
    rng = np.random.default_rng(seed)
    draws = [rng.integers(0, len(training), len(training)) for _ in range(resamples)]
    fits = over_processes(procedure.bootstrapped, draws, workers=workers, label="bootstrapped")
    out_of_bag, optimism = [f.c for f in fits], [f.optimism for f in fits]
    empty = sum(not f.selected for f in fits)
    bag = float(np.mean(out_of_bag))
    gap = max(0.0, (apparent - bag) / (apparent - 0.5)) if apparent > 0.5 and bag < apparent else 0.0
    weight = 0.632 / (1 - 0.368 * min(1.0, gap))
    validated = cross_validate(training, spec=spec, repeats=repeats, folds=folds, seed=seed, workers=workers)
    return OptimismAudit(
        what="profiles-to-score (codebook fixed, outcome-blind)",
        apparent_c=apparent,
        cross_validated_c=Estimate.of(validated.c, validated.lower, validated.upper),
        out_of_bag_c=Estimate.of(bag, *np.quantile(out_of_bag, [0.025, 0.975])),
        c_632_plus=(1 - weight) * apparent + weight * max(bag, 0.5),
        harrell_corrected_c=apparent - float(np.mean(optimism)),
        optimism=Estimate.of(np.mean(optimism), *np.quantile(optimism, [0.025, 0.975])),
        share_empty=empty / resamples,
        resamples=resamples,
        monte_carlo=MonteCarlo(
            out_of_bag_c=_monte_carlo(out_of_bag),
            optimism=_monte_carlo(optimism),
            cross_validated_c=_monte_carlo(validated.per_repeat),
        ),
    )


def _monte_carlo(values: Sequence[float]) -> float | None:
    """Monte Carlo standard error of a mean over repeats, by which results with another seed would differ."""
    return finite(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
