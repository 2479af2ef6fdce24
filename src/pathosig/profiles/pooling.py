"""Pools profiles of slides or cores into profiles of patients, by a declared policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from pathosig.core.errors import ConfigError, InputError
from pathosig.profiles.tree import close_without, hpc_column

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Policy = Literal["pooled", "mean", "worst", "per_core"]
NOT_FEATURES = ("slide_id", "patient_id", "n_tiles", "n_slides")
"""Columns of a table of profiles that are not features."""


def slide_profiles(slides: pd.DataFrame, counts: np.ndarray, artefacts: Sequence[int] = ()) -> pd.DataFrame:
    """Shares of HPCs in each slide, from tile counts.

    Parameters
    ----------
    slides
        slide_id and patient_id, one row for each slide.
    counts
        float[slides, k]: number of tiles (or sum of confidences) in each HPC.
    artefacts
        HPCs that are removed before the shares of the others are scaled to add up to 1.

    Returns
    -------
    DataFrame
        The ids, n_tiles, artefact_share and one column for each HPC. Slides that consist of artefacts only are left out.
    """
    tiles = counts.sum(1)
    closed, taken = close_without(counts / np.maximum(tiles, 1)[:, None], artefacts)
    table = slides.reset_index(drop=True)
    table["n_tiles"], table["artefact_share"] = np.rint(tiles * (1 - taken)).astype(np.int32), taken
    names = [hpc_column(i) for i in range(counts.shape[1])]
    out = pd.concat([table, pd.DataFrame(closed, columns=names)], axis=1)
    return out[out["n_tiles"] > 0].reset_index(drop=True)


def pool_patients(
    slides: pd.DataFrame,
    *,
    policy: Policy = "pooled",
    score: ArrayLike | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Pool slides or cores into one row for each patient.

    Parameters
    ----------
    slides
        One row for each slide or core: patient_id, n_tiles and shares or features; missing features are NaN.
    policy
        ``pooled``: every tile has the same weight. ``mean``: every slide has the same weight. ``worst``: the slide with
        the highest `score` represents the patient. ``per_core``: rows are not pooled.
    score
        Risk score of every row, float[rows]; only for ``worst``.
    columns
        Columns to pool; by default every numeric column except the counts.

    Returns
    -------
    DataFrame
        patient_id, n_slides, n_tiles and the pooled columns, sorted by patient_id.

    Raises
    ------
    InputError
        If patient_id is missing.
    ConfigError
        If the policy is unknown, or ``worst`` has no scores.

    Examples
    --------
    >>> slides = pd.DataFrame({"patient_id": ["P1", "P1"], "n_tiles": [300, 100], "hpc_00": [0.2, 0.6]})
    >>> for policy in ("pooled", "mean"):
    ...     print(round(pool_patients(slides, policy=policy)["hpc_00"].item(), 3))
    0.3
    0.4
    """
    if "patient_id" not in slides:
        message = f"profiles: no column patient_id; found {list(slides.columns)[:10]}."
        raise InputError(message)
    if policy not in ("pooled", "mean", "worst", "per_core"):
        message = f"policy {policy!r}: expected pooled, mean, worst or per_core."
        raise ConfigError(message)
    names = list(columns) if columns is not None else _numeric(slides)
    tiles = slides["n_tiles"].to_numpy(float) if "n_tiles" in slides else np.zeros(len(slides))
    patient = slides["patient_id"].astype(str)
    if policy == "per_core":
        patients = pd.DataFrame({"patient_id": patient, "n_slides": 1, "n_tiles": tiles.astype(np.int32)})
        ids = [slides[["slide_id"]]] if "slide_id" in slides else []
        table = pd.concat([patients, *ids, slides[names]], axis=1)
        return table.sort_values(["patient_id", *(["slide_id"] if ids else [])]).reset_index(drop=True)
    matrix = slides[names].to_numpy(float)
    keys, inverse = np.unique(patient.to_numpy(str), return_inverse=True)
    if policy == "worst":
        if score is None:
            message = "policy 'worst': needs the score of every slide."
            raise ConfigError(message)
        pooled = matrix[_highest(np.asarray(score, float), inverse, len(keys))]
    else:
        weight = tiles if policy == "pooled" and (tiles > 0).any() else np.ones(len(slides))
        pooled = _weighted_mean(matrix, weight, inverse, len(keys))
    out = pd.DataFrame(
        {
            "patient_id": keys.astype(object),
            "n_slides": np.bincount(inverse, minlength=len(keys)).astype(np.int32),
            "n_tiles": np.bincount(inverse, weights=tiles, minlength=len(keys)).astype(np.int32),
        }
    )
    return pd.concat([out, pd.DataFrame(pooled, columns=names)], axis=1)


def _numeric(slides: pd.DataFrame) -> list[str]:
    numeric = slides.select_dtypes(include=["number", "bool"]).columns
    return [c for c in numeric if c not in NOT_FEATURES]


def _weighted_mean(matrix: np.ndarray, weight: np.ndarray, group: np.ndarray, n: int) -> np.ndarray:
    """Weighted mean of every column in every group, over rows without missing value, float[n, columns]."""
    finite = np.isfinite(matrix)
    rows = weight[:, None] * finite
    top, bottom = np.zeros((n, matrix.shape[1])), np.zeros((n, matrix.shape[1]))
    np.add.at(top, group, np.where(finite, matrix, 0.0) * rows)
    np.add.at(bottom, group, rows)
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


def _highest(score: np.ndarray, group: np.ndarray, n: int) -> np.ndarray:
    """Row with the highest score of every group, int[n]; of equal scores the first row."""
    order = np.lexsort((-score, group))
    first = np.searchsorted(group[order], np.arange(n))
    return np.asarray(order[first])
