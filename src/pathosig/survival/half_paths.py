"""Lasso Cox paths of many half-samples at once: which columns hold the first clusters to enter.

The same objective as `survival.cox_path` (Breslow ties, standardised columns), solved for all half-samples together
by accelerated proximal gradient steps, because nested shares make coordinate descent slow (measured: about .2 s
a half-sample against .01 s here).

References
----------
Beck A, Teboulle M. A fast iterative shrinkage-thresholding algorithm. SIAM J Imaging Sci 2009; 2: 183.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathosig.survival.data import fix_times

_TOLERANCE = 1e-4
_STEPS = 150
_TINY = 1e-300


@dataclass(frozen=True, kw_only=True)
class HalfSamples:
    """Half-samples sorted by falling time.

    Attributes
    ----------
    x
        float[b, n, p], standardised within each half-sample (columns without variation are 0).
    event
        bool[b, n].
    first, last
        int[b, n]: ends of each row's group of equal times.
    """

    x: np.ndarray
    event: np.ndarray
    first: np.ndarray
    last: np.ndarray


def half_samples_of(x: np.ndarray, time: np.ndarray, event: np.ndarray, rows: np.ndarray) -> HalfSamples:
    """Gather half-samples.

    Parameters
    ----------
    x, time, event
        All patients.
    rows
        int[b, n]: patients of every half-sample.
    """
    time = fix_times(np.asarray(time, float))[0]
    order = np.argsort(-time[rows], axis=1, kind="stable")
    rows = np.take_along_axis(rows, order, axis=1)
    t = time[rows]
    part = x[rows]
    spread = part.std(1, keepdims=True)
    part = (part - part.mean(1, keepdims=True)) / np.where(spread > 1e-9, spread, np.inf)
    n = rows.shape[1]
    new = np.concatenate([np.ones((len(t), 1), bool), t[:, 1:] != t[:, :-1]], axis=1)
    place = np.arange(n)[None, :]
    first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    ends = np.concatenate([new[:, 1:], np.ones((len(t), 1), bool)], axis=1)
    last = np.minimum.accumulate(np.where(ends, place, n)[:, ::-1], axis=1)[:, ::-1]
    return HalfSamples(x=part, event=np.asarray(event, bool)[rows], first=first, last=last)


def gradient(halves: HalfSamples, beta: np.ndarray) -> np.ndarray:
    """Gradient[b, p] of minus the mean log partial likelihood."""
    return _derivatives(halves, beta)[0]


def loss(halves: HalfSamples, beta: np.ndarray) -> np.ndarray:
    """Minus the mean log partial likelihood: float[b]."""
    eta, at_risk = _derivatives(halves, beta)[1:]
    return np.asarray(-np.where(halves.event, eta - np.log(at_risk), 0.0).sum(1) / eta.shape[1])


def _derivatives(halves: HalfSamples, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradient[b, p], and what the value needs: linear predictor and size of the risk set, both [b, n]."""
    eta = np.matmul(halves.x, beta[:, :, None])[:, :, 0]
    eta -= eta.max(1, keepdims=True)
    risk = np.exp(eta)
    count, n = risk.shape
    base = np.arange(0, count * n, n)[:, None]  # plain take on flat rows: half the time of take_along_axis
    at_risk = np.maximum(
        np.cumsum(risk, axis=1).ravel()[halves.last + base], _TINY
    )  # an outlier's score leaves others none
    share = np.where(halves.event, 1 / at_risk, 0.0)
    total = np.cumsum(share[:, ::-1], axis=1)[:, ::-1].ravel()[halves.first + base]
    residual = halves.event - risk * total
    return -np.matmul(residual[:, None, :], halves.x)[:, 0, :] / n, eta, at_risk


def first_entries(
    halves: HalfSamples, cluster: np.ndarray, *, q: int, n_lambda: int = 25, min_ratio: float = 0.1
) -> np.ndarray:
    """Columns in each model once it holds `q` clusters: bool[b, p].

    Parameters
    ----------
    cluster
        int[b, p]: cluster of every column.
    q
        Clusters wanted.
    n_lambda, min_ratio
        Path: penalties evenly in the logarithm from the largest that selects nothing.
    """
    count, n, p = halves.x.shape
    beta = np.zeros((count, p))
    start = gradient(halves, beta)
    top = np.abs(start).max(1)
    norm = np.linalg.norm(np.matmul(halves.x.transpose(0, 2, 1), halves.x) / n, 2, axis=(1, 2))
    steep = np.maximum(norm * halves.event.mean(1), 1e-9)
    chosen = np.zeros((count, p), bool)
    open_ = np.arange(count)
    for ratio in np.geomspace(1.0, min_ratio, n_lambda)[1:]:
        part = HalfSamples(
            x=halves.x[open_], event=halves.event[open_], first=halves.first[open_], last=halves.last[open_]
        )
        beta[open_], steep[open_] = _solve(part, beta[open_], top[open_] * ratio, steep[open_])
        chosen[open_] = beta[open_] != 0
        held = np.array([len(np.unique(cluster[b][chosen[b]])) for b in open_])
        open_ = open_[held < q]
        if not len(open_):
            break
    return chosen


def _solve(
    halves: HalfSamples, beta: np.ndarray, penalty: np.ndarray, steep: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients at one penalty per half-sample, warm-started; steps shrink where they overshoot."""
    begin = beta
    for _ in range(8):
        beta, ahead, momentum = begin.copy(), begin.copy(), 1.0
        for _ in range(_STEPS):
            slope = gradient(halves, ahead)
            raw = ahead - slope / steep[:, None]
            new = np.sign(raw) * np.maximum(np.abs(raw) - (penalty / steep)[:, None], 0.0)
            following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            ahead = new + (momentum - 1) / following * (new - beta)
            change = np.abs(new - beta).max(initial=0.0)
            beta, momentum = new, following
            if change < _TOLERANCE:
                break
        before = loss(halves, begin) + penalty * np.abs(begin).sum(1)
        after = loss(halves, beta) + penalty * np.abs(beta).sum(1)
        worse = ~(after <= before + 1e-6)
        if not worse.any():
            break
        steep = np.where(worse, 2 * steep, steep)
    return beta, steep
