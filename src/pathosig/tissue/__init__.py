"""Tissue: where it is on a slide, as a mask at low power and as polygons in level-0 pixels."""

from pathosig.tissue.mask import TissueSpec, tissue_mask
from pathosig.tissue.polygons import mask_to_polygons, polygons_to_mask, read_polygons
from pathosig.tissue.stage import find_tissue

__all__ = [
    "TissueSpec",
    "find_tissue",
    "mask_to_polygons",
    "polygons_to_mask",
    "read_polygons",
    "tissue_mask",
]
