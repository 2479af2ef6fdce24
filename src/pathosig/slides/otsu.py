"""Otsu's threshold of a histogram, without scikit-image, whose import takes longer than detecting the tissue of a slide."""

from __future__ import annotations

import numpy as np


def otsu(counts: np.ndarray, centres: np.ndarray) -> int:
    """Last bin of the lower of two classes that are chosen such that the variance between the classes is largest.

    Parameters
    ----------
    counts
        int[n] or float[n]: number of values in each bin.
    centres
        float[n]: value of each bin.

    Returns
    -------
    Index of a bin, 0 to n - 2.

    References
    ----------
    Otsu, N. (1979). A threshold selection method from gray-level histograms. IEEE Trans. SMC 9(1):
    between(t) = (mu w(t) - mu(t))^2 / (w(t) (1 - w(t))), where w(t) is the proportion of the values up to bin t, mu(t) their sum
    divided by the number of all values, and mu the mean of all values.

    Examples
    --------
    >>> otsu(np.array([5, 9, 1, 0, 2, 8]), np.arange(6.0))
    2
    """
    weight = np.cumsum(counts)
    total = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (total[-1] * weight / weight[-1] - total) ** 2 / (weight * (weight[-1] - weight))
    return int(np.argmax(np.nan_to_num(between[:-1], nan=0.0, posinf=0.0)))
