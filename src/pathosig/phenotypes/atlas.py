"""The atlas: for every HPC the tiles that show it best and its borderline tiles, and a map of all tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

_BORDER_CONFIDENCE = 0.6
_KEPT = 800
"""Candidates of each kind that are kept for an HPC; enough for the candidates to come from many patients."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AtlasTiles:
    """Candidates for the atlas, one row per tile.

    Attributes
    ----------
    hpc, coarse, tile_id, x, y
        int[n], as in the tables of a slide.
    confidence, distance
        float[n]: confidence of the assignment to the HPC, and distance from its centroid.
    slide, patient
        int[n]: numbers of the slide and the patient.
    """

    hpc: np.ndarray
    coarse: np.ndarray
    confidence: np.ndarray
    distance: np.ndarray
    slide: np.ndarray
    patient: np.ndarray
    tile_id: np.ndarray
    x: np.ndarray
    y: np.ndarray

    def take(self, rows: np.ndarray) -> AtlasTiles:
        """These rows only."""
        return AtlasTiles(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def plus(self, other: AtlasTiles) -> AtlasTiles:
        """The rows of both."""
        columns = {
            f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)
        }
        return AtlasTiles(**columns)

    def best(self, by: np.ndarray, most: int) -> AtlasTiles:
        """The `most` rows of every HPC with the smallest values of `by`, float[n], in their present order."""
        order = np.lexsort((self.tile_id, by, self.hpc))
        sizes = np.bincount(self.hpc)
        place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return self.take(np.sort(order[place < most]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """The tiles from which an atlas is chosen.

    Candidates are collected slide by slide, and their number depends only on the number of HPCs.

    Attributes
    ----------
    near
        The tiles nearest the centroid of each HPC.
    divided
        The tiles of each HPC whose soft assignment is most divided between HPCs.
    """

    near: AtlasTiles
    divided: AtlasTiles

    @classmethod
    def of(cls, tiles: AtlasTiles, most: int = _KEPT) -> Candidates:
        """Candidates among the tiles of one slide."""
        border = tiles.take(np.flatnonzero(tiles.confidence < _BORDER_CONFIDENCE))
        return cls(near=tiles.best(tiles.distance, most), divided=border.best(border.confidence, most))

    def plus(self, other: Candidates, most: int = _KEPT) -> Candidates:
        """Candidates of both."""
        near, divided = self.near.plus(other.near), self.divided.plus(other.divided)
        return Candidates(near=near.best(near.distance, most), divided=divided.best(divided.confidence, most))


def choose_exemplars(
    candidates: Candidates, k: int, *, exemplars: int = 12, borders: int = 4
) -> list[Exemplar]:
    """The tiles of the atlas.

    Exemplars are the tiles nearest the centroid; borderline tiles are those whose soft assignment is most divided.
    Both take one tile from every patient before a second from any.

    Parameters
    ----------
    candidates
        Tiles near each centroid, and tiles whose assignment is divided.
    k
        Number of HPCs.
    exemplars, borders
        Number of tiles of each kind for every HPC.

    Returns
    -------
    list of Exemplar
        By HPC; exemplars before borderline tiles, each by rank.

    Examples
    --------
    >>> zero = np.zeros(3, int)
    >>> tiles = AtlasTiles(
    ...     hpc=zero, coarse=zero, confidence=np.array([0.9, 0.8, 0.5]), distance=np.array([0.1, 0.2, 0.3]),
    ...     slide=zero, patient=np.array([0, 0, 1]), tile_id=np.arange(3), x=zero, y=zero,
    ... )
    >>> chosen = choose_exemplars(Candidates.of(tiles), 1, exemplars=2, borders=1)
    >>> [(e.kind, e.rank, int(e.tile.tile_id[0])) for e in chosen]  # the second exemplar is of another patient
    [('exemplar', 0, 0), ('exemplar', 1, 2)]
    """
    chosen: list[Exemplar] = []
    for hpc in range(k):
        near = _diverse(candidates.near, hpc, candidates.near.distance, exemplars)
        kept = {(t.slide[0], t.tile_id[0]) for t in near}
        divided = _diverse(candidates.divided, hpc, candidates.divided.confidence, borders + len(near))
        border = [t for t in divided if (t.slide[0], t.tile_id[0]) not in kept][:borders]
        for kind, tiles in (("exemplar", near), ("border", border)):
            chosen += [Exemplar(kind=kind, rank=rank, tile=tile) for rank, tile in enumerate(tiles)]
    return chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class Exemplar:
    """One tile of the atlas: its kind (``exemplar`` or ``border``), its rank within HPC and kind, and its row."""

    kind: str
    rank: int
    tile: AtlasTiles


def _diverse(tiles: AtlasTiles, hpc: int, by: np.ndarray, wanted: int) -> list[AtlasTiles]:
    """The best tiles by patients in turn: the best tile of every patient comes before the second of any."""
    members = np.flatnonzero(tiles.hpc == hpc)
    order = members[np.lexsort((tiles.tile_id[members], by[members]))]
    turn: dict[int, int] = {}
    keyed = []
    for position, index in enumerate(order[: 50 * wanted]):
        owner = int(tiles.patient[index])
        keyed.append((turn.get(owner, 0), position, int(index)))
        turn[owner] = turn.get(owner, 0) + 1
    return [tiles.take(np.array([index])) for _, _, index in sorted(keyed)[:wanted]]


def atlas_table(exemplars: list[Exemplar], slide_ids: Sequence[str]) -> pa.Table:
    """The chosen tiles as the table atlas.parquet.

    Parameters
    ----------
    exemplars
        From `choose_exemplars`.
    slide_ids
        Id of each slide number.

    Returns
    -------
    pa.Table
        One row for each tile, with the columns of the schema `ATLAS`.
    """

    def column(name: str, kind: type) -> np.ndarray:
        return np.array([getattr(e.tile, name)[0] for e in exemplars], kind)

    return pa.table(
        {
            "hpc": column("hpc", np.int16),
            "rank": np.array([e.rank for e in exemplars], np.int16),
            "kind": pa.array([e.kind for e in exemplars], pa.string()),
            "slide_id": pa.array([slide_ids[e.tile.slide[0]] for e in exemplars], pa.string()),
            "tile_id": column("tile_id", np.int32),
            "x": column("x", np.int32),
            "y": column("y", np.int32),
            "distance": column("distance", np.float32),
            "coarse": column("coarse", np.int16),
        }
    )


def map_of_tiles(x: np.ndarray, *, at_most: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """First two principal components of tiles in the codebook's space, for rows at even distances.

    Parameters
    ----------
    x
        float32[n, p], projected tiles.
    at_most
        Largest number of tiles on the map.

    Returns
    -------
    (rows int[m], points float32[m, 2])
        The sign of each axis makes the sum of its cubes positive, so that two runs do not mirror each other.

    Examples
    --------
    >>> x = np.array([[3, 0, 0], [-1, 0, 0], [-1, 0, 0], [-1, 0, 0]], np.float32)
    >>> rows, points = map_of_tiles(x, at_most=2)
    >>> rows, points[:, 0]
    (array([0, 3]), array([ 3., -1.], dtype=float32))
    """
    mean = x.mean(axis=0)
    covariance = (x - mean).T @ (x - mean) / max(len(x) - 1, 1)
    axes = np.linalg.eigh(covariance.astype(np.float64))[1][:, ::-1][:, :2]
    axes = np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))
    rows = np.unique(np.linspace(0, len(x) - 1, min(at_most, len(x))).round().astype(int))
    points = (x[rows] - mean) @ axes
    points *= np.where((points**3).sum(axis=0) < 0, -1, 1)
    return rows, points.astype(np.float32)
