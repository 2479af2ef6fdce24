"""iSyntax: refusals with the real library, and the adapter with a fake one, because no iSyntax file may be made or shared."""

import importlib.util
import subprocess
import sys
import types

import numpy as np
import pytest
from files import texture

from pathosig.core.errors import SlideError
from pathosig.slides import open_slide
from pathosig.slides.backends import isyntax, trial

RGB = texture(600, 800)
HEAD = b'<DataObject ObjectType="DPUfsImport">'
installed = pytest.mark.skipif(
    importlib.util.find_spec("isyntax") is None, reason="the optional extra isyntax is not installed"
)


def attribute(name, element, value):
    return (
        f'<Attribute Name="{name}" Group="0x301D" Element="0x{element}" PMSVR="IString">{value}</Attribute>'
    )


def nested(name, element, kind, content):
    return (
        f'<Attribute Name="{name}" Group="0x301D" Element="0x{element}" PMSVR="IDataObjectArray"><Array>'
        + "".join(f'<DataObject ObjectType="{kind}">{part}</DataObject>' for part in content)
        + "</Array></Attribute>"
    )


def plausible_header():
    """The header that scanners write, of a slide without data."""
    ranges = [attribute("UFS_IMAGE_DIMENSION_RANGE", "200B", f"0 1 {last}") for last in (2047, 1535, 2, 4, 3)]
    general = attribute("UFS_IMAGE_NUMBER_OF_BLOCKS", "2001", 12)
    general += nested("UFS_IMAGE_DIMENSION_RANGES", "200A", "UFSImageDimensionRange", ranges)
    image = attribute("PIM_DP_IMAGE_TYPE", "1004", "WSI")
    image += nested("UFS_IMAGE_GENERAL_HEADERS", "2000", "UFSImageGeneralHeader", [general])
    return (
        HEAD
        + nested("PIM_DP_SCANNED_IMAGES", "1003", "DPScannedImage", [image]).encode()
        + b"</DataObject>\n\x04"
    )


def refused(path, **options):
    with pytest.raises(SlideError) as caught:
        open_slide(path, **options)
    assert path.name in str(caught.value)
    return caught.value


class StandIn:
    """A fake of the library's class, with a slide of three levels and an unscanned corner."""

    level_downsamples = (1, 2, 4)
    mpp_x = mpp_y = float(np.float32(0.2476))
    asked: list = []

    def __init__(self):
        self.closed = False
        self.pixels = [
            np.dstack([RGB[::s, ::s], np.full(RGB[::s, ::s].shape[:2], 255, np.uint8)]) for s in (1, 2, 4)
        ]
        for image in self.pixels:
            image[: image.shape[0] // 4, : image.shape[1] // 4] = (255, 255, 255, 0)

    @classmethod
    def open(cls, path, cache_size):
        assert cache_size <= 500
        return cls()

    @property
    def level_dimensions(self):
        return [(image.shape[1], image.shape[0]) for image in self.pixels]

    def read_region(self, x, y, width, height, level):
        image = self.pixels[level]
        assert min(x, y) >= 0
        assert x + width <= image.shape[1]
        assert y + height <= image.shape[0]  # the library does not check
        if x == 700:
            raise RuntimeError
        return image[y : y + height, x : x + width]

    def close(self):
        self.closed = True


@pytest.fixture
def slide(tmp_path, monkeypatch):
    package = types.ModuleType("isyntax")
    package.ISyntax = StandIn
    monkeypatch.setitem(sys.modules, "isyntax", package)
    monkeypatch.setattr(isyntax, "try_elsewhere", lambda *_: None)
    path = tmp_path / "s.isyntax"
    path.write_bytes(HEAD + bytes(500))
    return path


def test_levels_mpp_and_pixels_go_through(slide):
    with open_slide(slide) as reader:
        assert reader.info.level_sizes == ((800, 600), (400, 300), (200, 150))
        assert reader.info.downsamples == (1.0, 2.0, 4.0)
        assert (reader.info.mpp, reader.info.mpp_source) == (0.2476, "header")
        assert np.array_equal(reader.read_level(0, 300, 200, 100, 100), RGB[200:300, 300:400])
        assert np.array_equal(reader.read_level(1, 200, 150, 100, 100), RGB[::2, ::2][150:250, 200:300])
        assert (reader.read_level(0, 0, 0, 150, 150) == 255).all()
        outside = reader.read_level(0, 750, 550, 100, 100)
        assert np.array_equal(outside[:50, :50], RGB[550:, 750:])
        assert (outside[50:] == 255).all()
        assert (reader.read_level(0, 5000, 5000, 10, 10) == 255).all()
        native = reader._slide
    assert native.closed


def test_what_the_library_cannot_decode_is_an_error_of_that_place(slide):
    with open_slide(slide) as reader:
        with pytest.raises(SlideError) as caught:
            reader.read_level(0, 700, 0, 10, 10)
        assert caught.value.code == "E_PIXELS"
        assert np.array_equal(reader.read_level(0, 600, 400, 10, 10), RGB[400:410, 600:610])


def test_label_and_macro_image_are_never_asked_for():
    from pathlib import Path

    text = Path(isyntax.__file__).read_text(encoding="utf-8")
    assert not any(word in text for word in ("read_label", "read_macro", "barcode"))


def test_sizes_that_cannot_be_are_refused(slide, monkeypatch):
    monkeypatch.setattr(StandIn, "level_dimensions", [(1_000_000, 1_000_000)] * 3)
    assert refused(slide).code == "E_TOO_LARGE"
    monkeypatch.setattr(StandIn, "level_dimensions", [])
    assert refused(slide).code == "E_FORMAT"


def test_a_missing_package_is_named_with_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "isyntax", None)
    path = tmp_path / "s.isyntax"
    path.write_bytes(plausible_header())
    error = refused(path)
    assert error.code == "E_FORMAT"
    assert "pip install 'pathosig[isyntax]'" in str(error)


@installed
@pytest.mark.parametrize(
    "content",
    [
        b"text " * 100,
        bytes(5000),
        HEAD + bytes(5000),
        HEAD + b"</DataObject>\n\x04" + bytes(5000),
        b"II*\0" + bytes(500),
    ],
)
def test_garbage_is_refused(tmp_path, content):
    path = tmp_path / "s.isyntax"
    path.write_bytes(content)
    assert refused(path).code == "E_FORMAT"


@installed
def test_a_file_on_which_the_library_dies_does_not_end_this_process(tmp_path):
    path = tmp_path / "s.isyntax"
    path.write_bytes(plausible_header() + bytes(100_000))
    alone = subprocess.run(
        [sys.executable, "-c", isyntax._TRIAL, str(path)], capture_output=True, check=False
    )
    assert alone.returncode < 0  # killed by a signal
    assert refused(path).code == "E_FORMAT"


@installed
def test_a_library_that_does_not_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(isyntax, "_TRIAL", "import time; time.sleep(60)")
    monkeypatch.setattr(trial, "_LIMIT_S", 0.5)
    path = tmp_path / "s.isyntax"
    path.write_bytes(plausible_header())
    assert "does not end" in str(refused(path))
