"""The frozen codebook: from an embedding to a phenotype, the same for one tile as for a million."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pathosig.core.errors import InputError, PathosigError
from pathosig.core.records import atomic_path
from pathosig.phenotypes.kmeans import normalise
from pathosig.phenotypes.refine import Residual

_BLOCK = 4096
_SIGN_AND_VALUE = np.int32(-0x70002000)
_REBIAS = np.float32(2.0**112)
_MAYBE_INFINITE = 2.0**32


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

    def _products(self, embeddings: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Cosines to the centroids, block by block: (rows, float32[m, k]), the array valid until the next.

        The same as ``project(embeddings) @ centroids.T`` with the lengths divided out after the
        products, where rows are short.
        """
        self._check(embeddings)
        offset = self.mean @ self.projection
        buffer = np.empty((min(_BLOCK, len(embeddings)), len(self.mean)), np.float32)
        for start in range(0, len(embeddings), _BLOCK):
            rows = slice(start, min(len(embeddings), start + _BLOCK))
            x = buffer[: rows.stop - rows.start]
            squared = _read_rows(embeddings[rows], x)
            z = x @ self.projection
            z /= np.maximum(np.sqrt(squared), 1e-12)[:, None]
            z -= offset
            if self.residual is not None:
                z = self.residual.apply(normalise(z))
            yield rows, z, z @ self.centroids.T

    def assign(self, embeddings: np.ndarray) -> Assignment:
        """Phenotypes of embeddings[n, d], block by block in bounded memory."""
        n, top = len(embeddings), min(3, self.k)
        hpc = np.full((n, 3), -1, np.int16)
        confidence = np.zeros((n, 3), np.float32)
        distance = np.empty(n, np.float32)
        for rows, z, similarity in self._products(embeddings):
            similarity /= np.maximum(np.sqrt(np.einsum("ij,ij->i", z, z)), 1e-12)[:, None]
            every = np.arange(len(similarity))
            best = similarity.argmax(axis=1)
            value = similarity[every, best]
            distance[rows] = (1 - value) / self.radius[best]
            similarity -= value[:, None]
            similarity /= self.temperature
            weight = np.exp(similarity, out=similarity)
            total = weight.sum(axis=1)
            for place in range(top):
                if place:
                    best = weight.argmax(axis=1)
                hpc[rows, place] = best
                confidence[rows, place] = weight[every, best] / total
                weight[every, best] = -1.0
        return Assignment(hpc=hpc, confidence=confidence, distance=distance)

    def labels(self, embeddings: np.ndarray) -> np.ndarray:
        """HPC of each row, int32[n]; the fast way when nothing else is wanted."""
        out = np.empty(len(embeddings), np.int32)
        for rows, _, similarity in self._products(embeddings):
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


def _read_rows(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Copy rows into float32 `out`[m, d] and give back their squared lengths, float32[m].

    float16 is widened by moving its bits, six times as fast as numpy's own conversion. That is exact
    for finite numbers; where a row is long enough to hold an infinity or NaN, numpy does it again.
    """
    if rows.dtype == np.float16:
        bits = out.view(np.int32)
        np.copyto(bits, rows.view(np.int16))
        np.left_shift(bits, 13, out=bits)
        np.bitwise_and(bits, _SIGN_AND_VALUE, out=bits)
        np.multiply(out, _REBIAS, out=out)
        squared: np.ndarray = np.einsum("ij,ij->i", out, out)
        if squared.max(initial=0) < _MAYBE_INFINITE:
            return squared
    np.copyto(out, rows, casting="same_kind")
    return np.asarray(np.einsum("ij,ij->i", out, out))
