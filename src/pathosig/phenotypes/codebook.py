"""The frozen codebook, which assigns a phenotype to an embedding; the other tiles of a call make no difference."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pathosig.core.errors import InputError, PathosigError
from pathosig.core.records import atomic_path
from pathosig.core.showing import Shown
from pathosig.core.threads import one_blas_thread
from pathosig.phenotypes.distance import Distance, Shift, TileDistance
from pathosig.phenotypes.kmeans import normalise
from pathosig.phenotypes.nearest import ExactMatrix, best_of_columns, products
from pathosig.phenotypes.tree import cut_tree, group_centroids


class Clusterer(Protocol):
    """The interface of every method of finding phenotypes.

    Examples
    --------
    >>> class Halves:
    ...     def fit(self, x, rng):
    ...         return self
    ...     def assign(self, x):
    ...         return (x[:, 0] > 0).astype(int), np.ones(len(x))
    >>> Halves().fit(np.zeros((0, 2)), np.random.default_rng(0)).assign(np.array([[-1.0, 0.0], [2.0, 0.0]]))[0]
    array([0, 1])
    """

    def fit(self, x: np.ndarray, rng: np.random.Generator) -> Clusterer:
        """Learn from rows x[n, d]."""
        ...

    def assign(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cluster of each row, int[n], and confidence, float[n] in 0..1."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """Phenotypes of tiles.

    Attributes
    ----------
    hpc
        int16[n, 3]: the three nearest HPCs, nearest first (-1 where there are fewer).
    confidence
        float32[n, 3]: soft assignment to the three.
    distance
        float32[n]: 1 - cosine to the nearest centroid, divided by that HPC's 95th percentile in training.
    coarse
        int16[n]: the coarse group with the nearest centroid, -1 without coarse groups. The tree may place the tile's
        HPC in another group.
    unlike
        How far each tile lies from all training tiles.

    Examples
    --------
    >>> from pathosig.phenotypes import PhenotypeSpec, TrainingTiles, fit_codebook
    >>> x, slide = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32), np.repeat(np.arange(3), 20)
    >>> tiles = TrainingTiles(embeddings=x, slide=slide, patient=slide, site=np.zeros(60, int))
    >>> book, _ = fit_codebook(tiles, PhenotypeSpec(method="kmeans", k=3, pca_dim=4))
    >>> assignment = book.assign(x[:5])
    >>> assignment.hpc.shape, assignment.confidence.sum(axis=1).round(3)
    ((5, 3), array([1., 1., 1., 1., 1.], dtype=float32))
    """

    hpc: np.ndarray
    confidence: np.ndarray
    distance: np.ndarray
    coarse: np.ndarray
    unlike: TileDistance

    @property
    def shift(self) -> Shift:
        """How far the tiles lie from the training tiles on average; `Distance.unlike` judges it."""
        return Shift.of(self.unlike)


@dataclass(frozen=True, kw_only=True)
class Codebook(Shown):
    """Projection, centroids and scales, all frozen.

    Attributes
    ----------
    mean
        float32[d]: mean of the L2-normalised training embeddings.
    projection
        float32[d, p].
    centroids
        float32[k, p], length 1.
    radius
        float32[k]: 95th percentile of the distance of training tiles from their centroid.
    temperature
        Temperature of the soft assignment.
    linkage
        float64[k - 1, 4]: the Ward tree.
    sums
        float32[k, p]: sum of the training tiles of each HPC, from which the centroids of groups at any level follow.
    coarse
        float32[g, p], length 1: centroids of the coarse groups that reports show.
    distance
        Recognises tiles and slides outside the training distribution.
    meta
        K, the encoder's identity and the Spec, as values that can be written as JSON.

    Examples
    --------
    >>> from pathosig.phenotypes import PhenotypeSpec, TrainingTiles, fit_codebook
    >>> x, slide = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32), np.repeat(np.arange(3), 20)
    >>> tiles = TrainingTiles(embeddings=x, slide=slide, patient=slide, site=np.zeros(60, int))
    >>> book, _ = fit_codebook(tiles, PhenotypeSpec(method="kmeans", k=3, pca_dim=4))
    >>> book.k, bool((book.labels(x) == book.assign(x).hpc[:, 0]).all())
    (3, True)
    """

    mean: np.ndarray
    projection: np.ndarray
    centroids: np.ndarray
    radius: np.ndarray
    temperature: float
    linkage: np.ndarray
    sums: np.ndarray
    coarse: np.ndarray
    distance: Distance
    meta: dict[str, object] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"Codebook({self.k} HPCs, {len(self.coarse)} coarse groups, embeddings of length {len(self.mean)} "
            f"in {self.projection.shape[1]} dimensions)"
        )

    @property
    def k(self) -> int:
        """Number of HPCs."""
        return len(self.centroids)

    def project(self, embeddings: np.ndarray) -> np.ndarray:
        """Unit vectors in the space of the centroids, float32[n, p], from float[n, d].

        Raises
        ------
        InputError
            E_DIM if the embeddings differ in length from those that the codebook was fitted on.
        """
        self._check(embeddings)
        x = normalise(np.asarray(embeddings, np.float32))
        return normalise((x - self.mean) @ self.projection)

    def _check(self, embeddings: np.ndarray) -> None:
        if embeddings.ndim != 2 or embeddings.shape[1] != len(self.mean):
            raise InputError(
                f"codebook: fitted on embeddings of length {len(self.mean)}, found an array of shape {embeddings.shape}. "
                "Use the encoder that the codebook was fitted with.",
                code="E_DIM",
            )

    @one_blas_thread()
    def assign(self, embeddings: np.ndarray) -> Assignment:
        """Phenotypes of embeddings, float[n, d], in bounded memory.

        The result for a tile depends on that tile only, to the last bit: it is the same whether the tile is passed alone,
        with its slide or among imported features. Of exactly equal similarities the first wins.

        Raises
        ------
        InputError
            E_DIM if the embeddings differ in length from those that the codebook was fitted on.
        """
        self._check(embeddings)
        n, k, p = len(embeddings), self.k, self.projection.shape[1]
        top = min(3, k)
        hpc, confidence = np.full((3, n), -1, np.int16), np.zeros((3, n), np.float32)
        distance, coarse = np.empty(n, np.float32), np.full(n, -1, np.int16)
        unlike = np.empty((2, n), np.float32)
        matrix = np.hstack([self.projection, self.distance.basis, self.distance.mean[:, None]])
        offset = self._offset()
        together = ExactMatrix.of(np.concatenate([self.centroids, self.coarse]).T)
        temperature = np.float32(self.temperature)
        for rows, product, size in products(embeddings, matrix):
            count = rows.stop - rows.start
            unlike[:, rows] = self.distance.from_products(product[:, p:] / size[:, None])[:, :count]
            z = product[:, :p] - size[:, None] * offset
            length = np.maximum(np.sqrt(np.vecdot(z, z)), 1e-18)
            cosine = np.ascontiguousarray(together.after(z).T) / length
            if len(self.coarse):
                coarse[rows] = cosine[k:].argmax(axis=0)[:count]
            logit = cosine[:k] / temperature
            highest = logit.max(axis=0)
            total = np.exp(logit - highest).sum(axis=0)
            best, value = best_of_columns(logit, top)
            hpc[:top, rows] = best[:, :count]
            distance[rows] = ((1 - value[0] * temperature) / self.radius[best[0]])[:count]
            confidence[:top, rows] = (np.exp(value - highest) / total)[:, :count]
        tiles = TileDistance(residual=unlike[0], mahalanobis=unlike[1])
        return Assignment(hpc=hpc.T, confidence=confidence.T, distance=distance, coarse=coarse, unlike=tiles)

    def labels(self, embeddings: np.ndarray) -> np.ndarray:
        """HPC of each row, int32[n]; the same as the nearest HPC from `assign`."""
        return self._nearest(embeddings, self.centroids)

    def coarse_labels(self, embeddings: np.ndarray) -> np.ndarray:
        """Coarse group of each row, int32[n]; the same as from `assign`."""
        return self._nearest(embeddings, self.coarse)

    def level_labels(self, embeddings: np.ndarray, groups: int) -> np.ndarray:
        """Group of each row when the tree is cut into `groups`, int32[n]: the group with the nearest centroid."""
        cut = cut_tree(self.linkage, groups)
        return self._nearest(embeddings, group_centroids(self.sums, np.arange(self.k), cut))

    def _offset(self) -> np.ndarray:
        return ExactMatrix.of(self.projection).after(np.atleast_2d(self.mean))[0]

    @one_blas_thread()
    def _nearest(self, embeddings: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        self._check(embeddings)
        out = np.empty(len(embeddings), np.int32)
        offset, towards = self._offset(), ExactMatrix.of(centroids.T)
        for rows, product, size in products(embeddings, self.projection):
            z = product - size[:, None] * offset
            out[rows] = towards.after(z).argmax(axis=1)[: rows.stop - rows.start]
        return out

    def save(self, path: Path) -> None:
        """Write the codebook to one safetensors file, including its metadata."""
        tensors = {
            "mean": self.mean.astype(np.float32),
            "projection": np.ascontiguousarray(self.projection, np.float32),
            "centroids": np.ascontiguousarray(self.centroids, np.float32),
            "radius": self.radius.astype(np.float32),
            "linkage": np.ascontiguousarray(self.linkage, np.float64),
            "sums": np.ascontiguousarray(self.sums, np.float32),
            "coarse": np.ascontiguousarray(self.coarse, np.float32),
            **self.distance.tensors(),
        }
        meta = {"pathosig": json.dumps({"temperature": self.temperature, **self.meta}, sort_keys=True)}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata=meta)

    @classmethod
    def load(cls, path: Path) -> Codebook:
        """Read what `save` wrote.

        Raises
        ------
        PathosigError
            E_CODEBOOK if the file is missing, damaged, or of an earlier version.
        """
        try:
            with safe_open(path, "numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                meta = json.loads((file.metadata() or {})["pathosig"])
            distance = Distance.from_tensors(tensors)
            tensors = {name: t for name, t in tensors.items() if not name.startswith("distance.")}
            return cls(temperature=float(meta.pop("temperature")), meta=meta, distance=distance, **tensors)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise PathosigError(
                f"{path.name}: not a readable codebook ({type(error).__name__}). Run `pathosig phenotypes`.",
                code="E_CODEBOOK",
            ) from error
