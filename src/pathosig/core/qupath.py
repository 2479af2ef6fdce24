"""Tiles as QuPath reads them: https://qupath.readthedocs.io/en/stable/docs/advanced/geojson.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray


class TileFeature(TypedDict):
    """One tile: a GeoJSON feature."""

    type: str
    geometry: dict[str, object]
    properties: dict[str, object]


class TileCollection(TypedDict):
    """All tiles of a slide."""

    type: str
    features: list[TileFeature]


def tile_collection(
    corners: NDArray[np.integer],
    side: float,
    names: Sequence[str],
    colours: Sequence[Sequence[int]],
    measurements: Mapping[str, Sequence[float | None]],
) -> TileCollection:
    """Squares in level-0 pixels with class, colour and numbers to colour by.

    Parameters
    ----------
    corners, side
        Top-left corners int[n, 2] and width of the tiles.
    names, colours
        Class of each tile, and its red, green, blue in 0..255.
    measurements
        Name -> a number per tile; None leaves it out.
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
