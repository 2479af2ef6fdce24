"""Newton's method with step halving, which also terminates if the likelihood has no maximum.

It serves every smooth likelihood of the package: Cox, ridge and Firth. It distinguishes columns whose estimate converges from
columns whose estimate is infinite (separation), so that the former are correct in either case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

Derivatives = tuple[float, np.ndarray, np.ndarray]

_MAX_ITER = 60
_HALVINGS = 30
_GAIN = 1e-12
_SHORT = 1e-7
_LONG = 1e-2
_PATIENCE = 3
_ALIASED = 1.8e-12
"""coxph's tolerance (.Machine$double.eps^.75) for the proportion of a column's information that other columns do not have."""
_FLAT = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Climb:
    """The end of a maximisation.

    Attributes
    ----------
    beta
        float[p] coefficients at the end.
    iterations
        Number of steps.
    converged
        Whether the steps became short enough.
    endless
        bool[p]: coefficients that still move by long steps although the value no longer increases; their estimates are
        infinite.
    """

    beta: np.ndarray
    iterations: int
    converged: bool
    endless: np.ndarray


def maximise(
    at: Callable[[np.ndarray], Derivatives],
    start: np.ndarray,
    *,
    max_iter: int = _MAX_ITER,
    gain: float = _GAIN,
    short: float = _SHORT,
    patience: int = _PATIENCE,
    longest: float = np.inf,
) -> Climb:
    """Maximise a function from `start` by Newton's method.

    Parameters
    ----------
    at
        Function from coefficients to value, gradient float[p] and curvature float[p, p] (minus the Hessian, or an
        approximation of it). Columns should have a standard deviation near 1, so that a step of 0.01 means the same for
        each of them.
    start
        float[p] at which the value is finite.
    max_iter
        Largest number of steps.
    gain
        A step is the last, unless it is long, if its expected gain is below this proportion of the value.
    short
        Largest length of the last step, relative to the coefficients; the error is of the order of its square.
    patience
        Number of long steps without a gain after which the coefficients that still move are taken to be infinite.
    longest
        Longest step of any coefficient; it increases in proportion once coefficients exceed 2.

    Returns
    -------
    Climb

    Examples
    --------
    >>> import numpy as np
    >>> peak = maximise(lambda b: (-float((b - 2) @ (b - 2)), -2 * (b - 2), 2 * np.eye(1)), np.zeros(1))
    >>> float(peak.beta[0])
    2.0
    """
    beta = np.asarray(start, float)
    still = np.zeros(len(beta), bool)
    if not len(beta):
        return Climb(beta=beta, iterations=0, converged=True, endless=still)
    value, gradient, curvature = at(beta)
    level = 0
    for iteration in range(1, max_iter + 1):
        step = _ascent(curvature, gradient)
        promise = step
        promised = float(gradient @ step) / 2
        if promised <= gain * (abs(value) + 1.0):
            level += 1
            size = np.abs(step)
            if size.max() <= short * (1.0 + np.abs(beta).max()):
                return Climb(beta=beta + step, iterations=iteration, converged=True, endless=still)
            if level >= patience:
                return Climb(beta=beta, iterations=iteration, converged=False, endless=size > _LONG)
        reach = longest * max(1.0, float(np.abs(beta).max()) / 2)
        step = step * min(1.0, reach / max(float(np.abs(step).max()), 1e-300))
        for _ in range(_HALVINGS):
            after = at(beta + step)
            if np.isfinite(after[0]) and after[0] >= value - gain * (abs(value) + 1.0):
                break
            step = step / 2
        else:  # no step of any length increases the value, so that only rounding error is left
            size = np.abs(promise)
            return Climb(beta=beta, iterations=iteration, converged=level > 0, endless=~(size <= _LONG))
        beta = beta + step
        value, gradient, curvature = after
    return Climb(beta=beta, iterations=max_iter, converged=False, endless=np.abs(step) > _LONG)


def _ascent(curvature: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Newton's step; if the curvature is not positive definite, along the directions in which it is positive."""
    diagonal = np.diag(curvature)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(diagonal > 0, 1 / np.sqrt(diagonal), 0.0)
    scaled = curvature * np.outer(scale, scale) + np.diag((scale == 0).astype(float))
    right = gradient * scale
    factor, failed = lapack.dpotrf(scaled, lower=1, clean=0)  # what cho_factor calls, without its checks
    if failed:
        values, vectors = np.linalg.eigh(np.nan_to_num(scaled))
        inverse = np.where(values > 1e-12, 1 / np.maximum(values, 1e-12), 0.0)
        return np.asarray(scale * (vectors @ (inverse * (vectors.T @ right))))
    solution, _ = lapack.dpotrs(factor, right, lower=1)
    return np.asarray(scale * solution)


def inverse(information: np.ndarray) -> np.ndarray:
    """Inverse of an information matrix that is scaled to a diagonal of 1; NaN variance for columns without information.

    A column that separates events has almost no information left. Because of the scaling it neither makes the matrix
    singular nor affects the variances of other columns.

    Parameters
    ----------
    information
        float[p, p], symmetric.

    Returns
    -------
    float[p, p], the covariance of the coefficients.

    Examples
    --------
    >>> inverse(np.array([[4.0, 0.0], [0.0, 0.0]]))
    array([[0.25, 0.  ],
           [0.  ,  nan]])
    """
    diagonal = np.diag(information)
    informed = diagonal > 0
    out = np.diag(np.where(informed, 0.0, np.nan))
    inside = np.ix_(informed, informed)
    scale = 1 / np.sqrt(diagonal[informed])
    out[inside] = np.linalg.pinv(information[inside] * np.outer(scale, scale), hermitian=True) * np.outer(
        scale, scale
    )
    return out


def independent(x: np.ndarray, information: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Whether each column has information that earlier columns do not have, bool[p]; coxph gives NA for the others.

    Parameters
    ----------
    x
        float[n, p].
    information
        float[p, p] at coefficients of 0.
    stratum
        int[n] numbers of strata; a column that varies only between strata has no information.

    Returns
    -------
    bool[p].

    References
    ----------
    R: survival::coxph.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0, 5.0], [2.0, 4.0, 5.0], [4.0, 8.0, 5.0]])
    >>> independent(x, x.T @ x, np.zeros(3, int)).tolist()
    [True, False, False]
    """
    p = x.shape[1]
    if not len(x) or not p:
        return np.zeros(p, bool)
    largest = 1 + np.abs(x).max(axis=0)
    within = x - _stratum_means(x, stratum)
    spread = within.std(axis=0)
    diagonal = np.diag(information)
    usable = (spread > 1e-12 * largest) & (diagonal > 1e-14 * len(x) * spread**2)
    columns = np.flatnonzero(usable)
    if not len(columns):
        return usable
    upper = np.abs(np.diag(np.linalg.qr(within[:, columns] / spread[columns], mode="r")))
    rank = np.zeros(len(columns), bool)
    rank[: len(upper)] = upper > _FLAT * np.sqrt(len(x))
    usable[columns[~rank]] = False
    columns = columns[rank]
    scale = 1 / np.sqrt(diagonal[columns])
    usable[columns[~_pivots(information[np.ix_(columns, columns)] * np.outer(scale, scale))]] = False
    return usable


def _pivots(correlation: np.ndarray) -> np.ndarray:
    """Whether the pivot of each column in a Cholesky decomposition, in order, is above coxph's tolerance: bool[p]."""
    left = correlation.copy()
    out = np.zeros(len(left), bool)
    for j in range(len(left)):
        pivot = left[j, j]
        out[j] = pivot > _ALIASED
        if out[j]:
            left -= np.outer(left[:, j], left[j]) / pivot
    return out


def _stratum_means(x: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Mean of each column in the stratum of each row, float[n, p]."""
    labels, which = np.unique(stratum, return_inverse=True)
    if len(labels) == 1:
        return np.broadcast_to(x.mean(axis=0), x.shape)
    sums = np.zeros((len(labels), x.shape[1]))
    np.add.at(sums, which.ravel(), x)
    means: np.ndarray = (sums / np.bincount(which.ravel())[:, None])[which.ravel()]
    return means
