"""Pictures for the page of a patient: the slide beside its map of the risk, typical tiles, and tiles unlike the training."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pathosig.core.errors import PathosigError
from pathosig.core.qupath import TileCollection, tile_collection
from pathosig.core.schema import ASSIGNMENTS, read_table
from pathosig.core.study import Specimen, Study
from pathosig.core.tile_tables import read_slide_tiles
from pathosig.figures.palette import hpc_colours, rgb
from pathosig.figures.slides import RiskScale, SlideMap, coarse_legend, slide_map
from pathosig.figures.style import hpc_name, svg_bytes
from pathosig.scoring.card import phenotype_names
from pathosig.slides import open_slide, plan_read, read_overview, read_tiles

if TYPE_CHECKING:
    from pathosig.scoring.contents import Bundle
    from pathosig.slides.reader import SlideReader

_TILE_PX, _OVERVIEW_PX = 112, 900
_PER_FEATURE, _FAR = 6, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class SlidePictures:
    """Pictures of one slide.

    Attributes
    ----------
    slide
        Id of the slide.
    map_svg
        H&E, phenotypes and contributions side by side; empty if the slide itself cannot be read.
    note
        What the colours mean, or why there is no map.
    drivers
        Feature -> its most typical tiles, as data URIs.
    present
        Feature -> whether the slide has any tile of it.
    far
        The tiles furthest from the training, as data URIs.
    geojson
        Squares of all tiles with phenotype and contribution, in level-0 pixels, for QuPath; None without a score.
    """

    slide: str
    map_svg: str
    note: str
    drivers: Mapping[str, tuple[str, ...]]
    present: Mapping[str, bool]
    far: tuple[str, ...]
    geojson: TileCollection | None


def slide_pictures(
    study: Study,
    bundle: Bundle,
    specimen: Specimen,
    weights: np.ndarray | None,
    drivers: Mapping[str, Sequence[int]],
) -> SlidePictures | None:
    """Pictures of a slide; None if it has no tiles.

    Parameters
    ----------
    study
        The work folder with the new slides.
    bundle
        The bundle that scored them.
    specimen
        The slide or core.
    weights
        What a tile of each phenotype adds to the score (see `risk_of_tiles`), float [k]; None if no score is given.
    drivers
        Feature -> phenotypes whose typical tiles are shown.
    """
    paths = study.paths
    if not paths.assignments(specimen.id).is_file():
        return None
    assigned, tiles = (
        read_table(paths.assignments(specimen.id), ASSIGNMENTS),
        read_slide_tiles(paths.tiles(specimen.id)),
    )
    hpc = assigned.column("hpc").to_numpy()
    xy = tiles.xy[assigned.column("tile_id").to_numpy()]
    side = tiles.side
    confidence = assigned.column("confidence").to_numpy()
    distance = np.maximum(assigned.column("residual").to_numpy(), assigned.column("mahalanobis").to_numpy())
    chosen = {
        name: _best(np.where(np.isin(hpc, list(leaves)), confidence, -1.0), _PER_FEATURE, 0)
        for name, leaves in drivers.items()
    }
    far = _best(distance, _FAR, 1)
    names = phenotype_names(bundle.card, bundle.tree.k)
    colours = hpc_colours(bundle.tree.k, artefacts=bundle.tree.artefacts, linkage=bundle.tree.linkage)
    geojson = None
    if weights is not None:
        geojson = tile_collection(
            xy,
            side,
            names=[hpc_name(h) for h in hpc.tolist()],
            colours=[rgb(colours[h]) for h in hpc.tolist()],
            measurements={
                "confidence": confidence.astype(float).round(4).tolist(),
                "risk contribution": weights[hpc].round(6).tolist(),
            },
        )
    svg, note, shown = "", "", dict[str, tuple[str, ...]]()
    unlike: tuple[str, ...] = ()
    try:
        with open_slide(specimen.path, mpp=specimen.mpp, region=specimen.region) as reader:
            groups = assigned.column("coarse").to_numpy() if "coarse" in assigned.column_names else None
            item = _overview(reader, specimen.id, xy, side, hpc=hpc, coarse=groups)
            svg = _map(item, colours, coarse_legend(bundle.tree, names.coarse), weights)
            shown = {name: _tiles(reader, xy[rows], side) for name, rows in chosen.items()}
            unlike = _tiles(reader, xy[far], side)
    except PathosigError:
        note = "The slide itself cannot be read, so there are no pictures of it."
    if svg:
        note = (
            "Orange tiles raise the score, blue ones lower it; the mean over all tiles is the score of the slide."
            if weights is not None
            else "No score is given, so tiles are not coloured by risk."
        )
    return SlidePictures(
        slide=specimen.id,
        map_svg=svg,
        note=note,
        drivers=shown,
        present={name: bool(len(rows)) for name, rows in chosen.items()},
        far=unlike,
        geojson=geojson,
    )


def _best(value: np.ndarray, n: int, above: float) -> np.ndarray:
    """Up to `n` rows with the highest values, all of them above a bound."""
    rows = np.argsort(-value, kind="stable")[:n]
    return np.asarray(rows[value[rows] > above])


def _overview(
    reader: SlideReader,
    title: str,
    xy: np.ndarray,
    side: float,
    *,
    hpc: np.ndarray,
    coarse: np.ndarray | None,
) -> SlideMap:
    overview, downsample = read_overview(reader, 1e-6, max_side=_OVERVIEW_PX)
    return SlideMap(
        title=title,
        overview=overview,
        x=xy[:, 0],
        y=xy[:, 1],
        hpc=hpc,
        coarse=coarse,
        tile_px=side,
        downsample=downsample,
        mpp=reader.info.mpp,
    )


def _map(
    item: SlideMap,
    colours: Sequence[str],
    groups: Sequence[tuple[str, str]],
    weights: np.ndarray | None,
) -> str:
    # The scale ends at the largest weight among phenotypes of this slide: an absent one would make all colours pale.
    shown = None if weights is None else np.where(np.isin(np.arange(len(weights)), item.hpc), weights, 0.0)
    risk = None if shown is None else RiskScale(weights=shown)
    figure = slide_map([item], colours, groups=groups if item.coarse is not None else (), risk=risk)
    text = svg_bytes(figure).decode("utf-8")
    # the metadata are names of schemas, which serve no purpose inside a page
    head, _, rest = text[text.index("<svg") :].partition("<metadata>")
    return head + rest.partition("</metadata>")[2]


def _tiles(reader: SlideReader, xy: np.ndarray, side: float) -> tuple[str, ...]:
    """Tiles as JPEG data URIs; none if the resolution of the slide is unknown."""
    if not len(xy) or not reader.info.mpp:
        return ()
    shown_px = min(_TILE_PX, max(1, round(side)))  # never finer than the slide itself
    plan = plan_read(reader.info, reader.info.mpp * side / shown_px)
    out = [""] * len(xy)
    for block in read_tiles(reader, plan, xy, shown_px):
        for index, pixels in zip(block.index, block.tiles, strict=True):
            buffer = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="JPEG", quality=82)
            out[int(index)] = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return tuple(t for t in out if t)
