"""Tiles: a grid of physical size over the tissue, with quality columns.

Nothing here imports NumPy until it is used: the process that only hands out slides does without.
"""

from __future__ import annotations

import sys
import types
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathosig.tiles.grid import grid, tissue_fraction
    from pathosig.tiles.quality import QUALITY_COLUMNS, quality
    from pathosig.tiles.spec import TileSpec
    from pathosig.tiles.stage import cut_tiles

_WHERE = {
    "TileSpec": "spec",
    "grid": "grid",
    "tissue_fraction": "grid",
    "QUALITY_COLUMNS": "quality",
    "quality": "quality",
    "cut_tiles": "stage",
}

__all__ = [
    "QUALITY_COLUMNS",
    "TileSpec",
    "cut_tiles",
    "grid",
    "quality",
    "tissue_fraction",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


class _Package(types.ModuleType):
    """`grid` and `quality` are functions here and files below: the name stays the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _WHERE and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
