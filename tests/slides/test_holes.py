"""A damaged piece of a slide is missing from the low-power image, and nothing else, for every format and way of reading."""

import numpy as np
import pytest
import tifffile
from czis import JPEG_XR, ZSTD1, mosaic, write_czi
from dicoms import write_series
from files import texture, write_svs
from kfbs import write_kfb
from mirax import write_mrxs
from ndpis import restart_places, write_ndpi
from zarrs import write_zarr

from pathosig.core.errors import SlideError
from pathosig.slides import open_slide, read_overview
from pathosig.slides.holes import read_with_holes
from pathosig.slides.reader import SlideInfo

RGB = (texture(768, 1024).astype(np.uint16) * 7 // 10).astype(np.uint8)  # no pixel is white
HEIGHT, WIDTH = RGB.shape[:2]


def spoil(path, start, length):
    data = bytearray(path.read_bytes())
    data[start : start + length] = bytes(length)
    path.write_bytes(data)


def jpeg_at(path, number, mark=b"\xff\xd8\xff"):
    """The offset at which the JPEG with this number begins."""
    data, at = path.read_bytes(), -1
    for _ in range(number + 1):
        at = data.find(mark, at + 1)
    return at


def svs(folder):
    path = write_svs(folder / "s.svs", RGB, levels=(1,))
    with tifffile.TiffFile(path) as file:
        spoil(path, file.pages[0].dataoffsets[6], 64)  # second row, second column of 5
    return path, (240, 240, 240, 240)


def strips(folder):
    path = folder / "s.tif"
    tifffile.imwrite(
        path,
        RGB,
        photometric="rgb",
        compression="zlib",
        rowsperstrip=64,
        resolution=(40_000, 40_000),
        resolutionunit=3,
    )
    with tifffile.TiffFile(path) as file:
        spoil(path, file.pages[0].dataoffsets[3], 30)
    return path, (0, 192, WIDTH, 64)


def dicom(folder):
    path = write_series(folder / "d", RGB, levels=(1,), label=False) / "level-0.dcm"
    spoil(path, jpeg_at(path, 9), 200)  # second row, second column of 8
    return path.parent, (128, 128, 128, 128)


def mrxs(folder):
    present = np.ones((6, 8), bool)
    present[0] = present[:, 0] = False
    path = write_mrxs(folder / "s.mrxs", RGB, present, levels=1)
    data = folder / "s" / "Data0000.dat"
    spoil(data, jpeg_at(data, 8), 200)  # second row, second column of the images that were taken
    return path, (128, 128, 128, 128)


def kfb(folder):
    path = folder / "s.kfb"
    place, packed = write_kfb(path, RGB, steps=(1,))[40, 256, 256]
    spoil(path, place, len(packed))
    return path, (256, 256, 256, 256)


def czi(folder, codec):
    path = write_czi(folder / "s.czi", mosaic(RGB, levels=(1,), codec=codec))
    block = jpeg_at(path, 5, b"ZISRAWSUBBLOCK")  # second row, second column of 4
    spoil(path, path.read_bytes().find(b"<METADATA>", block) + 10, 64)
    return path, (256, 256, 256, 256)


def zarr(folder):
    path = write_zarr(folder / "s.zarr", RGB, version=3, axes="yxc", levels=(1,), chunk=128)
    (path / "0" / "c" / "1" / "2" / "0").write_bytes(b"damaged")
    return path, (256, 128, 128, 128)


def ndpi(folder):
    path = write_ndpi(folder / "s.ndpi", RGB, levels=(1,))
    data = path.read_bytes()
    begin = jpeg_at(path, 0)
    start = (
        begin + restart_places(data[begin:])[4 * 20 + 1]
    )  # 8 rows per interval, four intervals of 256 px per row
    spoil(path, start, 24)
    return path, (256, 128, 256, 64)  # eight intervals below one another are decoded together


KINDS = {
    "svs": svs,
    "strips": strips,
    "dicom": dicom,
    "mrxs": mrxs,
    "kfb": kfb,
    "czi-xr": lambda folder: czi(folder, JPEG_XR),
    "czi-zstd": lambda folder: czi(folder, ZSTD1),
    "zarr": zarr,
    "ndpi": ndpi,
}


def holes(image):
    """(x, y, width, height) of the bounding box of all white pixels, and whether they fill it."""
    white = (image == 255).all(axis=2)
    rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(axis=0))
    box = (columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0])
    return tuple(map(int, box)), bool(white.sum() == box[2] * box[3])


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_piece_costs_itself_in_the_low_power_image(tmp_path, kind):
    path, piece = KINDS[kind](tmp_path)
    with open_slide(path) as reader:
        assert len(reader.info.level_sizes) == 1
        image, _ = read_overview(reader, 0.25)
    assert holes(image) == (piece, True)


@pytest.mark.parametrize("kind", ["svs", "mrxs", "kfb", "zarr", "ndpi"])
def test_a_core_of_an_array_loses_the_same_piece(tmp_path, kind):
    path, (x, y, width, height) = KINDS[kind](tmp_path)
    with open_slide(path, region=(100, 60, 500, 420)) as reader:
        image, _ = read_overview(reader, 0.25)
        assert image.shape == (420, 500, 3)
    left, top = x - 100, y - 60
    assert holes(image) == ((left, top, min(width, 500 - left), min(height, 420 - top)), True)


def test_through_openslide_a_lost_tile_costs_that_tile(tmp_path):
    path, piece = svs(tmp_path)
    with open_slide(path, reader="openslide") as reader:
        image, lost = read_with_holes(reader, 0, (0, 0, WIDTH, HEIGHT))
    assert (holes(image), lost) == ((piece, True), 240 * 240)


def test_a_turned_slide_loses_the_piece_where_it_is_shown(tmp_path):
    path = write_svs(tmp_path / "s.svs", RGB, levels=(1,), extratags=[(274, 3, 1, 6, True)])
    with tifffile.TiffFile(path) as file:
        spoil(path, file.pages[0].dataoffsets[6], 64)
    with open_slide(path) as reader:
        image, lost = read_with_holes(reader, 0, (0, 0, HEIGHT, WIDTH))
    assert (holes(image), lost) == (((HEIGHT - 480, 240, 240, 240), True), 240 * 240)


def test_a_reader_that_does_not_know_its_tiles_is_cut_until_a_part_is_small(tmp_path):
    class Holed:
        def read_level(self, level, x, y, width, height):
            if x < 300 and x + width > 200 and y < 90 and y + height > 50:
                raise SlideError("lost", code="E_PIXELS")
            return RGB[y : y + height, x : x + width]

    image, lost = read_with_holes(Holed(), 0, (0, 0, WIDTH, HEIGHT))
    white = (image == 255).all(axis=2)
    assert white[50:90, 200:300].all()
    assert white.sum() == lost == 40 * 100


def test_a_slide_that_is_damaged_all_over_is_given_up_after_a_thousand_failures():
    class Broken:
        info = SlideInfo(
            level_sizes=((60_000, 60_000),), downsamples=(1.0,), mpp=None, mpp_source="missing", vendor=""
        )
        reads = 0

        def read_level(self, level, x, y, width, height):
            self.reads += 1
            raise SlideError("lost", code="E_PIXELS")

    reader = Broken()
    with pytest.raises(SlideError):
        read_overview(reader)
    assert 1_000 <= reader.reads < 1_200


def test_a_disk_that_fails_is_not_a_hole():
    class Failing:
        def read_level(self, level, x, y, width, height):
            raise SlideError("disk", code="E_READ")

    with pytest.raises(SlideError) as caught:
        read_with_holes(Failing(), 0, (0, 0, 100, 100))
    assert caught.value.code == "E_READ"
