"""Directions in which touching tiles agree: such tiles mostly show the same tissue, so that their differences are noise."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from pathosig.phenotypes.kmeans import normalise

_NEAR, _FAR = 0.99, 1.3


def neighbour_pairs(xy: np.ndarray, size: float) -> np.ndarray:
    """Pairs of tiles that touch without sharing pixels.

    Parameters
    ----------
    xy
        int[n, 2]: (x, y) of the top-left corners in level-0 pixels.
    size
        Side of a tile in level-0 pixels.

    Returns
    -------
    int[m, 2]
        Row numbers of both tiles, the smaller first, in ascending order; empty if no tiles touch.

    Examples
    --------
    >>> neighbour_pairs(np.array([[0, 0], [224, 0], [0, 224], [2000, 0]]), 224).tolist()
    [[0, 1], [0, 2]]
    """
    if len(xy) < 2:
        return np.zeros((0, 2), int)
    pairs = cKDTree(xy).query_pairs(_FAR * size, output_type="ndarray")
    apart = np.abs(np.subtract(xy[pairs[:, 0]], xy[pairs[:, 1]], dtype=float)).max(axis=1)
    pairs = pairs[apart >= _NEAR * size]
    return np.asarray(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))], int)


class NeighbourScatter:
    """Covariance of the differences between neighbouring tiles, summed slide by slide in bounded memory.

    Attributes
    ----------
    n_pairs
        Number of pairs added so far.
    """

    def __init__(self) -> None:
        self.n_pairs = 0
        self._sum: np.ndarray | None = None

    def add(self, first: np.ndarray, second: np.ndarray) -> None:
        """Add pairs of embeddings, float[m, d] each; they are scaled to length 1 first."""
        difference = normalise(np.asarray(first, np.float32)) - normalise(np.asarray(second, np.float32))
        scatter = (difference.T @ difference).astype(np.float64)
        self._sum = scatter if self._sum is None else self._sum + scatter
        self.n_pairs += len(difference)

    @property
    def covariance(self) -> np.ndarray | None:
        """float64[d, d]: half the mean outer product of the differences, the noise of one tile; None without pairs."""
        return None if self._sum is None or not self.n_pairs else self._sum / (2 * self.n_pairs)


def spatial_agreement(x: np.ndarray, slide: np.ndarray, local: np.ndarray) -> float:
    """How much less neighbouring tiles differ than any two tiles of the same slide.

    Parameters
    ----------
    x
        float[n, p].
    slide
        int[n].
    local
        float[p, p]: covariance of neighbours' differences (`NeighbourScatter.covariance`) in the same space.

    Returns
    -------
    float
        1 - (variance between neighbours) / (variance within slides): 0 if neighbours differ as much as any two
        tiles of a slide, 1 if they are equal. This is 1 minus Geary's c (1954).

    References
    ----------
    Geary (1954), The Incorporated Statistician 5.

    Examples
    --------
    >>> x, slide = np.array([[0.0], [1.0], [2.0], [3.0]]), np.zeros(4, int)
    >>> round(spatial_agreement(x, slide, local=np.array([[0.25]])), 2)
    0.85
    """
    count = np.bincount(slide)
    sums = np.zeros((len(count), x.shape[1]))
    np.add.at(sums, slide, x)
    centred = x - (sums / np.maximum(count, 1)[:, None])[slide]
    free = len(x) - int((count > 0).sum())
    within = float((centred.astype(np.float64) ** 2).sum()) / max(free, 1)
    return 1 - float(np.trace(local)) / within if within > 0 else 0.0


def spatial_basis(x: np.ndarray, local: np.ndarray, *, keep: int, shrink: float) -> np.ndarray:
    """Directions in which tiles differ most, relative to the differences between neighbouring tiles.

    Parameters
    ----------
    x
        float[n, p], centred.
    local
        float[p, p]: covariance of neighbours' differences.
    keep
        Number of directions to keep.
    shrink
        Weight, from 0 to 1, with which `local` is shrunk towards a multiple of the identity. This limits the scaling of
        directions in which neighbours hardly differ.

    Returns
    -------
    float64[p, min(keep, p)]
        One column for each direction, scaled to unit variance between neighbours.

    References
    ----------
    Switzer & Green (1984), min/max autocorrelation factors; Hatch, Kajarekar & Stolcke (2006),
    within-class covariance normalisation. Here pairs of neighbours take the place of classes.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 2)) * [1.0, 5.0]
    >>> direction = spatial_basis(x - x.mean(axis=0), np.eye(2), keep=1, shrink=0.1)
    >>> np.abs(direction).round(1).ravel()
    array([0., 1.])
    """
    p = x.shape[1]
    noise = (1 - shrink) * local + shrink * np.trace(local) / p * np.eye(p)
    values, vectors = np.linalg.eigh(noise)
    white = vectors / np.sqrt(np.clip(values, 1e-12, None)) @ vectors.T
    z = x @ white
    _, directions = np.linalg.eigh(np.cov(z.T).reshape(p, p))
    directions = directions[:, ::-1][:, : min(keep, p)]
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    return np.asarray(white @ (directions * signs), np.float64)
