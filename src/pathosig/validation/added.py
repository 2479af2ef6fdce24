"""Added value: clinical, score and combined models, all frozen in discovery, compared in another cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import NotEstimableError
from pathosig.core.words import counted
from pathosig.survival import cox, default_tau, uno_c
from pathosig.validation.analysis import AddedValue
from pathosig.validation.benefit import at_horizon, c_gain
from pathosig.validation.clinical_fit import fit_clinical_model
from pathosig.validation.clinical_model import ClinicalModel
from pathosig.validation.estimates import refuse_delayed
from pathosig.validation.values import FEWEST_EVENTS, NOT_COMPUTED, ChiSquare, Concordance, attempt

_AT_RISK = 10
MODELS = ("clinical", "score", "combined")


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenModels:
    """The models whose difference is the added value, all fitted to the same discovery patients.

    Attributes
    ----------
    clinical, score, combined
        Models of the covariates alone, of the score alone, and of both.
    """

    clinical: ClinicalModel
    score: ClinicalModel
    combined: ClinicalModel

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        covariates: Sequence[str],
        *,
        endpoint: str = "",
        unit: str = "months",
        score_scale: float = 1.0,
        signature_sha256: str = "",
        horizons: Sequence[float] = (1.0, 3.0, 5.0),
        m: int = 20,
        seed: int = 0,
    ) -> FrozenModels:
        """Fit the models to discovery patients.

        Parameters
        ----------
        frame
            Covariates, time, event and `score`, which must be out of fold and divided by its standard deviation: the combined
            model would overestimate the effect of scores that were fitted to the same patients.
        covariates, endpoint, unit, score_scale, signature_sha256, horizons, m, seed
            As in `fit_clinical_model`.

        Raises
        ------
        NotEstimableError
            If no covariate can be used, or there are fewer than ten events.
        """
        clinical, score, combined = (
            fit_clinical_model(
                frame,
                names,
                endpoint=endpoint,
                unit=unit,
                score_scale=scale,
                signature_sha256=signature_sha256,
                horizons=horizons,
                m=m,
                seed=seed,
            )
            for names, scale in ((covariates, None), ((), score_scale), (covariates, score_scale))
        )
        return cls(clinical=clinical, score=score, combined=combined)

    @classmethod
    def fit_complete(cls, frame: pd.DataFrame, covariates: Sequence[str], **settings: Any) -> FrozenModels:
        """`fit` to the patients who have all covariates."""
        present = [name for name in covariates if name in frame]
        return cls.fit(frame[frame[present].notna().all(axis=1)], covariates, **settings)

    def risk_at(self, frame: pd.DataFrame, when: float) -> dict[str, np.ndarray]:
        """Predicted risk by a time, float[n] for each model; empty beyond the follow-up of discovery.

        With a competing event it is the cumulative incidence.
        """
        if not np.isfinite(self.combined.baseline.survival_at(when)[0]):
            return {}
        return {
            name: 1 - model.survival_at(model.predictors(frame, _score(frame)), [when])[:, 0]
            for name, model in zip(MODELS, (self.clinical, self.score, self.combined), strict=True)
        }

    def predictors(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """Linear predictors of the clinical and the combined model, and the score; NaN where a covariate is missing."""
        return {
            "clinical": self.clinical.linear_predictor(frame),
            "score": _score(frame),
            "combined": self.combined.linear_predictor(frame, _score(frame)),
        }


def _score(frame: pd.DataFrame) -> np.ndarray:
    return frame["score"].to_numpy(float)


def added_value(
    models: FrozenModels,
    frame: pd.DataFrame,
    *,
    per_year: float = 12.0,
    horizons: Sequence[float] = (1.0, 3.0, 5.0),
    bootstraps: int = 200,
    seed: int = 0,
    workers: int = 1,
) -> AddedValue:
    """Added value in one cohort: Uno's C of the frozen models, their paired difference, and the likelihood ratio test.

    Parameters
    ----------
    models
        Models that were frozen in discovery.
    frame
        A validation cohort: score, time, event and covariates. With `cause`, the Brier score and net benefit are those of
        cumulative incidences.
    per_year, horizons
        Units of time in a year, and horizons in years. Brier score and net benefit are given at the last horizon that at
        least ten patients reach.
    bootstraps, seed
        Number of resamples for the confidence intervals of differences, and their seed.
    workers
        Number of processes; the result does not depend on it.

    Returns
    -------
    AddedValue

    Raises
    ------
    NotEstimableError
        If there are fewer than ten events among patients who have all covariates, or entry is delayed.

    References
    ----------
    Uno et al. (2011), Stat. Med. 30, for C. See `at_horizon` for the other measures.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"age": rng.normal(60, 8, 80), "score": rng.normal(size=80), "event": True})
    >>> frame["time"] = rng.exponential(20 * np.exp(-frame["score"]))
    >>> models = FrozenModels.fit(frame[:40], ["age"])
    >>> result = added_value(models, frame[40:], bootstraps=5)
    >>> {name: round(c.estimate, 2) for name, c in result.uno_c.items()}
    {'clinical': 0.41, 'score': 0.8, 'combined': 0.78}
    """
    refuse_delayed(frame, "added value")
    predictors = models.predictors(frame)
    complete = np.isfinite(np.column_stack(list(predictors.values()))).all(1)
    time, event = frame["time"].to_numpy(float)[complete], frame["event"].to_numpy(bool)[complete]
    other = frame["cause"].to_numpy(int)[complete] == 2 if "cause" in frame else None
    if event.sum() < FEWEST_EVENTS:
        message = f"added value: {counted(int(event.sum()), 'event')} among patients with all covariates; {FEWEST_EVENTS} are needed."
        raise NotEstimableError(message)
    values = {k: v[complete] for k, v in predictors.items()}
    tau = default_tau(time)
    uno = partial(uno_c, tau=tau)
    index = {k: uno(values[k], time, event) for k in MODELS}
    draws = np.random.default_rng(seed).integers(0, len(time), (bootstraps, len(time)))
    small = cox(values["clinical"][:, None], time, event)
    large = cox(np.column_stack([values["clinical"], values["score"]]), time, event)
    statistic = max(0.0, 2 * (large.loglik - small.loglik))
    reached = [years * per_year for years in horizons if (time >= years * per_year).sum() >= _AT_RISK]
    risks = models.risk_at(frame[complete], reached[-1]) if reached else {}
    return AddedValue(
        models=MODELS,
        n=int(complete.sum()),
        events=int(event.sum()),
        trained_on=models.combined.trained_on,
        uno_c={k: Concordance.of(v.c, v.lower, v.upper, tau=tau) for k, v in index.items()},
        difference_c=c_gain(
            (values["combined"], values["clinical"]), time, event, draws=draws, tau=tau, workers=workers
        ),
        lr_test=ChiSquare(statistic=statistic, df=1, p=float(stats.chi2.sf(statistic, 1))),
        at_horizon=attempt(
            at_horizon, risks, time, event, reached[-1], draws, competing=other, workers=workers
        )
        if risks
        else NOT_COMPUTED,
    )
