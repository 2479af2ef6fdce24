"""What differs between touching tiles is mostly noise: directions in which neighbours agree carry tissue."""

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
        int[n, 2]: upper left corners, level-0 pixels.
    size
        Side of a tile, level-0 pixels.

    Returns
    -------
    int[m, 2]
        Row numbers, smaller first, sorted; empty where tiles stand alone.

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
    """Sums up differences between neighbouring tiles, slide by slide, in bounded memory.

    Attributes
    ----------
    n_pairs
        Pairs seen.
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
        """float64[d, d]: half the mean squared difference, the noise of a single tile; None without pairs."""
        return None if self._sum is None or not self.n_pairs else self._sum / (2 * self.n_pairs)


def spatial_agreement(x: np.ndarray, slide: np.ndarray, local: np.ndarray) -> float:
    """How much less neighbours differ than any two tiles of their slide.

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
        1 - (variance between neighbours) / (variance within slides): 0 where neighbours are like any
        two tiles, 1 where they are equal. Geary's c (1954) is its complement.

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
    """Directions in which tiles differ more than neighbours do, each in units of the neighbours' difference.

    Parameters
    ----------
    x
        float[n, p], centred.
    local
        float[p, p]: covariance of neighbours' differences.
    keep
        Directions kept.
    shrink
        Weight in 0..1 of a multiple of the identity added to `local`, so that directions in which
        neighbours hardly differ are not blown up.

    Returns
    -------
    float64[p, min(keep, p)].

    References
    ----------
    Switzer & Green (1984), min/max autocorrelation factors; Hatch, Kajarekar & Stolcke (2006),
    within-class covariance normalisation. Here neighbours stand in for the class.

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
