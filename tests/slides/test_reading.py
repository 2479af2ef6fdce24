"""Pixels are those of the slide: exact at native resolution, area means below it, no seams."""

import subprocess
import sys

import numpy as np
import openslide
import pytest
import tifffile
from files import texture, write_svs

from pathosig.core.errors import SlideError
from pathosig.slides import open_slide, plan_read, read_all_tiles, read_overview, read_tiles
from pathosig.slides.pyramid import resample


def area(image, factor):
    h, w = (s // factor * factor for s in image.shape[:2])
    blocks = image[:h, :w].reshape(h // factor, factor, w // factor, factor, 3)
    return blocks.mean(axis=(1, 3))


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2))


def test_native_pixels_are_bit_identical_to_openslide(tissue_slide):
    with open_slide(tissue_slide, reader="tiff") as reader, openslide.OpenSlide(tissue_slide) as peer:
        for x, y, w, h in [(0, 0, 500, 400), (233, 517, 301, 299), (2000, 2800, 300, 300)]:
            expected = np.asarray(peer.read_region((x, y), 0, (w, h)))
            inside = expected[..., 3] == 255
            assert np.array_equal(reader.read_level(0, x, y, w, h)[inside], expected[..., :3][inside])
        xy = [(x, y) for y in range(0, 2900 - 224, 448) for x in range(0, 2200 - 224, 448)]
        tiles = read_all_tiles(reader, plan_read(reader.info, reader.info.mpp), xy, 224, threads=2)
        for (x, y), tile in zip(xy, tiles, strict=True):
            assert np.array_equal(tile, np.asarray(peer.read_region((x, y), 0, (224, 224)))[..., :3])


@pytest.mark.parametrize("factor", [2, 4])
def test_scaled_decoding_stays_close_to_area_means(factor, tissue_slide):
    with open_slide(tissue_slide) as reader:
        plan = plan_read(reader.info, reader.info.mpp * factor)
        full = reader.read_level(0, 0, 0, 2200, 2900)
        side = 200
        xy = [
            (x, y)
            for y in range(0, 2900 - side * factor, side * factor)
            for x in range(0, 2200 - side * factor, side * factor)
        ]
        tiles = read_all_tiles(reader, plan, xy, side)
    expected = np.stack([area(full[y : y + side * factor, x : x + side * factor], factor) for x, y in xy])
    assert psnr(tiles, expected) >= 40
    assert np.abs((tiles.astype(float) - expected).mean(axis=(0, 1, 2))).max() <= 0.3


def test_the_exact_mode_is_the_area_mean_rounded(tissue_slide):
    with open_slide(tissue_slide) as reader:
        plan = plan_read(reader.info, reader.info.mpp * 2, exact=True)
        full = reader.read_level(0, 100, 60, 400, 400)
        tile = read_all_tiles(reader, plan, [(100, 60)], 200)[0]
    assert np.abs(tile - area(full, 2)).max() <= 0.5


@pytest.mark.parametrize("mpp", [0.25, 0.4, 0.5, 1.0])
def test_tiles_side_by_side_have_no_seam_on_a_gradient(tmp_path, mpp):
    ramp = (
        np.repeat(np.linspace(20, 235, 1200)[None, :, None], 600, axis=0).repeat(3, axis=2).astype(np.uint8)
    )
    path = write_svs(tmp_path / "ramp.svs", ramp, levels=(1,), compression=None)
    with open_slide(path) as reader:
        plan = plan_read(reader.info, mpp)
        step = round(64 * plan.level0_per_px)
        tiles = read_all_tiles(reader, plan, [(i * step, 96) for i in range(4)], 64)
    line = np.concatenate(list(tiles), axis=1)[:, :, 0].astype(int)
    assert np.abs(np.diff(line, axis=1)).max() <= np.ceil(mpp / 0.25 * 215 / 1200) + 1


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_and_blocks_never_change_a_pixel(threads, tissue_slide):
    xy = [(x, y) for y in range(0, 1200, 300) for x in range(0, 1200, 300)]
    with open_slide(tissue_slide) as reader:
        plan = plan_read(reader.info, 1.0)
        expected = read_all_tiles(reader, plan, xy, 150)
        blocks = list(read_tiles(reader, plan, xy, 150, threads=threads, block=5))
    assert np.array_equal(np.concatenate([b.tiles for b in blocks]), expected)
    assert np.concatenate([b.index for b in blocks]).tolist() == list(range(len(xy)))


def test_single_pixels_keep_their_weight_at_odd_sizes():
    image = np.zeros((37, 53, 3), np.uint8)
    image[17, 29] = 255
    for size in [(53, 37), (26, 18), (13, 11), (7, 5)]:
        small = resample(image, size)
        total = small[..., 0].astype(float).sum() * (53 / size[0]) * (37 / size[1])
        assert abs(total - 255) <= 0.51 * (53 / size[0]) * (37 / size[1]) * 4


def test_resampling_a_constant_gives_the_constant():
    image = np.full((61, 47, 3), 137, np.uint8)
    for size in [(47, 61), (20, 33), (90, 100), (1, 1)]:
        assert (resample(image, size) == 137).all()
    assert (resample(image, (10, 10), box=(40.3, 50.7, 20.0, 20.0)) == 137).all()


def test_tiles_over_the_edge_are_padded_white(tissue_slide):
    with open_slide(tissue_slide) as reader:
        width, height = reader.info.level_sizes[0]
        tile = read_all_tiles(
            reader, plan_read(reader.info, reader.info.mpp), [(width - 50, height - 60)], 100
        )[0]
    assert (tile[:, 50:] == 255).all()
    assert (tile[60:] == 255).all()
    assert not (tile[:60, :50] == 255).all()


@pytest.mark.parametrize(
    ("compression", "predictor"),
    [
        ("zlib", False),
        ("zlib", True),
        ("lzw", True),
        (None, False),
        ("webp", False),
        ("jpeg2000", False),
        ("jpeg", False),
    ],
)
def test_codecs_give_the_pixels_that_tifffile_gives(tmp_path, compression, predictor):
    rgb = texture(520, 610)
    options = {"compressionargs": {"lossless": True}} if compression == "webp" else {}
    options |= {"predictor": predictor} if predictor else {}
    path = write_svs(tmp_path / "s.svs", rgb, levels=(1,), tile=256, compression=compression, **options)
    expected = tifffile.imread(path, key=0)
    with open_slide(path) as reader:
        found = reader.read_level(0, 0, 0, 610, 520)
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_rgb_stored_in_jpeg_without_a_colour_transform_keeps_its_colours(tmp_path):
    rgb = texture(480, 480)
    path = tmp_path / "s.svs"
    write_svs(path, rgb, levels=(1,), compressionargs={"level": 95, "outcolorspace": "rgb"})
    with open_slide(path) as reader:
        assert psnr(reader.read_level(0, 0, 0, 480, 480), rgb) > 30


def test_an_overview_is_the_slide_seen_small(tissue_slide):
    with open_slide(tissue_slide) as reader:
        rgb, downsample = read_overview(reader, mpp=8.0)
        full = reader.read_level(0, 0, 0, 2208, 2960)
    assert downsample == pytest.approx(8 / 0.499, rel=0.01)
    assert abs(rgb.shape[0] - 2967 / downsample) <= 1
    assert abs(rgb.shape[1] - 2220 / downsample) <= 1
    small = resample(full, (round(2208 / downsample), round(2960 / downsample)))
    assert psnr(rgb[:180, :130], small[:180, :130]) > 22


def test_a_region_behaves_like_a_slide(tissue_slide):
    with open_slide(tissue_slide) as whole, open_slide(tissue_slide, region=(300, 400, 512, 640)) as part:
        assert part.info.level_sizes[0] == (512, 640)
        assert np.array_equal(part.read_level(0, 10, 20, 100, 90), whole.read_level(0, 310, 420, 100, 90))
        plan = plan_read(whole.info, 1.0)
        a, b = read_all_tiles(whole, plan, [(300, 400)], 100), read_all_tiles(part, plan, [(0, 0)], 100)
    assert np.array_equal(a, b)


def test_a_coarse_dicom_is_refused_at_half_a_micrometre_and_read_at_its_own(pathosig_data):
    path = pathosig_data / "slides" / "camelyon-overview.dcm"
    with open_slide(path) as reader:
        assert reader.info.mpp == pytest.approx(28.97, rel=0.01)
        with pytest.raises(SlideError, match="28.9") as caught:
            plan_read(reader.info, 0.5)
        assert caught.value.code == "E_RESOLUTION"
        tiles = read_all_tiles(reader, plan_read(reader.info, reader.info.mpp), [(200, 100)], 224)
    assert tiles.std() > 5


def test_openslide_and_the_fast_path_agree_below_native(tissue_slide):
    xy = [(400, 400), (1024, 1600)]
    with (
        open_slide(tissue_slide, reader="tiff") as fast,
        open_slide(tissue_slide, reader="openslide") as slow,
    ):
        a, b = (read_all_tiles(r, plan_read(r.info, 1.0, exact=True), xy, 200) for r in (fast, slow))
    assert np.array_equal(a, b)


def test_importing_slides_stays_light():
    code = "import sys, pathosig.slides; print([m for m in ('pandas', 'torch', 'matplotlib', 'openslide', 'tifffile') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
