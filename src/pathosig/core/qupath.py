"""Tiles as GeoJSON for QuPath: https://qupath.readthedocs.io/en/stable/docs/advanced/geojson.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray


class TileFeature(TypedDict):
    """One tile as a GeoJSON feature."""

    type: str
    geometry: dict[str, object]
    properties: dict[str, object]


class TileCollection(TypedDict):
    """All tiles of a slide as a GeoJSON feature collection."""

    type: str
    features: list[TileFeature]


def tile_collection(
    corners: NDArray[np.integer],
    side: float,
    names: Sequence[str],
    colours: Sequence[Sequence[int]],
    measurements: Mapping[str, Sequence[float | None]],
) -> TileCollection:
    """Tiles as squares with a class, a colour and measurements.

    Parameters
    ----------
    corners, side
        Top-left corners int [n, 2], and side of the tiles, in level-0 pixels.
    names, colours
        Class of each tile, and its colour as red, green and blue from 0 to 255.
    measurements
        Name -> one number per tile; None leaves the measurement of a tile out.
    """
    features: list[TileFeature] = []
    for i, (x, y) in enumerate(corners.tolist()):
        ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {
                    "objectType": "tile",
                    "classification": {"name": names[i], "color": list(colours[i])},
                    "measurements": {
                        name: value
                        for name, values in measurements.items()
                        if (value := values[i]) is not None
                    },
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}
