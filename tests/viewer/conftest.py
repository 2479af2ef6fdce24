"""A small study with a real pyramid-free slide, tiles, HPCs, an atlas and scores."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import tifffile

from pathosig.core.records import write_json
from pathosig.core.schema import ASSIGNMENTS, ATLAS, TILES, write_table
from pathosig.core.study import Study

TREE = {
    "k": 3,
    "nodes": [],
    "artefact_hpcs": [2],
    "linkage": [[0, 1, 0.1, 2], [2, 3, 0.5, 3]],
    "coarse": {"k": 2, "groups": [0, 0, 1]},
    "steadiness": {"coarse_0": 0.75},
}
ODD_NAME = "S3 <b>Müller, Anna</b>"


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("viewer study")
    pixels = np.random.default_rng(0).integers(120, 250, (900, 1300, 3)).astype(np.uint8)
    tifffile.imwrite(root / "a.tif", pixels, tile=(256, 256), photometric="rgb", compression="deflate",
                     resolution=(20000, 20000), resolutionunit="CENTIMETER")  # fmt: skip
    (root / "broken.svs").write_bytes(b"not a slide")
    (root / "patients.csv").write_text(
        "patient_id,cohort,os_time,os_event\nP1,discovery,10,1\nP2,discovery,12,0\nP3,v1,5,1\n",
        encoding="utf-8",
    )
    rows = [("S1", "P1", "a.tif"), (ODD_NAME, "P3", "a.tif"), ("S2", "P2", "broken.svs")]
    text = "slide_id,patient_id,path\n" + "".join(f'"{s}",{p},{f}\n' for s, p, f in rows)
    (root / "slides.csv").write_text(text, encoding="utf-8")
    study = Study.create(root)
    x, y = (a.ravel().astype(np.int32) for a in np.meshgrid(np.arange(0, 1000, 200), np.arange(0, 600, 200)))
    n = len(x)
    ids = np.arange(n, dtype=np.int32)
    for specimen in study.specimens()[:2]:
        measured = specimen.id == "S1"  # the tiles of the other slide have neither quality nor distances
        table = pa.table({"tile_id": ids, "x": x, "y": y, "tissue": np.ones(n, np.float32)})
        if measured:
            table = table.append_column("blur", pa.array(np.linspace(0, 1, n, dtype=np.float32)))
        write_table(
            study.file("tiles", specimen.id, ".parquet"), table, TILES, {"pathosig": {"tile_level0_px": 200}}
        )
        zero, hpc = np.zeros(n, np.float32), (ids % 3).astype(np.int16)
        columns = {"tile_id": ids, "hpc": hpc, "confidence": zero + 1, "hpc_2": hpc, "hpc_3": hpc}
        columns |= {"confidence_2": zero, "confidence_3": zero, "distance": zero, "coarse": hpc // 2}
        if measured:
            columns |= {"residual": (ids / 7).astype(np.float32), "mahalanobis": zero + np.float32(0.25)}
        write_table(study.file("phenotypes", specimen.id, ".parquet"), pa.table(columns), ASSIGNMENTS)
        ring = [[0, 0], [1000, 0], [1000, 600], [0, 0]]
        shape = {"type": "Polygon", "coordinates": [ring]}
        features = [{"type": "Feature", "properties": {}, "geometry": shape}]
        write_json(
            study.file("tissue", specimen.id, ".geojson"), {"type": "FeatureCollection", "features": features}
        )
    atlas = pa.table(
        {
            "hpc": pa.array([1], pa.int16()),
            "rank": pa.array([0], pa.int16()),
            "kind": ["typical"],
            "slide_id": ["S1"],
            "tile_id": pa.array([1], pa.int32()),
            "x": pa.array([200], pa.int32()),
            "y": pa.array([0], pa.int32()),
            "distance": pa.array([0.1], pa.float32()),
            "coarse": pa.array([0], pa.int16()),
        }
    )
    write_table(root / "phenotypes" / "atlas.parquet", atlas, ATLAS)
    write_json(root / "phenotypes" / "tree.json", TREE)
    (root / "signature").mkdir()
    (root / "signature" / "scores.csv").write_text(
        "patient_id,cohort,score,group,core_agreement\nP1,discovery,0.5,high,single\nP3,v1,-0.25,low,single\n",
        encoding="utf-8",
    )
    return study
