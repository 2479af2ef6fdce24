"""Slides of further vendors are read by the fast readers and give OpenSlide's or tifffile's pixels."""

import numpy as np
import openslide
import pytest
import tifffile
from files import texture, write_ome, write_philips

from pathosig.slides import open_slide, plan_read, read_all_tiles
from pathosig.slides.backends.openslide import OpenSlideReader
from pathosig.slides.backends.tiff import TiffReader

RGB = texture(900, 1100)


def test_philips_takes_the_fast_path_and_gives_the_pixels_of_openslide(tmp_path):
    path = write_philips(tmp_path / "s.tiff", RGB)
    assert openslide.OpenSlide.detect_format(path) == "philips"
    with open_slide(path) as fast, OpenSlideReader(path) as slow:
        assert isinstance(fast.source, TiffReader)
        assert fast.info.vendor == slow.info.vendor == "philips"
        assert fast.info.level_sizes == slow.info.level_sizes
        assert fast.info.downsamples == slow.info.downsamples
        assert abs(fast.info.mpp - 0.25) < 1e-9
        for level, (width, height) in enumerate(fast.info.level_sizes):
            for x, y in ((0, 0), (100, 50), (width - 60, height - 60)):
                expected = slow.read_level(level, x, y, 60, 60)
                assert np.array_equal(fast.read_level(level, x, y, 60, 60), expected), (level, x, y)


def test_ome_tiff_with_sub_images_takes_the_fast_path(tmp_path):
    path = write_ome(tmp_path / "s.ome.tif", RGB)
    with open_slide(path) as reader:
        assert isinstance(reader.source, TiffReader)
        assert (reader.info.vendor, reader.info.mpp) == ("ome", 0.25)
        assert reader.info.level_sizes == ((1100, 900), (550, 450), (275, 225))
        assert np.array_equal(reader.read_level(0, 130, 40, 500, 400), tifffile.imread(path)[40:440, 130:630])
        tiles = read_all_tiles(reader, plan_read(reader.info, 0.5), [(0, 0), (400, 200)], 200)
    small = tifffile.imread(path, level=1)
    assert np.array_equal(tiles[1], small[100:300, 200:400])


def test_the_readers_that_are_opened_without_looking_them_up_are_the_registered_ones():
    from importlib.metadata import entry_points

    from pathosig.slides.opening import BUILT_IN

    registered = {
        p.name: p.value for p in entry_points(group="pathosig.readers") if p.value.startswith("pathosig.")
    }
    assert registered == BUILT_IN


def test_a_reader_that_is_not_registered_is_named(tmp_path):
    from pathosig.core.errors import ConfigError

    path = tmp_path / "s.tiff"
    path.write_bytes(b"II*\x00" + bytes(200))
    with pytest.raises(ConfigError, match="nothing is registered as 'other'"):
        open_slide(path, reader="other")
