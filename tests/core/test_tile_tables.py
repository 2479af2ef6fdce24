import numpy as np
import pyarrow as pa
import pytest

from pathosig.core.errors import InputError
from pathosig.core.overlay import read_overlay
from pathosig.core.phenotype_tree import PhenotypeTree, TreeNode
from pathosig.core.records import write_json
from pathosig.core.schema import TILES, write_table
from pathosig.core.study import Study
from pathosig.core.tile_tables import read_slide_tiles


def write_tiles(path, xy, **metadata):
    xy = np.array(xy, np.int32).reshape(-1, 2)
    columns = {
        "tile_id": pa.array(np.arange(len(xy), dtype=np.int32)),
        "x": pa.array(xy[:, 0]),
        "y": pa.array(xy[:, 1]),
        "tissue": pa.array(np.ones(len(xy), np.float32)),
    }
    write_table(path, pa.table(columns), TILES, {"pathosig": metadata})


def test_a_table_says_how_its_tiles_were_cut(tmp_path):
    spec = {"size_px": 224, "mpp": 0.5}
    write_tiles(tmp_path / "a.parquet", [[0, 0]], spec=spec, mpp=0.5, tile_level0_px=448.0, slide_mpp=0.25)
    tiles = read_slide_tiles(tmp_path / "a.parquet")
    assert (tiles.facts.size_px, tiles.facts.mpp, tiles.side) == (224, 0.5, 448.0)
    assert tiles.facts.slide_mpp == 0.25
    assert tiles.xy.tolist() == [[0, 0]]


def test_features_that_do_not_say_their_patch_size_are_as_wide_as_the_step_of_their_grid(tmp_path):
    """The importer of HDF5 features writes null there; the viewer and the exports must still draw them."""
    write_tiles(
        tmp_path / "a.parquet", [[0, 0], [512, 0], [512, 1024]], spec={"size_px": None}, tile_level0_px=None
    )
    assert read_slide_tiles(tmp_path / "a.parquet").side == 512


def test_a_single_tile_of_unknown_size_is_refused(tmp_path):
    write_tiles(tmp_path / "a.parquet", [[0, 0]], tile_level0_px=None)
    with pytest.raises(InputError, match="--mpp"):
        _ = read_slide_tiles(tmp_path / "a.parquet").side


@pytest.mark.parametrize(("corners", "width"), [([], 0), ([[0, 0], [300, 300]], 300)])
def test_an_overlay_needs_no_patch_size(tmp_path, corners, width):
    study = Study.create(tmp_path / "study", {"endpoints": {}})
    study.paths.slides.write_text("slide_id,patient_id,path\nA,P1,a.svs\n")
    study.paths.patients.write_text("patient_id,cohort\nP1,discovery\n")
    write_tiles(study.paths.tiles("A"), corners, tile_level0_px=None)
    overlay = read_overlay(study, study.specimens()[0])
    assert (len(overlay), overlay.tile_px) == (len(corners), width)


def test_a_tree_is_read_as_it_was_written(tmp_path):
    tree = PhenotypeTree(
        k=3,
        artefacts=frozenset({2}),
        nodes=(TreeNode(id="node_00", leaves=(0, 1), height=0.5),),
        linkage=((0.0, 1.0, 0.5, 2.0), (2.0, 3.0, 0.75, 3.0)),
        sizes=(5, 4, 3),
        coarse=(0, 0, 1),
        steadiness={"hpc_00": 0.25, "node_00": 0.875},
    )
    write_json(tmp_path / "tree.json", tree.to_dict())
    assert PhenotypeTree.read(tmp_path / "tree.json") == tree


@pytest.mark.parametrize("content", [[], {"nodes": []}, {"k": "many"}])
def test_a_file_that_is_no_tree_is_refused(tmp_path, content):
    write_json(tmp_path / "tree.json", content)
    with pytest.raises(InputError):
        PhenotypeTree.read(tmp_path / "tree.json")
