"""Lasso Cox paths of many half-samples at once, up to the entry of a given number of clusters of columns.

The objective is that of `survival.cox_path` (Breslow ties, standardised columns). It is minimised for all half-samples together,
by accelerated proximal gradient steps with restarts on a quadratic model of the likelihood that is renewed at every second
penalty. Coordinate descent would be slow, because nested proportions are exactly collinear (docs/adr/0030).

References
----------
Beck A, Teboulle M. A fast iterative shrinkage-thresholding algorithm. SIAM J Imaging Sci 2009; 2: 183.
O'Donoghue B, Candes E. Adaptive restart for accelerated gradient schemes. Found Comput Math 2015; 15: 715.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pathosig.survival.data import fix_times

_TOLERANCE = 1e-5
_STEPS = 400
_LOOK = 5
_RENEWED = 2
_TOGETHER = 8
_TINY = 1e-300


def _momenta() -> np.ndarray:
    """Momentum (t - 1) / t' of each step since the last restart, with t = 1 at first and t' = (1 + sqrt(1 + 4 t^2)) / 2."""
    out, t = [], 1.0
    for _ in range(_STEPS + _LOOK):
        following = (1 + np.sqrt(1 + 4 * t**2)) / 2
        out.append((t - 1) / following)
        t = following
    return np.array(out)


_MOMENTUM = _momenta()


@dataclass(frozen=True, kw_only=True)
class HalfSamples:
    """Half-samples sorted by decreasing time.

    Attributes
    ----------
    x
        float[b, n, p], standardised within each half-sample (columns without variation are 0).
    event
        bool[b, n].
    first, last
        int[b, n]: first and last row with the time of each row.
    died, counted
        int[b, k]: rows of the deaths, filled up with other rows where a half-sample has fewer than k; bool[b, k]: which of them
        are deaths.
    """

    x: np.ndarray
    event: np.ndarray
    first: np.ndarray
    last: np.ndarray
    died: np.ndarray
    counted: np.ndarray

    def take(self, kept: np.ndarray) -> HalfSamples:
        """Some of the half-samples."""
        return HalfSamples(**{name: getattr(self, name)[kept] for name in self.__dataclass_fields__})


def half_samples_of(x: np.ndarray, time: np.ndarray, event: np.ndarray, rows: np.ndarray) -> HalfSamples:
    """Collect, sort and standardise half-samples for `first_entries`.

    Parameters
    ----------
    x, time, event
        float[n, p], float[n] and bool[n] of all patients.
    rows
        int[b, m]: positions of the patients of every half-sample.

    Returns
    -------
    HalfSamples
        Every half-sample sorted by time, with its columns standardised.

    Examples
    --------
    >>> x, time, event = np.arange(6.0)[:, None], np.arange(6.0), np.ones(6, bool)
    >>> halves = half_samples_of(x, time, event, np.array([[0, 2, 4], [1, 3, 5]]))
    >>> halves.x[:, :, 0].round(2)
    array([[ 1.22,  0.  , -1.22],
           [ 1.22,  0.  , -1.22]])
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
    had = np.asarray(event, bool)[rows]
    died = np.argsort(~had, axis=1, kind="stable")[:, : int(had.sum(axis=1).max(initial=0))]
    return HalfSamples(
        x=part, event=had, first=first, last=last, died=died, counted=np.take_along_axis(had, died, axis=1)
    )


def gradient(halves: HalfSamples, beta: np.ndarray) -> np.ndarray:
    """Gradient of minus the mean log partial likelihood in each half-sample.

    Parameters
    ----------
    halves
        From `half_samples_of`.
    beta
        float[b, p]: coefficients of each half-sample.

    Returns
    -------
    float[b, p].

    Examples
    --------
    >>> x, time, event = np.arange(6.0)[:, None], np.arange(6.0), np.ones(6, bool)
    >>> halves = half_samples_of(x, time, event, np.array([[0, 2, 4], [1, 3, 5]]))
    >>> gradient(halves, np.zeros((2, 1))).round(3)
    array([[0.612],
           [0.612]])
    """
    residual, _, _, _ = _residuals(halves, beta)
    return -np.matmul(residual[:, None, :], halves.x)[:, 0, :] / halves.x.shape[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Quadratic:
    """Quadratic model f(b) = b'Hb / 2 + c'b of minus the mean log partial likelihood of each half-sample.

    Attributes
    ----------
    hessian
        H: float[b, p, p].
    linear
        c: float[b, p].
    steep
        float[b]: largest eigenvalue of the Hessian.
    """

    hessian: np.ndarray
    linear: np.ndarray
    steep: np.ndarray

    def take(self, kept: np.ndarray) -> Quadratic:
        """The models of some half-samples, which `kept`, bool[b], selects."""
        return Quadratic(hessian=self.hessian[kept], linear=self.linear[kept], steep=self.steep[kept])

    def lasso(self, begin: np.ndarray, penalty: np.ndarray) -> np.ndarray:
        """Minimisers of f(b) + penalty |b|_1, float[b, p]; half-samples that have converged are no longer updated."""
        out, live = begin.copy(), np.arange(len(begin))
        descent = _Descent(self, begin, penalty)
        while len(live):
            descent.advance()
            out[live] = descent.beta
            still = ~descent.ended()
            if not still.all():
                live, descent = live[still], descent.only(still)
        return out


class _Descent:
    """Accelerated proximal gradient steps on many quadratic models, each with its own penalty.

    Parameters
    ----------
    model
        Quadratic model of each half-sample.
    begin
        float[b, p] initial coefficients.
    penalty
        float[b] lasso penalties.
    """

    def __init__(self, model: Quadratic, begin: np.ndarray, penalty: np.ndarray) -> None:
        self.hessian, self.linear = model.hessian, model.linear
        self.step = 1 / model.steep[:, None]
        self.shrink = penalty[:, None] * self.step
        self.beta, self.ahead, self.moved = begin.copy(), begin.copy(), np.empty(begin.shape)
        self.pace, self.count = np.zeros((len(begin), 1), int), np.zeros(len(begin), int)

    def advance(self) -> None:
        """Take a few steps in every half-sample."""
        raw, new, spare = (np.empty(self.beta.shape) for _ in range(3))
        beta, ahead, moved = self.beta, self.ahead, self.moved
        # half-samples that have ended are still computed, without effect
        pace = np.minimum(self.pace, _STEPS)
        least = -self.shrink
        for _ in range(_LOOK):
            np.matmul(self.hessian, ahead[:, :, None], out=raw[:, :, None])
            raw += self.linear
            raw *= self.step
            np.subtract(ahead, raw, out=raw)
            np.maximum(np.minimum(raw, self.shrink, out=spare), least, out=spare)
            np.subtract(raw, spare, out=new)
            np.subtract(new, beta, out=moved)
            np.subtract(ahead, new, out=spare)
            spare *= moved
            forward = np.add.reduce(spare, axis=1, keepdims=True) <= 0  # otherwise the momentum points uphill
            np.multiply(_MOMENTUM[pace] * forward, moved, out=ahead)
            ahead += new
            pace = (pace + 1) * forward
            beta, new = new, beta
        self.beta, self.pace = beta, pace
        self.count += _LOOK

    def ended(self) -> np.ndarray:
        """Whether each half-sample has converged or taken its largest number of steps: bool[b]."""
        return (np.abs(self.moved).max(1) < _TOLERANCE) | (self.count >= _STEPS)

    def only(self, kept: np.ndarray) -> _Descent:
        """The current state of some half-samples, which `kept` selects."""
        out = copy.copy(self)
        vars(out).update({name: value[kept] for name, value in vars(self).items()})
        return out

    def renew(self, at: np.ndarray, model: Quadratic) -> None:
        """Replace the models of some half-samples, whose positions are `at`, int[m]."""
        self.hessian[at], self.linear[at] = model.hessian, model.linear
        self.step[at] = 1 / model.steep[:, None]

    def begin(self, at: np.ndarray, beta: np.ndarray, penalty: np.ndarray) -> None:
        """Restart some half-samples, whose positions are `at`, int[m], at other coefficients and penalties."""
        self.shrink[at] = penalty[:, None] * self.step[at]
        self.beta[at] = self.ahead[at] = beta
        self.pace[at], self.count[at] = 0, 0


def _held(chosen: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Number of clusters to which the chosen columns belong: int[b]."""
    out = np.zeros((len(chosen), int(cluster.max(initial=0)) + 1), bool)
    row, column = np.nonzero(chosen)
    out[row, cluster[row, column]] = True
    return np.asarray(out.sum(1))


def quadratic_at(halves: HalfSamples, beta: np.ndarray) -> Quadratic:
    """The quadratic model of each half-sample around given coefficients.

    With n patients, r_i the relative risk of patient i, and U the gradient of minus the mean log partial likelihood,

        H = 1/n [ sum_i x_i x_i' r_i sum_{events at which i is at risk} 1 / S0  -  sum_{events} (S1 / S0)(S1 / S0)' ]
        c = U - H beta

    Parameters
    ----------
    halves
        From `half_samples_of`.
    beta
        float[b, p]: coefficients around which the function is expanded.

    Returns
    -------
    Quadratic

    Examples
    --------
    >>> x, time, event = np.arange(6.0)[:, None], np.arange(6.0), np.ones(6, bool)
    >>> halves = half_samples_of(x, time, event, np.array([[0, 2, 4], [1, 3, 5]]))
    >>> quadratic_at(halves, np.zeros((2, 1))).hessian[:, 0, 0].round(3)
    array([0.458, 0.458])
    """
    residual, risk, at_risk, total = _residuals(halves, beta)
    x, n = halves.x, halves.x.shape[1]
    weighted = x * risk[:, :, None]
    rows, counted = halves.died, halves.counted
    base = np.arange(0, len(x) * n, n)[:, None]  # only rows of deaths, in one indexing of flat rows
    mean = np.cumsum(weighted, axis=1).reshape(len(x) * n, -1)[
        np.take_along_axis(halves.last, rows, axis=1) + base
    ]
    mean *= np.where(counted, 1 / at_risk.ravel()[rows + base], 0.0)[:, :, None]
    weighted *= total[:, :, None]
    hessian = (np.matmul(weighted.transpose(0, 2, 1), x) - np.matmul(mean.transpose(0, 2, 1), mean)) / n
    slope = -np.matmul(residual[:, None, :], x)[:, 0, :] / n
    return Quadratic(
        hessian=hessian,
        linear=slope - np.matmul(hessian, beta[:, :, None])[:, :, 0],
        steep=_steepness(hessian),
    )


def _steepness(hessian: np.ndarray) -> np.ndarray:
    """Upper bound of the largest eigenvalue of each matrix [b, p, p], a few per cent above it: (sum of its 16th powers) ** (1 / 16).

    It costs a fifth of the eigenvalues themselves.
    """
    size = np.maximum(np.trace(hessian, axis1=1, axis2=2), 1e-9)
    power = hessian / size[:, None, None]
    for _ in range(3):
        power = np.matmul(power, power)
    return np.asarray(np.maximum(size * (power**2).sum((1, 2)) ** (1 / 16), 1e-9))


def _residuals(halves: HalfSamples, beta: np.ndarray) -> tuple[np.ndarray, ...]:
    """Martingale residual, relative risk, S0 at its time and cumulative 1 / S0 of every row: float[b, n] each."""
    eta = np.matmul(halves.x, beta[:, :, None])[:, :, 0]
    eta -= eta.max(1, keepdims=True)
    risk = np.exp(eta)
    count, n = risk.shape
    base = np.arange(0, count * n, n)[:, None]  # indexing flat rows takes half the time of take_along_axis
    # The score of an outlier may leave the other patients without any risk.
    at_risk = np.maximum(np.cumsum(risk, axis=1).ravel()[halves.last + base], _TINY)
    share = np.where(halves.event, 1 / at_risk, 0.0)
    total = np.cumsum(share[:, ::-1], axis=1)[:, ::-1].ravel()[halves.first + base]
    return halves.event - risk * total, risk, at_risk, total


def first_entries(
    halves: HalfSamples,
    cluster: np.ndarray,
    *,
    q: int,
    n_lambda: int = 25,
    min_ratio: float = 0.1,
    enough: Callable[[np.ndarray, np.ndarray], bool] | None = None,
) -> np.ndarray:
    """Columns in the lasso model of each half-sample once the model has `q` clusters: bool[b, p].

    Parameters
    ----------
    halves
        From `half_samples_of`.
    cluster
        int[p] or int[b, p]: cluster of every column.
    q
        Number of clusters at which the path of a half-sample ends.
    n_lambda, min_ratio
        Number of penalties, evenly spaced in the logarithm from the largest, at which no column is selected, and ratio of the
        smallest to the largest.
    enough
        Function that decides whether the remaining half-samples can be left out; their columns are then all False. It is
        called with the half-samples that are completed, bool[b], and their columns, bool[b, p].

    Returns
    -------
    bool[b, p].

    References
    ----------
    Simon et al. (2011), J. Stat. Softw. 39(5).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(40, 3))
    >>> halves = half_samples_of(x, np.exp(-2 * x[:, 1]), np.ones(40, bool), np.array([range(20), range(20, 40)]))
    >>> first_entries(halves, np.tile(np.arange(3), (2, 1)), q=1)
    array([[False,  True, False],
           [False,  True, False]])
    """
    count, p = len(halves.x), halves.x.shape[2]
    beta, chosen = np.zeros((count, p)), np.zeros((count, p), bool)
    clusters = np.broadcast_to(
        np.unique(cluster, return_inverse=True)[1].reshape(np.shape(cluster)), (count, p)
    )
    ratios = np.geomspace(1.0, min_ratio, n_lambda)[1:]
    top, number, ids = np.abs(gradient(halves, beta)).max(1), np.zeros(count, int), np.arange(count)
    resting, over, through = (np.zeros(count, bool) for _ in range(3))
    descent = _Descent(quadratic_at(halves, beta), beta, top * ratios[0])
    # Half-samples move to their next penalty in groups of at least an eighth, so that none has to wait for the slowest.
    while not over.all():
        descent.advance()
        ended = descent.ended() & ~resting
        if not ended.any():
            continue
        at = ids[ended]
        beta[at] = descent.beta[ended]
        chosen[at] = beta[at] != 0
        number[at] += 1
        over[ended] = (_held(chosen[at], clusters[at]) >= q) | (number[at] == len(ratios))
        resting |= ended
        through[ids[over]] = True
        if enough is not None and over[ended].any() and enough(through, chosen):
            return chosen & through[:, None]
        if over.sum() * _TOGETHER >= len(ids):
            descent, ids, resting, over = descent.only(~over), ids[~over], resting[~over], over[~over]
        ready = np.flatnonzero(resting & ~over)
        if len(ready) and len(ready) * _TOGETHER >= len(ids):
            new = ready[number[ids[ready]] % _RENEWED == 0]
            if len(new):
                descent.renew(new, quadratic_at(halves.take(ids[new]), beta[ids[new]]))
            again = ids[ready]
            descent.begin(ready, beta[again], top[again] * ratios[number[again]])
            resting[ready] = False
    return chosen
