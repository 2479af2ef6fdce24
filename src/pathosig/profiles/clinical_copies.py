"""Finds features that repeat the clinical table under another name, so that no outcome can predict itself."""

from __future__ import annotations

import warnings
from collections.abc import Collection

import numpy as np
import pandas as pd

from pathosig.core.errors import PathosigWarning
from pathosig.core.words import counted

_THE_SAME = 0.995
_LIKELY = 0.6
_FEWEST = 10
_FEWEST_APART = 3
_BLOCK = 1024
_SHOWN = 30


def without_clinical(
    slides: pd.DataFrame, clinical: pd.DataFrame, facts: Collection[str], *, table: str
) -> pd.DataFrame:
    """The features without those that repeat a clinical column under another name, in another unit or as ranks.

    An outcome, an age or a stage in the feature table would let the clinical data predict themselves. Copies are often
    disguised: days to birth are an age, and a logarithm of the follow-up is the follow-up. A feature is therefore taken to be
    a clinical column if the absolute correlation of their values or of their ranks is above 0.995.

    Parameters
    ----------
    slides
        One row for each slide, with patient_id and features.
    clinical
        One row for each patient: patient_id, the columns of numbers of patients.csv, and events as 0 and 1.
    facts
        Columns of `slides` that are not features.
    table
        Name of the feature table, for the warning.

    Returns
    -------
    DataFrame
        `slides` without the features that are copies; W_CLINICAL_FEATURE names them.
    """
    names = [c for c in slides.columns if c not in facts]
    others = [c for c in clinical.columns if c != "patient_id" and pd.api.types.is_numeric_dtype(clinical[c])]
    if not names or not others or len(slides) < _FEWEST:
        return slides
    x = slides[names].to_numpy(float)
    y = clinical.set_index("patient_id")[others].reindex(slides["patient_id"]).to_numpy(float)
    same: dict[str, str] = {}
    for transform in (_values, _ranks):
        best, strength = _likeliest(transform(x), transform(y))
        for j in np.flatnonzero(strength > _LIKELY):
            if names[j] not in same and _is_same(x[:, j], y[:, best[j]]):
                same[names[j]] = str(others[best[j]])
    if same:
        shown = dict(list(same.items())[:_SHOWN])
        text = f"{table}: {counted(len(same), 'feature repeats a column', 'features repeat columns')} of patients.csv (|r| > {_THE_SAME}) and {'is' if len(same) == 1 else 'are'} not used: {shown}."
        warnings.warn(PathosigWarning(text, code="W_CLINICAL_FEATURE"), stacklevel=2)
    return slides.drop(columns=list(same))


def _values(matrix: np.ndarray) -> np.ndarray:
    return matrix


def _ranks(matrix: np.ndarray) -> np.ndarray:
    return pd.DataFrame(matrix).rank().to_numpy(float)


def _standardised(matrix: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and length 1, 0 where missing, float32; precise enough to find candidates for `_is_same`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns without any value
        centred = matrix - np.nanmean(matrix, axis=0)
    centred = np.where(np.isfinite(centred), centred, 0.0)
    length = np.sqrt((centred**2).sum(axis=0))
    return np.asarray(centred / np.where(length > 0, length, 1.0), np.float32)


def _likeliest(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The column of y that correlates most with each column of x, int[p], and the absolute correlation, float[p]."""
    a, b = _standardised(x), _standardised(y)
    best = np.zeros(a.shape[1], int)
    strength = np.zeros(a.shape[1], np.float32)
    for start in range(0, b.shape[1], _BLOCK):
        r = np.abs(a.T @ b[:, start : start + _BLOCK])
        where = r.argmax(axis=1)
        top = r[np.arange(len(where)), where]
        better = top > strength
        best[better], strength[better] = where[better] + start, top[better]
    return best, strength


def _is_same(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether two columns agree, as values or as ranks, over enough patients whose values differ."""
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < _FEWEST:
        return False
    a, b = x[both], y[both]
    for values in (a, b):
        counts = np.unique(values, return_counts=True)[1]
        if len(values) - counts.max() < _FEWEST_APART:
            return False
    for p, q in ((a, b), (pd.Series(a).rank().to_numpy(), pd.Series(b).rank().to_numpy())):
        if abs(float(np.corrcoef(p, q)[0, 1])) > _THE_SAME:
            return True
    return False
