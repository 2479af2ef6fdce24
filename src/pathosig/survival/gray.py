"""Scores and variance of Gray's test in one stratum."""

from __future__ import annotations

import numpy as np


def gray_sums(
    t: np.ndarray, mine: np.ndarray, other: np.ndarray, member: np.ndarray, rho: float
) -> tuple[np.ndarray, np.ndarray]:
    """Scores float[k] and covariance float[k, k] of Gray's test for one cause.

    Let Y_k be the number at risk, S_k the survival and F_k the cumulative incidence of group k just before t. Without other
    causes, R_k = Y_k (1 - F_k) / S_k patients would be at risk. With d_k1 events of the cause in group k, d_1 in all groups,
    and F0 the incidence under the null hypothesis,

        score_k = sum_t (1 - F0)^rho ( d_k1 - d_1 R_k / sum_j R_j )

    (Gray 1988, equations 2.4 and 3.1). The variance follows his section 3, by recursion over the event times.

    Parameters
    ----------
    t
        float[n] times.
    mine, other
        bool[n]: events of the tested cause, and events of the other causes.
    member
        bool[n, k]: group of each patient.
    rho
        Power of 1 - F that weights the times.

    Returns
    -------
    Scores float[k], which sum to 0, and their covariance float[k, k].

    References
    ----------
    Gray (1988), Ann. Stat. 16, section 3. R: cmprsk::cuminc.

    Examples
    --------
    >>> t, cause = np.array([1.0, 2, 3, 4]), np.array([1, 2, 1, 1])
    >>> group = np.array([[True, False], [False, True], [True, False], [False, True]])
    >>> score, variance = gray_sums(t, cause == 1, cause == 2, group, 0.0)
    >>> score.round(3)
    array([ 1.167, -1.167])
    """
    grid, place = np.unique(t, return_inverse=True)
    place = place.ravel()
    k = member.shape[1]

    def count(rows: np.ndarray) -> np.ndarray:
        out = np.zeros((len(grid), k))
        np.add.at(out, place[rows], member[rows].astype(float))
        return out

    at_risk = np.cumsum(count(np.ones(len(t), bool))[::-1], axis=0)[::-1]
    first, second = count(mine), count(other)
    survival, incidence = np.ones(k), np.zeros(k)  # of each group, just before the time
    pooled = 0.0  # incidence under the null hypothesis
    score, variance = np.zeros(k), np.zeros((k, k))
    c, v2, v3 = np.zeros((k, k)), np.zeros((k, k)), np.zeros(k)
    for step in np.flatnonzero((first + second).sum(axis=1) > 0):
        y, d1, d2 = at_risk[step], first[step], second[step]
        here = y > 0
        safe = np.where(here, y, 1.0)
        after = np.where(here, survival * (1 - (d1 + d2) / safe), survival)
        # y / S_k; times 1 - F_k below, it is the number that would be at risk without other causes
        exposed = np.where(here, y / np.where(survival > 0, survival, 1.0), 0.0)
        total = exposed.sum()
        weight = (1 - pooled) ** rho
        n1 = d1.sum()
        a = weight * (np.diag(exposed) - np.outer(exposed, exposed) / total)
        c = c + a * n1 / (total * (1 - pooled))
        following = pooled + n1 / total
        adjusted = exposed * (1 - incidence)
        score += weight * (d1 - n1 * adjusted / adjusted.sum())
        ratio = np.where(after > 0, (1 - following) / np.where(after > 0, after, 1.0), 0.0)
        if n1 > 0:
            loss = np.where(after > 0, 1 - ratio, 1.0)
            tied = 1 - (n1 - 1) / (total * survival - 1) if n1 > 1 else np.ones(k)
            spread = np.where(here, tied * survival * n1 / (total * safe), 0.0)
            gain = a - loss * c
            v3 = v3 + loss**2 * spread
            v2 = v2 + gain * (loss * spread)
            variance = variance + (gain * spread) @ gain.T
        seen = (after > 0) & (d2 > 0)
        if seen.any():
            tied = np.where(d2 > 1, 1 - (d2 - 1) / np.maximum(safe - 1, 1), 1.0)
            spread = np.where(seen, survival**2 * tied * d2 / safe**2, 0.0)
            gain = ratio * c
            v3 = v3 + ratio**2 * spread
            v2 = v2 - gain * (ratio * spread)
            variance = variance + (gain * spread) @ gain.T
        incidence = incidence + np.where(here, survival * d1 / safe, 0.0)
        survival, pooled = after, following
    variance = variance + (c * v3) @ c.T + c @ v2.T + v2 @ c.T
    return score, variance
