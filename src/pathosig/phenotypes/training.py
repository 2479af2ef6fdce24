"""Tiles a codebook is fitted on, gathered slide by slide."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pathosig.core.errors import InputError
from pathosig.core.tile_tables import SlideTiles, read_slide_tiles
from pathosig.phenotypes.fit import TrainingTiles
from pathosig.phenotypes.spatial import NeighbourScatter, neighbour_pairs
from pathosig.phenotypes.spec import PhenotypeSpec

_QUALITY = ("blur", "pen", "fold", "background")


def read_embeddings(path: Path) -> np.ndarray:
    """A slide's embeddings, memory-mapped float16[n, d].

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name}: embeddings cannot be read. Run `pathosig embed`.") from error


def readable_rows(embeddings: np.ndarray) -> np.ndarray:
    """Rows of tiles that could be decoded, int[m]; lost tiles are rows of NaN."""
    return np.flatnonzero(np.isfinite(np.asarray(embeddings[:, 0], np.float32)))


def numbers(names: Iterable[str]) -> np.ndarray:
    """Names as numbers from 0, in alphabetical order, int[n]."""
    return np.unique(np.asarray(list(names)), return_inverse=True)[1].ravel()


def training_tiles(
    root: Path, training: list[dict[str, Any]], spec: PhenotypeSpec
) -> tuple[TrainingTiles, dict[str, np.ndarray]]:
    """Tiles of training slides, their quality columns, and how neighbours among them differ.

    At most `tiles_per_slide` tiles of a slide are taken, fewer where there are so many slides that
    `max_tiles` would be passed; neighbours are looked for among all tiles of a slide.
    """
    parts, slides, quality = [], [], {name: [] for name in _QUALITY}  # type: ignore[var-annotated]
    scatter = NeighbourScatter()
    most = max(1, min(spec.tiles_per_slide, spec.max_tiles // max(1, len(training))))
    for number, facts in enumerate(training):
        embeddings = read_embeddings(root / facts["embeddings"])
        rng = np.random.default_rng([spec.seed, 1, number])
        chosen = np.sort(rng.permutation(len(embeddings))[:most])
        chosen = chosen[readable_rows(embeddings[chosen])]
        parts.append(np.asarray(embeddings[chosen], np.float32))
        slides.append(np.full(len(chosen), number))
        tiles = read_slide_tiles(root / facts["tiles"])
        for name in _QUALITY:
            if name in tiles.table.column_names:
                quality[name].append(tiles.column(name)[chosen])
        if spec.spatial != "never":
            _add_neighbours(scatter, embeddings, tiles, most, rng)
    slide = np.concatenate(slides)
    patients = numbers(f["patient"] for f in training)
    sites = numbers(f["site"] for f in training)
    training_set = TrainingTiles(
        embeddings=np.concatenate(parts),
        slide=slide,
        patient=patients[slide],
        site=sites[slide],
        neighbours=scatter if scatter.n_pairs else None,
    )
    whole = {k: np.concatenate(v) for k, v in quality.items() if sum(map(len, v)) == len(slide)}
    return training_set, whole


def _add_neighbours(
    scatter: NeighbourScatter, embeddings: np.ndarray, tiles: SlideTiles, most: int, rng: np.random.Generator
) -> None:
    """Add at most `most` pairs of touching tiles of a slide."""
    size = tiles.facts.level0_px
    if size is None or len(tiles) != len(embeddings):
        return
    pairs = neighbour_pairs(tiles.xy, size)
    pairs = pairs[np.sort(rng.permutation(len(pairs))[:most])]
    first, second = (np.asarray(embeddings[rows], np.float32) for rows in (pairs[:, 0], pairs[:, 1]))
    both = np.isfinite(first[:, 0]) & np.isfinite(second[:, 0])
    if both.any():
        scatter.add(first[both], second[both])
