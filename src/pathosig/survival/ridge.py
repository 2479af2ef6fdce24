"""Ridge Cox regression with a cross-validated penalty: the refit of a selection and the benchmark on all leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pathosig.core.errors import NotEstimableError
from pathosig.core.threads import one_blas_thread
from pathosig.survival.data import fix_times, outcome
from pathosig.survival.likelihood import loglik_derivatives, term_sums
from pathosig.survival.newton import maximise
from pathosig.survival.risksets import risk_sets

_WIDE = 100
_WORST = 1e6
_MAX_ITER = 40
_PATIENCE = 3
PENALTIES = tuple(float(v) for v in np.geomspace(1.0, 1e-3, 10))
WIDE_PENALTIES = tuple(
    float(v) for v in np.geomspace(100.0, 1e-3, 16)
)  # hundreds of columns need more shrinkage


@dataclass(frozen=True, kw_only=True)
class Shrunken:
    """A penalised fit.

    Attributes
    ----------
    coef
        float[p] on the scale of the columns given.
    center
        float[p]: column means.
    penalty
        Chosen penalty on standardised columns, glmnet's scale.
    gain
        Cross-validated log partial likelihood at that penalty, above that of no model.
    left_out
        float[n]: each row's linear predictor by the fit of the other folds.
    """

    coef: np.ndarray
    center: np.ndarray
    penalty: float
    gain: float
    left_out: np.ndarray


def fold_of(
    n: int, event: np.ndarray, folds: int, rng: np.random.Generator, groups: Any = None
) -> np.ndarray:
    """Fold of every row, int[n]: events spread evenly, rows of one group together.

    Parameters
    ----------
    n
        Number of rows.
    event
        [n] of 0/1 or booleans.
    folds
        Number of folds.
    rng
        Source of the random order.
    groups
        [n] labels whose rows stay together; each row is a group without it.

    Examples
    --------
    >>> fold_of(6, [1, 1, 1, 0, 0, 0], 3, np.random.default_rng(0))
    array([1, 2, 0, 2, 1, 0])
    """
    keys = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    had = np.zeros(keys.max() + 1, bool)
    np.logical_or.at(had, keys, np.asarray(event, bool))
    fold = np.empty(len(had), int)
    for kind in (True, False):
        members = rng.permutation(np.flatnonzero(had == kind))
        start = 0 if kind else int(had.sum())
        fold[members] = (np.arange(len(members)) + start) % folds
    return np.asarray(fold[keys])


class Likelihood:
    """Log partial likelihood (Efron) of fixed patients, laid out once for many linear predictors."""

    def __init__(self, time: np.ndarray, event: np.ndarray) -> None:
        t, d, _ = outcome(time, event, what="ridge")
        one = np.ones(len(t))
        stratum = np.zeros(len(t), int)
        self.sets = risk_sets(fix_times(t)[0], d, stratum=stratum, weight=one, entry=None, ties="efron")

    def of(self, score: np.ndarray) -> float:
        """Value of a linear predictor; very low where a held-out outlier leaves a risk set without weight."""
        sets = self.sets
        eta = np.asarray(score, float)[sets.order]
        with np.errstate(divide="ignore", invalid="ignore"):
            eta = eta - eta.max()
            s0 = term_sums(sets, np.exp(eta))
            value = float(eta[sets.event].sum() - sets.term_weight @ np.log(s0))
        return value if np.isfinite(value) else -_WORST

    def ridge(self, x: np.ndarray, penalty: float, *, start: np.ndarray | None = None) -> np.ndarray:
        """Coefficients[p] that maximise l(b) - penalty n |b|^2 / 2, climbed to from `start`."""
        rows, weight = x[self.sets.order], penalty * len(x)
        shrink = weight * np.eye(x.shape[1])

        def at(beta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            loglik, score, info = loglik_derivatives(beta, rows, self.sets)
            return loglik - weight / 2 * float(beta @ beta), score - weight * beta, info + shrink

        begin = np.zeros(x.shape[1]) if start is None else start
        return maximise(at, begin, max_iter=_MAX_ITER, gain=1e-10, short=1e-4).beta


def partial_loglik(score: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    """Log partial likelihood (Efron) of a given linear predictor.

    Parameters
    ----------
    score
        float[n] linear predictor.
    time, event
        [n].

    Examples
    --------
    >>> round(partial_loglik(np.zeros(3), np.array([1.0, 2, 3]), np.ones(3, bool)), 4)  # -log(3 x 2 x 1)
    -1.7918
    """
    return Likelihood(time, event).of(score)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")  # steps that overshoot are halved
@one_blas_thread()
def ridge_fit(
    x: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    *,
    folds: int = 5,
    seed: int = 0,
    groups: Any = None,
    penalties: tuple[float, ...] | None = None,
) -> Shrunken:
    """Ridge Cox model, penalty by cross-validated partial likelihood.

    Parameters
    ----------
    x
        float[n, p] without missing values.
    time, event
        float[n] and bool[n].
    folds, seed
        Number of folds and seed of the cross-validation.
    groups
        Labels whose rows stay in one fold (repeats of a patient in a bootstrap sample).
    penalties
        Candidates, largest first; by default 1 to .001, and with more than a hundred columns 100 to .001, where the search
        ends once three in a row were worse than the best.

    Returns
    -------
    `Shrunken`.

    Raises
    ------
    NotEstimableError
        With fewer than two events.

    References
    ----------
    Verweij PJM, van Houwelingen HC. Penalized likelihood in Cox regression. Stat Med 1994; 13: 2427.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 3))
    >>> fit = ridge_fit(x, rng.exponential(np.exp(-x[:, 0])), np.ones(60, bool))
    >>> fit.coef.round(2), fit.penalty
    (array([1.11, 0.15, 0.06]), 0.1)
    """
    d = np.asarray(event, bool)
    if d.sum() < 2:
        message = f"ridge: {int(d.sum())} events; at least 2 are needed."
        raise NotEstimableError(message)
    center, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    z, rotation = _compressed((x - center) / scale)
    rng = np.random.default_rng(seed)
    usable = min(folds, int(d.sum()))
    fold = fold_of(len(d), d, usable, rng, groups)
    everyone = Likelihood(time, d)
    parts = [
        (fold != k, Likelihood(time[fold != k], d[fold != k]))
        for k in range(usable)
        if d[fold != k].sum() > 1
    ]
    betas = [np.zeros(z.shape[1])] * len(parts)
    wide = x.shape[1] > _WIDE
    tried = penalties or (WIDE_PENALTIES if wide else PENALTIES)
    gain: list[float] = []
    none = sum(everyone.of(np.zeros(len(d))) - part.of(np.zeros(int(rows.sum()))) for rows, part in parts)
    left_out = np.zeros(len(d))
    for penalty in tried:
        betas = [part.ridge(z[rows], penalty, start=b) for b, (rows, part) in zip(betas, parts, strict=True)]
        gain.append(
            sum(
                everyone.of(z @ b) - part.of(z[rows] @ b)
                for b, (rows, part) in zip(betas, parts, strict=True)
            )
        )
        if gain[-1] >= max(gain):
            for b, (rows, _) in zip(betas, parts, strict=True):
                left_out[~rows] = z[~rows] @ b
        if wide and penalties is None and len(gain) > int(np.argmax(gain)) + _PATIENCE:
            break
    best = tried[int(np.argmax(gain))]
    beta = rotation @ everyone.ridge(z, best)
    return Shrunken(coef=beta / scale, center=center, penalty=best, gain=max(gain) - none, left_out=left_out)


def _compressed(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wide tables as principal components that keep 99.9 % of the variance, and the way back.

    Ridge is invariant under rotation; with some hundred correlated features this saves most of the work.
    """
    if z.shape[1] <= _WIDE:
        return z, np.eye(z.shape[1])
    left, size, right = np.linalg.svd(z, full_matrices=False)
    kept = int(np.searchsorted(np.cumsum(size**2) / (size**2).sum(), 0.999)) + 1
    return np.asarray(left[:, :kept] * size[:kept]), np.asarray(right[:kept].T)
