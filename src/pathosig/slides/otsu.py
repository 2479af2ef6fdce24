"""Otsu's threshold of a histogram, without scikit-image, whose import costs more than all the tissue of a slide."""

from __future__ import annotations

import numpy as np


def otsu(counts: np.ndarray, centres: np.ndarray) -> int:
    """The bin that ends the lower of two classes: the variance between them is largest there.

    Parameters
    ----------
    counts
        float or int[n]: how many values each bin holds.
    centres
        float[n]: the value of each bin.

    References
    ----------
    Otsu, N. (1979). A threshold selection method from gray-level histograms. IEEE Trans. SMC 9(1):
    between(t) = (mu w(t) - mu(t))^2 / (w(t) (1 - w(t))), with w the proportion and mu(t) the sum of the values up to bin t.
    """
    weight = np.cumsum(counts)
    total = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (total[-1] * weight / weight[-1] - total) ** 2 / (weight * (weight[-1] - weight))
    return int(np.argmax(np.nan_to_num(between[:-1], nan=0.0, posinf=0.0)))
