"""What is drawn over a slide: its tiles with their HPCs, and its tissue outlines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pathosig.core.records import read_json
from pathosig.core.schema import ASSIGNMENTS, read_table
from pathosig.core.tile_tables import read_slide_tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pathosig.core.study import Specimen, Study


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """Tiles of one slide, by tile_id.

    Attributes
    ----------
    columns
        Arrays of equal length: the tile table (tile_id, x, y in level-0 pixels, quality columns), ``hpc`` and ``coarse`` group
        (-1 if unassigned), and ``confidence``.
    tile_px
        Width of a tile in level-0 pixels; 0 if there is no tile.
    """

    columns: Mapping[str, NDArray[Any]]
    tile_px: int

    def __len__(self) -> int:
        """Number of tiles."""
        return len(self.columns["tile_id"])

    @property
    def corners(self) -> NDArray[np.int64]:
        """Top-left corners in level-0 pixels: int64[n, 2]."""
        return np.stack([self.columns["x"], self.columns["y"]], axis=1).astype(np.int64)


def read_overlay(study: Study, specimen: Specimen) -> Overlay | None:
    """Tiles of a slide with their HPCs; None if its tiles are not cut yet.

    Raises
    ------
    InputError
        If a table is damaged, or does not state the size of its tiles.
    """
    path = study.paths.tiles(specimen.id)
    if not path.is_file():
        return None
    tiles = read_slide_tiles(path)
    columns = {name: np.array(tiles.column(name)) for name in tiles.table.column_names}
    columns |= {name: np.full(len(tiles), -1, dtype=np.int16) for name in ("hpc", "coarse")}
    columns["confidence"] = np.zeros(len(tiles), dtype=np.float32)
    assigned_path = study.paths.assignments(specimen.id)
    if assigned_path.is_file():
        assigned = read_table(assigned_path, ASSIGNMENTS)
        ids = assigned["tile_id"].to_numpy()
        is_there = np.isin(ids, columns["tile_id"])
        row = np.searchsorted(columns["tile_id"], ids[is_there])
        for name in [n for n in ("hpc", "coarse", "confidence") if n in assigned.column_names]:
            columns[name][row] = assigned[name].to_numpy()[is_there]
    return Overlay(columns=columns, tile_px=round(tiles.side) if len(tiles) else 0)


def tissue_rings(study: Study, specimen: Specimen) -> list[NDArray[np.float64]]:
    """Rings of the tissue polygons in level-0 pixels, each float [n, 2]; polygons that the user edited take precedence."""
    for folder in ("tissue/edited", "tissue"):
        path = study.file(folder, specimen.id, ".geojson")
        if path.is_file():
            return _rings(read_json(path))
    return []


def _rings(geojson: Mapping[str, Any]) -> list[NDArray[np.float64]]:
    rings: list[NDArray[np.float64]] = []
    for feature in geojson.get("features", []):
        geometry = feature.get("geometry") or {}
        coordinates = geometry.get("coordinates", [])
        polygons = coordinates if geometry.get("type") == "MultiPolygon" else [coordinates]
        rings += [
            np.asarray(ring, dtype=float)[:, :2] for polygon in polygons for ring in polygon if len(ring)
        ]
    return rings
