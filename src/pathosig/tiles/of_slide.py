"""Cutting the tiles of one slide, which runs in a worker process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pathosig.core.errors import SlideError
from pathosig.core.schema import TILES, write_table
from pathosig.core.units import Job, Outcome
from pathosig.slides.opening import open_slide
from pathosig.slides.pyramid import ReadPlan, plan_read
from pathosig.slides.reading import read_overview
from pathosig.tiles.grid import grid, tissue_fraction
from pathosig.tiles.published import LOOK_PX, PICTURE_PX, darkness, published_grid, published_mpp
from pathosig.tiles.quality import QUALITY_COLUMNS, excluded, quality
from pathosig.tissue.polygons import Polygon, polygons_to_mask, read_polygons

if TYPE_CHECKING:
    from pathosig.slides.reader import SlideReader
    from pathosig.tiles.spec import TileSpec

_MASK_PX_PER_TILE = 32


def cut_slide(job: Job) -> Outcome:
    """Write the tile table of a slide.

    Parameters
    ----------
    job
        One slide as the stage passes it to a worker: its paths, whether its tissue polygons are unchanged, and
        the `TileSpec`.

    Returns
    -------
    Outcome
        With the number of tiles that are kept, and the number left out for each reason.

    Raises
    ------
    SlideError
        E_EDITED if the tissue polygons are not those that the tissue stage wrote; other codes if the slide cannot
        be read.
    """
    payload, spec = job.payload, job.spec
    path = Path(payload["path"])
    if not payload["intact"]:
        raise SlideError(
            f"slide {job.unit}: {payload['tissue']} was changed or removed since the tissue stage wrote it. To use "
            f"your version, move it to tissue/edited/, then run `pathosig tissue`.",
            code="E_EDITED",
        )
    polygons = read_polygons(job.root / payload["tissue"])
    with open_slide(path, mpp=payload["mpp"], region=payload["region"], icc=spec.icc) as reader:
        try:
            lay = _by_darkness if spec.preset == "paper" else _by_tissue
            laid = lay(reader, spec, polygons)
        except SlideError as error:
            raise SlideError(f"slide {job.unit} ({path.name}): {error}", code=error.code) from error
        mpp = reader.info.mpp
    metadata = {
        "spec": spec.to_dict(),
        "read_plan": laid.plan.to_dict(),
        "mpp": spec.mpp,
        "slide_mpp": mpp,
        "size_px": spec.size_px,
        "tile_level0_px": spec.size_px * laid.plan.level0_per_px,
    }
    table = _table(laid.xy, laid.share, laid.columns)
    write_table(job.root / payload["output"], table, TILES, {"pathosig": metadata})
    summary = {"n_tiles": table.num_rows, "n_grid": laid.n_grid, "excluded": laid.excluded, "mpp": mpp}
    if table.num_rows:
        return Outcome(outputs=(payload["output"],), summary=summary, warnings=laid.warnings)
    reasons = ", ".join(f"{n} {k}" for k, n in laid.excluded.items() if n)
    summary["reason"] = (
        f"none of {laid.n_grid} tiles was kept; reasons: {reasons or 'the slide is smaller than one tile'}"
    )
    return Outcome(
        outputs=(payload["output"],), status="empty", summary=summary, warnings=(summary["reason"],)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Laid:
    """Tiles that are kept, how they are read, and how many grid positions there were."""

    plan: ReadPlan
    xy: np.ndarray
    share: np.ndarray
    columns: dict[str, np.ndarray]
    n_grid: int
    excluded: dict[str, int]
    warnings: tuple[str, ...] = ()


def _by_tissue(reader: SlideReader, spec: TileSpec, polygons: Sequence[Polygon]) -> _Laid:
    """Tiles of a physical size that have enough tissue and sufficient quality."""
    plan = plan_read(reader.info, spec.mpp, tolerance=spec.mpp_tolerance, exact=spec.exact)
    tile = spec.size_px * plan.level0_per_px
    stride = (spec.stride_px or spec.size_px) * plan.level0_per_px
    multiple = round(2 * plan.level_downsample) if plan.scale >= 2 else max(1, round(plan.level_downsample))
    size = reader.info.level_sizes[0]
    corners = grid(size, tile, stride, edge=spec.edge, multiple=multiple)
    share = _covered(polygons, size, corners, tile)
    enough = share >= spec.min_tissue
    kept, share = corners[enough], share[enough]
    columns: dict[str, np.ndarray] = {name: np.zeros(0, np.float32) for name in QUALITY_COLUMNS}
    if len(kept):
        overview, per_pixel = read_overview(reader, mpp=max(spec.quality_mpp, plan.mpp))
        columns = quality(overview, kept, tile, per_pixel)
    reasons = excluded(columns, spec)
    out = np.any(list(reasons.values()), axis=0) if len(kept) else np.zeros(0, bool)
    return _Laid(
        plan=plan,
        xy=kept[~out],
        share=share[~out],
        columns={k: v[~out] for k, v in columns.items()},
        n_grid=len(corners),
        excluded={"tissue": int((~enough).sum()), **{k: int(v.sum()) for k, v in reasons.items()}},
    )


def _covered(polygons: Sequence[Polygon], size: tuple[int, int], xy: np.ndarray, tile: float) -> np.ndarray:
    """Proportion of tissue in each tile, float32[n]."""
    downsample = max(1.0, tile / _MASK_PX_PER_TILE)
    canvas = (max(1, int(np.ceil(size[0] / downsample))), max(1, int(np.ceil(size[1] / downsample))))
    return tissue_fraction(polygons_to_mask(polygons, canvas, downsample), xy, tile, downsample)


def _by_darkness(reader: SlideReader, spec: TileSpec, polygons: Sequence[Polygon]) -> _Laid:
    """Tiles of the published grid that are dark enough, whatever the tissue polygons say."""
    size, mpp = reader.info.level_sizes[0], reader.info.mpp
    wanted = published_mpp(size, mpp) if mpp is not None else spec.mpp  # without mpp plan_read raises
    plan = plan_read(reader.info, wanted, tolerance=np.inf, exact=spec.exact)
    corners = published_grid(size)
    tile = spec.size_px * plan.level0_per_px
    picture, per_pixel = read_overview(reader, wanted * PICTURE_PX / LOOK_PX, max_side=LOOK_PX)
    values, threshold = darkness(picture, corners, tile, per_pixel)
    kept = values > threshold
    warnings = (
        (f"W_ENLARGED {max(size)} pixels were enlarged to {PICTURE_PX}, as the published procedure does",)
        if plan.scale < 1
        else ()
    )
    return _Laid(
        plan=plan,
        xy=corners[kept],
        share=_covered(polygons, size, corners[kept], tile),
        columns={},
        n_grid=len(corners),
        excluded={"darkness": int((~kept).sum())},
        warnings=warnings,
    )


def _table(xy: np.ndarray, share: np.ndarray, columns: dict[str, np.ndarray]) -> pa.Table:
    def column(values: np.ndarray, kind: pa.DataType) -> pa.Array:
        # pa.array(ndarray) would import pandas: half a second and 40 MB in every worker
        data = np.ascontiguousarray(values, kind.to_pandas_dtype())
        return pa.Array.from_buffers(kind, len(data), [None, pa.py_buffer(data)])

    data = {
        "tile_id": column(np.arange(len(xy)), pa.int32()),
        "x": column(xy[:, 0], pa.int32()),
        "y": column(xy[:, 1], pa.int32()),
        "tissue": column(share, pa.float32()),
    }
    data |= {name: column(columns[name], pa.float32()) for name in columns}
    return pa.table(data)
