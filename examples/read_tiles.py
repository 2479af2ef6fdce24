"""Read tiles of a physical size from the slide named on the command line, or from a simulated one."""

import sys
import tempfile
from pathlib import Path

import numpy as np

from pathosig.slides import open_slide, plan_read, read_overview, read_tiles
from pathosig.synthetic.slides_level import example_slide
from pathosig.tiles import grid, tissue_fraction
from pathosig.tissue import tissue_mask

slide = Path(sys.argv[1]) if sys.argv[1:] else example_slide(Path(tempfile.mkdtemp()) / "painted.svs")
with open_slide(slide) as reader:
    info = reader.info
    print(f"{info.vendor}, {info.level_sizes[0]} px, {info.mpp} um per pixel ({info.mpp_source})")
    overview, downsample = read_overview(reader, mpp=8.0)
    mask = tissue_mask(overview, mpp=info.mpp * downsample)
    plan = plan_read(info, 1.0)
    side = 224 * plan.level0_per_px
    corners = grid(info.level_sizes[0], side)
    corners = corners[tissue_fraction(mask, corners, side, downsample) >= 0.6]
    blocks = list(read_tiles(reader, plan, corners, 224))
tiles = np.concatenate([b.tiles for b in blocks])
print(f"{len(tiles)} tiles of 224 px at 1.0 um per pixel, mean colour {tiles.mean(axis=(0, 1, 2)).round(0)}")
