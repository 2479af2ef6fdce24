"""Assigning ten million embeddings: seconds against the matrix multiplications alone, and memory.

    python benchmarks/assign.py [--tiles 10000000] [--dim 256] [--pca 64] [--k 50]

Embeddings lie on disk as float16 files of 100,000 tiles, as `pathosig embed` writes one a slide, and are
read and assigned file by file (three nearest HPCs, confidence, coarse group, all distances). The floor is the same
products (projection and the distance's basis, centroids) on a block already in memory as float32, nothing else, with the
fastest of four block sizes. Ratios are medians of CPU time over interleaved rounds. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from pathosig.phenotypes.codebook import Codebook
from pathosig.phenotypes.distance import Distance
from pathosig.phenotypes.kmeans import normalise
from pathosig.phenotypes.tree import ward_tree

_SLIDE = 100_000
_BLOCKS = (512, 1024, 2048, 4096)


def write(folder: Path, n: int, dim: int) -> list[Path]:
    """n rows of float16 noise, a file for each 100,000."""
    rng = np.random.default_rng(0)
    part = rng.normal(size=(_SLIDE, dim)).astype(np.float16)
    paths = []
    for start in range(0, n, _SLIDE):
        paths.append(folder / f"{start:010d}.npy")
        np.save(paths[-1], part[: min(_SLIDE, n - start)])
    return paths


def matmul_seconds(rows: np.ndarray, codebook: Codebook, n: int, block: int) -> float:
    """Time of the products alone, for n tiles."""
    matrix = np.hstack([codebook.projection, codebook.distance.basis])
    start = time.process_time()
    for at in range(0, n, block):
        part = rows[: min(block, n - at)] @ matrix
        part[:, : codebook.projection.shape[1]] @ codebook.centroids.T
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--pca", type=int, default=64)
    parser.add_argument("--k", type=int, default=50)
    given = parser.parse_args()
    rng = np.random.default_rng(1)
    centroids = normalise(rng.normal(size=(given.k, given.pca)))
    codebook = Codebook(
        mean=np.zeros(given.dim, np.float32),
        projection=(rng.normal(size=(given.dim, given.pca)) / given.dim**0.5).astype(np.float32),
        centroids=centroids, radius=np.ones(given.k, np.float32), temperature=0.05,
        linkage=ward_tree(centroids, np.ones(given.k)), sums=centroids, coarse=centroids[:5],
        distance=replace(
            Distance.uncalibrated(given.dim), variance=np.ones(64, np.float32), threshold=np.zeros(2),
            basis=(rng.normal(size=(given.dim, 64)) / given.dim**0.5).astype(np.float32),
        ),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder), given.tiles, given.dim)
        stored = np.load(paths[0])
        rows = stored[: max(_BLOCKS)].astype(np.float32)
        ratios, label_ratios, floors = [], [], []
        for _ in range(11):
            floors.append(min(matmul_seconds(rows, codebook, len(stored), b) for b in _BLOCKS))
            for call, taken in ((codebook.assign, ratios), (codebook.labels, label_ratios)):
                start = time.process_time()
                call(stored)
                taken.append((time.process_time() - start) / floors[-1])
        del stored
        start = time.perf_counter()
        used: set[int] = set()
        for path in paths:
            used |= set(np.unique(codebook.assign(np.load(path)).hpc[:, 0]).tolist())
        seconds = time.perf_counter() - start
        floor = statistics.median(floors) * given.tiles / _SLIDE
    print(json.dumps({
        "tiles": given.tiles, "dim": given.dim, "pca": given.pca, "k": given.k,
        "seconds": seconds, "matmul_cpu_seconds": floor, "vs_matmul": statistics.median(ratios),
        "labels_vs_matmul": statistics.median(label_ratios),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "hpcs_used": len(used),
        "blas": sorted({str(library.get("architecture")) for library in threadpool_info()}),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
