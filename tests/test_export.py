"""Exports: each format opens in the library its users have."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pathosig.commands.export import export
from pathosig.core.errors import InputError
from pathosig.core.records import write_json, write_npy, write_parquet
from pathosig.core.schema import ASSIGNMENTS, TILES, write_table
from pathosig.core.study import Study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("export")
    (root / "patients.csv").write_text(
        "patient_id,cohort,os_time,os_event,note\n001,discovery,10,1,=SUM(A1)\n002,v1,12,0,\n",
        encoding="utf-8",
    )
    (root / "slides.csv").write_text(
        "slide_id,patient_id,path\nS1,001,S1.svs\nS2,002,S2.svs\n", encoding="utf-8"
    )
    study = Study.create(root)
    ids = np.arange(4, dtype=np.int32)
    corners = {"x": ids * 300, "y": ids * 0 + 50}
    write_table(
        study.file("tiles", "S1", ".parquet"),
        pa.table({"tile_id": ids, **corners, "tissue": np.ones(4, np.float32)}),
        TILES,
        {"pathosig": {"tile_level0_px": 300}},
    )
    zero, hpc = np.zeros(4, np.float32), np.array([0, 1, 1, 2], np.int16)
    columns = {"tile_id": ids, "hpc": hpc, "confidence": zero + 0.5, "hpc_2": hpc, "hpc_3": hpc}
    columns |= {"confidence_2": zero, "confidence_3": zero, "distance": zero}
    write_table(study.file("phenotypes", "S1", ".parquet"), pa.table(columns), ASSIGNMENTS)
    write_npy(study.file("embeddings", "S1", ".npy"), np.arange(12, dtype=np.float16).reshape(4, 3))
    write_json(root / "phenotypes" / "tree.json", {"k": 3, "artefact_hpcs": [2]})
    profile = {
        "patient_id": ["001"],
        "n_slides": pa.array([1], pa.int32()),
        "n_tiles": pa.array([4], pa.int32()),
    }
    profile |= {"hpc_00": [0.25], "hpc_01": [0.75]}
    write_parquet(
        root / "profiles" / "patients.parquet", pa.table(profile), {"pathosig": {"kind": "composition"}}
    )
    (root / "signature").mkdir()
    (root / "signature" / "scores.csv").write_text("patient_id,cohort,score,group\n001,discovery,0.5,high\n")
    return study


def test_anndata_holds_profiles_with_clinical_columns_and_tiles_with_embeddings(study):
    import anndata

    report = export(study, to="anndata")
    assert report.files == ("profiles_patients.h5ad", "tiles/S1.h5ad")  # one cohort has profiles
    assert report.skipped == ("S2",)
    profiles = anndata.read_h5ad(study.root / "export" / "anndata" / "profiles_patients.h5ad")
    assert list(profiles.obs_names) == ["001"]
    assert list(profiles.var_names) == ["hpc_00", "hpc_01"]
    assert profiles.obs["group"].iloc[0] == "high"
    tiles = anndata.read_h5ad(study.root / "export" / "anndata" / "tiles" / "S1.h5ad")
    np.testing.assert_array_equal(tiles.X, np.arange(12).reshape(4, 3))
    np.testing.assert_array_equal(tiles.obsm["spatial"][1], [450, 200])
    assert list(tiles.obs["hpc"]) == ["HPC 00", "HPC 01", "HPC 01", "HPC 02"]


def test_anndata_has_numbers_as_numbers_categories_with_colours_and_described_features(study):
    import anndata

    export(study, to="anndata")
    folder = study.root / "export" / "anndata"
    profiles = anndata.read_h5ad(folder / "profiles_patients.h5ad")
    assert profiles.obs["score"].dtype == np.float64
    assert profiles.obs["score"].iloc[0] == 0.5
    assert profiles.obs["patient_id"].iloc[0] == "001"
    assert profiles.obs["group"].dtype == "category"
    assert list(profiles.var.columns) == ["kind", "leaves", "color", "hr", "q", "selected", "weight"]
    assert list(profiles.var["kind"]) == ["leaf", "leaf"]
    tiles = anndata.read_h5ad(folder / "tiles" / "S1.h5ad")
    assert tiles.obs["hpc"].dtype == "category"
    assert len(tiles.uns["hpc_colors"]) == len(tiles.obs["hpc"].cat.categories) == 3
    assert tiles.uns["hpc_colors"][2] == "#BDBDBD"
    assert tiles.uns["spatial"]["S1"]["scalefactors"]["spot_diameter_fullres"] == 300


def test_every_cohort_has_an_object_of_its_own_and_tiles_their_contribution(tmp_path):
    import anndata

    from pathosig.commands.export_anndata import tiles_object, write_profiles
    from pathosig.core.study import Specimen

    root = tmp_path / "two"
    (root / "profiles").mkdir(parents=True)
    (root / "patients.csv").write_text("patient_id,cohort,os_time,os_event,age\n1,a b,10,1,60\n2,c,12,0,\n")
    study = Study.create(root)
    profile = {
        "patient_id": ["1", "2"],
        "n_slides": pa.array([1, 1], pa.int32()),
        "n_tiles": pa.array([4, 4], pa.int32()),
    }
    profile |= {"hpc_00": [0.25, 1.0], "hpc_01": [0.75, 0.0]}
    write_parquet(study.paths.patient_profiles, pa.table(profile), {"pathosig": {"kind": "composition"}})
    files = list(write_profiles(study, tmp_path / "out", ["#000000", "#FFFFFF"]))
    assert len(files) == 3
    whole, *parts = [anndata.read_h5ad(f) for f in files]
    assert [p.n_obs for p in parts] == [1, 1]
    assert whole.obs["age"].tolist()[0] == 60.0
    assert np.isnan(whole.obs["age"].tolist()[1])
    columns = {
        "tile_id": np.arange(3),
        "x": np.zeros(3, int),
        "y": np.zeros(3, int),
        "hpc": np.array([1, -1, 0]),
        "coarse": np.array([0, -1, 0]),
    }
    specimen = Specimen(id="S", slide_id="S", patient_id="1", cohort="c", path=root, kind="wsi")
    made = tiles_object(
        specimen,
        columns,
        None,
        names=["HPC 00", "HPC 01"],
        groups=["Coarse 0 tumour", "unassigned", "Coarse 0 tumour"],
        colours=["#000000", "#FFFFFF"],
        weights=np.array([1.0, -2.0]),
        width=10,
    )
    np.testing.assert_array_equal(made.obs["risk_contribution"], [-2.0, np.nan, 1.0])
    assert made.obs["hpc"].isna().tolist() == [False, True, False]
    assert made.obs["coarse_name"].tolist() == ["Coarse 0 tumour", "unassigned", "Coarse 0 tumour"]


def test_geojson_is_what_qupath_reads(study):
    export(study, to="geojson")
    found = json.loads((study.root / "export" / "geojson" / "S1.geojson").read_text())
    assert len(found["features"]) == 4
    feature = found["features"][1]
    assert feature["geometry"]["coordinates"][0][0] == feature["geometry"]["coordinates"][0][-1] == [300, 50]
    assert feature["properties"]["classification"]["name"] == "HPC 01"
    assert len(feature["properties"]["classification"]["color"]) == 3
    assert feature["properties"]["measurements"] == {"confidence": 0.5}
    script = (study.root / "export" / "geojson" / "load_tiles.groovy").read_text()
    assert "readObjects" in script
    assert "qupath.fx.dialogs.FileChoosers.promptForDirectory" in script  # where QuPath 0.5 has moved it


def test_h5_has_coords_and_features_row_by_row(study, tmp_path):
    import h5py

    export(study, to="h5", out=tmp_path / "for clam")
    with h5py.File(tmp_path / "for clam" / "S1.h5") as file:
        np.testing.assert_array_equal(file["coords"][2], [600, 50])
        assert file["features"].shape == (4, 3)
        assert file["coords"].attrs["patch_size_level0"] == 300


def test_csv_keeps_ids_as_text_and_numbers_exact(study):
    export(study, to="csv")
    folder = study.root / "export" / "csv"
    table = pd.read_csv(folder / "profiles_patients.csv", dtype={"patient_id": str})
    assert table.loc[0, "patient_id"] == "001"
    assert table.loc[0, "hpc_01"] == 0.75
    assert list(pd.read_csv(folder / "tiles" / "S1.csv")["hpc"]) == [0, 1, 1, 2]


def test_tissuumaps_gets_a_project_with_markers_in_their_colours(study):
    export(study, to="tissuumaps")
    folder = study.root / "export" / "tissuumaps"
    project = json.loads((folder / "S1.tmap").read_text())
    markers = pd.read_csv(folder / project["markerFiles"][0]["path"])
    assert list(markers.columns) == ["x", "y", "hpc", "coarse", "color"]
    assert markers.loc[3, "color"] == "#BDBDBD"
    assert project["layers"][0]["tileSource"] == "S1.svs.dzi"


def test_the_same_export_twice_gives_the_same_bytes(study, tmp_path):
    for form in ("geojson", "csv", "tissuumaps", "h5", "anndata"):
        first, second = export(study, to=form, out=tmp_path / "a"), export(study, to=form, out=tmp_path / "b")
        assert first.files == second.files
        for name in first.files:
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), (form, name)


def test_an_empty_study_is_refused_in_words(tmp_path):
    (tmp_path / "patients.csv").write_text("patient_id,cohort,os_time,os_event\nP1,discovery,10,1\n")
    with pytest.raises(InputError, match="no tiles"):
        export(Study.create(tmp_path), to="csv")


def test_names_of_pathologists_are_written_out(study, tmp_path):
    names = study.root / "hpc_names.csv"
    names.write_text("hpc,name\n" + "".join(f"{i},kind {i}\n" for i in range(60)))
    try:
        export(study, to="geojson", out=tmp_path / "named")
    finally:
        names.unlink()
    texts = [p.read_text() for p in sorted((tmp_path / "named").rglob("*.geojson"))]
    assert texts
    assert all("kind " in text for text in texts if "HPC" in text)


def test_a_slide_is_a_spatialdata_store_of_tiles_tissue_and_table(study, tmp_path):
    spatialdata = pytest.importorskip("spatialdata")
    report = export(study, to="spatialdata", out=tmp_path / "out")
    assert report.files == ("S1.zarr",)
    data = spatialdata.read_zarr(tmp_path / "out" / "S1.zarr")
    assert data["tiles"].geometry.iloc[2].bounds == (600.0, 50.0, 900.0, 350.0)
    table = data["table"]
    assert table.obs["hpc"].astype(str).tolist() == ["HPC 00", "HPC 01", "HPC 01", "HPC 02"]
    assert len(table.uns["hpc_colors"]) == len(table.obs["hpc"].cat.categories)
    assert table.uns["spatialdata_attrs"]["region"] == "tiles"


def test_csv_holds_the_signature_and_its_baseline(tmp_path):
    from pathosig.commands.export_csv import write_tables
    from pathosig.signature.model import Signature, Transform
    from pathosig.survival.baseline import Baseline

    root = tmp_path / "study"
    root.mkdir()
    study = Study.create(root)
    Signature(
        endpoint="os",
        hpcs=("node_03",),
        coef=(4.25,),
        center=(0.5,),
        transform=Transform(scale="share", k=8, leaves={"node_03": (0, 7)}),
        cutoff=0.125,
        cutoff_rule="discovery median",
        baseline=Baseline(time=(12.0,), survival=(0.9,), unit="months", until=60.0),
    ).save(study.paths.signature)
    files = {p.name: pd.read_csv(p) for p in write_tables(study, tmp_path / "out")}
    assert set(files) == {"signature.csv", "baseline.csv"}
    row = files["signature.csv"].iloc[0]
    assert (row["leaves"], row["coef"], row["center"], row["cutoff"]) == ("0 7", 4.25, 0.5, 0.125)
    assert files["baseline.csv"]["survival"].tolist() == [0.9]
