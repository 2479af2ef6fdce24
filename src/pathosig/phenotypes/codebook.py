"""The frozen codebook: from an embedding to a phenotype, the same for one tile as for a million."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pathosig.core.errors import InputError, PathosigError
from pathosig.core.records import atomic_path
from pathosig.phenotypes import nearest
from pathosig.phenotypes.kmeans import normalise
from pathosig.phenotypes.nearest import TOGETHER, best_of_columns, in_one_pass, minus_outer, projected
from pathosig.phenotypes.refine import Residual

_COLD = 1 / 80
"""Below this temperature exp(1 / temperature) leaves the range of float32."""


class Clusterer(Protocol):
    """What every way of finding phenotypes offers."""

    def fit(self, x: np.ndarray, rng: np.random.Generator) -> Clusterer:
        """Learn from rows x[n, d]."""
        ...

    def assign(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(hpc int[n], confidence float[n] in 0..1) of each row."""
        ...


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Phenotypes of tiles.

    Attributes
    ----------
    hpc
        int16[n, 3]: the three nearest, best first (-1 where there are fewer).
    confidence
        float32[n, 3]: soft assignment to them.
    distance
        float32[n]: 1 - cosine to the own centroid, in units of that HPC's 95th percentile in
        training; above about 1.5 a tile is unlike anything seen.
    """

    hpc: np.ndarray
    confidence: np.ndarray
    distance: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Codebook:
    """Projection, centroids and scales, all frozen.

    Attributes
    ----------
    mean
        float32[d]: of L2-normalised training embeddings.
    projection
        float32[d, p].
    centroids
        float32[k, p], length 1.
    radius
        float32[k]: 95th percentile of the distance in training.
    temperature
        Of the soft assignment.
    linkage
        float64[k - 1, 4]: the Ward tree.
    residual
        Refinement of projected tiles, None without.
    meta
        K, encoder identity, mpp, Spec: JSON-able.
    """

    mean: np.ndarray
    projection: np.ndarray
    centroids: np.ndarray
    radius: np.ndarray
    temperature: float
    linkage: np.ndarray
    meta: dict[str, Any] = field(default_factory=dict)
    residual: Residual | None = None

    @property
    def k(self) -> int:
        """Number of HPCs."""
        return len(self.centroids)

    def project(self, embeddings: np.ndarray) -> np.ndarray:
        """Unit vectors float32[n, p] in which centroids live.

        Raises
        ------
        InputError
            E_DIM if the embeddings have another length than those the codebook was made from.
        """
        self._check(embeddings)
        x = normalise(np.asarray(embeddings, np.float32))
        projected = normalise((x - self.mean) @ self.projection)
        return projected if self.residual is None else self.residual.apply(projected)

    def _check(self, embeddings: np.ndarray) -> None:
        if embeddings.ndim != 2 or embeddings.shape[1] != len(self.mean):
            raise InputError(
                f"codebook: made from embeddings of length {len(self.mean)}, found {embeddings.shape}. "
                "Use the same encoder.",
                code="E_DIM",
            )

    def assign(self, embeddings: np.ndarray) -> Assignment:
        """Phenotypes of embeddings[n, d], a few rows at a time in bounded memory.

        The same as ``project(embeddings) @ centroids.T``, with the lengths divided out after the products, up to the last
        bits, which decide between HPCs equally near but for rounding. Of exactly equal similarities the first wins.
        With the compiled kernel a tile's result depends on that tile only; without it the last bits depend on how many
        rows the BLAS multiplies at once.
        """
        self._check(embeddings)
        n = len(embeddings)
        hpc, confidence = np.full((3, n), -1, np.int16), np.zeros((3, n), np.float32)
        distance = np.empty(n, np.float32)
        if nearest.LANES:
            in_one_pass(
                embeddings, self._matrices(), (hpc, confidence, distance),
                radius=self.radius, sharpness=1 / self.temperature,
            )  # fmt: skip
        else:
            self._assign_by_blocks(embeddings, hpc, confidence, distance=distance)
        return Assignment(hpc=hpc.T, confidence=confidence.T, distance=distance)

    def _matrices(self) -> tuple[np.ndarray, ...]:
        """Projection, refinement and centroids as `in_one_pass` takes them."""
        projection = np.vstack([self.projection, self.mean @ self.projection])
        if self.residual is None:
            return projection, self.centroids.T
        hidden = np.vstack([self.residual.w1, self.residual.b1])
        return projection, hidden, self.residual.w2, self.centroids.T

    def _assign_by_blocks(
        self, embeddings: np.ndarray, hpc: np.ndarray, confidence: np.ndarray, *, distance: np.ndarray
    ) -> None:
        n, top = len(embeddings), min(3, self.k)
        offset = self.mean @ self.projection
        ones = np.ones(self.k, np.float32)
        temperature = np.float32(self.temperature)
        logits, weights = np.empty((2, self.k * min(n, TOGETHER)), np.float32)
        for rows, z, length in projected(embeddings, self.projection):
            z = minus_outer(z, length, offset)
            if self.residual is not None:
                z = self.residual.apply(normalise(z))
            logit = logits[: self.k * len(z)].reshape(self.k, len(z))
            weight = weights[: logit.size].reshape(logit.shape)
            np.matmul(self.centroids, z.T, out=logit)
            logit *= 1 / np.maximum(np.sqrt(np.vecdot(z, z)), 1e-18) / temperature
            highest = logit.max(axis=0) if self.temperature < _COLD else np.float32(0)
            finite = np.subtract(logit, highest, out=weight) if self.temperature < _COLD else logit
            total = ones @ np.exp(finite, out=weight)
            best, value = best_of_columns(logit, top)
            hpc[:top, rows] = best
            distance[rows] = (1 - value[0] * temperature) / self.radius[best[0]]
            np.divide(np.exp(value - highest), total, out=confidence[:top, rows])

    def labels(self, embeddings: np.ndarray) -> np.ndarray:
        """HPC of each row, int32[n]; the fast way when nothing else is wanted.

        Without a refinement the two products are one: an embedding with projection times centroids.
        """
        self._check(embeddings)
        matrices = self._matrices()
        if self.residual is None:
            matrices = (matrices[0] @ matrices[1],)
        if nearest.LANES:
            first = np.empty((1, len(embeddings)), np.int16)
            in_one_pass(embeddings, matrices, (first,))
            return first[0].astype(np.int32)
        out = np.empty(len(embeddings), np.int32)
        for rows, product, length in projected(embeddings, matrices[0][:-1]):
            similarity = minus_outer(product, length, matrices[0][-1])
            if self.residual is not None:
                similarity = self.residual.apply(normalise(similarity)) @ matrices[-1]
            out[rows] = similarity.argmax(axis=1)
        return out

    def save(self, path: Path) -> None:
        """Write as safetensors, metadata inside."""
        from safetensors.numpy import save_file

        tensors = {
            "mean": self.mean.astype(np.float32),
            "projection": np.ascontiguousarray(self.projection, np.float32),
            "centroids": np.ascontiguousarray(self.centroids, np.float32),
            "radius": self.radius.astype(np.float32),
            "linkage": np.ascontiguousarray(self.linkage, np.float64),
        }
        if self.residual is not None:
            for name in ("w1", "b1", "w2"):
                tensors[f"residual.{name}"] = np.ascontiguousarray(getattr(self.residual, name), np.float32)
        meta = {"pathosig": json.dumps({"temperature": self.temperature, **self.meta}, sort_keys=True)}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata=meta)

    @classmethod
    def load(cls, path: Path) -> Codebook:
        """Read what `save` wrote.

        Raises
        ------
        PathosigError
            E_CODEBOOK if the file is missing or damaged.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                meta = json.loads((file.metadata() or {})["pathosig"])
            temperature = float(meta.pop("temperature"))
            network = {
                n: tensors.pop(f"residual.{n}") for n in ("w1", "b1", "w2") if f"residual.{n}" in tensors
            }
            residual = Residual(**network) if network else None
            return cls(temperature=temperature, meta=meta, residual=residual, **tensors)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise PathosigError(
                f"{path.name}: not a readable codebook ({type(error).__name__}). Run `pathosig phenotypes`.",
                code="E_CODEBOOK",
            ) from error
