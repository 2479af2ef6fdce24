"""Second part of the audit `optimism`: not only the signature but also the codebook is refitted in every resample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pathosig.audits.reading import Refitted
from pathosig.audits.results import CodebookRefit
from pathosig.core.pool import over_processes
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.validation.repeats import OutOfBag, Procedure
from pathosig.validation.values import Z95, Estimate, finite

Refit = Callable[[TrainingSet, set[str]], Refitted]


def audit_codebook(
    training: TrainingSet,
    *,
    refit: Refit,
    spec: SignatureSpec,
    resamples: int = 20,
    seed: int = 0,
    workers: int = 1,
) -> CodebookRefit:
    """Out-of-bag C with a codebook that is refitted to each resample, and with the fixed codebook in the same resamples.

    Parameters
    ----------
    training
        Discovery patients with their profiles by the fixed codebook.
    refit
        Function from discovery patients and the ids to which a codebook is fitted, to the same patients with profiles by this
        codebook; see `reading.refitted`.
    spec
        Settings of the signature.
    resamples, seed, workers
        Number of resamples (at least 20 for a verdict), seed, and number of processes.

    Returns
    -------
    CodebookRefit

    Raises
    ------
    NotEstimableError
        If the codebook cannot be refitted (outside features, a trained head, no embeddings).
    """
    rng = np.random.default_rng([seed, 11])
    draws = [rng.integers(0, len(training), len(training)) for _ in range(resamples)]
    once = _Once(training=training, refit=refit, spec=spec.replace(bootstraps=0))
    resampled = over_processes(once.resample, draws, workers=workers, label="codebooks", fewest=2)
    again = np.array([r.refitted.c for r in resampled])
    fixed = np.array([r.fixed.c for r in resampled])
    counts = [r.k for r in resampled]
    gap = again - fixed
    error = float(gap.std(ddof=1) / np.sqrt(len(gap))) if len(gap) > 1 else float("nan")
    return CodebookRefit(
        resamples=resamples,
        out_of_bag_c=Estimate.of(again.mean(), *np.quantile(again, [0.025, 0.975])),
        fixed_c=Estimate.of(fixed.mean(), *np.quantile(fixed, [0.025, 0.975])),
        difference=Estimate.of(gap.mean(), gap.mean() - Z95 * error, gap.mean() + Z95 * error),
        monte_carlo_se=finite(again.std(ddof=1) / np.sqrt(len(again))) if len(again) > 1 else None,
        agreement=finite(np.mean([r.agreement for r in resampled])),
        hpcs=Estimate.of(np.mean(counts), min(counts), max(counts)),
        share_empty=float(np.mean([not r.refitted.selected for r in resampled])),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Resample:
    refitted: OutOfBag
    fixed: OutOfBag
    agreement: float
    k: int


@dataclass(frozen=True, kw_only=True)
class _Once:
    training: TrainingSet
    refit: Refit
    spec: SignatureSpec

    def resample(self, drawn: np.ndarray) -> _Resample:
        """One resample of patients, with the fixed and with a refitted codebook."""
        again = self.refit(self.training, set(self.training.outcome["patient_id"].to_numpy()[drawn]))
        return _Resample(
            refitted=Procedure(training=again.training, spec=self.spec).bootstrapped(drawn),
            fixed=Procedure(training=self.training, spec=self.spec).bootstrapped(drawn),
            agreement=again.agreement,
            k=len(again.training.columns),
        )
