"""Tissue behind a patient's score: the HPCs that move it most on a slide, and the exemplars of other patients nearest to its tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pathosig.core.errors import PathosigError
from pathosig.core.overlay import read_overlay
from pathosig.phenotypes.codebook import Codebook
from pathosig.phenotypes.reading import read_embeddings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pathosig.core.overlay import Overlay
    from pathosig.core.study import Specimen, Study
    from pathosig.viewer.content import Exemplar

SHOWN_HPCS, SHOWN_EXEMPLARS = 3, 4
BLOCK = 4096
"""Tiles projected at once: 4,096 embeddings of length 1,536 take 25 MB."""


@dataclass(frozen=True, kw_only=True)
class NearExemplar:
    """An exemplar, and how far it lies from the nearest tile of the slide: 1 − cosine in the codebook's space, 0 to 2."""

    index: int
    distance: float | None


@dataclass(frozen=True, kw_only=True)
class TissueBehind:
    """One HPC of a slide.

    Attributes
    ----------
    hpc, count
        Number of the HPC, and its tiles on the slide.
    x, y, width
        The tile of the slide that lies nearest to an exemplar, in level-0 pixels; without embeddings its most typical tile.
    exemplars
        Exemplars of other patients, the nearest first; in the order of the atlas without embeddings.
    """

    hpc: int
    count: int
    x: int
    y: int
    width: int
    exemplars: tuple[NearExemplar, ...]


@dataclass(frozen=True)
class NearestTissue:
    """Finds the tissue behind a score; embeddings of exemplars are read once and kept."""

    study: Study
    specimens: Mapping[str, Specimen]
    exemplars: Sequence[Exemplar]
    _kept: dict[int, NDArray[np.float32] | None] = field(default_factory=dict)

    @cached_property
    def codebook(self) -> Codebook | None:
        """The codebook in whose space distances are measured; None without one that can be read."""
        try:
            return Codebook.load(self.study.paths.codebook)
        except PathosigError:
            return None

    def of(self, specimen: Specimen, weights: Sequence[float]) -> list[TissueBehind]:
        """The HPCs whose tiles move the score of a slide most, with their nearest exemplars.

        Parameters
        ----------
        specimen
            A slide of the study.
        weights
            What a tile of each HPC adds to the score; nothing is behind a score without them.

        Raises
        ------
        InputError
            If a table or the embeddings of the slide are damaged.
        """
        tiles = read_overlay(self.study, specimen)
        if tiles is None or not len(weights):
            return []
        hpc = tiles.columns["hpc"]
        counts = np.bincount(hpc[hpc >= 0], minlength=len(weights))[: len(weights)]
        moves = np.abs(np.asarray(weights)) * counts
        top = [int(h) for h in np.argsort(-moves, kind="stable")[:SHOWN_HPCS] if moves[h] > 0]
        return [self._tissue(specimen, tiles, h) for h in top]

    def _tissue(self, specimen: Specimen, tiles: Overlay, hpc: int) -> TissueBehind:
        rows = np.flatnonzero(tiles.columns["hpc"] == hpc)
        others = [
            i
            for i, e in enumerate(self.exemplars)
            if e.hpc == hpc and self.specimens[e.slide].patient_id != specimen.patient_id
        ]
        readable = [i for i in others if self._vector(i) is not None]
        stored = self.study.paths.embeddings(specimen.id)
        if readable and stored.is_file():
            targets = np.stack([v for i in readable if (v := self._vector(i)) is not None])
            distance, nearest = self._distances(
                read_embeddings(stored), tiles.columns["tile_id"][rows], targets
            )
            order = np.argsort(distance, kind="stable")
            row = rows[nearest[order[0]]]
            near = [NearExemplar(index=readable[i], distance=round(float(distance[i]), 4)) for i in order]
        else:
            row = rows[np.argmax(tiles.columns["confidence"][rows])]
            near = [NearExemplar(index=i, distance=None) for i in others]
        x, y = (int(tiles.columns[c][row]) for c in ("x", "y"))
        return TissueBehind(
            hpc=hpc, count=len(rows), x=x, y=y, width=tiles.tile_px, exemplars=tuple(near[:SHOWN_EXEMPLARS])
        )

    def _vector(self, index: int) -> NDArray[np.float32] | None:
        """An exemplar in the codebook's space; None where its embedding cannot be read."""
        if index not in self._kept:
            item = self.exemplars[index]
            path = self.study.paths.embeddings(self.specimens[item.slide].id)
            try:
                row = read_embeddings(path)[item.tile_id][None] if path.is_file() else None
                self._kept[index] = (
                    None
                    if row is None or self.codebook is None
                    else self.codebook.project(np.asarray(row))[0]
                )
            except (PathosigError, IndexError):
                self._kept[index] = None
        return self._kept[index]

    def _distances(
        self, embeddings: np.ndarray, tile_ids: np.ndarray, targets: np.ndarray
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Distance of every target to the nearest of the tiles, and which tile that is."""
        best, where = np.full(len(targets), np.inf, np.float32), np.zeros(len(targets), np.int64)
        for start, block in self._projected(embeddings, tile_ids):
            distance = 1 - block @ targets.T
            nearest = distance.argmin(axis=0)
            value = distance[nearest, np.arange(len(targets))]
            closer = value < best
            best[closer], where[closer] = value[closer], start + nearest[closer]
        return np.maximum(best, 0), where

    def _projected(
        self, embeddings: np.ndarray, tile_ids: np.ndarray
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        if self.codebook is not None:
            for start in range(0, len(tile_ids), BLOCK):
                yield start, self.codebook.project(np.asarray(embeddings[tile_ids[start : start + BLOCK]]))
