"""One SpatialData store per slide: tiles and tissue as shapes, the overview as an image, embeddings and HPCs as a table.

All elements share the coordinate system ``global``: level-0 pixels of the slide. This module needs the extra `spatial`.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import geopandas
import numpy as np
import pandas as pd
from shapely.geometry import Polygon, box
from spatialdata import SpatialData
from spatialdata.models import Image2DModel, ShapesModel, TableModel
from spatialdata.transformations import Identity, Scale

from pathosig.core.errors import PathosigError
from pathosig.core.overlay import tissue_rings
from pathosig.report.images import opened, overview

if TYPE_CHECKING:
    from pathlib import Path

    import anndata

    from pathosig.core.study import Specimen, Study

OVERVIEW_PX = 2000


def write_spatialdata(study: Study, specimen: Specimen, table: anndata.AnnData, path: Path) -> Path:
    """Write one slide as a SpatialData store, replacing an earlier one.

    Parameters
    ----------
    study, specimen
        The study, and the slide whose tissue and overview are written; a slide that cannot be opened has no overview.
    table
        Its tiles, in the form of the export to AnnData.
    path
        A folder whose name ends in ``.zarr``.

    Returns
    -------
    Path
        The folder.
    """
    data = spatial_object(table, tissue_rings(study, specimen), _overview(specimen))
    temporary = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(temporary, ignore_errors=True)
    data.write(temporary)
    shutil.rmtree(path, ignore_errors=True)
    temporary.rename(path)
    return path


def spatial_object(
    table: anndata.AnnData, rings: list[np.ndarray], image: tuple[np.ndarray, float] | None
) -> SpatialData:
    """The store in memory.

    Parameters
    ----------
    table
        Tiles of the slide.
    rings
        Outlines of tissue, each [n, 2] of (x, y) in level-0 pixels.
    image
        The overview as uint8 [h, w, 3] with its downsample (level-0 pixels per pixel), or None.
    """
    half = float(table.uns["tile_level0_px"]) / 2
    places = {"global": Identity()}
    squares = [box(x - half, y - half, x + half, y + half) for x, y in table.obsm["spatial"]]
    index = pd.Index(np.arange(len(squares)), name="tile")
    shapes = {
        "tiles": ShapesModel.parse(
            geopandas.GeoDataFrame({"geometry": squares}, index=index), transformations=places
        )
    }
    outlines = [p for ring in rings if len(ring) >= 4 and (p := Polygon(ring)).is_valid]
    if outlines:
        shapes["tissue"] = ShapesModel.parse(
            geopandas.GeoDataFrame({"geometry": outlines}), transformations=dict(places)
        )
    annotated = table.copy()
    del annotated.uns["spatial"]
    used = [
        list(table.obs["hpc"].cat.categories).index(c)
        for c in table.obs["hpc"].cat.remove_unused_categories().cat.categories
    ]
    # plots pair colours with the categories that occur
    annotated.obs["hpc"] = annotated.obs["hpc"].cat.remove_unused_categories()
    annotated.uns["hpc_colors"] = np.asarray(table.uns["hpc_colors"])[used]
    annotated.obs["region"] = pd.Categorical(["tiles"] * table.n_obs)
    annotated.obs["tile_number"] = np.arange(table.n_obs)
    tables = {
        "table": TableModel.parse(annotated, region="tiles", region_key="region", instance_key="tile_number")
    }
    images = {}
    if image is not None:
        pixels, downsample = image
        scale = {"global": Scale([downsample, downsample], axes=("x", "y"))}
        images["overview"] = Image2DModel.parse(
            pixels, dims=("y", "x", "c"), c_coords=["r", "g", "b"], transformations=scale
        )
    return SpatialData(images=images, shapes=shapes, tables=tables)


def _overview(specimen: Specimen) -> tuple[np.ndarray, float] | None:
    try:
        with opened(specimen.path, specimen.mpp, specimen.region) as reader:
            return overview(reader, OVERVIEW_PX)
    except (PathosigError, OSError):
        return None
