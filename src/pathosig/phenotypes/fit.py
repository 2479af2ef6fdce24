"""Fits a codebook on training tiles: projection, batch diagnostic, clusters, tree and scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import NotEstimableError
from pathosig.core.threads import one_blas_thread
from pathosig.core.words import counted
from pathosig.phenotypes.clusterers import find_centroids
from pathosig.phenotypes.codebook import Codebook
from pathosig.phenotypes.consensus import assign
from pathosig.phenotypes.distance import fit_distance
from pathosig.phenotypes.kmeans import normalise
from pathosig.phenotypes.projection import SpaceFacts, find_projection
from pathosig.phenotypes.spatial import NeighbourScatter
from pathosig.phenotypes.spec import PhenotypeSpec
from pathosig.phenotypes.tree import choose_coarse, cut_tree, group_centroids, grow_tree

_TILES_PER_GROUP = 10
_BATCH_RATIO = 20.0
"""Slides count as shifted if nearest neighbours share a slide more than this many times as often as by chance."""


@dataclass(frozen=True, kw_only=True)
class TrainingTiles:
    """Tiles that a codebook is fitted on.

    Attributes
    ----------
    embeddings
        float32[n, d].
    slide, patient, site
        int[n]: numbers of the slide, patient and site of each tile.
    neighbours
        Differences between touching tiles, collected over whole slides; None where positions are unknown.

    Examples
    --------
    >>> slide = np.repeat([0, 1], 3)
    >>> tiles = TrainingTiles(embeddings=np.eye(6, dtype=np.float32), slide=slide, patient=slide, site=np.zeros(6, int))
    >>> tiles.embeddings.shape, np.bincount(tiles.slide)
    ((6, 6), array([3, 3]))
    """

    embeddings: np.ndarray
    slide: np.ndarray
    patient: np.ndarray
    site: np.ndarray
    neighbours: NeighbourScatter | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FitFacts:
    """How a codebook was fitted, for health.json.

    Attributes
    ----------
    k_asked
        Number of HPCs in the settings; the codebook has fewer if there are few tiles or small groups were merged.
    n_training_tiles
        Number of tiles that the codebook was fitted on.
    space
        How the projection was found.
    batch
        Results of `batch_diagnostic`, and the limit of the ratio.
    batch_tripped, centred
        Whether slides count as shifted, and whether their means were removed before clustering.
    clusters
        Numbers that the clusterer reports about its fit.
    """

    k_asked: int
    n_training_tiles: int
    space: SpaceFacts
    batch: Mapping[str, float]
    batch_tripped: bool
    centred: bool
    clusters: Mapping[str, float]


def batch_diagnostic(
    x: np.ndarray, slide: np.ndarray, rng: np.random.Generator, *, neighbours: int = 10
) -> dict[str, float]:
    """How many times as often as by chance a tile's nearest neighbours come from its own slide.

    Parameters
    ----------
    x
        float32[n, p], unit vectors.
    slide
        int[n].
    rng
        Generator that samples the tiles whose neighbours are examined, if there are more than 1,500.
    neighbours
        Number of nearest neighbours of each tile.

    Returns
    -------
    dict
        ``observed`` and ``expected`` proportions of neighbours in the same slide, and their ``ratio``.

    Notes
    -----
    Some excess is to be expected, because a tissue pattern usually covers several tiles of a slide. Only a ratio far
    above this patchiness indicates a slide effect.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = normalise(rng.normal(size=(200, 4)))
    >>> slide = np.arange(200) % 4
    >>> shifted = normalise(x + np.eye(4)[slide])  # every slide is moved in another direction
    >>> [round(batch_diagnostic(v, slide, rng)["ratio"], 1) for v in (x, shifted)]
    [1.0, 2.7]
    """
    n = len(x)
    if n < 3 or len(np.unique(slide)) < 2:
        return {"observed": 0.0, "expected": 0.0, "ratio": 1.0}
    probe = np.sort(rng.choice(n, size=min(n, 1500), replace=False))
    k = min(neighbours, n - 1)
    similarity = x[probe] @ x.T
    similarity[np.arange(len(probe)), probe] = -2
    nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    observed = float((slide[nearest] == slide[probe][:, None]).mean())
    sizes = np.bincount(slide)
    expected = float(((sizes[slide[probe]] - 1) / (n - 1)).mean())
    return {"observed": observed, "expected": expected, "ratio": observed / max(expected, 1e-9)}


def _slide_offsets(x: np.ndarray, slide: np.ndarray, *, prior: float = 50.0) -> np.ndarray:
    """Difference of each slide's mean from the grand mean, shrunk by n / (n + prior), float32[slides, d]."""
    grand = x.mean(axis=0)
    count = np.bincount(slide)
    sums = np.zeros((len(count), x.shape[1]), np.float64)
    np.add.at(sums, slide, x)
    means = sums / np.maximum(count, 1)[:, None]
    return ((means - grand) * (count / (count + prior))[:, None]).astype(np.float32)


def adapted_k(spec: PhenotypeSpec, n: int) -> int:
    """The number of HPCs to fit: the setting, or fewer, so that there are ten training tiles for each.

    Parameters
    ----------
    spec
        `k` is the number in the settings.
    n
        Number of training tiles.

    Returns
    -------
    int
        At least 2.

    Raises
    ------
    NotEstimableError
        E_TOO_FEW_TILES if there are too few tiles for two groups.

    Examples
    --------
    >>> adapted_k(PhenotypeSpec(k=30), 5000), adapted_k(PhenotypeSpec(k=30), 120)
    (30, 12)
    """
    if n < 2 * _TILES_PER_GROUP:
        raise NotEstimableError(
            f"phenotypes: {counted(n, 'training tile')}; at least {2 * _TILES_PER_GROUP} are needed. Add slides of discovery "
            "patients, or lower min_tissue in [tiles] to keep more tiles.",
            code="E_TOO_FEW_TILES",
        )
    return max(2, min(spec.k, n // _TILES_PER_GROUP))


@one_blas_thread()
def fit_codebook(
    tiles: TrainingTiles, spec: PhenotypeSpec, labels: np.ndarray | None = None, *, display: bool = True
) -> tuple[Codebook, FitFacts]:
    """Fit a codebook and freeze it.

    Parameters
    ----------
    tiles
        Tiles of training patients only.
    spec
        Number of HPCs, method and space.
    labels
        int[n]: clusters that a trained network assigned (DL-CC); their means become the centroids.
    display
        False leaves out coarse groups and the calibration of the distance, which refits that only count HPCs do not need.

    Returns
    -------
    (Codebook, FitFacts)
        The frozen codebook, and how it was fitted.

    Raises
    ------
    NotEstimableError
        E_TOO_FEW_TILES if there are too few tiles.

    References
    ----------
    See `consensus_centroids` for the clusters, `spatial_basis` for the space and `ward_tree` for the tree.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> kind = rng.integers(0, 3, 240)
    >>> slide = np.arange(240) // 20
    >>> tiles = TrainingTiles(
    ...     embeddings=(4 * np.eye(16)[kind] + rng.normal(size=(240, 16))).astype(np.float32),
    ...     slide=slide, patient=slide, site=slide % 2, neighbours=None,
    ... )
    >>> codebook, facts = fit_codebook(tiles, PhenotypeSpec(k=3, runs=4, pca_dim=4), display=False)
    >>> codebook.k, np.unique(codebook.assign(tiles.embeddings).hpc[:, 0])
    (3, array([0, 1, 2], dtype=int16))
    """
    rng = np.random.default_rng(spec.seed)
    k = adapted_k(spec, len(tiles.embeddings))
    unit = normalise(tiles.embeddings)
    distance, moments = fit_distance(
        unit, patient=tiles.patient, slide=tiles.slide, seed=spec.seed, calibrate=display
    )
    pca = moments.principal(spec.pca_dim)
    projection, space = find_projection(unit, pca, slide=tiles.slide, neighbours=tiles.neighbours, spec=spec)
    x = normalise((unit - pca.mean) @ projection)
    batch = batch_diagnostic(x, tiles.slide, rng)
    tripped = batch["ratio"] > _BATCH_RATIO
    centred = spec.centre == "always" or (spec.centre == "auto" and tripped)
    fitted_on = x
    if centred:
        offsets = _slide_offsets(unit, tiles.slide)
        fitted_on = normalise((unit - offsets[tiles.slide] - pca.mean) @ projection)
    clusters: dict[str, float] = {}
    if labels is not None:
        centroids = np.stack([_mean_of(x, labels == g) for g in range(int(labels.max()) + 1)])
    else:
        centroids, clusters = find_centroids(fitted_on, k, rng, spec)
    nearest = assign(x, centroids)
    size = np.bincount(nearest, minlength=len(centroids))
    linkage = grow_tree(centroids, size)
    per_patient = len(x) / len(np.unique(tiles.patient))
    sums = np.zeros((len(centroids), x.shape[1]))
    np.add.at(sums, nearest, x)
    coarse = np.zeros((0, x.shape[1]), np.float32)
    if display:
        count = choose_coarse(x, nearest, linkage, tiles_per_patient=per_patient)
        coarse = group_centroids(x, nearest, cut_tree(linkage, count))
    codebook = Codebook(
        mean=pca.mean,
        projection=projection,
        centroids=centroids.astype(np.float32),
        radius=_radii(1 - np.einsum("ij,ij->i", x, centroids[nearest]), nearest, len(centroids)),
        temperature=spec.temperature,
        linkage=linkage,
        sums=sums.astype(np.float32),
        coarse=coarse,
        distance=distance,
        meta={"k": len(centroids), "method": spec.method, "spec": spec.to_dict(), "sizes": size.tolist()},
    )
    return codebook, FitFacts(
        k_asked=spec.k,
        n_training_tiles=len(x),
        space=space,
        batch={**batch, "limit": _BATCH_RATIO},
        batch_tripped=tripped,
        centred=centred,
        clusters=clusters,
    )


def _mean_of(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Direction of the mean. An empty group gets an arbitrary direction, so that later groups keep their numbers."""
    if not rows.any():
        out = np.zeros(x.shape[1], np.float32)
        out[-1] = 1
        return out
    mean = x[rows].mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)


def _radii(distance: np.ndarray, nearest: np.ndarray, k: int) -> np.ndarray:
    overall = float(np.percentile(distance, 95))
    out = np.full(k, max(overall, 1e-4), np.float32)
    for g in range(k):
        rows = distance[nearest == g]
        if len(rows) >= 10:
            out[g] = max(float(np.percentile(rows, 95)), 1e-4)
    return out
