"""Variation of individual predictions when the whole procedure is repeated on bootstrap samples of patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import NotEstimableError
from pathosig.core.pool import over_processes
from pathosig.signature.model import Signature
from pathosig.signature.scores import training_scores
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.survival import kaplan_meier
from pathosig.validation.repeats import quiet_fit
from pathosig.validation.values import finite


@dataclass(frozen=True, kw_only=True, slots=True)
class PatientRisk:
    """Risk of a discovery patient by the signature, and its variation over signatures of bootstrap samples.

    `lower` and `upper` are the 2.5 and 97.5 % quantiles of the risks by these signatures, `error` is their mean absolute
    difference from `risk`, and `flips` is the proportion of these signatures that assign the other risk group.
    """

    risk: float
    lower: float
    upper: float
    error: float
    flips: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Instability:
    """Variation of individual predictions when the whole procedure is repeated on bootstrap samples of patients.

    Attributes
    ----------
    years
        Horizon of the risks.
    bootstraps, share_empty
        Number of resamples, and the proportion without a signature, in which all patients have the Kaplan-Meier risk.
    error
        Mean over patients of the mean absolute prediction error (Riley and Collins' average MAPE).
    flips
        Mean proportion of resamples that assign a patient to the other risk group.
    patients
        Patients by increasing risk.
    """

    years: float
    bootstraps: int
    share_empty: float
    error: float
    flips: float | None
    patients: tuple[PatientRisk, ...]


def instability(
    training: TrainingSet,
    signature: Signature,
    spec: SignatureSpec,
    *,
    bootstraps: int = 50,
    seed: int = 0,
    workers: int = 1,
) -> Instability:
    """Variation of the predictions for discovery patients when the whole procedure is repeated on bootstrap samples.

    Parameters
    ----------
    training, signature, spec
        Discovery patients, the signature that was fitted to them, and its settings.
    bootstraps, seed
        Number of resamples of patients (Riley and Collins recommend 200), and their seed.
    workers
        Number of processes; the result does not depend on it.

    Returns
    -------
    Instability

    Raises
    ------
    NotEstimableError
        If follow-up reaches no horizon, or there are fewer than two resamples.

    References
    ----------
    Riley RD, Collins GS. Stability of clinical prediction models developed using statistical or machine learning methods.
    Biom J 2023; 65: 2200302.

    Examples
    --------
    >>> import pandas as pd
    >>> from pathosig.signature.fit import fit_signature
    >>> from pathosig.signature.spec import SignatureSpec
    >>> from pathosig.signature.training import training_set
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grade": rng.normal(size=60)})
    >>> time = rng.exponential(30 * np.exp(-table["grade"]))
    >>> training = training_set(table, pd.DataFrame({"time": time, "event": True}))
    >>> spec = SignatureSpec(selection="stepwise", bootstraps=0)
    >>> result = instability(training, fit_signature(training, spec=spec), spec, bootstraps=3)
    >>> result.years, round(result.error, 3), round(result.flips, 2)
    (3.0, 0.06, 0.03)
    """
    reached = [at for at in signature.baseline.at if at.time < signature.baseline.until]
    if not reached or bootstraps < 2:
        raise NotEstimableError("instability: follow-up reaches no horizon, or fewer than two resamples.")
    at = reached[len(reached) // 2]
    score = training_scores(signature, training)
    usable = np.isfinite(score)
    risk = 1 - signature.survival_at(score[usable], [at.time])[:, 0]
    high = score[usable] > signature.cutoff
    rng = np.random.default_rng([seed, 31])
    draws = [rng.integers(0, len(training), len(training)) for _ in range(bootstraps)]
    again = _Again(training=training, spec=spec.replace(bootstraps=0), time=at.time)
    rows = over_processes(again.risks, draws, workers=workers, label="bootstrapped signatures")
    risks = np.array([r for r, _ in rows])[:, usable]
    groups = np.array([g for _, g in rows])[:, usable]
    error = np.abs(risks - risk).mean(axis=0)
    named = np.isfinite(groups[:, 0])
    flips = (groups[named] != high).mean(axis=0) if named.any() else np.full(len(risk), np.nan)
    low, upper = np.quantile(risks, [0.025, 0.975], axis=0)
    patients = tuple(
        PatientRisk(
            risk=float(risk[i]),
            lower=float(low[i]),
            upper=float(upper[i]),
            error=float(error[i]),
            flips=finite(flips[i]),
        )
        for i in np.argsort(risk, kind="stable")
    )
    return Instability(
        years=at.years,
        bootstraps=bootstraps,
        share_empty=float(1 - named.mean()),
        error=float(error.mean()),
        flips=finite(flips.mean()),
        patients=patients,
    )


@dataclass(frozen=True, kw_only=True)
class _Again:
    """The whole procedure, which is repeated on resamples to predict the risks of all patients at a time."""

    training: TrainingSet
    spec: SignatureSpec
    time: float

    def risks(self, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Risk, and whether the score is above the cut-off (NaN without a signature): float[n] each."""
        sample = self.training.resampled(drawn)
        fit = quiet_fit(sample, self.spec)
        n = len(self.training)
        if fit is None or fit.signature is None:
            alive = float(kaplan_meier(sample.time, sample.event).survival_at(self.time)[0])
            return np.full(n, 1 - alive), np.full(n, np.nan)
        score = training_scores(fit.signature, self.training)
        last = min(self.time, fit.signature.baseline.until)  # the follow-up of a resample may be shorter
        return 1 - fit.signature.survival_at(score, [last])[:, 0], (score > fit.signature.cutoff).astype(
            float
        )
