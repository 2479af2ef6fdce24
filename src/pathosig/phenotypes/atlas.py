"""The atlas: for every HPC the tiles that show it best and border cases, and a map of all tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

_BORDER_CONFIDENCE = 0.6


@dataclass(frozen=True, kw_only=True)
class AtlasTiles:
    """Candidates for the atlas, one row per tile."""

    hpc: np.ndarray
    confidence: np.ndarray
    distance: np.ndarray
    slide: np.ndarray
    patient: np.ndarray
    tile_id: np.ndarray
    x: np.ndarray
    y: np.ndarray


def choose_exemplars(tiles: AtlasTiles, k: int, *, exemplars: int = 12, borders: int = 4) -> np.ndarray:
    """Rows of the atlas.

    Exemplars are the tiles nearest the centroid, one patient after the other; border cases those
    whose soft assignment is most divided.

    Returns
    -------
    structured rows (index int, hpc int, rank int, border bool)
    """
    rows: list[tuple[int, int, int, bool]] = []
    for hpc in range(k):
        members = np.flatnonzero(tiles.hpc == hpc)
        if not len(members):
            continue
        order = members[np.lexsort((tiles.tile_id[members], tiles.distance[members]))]
        chosen = _diverse(order, tiles.patient, exemplars)
        rows += [(int(i), hpc, rank, False) for rank, i in enumerate(chosen)]
        divided = members[tiles.confidence[members] < _BORDER_CONFIDENCE]
        divided = divided[np.lexsort((tiles.tile_id[divided], tiles.confidence[divided]))]
        left = [i for i in _diverse(divided, tiles.patient, borders + len(chosen)) if i not in set(chosen)]
        rows += [(int(i), hpc, rank, True) for rank, i in enumerate(left[:borders])]
    return np.array(rows, dtype=[("index", int), ("hpc", int), ("rank", int), ("border", bool)])


def _diverse(order: np.ndarray, patient: np.ndarray, wanted: int) -> list[int]:
    """The first of each patient in turn: all patients' best before anybody's second."""
    turn: dict[int, int] = {}
    keyed = []
    for position, index in enumerate(order[: 50 * wanted]):
        owner = int(patient[index])
        keyed.append((turn.get(owner, 0), position, int(index)))
        turn[owner] = turn.get(owner, 0) + 1
    return [index for _, _, index in sorted(keyed)[:wanted]]


def atlas_table(tiles: AtlasTiles, slide_ids: list[str], rows: np.ndarray) -> pa.Table:
    """The rows of `choose_exemplars` as the table atlas.parquet."""
    import pyarrow as pa

    index = rows["index"]
    return pa.table(
        {
            "hpc": pa.array(rows["hpc"].astype(np.int16)),
            "rank": pa.array(rows["rank"].astype(np.int16)),
            "kind": pa.array(["border" if b else "exemplar" for b in rows["border"]], pa.string()),
            "slide_id": pa.array([slide_ids[s] for s in tiles.slide[index]], pa.string()),
            "tile_id": pa.array(tiles.tile_id[index].astype(np.int32)),
            "x": pa.array(tiles.x[index].astype(np.int32)),
            "y": pa.array(tiles.y[index].astype(np.int32)),
            "distance": pa.array(tiles.distance[index].astype(np.float32)),
        }
    )


def map_of_tiles(x: np.ndarray, *, at_most: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """First two principal components of the codebook's space, for tiles spread evenly over the rows.

    Parameters
    ----------
    x
        float32[n, p], projected tiles.
    at_most
        Tiles on the map.

    Returns
    -------
    (rows int[m], points float32[m, 2])
        The larger half of each axis' extreme values is positive, so that two runs do not mirror each other.
    """
    mean = x.mean(axis=0)
    covariance = (x - mean).T @ (x - mean) / max(len(x) - 1, 1)
    axes = np.linalg.eigh(covariance.astype(np.float64))[1][:, ::-1][:, :2]
    axes = np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))
    rows = np.unique(np.linspace(0, len(x) - 1, min(at_most, len(x))).round().astype(int))
    points = (x[rows] - mean) @ axes
    points *= np.where((points**3).sum(axis=0) < 0, -1, 1)
    return rows, points.astype(np.float32)
