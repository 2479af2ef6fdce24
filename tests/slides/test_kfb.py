"""KFB slides: tiles have the pixels of the stored JPEGs, and a damaged tile is never replaced by its neighbour."""

import io
import struct

import numpy as np
import pytest
from files import texture
from kfbs import RECORD, jpeg, write_kfb
from PIL import Image

from pathosig.core.errors import SlideError
from pathosig.slides import open_slide, plan_read, read_all_tiles, read_overview, read_tiles
from pathosig.slides.backends.kfb import KfbReader

RGB = texture(700, 901)


def refused(path, code, **options):
    with pytest.raises(SlideError) as caught:
        open_slide(path, **options)
    assert path.name in str(caught.value)
    assert caught.value.code == code, caught.value
    return str(caught.value)


def decoded(data):
    import simplejpeg

    return simplejpeg.decode_jpeg(data, "RGB")


def expected(tiles, scale, size):
    """The pixels that the JPEGs of a level contain."""
    out = np.full((size[1], size[0], 3), 255, np.uint8)
    for (of, x, y), (_, data) in tiles.items():
        if of == scale:
            pixels = decoded(data)
            out[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels[: size[1] - y, : size[0] - x]
    return out


@pytest.mark.parametrize("said_offsets", [True, False])
def test_pixels_are_those_of_the_jpegs_at_every_level(tmp_path, said_offsets):
    path = tmp_path / "s.kfb"
    tiles = write_kfb(path, RGB, skip=[(1, 1)], said_offsets=said_offsets)
    with open_slide(path) as reader:
        assert isinstance(reader.source, KfbReader)
        assert reader.info.level_sizes == ((901, 700), (450, 350), (225, 175))
        assert reader.info.downsamples == (1.0, 2.0, 4.0)
        assert (reader.info.mpp, reader.info.mpp_source) == (0.25, "header")
        assert (reader.info.vendor, reader.info.objective_power) == ("kfbio", 40.0)
        for level, (size, scale) in enumerate(zip(reader.info.level_sizes, (40, 20, 10), strict=True)):
            assert np.array_equal(reader.read_level(level, 0, 0, *size), expected(tiles, scale, size))
        full = expected(tiles, 40, (901, 700))
        assert (full[256:512, 256:512] == 255).all()
        outside = reader.read_level(0, 850, -10, 100, 60)
        assert np.array_equal(outside[10:, :51], full[:50, 850:])
        assert (outside[:10] == 255).all()
        assert (outside[:, 51:] == 255).all()


def test_another_reader_of_kfb_sees_the_same(tmp_path):
    kfbslide = pytest.importorskip("kfbslide")
    path = tmp_path / "s.kfb"
    write_kfb(path, RGB)
    with open_slide(path) as reader, kfbslide.OpenSlide(str(path)) as theirs:
        assert theirs.level_dimensions == reader.info.level_sizes
        for level, size in enumerate(reader.info.level_sizes):
            rgba = np.asarray(theirs.read_region((0, 0), level, size))
            assert np.array_equal(rgba[..., :3], reader.read_level(level, 0, 0, *size))


def test_tiles_and_overview_come_from_the_levels(tmp_path):
    path = tmp_path / "s.kfb"
    tiles = write_kfb(path, RGB)
    with open_slide(path) as reader:
        found = read_all_tiles(reader, plan_read(reader.info, 0.5), [(0, 0), (200, 100)], 64)
        assert np.array_equal(found[1], expected(tiles, 20, (450, 350))[50:114, 100:164])
        overview, _ = read_overview(reader, 1.0)
        assert overview.shape == (175, 225, 3)


@pytest.mark.parametrize("damage", ["head", "middle", "all", "size"])
def test_a_damaged_tile_is_lost_and_neither_healed_nor_followed_by_others(tmp_path, damage):
    path = tmp_path / "s.kfb"
    tiles = write_kfb(path, RGB)
    data = bytearray(path.read_bytes())
    place, packed = tiles[40, 256, 0]
    if damage == "size":
        other = jpeg(RGB[:100, :100], quality=50)
        data[place : place + len(packed)] = other.ljust(len(packed), b"\0")[: len(packed)]
    else:
        begin, length = {
            "head": (0, 30),
            "middle": (len(packed) // 2, len(packed) // 3),
            "all": (0, len(packed)),
        }[damage]
        data[place + begin : place + begin + length] = bytes(length)
    path.write_bytes(data)
    xy = np.array([(x, y) for y in (0, 256) for x in (0, 256, 512)])
    full = expected({k: v for k, v in tiles.items() if k != (40, 256, 0)}, 40, (901, 700))
    with open_slide(path) as reader:
        block = next(read_tiles(reader, plan_read(reader.info, 0.25), xy, 200))
        assert block.failed.tolist() == [False, True, False, False, False, False]
        for number in (0, 2, 3, 4, 5):
            x, y = xy[number]
            assert np.array_equal(block.tiles[number], full[y : y + 200, x : x + 200])
        with pytest.raises(SlideError) as caught:
            reader.read_level(0, 300, 0, 10, 10)
        assert caught.value.code == "E_PIXELS"


def test_a_wrong_length_in_the_index_costs_one_tile(tmp_path):
    path = tmp_path / "s.kfb"
    tiles = write_kfb(path, RGB)
    data = bytearray(path.read_bytes())
    (index,) = struct.unpack_from("<Q", data, 68)
    for length in (0, 40, 4_000_000_000):
        struct.pack_into("<I", data, index + RECORD + 32, length)
        path.write_bytes(data)
        with open_slide(path) as reader:
            block = next(
                read_tiles(reader, plan_read(reader.info, 0.25), np.array([(256, 0), (512, 0)]), 200)
            )
            assert block.failed.tolist() == [True, False]
            assert np.array_equal(block.tiles[1], decoded(tiles[40, 512, 0][1])[:200, :200])


@pytest.mark.parametrize("said_offsets", [True, False])
def test_labels_are_never_read_even_behind_a_large_macro_image(tmp_path, said_offsets, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    macro = jpeg(noise, quality=100)
    assert len(macro) > 1 << 20  # larger than the part that some readers search for a label
    path = tmp_path / "s.kfb"
    tiles = write_kfb(path, RGB, macro=macro, said_offsets=said_offsets)
    label = path.read_bytes().find(b"\xf1\x03\xee\xee") + 52
    seen = []
    with open_slide(path) as reader:
        real = reader._source.read
        monkeypatch.setattr(reader._source, "read", lambda at, n: seen.append((at, at + n)) or real(at, n))
        assert np.array_equal(reader.read_level(0, 0, 0, 901, 700), expected(tiles, 40, (901, 700)))
    assert seen
    assert all(end <= label or begin > label for begin, end in seen)
    assert Image.open(io.BytesIO(path.read_bytes()[label:])).size == (50, 50)


def test_a_level_that_lacks_tiles_is_not_offered(tmp_path):
    path = tmp_path / "s.kfb"
    tiles = write_kfb(path, RGB)
    data = bytearray(path.read_bytes())
    (index,) = struct.unpack_from("<Q", data, 68)
    number = list(tiles).index((20, 0, 0))
    struct.pack_into("<f", data, index + number * RECORD + 20, 0.5)  # now it belongs to a preview
    path.write_bytes(data)
    with open_slide(path) as reader:
        assert reader.info.downsamples == (1.0, 4.0)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path, share):
    path = tmp_path / "s.kfb"
    write_kfb(path, RGB)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    refused(path, "E_FORMAT")


def test_files_cut_behind_the_index_are_read(tmp_path):
    path = tmp_path / "s.kfb"
    write_kfb(path, RGB)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.999)])
    with open_slide(path) as reader:
        assert reader.info.level_sizes[0] == (901, 700)


def test_mpp_power_and_codec_are_checked(tmp_path):
    path = tmp_path / "s.kfb"
    write_kfb(path, RGB, mpp=0.0)
    with open_slide(path) as reader:
        assert (reader.info.mpp, reader.info.mpp_source) == (None, "missing")
    write_kfb(path, RGB, mpp=352.8)
    refused(path, "E_MPP_RANGE")
    write_kfb(path, RGB, mpp=0.2476)
    with open_slide(path) as reader:
        assert reader.info.mpp == 0.2476
    write_kfb(path, RGB, mpp=1.0)
    with open_slide(path) as reader:
        assert "disagree" in reader.info.warnings[0]
    write_kfb(path, RGB, codec=b"HEVC")
    assert "HEVC" in refused(path, "E_CODEC")


def test_other_files_and_impossible_ones_are_refused_at_once(tmp_path):
    path = tmp_path / "s.kfb"
    for content in (b"text " * 100, b"\xf0\x01\xee\xeeKFB\0", b"KFB\0" + bytes(500), b"II*\0" + bytes(500)):
        path.write_bytes(content)
        refused(path, "E_FORMAT")
    path.write_bytes(b"\xf0\x01\xee\xeeKFB\0" + b"\xee" * 300_000)  # kfbslide searches this for minutes
    refused(path, "E_CODEC")
    write_kfb(path, RGB, steps=(1,))
    data = bytearray(path.read_bytes())
    struct.pack_into("<II", data, 20, 3_000_000_000, 3_000_000_000)
    path.write_bytes(data)
    refused(path, "E_TOO_LARGE")
    struct.pack_into("<III", data, 16, 0xFFFFFFFF, 700, 901)
    path.write_bytes(data)
    refused(path, "E_FORMAT")


def test_files_with_flipped_bytes_are_read_or_refused(tmp_path):
    path = tmp_path / "s.kfb"
    write_kfb(path, RGB[:300, :300])
    good = path.read_bytes()
    (index,) = struct.unpack_from("<Q", good, 68)
    rng, codes = np.random.default_rng(0), set()
    for _ in range(300):
        data = bytearray(good)
        for _ in range(3):
            data[rng.choice([0, index]) + rng.integers(0, 92)] = rng.integers(256)
        path.write_bytes(data)
        try:
            with open_slide(path, reader="kfb") as reader:
                reader.read_level(0, 0, 0, 300, 300)
        except SlideError as error:
            codes.add(error.code)
    assert "E_FORMAT" in codes
    assert codes <= {"E_FORMAT", "E_PIXELS", "E_CODEC", "E_TOO_LARGE", "E_MPP_RANGE"}


def test_a_kfb_under_another_name_is_known_by_its_first_bytes(tmp_path):
    path = tmp_path / "s.bin"
    write_kfb(path, RGB)
    with open_slide(path) as reader:
        assert reader.info.vendor == "kfbio"
