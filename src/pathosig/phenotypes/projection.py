"""The space in which phenotypes are found: a PCA, then directions in which tissue varies more than noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import eigh

from pathosig.phenotypes.spatial import NeighbourScatter, spatial_agreement, spatial_basis
from pathosig.phenotypes.spec import PhenotypeSpec

_LEAST_AGREEMENT = 0.05
_SHRINK = 0.1
_SPATIAL_DIM = 64
_BLOCK = 2048


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Moments:
    """Count, sum, and sum of outer products of rows; moments of sets of rows can be added and subtracted.

    Attributes
    ----------
    n
        Number of rows.
    origin
        float32[d]: subtracted from every row first; only moments with the same origin can be combined.
    total
        float64[d]: sum of the rows.
    square
        float64[d, d]: sum of the outer products of the rows with themselves.
    """

    n: int
    origin: np.ndarray
    total: np.ndarray
    square: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, origin: np.ndarray) -> Self:
        """Moments of float32[n, d], computed in blocks of rows."""
        d = x.shape[1]
        total, square = np.zeros(d), np.zeros((d, d))
        for start in range(0, len(x), _BLOCK):
            block = x[start : start + _BLOCK] - origin
            total += block.sum(axis=0, dtype=np.float64)
            square += block.T @ block
        return cls(n=len(x), origin=origin, total=total, square=square)

    def plus(self, other: Moments, sign: int = 1) -> Moments:
        """Moments of both sets of rows together; ``sign=-1`` removes the other rows from these instead."""
        return Moments(
            n=self.n + sign * other.n,
            origin=self.origin,
            total=self.total + sign * other.total,
            square=self.square + sign * other.square,
        )

    def principal(self, dim: int) -> Principal:
        """The PCA of the rows, with at most `dim` components and fewer components than rows."""
        shift = self.total / max(self.n, 1)
        covariance = (self.square - self.n * np.outer(shift, shift)) / max(self.n - 1, 1)
        d = len(covariance)
        p = max(1, min(dim, d, self.n - 1))
        values, vectors = eigh(covariance, subset_by_index=(d - p, d - 1))
        values, vectors = np.clip(values[::-1], 1e-12, None), vectors[:, ::-1]
        signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(p)])
        return Principal(
            mean=(self.origin + shift).astype(np.float32),
            vectors=vectors * signs,
            values=values,
            variance=max(float(np.trace(covariance)), 1e-12),
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Principal:
    """Principal components.

    Attributes
    ----------
    mean
        float32[d]: mean of the rows.
    vectors
        float64[d, p]: components of length 1, in each of which the entry largest in absolute value is positive.
    values
        float64[p]: variance along each component, in descending order.
    variance
        Total variance in all d dimensions.
    """

    mean: np.ndarray
    vectors: np.ndarray
    values: np.ndarray
    variance: float

    def basis(self, whiten: float = 0.0) -> np.ndarray:
        """float32[d, p]: each component divided by its variance to the power ``whiten / 2``."""
        return np.ascontiguousarray(self.vectors / self.values ** (whiten / 2), np.float32)


def principal_components(x: np.ndarray, dim: int) -> Principal:
    """The principal components of some rows.

    Parameters
    ----------
    x
        float32[n, d].
    dim
        Number of components; fewer are returned if there are too few rows or columns.

    Returns
    -------
    Principal

    Examples
    --------
    >>> pca = principal_components(np.array([[0, 0], [2, 0], [0, 1], [2, 1]], np.float32), 2)
    >>> pca.values.round(3), pca.vectors.round(3)
    (array([1.333, 0.333]), array([[ 1., -0.],
           [ 0.,  1.]]))
    """
    return Moments.of(x, x.mean(axis=0, dtype=np.float64).astype(np.float32)).principal(dim)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpaceFacts:
    """How the space was found, for health.json.

    Attributes
    ----------
    explained_variance
        Proportion of the variance that the PCA keeps.
    whitened
        Whether the space was scaled by the noise between neighbouring tiles.
    pairs
        Number of pairs of touching tiles.
    agreement
        Result of `spatial_agreement`; NaN without pairs.
    """

    explained_variance: float
    whitened: bool
    pairs: int
    agreement: float


def find_projection(
    unit: np.ndarray,
    pca: Principal,
    *,
    slide: np.ndarray,
    neighbours: NeighbourScatter | None,
    spec: PhenotypeSpec,
) -> tuple[np.ndarray, SpaceFacts]:
    """The projection of a codebook, and how it was found.

    If touching tiles are more alike than other tiles of their slide (`spatial_agreement`), the remaining
    differences between them are taken as noise, and the space is scaled by that noise (`spatial_basis`).

    Parameters
    ----------
    unit
        float32[n, d], rows of length 1.
    pca
        Principal components of `unit`.
    slide
        int[n]: slide of each tile.
    neighbours
        Differences between touching tiles, in the space of `unit`; None if there are none.
    spec
        Settings, of which `whiten` and `spatial` are used.

    Returns
    -------
    (float32[d, p], SpaceFacts)

    Examples
    --------
    >>> unit = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    >>> unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    >>> pca = principal_components(unit, 3)
    >>> projection, facts = find_projection(
    ...     unit, pca, slide=np.zeros(50, int), neighbours=None, spec=PhenotypeSpec()
    ... )
    >>> projection.shape, round(facts.explained_variance, 2)
    ((6, 3), 0.62)
    """
    projection = pca.basis(spec.whiten)
    explained = float(pca.values.sum() / pca.variance)
    local = neighbours.covariance if neighbours is not None and spec.spatial != "never" else None
    if local is None or neighbours is None:
        nothing = SpaceFacts(explained_variance=explained, whitened=False, pairs=0, agreement=float("nan"))
        return projection, nothing
    x = (unit - pca.mean) @ projection
    inside = projection.T @ local @ projection
    agreement = spatial_agreement(x, slide, inside)
    enough = neighbours.n_pairs >= 2 * projection.shape[1]
    whitened = enough and (spec.spatial == "always" or agreement >= _LEAST_AGREEMENT)
    if whitened:
        basis = spatial_basis(x.astype(np.float64), inside, keep=_SPATIAL_DIM, shrink=_SHRINK)
        projection = (projection.astype(np.float64) @ basis).astype(np.float32)
    return projection, SpaceFacts(
        explained_variance=explained, whitened=whitened, pairs=neighbours.n_pairs, agreement=agreement
    )
