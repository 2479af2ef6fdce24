"""Harrell's bootstrap estimate of a model's optimism."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pathosig.core.errors import InputError, NotEstimableError, PathosigError
from pathosig.survival.concordance import harrell_c
from pathosig.survival.cox import cox
from pathosig.survival.data import outcome

Scorer = Callable[[Any], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Optimism:
    """Apparent C, optimism-corrected C, and calibration slope.

    Attributes
    ----------
    apparent
        C of the model in the data to which it was fitted.
    optimism, corrected
        The mean of `boot` - `original`, and `apparent` minus it.
    boot, original
        float[resamples]: C of the model of each resample in that resample, and in all patients; NaN where it failed.
    slope, slopes
        Mean, and float[resamples], calibration slope of the models of the resamples in all patients: the expected
        shrinkage.
    empty
        Proportion of the successful resamples whose model gave all patients the same score (C is then .5 by definition).
    failed
        Number of resamples whose model could not be fitted.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(40, 1))
    >>> draws = rng.integers(0, 40, (5, 40))
    >>> result = optimism(lambda x, t, d: lambda new: new[:, 0], x, rng.exponential(np.exp(-x[:, 0])), np.ones(40), draws)
    >>> bool(result.corrected == result.apparent - result.optimism), result.failed
    (True, 0)
    """

    apparent: float
    corrected: float
    optimism: float
    boot: np.ndarray
    original: np.ndarray
    slope: float
    slopes: np.ndarray
    empty: float
    failed: int


def optimism(
    fit: Callable[[Any, np.ndarray, np.ndarray], Scorer], X: Any, time: Any, event: Any, indices: Any
) -> Optimism:
    """Optimism of the C-index of a whole modelling procedure, by Harrell's bootstrap.

    Parameters
    ----------
    fit
        ``fit(X, time, event)`` carries out every step that uses the outcome, including selection, and returns a function
        that maps X to risk scores float[n].
    X
        [n, p] array or DataFrame; `fit` gets the rows of each resample.
    time, event
        [n].
    indices
        int[resamples, n]: row numbers from 0.

    Returns
    -------
    Optimism

    Raises
    ------
    InputError
        If `indices` is not a matrix of row numbers.
    NotEstimableError
        If the model cannot be fitted to all patients, or in any resample.

    References
    ----------
    R: rms::validate (index "Dxy", C = Dxy / 2 + .5). Harrell, Lee & Mark (1996), Stat. Med. 15.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(40, 3))
    >>> time, event = rng.exponential(np.exp(-x[:, 0])), np.ones(40, bool)
    >>> def fit(x, time, event):
    ...     from pathosig.survival import cox
    ...     coef = cox(x, time, event).coef
    ...     return lambda new: new @ coef
    >>> result = optimism(fit, x, time, event, rng.integers(0, 40, (5, 40)))
    >>> round(result.apparent, 3), round(result.corrected, 3)
    (0.735, 0.723)
    """
    t, d, _ = outcome(time, event, what="optimism")
    draws = np.asarray(indices)
    if draws.ndim != 2 or draws.min(initial=0) < 0 or draws.max(initial=0) >= len(t):
        raise InputError(
            f"optimism: indices {draws.shape}; expected int[resamples, n] of rows 0..{len(t) - 1}."
        )
    apparent, _ = _c(fit(X, t, d)(X), t, d)
    boot, original, slopes = (np.full(len(draws), np.nan) for _ in range(3))
    empty = 0
    for row, chosen in enumerate(draws):
        try:
            inside, t_in, d_in = _rows(X, chosen), t[chosen], d[chosen]
            score = fit(inside, t_in, d_in)
            boot[row], varies = _c(score(inside), t_in, d_in)
            everybody = score(X)
            original[row], _ = _c(everybody, t, d)
            empty += not varies
            slopes[row] = cox(everybody, t, d).coef[0] if varies else 0.0
        except PathosigError:
            boot[row] = original[row] = slopes[row] = np.nan
    done = np.isfinite(boot) & np.isfinite(original)
    if not done.any():
        raise NotEstimableError("optimism: the model could not be fitted in any resample.")
    excess = float((boot - original)[done].mean())
    return Optimism(
        apparent=apparent,
        corrected=apparent - excess,
        optimism=excess,
        boot=boot,
        original=original,
        slope=float(np.nanmean(slopes)),
        slopes=slopes,
        empty=empty / int(done.sum()),
        failed=int((~done).sum()),
    )


def _rows(x: Any, chosen: np.ndarray) -> Any:
    return x.iloc[chosen] if hasattr(x, "iloc") else np.asarray(x)[chosen]


def _c(score: Any, t: np.ndarray, d: np.ndarray) -> tuple[float, bool]:
    values = np.asarray(score, float).ravel()
    varies = bool(np.ptp(values) > 0)
    return (harrell_c(values, t, d).c if varies else 0.5), varies
