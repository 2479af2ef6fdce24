"""Bootstrap of Cox models and C-indices on given resamples, so that they equal R on the same indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from pathosig.core.errors import NotEstimableError
from pathosig.survival.concordance import harrell_c
from pathosig.survival.cox import cox
from pathosig.survival.data import as_columns, as_events, as_times


def bootstrap_cox(X: Any, time: Any, event: Any, indices: Any, *, ties: str = "efron") -> np.ndarray:
    """Coefficients of a Cox model in each resample, float[resamples, p]; NaN where it has no event.

    Parameters
    ----------
    X, time, event
        As in `cox`.
    indices
        int[resamples, n]: row numbers from 0.
    """
    x, _ = as_columns(X)
    t, d = as_times(time), as_events(event)
    out = np.full((len(indices), x.shape[1]), np.nan)
    for row, chosen in enumerate(np.asarray(indices)):
        try:
            out[row] = cox(x[chosen], t[chosen], d[chosen], ties=ties).coef  # type: ignore[arg-type]
        except NotEstimableError:
            continue
    return out


def bootstrap_c(score: Any, time: Any, event: Any, indices: Any) -> np.ndarray:
    """Harrell's C of a fixed score in each resample, float[resamples]; NaN without comparable pairs."""
    s, t, d = np.asarray(score, float), as_times(time), as_events(event)
    out = np.full(len(indices), np.nan)
    for row, chosen in enumerate(np.asarray(indices)):
        try:
            out[row] = harrell_c(s[chosen], t[chosen], d[chosen]).c
        except NotEstimableError:
            continue
    return out
