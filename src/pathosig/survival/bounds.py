"""Bounds on the number of variables that stability selection selects falsely, and the threshold that keeps to a bound.

References
----------
Meinshausen N, Buhlmann P. Stability selection. JRSS B 2010; 72: 417.
Shah RD, Samworth RJ. Variable selection with error control: another look at stability selection.
JRSS B 2013; 75: 55 (the r-concave bound; R package stabs).
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy.optimize import brentq

_LOW, _HIGH = math.log(1e-9), math.log(1e9)


@functools.lru_cache(maxsize=20_000)
def _tail_bound(mean: float, at_least: int, size: int, r: float) -> float:
    """Largest P(X >= at_least / size) over r-concave distributions on {0, 1/size, ..., 1} with the given mean.

    Parameters
    ----------
    mean
        Mean of X, 0 to 1.
    at_least
        The threshold in steps of 1/size, 0 to size.
    size
        Number of steps between 0 and 1.
    r
        Order of concavity, negative: -1/2 or -1/4.
    """
    if mean <= 0:
        return 0.0
    power, centre = 1 / r, mean * size
    if at_least <= centre:
        return 1.0
    steps = np.arange(size + 1, dtype=float)

    def weights(log_a: float, k: int) -> np.ndarray:
        return np.asarray((1 + steps[: k + 1] / math.exp(log_a)) ** power)

    def offset(k: int) -> float:
        def gap(log_a: float) -> float:
            w = weights(log_a, k)
            return float((w * steps[: k + 1]).sum() / w.sum() - centre)

        if gap(_HIGH) <= 0:
            return _HIGH
        return _LOW if gap(_LOW) >= 0 else float(brentq(gap, _LOW, _HIGH, xtol=1e-6))

    best = 0.0
    for k in range(max(math.ceil(2 * centre), at_least - 1), size):
        ends = sorted((offset(k), offset(k + 1)))
        for log_a in np.linspace(ends[0], ends[1], 7):
            w = weights(float(log_a), k)
            below = (k + 1 - centre) * w[:at_least].sum()
            best = max(best, float(1 - below / ((k + 1 - steps[: k + 1]) * w).sum()))
    return min(1.0, best)


def false_selection_bound(q: float, p: int, threshold: float, pairs: int) -> float:
    """Bound on the expected number of falsely selected variables.

    Parameters
    ----------
    q
        Mean number of variables selected in a half-sample.
    p
        Number of candidate variables (or clusters).
    threshold
        Proportion of half-samples in which a variable must be selected, above .5.
    pairs
        Number of complementary pairs of half-samples.

    Returns
    -------
    The smallest of the bound of Meinshausen and Buhlmann and the two r-concave bounds of Shah and Samworth.

    References
    ----------
    Meinshausen & Buhlmann (2010), JRSS B 72; Shah & Samworth (2013), JRSS B 75.

    Examples
    --------
    >>> round(false_selection_bound(7, 40, 0.8, 50), 3)
    0.275
    >>> false_selection_bound(7, 40, 0.8, 50) < 7 * 7 / ((2 * 0.8 - 1) * 40)
    True
    """
    if q >= p:
        return float(p)
    simple = q * q / ((2 * threshold - 1) * p) if threshold > 0.5 else float(p)
    rate = round(q / p, 6)
    both = _tail_bound(round(rate * rate, 9), math.ceil(round((2 * threshold - 1) * pairs, 8)), pairs, -0.5)
    one = _tail_bound(rate, math.ceil(round(2 * threshold * pairs, 8)), 2 * pairs, -0.25)
    return min(simple, p * both, p * one, float(p))


def threshold_for(q: float, p: int, pairs: int, *, expected_false: float, lowest: float = 0.5) -> float:
    """Smallest threshold at which `false_selection_bound` is at most `expected_false`; above 1 if there is none.

    Parameters
    ----------
    q
        Mean number of variables selected in a half-sample.
    p
        Number of candidate variables (or clusters).
    pairs
        Number of complementary pairs of half-samples.
    expected_false
        Largest acceptable expected number of falsely selected variables.
    lowest
        Smallest threshold considered, 0.5 to 1.

    Returns
    -------
    A proportion of half-samples, which is a multiple of 1 / (2 pairs); 1.01 if even selection in every half-sample
    exceeds the bound.

    References
    ----------
    See `false_selection_bound`.

    Examples
    --------
    >>> threshold_for(4, 20, 10, expected_false=1.0)
    0.7
    >>> threshold_for(4, 20, 10, expected_false=0.3)
    0.85
    """
    size = 2 * pairs
    low = math.floor(max(lowest, 0.5) * size)
    while low / size < lowest or low / size <= 0.5:
        low += 1

    def enough(count: int) -> bool:
        return count > size or false_selection_bound(q, p, count / size, pairs) <= expected_false

    # The bound decreases as the threshold increases: step length is doubled until it is met, then the last step is bisected.
    step = 1
    while not enough(low + step - 1):
        low, step = low + step, 2 * step
    high = min(low + step - 1, size + 1)
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    return low / size if low <= size else 1.01
