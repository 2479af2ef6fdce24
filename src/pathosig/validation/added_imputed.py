"""Added value with missing covariates: all patients are used, with an imputation of its own in every resample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.core.words import counted
from pathosig.survival import default_tau, uno_c
from pathosig.survival.imputation import impute
from pathosig.validation.added import MODELS, FrozenModels
from pathosig.validation.analysis import AddedImputed
from pathosig.validation.benefit import paired_limits
from pathosig.validation.values import FEWEST_EVENTS, Estimate, finite


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Imputed:
    """Uno's C of the frozen models in completed data."""

    models: FrozenModels
    data: pd.DataFrame
    covariates: tuple[str, ...]
    tau: float

    def concordances(self, table: pd.DataFrame) -> list[float]:
        """Uno's C of each of `MODELS`."""
        predictors = self.models.predictors(table)
        time, died = table["time"].to_numpy(float), table["event"].to_numpy(bool)
        return [uno_c(predictors[k], time, died, tau=self.tau).c for k in MODELS]

    def gain(self, resample: tuple[np.ndarray, int]) -> list[float]:
        """C of the combined minus that of the clinical model in some rows, which are imputed with a seed."""
        rows, seed = resample
        (table,) = impute(self.data.iloc[rows].reset_index(drop=True), self.covariates, m=1, seed=seed)
        values = dict(zip(MODELS, self.concordances(table), strict=True))
        return [values["combined"] - values["clinical"]]


def added_value_imputed(
    models: FrozenModels,
    frame: pd.DataFrame,
    covariates: Sequence[str],
    *,
    m: int = 20,
    bootstraps: int = 200,
    seed: int = 0,
    workers: int = 1,
) -> AddedImputed:
    """Uno's C of frozen models, and their difference, in all patients of a validation cohort.

    Estimates are means over `m` imputed copies. Every resample of patients is imputed separately, so that the confidence
    intervals include the uncertainty of the imputation.

    Parameters
    ----------
    models
        Models that were frozen in discovery, where missing covariates were imputed too.
    frame
        score, time, event and covariates, some of them missing.
    covariates
        Names of the covariates.
    m, bootstraps, seed
        Number of imputed copies, number of resamples, and seed.
    workers
        Number of processes; the result does not depend on it.

    Returns
    -------
    AddedImputed

    Raises
    ------
    NotEstimableError
        If no covariate is missing, or there are fewer than ten events.

    References
    ----------
    Schomaker M, Heumann C. Stat Med 2018; 37: 2252 (imputation inside each bootstrap sample).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"age": rng.normal(60, 8, 60), "score": rng.normal(size=60), "event": True})
    >>> frame["time"] = rng.exponential(20 * np.exp(-frame["score"]))
    >>> frame.loc[::7, "age"] = np.nan
    >>> models = FrozenModels.fit(frame[:30], ["age"], m=2)
    >>> result = added_value_imputed(models, frame[30:], ["age"], m=2, bootstraps=2)
    >>> result.missing, round(result.difference_c.estimate, 2)
    ({'age': 4}, 0.33)
    """
    scored = np.isfinite(frame["score"].to_numpy(float)) & np.isfinite(frame["time"].to_numpy(float))
    data = frame[scored].reset_index(drop=True)
    present = [c for c in covariates if c in data]
    holes = {c: int(data[c].isna().sum()) for c in present if data[c].isna().any()}
    if not holes:
        message = "added value over imputed data: no covariate is missing."
        raise NotEstimableError(message)
    event = data["event"].to_numpy(bool)
    if event.sum() < FEWEST_EVENTS:
        message = f"added value: {counted(int(event.sum()), 'event')} among patients with a score; {FEWEST_EVENTS} are needed."
        raise NotEstimableError(message)
    tau = default_tau(data["time"].to_numpy(float))

    judge = _Imputed(models=models, data=data, covariates=tuple(present), tau=tau)
    mean_c = np.array([judge.concordances(t) for t in impute(data, present, m=m, seed=seed)]).mean(axis=0)
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(data), (bootstraps, len(data)))
    seeds = rng.integers(0, 2**31, bootstraps).tolist()
    limits = paired_limits(judge.gain, list(zip(draws, seeds, strict=True)), 1, workers=workers)[:, 0]
    values = dict(zip(MODELS, mean_c.tolist(), strict=True))
    return AddedImputed(
        n=len(data),
        events=int(event.sum()),
        missing=holes,
        m=m,
        bootstraps=bootstraps,
        method="imputed separately in every bootstrap sample of patients",
        uno_c={k: finite(v) for k, v in values.items()},
        difference_c=Estimate.of(values["combined"] - values["clinical"], *limits),
    )
