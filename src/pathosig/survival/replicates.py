"""One Cox model in many resamples at once: Newton's method on a batch of frequency weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathosig.survival.risksets import RiskSets, risk_sets

_BLOCK_VALUES = 40_000
"""Rows x replicates in one block, chosen so that the working arrays stay in the processor's cache."""
_MAX_ITER = 20


@dataclass(frozen=True, kw_only=True)
class _Terms:
    """Event terms of a block of replicates: flat position in [groups, replicates], replicate, fraction and weight of each."""

    place: np.ndarray
    replicate: np.ndarray
    fraction: np.ndarray
    weight: np.ndarray


def fit_replicates(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, counts: np.ndarray, *, ties: str
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients float[replicates, p], and bool[replicates]: which of them converged.

    Parameters
    ----------
    x, time, event
        float[n, p], float[n] and bool[n], without missing values and with at least one event.
    counts
        int[replicates, n]: how often each resample contains each row. Copies of a death are tied deaths, which under
        Efron's method is not the same as a weight.
    ties
        ``efron`` or ``breslow``.

    Returns
    -------
    float[replicates, p] and bool[replicates]; if a column of `x` is constant, all coefficients are NaN and none converged.

    Examples
    --------
    >>> x, time = np.array([[0.0], [1.0], [0.0], [1.0], [1.0]]), np.array([4.0, 2.0, 5.0, 1.0, 6.0])
    >>> counts = np.array([[1, 1, 1, 1, 1], [1, 2, 1, 1, 0]])  # the second one separates events
    >>> coef, converged = fit_replicates(x, time, np.ones(5, bool), counts, ties="efron")
    >>> coef[converged].round(3), converged
    (array([[0.069]]), array([ True, False]))
    """
    n, p = x.shape
    sets = risk_sets(time, event, stratum=np.zeros(n, int), weight=np.ones(n), entry=None, ties="breslow")
    centre, spread = x.mean(axis=0), x.std(axis=0)
    if not (spread > 1e-12 * (1 + np.abs(centre))).all():
        return np.full((len(counts), p), np.nan), np.zeros(len(counts), bool)
    scaled = ((x - centre) / spread)[sets.order]
    coef, done = np.full((len(counts), p), np.nan), np.zeros(len(counts), bool)
    size = max(1, _BLOCK_VALUES // n)
    for begin in range(0, len(counts), size):
        part = slice(begin, begin + size)
        weight = np.ascontiguousarray(counts[part][:, sets.order].T, dtype=float)
        coef[part], done[part] = _newton(scaled, weight, sets, ties)
    return coef / spread, done


def _terms(weight: np.ndarray, sets: RiskSets, ties: str) -> _Terms:
    deaths = _deaths(weight, sets)
    flat = deaths.ravel()
    if ties == "efron":
        count = np.rint(flat).astype(int)
        place = np.repeat(np.arange(flat.size), count)
        rank = np.arange(len(place)) - np.repeat(np.cumsum(count) - count, count)
        fraction, terms = rank / flat[place], np.ones(len(place))
    else:
        place = np.flatnonzero(flat)
        fraction, terms = np.zeros(len(place)), flat[place]
    return _Terms(place=place, replicate=place % weight.shape[1], fraction=fraction, weight=terms)


def _at_risk(values: np.ndarray, sets: RiskSets) -> np.ndarray:
    """Sums over the risk set at each event time, [groups, replicates]."""
    begin = np.concatenate([[0], sets.end[:-1]])
    return np.asarray(np.cumsum(np.add.reduceat(values[: sets.end[-1]], begin, axis=0), axis=0))


def _deaths(values: np.ndarray, sets: RiskSets) -> np.ndarray:
    """Sums over the deaths at each event time, [groups, replicates]."""
    rows = np.flatnonzero(sets.event)
    begin = np.searchsorted(sets.group[rows], np.arange(sets.n_groups))
    return np.asarray(np.add.reduceat(values[rows], begin, axis=0))


def _newton(x: np.ndarray, weight: np.ndarray, sets: RiskSets, ties: str) -> tuple[np.ndarray, np.ndarray]:
    p, size = x.shape[1], weight.shape[1]
    terms = _terms(weight, sets, ties)
    dying = weight * sets.event[:, None]
    observed = dying.T @ x
    beta, step = np.zeros((size, p)), np.zeros((size, p))
    value = np.full(size, -np.inf)
    done, broken = np.zeros(size, bool), dying.sum(axis=0) == 0
    for _ in range(_MAX_ITER):
        trial = beta + step
        loglik, score, info = _derivatives(trial, x, weight, dying, observed, sets, terms)
        worse = ~(loglik >= value - 1e-10 * np.abs(value)) & np.isfinite(value)
        better = ~worse & ~done
        moved = np.abs(step).max(axis=1) <= 1e-9 * (1 + np.abs(trial).max(axis=1))
        beta[better], value[better] = trial[better], loglik[better]
        diagonal = np.einsum("bii->bi", info)
        broken |= ~(diagonal > 1e-9).all(axis=1) | ~np.isfinite(loglik)
        info[broken] = np.eye(p)
        done |= better & moved & np.isfinite(step).all(axis=1) & (np.abs(step).max(axis=1) > 0)
        if (done | broken).all():
            break
        try:
            direction = np.linalg.solve(info, score[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            direction = np.einsum("bij,bj->bi", np.linalg.pinv(info), score)
        step = np.where(worse[:, None], step / 2, direction)
        step[done | broken] = 0.0
    conditioned = np.linalg.cond(np.where(broken[:, None, None], np.eye(p), info)) < 1e10
    return beta, done & ~broken & conditioned & (np.abs(beta).max(axis=1) < 8)


def _derivatives(
    beta: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    dying: np.ndarray,
    observed: np.ndarray,
    sets: RiskSets,
    terms: _Terms,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-likelihood[b], score[b, p] and information[b, p, p] of each replicate."""
    size, p = beta.shape
    eta = x @ beta.T
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        risk = np.exp(eta)
        risk *= weight
        tied = terms.fraction > 0
        which, fraction = terms.place[tied], terms.fraction[tied]

        def over_terms(values: np.ndarray) -> np.ndarray:
            out = np.take(_at_risk(values, sets).ravel(), terms.place)
            out[tied] -= fraction * np.take(_deaths(values, sets).ravel(), which)
            return out

        def by_replicate(values: np.ndarray) -> np.ndarray:
            return np.bincount(terms.replicate, weights=values, minlength=size)

        s0 = over_terms(risk)
        loglik = np.einsum("nb,nb->b", dying, eta) - by_replicate(terms.weight * np.log(s0))
        scale = terms.weight / s0
        score, info = np.empty((size, p)), np.empty((size, p, p))
        first = [risk * x[:, [j]] for j in range(p)]
        sums = [over_terms(values) for values in first]
        for j in range(p):
            score[:, j] = observed[:, j] - by_replicate(sums[j] * scale)
            for k in range(j + 1):
                second = over_terms(first[j] * x[:, [k]])
                info[:, j, k] = info[:, k, j] = by_replicate((second - sums[j] * sums[k] / s0) * scale)
    return loglik, score, info
