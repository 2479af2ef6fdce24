"""Cox models of several samples at once: array operations over all samples take the place of a loop.

The likelihood is that of `survival.likelihood` (Efron ties; no weights, strata or delayed entry), and the maximisation that of
`survival.newton`. Without the loop small samples of a few dozen patients are fitted much faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pathosig.core.errors import NotEstimableError
from pathosig.survival.data import fix_times

_TINY = 1e-200
_HALVINGS = 30
_PATIENCE = 3
_CACHED = 16_384
"""Samples with more cells than this are computed one by one, because all of them together would not fit the processor's cache."""

Derivatives = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Samples:
    """Samples of the same patients with their event terms, one per death; rows are sorted by decreasing time.

    Samples with fewer patients or deaths than the largest ones are padded.

    Attributes
    ----------
    rows
        int[b, n]: positions in the caller's data.
    valid, event
        bool[b, n]: whether a row is a patient (and not padding), and whether the patient had the event.
    end
        int[b, k]: number of rows at risk at each event term.
    fraction
        float[b, k]: fraction of the tied deaths that Efron's method subtracts from the risk set of each term.
    counted
        bool[b, k]: whether a term is real (and not padding).
    block
        int[b, k]: first row with the time of each term.
    after
        int[b, n]: first term at which each row is at risk.
    tied
        int[b, 2, n]: for each death, the first term at its time and the first term after it; 0 for other rows.
    """

    rows: np.ndarray
    valid: np.ndarray
    event: np.ndarray
    end: np.ndarray
    fraction: np.ndarray
    counted: np.ndarray
    block: np.ndarray
    after: np.ndarray
    tied: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def repeated(self, times: int) -> Samples:
        """All samples, repeated several times."""
        return self._at(np.tile(np.arange(len(self)), times))

    def only(self, number: int) -> Samples:
        """One of the samples."""
        return self._at(np.array([number]))

    def _at(self, numbers: np.ndarray) -> Samples:
        return Samples(**{name: getattr(self, name)[numbers] for name in self.__dataclass_fields__})


def samples_of(time: np.ndarray, event: np.ndarray, rows: Sequence[np.ndarray]) -> Samples:
    """Index several samples of the same patients for simultaneous fits.

    Parameters
    ----------
    time, event
        float[n] and bool[n] of all patients.
    rows
        int[m] positions of the patients of each sample; m may differ.

    Returns
    -------
    Samples

    Raises
    ------
    NotEstimableError
        If a sample has no event.

    Examples
    --------
    >>> samples = samples_of(np.array([1.0, 2, 3]), np.ones(3, bool), [np.array([0, 1, 2]), np.array([0, 2])])
    >>> samples.rows, samples.end
    (array([[2, 1, 0],
           [2, 0, 0]]), array([[1, 2, 3],
           [1, 2, 0]]))
    """
    if not all(event[r].any() for r in rows):
        raise NotEstimableError("no event at all: a Cox model cannot be fitted.")
    n, most = max(map(len, rows)), max(int(event[r].sum()) for r in rows)
    b = len(rows)
    out = Samples(
        rows=np.zeros((b, n), int),
        valid=np.zeros((b, n), bool),
        event=np.zeros((b, n), bool),
        end=np.zeros((b, most), int),
        fraction=np.zeros((b, most)),
        counted=np.zeros((b, most), bool),
        block=np.zeros((b, most), int),
        after=np.zeros((b, n), int),
        tied=np.zeros((b, 2, n), int),
    )
    for i, members in enumerate(rows):
        t = -fix_times(time[members])[0]
        order = np.argsort(t, kind="stable")
        t, d, m = t[order], event[members][order], len(members)
        died = t[d]
        first = np.searchsorted(died, died, side="left")
        behind = np.searchsorted(died, died, side="right")
        k = len(died)
        out.rows[i, :m], out.valid[i, :m], out.event[i, :m] = members[order], True, d
        out.end[i, :k], out.counted[i, :k] = np.searchsorted(t, died, side="right"), True
        out.fraction[i, :k] = (np.arange(k) - first) / (behind - first)
        out.block[i, :k] = np.searchsorted(t, died, side="left")
        out.after[i, :m] = np.searchsorted(out.end[i, :k], np.arange(m), side="right")
        out.tied[i, :, :m][:, d] = first, behind
    return out


class Likelihoods:
    """Log partial likelihoods of samples, with precomputed indices.

    Parameters
    ----------
    samples
        From `samples_of`.

    Examples
    --------
    >>> samples = samples_of(np.array([1.0, 2, 3]), np.ones(3, bool), [np.arange(3), np.array([0, 2])])
    >>> Likelihoods(samples).values(np.zeros((2, 3))).round(4)  # -log(3 x 2 x 1) and -log(2 x 1)
    array([-1.7918, -0.6931])
    """

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        b, n = samples.rows.shape
        k = samples.end.shape[1]
        rows, terms = np.arange(b)[:, None] * (n + 1), np.arange(b)[:, None] * (k + 1)
        self._end, self._block = samples.end + rows, samples.block + rows
        self._after = samples.after + terms
        self._tied = bool(samples.fraction.any())
        self._first, self._behind = samples.tied[:, 0] + terms, samples.tied[:, 1] + terms
        self._valid, self._died = samples.valid.astype(float), samples.event.astype(float)
        self._counted = samples.counted.astype(float)
        self._spare = 1 - self._counted

    def values(self, scores: np.ndarray) -> np.ndarray:
        """Log partial likelihood of each sample at its own linear predictor, float[b]; -inf if relative risks underflow.

        Parameters
        ----------
        scores
            float[b, patients]: linear predictors of all patients, in the order of the caller's data.
        """
        eta = np.take_along_axis(scores, self.samples.rows, axis=1)
        eta = eta - np.where(self.samples.valid, eta, -np.inf).max(1, keepdims=True)
        s0 = self._sums(np.where(self.samples.valid, np.exp(np.minimum(eta, 0.0)), 0.0))
        return self._value(eta, s0)

    def derivatives(self, beta: np.ndarray, x: np.ndarray) -> Derivatives:
        """Value float[b], gradient float[b, p] and information float[b, p, p] of each sample at its own coefficients.

        Parameters
        ----------
        beta
            float[b, p] coefficients.
        x
            float[b, n, p]: rows in the order of the samples; 0 in rows of padding.
        """
        if len(x) > 1 and x[0].size > _CACHED:
            each = [one.derivatives(beta[i, None], x[i, None]) for i, one in enumerate(self._alone)]
            value, gradient, information = (np.concatenate(kind) for kind in zip(*each, strict=True))
            return value, gradient, information
        eta = np.matmul(x, beta[:, :, None])[:, :, 0]
        eta -= eta.max(1, keepdims=True, initial=0.0)
        risk = self._valid * np.exp(eta)
        weighted = risk[:, :, None] * x
        s0 = self._sums(risk)
        mean = self._sums(weighted) / s0[:, :, None]
        gradient = (
            np.matmul(self._died[:, None, :], x)[:, 0] - np.matmul(self._counted[:, None, :], mean)[:, 0]
        )
        mean *= self._counted[:, :, None]
        weighted *= self._exposure(self._counted / s0)[:, :, None]
        information = np.matmul(weighted.transpose(0, 2, 1), x) - np.matmul(mean.transpose(0, 2, 1), mean)
        return self._value(eta, s0), gradient, information

    @cached_property
    def _alone(self) -> list[Likelihoods]:
        return [Likelihoods(self.samples.only(i)) for i in range(len(self.samples))]

    def _value(self, eta: np.ndarray, s0: np.ndarray) -> np.ndarray:
        usable = (s0 > _TINY).all(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = (self._died * eta).sum(1) - (self._counted * np.log(s0)).sum(1)
        return np.where(usable, value, -np.inf)

    def _sums(self, values: np.ndarray) -> np.ndarray:
        """Sums of values[b, n, ...] over the risk set of each term, reduced for tied deaths (Efron); 1 for terms of padding."""
        total = _running(values)
        out = total[self._end]
        tail = (slice(None), slice(None), *[None] * (values.ndim - 2))
        if self._tied:
            deaths = _running(values * self._died[tail])
            out -= self.samples.fraction[tail] * (deaths[self._end] - deaths[self._block])
        if values.ndim == 2:
            out += self._spare
        return out

    def _exposure(self, terms: np.ndarray) -> np.ndarray:
        """For each row, the sum of terms[b, k] at which it is at risk, reduced for tied deaths (Efron)."""
        out = _remaining(terms)[self._after]
        if self._tied:
            down = _remaining(self.samples.fraction * terms)
            out -= down[self._first] - down[self._behind]
        return out


def _running(values: np.ndarray) -> np.ndarray:
    """Sums of the rows before each row, then the sum of all rows: [b * (n + 1), ...]."""
    b, n, *rest = values.shape
    out = np.zeros((b, n + 1, *rest))
    np.cumsum(values, axis=1, out=out[:, 1:])
    return out.reshape(b * (n + 1), *rest)


def _remaining(terms: np.ndarray) -> np.ndarray:
    """Sums of each term and the terms after it, then 0: float[b * (k + 1)]."""
    b, k = terms.shape
    out = np.zeros((b, k + 1))
    out[:, :k] = np.cumsum(terms[:, ::-1], axis=1)[:, ::-1]
    return out.ravel()


def maximise_all(
    at: Callable[[np.ndarray], Derivatives], start: np.ndarray, *, max_iter: int, gain: float, short: float
) -> np.ndarray:
    """`newton.maximise` for several strictly concave functions at once: coefficients float[b, p].

    Parameters
    ----------
    at
        Function from coefficients float[b, p] to values, gradients and curvatures, which must be positive definite.
    start
        float[b, p] initial coefficients.
    max_iter, gain, short
        As in `newton.maximise`.

    Returns
    -------
    float[b, p]: the place of each maximum.

    Examples
    --------
    >>> goal = np.array([[2.0], [-1.0]])
    >>> peak = lambda b: (-((b - goal) ** 2).sum(1), 2 * (goal - b), 2 * np.ones((2, 1, 1)))
    >>> maximise_all(peak, np.zeros((2, 1)), max_iter=9, gain=1e-9, short=1e-4).ravel()
    array([ 2., -1.])
    """
    beta = start.copy()
    if not beta.size:
        return beta
    live, level = np.ones(len(beta), bool), np.zeros(len(beta), int)
    now = at(beta)
    for _ in range(max_iter):
        step = np.linalg.solve(now[2], now[1][:, :, None])[:, :, 0]
        slack = gain * (np.abs(now[0]) + 1.0)
        flat = live & ((now[1] * step).sum(1) / 2 <= slack)
        level += flat
        over = flat & (np.abs(step).max(1) <= short * (1.0 + np.abs(beta).max(1)))
        beta[over] += step[over]
        live &= ~over & (level < _PATIENCE)
        if not live.any():
            break
        step[~live] = 0.0
        for _ in range(_HALVINGS):
            after = at(beta + step)
            worse = live & ~(np.isfinite(after[0]) & (after[0] >= now[0] - slack))
            if not worse.any():
                break
            step[worse] /= 2
        else:  # no step of any length increases the value, so that only rounding error is left
            live &= ~worse
            step[worse] = 0.0
            after = at(beta + step)
        beta, now = beta + step, after
    return beta
