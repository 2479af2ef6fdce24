"""CZI slides are read like ZEISS's own library and OpenSlide do; faults are reported, and no pixels are invented."""

import contextlib
import os
import struct
from collections import Counter

import numpy as np
import pytest
from czis import (
    BGR48,
    BGRA32,
    GRAY8,
    GRAY16,
    JPEG,
    JPEG_XR,
    RAW,
    ZSTD0,
    ZSTD1,
    block,
    mosaic,
    shrink,
    write_czi,
)
from files import texture

from pathosig.core.errors import SlideError
from pathosig.encoder.reading import TileTable, opened_tiles
from pathosig.slides import open_slide, plan_read, read_all_tiles, read_overview, read_tiles, reading_order
from pathosig.slides.backends import cache
from pathosig.slides.backends.czi import CziReader
from pathosig.slides.backends.openslide import OpenSlideReader

RGB = texture(700, 901)


def refused(path, code, **options):
    with pytest.raises(SlideError) as caught:
        open_slide(path, **options)
    assert path.name in str(caught.value)
    assert str(path.parent) not in str(caught.value)
    assert caught.value.code == code, caught.value
    return str(caught.value)


def whole(reader, level=0):
    return reader.read_level(level, 0, 0, *reader.info.level_sizes[level])


@pytest.mark.parametrize("codec", [RAW, ZSTD0, ZSTD1, JPEG_XR])
def test_pixels_levels_and_mpp_are_those_that_were_written_and_those_of_openslide_where_it_can(
    tmp_path, codec
):
    path = write_czi(tmp_path / "s.czi", mosaic(RGB, codec=codec, skip=[(1, 1)]))
    holed = RGB.copy()
    holed[256:512, 256:512] = 255
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(open_slide(path))
        assert isinstance(reader.source, CziReader)
        others = [] if codec == JPEG_XR else [stack.enter_context(OpenSlideReader(path))]
        assert all(other.info == reader.info for other in others)
        assert reader.info.level_sizes == ((901, 700), (450, 350), (225, 175))
        assert reader.info.downsamples == (1.0, 2.0, 4.0)
        assert (reader.info.mpp, reader.info.mpp_source) == (0.25, "header")
        assert (reader.info.vendor, reader.info.objective_power) == ("zeiss", 40.0)
        for found in (reader, *others):
            assert np.array_equal(whole(found), holed)
            assert np.array_equal(whole(found, 1), shrink(RGB, 2))
            assert np.array_equal(whole(found, 2), shrink(RGB, 4))
            outside = found.read_level(0, 850, -10, 100, 60)
            assert np.array_equal(outside[10:, :51], RGB[:50, 850:])
            assert (outside[:10] == 255).all()
            assert (outside[:, 51:] == 255).all()


@pytest.mark.parametrize("codec", [RAW, ZSTD1, JPEG_XR])
def test_pixels_are_those_of_zeiss_own_library(tmp_path, codec):
    czi = pytest.importorskip("pylibCZIrw.czi")
    path = write_czi(tmp_path / "s.czi", mosaic(RGB, codec=codec, skip=[(1, 1)]))
    with czi.open_czi(str(path)) as theirs, CziReader(path) as own:
        for level, zoom in ((0, 1.0), (1, 0.5), (2, 0.25)):
            w, h = own.info.level_sizes[level]
            area = (0, 0, round(w / zoom), round(h / zoom))
            bgr = theirs.read(roi=area, zoom=zoom, background_pixel=(1.0, 1.0, 1.0))
            assert np.array_equal(bgr[..., ::-1], whole(own, level))


def test_files_of_zeiss_own_library_are_read(tmp_path):
    czi = pytest.importorskip("pylibCZIrw.czi")
    path = tmp_path / "s.czi"
    with czi.create_czi(str(path), compression_options="zstd1:ExplicitLevel=3") as document:
        document.write(np.ascontiguousarray(RGB[..., ::-1]), location=(-300, 40))
        document.write_metadata(document_name="s", scale_x=0.5e-6, scale_y=0.5e-6)
    with open_slide(path) as reader:
        assert isinstance(reader.source, CziReader)  # OpenSlide does not accept the dimensions Z and T
        assert reader.info.level_sizes == ((901, 700),)
        assert reader.info.mpp == pytest.approx(0.5)
        assert np.array_equal(whole(reader), RGB)


def test_scenes_lie_in_one_slide_and_higher_mosaic_numbers_over_lower(tmp_path):
    a, b = RGB[:200, :300], RGB[300:500, 300:600]
    blocks = [block(b, 1100, 150, scene=1, m=7), block(a, 1000, 100, scene=0, m=9)]
    with CziReader(write_czi(tmp_path / "s.czi", blocks)) as reader:
        assert reader.info.level_sizes == ((400, 250),)
        image = whole(reader)
        assert np.array_equal(image[:200, :300], a)
        assert np.array_equal(image[200:, 100:], b[150:])
        assert (image[:50, 300:] == 255).all()


def test_a_level_that_is_not_stored_for_all_of_the_slide_is_not_offered(tmp_path):
    blocks = mosaic(RGB, levels=(1, 2), codec=JPEG_XR)
    with CziReader(write_czi(tmp_path / "s.czi", blocks)) as reader:
        assert reader.info.downsamples == (1.0, 2.0)
    with CziReader(write_czi(tmp_path / "t.czi", blocks[:-1])) as reader:
        assert reader.info.downsamples == (1.0,)
        assert np.array_equal(whole(reader), RGB)


def test_tiles_and_overview_come_from_the_levels(tmp_path):
    with open_slide(write_czi(tmp_path / "s.czi", mosaic(RGB, codec=JPEG_XR))) as reader:
        tiles = read_all_tiles(reader, plan_read(reader.info, 0.5), [(0, 0), (200, 100)], 64)
        assert np.array_equal(tiles[1], shrink(RGB, 2)[50:114, 100:164])
        overview, factor = read_overview(reader, 1.0)
        assert overview.shape == (175, 225, 3)
        assert abs(factor - 4) < 0.05


def test_in_reading_order_no_subblock_is_decoded_more_than_twice(tmp_path, monkeypatch):
    path = write_czi(tmp_path / "s.czi", mosaic(RGB, side=128, codec=RAW, levels=(1,)))
    xy = np.array([(x, y) for y in range(0, 660, 20) for x in range(0, 860, 20)])
    monkeypatch.setattr(cache, "_LEAST", 0)  # then four subblocks are cached, as for large ones
    decoded = Counter()

    def tiles_in(order):
        decoded.clear()
        with CziReader(path) as reader:
            plan, decode = plan_read(reader.info, 0.25), reader._decode
            monkeypatch.setattr(reader, "_decode", lambda number: decoded.update([number]) or decode(number))
            wanted = reading_order(reader, plan, xy) if order is None else order
            return wanted, read_all_tiles(reader, plan, xy[wanted], 30)

    order, tiles = tiles_in(None)
    assert len(decoded) == 42
    assert max(decoded.values()) == 2
    for place, tile in zip(order, tiles, strict=True):
        x, y = xy[place]
        assert np.array_equal(tile, RGB[y : y + 30, x : x + 30])
    _, rows = tiles_in(np.arange(len(xy)))
    assert np.array_equal(rows[order], tiles)
    assert max(decoded.values()) > 5


def test_where_a_row_of_subblocks_is_kept_tiles_are_read_row_by_row(tmp_path):
    xy = np.array([(x, y) for y in range(0, 640, 40) for x in range(0, 840, 40)])
    with CziReader(write_czi(tmp_path / "s.czi", mosaic(RGB, codec=JPEG_XR))) as reader:
        assert np.array_equal(reading_order(reader, plan_read(reader.info, 0.25), xy), np.arange(len(xy)))
        assert len(reading_order(reader, plan_read(reader.info, 0.25), np.zeros((0, 2), int))) == 0


def test_embedding_gets_tiles_in_that_order_with_their_places_and_those_that_are_lost(tmp_path, monkeypatch):
    blocks = mosaic(RGB, side=128, codec=JPEG_XR, levels=(1,))
    blocks[10]["data"] = bytes(len(blocks[10]["data"]))  # column 2, row 1
    path = write_czi(tmp_path / "s.czi", blocks)
    monkeypatch.setattr(cache, "_LEAST", 0)
    xy = np.array([(x, y) for y in range(0, 640, 64) for x in range(0, 832, 64)], np.int32)
    table = TileTable(xy=xy, size_px=64, mpp=0.25, spec={})
    places, lost = [], []
    with opened_tiles({"path": str(path)}, table, lost=lost, places=places) as found:
        tiles = np.concatenate(list(found))
    assert sorted(places) == list(range(len(xy)))
    assert places != sorted(places)
    assert sorted(xy[lost].tolist()) == [[256, 128], [256, 192], [320, 128], [320, 192]]
    for place, tile in zip(places, tiles, strict=True):
        x, y = xy[place]
        assert np.array_equal(
            tile, RGB[y : y + 64, x : x + 64] if place not in lost else np.full_like(tile, 255)
        )


def test_gray_and_transparent_pixels_are_converted(tmp_path):
    gray = RGB[:256, :256, 0]
    with open_slide(write_czi(tmp_path / "g.czi", [block(gray, 0, 0, pixels=GRAY8)])) as reader:
        assert np.array_equal(whole(reader), np.repeat(gray[..., None], 3, axis=2))
    with open_slide(
        write_czi(tmp_path / "x.czi", [block(gray, 0, 0, pixels=GRAY8, codec=JPEG_XR)])
    ) as reader:
        assert np.array_equal(whole(reader), np.repeat(gray[..., None], 3, axis=2))
    rgba = np.dstack([RGB[:256, :256], np.full((256, 256), 255, np.uint8)])
    rgba[:100, :, 3] = 0
    with open_slide(write_czi(tmp_path / "a.czi", [block(rgba, 0, 0, pixels=BGRA32)])) as reader:
        assert (whole(reader)[:100] == 255).all()
        assert np.array_equal(whole(reader)[100:], RGB[100:256, :256])


def test_of_several_focal_planes_the_middle_one_is_read_with_a_warning(tmp_path):
    planes = [block(RGB // (z + 1), 0, 0, Z=z) for z in range(3)]
    with open_slide(write_czi(tmp_path / "s.czi", planes)) as reader:
        assert "3 focal planes" in reader.info.warnings[0]
        assert np.array_equal(whole(reader), RGB // 2)


@pytest.mark.parametrize(("axis", "code"), [("C", "E_PHOTOMETRIC"), ("T", "E_FORMAT"), ("R", "E_FORMAT")])
def test_what_is_not_one_plane_is_refused(tmp_path, axis, code):
    path = write_czi(tmp_path / "s.czi", [block(RGB, 0, 0, **{axis: 0}), block(RGB, 0, 0, **{axis: 1})])
    assert axis in refused(path, code) or axis == "C"


def test_more_than_eight_bits_are_refused(tmp_path):
    deep = RGB.astype(np.uint16) * 257
    assert "Bgr48" in refused(write_czi(tmp_path / "s.czi", [block(deep, 0, 0, pixels=BGR48)]), "E_BITDEPTH")
    gray = write_czi(tmp_path / "g.czi", [block(deep[..., 0], 0, 0, pixels=GRAY16)])
    assert "Gray16" in refused(gray, "E_BITDEPTH")


def test_codecs_that_are_not_read_are_named(tmp_path):
    for codec, word in ((JPEG, "JPEG"), (2, "LZW"), (1234, "method 1234")):
        path = write_czi(tmp_path / "s.czi", [block(RGB, 0, 0, codec=codec, data=b"x")])
        assert word in refused(path, "E_CODEC")


def test_mpp_is_checked_like_any_other(tmp_path):
    refused(
        write_czi(tmp_path / "a.czi", [block(RGB, 0, 0, codec=JPEG_XR)], mpp=0.25, mpp_y=0.5), "E_MPP_ANISO"
    )
    refused(write_czi(tmp_path / "b.czi", [block(RGB, 0, 0, codec=JPEG_XR)], mpp=352.8), "E_MPP_RANGE")
    refused(write_czi(tmp_path / "c.czi", [block(RGB, 0, 0)], mpp=352.8), "E_MPP_RANGE")
    for xml in ("<ImageDocument/>", "no xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><ImageDocument/>"):
        path = write_czi(tmp_path / "d.czi", [block(RGB, 0, 0, codec=JPEG_XR)], xml=xml)
        with open_slide(path) as reader:
            assert (reader.info.mpp, reader.info.mpp_source, reader.info.objective_power) == (
                None,
                "missing",
                None,
            )
        with open_slide(path, mpp=0.5) as reader:
            assert (reader.info.mpp, reader.info.mpp_source) == (0.5, "given")


def test_a_damaged_subblock_costs_the_tiles_that_touch_it_and_no_others(tmp_path):
    for codec in (JPEG_XR, ZSTD1):
        path = write_czi(tmp_path / f"{codec}.czi", mosaic(RGB, levels=(1,), codec=codec))
        data = bytearray(path.read_bytes())
        second = data.find(b"ZISRAWSUBBLOCK", data.find(b"ZISRAWSUBBLOCK") + 10)
        at = data.find(b"<METADATA>", second) + 10
        data[at : at + 64] = bytes(64)
        path.write_bytes(data)
        xy = [(x, y) for y in (0, 256) for x in (0, 256, 512)]
        with open_slide(path) as reader:
            block = next(read_tiles(reader, plan_read(reader.info, 0.25), np.array(xy), 200))
            assert block.failed.tolist() == [False, True, False, False, False, False]
            assert np.array_equal(block.tiles[3], RGB[256:456, :200])
            with pytest.raises(SlideError) as caught:
                reader.read_level(0, 300, 0, 10, 10)
            assert caught.value.code == "E_PIXELS"


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path, share):
    path = write_czi(tmp_path / "s.czi", mosaic(RGB, codec=JPEG_XR))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    refused(path, "E_FORMAT")


def test_other_files_parts_and_impossible_sizes_are_refused(tmp_path):
    path = tmp_path / "s.czi"
    for content in (b"text " * 100, b"ZISRAWFILE", b"ZISRAWFILE" + bytes(5000), b"II*\0" + bytes(500)):
        path.write_bytes(content)
        refused(path, "E_FORMAT")
    refused(write_czi(path, [block(RGB, 0, 0)], file_part=1), "E_FORMAT")
    refused(write_czi(path, [block(RGB, 0, 0), block(RGB, 1_000_000, 1_000_000)]), "E_TOO_LARGE")
    huge = block(RGB, 0, 0, codec=ZSTD0) | {"stored": (30_000, 30_000), "size": (30_000, 30_000)}
    refused(write_czi(path, [huge]), "E_TOO_LARGE")


def test_a_subblock_that_unpacks_to_more_than_it_declares_is_damaged(tmp_path):
    import imagecodecs

    bomb = bytes(imagecodecs.zstd_encode(bytes(50_000_000)))
    for item in (
        block(RGB[:64, :64], 0, 0, codec=ZSTD0, data=bomb),
        block(RGB[:64, :64], 0, 0, codec=JPEG_XR, data=block(RGB, 0, 0, codec=JPEG_XR)["data"]),
        block(RGB[:64, :64], 0, 0, data=b"short"),
    ):
        with CziReader(write_czi(tmp_path / "s.czi", [item])) as reader:
            with pytest.raises(SlideError) as caught:
                whole(reader)
            assert caught.value.code == "E_PIXELS"


def test_a_stored_size_of_zero_means_the_same(tmp_path):
    same = block(RGB, 0, 0)
    same["stored"] = (0, 0)
    with open_slide(write_czi(tmp_path / "s.czi", [same])) as reader:
        assert np.array_equal(whole(reader), RGB)


def test_files_with_flipped_bytes_are_read_or_refused_and_never_end_the_process(tmp_path):
    path = write_czi(tmp_path / "s.czi", mosaic(RGB[:300, :300], side=128, codec=ZSTD1))
    good = path.read_bytes()
    headers = [good.find(b"ZISRAWDIRECTORY"), good.find(b"ZISRAWSUBBLOCK"), good.find(b"ZISRAWMETADATA"), 0]
    rng, codes = np.random.default_rng(0), set()
    for _ in range(300):
        data = bytearray(good)
        for _ in range(3):
            data[rng.choice(headers) + rng.integers(0, 700)] = rng.integers(256)
        path.write_bytes(data)
        try:
            with CziReader(path) as reader:
                reader.read_level(0, 0, 0, 300, 300)
        except SlideError as error:
            codes.add(error.code)
    assert {"E_FORMAT", "E_PIXELS"} <= codes
    assert codes <= {
        *("E_FORMAT", "E_PIXELS", "E_CODEC", "E_BITDEPTH", "E_PHOTOMETRIC", "E_TOO_LARGE"),
        *("E_MPP_RANGE", "E_MPP_ANISO"),
    }


def test_a_czi_under_another_name_is_known_by_its_first_bytes(tmp_path):
    with open_slide(write_czi(tmp_path / "s.bin", mosaic(RGB, codec=JPEG_XR))) as reader:
        assert reader.info.vendor == "zeiss"


@pytest.mark.skipif(not hasattr(os, "pread"), reason="files are read in another way on this system")
def test_a_disk_that_fails_is_not_taken_for_a_damaged_subblock(tmp_path, monkeypatch):
    import errno

    monkeypatch.setattr("pathosig.slides.backends.source._WAIT_S", 0.0)
    with CziReader(write_czi(tmp_path / "s.czi", mosaic(RGB, codec=JPEG_XR))) as reader:

        def broken(*_):
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "pread", broken)
        with pytest.raises(SlideError) as caught:
            whole(reader)
        assert caught.value.code == "E_READ"


def test_odd_edges_of_a_pyramid_are_of_its_level(tmp_path):
    """The last subblocks of a level are a few pixels wide, and their two sizes are rounded."""
    small = shrink(np.pad(RGB, ((0, 0), (0, 1), (0, 0)), mode="edge"), 2)
    blocks = mosaic(RGB, levels=(1,), codec=RAW)
    for y in range(0, 350, 149):
        for x in range(0, 451, 149):
            piece = small[y : y + 149, x : x + 149]
            size = (min(piece.shape[1] * 2, 901 - 2 * x), min(piece.shape[0] * 2, 700 - 2 * y))
            blocks.append(block(piece, 2 * x, 2 * y, size=size, m=len(blocks)))
    with CziReader(write_czi(tmp_path / "s.czi", blocks)) as reader:
        assert reader.info.downsamples == (1.0, 2.0)
        assert np.array_equal(whole(reader, 1), small[:, :450])


def test_the_directory_may_lie_about_its_length(tmp_path):
    path = write_czi(tmp_path / "s.czi", mosaic(RGB))
    data = bytearray(path.read_bytes())
    struct.pack_into("<i", data, data.rfind(b"ZISRAWDIRECTORY") + 32, 2_000_000_000)
    path.write_bytes(data)
    refused(path, "E_FORMAT")
