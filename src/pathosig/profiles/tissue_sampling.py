"""Precision of a mean over tiles, as an estimate of the mean over the whole tissue that the tiles are sampled from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import fft, stats
from scipy.spatial import cKDTree

_NO_CORRELATION = 0.05
"""Correlation below which two tiles count as independent."""

_LARGEST_PART = 0.5
"""Largest proportion of all pairs inside the window; at this bound one degree of freedom is left, and the interval is wide. It
would be wrong to give no interval for such samples: the samples that remain look less correlated than the tissue is, so that
intervals would on average be too narrow."""

_ROUNDS = 4
_MOST_CELLS = 1 << 22
_SOME = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class MeanVariance:
    """Variance of a mean over tiles.

    Attributes
    ----------
    value
        The variance.
    df
        Degrees of freedom of its estimate: the number of independent pieces of tissue, minus one.
    """

    value: float
    df: float

    @classmethod
    def of_weighted_sum(cls, parts: Sequence[MeanVariance], weights: Sequence[float]) -> Self:
        """Variance of a weighted sum of independent means, such as those of several slides.

        References
        ----------
        Satterthwaite FE. An approximate distribution of estimates of variance components. Biometrics Bulletin 1946;2:110-114.
        """
        terms = [weight**2 * part.value for part, weight in zip(parts, weights, strict=True)]
        spread = sum(term**2 / part.df for part, term in zip(parts, terms, strict=True))
        return cls(value=sum(terms), df=sum(terms) ** 2 / spread if spread > 0 else 1.0)

    @classmethod
    def between(cls, means: Sequence[float], weights: Sequence[float]) -> Self:
        """Variance of a weighted mean over slides or cores, each of which is an independent piece of tissue."""
        mean, share = np.asarray(means, float), np.asarray(weights, float)
        away = share * (mean - share @ mean)
        n = len(mean)
        return cls(value=float(n / (n - 1) * away @ away), df=float(n - 1))

    def half_width(self, level: float = 0.95) -> float:
        """Half of the width of the confidence interval of the mean."""
        return float(stats.t.ppf((1 + level) / 2, self.df) * np.sqrt(self.value))


def variance_of_mean(
    values: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> MeanVariance | None:
    """Variance of the mean over tiles that resemble their neighbours, as an estimate of the mean over the tissue.

    With residuals r of n tiles and a window k that decreases with the distance d between two tiles,

        V = sum_ij k(d_ij) r_i r_j / n^2 / (1 - f),   f = sum_ij k(d_ij) / n^2,   df = 1/f - 1 >= 1

    k is 1 up to the distance at which the correlation between tiles falls below 0.05, and then decreases to 0 at twice that
    distance. Dividing by 1 - f corrects for residuals being taken from the mean of the same tiles. Sums over pairs are
    computed as correlations of grids, so that 100,000 tiles take a moment.

    Parameters
    ----------
    values
        float[n]: value of each tile.
    x, y
        float[n]: position of each tile on a regular grid, in any unit.

    Returns
    -------
    MeanVariance or None
        None with fewer than eight tiles, or if all values are equal.

    References
    ----------
    Politis DN, Romano JP. Bias-corrected nonparametric spectral estimation. J Time Ser Anal 1995;16:67-103 (the window).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.divmod(np.arange(400), 20)
    >>> patches = rng.normal(size=(5, 5))[y // 4, x // 4]
    >>> alike = variance_of_mean(rng.permutation(patches), x, y).value
    >>> clumped = variance_of_mean(patches, x, y).value
    >>> clumped / alike > 5
    True
    """
    n = len(values)
    if n < 8:
        return None
    rows, columns = _cells(x, y)
    residual = np.asarray(values, float) - np.mean(values)
    variance = float(residual @ residual) / n
    if variance <= 1e-24:
        return None
    products, pairs, distance = _pairs(residual, rows, columns)
    lag = np.rint(distance).astype(int).ravel()
    by_lag = np.bincount(lag, products.ravel()), np.bincount(lag, pairs.ravel())
    covariance = by_lag[0] / np.maximum(by_lag[1], 1.0)
    measured = by_lag[1] > 0.5
    total, reach = 0.0, 1
    for _ in range(_ROUNDS):
        # Residuals of a sample are slightly less correlated than its tiles: subtracting the mean took `total` from each
        # product.
        correlation = (covariance + total) / (variance + total)
        reach = _first_lag_below(correlation, measured)
        window = np.clip(2 * (1 - distance / (2 * reach)), 0.0, 1.0)
        f = float((window * pairs).sum()) / n**2
        f = min(f, _LARGEST_PART)
        before, total = total, max(float((window * products).sum()) / n**2, variance / n) / (1 - f)
        if total == before:
            break
    return MeanVariance(value=total, df=1 / f - 1)


def _first_lag_below(correlation: NDArray[np.float64], measured: NDArray[np.bool_]) -> int:
    low = np.flatnonzero((correlation < _NO_CORRELATION) | ~measured)
    low = low[low > 0]
    return int(low[0]) if len(low) else len(correlation)


def _cells(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Row and column of each tile on a grid whose step is the distance between neighbours."""
    place = np.stack([np.asarray(y, float), np.asarray(x, float)], axis=1)
    place -= place.min(axis=0)
    some = place[:: max(1, len(place) // _SOME)]
    gaps = cKDTree(place).query(some, k=2)[0][:, 1]
    step = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 1.0
    step *= max(1.0, float(np.sqrt(np.prod(place.max(axis=0) / step + 1) / _MOST_CELLS)))
    cells = np.rint(place / step).astype(int)
    return cells[:, 0], cells[:, 1]


def _pairs(
    residual: NDArray[np.float64], rows: NDArray[np.int_], columns: NDArray[np.int_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sum of products, number of pairs, and distance in steps, for every offset between two tiles."""
    shape = tuple(int(fft.next_fast_len(2 * (int(v.max()) + 1))) for v in (rows, columns))
    grids = np.zeros((2, *shape))
    np.add.at(grids[0], (rows, columns), residual)
    np.add.at(grids[1], (rows, columns), 1.0)
    products, pairs = fft.irfft2(np.abs(fft.rfft2(grids)) ** 2, shape)
    away = [np.minimum(np.arange(m), m - np.arange(m)) for m in shape]
    return products, pairs, np.hypot(away[0][:, None], away[1][None, :])
