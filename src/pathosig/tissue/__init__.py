"""Tissue: where it is on a slide, as a mask at low power and as polygons in level-0 pixels.

Nothing here imports NumPy until it is used: the process that only hands out slides does without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathosig.tissue.mask import tissue_mask
    from pathosig.tissue.polygons import mask_to_polygons, polygons_to_mask, read_polygons
    from pathosig.tissue.spec import TissueSpec
    from pathosig.tissue.stage import find_tissue

_WHERE = {
    "TissueSpec": "spec",
    "tissue_mask": "mask",
    "mask_to_polygons": "polygons",
    "polygons_to_mask": "polygons",
    "read_polygons": "polygons",
    "find_tissue": "stage",
}

__all__ = [
    "TissueSpec",
    "find_tissue",
    "mask_to_polygons",
    "polygons_to_mask",
    "read_polygons",
    "tissue_mask",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
