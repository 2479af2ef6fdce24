"""The space phenotypes live in: PCA, then directions in which tissue, not noise, varies."""

from __future__ import annotations

from typing import Any

import numpy as np

from pathosig.phenotypes.spatial import NeighbourScatter, spatial_agreement, spatial_basis
from pathosig.phenotypes.spec import PhenotypeSpec

_LEAST_AGREEMENT = 0.05
_SHRINK = 0.1


def project_basis(x: np.ndarray, dim: int, whiten: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, PCA projection and explained shares of rows x[n, d].

    Returns
    -------
    (float32[d], float32[d, p], float64[p])
    """
    mean = x.mean(axis=0, dtype=np.float64)
    centred = x - mean
    p = max(1, min(dim, x.shape[1], len(x) - 1))
    covariance = (centred.T @ centred) / max(len(x) - 1, 1)
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    values, vectors = np.clip(values[::-1][:p], 1e-12, None), vectors[:, ::-1][:, :p]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(p)])
    vectors = vectors * signs
    total = max(float(np.trace(covariance)), 1e-12)
    return mean.astype(np.float32), (vectors / values ** (whiten / 2)).astype(np.float32), values / total


def find_projection(
    unit: np.ndarray, slide: np.ndarray, neighbours: NeighbourScatter | None, spec: PhenotypeSpec
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Mean and projection of a codebook.

    Where tiles that touch are more alike than tiles of a slide are (`spatial_agreement`), what still
    differs between them is taken for noise and divided out (`spatial_basis`).

    Parameters
    ----------
    unit
        float32[n, d], rows of length 1.
    slide
        int[n].
    neighbours
        Differences of touching tiles, in the space of `unit`.
    spec
        `pca_dim`, `whiten`, `spatial`, `spatial_dim`.

    Returns
    -------
    (mean float32[d], projection float32[d, p], facts for health.json)
    """
    mean, projection, explained = project_basis(unit, spec.pca_dim, spec.whiten)
    facts: dict[str, Any] = {"explained_variance": float(explained.sum())}
    local = neighbours.covariance if neighbours is not None and spec.spatial != "never" else None
    if local is None or neighbours is None:
        return mean, projection, {**facts, "spatial": {"used": False, "pairs": 0}}
    x = (unit - mean) @ projection
    inside = projection.T @ local @ projection
    agreement = spatial_agreement(x, slide, inside)
    enough = neighbours.n_pairs >= 2 * projection.shape[1]
    used = enough and (spec.spatial == "always" or agreement >= _LEAST_AGREEMENT)
    if used:
        basis = spatial_basis(x.astype(np.float64), inside, keep=spec.spatial_dim, shrink=_SHRINK)
        projection = (projection.astype(np.float64) @ basis).astype(np.float32)
    facts["spatial"] = {"used": used, "pairs": neighbours.n_pairs, "agreement": agreement}
    return mean, projection, facts
