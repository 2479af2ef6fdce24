"""Conversion of masks to polygons and back, and GeoJSON that QuPath opens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape
from skimage import measure

from pathosig.core.errors import SlideError

Ring = list[tuple[float, float]]
Polygon = list[Ring]
"""The exterior ring and then the holes; points are (x, y) in level-0 pixels, and rings are closed."""


def mask_to_polygons(mask: np.ndarray, downsample: float = 1.0) -> list[Polygon]:
    """Outlines of a mask, including holes.

    Parameters
    ----------
    mask
        bool[h, w].
    downsample
        Level-0 pixels per mask pixel.

    Returns
    -------
    list of polygons
        In level-0 pixels, simplified with a tolerance of half a mask pixel.
    """
    padded = np.pad(mask, 1).astype(np.float32)
    rings = []
    for contour in measure.find_contours(padded, 0.5):
        if len(contour) < 4:
            continue
        points = (
            contour[:, ::-1] - 0.5
        ) * downsample  # pixel centres lie at .5, and padding moved them by one
        ring = shapely.Polygon(points).simplify(0.5 * downsample)
        if not ring.is_empty and ring.area > 0:
            rings.append(ring)
    rings.sort(key=lambda p: -p.area)
    return _nested(rings)


def _nested(rings: Sequence[Any]) -> list[Polygon]:
    """Rings, sorted from the largest, as polygons with holes: a ring of odd depth is a hole of the smallest ring around it."""
    prepared = list(rings)
    tree = shapely.STRtree(prepared)
    parent: dict[int, int] = {}
    depth: dict[int, int] = {}
    for index, ring in enumerate(prepared):
        point = ring.representative_point()
        around = [int(i) for i in tree.query(point, predicate="within") if int(i) < index]
        parent[index] = max(around, default=-1)
        depth[index] = depth[parent[index]] + 1 if around else 0
    out: dict[int, Polygon] = {}
    for index, ring in enumerate(prepared):
        coordinates = [(round(x, 1), round(y, 1)) for x, y in ring.exterior.coords]
        if depth[index] % 2 == 0:
            out[index] = [coordinates]
        else:
            out[parent[index]].append(coordinates)
    return list(out.values())


def polygons_to_mask(polygons: Sequence[Polygon], size: tuple[int, int], downsample: float) -> np.ndarray:
    """Mask of polygons, bool[h, w].

    Parameters
    ----------
    polygons
        In level-0 pixels.
    size
        (width, height) of the mask.
    downsample
        Level-0 pixels per mask pixel.
    """
    from PIL import Image, ImageDraw  # not needed for tissue detection

    canvas = Image.new("1", size, 0)
    draw = ImageDraw.Draw(canvas)
    out = np.zeros((size[1], size[0]), bool)  # memory is used only for the parts that are written
    simple = [polygon for polygon in polygons if len(polygon) == 1]
    for together in (simple, *([polygon] for polygon in polygons if len(polygon) > 1)):
        corners = [(x / downsample - 0.5, y / downsample - 0.5) for p in together for x, y in p[0]]
        if not corners:
            continue
        for polygon in together:
            for number, ring in enumerate(polygon):
                points = [(x / downsample - 0.5, y / downsample - 0.5) for x, y in ring]
                draw.polygon(points, fill=int(number == 0))
        xs, ys = zip(*corners, strict=True)
        left, top = max(0, int(min(xs)) - 1), max(0, int(min(ys)) - 1)
        right, bottom = min(size[0], int(max(xs)) + 2), min(size[1], int(max(ys)) + 2)
        if right > left and bottom > top:
            box = (left, top, right, bottom)
            out[top:bottom, left:right] |= np.asarray(canvas.crop(box))
            canvas.paste(0, box)
    return out


def area_px(polygon: Polygon) -> float:
    """Area in square level-0 pixels, without holes."""

    def ring(points: Ring) -> float:
        x, y = np.asarray(points).T
        return abs(float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))) / 2

    return ring(polygon[0]) - sum(ring(hole) for hole in polygon[1:])


def to_geojson(polygons: Sequence[Polygon], mpp: float | None) -> str:
    """GeoJSON text: a FeatureCollection with one annotation per polygon, with its area in um^2 if `mpp` is known."""
    features = []
    for number, polygon in enumerate(polygons, start=1):
        properties: dict[str, object] = {
            "objectType": "annotation",
            "name": f"Tissue {number}",
            "classification": {"name": "Tissue", "color": [0, 114, 178]},
        }
        if mpp is not None:
            properties["area_um2"] = round(area_px(polygon) * mpp * mpp, 1)
        geometry = {"type": "Polygon", "coordinates": polygon}
        features.append(
            {"type": "Feature", "id": f"tissue-{number}", "geometry": geometry, "properties": properties}
        )
    return json.dumps({"type": "FeatureCollection", "features": features}) + "\n"


def read_polygons(path: Path) -> list[Polygon]:
    """Polygons of a GeoJSON file: a FeatureCollection, a Feature or a geometry, as QuPath exports them.

    Parameters
    ----------
    path
        Path of the file.

    Returns
    -------
    list of polygons
        Invalid ones are repaired; other geometries than polygons are left out.

    Raises
    ------
    SlideError
        E_GEOJSON if it is not GeoJSON with polygons.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
        items = data if isinstance(data, list) else data.get("features", [data])
        geometries = [shape(item.get("geometry", item)) for item in items]
    except (ValueError, AttributeError, KeyError, TypeError, shapely.errors.ShapelyError) as error:
        raise SlideError(f"{path.name}: not GeoJSON with polygons ({error}).", code="E_GEOJSON") from error
    out: list[Polygon] = []
    for geometry in geometries:
        valid = geometry if geometry.is_valid else shapely.make_valid(geometry)
        for polygon in getattr(valid, "geoms", [valid]):
            if polygon.geom_type == "Polygon" and not polygon.is_empty:
                rings = [polygon.exterior, *polygon.interiors]
                out.append([[(float(p[0]), float(p[1])) for p in ring.coords] for ring in rings])
    return out
