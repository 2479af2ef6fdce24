"""Ridge Cox regression with a cross-validated penalty, for the refit of a selection and for models of many columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pathosig.core.errors import NotEstimableError
from pathosig.core.threads import one_blas_thread
from pathosig.core.words import counted
from pathosig.survival.data import outcome
from pathosig.survival.samples import Likelihoods, maximise_all, samples_of

_WIDE = 100
_WORST = 1e6
_CONSTANT = 1e-12
_MAX_ITER = 40
_PATIENCE = 3
PENALTIES = tuple(float(v) for v in np.geomspace(1.0, 1e-3, 10))
# hundreds of columns need more shrinkage
WIDE_PENALTIES = tuple(float(v) for v in np.geomspace(100.0, 1e-3, 16))


@dataclass(frozen=True, kw_only=True)
class Shrunken:
    """A ridge fit.

    Attributes
    ----------
    coef
        float[p] on the scale of the data.
    center
        float[p]: means of the columns.
    penalty
        Selected penalty for standardised columns, on glmnet's scale.
    gain
        Cross-validated log partial likelihood at this penalty, minus that without a model.
    left_out
        float[n]: out-of-fold linear predictor of each row, from the fit to the other folds.
    """

    coef: np.ndarray
    center: np.ndarray
    penalty: float
    gain: float
    left_out: np.ndarray


def fold_of(
    n: int, event: np.ndarray, folds: int, rng: np.random.Generator, groups: Any = None
) -> np.ndarray:
    """Fold of every row, int[n]; events are spread evenly over the folds, and rows of a group are in one fold.

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
        [n] labels of groups; by default every row is a group of its own.

    Returns
    -------
    int[n], from 0 to `folds` - 1.

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
    """Log partial likelihood (Efron) of given patients, indexed once for many linear predictors."""

    def __init__(self, time: np.ndarray, event: np.ndarray) -> None:
        t, d, _ = outcome(time, event, what="ridge")
        self._of = Likelihoods(samples_of(t, d, [np.arange(len(t))]))

    def of(self, score: np.ndarray) -> float:
        """Value at a linear predictor; a large negative number if an outlier leaves a risk set without weight."""
        with np.errstate(invalid="ignore"):
            return float(_bounded(self._of.values(np.asarray(score, float)[None, :]))[0])


def partial_loglik(score: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    """Log partial likelihood (Efron) of a given linear predictor.

    Parameters
    ----------
    score
        float[n] linear predictor.
    time, event
        [n].

    Returns
    -------
    The log partial likelihood, at most 0.

    References
    ----------
    Efron (1977), JASA 72. R: survival::coxph.

    Examples
    --------
    >>> round(partial_loglik(np.zeros(3), np.array([1.0, 2, 3]), np.ones(3, bool)), 4)  # -log(3 x 2 x 1)
    -1.7918
    """
    return Likelihood(time, event).of(score)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")  # steps that overshoot are halved
def penalised_logliks(
    designs: np.ndarray, time: np.ndarray, event: np.ndarray, *, penalty: float
) -> np.ndarray:
    """Log partial likelihood (Efron) at the ridge estimate of each of several designs, float[m].

    Parameters
    ----------
    designs
        float[m, n, p] with standardised columns.
    time, event
        float[n] and bool[n].
    penalty
        Ridge penalty on the scale of `survival.cox`.

    Returns
    -------
    float[m].

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 2))
    >>> values = penalised_logliks(x.T[:, :, None], rng.exponential(np.exp(-x[:, 1])), np.ones(60, bool), penalty=1e-3)
    >>> int(np.argmax(values))
    1
    """
    t, d, _ = outcome(time, event, what="ridge")
    everyone = Likelihoods(samples_of(t, d, [np.arange(len(t))]).repeated(len(designs)))
    count, _, p = designs.shape
    inside = designs[:, everyone.samples.rows[0]]
    beta = _climbed(everyone, inside, np.full(count, penalty), np.zeros((count, p)))
    return everyone.values(np.matmul(designs, beta[:, :, None])[:, :, 0])


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
    """Ridge Cox model whose penalty is selected by cross-validated partial likelihood.

    Parameters
    ----------
    x
        float[n, p] without missing values.
    time, event
        float[n] and bool[n].
    folds, seed
        Number of folds and seed of the cross-validation.
    groups
        [n] labels; rows with the same label, such as repeats of a patient in a bootstrap sample, stay in one fold.
    penalties
        Candidate penalties, decreasing. The default is 1 to .001; with more than a hundred columns it is 100 to .001, and
        the search ends after three penalties in a row that are worse than the best.

    Returns
    -------
    Shrunken

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
    return ridge_fits([x], time, event, folds=folds, seed=seed, groups=groups, penalties=penalties)[0]


@np.errstate(divide="ignore", invalid="ignore", over="ignore")  # steps that overshoot are halved
@one_blas_thread()
def ridge_fits(
    designs: Sequence[np.ndarray],
    time: np.ndarray,
    event: np.ndarray,
    *,
    folds: int = 5,
    seed: int = 0,
    groups: Any = None,
    penalties: tuple[float, ...] | None = None,
) -> list[Shrunken]:
    """`ridge_fit` for several sets of columns of the same patients and with the same folds, which is faster than one by one.

    Parameters
    ----------
    designs
        float[n, p] each; p may differ.
    time, event, folds, seed, groups, penalties
        As in `ridge_fit`.

    Returns
    -------
    One `Shrunken` for each design.

    Raises
    ------
    NotEstimableError
        With fewer than two events.

    References
    ----------
    See `ridge_fit`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 3))
    >>> fits = ridge_fits([x, x[:, :1]], rng.exponential(np.exp(-x[:, 0])), np.ones(60, bool))
    >>> [fit.coef.round(2).tolist() for fit in fits]
    [[1.11, 0.15, 0.06], [1.21]]
    """
    t, d, _ = outcome(time, event, what="ridge")
    if d.sum() < 2:
        message = f"ridge: {counted(int(d.sum()), 'event')}; at least 2 are needed."
        raise NotEstimableError(message)
    fold = fold_of(len(d), d, min(folds, int(d.sum())), np.random.default_rng(seed), groups)
    inside = [fold != k for k in range(int(fold.max()) + 1)]
    parts = _Folds(t, d, [rows for rows in inside if d[rows].sum() > 1])
    narrow = [j for j, x in enumerate(designs) if x.shape[1] <= _WIDE]
    patience = _PATIENCE if penalties is None else len(penalties)
    together = parts.fits([designs[j] for j in narrow], penalties or PENALTIES, patience=patience)
    fits = dict(zip(narrow, together, strict=True))
    for j in {*range(len(designs))} - set(narrow):
        fits[j] = parts.fits([designs[j]], penalties or WIDE_PENALTIES, patience=patience)[0]
    return [fits[j] for j in range(len(designs))]


class _Folds:
    """All patients, and the training patients of each fold, indexed once for all designs and penalties."""

    def __init__(self, time: np.ndarray, event: np.ndarray, inside: list[np.ndarray]) -> None:
        self.inside = inside
        self.everyone = samples_of(time, event, [np.arange(len(time))])
        self.parts = samples_of(time, event, [np.flatnonzero(rows) for rows in inside]) if inside else None

    def fits(
        self, designs: Sequence[np.ndarray], penalties: Sequence[float], *, patience: int | None = None
    ) -> list[Shrunken]:
        """Fit of each design at the one of the penalties at which its cross-validated likelihood is best."""
        if not designs:
            return []
        center = [x.mean(0) for x in designs]
        scale = [np.where((spread := x.std(0)) > _CONSTANT, spread, 1.0) for x in designs]
        columns = [_compressed((x - c) / s) for x, c, s in zip(designs, center, scale, strict=True)]
        z = np.zeros((len(designs), len(designs[0]), max(part.shape[1] for part, _ in columns)))
        for j, (part, _) in enumerate(columns):
            z[j, :, : part.shape[1]] = part
        scores, gain = self._path(z, penalties, patience or len(penalties))
        best = np.argmax(gain, axis=0)
        chosen = np.array([penalties[i] for i in best])
        everyone = Likelihoods(self.everyone.repeated(len(z)))
        beta = _climbed(everyone, z[:, self.everyone.rows[0]], chosen, np.zeros(z[:, 0].shape))
        out = []
        for j, (_, rotation) in enumerate(columns):
            left_out = np.zeros(z.shape[1])
            for k, rows in enumerate(self.inside):
                left_out[~rows] = scores[best[j]][j, k, ~rows]
            out.append(
                Shrunken(
                    coef=rotation @ beta[j, : rotation.shape[1]] / scale[j],
                    center=center[j],
                    penalty=float(chosen[j]),
                    gain=float(gain[best[j], j]),
                    left_out=left_out,
                )
            )
        return out

    def _path(
        self, z: np.ndarray, penalties: Sequence[float], patience: int
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Linear predictors [designs, folds, n] at each penalty, and gains over no model [penalties, designs].

        Each fit starts at that of the next larger penalty. The search ends after `patience` penalties worse than the best.
        """
        count, n, p = z.shape
        if self.parts is None:
            return [np.zeros((count, 0, n))], np.zeros((1, count))
        folds = len(self.parts)
        everyone = Likelihoods(self.everyone.repeated(count * folds))
        parts = Likelihoods(self.parts.repeated(count))

        def gained(scores: np.ndarray) -> np.ndarray:
            flat = scores.reshape(count * folds, n)
            value = _bounded(everyone.values(flat)) - _bounded(parts.values(flat))
            return value.reshape(count, folds).sum(1)

        none = gained(np.zeros((count, folds, n)))
        inside = z[np.repeat(np.arange(count), folds)[:, None], parts.samples.rows]
        inside *= parts.samples.valid[:, :, None]
        beta = np.zeros((count * folds, p))
        scores: list[np.ndarray] = []
        gain: list[np.ndarray] = []
        for penalty in penalties:
            beta = _climbed(parts, inside, np.full(len(beta), penalty), beta)
            scores.append(np.matmul(beta.reshape(count, folds, p), z.transpose(0, 2, 1)))
            gain.append(gained(scores[-1]) - none)
            if len(gain) > int(np.argmax(gain, axis=0).max()) + patience:
                break
        return scores, np.array(gain)


def _climbed(of: Likelihoods, x: np.ndarray, penalty: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Coefficients[b, p] that maximise l(b) - penalty n |b|^2 / 2 in each sample of n patients; x is float[b, n, p]."""
    weight = (penalty * of.samples.valid.sum(1))[:, None]
    shrink = weight[:, :, None] * np.eye(x.shape[2])

    def at(beta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        loglik, score, info = of.derivatives(beta, x)
        return loglik - weight[:, 0] / 2 * (beta**2).sum(1), score - weight * beta, info + shrink

    return maximise_all(at, start, max_iter=_MAX_ITER, gain=1e-10, short=1e-4)


def _bounded(value: np.ndarray) -> np.ndarray:
    """The values, with a large negative number where an outlier leaves a risk set without weight."""
    return np.where(np.isfinite(value), value, -_WORST)


def _compressed(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of a wide table that keep 99.9 % of the variance, and the matrix that maps coefficients back.

    Ridge regression is invariant under rotation. With hundreds of correlated columns this saves most of the work.
    """
    if z.shape[1] <= _WIDE:
        return z, np.eye(z.shape[1])
    left, size, right = np.linalg.svd(z, full_matrices=False)
    kept = int(np.searchsorted(np.cumsum(size**2) / (size**2).sum(), 0.999)) + 1
    return np.asarray(left[:, :kept] * size[:kept]), np.asarray(right[:kept].T)
