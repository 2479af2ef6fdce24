"""Strata and clusters of patients as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from pathosig.core.errors import InputError
from pathosig.core.words import counted


def group_codes(values: Any, n: int, *, what: str) -> np.ndarray:
    """Numbers of strata or clusters, int[n]; zeros for None.

    Parameters
    ----------
    values
        [n] labels, [n, s] labels whose combinations are the groups, or None.
    n
        Number of rows.
    what
        What the message of an error calls the labels.

    Returns
    -------
    int[n], from 0 in the order of the sorted labels.

    Raises
    ------
    InputError
        E_GROUP for missing labels or a wrong number of them.

    Examples
    --------
    >>> group_codes(["b", "a", "b"], 3, what="strata")
    array([1, 0, 1])
    """
    return labelled_codes(values, n, what=what)[0]


def labelled_codes(values: Any, n: int, *, what: str) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Numbers of strata or clusters, int[n], and the labels of the groups in this order; zeros and no labels for None.

    Parameters
    ----------
    values
        [n] labels, [n, s] labels whose combinations are the groups, or None.
    n
        Number of rows.
    what
        What the message of an error calls the labels.

    Returns
    -------
    int[n], and one label per number; combinations of labels are tuples.

    Raises
    ------
    InputError
        E_GROUP for missing labels or a wrong number of them.

    Examples
    --------
    >>> labelled_codes(["b", "a", "b"], 3, what="strata")
    (array([1, 0, 1]), ('a', 'b'))
    """
    if values is None:
        return np.zeros(n, int), ()
    array = np.asarray(values)
    if len(array) != n:
        raise InputError(f"{what}: {len(array)} labels for {n} rows.", code="E_GROUP")
    missing = [i for i, v in enumerate(np.asarray(values, object).tolist()) if _is_missing(v)]
    if missing:
        raise InputError(
            f"{what}: {counted(len(missing), 'label is', 'labels are')} missing, at rows {missing[:5]}. Leave those patients out, or give them a "
            "label of their own.",
            code="E_GROUP",
        )
    if array.ndim == 2:
        rows, which = np.unique(array.astype(str), axis=0, return_inverse=True)
        return which.ravel(), tuple(map(tuple, rows.tolist()))
    plain = array.astype(str) if array.dtype == object else array
    labels, which = np.unique(plain, return_inverse=True)
    return which.ravel(), tuple(labels.tolist())


def _is_missing(label: Any) -> bool:
    if isinstance(label, list):
        return any(map(_is_missing, label))
    return label is None or (isinstance(label, float) and label != label) or str(label) in ("<NA>", "NaT")
