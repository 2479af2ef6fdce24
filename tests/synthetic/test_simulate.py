import sys

import numpy as np
import openslide
import pytest
from PIL import Image
from scipy import ndimage

from pathosig.commands.demo import demo
from pathosig.core.errors import ConfigError
from pathosig.core.records import read_json
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.slides import open_slide
from pathosig.synthetic import SimulateSpec, oracle, simulate, true_tile_labels
from pathosig.synthetic.layout import REGION_TILES, TILE, enlarge, label_map, true_shares
from pathosig.synthetic.materials import read_library
from pathosig.tiles.spec import TileSpec

SMALL = SimulateSpec(n_discovery=4, n_validation=1, types=3, tiles_per_patient=12, second_slide=0.5)


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides") / "study"
    simulate(folder, SMALL, execution=Execution(workers=2))
    return Study.open(folder)


def test_slides_open_in_openslide_as_aperio_with_mpp(slides):
    for specimen in slides.specimens():
        with openslide.OpenSlide(str(specimen.path)) as slide:
            assert slide.properties["openslide.vendor"] == "aperio"
            assert float(slide.properties["openslide.mpp-x"]) == 0.5
            assert slide.level_count >= 2
        with open_slide(specimen.path) as reader:
            assert reader.info.mpp == 0.5


def test_tables_agree_with_the_truth(slides):
    truth = read_json(slides.root / "truth.json")
    assert set(truth["patients"]) == set(slides.patients()["patient_id"])
    assert {s.id for s in slides.specimens()} == set(truth["slides"])
    for values in truth["patients"].values():
        assert sum(values["shares"]) == pytest.approx(1, abs=1e-3)
    assert slides.cohorts() == ["discovery", "validation_1", "validation_2"]
    assert set(slides.endpoints()) == {"os", "dfs"}


def test_types_are_known_per_tile(slides):
    specimen = slides.specimens()[0]
    with open_slide(specimen.path) as reader:
        width, height = reader.info.level_sizes[0]
    xy = np.array([(x, y) for y in range(0, height - TILE, TILE) for x in range(0, width - TILE, TILE)])
    area = true_tile_labels(slides, specimen, xy, TILE)
    assert area.shape == (len(xy), 3)
    assert area.sum(axis=1).max() <= 1.001
    assert (area.max(axis=1) > 0.9).any()


def test_the_same_seed_gives_the_same_bytes(slides, tmp_path):
    simulate(tmp_path / "again", SMALL, execution=Execution(workers=1))
    names = sorted(p.relative_to(slides.root) for p in slides.root.rglob("*") if p.is_file())
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (slides.root / name).read_bytes(), name


def test_slides_for_smaller_tiles_are_smaller_and_the_study_cuts_such_tiles(slides, tmp_path):
    simulate(tmp_path / "small", SMALL.replace(n_discovery=4, n_validation=0, tile_px=128))
    study = Study.open(tmp_path / "small")
    assert study.spec(TileSpec).size_px == 128
    assert slides.spec(TileSpec).size_px == TILE
    first = [s.specimens()[0] for s in (study, slides)]
    area = []
    for specimen in first:
        with open_slide(specimen.path) as reader:
            area.append(np.prod(reader.info.level_sizes[0]))
    assert area[0] / area[1] == pytest.approx((128 / TILE) ** 2, rel=0.05)


def test_enlarged_outlines_are_those_of_the_label_map():
    labels = label_map((1600, 1520), np.array([0.5, 0.3, 0.2]), np.random.default_rng(3))
    full = enlarge(labels)
    assert full.shape == (1520, 1600)
    middles = full[4::8, 4::8]
    assert (middles == labels).mean() > 0.98
    inside = ndimage.minimum_filter(labels, 9) == ndimage.maximum_filter(labels, 9)
    assert (full.reshape(190, 8, 200, 8).transpose(0, 2, 1, 3)[inside] == labels[inside][:, None, None]).all()


def test_regions_are_at_least_four_tiles_wide():
    assert REGION_TILES >= 4
    labels = label_map((4000, 3800), np.array([0.5, 0.3, 0.2]), np.random.default_rng(0))
    shares = true_shares(labels, 3)
    assert shares.sum() == pytest.approx(1)
    assert (labels == 0).mean() > 0.1


def test_tile_features_make_the_same_kind_of_study(tmp_path):
    spec = SimulateSpec(level="embeddings", n_discovery=120, n_validation=60, tiles_per_patient=40, dim=16)
    simulate(tmp_path / "s", spec)
    study = Study.open(tmp_path / "s")
    record = study.record("embed", "D001")
    assert record.status == "ok"
    assert record.damaged_outputs(study.root) == []
    c = oracle(study)
    assert 0.6 < c["discovery"] < 0.85


def test_real_features_come_from_a_file(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "f.npy", rng.normal(size=(60, 12)).astype(np.float32))
    rows = "\n".join(f"{'abc'[i % 3]},{i // 6}" for i in range(60))
    (tmp_path / "f.labels.csv").write_text("label,group\n" + rows + "\n")
    spec = SimulateSpec(level="embeddings", n_discovery=6, n_validation=2, features=str(tmp_path / "f.npy"))
    assert len(simulate(tmp_path / "s", spec).truth.types) == 3


def test_a_folder_with_a_study_is_never_written_over(tmp_path):
    spec = SimulateSpec(level="embeddings", n_discovery=4, n_validation=1)
    simulate(tmp_path / "s", spec)
    with pytest.raises(ConfigError):
        simulate(tmp_path / "s", spec)


def test_a_tiles_folder_needs_three_types(tmp_path):
    with pytest.raises(ConfigError, match="three types"):
        simulate(tmp_path / "s", SimulateSpec(tiles=str(tmp_path)))


def test_slides_are_painted_from_labelled_tiles(tmp_path):
    """Every type has a colour of its own, so that the colours of a slide are its true shares."""
    shades = {"a": 60, "b": 120, "c": 180}
    for name, shade in shades.items():
        (tmp_path / "library" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (224, 224), (220, shade, 220)).save(
                tmp_path / "library" / name / f"{number}.png"
            )
    library = read_library(tmp_path / "library")
    for discovery, validation in zip(library.half(True).tiles, library.half(False).tiles, strict=True):
        assert discovery and validation and not set(discovery) & set(validation)
    simulate(
        tmp_path / "s",
        SMALL.replace(tiles=str(tmp_path / "library"), slide_shift=0.0, second_slide=0.0),
    )
    study = Study.open(tmp_path / "s")
    truth = read_json(study.root / "truth.json")
    assert truth["types"] == list(shades)
    for specimen in study.specimens():
        with open_slide(specimen.path) as reader:
            pixels = reader.read_level(0, 0, 0, *reader.info.level_sizes[0]).reshape(-1, 3)
        green = pixels[pixels[:, 1] < 205, 1].astype(int)
        nearest = np.abs(green[:, None] - np.array(list(shades.values()))).argmin(1)
        shares = np.bincount(nearest, minlength=3) / len(green)
        np.testing.assert_allclose(shares, truth["slides"][specimen.id], atol=0.02)


def test_demo_takes_a_folder_of_tiles(tmp_path):
    with pytest.raises(ConfigError, match="three types"):
        demo(tmp_path / "s", tiles=tmp_path, browse=False)


def test_where_slides_cannot_be_written_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ModuleNotFoundError):
        simulate(tmp_path / "study", SimulateSpec(n_discovery=4, n_validation=0))
    assert not (tmp_path / "study").exists()
