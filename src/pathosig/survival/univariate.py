"""A Cox model of each single column, for all columns at once: Newton's method on a batch."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.survival.data import as_columns, as_weights, fix_times, outcome
from pathosig.survival.groups import group_codes
from pathosig.survival.risksets import RiskSets, risk_sets
from pathosig.survival.tables import adjust_p

_BLOCK_VALUES = 40_000
"""Rows x columns that are processed together, chosen to fit the processor's cache."""
_SHORT = 1e-5
_GAIN = 1e-9
"""coxph's tolerance for the relative change of the log-likelihood."""


def cox_univariate(
    X: Any,
    time: Any,
    event: Any,
    *,
    ties: Literal["efron", "breslow"] = "efron",
    strata: Any = None,
    weights: Any = None,
) -> pd.DataFrame:
    """A Cox model of each single column, for all columns at once.

    Parameters
    ----------
    X
        [n, p], array or DataFrame; a row with a missing value is left out of the model of that column only.
    time, event, ties, strata, weights
        As in `cox`.

    Returns
    -------
    DataFrame
        One row per column: name, coef, hr, lower, upper (95 % confidence interval), se, z, p, loglik, n, n_events, and
        `separated`, which is True if the estimate is infinite. Estimates of constant columns are NaN.

    Raises
    ------
    NotEstimableError
        If there is no event.

    References
    ----------
    R: survival::coxph in a loop.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 2))
    >>> cox_univariate(x, rng.exponential(np.exp(-x[:, 0])), np.ones(60))[["name", "hr", "p"]].round(3)
      name     hr      p
    0   x1  3.240  0.000
    1   x2  1.259  0.128
    """
    x, names = as_columns(X)
    t, d, _ = outcome(time, event, rows=len(x), what="cox_univariate")
    strata_codes = group_codes(strata, len(t), what="strata")
    w = as_weights(weights, len(t))
    rows = w > 0
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
            table[chosen, :4] = _batch_newton(part[:, chosen], sets)
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


def univariate_per_sd(x: np.ndarray, time: Any, event: Any) -> pd.DataFrame:
    """A Cox model of each column alone, per standard deviation: hazard ratio with 95 % confidence interval, p and BH q.

    Parameters
    ----------
    x
        float[n, p] without missing values.
    time, event
        [n]: follow-up, and whether it ended with the event.

    Returns
    -------
    One row per column of `x`, with coef, hr, lower, upper, p, q, mean, sd, prevalence (the proportion of values that are not
    0), n and events.

    References
    ----------
    R: survival::coxph; stats::p.adjust(method = "BH").

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 2))
    >>> univariate_per_sd(x, rng.exponential(np.exp(-x[:, 0])), np.ones(60))[["hr", "q"]].round(2).to_numpy()
    array([[3.05, 0.  ],
           [1.25, 0.13]])
    """
    spread = x.std(0, ddof=1)
    table = cox_univariate((x - x.mean(0)) / np.where(spread > 0, spread, 1.0), time, event)
    p = table["p"].to_numpy(float)
    q = np.full(len(p), np.nan)
    tested = np.isfinite(p)
    if tested.any():
        q[tested] = adjust_p(p[tested], "BH")
    out = table[["coef", "hr", "lower", "upper", "p"]].reset_index(drop=True)
    return out.assign(
        q=q,
        mean=x.mean(0),
        sd=spread,
        prevalence=(x != 0).mean(0),
        n=table["n"].to_numpy(),
        events=table["n_events"].to_numpy(),
    )


def _patterns(x: np.ndarray, rows: np.ndarray, complete: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Groups of columns with values in the same rows: bool[n] rows and int[k] columns of each group."""
    out = [(rows, np.flatnonzero(complete))] if complete.any() else []
    groups: dict[bytes, list[int]] = {}
    for column in np.flatnonzero(~complete):
        mask = rows & np.isfinite(x[:, column])
        groups.setdefault(mask.tobytes(), []).append(int(column))
    out += [(np.frombuffer(key, bool), np.array(columns)) for key, columns in groups.items()]
    return out


def _batch_newton(x: np.ndarray, sets: RiskSets) -> np.ndarray:
    """(coef, se, loglik, separated) for each column of x[n, p], rows as in `sets`; float[p, 4]."""
    mean = np.average(x, axis=0, weights=sets.weight)
    spread = x.std(axis=0)
    varies = spread > 1e-12 * (1 + np.abs(mean))
    divisor = np.where(varies, spread, 1.0)
    scaled = np.where(varies, (x - mean) / divisor, 0.0)
    layout = _Layout(sets)
    beta, loglik, info, endless = _climb(scaled, varies, layout)
    coef = np.where(varies, beta / divisor, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.where(varies, 1 / np.sqrt(info) / divisor, np.nan)
        flat = (np.abs(beta) > 5) & (
            np.abs(coef / se) < 0.5
        )  # the likelihood is flat and has no maximum nearby
    separated = endless | (np.abs(beta) > 12) | flat
    return np.stack([coef, se, np.where(varies, loglik, np.nan), separated.astype(float)], axis=1)


def _climb(
    x: np.ndarray, varies: np.ndarray, layout: _Layout
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Newton's method for every column: coefficient, log-likelihood, information there, and which have no end."""
    p = x.shape[1]
    beta, step, value = np.zeros(p), np.zeros(p), np.full(p, -np.inf)
    loglik, info = np.full(p, np.nan), np.full(p, np.nan)
    halvings, endless = np.zeros(p, int), np.zeros(p, bool)
    columns, part = np.flatnonzero(varies), x if varies.all() else x[:, varies]
    for iteration in range(60):
        if not len(columns):
            break
        start, old_info = beta[columns], info[columns]
        taken = step[columns]
        new, score, information = layout.derivatives(start + taken, part)
        before = value[columns]
        worse = ~(new >= before - 1e-10 * np.abs(before)) & np.isfinite(before)
        with np.errstate(divide="ignore", invalid="ignore"):
            following = score / information
            # The last, short step is taken without evaluating the likelihood again: its second-order terms are known.
            bend = np.where(np.abs(taken) > 1e-3 * np.abs(following), (information - old_info) / taken, 0.0)
        following[~np.isfinite(following)] = 0.0
        short = np.abs(following) < _SHORT * (1 + np.abs(start + taken))
        # An infinite estimate keeps moving by steps of equal length without a gain; this stops where coxph stops.
        gain = np.abs(new - before) <= _GAIN * np.abs(new)
        runs = gain & ~short & (np.abs(following) > 0.3 * np.abs(taken)) & (iteration >= 7)
        good, bad = columns[~worse], columns[worse]
        beta[good] = (start + taken)[~worse]
        value[good], loglik[good], info[good] = new[~worse], new[~worse], information[~worse]
        step[good] = following[~worse]
        step[bad] /= 2
        halvings[bad] += 1
        done = short & ~worse
        last = columns[done]
        beta[last] += following[done]
        loglik[last] += 0.5 * score[done] * following[done]
        info[last] += np.nan_to_num(bend[done]) * following[done]
        endless[columns[~worse & (runs | (np.abs(beta[columns]) > 24))]] = True
        stays = ~done & ~endless[columns] & ~(worse & (halvings[columns] > 30))
        if not stays.all():
            columns, part = columns[stays], part[:, stays]
    return beta, loglik, info, endless


class _Layout:
    """Positions in running sums over the sorted rows from which the sums of a Cox likelihood are computed."""

    def __init__(self, sets: RiskSets) -> None:
        self.sets = sets
        group = sets.term_group
        self.end = sets.end[group] - 1
        self.first = sets.first[group] - 1
        self.stratified = np.flatnonzero(self.first >= 0)
        self.weighted = not (sets.weight == 1).all()
        self.per_event = sets.weight * sets.event
        self.tied = np.flatnonzero(sets.term_fraction > 0)
        self.fraction = sets.term_fraction[self.tied][:, None]
        if len(self.tied):
            groups, self.tied_group = np.unique(group[self.tied], return_inverse=True)
            rows = np.flatnonzero(sets.event & np.isin(sets.group, groups))
            self.tied_rows = rows[np.argsort(sets.group[rows], kind="stable")]
            self.tied_begin = np.searchsorted(sets.group[self.tied_rows], groups)

    def derivatives(self, beta: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log-likelihood, gradient and information of each single-column model, float[p] each."""
        n, p = x.shape
        chunk = max(1, int(np.sqrt(n)))
        padded = -(-n // chunk) * chunk
        stacked = np.empty((padded, 3 * p))
        stacked[n:] = 0.0
        risk, first, second = (stacked[:n, j * p : (j + 1) * p] for j in range(3))
        eta = x * beta
        if p and np.abs(beta).max() * np.abs(x).max() > 300:
            eta -= eta.max(axis=0)
        np.exp(eta, out=risk)
        if self.weighted:
            risk *= self.sets.weight[:, None]
        np.multiply(risk, x, out=first)
        np.multiply(first, x, out=second)
        sums = self._sums(stacked, n, chunk)
        s0, s1, s2 = sums[:, :p], sums[:, p : 2 * p], sums[:, 2 * p :]
        v = self.sets.term_weight
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = s1 / s0
            loglik = self.per_event @ eta - v @ np.log(s0)
            score = self.per_event @ x - v @ mean
            info = v @ (s2 / s0 - mean * mean)
        return loglik, score, info

    def _sums(self, stacked: np.ndarray, n: int, chunk: int) -> np.ndarray:
        """Sums over the risk set of each term, reduced for tied deaths (Efron)."""
        if self.sets.late_order is not None:
            sums = self.sets.at_risk(stacked[:n])[self.sets.term_group]
        deaths = np.add.reduceat(stacked[self.tied_rows], self.tied_begin, axis=0) if len(self.tied) else None
        if self.sets.late_order is None:
            _running_sums(stacked, chunk)
            sums = stacked[self.end]
            if len(self.stratified):
                sums[self.stratified] -= stacked[self.first[self.stratified]]
        if deaths is not None:
            sums[self.tied] -= self.fraction * deaths[self.tied_group]
        return sums


def _running_sums(values: np.ndarray, chunk: int) -> None:
    """Running sums over rows, in place and in chunks, which is four times as fast as numpy's cumsum on wide rows."""
    blocks = values.reshape(-1, chunk, values.shape[1])
    for j in range(1, chunk):
        blocks[:, j] += blocks[:, j - 1]
    for i in range(1, len(blocks)):
        blocks[i] += blocks[i - 1, -1]
