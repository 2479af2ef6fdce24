"""Pixels for the report: overviews of slides and tiles of the atlas, read through `pathosig.slides`.

The only module of the report that opens a slide; the slide readers are imported when the first one is.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pathosig.core.errors import PathosigError
from pathosig.core.overlay import read_overlay, tissue_rings
from pathosig.core.schema import ATLAS, read_table
from pathosig.report.material import AtlasTile, SlidePicture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pathosig.core.study import Specimen, Study

logger = logging.getLogger(__name__)
TILE_PX = 128


def read_pictures(
    study: Study, specimens: Sequence[Specimen], *, at_most: int, size_px: int
) -> tuple[SlidePicture, ...]:
    """Overviews of slides with tissue and tiles, evenly over each cohort; unreadable ones are left out."""
    out = []
    for specimen in _spread(specimens, at_most):
        try:
            out.append(_picture(study, specimen, size_px))
        except (PathosigError, OSError) as error:
            logger.info("report: slide %s has no overview: %s", specimen.id, error)
    return tuple(out)


def _spread(specimens: Sequence[Specimen], at_most: int) -> list[Specimen]:
    """At most this many specimens, each cohort in its proportion, evenly over the sorted ids."""
    if len(specimens) <= at_most:
        return list(specimens)
    groups: dict[str, list[Specimen]] = defaultdict(list)
    for specimen in specimens:
        groups[specimen.cohort or ""].append(specimen)
    out = []
    for group in groups.values():
        wanted = max(1, at_most * len(group) // len(specimens)) if at_most else 0
        out += [group[i] for i in np.unique(np.linspace(0, len(group) - 1, wanted).round().astype(int))]
    return sorted(out[: max(at_most, 0)], key=lambda s: s.id)


def _picture(study: Study, specimen: Specimen, size_px: int) -> SlidePicture:
    from pathosig.slides import open_slide, read_overview

    reader = open_slide(specimen.path, mpp=specimen.mpp, region=specimen.region)
    try:
        pixels, downsample = read_overview(reader, 1e-6, max_side=size_px)
        mpp = reader.info.mpp
    finally:
        reader.close()
    overlay = read_overlay(study, specimen)
    columns = {} if overlay is None else overlay.columns
    nothing = np.zeros(0, np.int64)
    return SlidePicture(
        slide_id=specimen.id,
        patient_id=specimen.patient_id,
        cohort=specimen.cohort or "",
        overview=pixels,
        downsample=downsample,
        rings=tissue_rings(study, specimen),
        x=columns.get("x", nothing),
        y=columns.get("y", nothing),
        hpc=columns.get("hpc", nothing),
        tile_px=224.0 if overlay is None else float(overlay.tile_px),
        mpp=mpp,
    )


def read_atlas_tiles(study: Study, *, per_hpc: int) -> tuple[AtlasTile, ...]:
    """Pixels of the atlas's tiles; tiles that cannot be read are left out."""
    path = study.paths.atlas
    if not path.is_file():
        return ()
    by_slide = defaultdict(list)
    for row in read_table(path, ATLAS).to_pylist():
        if row["rank"] < per_hpc and row["kind"] != "border":
            by_slide[row["slide_id"]].append(row)
    specimens = {s.id: s for s in study.specimens()}
    out: list[AtlasTile] = []
    for slide_id in sorted(by_slide):
        if slide_id not in specimens:
            continue
        try:
            pixels = _read_regions(study, specimens[slide_id], [(r["x"], r["y"]) for r in by_slide[slide_id]])
        except (PathosigError, OSError) as error:
            logger.info("report: atlas tiles of slide %s were not read: %s", slide_id, error)
            continue
        out += [
            AtlasTile(hpc=r["hpc"], rank=r["rank"], kind=r["kind"], slide_id=slide_id, pixels=p)
            for r, p in zip(by_slide[slide_id], pixels, strict=True)
        ]
    return tuple(out)


def _read_regions(
    study: Study, specimen: Specimen, corners: Sequence[tuple[int, int]]
) -> list[NDArray[np.uint8]]:
    """Tiles at (x, y), resampled to TILE_PX pixels."""
    from pathosig.slides import open_slide
    from pathosig.slides.pyramid import resample

    overlay = read_overlay(study, specimen)
    width = 224 if overlay is None else overlay.tile_px
    reader = open_slide(specimen.path, mpp=specimen.mpp, region=specimen.region)
    try:
        downsamples = reader.info.downsamples
        level = max((i for i, d in enumerate(downsamples) if d <= width / TILE_PX * 1.01), default=0)
        side = max(1, round(width / downsamples[level]))
        out = []
        for x, y in corners:
            place = (round(x / downsamples[level]), round(y / downsamples[level]))
            out.append(resample(reader.read_level(level, *place, side, side), (TILE_PX, TILE_PX)))
        return out
    finally:
        reader.close()
