"""NDPI: intervals between restart markers are decoded separately and give OpenSlide's pixels."""

import io

import numpy as np
import openslide
import pytest
from files import texture
from ndpis import write_ndpi
from PIL import Image

from pathosig.core.errors import SlideError
from pathosig.slides import open_slide, plan_read, read_all_tiles, read_overview, read_tiles
from pathosig.slides.backends.ndpi import NdpiReader
from pathosig.slides.backends.openslide import OpenSlideReader
from pathosig.slides.pyramid import resample

RGB = texture(16 * 40, 1024)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    return write_ndpi(tmp_path_factory.mktemp("ndpi") / "s.ndpi", RGB)


def psnr(a, b):
    return 10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2)))


def test_the_file_is_one_openslide_knows_and_takes_the_fast_path(slide):
    assert openslide.OpenSlide.detect_format(slide) == "hamamatsu"
    with open_slide(slide) as reader, OpenSlideReader(slide) as slow:
        assert isinstance(reader.source, NdpiReader)
        assert reader.info.level_sizes == ((1024, 640), (256, 160))  # without the macro image
        assert reader.info.downsamples == (1.0, 4.0)
        assert reader.info.level_sizes[0] == slow.info.level_sizes[0]
        assert abs(reader.info.mpp - 0.25) < 1e-9
        assert (reader.info.mpp, reader.info.mpp_source) == (slow.info.mpp, slow.info.mpp_source)
        assert (reader.info.vendor, reader.info.objective_power) == ("hamamatsu", 40.0)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2"])
@pytest.mark.parametrize("blocks", [16, 4])
def test_native_pixels_are_bit_identical_to_openslide(tmp_path, subsampling, blocks):
    path = write_ndpi(tmp_path / "s.ndpi", RGB, subsampling=subsampling, blocks=blocks)
    with open_slide(path) as fast, OpenSlideReader(path) as slow:
        assert isinstance(fast.source, NdpiReader)
        for level, (width, height) in enumerate(fast.info.level_sizes):
            same = slow.info.downsamples.index(fast.info.downsamples[level])
            expected = slow.read_level(same, 0, 0, width, height)
            assert np.array_equal(fast.read_level(level, 0, 0, width, height), expected), level
        inner = slow.read_level(0, 301, 77, 255, 190)
        assert np.array_equal(fast.read_level(0, 301, 77, 255, 190), inner)
        beyond = fast.read_level(0, 1000, 600, 60, 60)
        assert np.array_equal(beyond[:40, :24], fast.read_level(0, 1000, 600, 24, 40))
        assert (beyond[40:] == 255).all()
        assert (beyond[:, 24:] == 255).all()


def test_colour_shared_between_rows_is_decoded_too_where_openslide_gives_up(tmp_path):
    path = write_ndpi(tmp_path / "s.ndpi", RGB, subsampling="4:2:0", levels=(1,))
    data = path.read_bytes()
    whole = np.asarray(Image.open(io.BytesIO(data[data.index(b"\xff\xd8") :])))
    with open_slide(path) as reader:
        assert isinstance(reader.source, NdpiReader)
        pixels = reader.read_level(0, 0, 0, 1024, 640)
    assert psnr(pixels, whole) > 45
    assert np.array_equal(pixels[1:63, 1:255], whole[1:63, 1:255])  # within a piece


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("mpp", [0.5, 1.0, 2.0])
def test_scaled_decoding_stays_close_to_area_means(tmp_path, mpp, subsampling, tissue_slide):
    with open_slide(tissue_slide) as real:
        rgb = real.read_level(0, 600, 600, 1024, 640)
    path = write_ndpi(tmp_path / "s.ndpi", rgb, subsampling=subsampling, levels=(1,))
    with open_slide(path) as reader:
        size = round(400 * 0.25 / mpp)
        (tile,) = read_all_tiles(reader, plan_read(reader.info, mpp), [(240, 160)], size)
        full = resample(reader.read_level(0, 240, 160, 400, 400), (size, size))
        assert psnr(tile, full) >= 40
        assert np.abs((tile.astype(float) - full).mean(axis=(0, 1))).max() <= 0.3
        (exact,) = read_all_tiles(reader, plan_read(reader.info, mpp, exact=True), [(240, 160)], size)
        assert np.array_equal(exact, full)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_never_change_a_pixel(slide, threads):
    xy = [(x, y) for y in range(0, 450, 150) for x in range(0, 850, 170)]
    with open_slide(slide) as reader:
        plan = plan_read(reader.info, 0.5)
        tiles = read_all_tiles(reader, plan, xy, 64, threads=threads)
        one_by_one = np.concatenate([read_all_tiles(reader, plan, [at], 64) for at in xy])
    assert np.array_equal(tiles, one_by_one)


def test_an_overview_is_the_slide_seen_small(slide):
    with open_slide(slide) as reader:
        overview, factor = read_overview(reader, 2.0)
    assert factor == 8.0
    expected = np.asarray(Image.fromarray(RGB).resize((128, 80), Image.Resampling.BOX))
    assert psnr(overview, expected) > 27  # the second level takes every fourth pixel


def test_without_listed_markers_or_without_markers_openslide_reads_it(tmp_path):
    for name, options in {
        "unlisted": {"starts": False},
        "none": {"blocks": 0},
    }.items():
        path = write_ndpi(tmp_path / f"{name}.ndpi", RGB, levels=(1,), **options)
        with open_slide(path) as reader:
            assert isinstance(reader.source, OpenSlideReader)
            assert np.abs(reader.read_level(0, 0, 0, 1024, 640).astype(int) - RGB).mean() < 3


def test_a_level_without_markers_below_one_with_them_is_decoded_whole(tmp_path):
    rgb = texture(640, 1024, seed=3)
    path = write_ndpi(
        tmp_path / "s.ndpi", rgb, levels=(1, 16), blocks=16
    )  # 64 px: fewer MCUs than an interval
    with open_slide(path) as fast, OpenSlideReader(path) as slow:
        assert isinstance(fast.source, NdpiReader)
        assert fast.info.level_sizes == ((1024, 640), (64, 40))
        same = slow.info.downsamples.index(16.0)
        assert np.array_equal(fast.read_level(1, 0, 0, 64, 40), slow.read_level(same, 0, 0, 64, 40))


def test_a_size_that_jpeg_cannot_hold_is_taken_from_the_tiff(tmp_path):
    path = write_ndpi(tmp_path / "s.ndpi", RGB, levels=(1,))
    with open_slide(path) as reader:
        expected = reader.read_level(0, 0, 0, 1024, 640)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = bytes(4)  # as for sizes above 65,500 px
    path.write_bytes(data)
    with open_slide(path) as reader:
        assert np.array_equal(reader.read_level(0, 0, 0, 1024, 640), expected)


def test_a_damaged_interval_costs_only_the_tiles_it_touches(tmp_path):
    path = write_ndpi(tmp_path / "s.ndpi", RGB, levels=(1,))
    with open_slide(path) as reader:
        second = int(reader._levels[0].layout.starts[1])
    data = bytearray(path.read_bytes())
    data[second - 2 : second] = b"\0\0"  # the marker between the first interval and the second
    path.write_bytes(data)
    with open_slide(path) as reader:
        (block,) = read_tiles(reader, plan_read(reader.info, 0.25), [(0, 0), (512, 0), (0, 256)], 64)
    assert block.failed.tolist() == [True, False, False]


@pytest.mark.parametrize("share", [0.02, 0.5, 0.8])
def test_a_truncated_slide_is_refused(tmp_path, share):
    path = write_ndpi(tmp_path / "s.ndpi", RGB)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(SlideError) as caught:
        open_slide(path)
    assert caught.value.code == "E_FORMAT"
