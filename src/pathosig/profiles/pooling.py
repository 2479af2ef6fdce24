"""From slides or cores to patients, by a declared policy."""

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
"""Columns of a profile table that are no features."""


def slide_profiles(slides: pd.DataFrame, counts: np.ndarray, artefacts: Sequence[int] = ()) -> pd.DataFrame:
    """Shares of HPCs of slides from their tile counts: the ids, n_tiles, artefact_share and one column per HPC.

    Parameters
    ----------
    slides
        slide_id and patient_id, one row per slide.
    counts
        float[slides, k]: tiles (or confidence) per HPC.
    artefacts
        HPCs that are taken out before shares are closed; a slide with nothing else is left out.
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
    """One row per patient: patient_id, n_slides, n_tiles and the pooled columns, sorted by patient_id.

    Parameters
    ----------
    slides
        One row per slide or core: patient_id, n_tiles and shares or features; missing features are NaN.
    policy
        ``pooled``: every tile counts once (weights n_tiles). ``mean``: every slide counts once. ``worst``: the
        slide with the highest `score`. ``per_core``: rows stay as they are, one per core.
    score
        Risk score of every row, for ``worst``: float[n_rows].
    columns
        What to pool; every numeric column but the counts by default.

    Raises
    ------
    InputError
        If patient_id is missing.
    ConfigError
        If the policy is unknown, or ``worst`` comes without scores.
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
    """Mean of every column in every group over the rows where it is known."""
    finite = np.isfinite(matrix)
    rows = weight[:, None] * finite
    top, bottom = np.zeros((n, matrix.shape[1])), np.zeros((n, matrix.shape[1]))
    np.add.at(top, group, np.where(finite, matrix, 0.0) * rows)
    np.add.at(bottom, group, rows)
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


def _highest(score: np.ndarray, group: np.ndarray, n: int) -> np.ndarray:
    """Row of the highest score of every group; the first among equals."""
    order = np.lexsort((-score, group))
    first = np.searchsorted(group[order], np.arange(n))
    return np.asarray(order[first])
