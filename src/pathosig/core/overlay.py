"""What lies over a slide: its tiles with their HPCs, and its tissue outlines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pathosig.core.records import parquet_metadata, read_json
from pathosig.core.schema import ASSIGNMENTS, TILES, read_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pathosig.core.study import Specimen, Study


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """Tiles of one slide, by tile_id.

    Attributes
    ----------
    columns
        The tile table (tile_id, x, y in level-0 pixels, quality columns) and ``hpc`` (-1 without) and
        ``confidence``: arrays of equal length.
    tile_px
        Width of a tile in level-0 pixels.
    """

    columns: Mapping[str, NDArray[Any]]
    tile_px: int

    def __len__(self) -> int:
        """Count of tiles."""
        return len(self.columns["tile_id"])

    @property
    def corners(self) -> NDArray[np.int64]:
        """Top-left corners in level-0 pixels: int64[n, 2]."""
        return np.stack([self.columns["x"], self.columns["y"]], axis=1).astype(np.int64)


def read_overlay(study: Study, specimen: Specimen) -> Overlay | None:
    """Tiles of a slide with their HPCs; None before its tiles were cut.

    Raises
    ------
    InputError
        If a table is damaged.
    """
    path = study.paths.tiles(specimen.id)
    if not path.is_file():
        return None
    table = read_table(path, TILES)
    columns = {
        name: np.array(column.to_numpy())
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    n = len(columns["tile_id"])
    columns["hpc"] = np.full(n, -1, dtype=np.int16)
    columns["confidence"] = np.zeros(n, dtype=np.float32)
    found_path = study.paths.assignments(specimen.id)
    if found_path.is_file():
        found = read_table(found_path, ASSIGNMENTS)
        known = np.isin(found["tile_id"].to_numpy(), columns["tile_id"])
        place = np.searchsorted(columns["tile_id"], found["tile_id"].to_numpy()[known])
        for name in ("hpc", "confidence"):
            columns[name][place] = found[name].to_numpy()[known]
    facts = parquet_metadata(path).get("pathosig", {})
    return Overlay(columns=columns, tile_px=round(float(facts.get("tile_level0_px", 224))))


def tissue_rings(study: Study, specimen: Specimen) -> list[NDArray[np.float64]]:
    """Rings of the tissue polygons in level-0 pixels, float[n, 2] each; a user's edit takes precedence."""
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
