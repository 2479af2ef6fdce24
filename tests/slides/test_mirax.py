"""MIRAX: the slide is the area of its bounds, and parts that the camera did not take are background and never tissue."""

import numpy as np
import openslide
import pytest
from files import texture
from mirax import SIDE, write_mrxs
from PIL import Image

from pathosig.core.errors import SlideError
from pathosig.core.fingerprints import identity
from pathosig.core.records import read_json
from pathosig.core.schema import TILES, read_table
from pathosig.core.study import Study
from pathosig.slides import open_slide, plan_read, read_all_tiles, read_overview
from pathosig.slides.backends.openslide import OpenSlideReader
from pathosig.tiles import TileSpec
from pathosig.tiles.stage import cut_tiles
from pathosig.tissue.stage import find_tissue

FILL = (240, 236, 243)
PRESENT = np.ones((7, 9), bool)
PRESENT[0] = PRESENT[:, :2] = False  # bounds start at (2, 1) images
PRESENT[3, 4] = False
PRESENT[5:, 6:] = False
RGB = texture(7 * SIDE, 9 * SIDE)
INSIDE = PRESENT[1:, 2:].repeat(SIDE, axis=0).repeat(SIDE, axis=1)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    return write_mrxs(
        tmp_path_factory.mktemp("mirax") / "P1.mrxs", RGB, PRESENT, mpp=0.5, power=20, fill=FILL
    )


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def test_the_file_is_one_openslide_knows_and_has_transparent_parts(slide):
    assert openslide.OpenSlide.detect_format(slide) == "mirax"
    with openslide.OpenSlide(slide) as raw:
        alpha = np.asarray(raw.read_region((0, 0), 0, raw.dimensions))[..., 3]
    assert abs((alpha > 0).mean() - PRESENT.mean()) < 1e-9


def test_bounds_are_the_slide_and_the_resolution_is_the_headers(slide):
    with open_slide(slide) as reader:
        assert isinstance(reader.source, OpenSlideReader)
        assert reader.info.level_sizes == ((7 * SIDE, 6 * SIDE), (448, 384), (224, 192))
        assert reader.info.downsamples == (1.0, 2.0, 4.0)
        assert (reader.info.mpp, reader.info.mpp_source, reader.info.vendor) == (0.5, "header", "mirax")
        assert (reader.info.objective_power, reader.info.warnings) == (20.0, ())


@pytest.mark.parametrize("level", [0, 1, 2])
def test_transparent_parts_have_the_background_colour_at_every_level(slide, level):
    step = 2**level
    with open_slide(slide) as reader:
        pixels = reader.read_level(level, 0, 0, *reader.info.level_sizes[level])
    taken = INSIDE[::step, ::step]
    assert (pixels[~taken] == FILL).all()
    expected = (
        RGB[SIDE:, 2 * SIDE :].reshape(6 * SIDE // step, step, 7 * SIDE // step, step, 3).mean(axis=(1, 3))
    )
    assert psnr(pixels[taken], expected[taken]) > 30


def test_half_transparent_pixels_are_mixed_with_the_background(slide):
    with OpenSlideReader(slide) as reader:
        rgba = np.array([[[0, 100, 200, 128], [10, 20, 30, 0], [10, 20, 30, 255]]], np.uint8)
        mixed = reader._composite(rgba)[0]
    share = 128 / 255
    assert np.abs(mixed[0] - (np.array([0, 100, 200]) * share + np.array(FILL) * (1 - share))).max() <= 0.51
    assert mixed[1].tolist() == list(FILL)
    assert mixed[2].tolist() == [10, 20, 30]


def test_tiles_lie_where_their_level_0_corner_says(slide):
    corners = [(0, 0), (256, 192), (40, 500)]
    with open_slide(slide) as reader:
        for mpp in (0.5, 1.0, 1.4):
            factor = mpp / 0.5
            tiles = read_all_tiles(reader, plan_read(reader.info, mpp), corners, 64)
            for (x, y), tile in zip(corners, tiles, strict=True):
                side = round(64 * factor)
                taken = INSIDE[y : y + side, x : x + side]
                source = np.where(
                    taken[..., None],
                    RGB[SIDE + y : SIDE + y + side, 2 * SIDE + x : 2 * SIDE + x + side],
                    FILL,
                )
                box = np.asarray(
                    Image.fromarray(source.astype(np.uint8)).resize((64, 64), Image.Resampling.BOX)
                )
                assert psnr(tile, box) > 29, (mpp, x, y)


def test_no_tissue_is_found_where_the_camera_took_nothing(slide, tmp_path):
    # level 0: pale glass with two stained squares, one of which would lie in a part that was not taken
    glass = np.full_like(RGB, (242, 240, 243))
    glass[2 * SIDE : 5 * SIDE, 2 * SIDE : 6 * SIDE] = RGB[2 * SIDE : 5 * SIDE, 2 * SIDE : 6 * SIDE]
    glass[5 * SIDE :, 6 * SIDE :] = RGB[5 * SIDE :, 6 * SIDE :]
    write_mrxs(tmp_path / "P1.mrxs", glass, PRESENT, mpp=1.0, power=10, fill=(255, 255, 255))
    study = Study.create(tmp_path / "study", {"endpoints": {}})
    (study.root / "slides.csv").write_text(f"slide_id,patient_id,path\nP1,P1,{tmp_path / 'P1.mrxs'}\n")
    (study.root / "patients.csv").write_text("patient_id,cohort\nP1,discovery\n")
    assert find_tissue(study).done == ("P1",)
    from shapely import box, union_all
    from shapely.geometry import shape

    found = union_all(
        [shape(f["geometry"]) for f in read_json(study.file("tissue", "P1", ".geojson"))["features"]]
    )
    stained = box(0, SIDE, 4 * SIDE, 4 * SIDE)  # relative to the bounds
    hole = box(2 * SIDE + 16, 2 * SIDE + 16, 3 * SIDE - 16, 3 * SIDE - 16)  # image (3, 4) was not taken
    corner = box(4 * SIDE + 16, 4 * SIDE + 16, 7 * SIDE, 6 * SIDE)
    assert found.intersection(stained).area > 0.85 * (stained.area - SIDE**2)
    assert found.intersection(hole).area == 0
    assert found.intersection(corner).area == 0
    assert cut_tiles(study, TileSpec(mpp=1.0, size_px=64)).done == ("P1",)
    table = read_table(study.file("tiles", "P1", ".parquet"), TILES)
    tiles = [box(x, y, x + 64, y + 64) for x, y in zip(*(table[k].to_pylist() for k in "xy"), strict=True)]
    assert len(tiles) > 10
    assert all(stained.contains(tile) and tile.intersection(hole).area <= 0.4 * 64 * 64 for tile in tiles)


def test_an_overview_has_the_background_where_nothing_was_taken(slide):
    with open_slide(slide) as reader:
        overview, factor = read_overview(reader, 4.0)
    assert factor == 8.0
    assert (overview[~INSIDE[::8, ::8]] == FILL).all()


def test_the_data_folder_belongs_to_the_input(tmp_path):
    path = write_mrxs(
        tmp_path / "s.mrxs", RGB[: 2 * SIDE, : 3 * SIDE], np.array([[0, 1, 1], [1, 1, 1]], bool)
    )
    before = identity(path)
    data = tmp_path / "s" / "Data0000.dat"
    data.write_bytes(data.read_bytes()[:-1] + b"?")
    assert identity(path) != before
    assert identity(path)["size"] == before["size"]


@pytest.mark.parametrize("lost", ["Slidedat.ini", "Index.dat", "Data0000.dat", None])
def test_a_slide_without_its_folder_or_a_file_of_it_is_refused(tmp_path, lost):
    path = write_mrxs(
        tmp_path / "s.mrxs", RGB[: 2 * SIDE, : 3 * SIDE], np.array([[0, 1, 1], [1, 1, 1]], bool)
    )
    if lost is None:
        (tmp_path / "s").rename(tmp_path / "elsewhere")
    else:
        (tmp_path / "s" / lost).unlink()
    with pytest.raises(SlideError, match=r"s\.mrxs") as caught:
        open_slide(path)
    assert caught.value.code == "E_FORMAT"
