"""One-column Cox models for every column at once: Newton's method on a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats

from pathosig.survival.data import RiskSets, as_columns, as_events, as_times, codes, fix_times, risk_sets

if TYPE_CHECKING:
    import pandas as pd

_BLOCK_VALUES = 2_000_000


def cox_univariate(
    X: Any,
    time: Any,
    event: Any,
    *,
    ties: Literal["efron", "breslow"] = "efron",
    strata: Any = None,
    weights: Any = None,
) -> pd.DataFrame:
    """A Cox model per column, all columns at once.

    Parameters
    ----------
    X
        [n, p], array or DataFrame; a missing value leaves out that row for that column only.
    time, event, ties, strata, weights
        As in `cox`.

    Returns
    -------
    DataFrame, one row per column
        name, coef, hr, lower, upper, se, z, p, loglik, n, n_events; NaN for constant columns,
        ``separated`` where the estimate is infinite.

    Raises
    ------
    NotEstimableError
        If there is no event.

    References
    ----------
    R: survival::coxph in a loop.
    """
    import pandas as pd

    x, names = as_columns(X)
    t, d = as_times(time), as_events(event)
    strata_codes = codes(strata, len(t))
    w = np.ones(len(t)) if weights is None else np.asarray(weights, float)
    rows = np.isfinite(t) & np.isfinite(w)
    complete = np.isfinite(x[rows]).all(axis=0)
    table = np.full((x.shape[1], 6), np.nan)
    for mask, columns in _patterns(x, rows, complete):
        if not d[mask].any():
            continue
        sets = risk_sets(
            fix_times(t[mask])[0], d[mask], stratum=strata_codes[mask], weight=w[mask], entry=None, ties=ties
        )
        part = x[mask][sets.order]
        size = max(1, _BLOCK_VALUES // max(len(part), 1))
        for begin in range(0, len(columns), size):
            chosen = columns[begin : begin + size]
            table[chosen, :4] = batch_newton(part[:, chosen], sets)
            table[chosen, 4:] = mask.sum(), sets.event.sum()
    coef, se, loglik, separated, n, n_events = table.T
    z = coef / se
    width = stats.norm.ppf(0.975) * se
    with np.errstate(over="ignore"):
        frame = {
            "name": names,
            "coef": coef,
            "hr": np.exp(coef),
            "lower": np.exp(coef - width),
            "upper": np.exp(coef + width),
            "se": se,
            "z": z,
            "p": 2 * stats.norm.sf(np.abs(z)),
            "loglik": loglik,
            "n": np.nan_to_num(n).astype(int),
            "n_events": np.nan_to_num(n_events).astype(int),
            "separated": separated == 1,
        }
    return pd.DataFrame(frame)


def _patterns(x: np.ndarray, rows: np.ndarray, complete: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Columns grouped by which rows they have."""
    out = [(rows, np.flatnonzero(complete))] if complete.any() else []
    groups: dict[bytes, list[int]] = {}
    for column in np.flatnonzero(~complete):
        mask = rows & np.isfinite(x[:, column])
        groups.setdefault(mask.tobytes(), []).append(int(column))
    out += [(np.frombuffer(key, bool), np.array(columns)) for key, columns in groups.items()]
    return out


def batch_newton(x: np.ndarray, sets: RiskSets) -> np.ndarray:
    """(coef, se, loglik, separated) for each column of x[n, p], rows as in `sets`; float[p, 4]."""
    mean = np.average(x, axis=0, weights=sets.weight)
    spread = x.std(axis=0)
    varies = spread > 1e-12 * (1 + np.abs(mean))
    scaled = np.where(varies, (x - mean) / np.where(varies, spread, 1), 0.0)
    p = x.shape[1]
    beta, value = np.zeros(p), np.full(p, -np.inf)
    step = np.zeros(p)
    active = varies.copy()
    loglik, info = np.full(p, np.nan), np.full(p, np.nan)
    halvings = np.zeros(p, int)
    for _ in range(60):
        columns = np.flatnonzero(active)
        if not len(columns):
            break
        trial = beta[columns] + step[columns]
        new, score, information = _column_derivatives(trial, scaled[:, columns], sets)
        worse = ~(new >= value[columns] - 1e-10 * np.abs(value[columns])) & np.isfinite(value[columns])
        bad, good = columns[worse], columns[~worse]
        step[bad] /= 2
        halvings[bad] += 1
        change = np.abs(new[~worse] - value[good])
        beta[good], value[good] = trial[~worse], new[~worse]
        loglik[good], info[good] = new[~worse], information[~worse]
        with np.errstate(divide="ignore", invalid="ignore"):
            step[good] = np.nan_to_num(score[~worse] / information[~worse])
        converged = (np.abs(step[good]) < 1e-9 * (1 + np.abs(beta[good]))) & (
            change < 1e-8 * np.abs(new[~worse])
        )
        active[good[converged | (np.abs(beta[good]) > 24)]] = False
        active[bad[halvings[bad] > 30]] = False
    with np.errstate(divide="ignore", invalid="ignore"):
        coef = np.where(varies, beta / np.where(varies, spread, 1), np.nan)
        se = np.where(varies, 1 / np.sqrt(info) / np.where(varies, spread, 1), np.nan)
        flat = (np.abs(beta) > 5) & (np.abs(coef / se) < 0.5)  # the likelihood has no maximum nearby
    return np.stack([coef, se, loglik, ((np.abs(beta) > 12) | flat).astype(float)], axis=1)


def _column_derivatives(
    beta: np.ndarray, x: np.ndarray, sets: RiskSets
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-likelihood, gradient and information of each one-column model, [p] each."""
    eta = x * beta
    eta -= eta.max(axis=0, initial=0.0)
    risk = np.exp(eta)
    risk *= sets.weight[:, None]
    g, f, v = sets.term_group, sets.term_fraction[:, None], sets.term_weight
    n, p = x.shape
    stacked = np.empty((n, 3 * p))
    stacked[:, :p] = risk
    np.multiply(risk, x, out=stacked[:, p : 2 * p])
    np.multiply(stacked[:, p : 2 * p], x, out=stacked[:, 2 * p :])
    sums = sets.at_risk(stacked)[g]
    if sets.term_fraction.any():
        tied = sets.term_fraction > 0
        sums[tied] -= f[tied] * sets.deaths(stacked)[g[tied]]
    s0, s1, s2 = sums[:, :p], sums[:, p : 2 * p], sums[:, 2 * p :]
    mean = s1 / s0
    per_event = sets.weight * sets.event
    loglik = per_event @ eta - v @ np.log(s0)
    score = per_event @ x - v @ mean
    info = v @ (s2 / s0 - mean * mean)
    return loglik, score, info
