"""Our JPEG decoder gives libjpeg's pixels or declines; whatever the bytes, it stays in its memory."""

import io
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from pathosig.slides import open_slide, plan_read, read_all_tiles
from pathosig.slides.backends import tiff_codecs

_jpeg = pytest.importorskip(
    "pathosig.slides.backends._jpeg", reason="installed where there was no compiler", exc_type=ImportError
)
if not _jpeg.AVAILABLE:
    pytest.skip("this processor has no AVX2", allow_module_level=True)

CMU = Path(__file__).parents[1] / "data" / "cmu-1-small-region.svs"
NAMES = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


def picture(rng, height, width):
    """One of noise, waves, one colour, sparse dots."""
    kind = rng.integers(4)
    if kind == 0:
        image = rng.integers(0, 256, (height, width, 3))
    elif kind == 1:
        y, x = np.mgrid[:height, :width]
        image = np.stack([128 + 120 * np.sin(x / 9 + y / 5 + c) for c in range(3)], -1)
    elif kind == 2:
        image = np.full((height, width, 3), rng.integers(0, 256, 3))
    else:
        image = np.where(rng.random((height, width, 1)) < 0.02, rng.integers(0, 256, (height, width, 3)), 230)
    return np.clip(image, 0, 255).astype(np.uint8)


def jpeg(image, **options):
    """A JPEG file of an image."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", **options)
    return out.getvalue()


def by_libjpeg(data, shrink=2):
    """Pixels at 1/shrink as simplejpeg gives them."""
    height, width = simplejpeg.decode_jpeg_header(data)[:2]
    return simplejpeg.decode_jpeg(
        data, "RGB", min_height=height // shrink, min_width=width // shrink, min_factor=shrink
    )


@pytest.mark.parametrize("shrink", [1, 2])
@pytest.mark.parametrize("subsampling", NAMES, ids=NAMES.values())
def test_every_pixel_is_libjpegs(subsampling, shrink):
    rng = np.random.default_rng(subsampling)
    for _ in range(60):
        height, width = (shrink * int(side) for side in rng.integers(16, 141, 2) // shrink)
        options = {"quality": int(rng.integers(1, 101)), "optimize": bool(rng.integers(2))}
        options["restart_marker_blocks"] = int(rng.integers(12)) * int(rng.integers(2))
        data = jpeg(picture(rng, height, width), subsampling=subsampling, **options)
        out = np.zeros((height // shrink, width // shrink, 3), np.uint8)
        assert _jpeg.decode(data, out), options
        assert np.array_equal(out, by_libjpeg(data, shrink)), (height, width, options)


def test_components_that_are_rgb_already_are_not_turned():
    rng = np.random.default_rng(3)
    data = jpeg(picture(rng, 64, 96), quality=90, subsampling=0)
    start = data.index(b"\xff\xe0")
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    data = data[:2] + tiff_codecs._APP14_RGB + data[start + 2 + length :]
    out = np.zeros((32, 48, 3), np.uint8)
    assert _jpeg.decode(data, out)
    assert np.array_equal(out, by_libjpeg(data))


@pytest.mark.parametrize("factor", [1, 2])
def test_tiles_of_a_real_slide_are_the_same_with_and_without_it(monkeypatch, factor):
    with open_slide(CMU) as reader:
        plan = plan_read(reader.info, factor * reader.info.mpp)
        xy = [(x, y) for y in range(0, 2900 - 448, 200) for x in range(0, 2200 - 448, 200)]
        ours = read_all_tiles(reader, plan, xy, 224)
        monkeypatch.setattr(tiff_codecs, "OWN_DECODER", False)
        theirs = read_all_tiles(reader, plan, xy, 224)
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "data",
    [
        jpeg(np.zeros((64, 64, 3), np.uint8), progressive=True),
        jpeg(np.zeros((64, 64), np.uint8)),
        jpeg(np.zeros((64, 66, 3), np.uint8)),
        b"",
        b"\xff\xd8\xff\xd9",
        b"no picture at all" * 10,
    ],
    ids=["progressive", "gray", "another size", "nothing", "no scan", "text"],
)
def test_what_it_does_not_take_is_left_to_libjpeg(data):
    assert not _jpeg.decode(data, np.zeros((32, 32, 3), np.uint8))


def test_a_tile_that_lacks_or_has_too_many_bytes_is_left_to_libjpeg():
    data = jpeg(picture(np.random.default_rng(5), 64, 64), quality=95)
    out = np.zeros((32, 32, 3), np.uint8)
    assert _jpeg.decode(data, out)
    for cut in (3, 20, len(data) // 2):
        assert not _jpeg.decode(data[:-cut], out)
        assert not _jpeg.decode(data[:-cut] + b"\xff\xd9", out)
    assert not _jpeg.decode(data[:-2] + bytes(40) + b"\xff\xd9", out)


@pytest.mark.parametrize("seed", range(4))
def test_changed_bytes_of_the_scan_give_libjpegs_pixels_or_none(seed):
    rng = np.random.default_rng(seed)
    taken = 0
    for _ in range(100):
        data = jpeg(picture(rng, 64, 80), quality=int(rng.integers(30, 96)), subsampling=int(rng.integers(3)))
        scan = data.index(b"\xff\xda") + 14
        changed = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            changed[int(rng.integers(scan, len(data)))] = int(rng.integers(256))
        out = np.zeros((32, 40, 3), np.uint8)
        if _jpeg.decode(bytes(changed), out):
            taken += 1
            assert np.array_equal(out, by_libjpeg(bytes(changed)))
    assert taken  # not all changes can be told


def test_restart_markers_out_of_turn_are_left_to_libjpeg():
    data = jpeg(picture(np.random.default_rng(6), 64, 64), quality=95, subsampling=0, restart_marker_blocks=8)
    out = np.zeros((64, 64, 3), np.uint8)
    assert _jpeg.decode(data, out)
    at = data.index(b"\xff\xd2")
    assert not _jpeg.decode(data[: at + 1] + b"\xd3" + data[at + 2 :], out)
    assert not _jpeg.decode(data[:at] + data[at + 2 :], out)
    assert not _jpeg.decode(data[: at - 3] + data[at:], out)
    assert not _jpeg.decode(data[: data.rindex(b"\xff\xd6")] + b"\xff\xd9", out)


def test_changed_headers_are_survived():
    rng = np.random.default_rng(9)
    data = jpeg(picture(rng, 64, 80), quality=80)
    head = data.index(b"\xff\xda") + 14
    out = np.zeros((32, 40, 3), np.uint8)
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(int(rng.integers(1, 5))):
            changed[int(rng.integers(2, head))] = int(rng.integers(256))
        _jpeg.decode(bytes(changed[: int(rng.integers(4, len(data) + 1))]), out)


def test_memory_of_another_shape_is_refused():
    data = jpeg(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        _jpeg.decode(data, np.zeros((32, 32), np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        _jpeg.decode(data, np.zeros((32, 32, 3), np.float32))
    with pytest.raises((ValueError, BufferError)):
        _jpeg.decode(data, np.zeros((32, 64, 3), np.uint8)[:, ::2])
    assert not _jpeg.decode(data, np.zeros((16, 64, 3), np.uint8))
