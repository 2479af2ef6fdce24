"""Tiles: a grid of physical size over the tissue, with quality columns."""

from pathosig.tiles.grid import TileSpec, grid, tissue_fraction
from pathosig.tiles.quality import QUALITY_COLUMNS, quality
from pathosig.tiles.stage import cut_tiles, read_tile_table

__all__ = [
    "QUALITY_COLUMNS",
    "TileSpec",
    "cut_tiles",
    "grid",
    "quality",
    "read_tile_table",
    "tissue_fraction",
]
