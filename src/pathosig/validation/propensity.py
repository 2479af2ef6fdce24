"""Inverse-probability weights of a treatment, and how well they balance its arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pathosig.survival.covariates import encode
from pathosig.validation.arms import Balance, Overlap

_TRIM = (0.01, 0.99)
_BOUNDS = (1e-3, 1 - 1e-3)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Weighting:
    """Stabilised weights float[n] with the balance and overlap of the arms they give."""

    weights: np.ndarray
    balance: tuple[Balance, ...]
    overlap: Overlap

    @property
    def max_smd_after(self) -> float | None:
        """Largest absolute standardised mean difference after weighting."""
        return max((abs(b.smd_after) for b in self.balance if b.smd_after is not None), default=None)


def propensity_weights(
    treated: np.ndarray, frame: pd.DataFrame, covariates: Sequence[str], scaled: np.ndarray
) -> Weighting:
    """Stabilised inverse-probability weights, balance before and after, overlap of propensities.

    w = P(A = a) / P(A = a | X), trimmed at its 1st and 99th percentile. Missing covariates are filled by the median
    with an indicator column.

    Parameters
    ----------
    treated
        float[n] of 0 and 1.
    frame
        The covariates.
    covariates
        Their columns.
    scaled
        float[n]: the score, a covariate too.

    References
    ----------
    Cole SR, Hernan MA. Am J Epidemiol 2008; 168: 656.
    """
    columns, names = [scaled], ["score"]
    for term in encode(frame, covariates):
        missing = ~np.isfinite(term.values)
        columns.append(np.where(missing, np.nanmedian(term.values), term.values))
        names.append(f"{term.variable} {term.level}".replace(" per unit", ""))
        if missing.any():
            columns.append(missing.astype(float))
            names.append(f"{term.variable} missing")
    x = np.column_stack(columns)
    z = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1.0)
    p = propensities(z, treated)
    share = treated.mean()
    weights = np.where(treated == 1, share / p, (1 - share) / (1 - p))
    weights = np.clip(weights, *np.quantile(weights, _TRIM))
    even = np.ones(len(x))
    balance = tuple(
        Balance(
            variable=name,
            smd_before=_difference(c, treated, even),
            smd_after=_difference(c, treated, weights),
        )
        for name, c in zip(names, x.T, strict=True)
    )
    lower = max(float(p[treated == a].min()) for a in (0, 1))
    upper = min(float(p[treated == a].max()) for a in (0, 1))
    outside = float(((p < lower) | (p > upper)).mean())
    return Weighting(
        weights=weights, balance=balance, overlap=Overlap(lower=lower, upper=upper, share_outside=outside)
    )


def propensities(z: np.ndarray, treated: np.ndarray) -> np.ndarray:
    """Probability of treatment by logistic regression with a light ridge penalty: float[n].

    Parameters
    ----------
    z
        float[n, p]: standardised covariates.
    treated
        float[n] of 0 and 1.
    """
    from sklearn.linear_model import LogisticRegression  # half a second, needed with treatments only

    model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-9, max_iter=200)
    return np.clip(model.fit(z, treated.astype(int)).predict_proba(z)[:, 1], *_BOUNDS)


def _difference(values: np.ndarray, treated: np.ndarray, weights: np.ndarray) -> float | None:
    """Standardised mean difference; the standard deviation is the unweighted one, so that both are in one unit."""
    means = [np.average(values[treated == a], weights=weights[treated == a]) for a in (0, 1)]
    spread = np.sqrt(np.mean([values[treated == a].var() for a in (0, 1)]))
    return float((means[1] - means[0]) / spread) if spread > 0 else None
