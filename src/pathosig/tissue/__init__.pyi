from .mask import tissue_mask as tissue_mask
from .polygons import mask_to_polygons as mask_to_polygons
from .polygons import polygons_to_mask as polygons_to_mask
from .polygons import read_polygons as read_polygons
from .spec import TissueSpec as TissueSpec
from .stage import find_tissue as find_tissue
