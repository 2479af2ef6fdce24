"""The tiles of one slide, as a worker lays and writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from pathosig.core.errors import SlideError
from pathosig.core.schema import TILES, write_table
from pathosig.core.units import Job, Outcome
from pathosig.slides.opening import open_slide
from pathosig.slides.pyramid import plan_read
from pathosig.slides.reading import read_overview
from pathosig.tiles.grid import grid, tissue_fraction
from pathosig.tiles.quality import QUALITY_COLUMNS, excluded, quality
from pathosig.tissue.polygons import polygons_to_mask, read_polygons

_MASK_PX_PER_TILE = 32


def cut_slide(job: Job) -> Outcome:
    """Write the tile table of a slide.

    Raises
    ------
    SlideError
        E_EDITED where the tissue polygons are not those that the tissue stage wrote; what reading the slide raises.
    """
    payload, spec = job.payload, job.spec
    path = Path(payload["path"])
    if not payload["intact"]:
        raise SlideError(
            f"slide {job.unit}: {payload['tissue']} was changed or removed since the tissue stage wrote it. To use "
            f"your version move it to tissue/edited/, then run `pathosig tissue`.",
            code="E_EDITED",
        )
    polygons = read_polygons(job.root / payload["tissue"])
    with open_slide(path, mpp=payload["mpp"], region=payload["region"], icc=spec.icc) as reader:
        try:
            plan = plan_read(reader.info, spec.mpp, tolerance=spec.mpp_tolerance, exact=spec.exact)
        except SlideError as error:
            raise SlideError(f"slide {job.unit} ({path.name}): {error}", code=error.code) from error
        tile = spec.size_px * plan.level0_per_px
        stride = (spec.stride_px or spec.size_px) * plan.level0_per_px
        multiple = (
            round(2 * plan.level_downsample) if plan.scale >= 2 else max(1, round(plan.level_downsample))
        )
        size = reader.info.level_sizes[0]
        corners = grid(size, tile, stride, edge=spec.edge, multiple=multiple)
        downsample = max(1.0, tile / _MASK_PX_PER_TILE)
        canvas = (max(1, int(np.ceil(size[0] / downsample))), max(1, int(np.ceil(size[1] / downsample))))
        share = tissue_fraction(polygons_to_mask(polygons, canvas, downsample), corners, tile, downsample)
        enough = share >= spec.min_tissue
        kept, share = corners[enough], share[enough]
        columns: dict[str, np.ndarray] = {name: np.zeros(0, np.float32) for name in QUALITY_COLUMNS}
        if len(kept):
            overview, per_pixel = read_overview(reader, mpp=max(spec.quality_mpp, plan.mpp))
            columns = quality(overview, kept, tile, per_pixel)
        mpp = reader.info.mpp
    reasons = excluded(columns, spec)
    out = np.any(list(reasons.values()), axis=0) if len(kept) else np.zeros(0, bool)
    counts = {"tissue": int((~enough).sum()), **{k: int(v.sum()) for k, v in reasons.items()}}
    table = _table(kept[~out], share[~out], {k: v[~out] for k, v in columns.items()})
    metadata = {
        "spec": spec.to_dict(),
        "read_plan": plan.to_dict(),
        "mpp": spec.mpp,
        "slide_mpp": mpp,
        "size_px": spec.size_px,
        "tile_level0_px": tile,
    }
    write_table(job.root / payload["output"], table, TILES, {"pathosig": metadata})
    summary = {"n_tiles": table.num_rows, "n_grid": len(corners), "excluded": counts, "mpp": mpp}
    if table.num_rows:
        return Outcome(outputs=(payload["output"],), summary=summary)
    said = ", ".join(f"{n} {k}" for k, n in counts.items() if n) or "the slide is smaller than one tile"
    summary["reason"] = f"no tile left of {len(corners)}; left out for: {said}"
    return Outcome(
        outputs=(payload["output"],), status="empty", summary=summary, warnings=(summary["reason"],)
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
