"""Restricted mean survival time of weighted patients."""

from __future__ import annotations

import numpy as np


def weighted_rmst(
    time: np.ndarray, event: np.ndarray, weights: np.ndarray, *, tau: float
) -> tuple[float, float]:
    """Area under the weighted Kaplan-Meier curve up to `tau`, and its standard error.

    var = sum_j A_j^2 (1 - s_j) / (M_j s_j), where s_j = 1 - d_j / Y_j with weighted deaths d_j and numbers at risk Y_j, A_j is
    the area to the right of time j, and M_j = (sum w)^2 / sum w^2 over the risk set. It equals Greenwood's variance if all
    weights are equal.

    Parameters
    ----------
    time, event, weights
        float[n], bool[n] and float[n].
    tau
        Horizon in the unit of time, within follow-up.

    Returns
    -------
    The mean, in the unit of time, and its standard error.

    References
    ----------
    Xie J, Liu C. Stat Med 2005; 24: 3089.

    Examples
    --------
    >>> area, _ = weighted_rmst(np.array([1.0, 2.0, 3.0]), np.array([True, False, True]), np.ones(3), tau=2.0)
    >>> round(area, 4)
    1.6667
    """
    grid, place = np.unique(time, return_inverse=True)
    place = place.ravel()

    def at_risk(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.cumsum(np.bincount(place, weights=values, minlength=len(grid))[::-1])[::-1])

    total, squares = at_risk(weights), at_risk(weights**2)
    deaths = np.bincount(place, weights=weights * event, minlength=len(grid))
    step = 1 - deaths / total
    inside = grid <= tau
    survival = np.cumprod(step)[inside]
    areas = np.diff([0.0, *grid[inside], tau]) * np.concatenate([[1.0], survival])
    to_the_right = np.cumsum(areas[::-1])[::-1][1:]
    effective = total**2 / squares
    with np.errstate(divide="ignore", invalid="ignore"):
        term = np.where(step > 0, (1 - step) / (effective * step), 0.0)[inside]
    return float(areas.sum()), float(np.sqrt(np.sum(to_the_right**2 * term)))
