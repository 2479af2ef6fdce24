"""A study with one slide and an atlas of three HPCs whose tiles have colours of their own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile

from pathosig.core.schema import ASSIGNMENTS, ATLAS, TILES, write_table
from pathosig.core.study import Study

SIDE, ROWS, COLUMNS = 100, 3, 10
COLOURS = ((200, 60, 60), (60, 160, 60), (60, 60, 200))


@pytest.fixture
def study(tmp_path):
    root = tmp_path / "study of <b>names"
    root.mkdir()
    pixels = np.empty((ROWS * SIDE, COLUMNS * SIDE, 3), np.uint8)
    for row, colour in enumerate(COLOURS):  # a row of tiles is an HPC
        pixels[row * SIDE : (row + 1) * SIDE] = colour
    tifffile.imwrite(root / "a.tif", pixels, tile=(256, 256), photometric="rgb", compression="deflate",
                     resolution=(20000, 20000), resolutionunit="CENTIMETER")  # fmt: skip
    (root / "patients.csv").write_text("patient_id,cohort,os_time,os_event\nP1,discovery,10,1\n")
    (root / "slides.csv").write_text("slide_id,patient_id,path\nSECRET,P1,a.tif\n")
    opened = Study.create(root)
    ids = np.arange(ROWS * COLUMNS, dtype=np.int32)
    x, y = (ids % COLUMNS * SIDE).astype(np.int32), (ids // COLUMNS * SIDE).astype(np.int32)
    table = pa.table({"tile_id": ids, "x": x, "y": y, "tissue": np.ones(len(ids), np.float32)})
    write_table(opened.paths.tiles("SECRET"), table, TILES, {"pathosig": {"tile_level0_px": SIDE}})
    hpc, zero = (ids // COLUMNS).astype(np.int16), np.zeros(len(ids), np.float32)
    columns = {"tile_id": ids, "hpc": hpc, "confidence": zero + 1, "hpc_2": hpc, "hpc_3": hpc}
    columns |= {"confidence_2": zero, "confidence_3": zero, "distance": zero}
    write_table(opened.paths.assignments("SECRET"), pa.table(columns), ASSIGNMENTS)
    atlas = {"hpc": hpc, "rank": (ids % COLUMNS).astype(np.int16), "kind": ["typical"] * len(ids)}
    atlas |= {"slide_id": ["SECRET"] * len(ids), "tile_id": ids, "x": x, "y": y, "distance": zero}
    write_table(opened.paths.atlas, pa.table(atlas), ATLAS)
    return opened


@pytest.fixture
def grouped(study):
    """The study with HPCs 0 and 1 in coarse group 0 and HPC 2 in coarse group 1."""
    atlas = pq.read_table(study.paths.atlas)
    groups = pa.array(np.minimum(atlas["hpc"].to_numpy() // 2, 1), pa.int16())
    write_table(study.paths.atlas, atlas.append_column("coarse", groups), ATLAS)
    return study
