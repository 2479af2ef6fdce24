"""Inverse-probability-of-treatment weights, and the balance of the arms with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pathosig.survival.covariates import encode
from pathosig.survival.imputation import impute
from pathosig.validation.arms import Balance, Overlap

IMPUTATIONS = 5
_TRIM = (0.01, 0.99)
_BOUNDS = (1e-3, 1 - 1e-3)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Weighting:
    """Stabilised weights, float[n], with the balance and the overlap of the arms."""

    weights: np.ndarray
    balance: tuple[Balance, ...]
    overlap: Overlap

    @property
    def max_smd_after(self) -> float | None:
        """Largest absolute standardised mean difference after weighting."""
        return max((abs(b.smd_after) for b in self.balance if b.smd_after is not None), default=None)


def completed(
    frame: pd.DataFrame, covariates: Sequence[str], *, seed: int = 0, m: int = IMPUTATIONS
) -> list[pd.DataFrame]:
    """Complete copies of a table: the table itself if no covariate is missing, otherwise imputed copies.

    Parameters
    ----------
    frame
        score, time, event and covariates.
    covariates
        Columns to complete.
    seed, m
        Seed, and number of imputed copies.

    Returns
    -------
    One table, or `m` of them.

    Examples
    --------
    >>> frame = pd.DataFrame({"age": [61.0, 54.0]})
    >>> len(completed(frame, ["age"]))
    1
    """
    present = [c for c in covariates if c in frame]
    if not present or not frame[present].isna().any(axis=None):
        return [frame]
    return impute(frame, present, m=m, seed=seed)


def propensity_weights(
    treated: np.ndarray, frame: pd.DataFrame, covariates: Sequence[str], scaled: np.ndarray, *, seed: int = 0
) -> Weighting:
    """Stabilised inverse-probability weights, with the balance before and after weighting and the overlap of propensities.

    Weights are w = P(A = a) / P(A = a | X), truncated at their 1st and 99th percentile. If covariates are missing, P(A | X) is
    the mean over imputed data sets, and the balance is that of the first of them.

    Parameters
    ----------
    treated
        float[n] of 0 and 1.
    frame
        Covariates, score, time and event.
    covariates
        Names of the covariates.
    scaled
        float[n]: the score, which is used as a covariate too.
    seed
        Seed of the imputations.

    Returns
    -------
    Weighting

    References
    ----------
    Cole SR, Hernan MA. Am J Epidemiol 2008; 168: 656. Mitra R, Reiter JP. Stat Methods Med Res 2016; 25: 188.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"age": rng.normal(size=200)})
    >>> treated = (rng.uniform(size=200) < 1 / (1 + np.exp(-frame["age"]))).to_numpy(float)  # older patients more often
    >>> result = propensity_weights(treated, frame, ["age"], rng.normal(size=200))
    >>> [(row.variable, round(row.smd_before, 2), round(row.smd_after, 2)) for row in result.balance]
    [('score', -0.03, -0.03), ('age', 0.89, 0.12)]
    """
    designs = []
    for table in completed(frame, covariates, seed=seed):
        terms = encode(table, covariates)
        designs.append(np.column_stack([scaled, *(t.values for t in terms)]))
    names = ["score", *(f"{t.variable} {t.level}".replace(" per unit", "") for t in terms)]
    p = np.mean([_propensities(x, treated) for x in designs], axis=0)
    share = treated.mean()
    weights = np.where(treated == 1, share / p, (1 - share) / (1 - p))
    weights = np.clip(weights, *np.quantile(weights, _TRIM))
    even = np.ones(len(weights))
    balance = tuple(
        Balance(
            variable=name,
            smd_before=_difference(c, treated, even),
            smd_after=_difference(c, treated, weights),
        )
        for name, c in zip(names, designs[0].T, strict=True)
    )
    lower = max(float(p[treated == a].min()) for a in (0, 1))
    upper = min(float(p[treated == a].max()) for a in (0, 1))
    outside = float(((p < lower) | (p > upper)).mean())
    return Weighting(
        weights=weights, balance=balance, overlap=Overlap(lower=lower, upper=upper, share_outside=outside)
    )


def _propensities(x: np.ndarray, treated: np.ndarray) -> np.ndarray:
    """Probability of treatment by logistic regression with a light ridge penalty on standardised columns: float[n].

    Parameters
    ----------
    x
        float[n, p]: covariates.
    treated
        float[n] of 0 and 1.
    """
    from sklearn.linear_model import (
        LogisticRegression,
    )  # takes half a second and is needed only with treatments

    z = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1.0)
    model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-9, max_iter=200)
    return np.clip(model.fit(z, treated.astype(int)).predict_proba(z)[:, 1], *_BOUNDS)


def _difference(values: np.ndarray, treated: np.ndarray, weights: np.ndarray) -> float | None:
    """Standardised mean difference; the standard deviation is always unweighted, so that both differences have one unit."""
    means = [np.average(values[treated == a], weights=weights[treated == a]) for a in (0, 1)]
    spread = np.sqrt(np.mean([values[treated == a].var() for a in (0, 1)]))
    return float((means[1] - means[0]) / spread) if spread > 0 else None
