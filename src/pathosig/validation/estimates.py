"""Hazard ratios of single columns, with Firth's estimate under separation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.survival import cox, firth_cox
from pathosig.validation.values import HazardRatio, NotEstimable, attempt, finite

__all__ = ["entry_of", "hazard_ratio", "refuse_delayed"]


def entry_of(frame: pd.DataFrame) -> np.ndarray | None:
    """Times of entry of a table of outcomes, float[n]; None without delayed entry.

    Parameters
    ----------
    frame
        time, event and, if patients come under observation late, entry.

    Returns
    -------
    float[n] in the unit of time, or None.

    Examples
    --------
    >>> entry_of(pd.DataFrame({"time": [5.0, 7.0], "entry": [0, 2]})).tolist()
    [0.0, 2.0]
    """
    return frame["entry"].to_numpy(float) if "entry" in frame else None


def refuse_delayed(frame: pd.DataFrame, what: str) -> None:
    """Raise an error if entry is delayed, for analyses that would count patients as at risk before their entry.

    Parameters
    ----------
    frame
        The patients.
    what
        Name of the analysis, for the error message.

    Raises
    ------
    NotEstimableError
        If the table has a column `entry`.

    Examples
    --------
    >>> refuse_delayed(pd.DataFrame({"time": [5.0, 7.0]}), "treatment")
    """
    if "entry" in frame:
        raise NotEstimableError(f"{what}: not available with delayed entry.")


def hazard_ratio(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, *, adjust: np.ndarray | None = None, **options: Any
) -> HazardRatio | NotEstimable:
    """Hazard ratio of one column; under separation Firth's estimate, which is marked as such.

    Parameters
    ----------
    x
        float[n]: the column.
    time, event
        float[n] and bool[n].
    adjust
        float[n, m]: further columns of the model.
    **options
        strata, cluster, weights or entry, as in `cox`.

    Returns
    -------
    HazardRatio, or NotEstimable with the reason

    References
    ----------
    See `survival.cox` and `survival.firth_cox`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=60)
    >>> result = hazard_ratio(x, rng.exponential(np.exp(-x)), np.ones(60, bool))
    >>> round(result.hr, 2), round(result.lower, 2), round(result.upper, 2)
    (2.75, 1.89, 3.99)
    """
    columns = x[:, None] if adjust is None else np.column_stack([x, adjust])
    return attempt(_first_column, columns, time, event, **options)


def _first_column(columns: np.ndarray, time: np.ndarray, event: np.ndarray, **options: Any) -> HazardRatio:
    if not np.nanstd(columns[:, 0]) > 0:
        message = "the column does not vary"
        raise NotEstimableError(message)
    fit = cox(columns, time, event, **options)
    effect = HazardRatio(
        hr=finite(fit.hr[0]),
        lower=finite(fit.lower[0]),
        upper=finite(fit.upper[0]),
        p=finite(fit.p[0]),
        coef=finite(fit.coef[0]),
        se=finite(fit.se[0]),
        n=fit.n,
        events=fit.n_events,
    )
    if not fit.separated[0]:
        return effect
    separated = replace(effect, upper=None, separated=True)
    penalised = attempt(firth_cox, columns, time, event, **options)
    if isinstance(penalised, NotEstimable):
        return separated
    return replace(
        separated,
        firth=True,
        hr=finite(penalised.hr[0]),
        lower=finite(penalised.lower[0]),
        upper=finite(penalised.upper[0]),
        p=finite(penalised.p[0]),
    )
