from .grid import grid as grid
from .grid import tissue_fraction as tissue_fraction
from .quality import QUALITY_COLUMNS as QUALITY_COLUMNS
from .quality import quality as quality
from .spec import TileSpec as TileSpec
from .stage import cut_tiles as cut_tiles
