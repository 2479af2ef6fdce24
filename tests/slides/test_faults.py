"""Damaged files are refused with a code and a message, without hanging or allocating much memory."""

import errno
import os
import struct
import sys
import tracemalloc

import imagecodecs
import numpy as np
import pytest
import tifffile
from files import deflate_bomb, huge_tiff, looping_tiff, texture, write_svs
from PIL import Image
from raw_tiff import write_tiff

from pathosig.core.errors import SlideError
from pathosig.slides import open_slide, plan_read, read_all_tiles, read_overview, read_tiles
from pathosig.slides.listing import slides_among

RGB = texture(500, 600)


def refused(path, code, **options):
    with pytest.raises(SlideError) as caught, open_slide(path, **options) as reader:
        reader.read_level(0, 0, 0, 16, 16)
    assert caught.value.code == code, caught.value.message
    assert path.name in caught.value.message
    assert str(path.parent) not in caught.value.message
    return caught.value.message


def test_zero_bytes_and_text_with_the_name_of_a_slide(tmp_path):
    (tmp_path / "empty.svs").write_bytes(b"")
    refused(tmp_path / "empty.svs", "E_FORMAT")
    (tmp_path / "text.svs").write_text("not a slide\n" * 50)
    refused(tmp_path / "text.svs", "E_FORMAT")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_slides(tmp_path, share):
    data = write_svs(tmp_path / "good.svs", texture(2400, 2400), levels=(1,)).read_bytes()
    (tmp_path / "cut.svs").write_bytes(data[: int(len(data) * share)])
    refused(tmp_path / "cut.svs", "E_FORMAT")


def test_a_slide_that_lacks_its_last_bytes_is_read_with_a_warning(tmp_path):
    data = write_svs(tmp_path / "good.svs", texture(2400, 2400)).read_bytes()
    (tmp_path / "cut.svs").write_bytes(data[: int(len(data) * 0.999)])
    with open_slide(tmp_path / "cut.svs") as reader, open_slide(tmp_path / "good.svs") as good:
        assert any("cut short" in w for w in reader.info.warnings)
        assert not good.info.warnings
        assert np.array_equal(reader.read_level(0, 0, 0, 2400, 2400), good.read_level(0, 0, 0, 2400, 2400))


def test_a_lost_tail_costs_a_warning_and_only_its_tiles(tmp_path):
    path = write_svs(tmp_path / "tail.svs", texture(2400, 2400), levels=(1,))
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        counts_at, n = page.tags[325].valueoffset, len(page.databytecounts)
    data = bytearray(path.read_bytes())
    struct.pack_into(
        "<I", data, counts_at + 4 * (n - 1), len(data)
    )  # the last tile extends beyond the end of the file
    path.write_bytes(data)
    with open_slide(path) as reader:
        assert any("beyond the end" in w for w in reader.info.warnings)
        plan = plan_read(reader.info, 0.25)
        xy = [(x * 240, y * 240) for y in range(10) for x in range(10)]
        failed = np.concatenate([b.failed for b in read_tiles(reader, plan, xy, 240)])
    assert failed.tolist() == [False] * 99 + [True]


@pytest.mark.parametrize("threads", [1, 3])
def test_one_unreadable_compressed_tile_costs_exactly_the_tiles_it_touches(tmp_path, threads):
    path = write_svs(tmp_path / "hole.svs", texture(1200, 1200), levels=(1,))
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[12]  # third row, third column of 5 x 5
    data = bytearray(path.read_bytes())
    data[start : start + 64] = bytes(64)
    path.write_bytes(data)
    xy = [(x * 120, y * 120) for y in range(9) for x in range(9)]
    touched = [480 - 240 < x < 720 and 480 - 240 < y < 720 for x, y in xy]
    for reader_name in ("tiff", "openslide"):
        with open_slide(path, reader=reader_name) as reader:
            plan = plan_read(reader.info, 0.25)
            failed = np.concatenate([b.failed for b in read_tiles(reader, plan, xy, 240, threads=threads)])
            assert failed.tolist() == touched, reader_name
            with pytest.raises(SlideError, match="cannot be decoded"):
                read_all_tiles(reader, plan, xy, 240)


def test_images_that_call_themselves_slides(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "image.png")
    (tmp_path / "image.png").rename(tmp_path / "image.svs")
    assert ".png" in refused(tmp_path / "image.svs", "E_FORMAT")


@pytest.mark.parametrize(("mpp", "code"), [("10000", "E_MPP_RANGE"), ("352.8", "E_MPP_RANGE")])
def test_impossible_resolutions(tmp_path, mpp, code):
    refused(write_svs(tmp_path / "s.svs", RGB, mpp=mpp), code)


def test_a_given_resolution_is_checked_too_and_wins(tmp_path):
    path = write_svs(tmp_path / "s.svs", RGB, mpp="10000")
    refused(path, "E_MPP_RANGE", mpp=500.0)
    with open_slide(path, mpp=0.5) as reader:
        assert (reader.info.mpp, reader.info.mpp_source) == (0.5, "given")


def test_pixels_that_are_not_square(tmp_path):
    path = tmp_path / "aniso.tif"
    tifffile.imwrite(path, RGB, tile=(256, 256), resolution=(40000, 20000), resolutionunit=3, metadata=None)
    refused(path, "E_MPP_ANISO")


def test_screen_resolution_is_not_taken_for_the_microscopes(tmp_path):
    path = tmp_path / "screen.tif"
    tifffile.imwrite(path, RGB, resolution=(72, 72), resolutionunit=2, metadata=None)
    refused(path, "E_MPP_RANGE")


def test_no_resolution_is_never_replaced_by_a_guess(tmp_path):
    with open_slide(write_svs(tmp_path / "s.svs", RGB, mpp=None, power="40")) as reader:
        assert (reader.info.mpp, reader.info.mpp_source) == (None, "missing")
        with pytest.raises(SlideError) as caught:
            plan_read(reader.info, 0.5)
    assert caught.value.code == "E_MPP"


def test_a_decimal_comma_is_read(tmp_path):
    with open_slide(write_svs(tmp_path / "s.svs", RGB, mpp="0,5", power="20")) as reader:
        assert reader.info.mpp == 0.5
        assert not reader.info.warnings


def test_power_and_resolution_that_disagree_are_reported(tmp_path):
    with open_slide(write_svs(tmp_path / "s.svs", RGB, mpp="0.5", power="40")) as reader:
        assert any("disagree" in w for w in reader.info.warnings)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("tiled", [True, False])
def test_more_than_eight_bits_are_refused(tmp_path, dtype, tiled):
    path = tmp_path / "deep.tif"
    tifffile.imwrite(
        path, RGB.astype(dtype), photometric="rgb", metadata=None, **({"tile": (256, 256)} if tiled else {})
    )
    refused(path, "E_BITDEPTH", mpp=0.5)


@pytest.mark.parametrize("tiled", [True, False])
def test_inks_are_refused(tmp_path, tiled):
    path = tmp_path / "inks.tif"
    cmyk = np.concatenate([RGB, RGB[..., :1]], axis=2)
    tifffile.imwrite(
        path, cmyk, photometric="separated", metadata=None, **({"tile": (256, 256)} if tiled else {})
    )
    refused(path, "E_PHOTOMETRIC", mpp=0.5)


def test_gray_palette_and_transparent_images_have_a_defined_conversion(tmp_path):
    gray = RGB[..., 0]
    tifffile.imwrite(tmp_path / "gray.tif", gray, tile=(256, 256), photometric="minisblack", metadata=None)
    with open_slide(tmp_path / "gray.tif", mpp=0.5) as reader:
        assert np.array_equal(
            reader.read_level(0, 5, 7, 40, 30), np.repeat(gray[7:37, 5:45, None], 3, axis=2)
        )
    palette = Image.fromarray(RGB).quantize(32)
    palette.save(tmp_path / "palette.png")
    with open_slide(tmp_path / "palette.png", mpp=0.5) as reader:
        assert np.array_equal(reader.read_level(0, 0, 0, 600, 500), np.asarray(palette.convert("RGB")))
    clear = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    Image.fromarray(clear).save(tmp_path / "clear.png")
    with open_slide(tmp_path / "clear.png", mpp=0.5) as reader:
        assert reader.read_level(0, 0, 0, 600, 500).min() == 255


def test_an_unknown_codec_is_named(tmp_path):
    path = write_svs(tmp_path / "codec.svs", RGB, levels=(1,))
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].tags[259].valueoffset
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, at, 34713)
    path.write_bytes(data)
    assert "34713" in refused(path, "E_CODEC")


def test_sizes_that_cannot_be_true_are_refused_before_any_allocation(tmp_path):
    huge = huge_tiff(tmp_path / "huge.tif")
    for path in (huge, deflate_bomb(tmp_path / "bomb.tif")):
        tracemalloc.start()
        try:
            refused(path, "E_TOO_LARGE", mpp=0.5)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 50_000_000


def test_directories_that_loop_do_not_hang(tmp_path):
    refused(looping_tiff(tmp_path / "loop.tif"), "E_FORMAT", mpp=0.5)


def test_things_that_are_no_files(tmp_path):
    folder = tmp_path / "folder.svs"
    folder.mkdir()
    refused(folder, "E_FORMAT")
    (folder / "readme.txt").write_text("nothing")
    refused(folder, "E_FORMAT")
    refused(tmp_path / "nowhere.svs", "E_NOT_FILE")
    link = tmp_path / "link.svs"
    link.symlink_to(tmp_path / "gone.svs")
    refused(link, "E_NOT_FILE")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.svs")
        refused(tmp_path / "pipe.svs", "E_NOT_FILE")


@pytest.mark.parametrize(
    "name", ["a b.svs", "é ü.svs", "🔬.svs", 'it\'s "q".svs', "-x.svs", "<b>.svs", "a\nb.svs"]
)
def test_any_name_works(tmp_path, name):
    with open_slide(write_svs(tmp_path / name, RGB)) as reader:
        assert reader.info.mpp == 0.25


def test_labels_are_never_a_level(tmp_path):
    with open_slide(write_svs(tmp_path / "s.svs", RGB)) as reader:
        assert reader.info.level_sizes == ((600, 500), (150, 125))


@pytest.mark.parametrize("suffix", [".kfb", ".isyntax", ".czi"])
def test_closed_formats_are_refused_where_the_file_is_of_another(tmp_path, suffix):
    path = tmp_path / f"slide{suffix}"
    path.write_bytes(b"KFB\0" + bytes(500))
    assert suffix[1:] in refused(path, "E_FORMAT").lower()


@pytest.mark.skipif(not hasattr(os, "pread"), reason="files are read in another way on this system")
@pytest.mark.parametrize("failures", [2, 3])
def test_a_disk_that_fails_for_a_moment_is_asked_again(tmp_path, monkeypatch, failures):
    path = write_svs(tmp_path / "s.svs", RGB)
    real, left = os.pread, [failures]

    def pread(*arguments):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error")
        return real(*arguments)

    monkeypatch.setattr("pathosig.slides.backends.source._WAIT_S", 0.0)
    with open_slide(path) as reader:
        expected = read_all_tiles(reader, plan_read(reader.info, 0.25), [(0, 0)], 200)
    monkeypatch.setattr(os, "pread", pread)
    if failures <= 2:
        with open_slide(path) as reader:
            assert np.array_equal(
                read_all_tiles(reader, plan_read(reader.info, 0.25), [(0, 0)], 200), expected
            )
        return
    with (
        pytest.raises(SlideError) as caught,
        open_slide(path) as reader,
    ):  # a failing disk is never taken for a damaged tile
        read_all_tiles(reader, plan_read(reader.info, 0.25), [(0, 0)], 200)
    assert caught.value.code == "E_READ"
    assert "s.svs" in caught.value.message


@pytest.mark.skipif(not hasattr(os, "pread"), reason="files are read in another way on this system")
def test_a_disk_that_fails_while_opening_is_not_called_a_damaged_slide(tmp_path, monkeypatch):
    path = write_svs(tmp_path / "s.svs", RGB)

    def fails(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("pathosig.slides.backends.source._WAIT_S", 0.0)
    monkeypatch.setattr(os, "pread", fails)
    assert "Input/output error" in refused(path, "E_READ")


def test_a_folder_with_the_name_of_a_slide_is_refused_with_a_reason_and_not_passed_over(tmp_path):
    (tmp_path / "folder.svs").mkdir()
    (tmp_path / "rack.tif").mkdir()
    inside = write_svs(tmp_path / "rack.tif" / "a.svs", texture(480, 480), levels=(1,))
    assert slides_among(tmp_path.rglob("*")) == [tmp_path / "folder.svs", inside]
    refused(tmp_path / "folder.svs", "E_FORMAT")
    (tmp_path / "folder.svs" / "notes.txt").write_text("no pixels")
    refused(tmp_path / "folder.svs", "E_FORMAT")


def test_tiles_as_large_as_the_slide_are_refused_before_one_is_decoded(tmp_path):
    path = huge_tiff(tmp_path / "s.tif", side=60_000)
    data = bytearray(path.read_bytes())
    for code in (322, 323):
        at = data.index(struct.pack("<HHQ", code, 3, 1))
        data[at : at + 20] = struct.pack("<HHQQ", code, 4, 1, 60_000)
    path.write_bytes(data)
    assert "60000 x 60000" in refused(path, "E_TOO_LARGE")


def test_places_of_tiles_that_no_file_can_have_count_as_lost(tmp_path):
    path = tmp_path / "s.tif"
    tifffile.imwrite(
        path, texture(480, 480), tile=(240, 240), photometric="rgb", bigtiff=True, compression="deflate"
    )
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].tags[324].valueoffset
    data = bytearray(path.read_bytes())
    data[at : at + 8] = struct.pack("<Q", 2**64 - 1)
    path.write_bytes(data)
    refused(path, "E_FORMAT")


ENCODERS = {8: imagecodecs.zlib_encode, 5: imagecodecs.lzw_encode, 32773: imagecodecs.packbits_encode, 50000: imagecodecs.zstd_encode}  # fmt: skip


@pytest.mark.parametrize("codec", ENCODERS)
@pytest.mark.parametrize("kind", ["no counts", "offset beyond", "count beyond", "offset 0"])
def test_one_wrong_place_costs_one_tile_and_missing_lengths_none(tmp_path, codec, kind):
    tiles = [texture(64, 64, seed=seed) for seed in range(16)]
    tiles[3][:] = tiles[3][:1, :1]  # a tile whose length is odd in some codecs, so that padding follows it
    pieces = [bytes(ENCODERS[codec](np.ascontiguousarray(tile))) for tile in tiles]
    offsets = (8 + np.cumsum([0] + [len(p) + len(p) % 2 for p in pieces])).tolist()[:-1]
    counts = [len(p) for p in pieces]
    if kind == "offset beyond":
        offsets[5] = 2**31
    elif kind == "offset 0":
        offsets[5] = 0
    else:
        counts[5] = 2**31
    tags = {324: (4, offsets), 325: None if kind == "no counts" else (4, counts)}
    path = write_tiff(tmp_path / "s.tif", pieces, (256, 256), (64, 64), codec, 2, tags=tags)
    with open_slide(path) as reader:
        for index, tile in enumerate(tiles):
            y, x = divmod(index, 4)
            if index == 5 and kind != "no counts":
                with pytest.raises(SlideError, match=r"s\.tif"):
                    reader.read_level(0, 64 * x, 64 * y, 64, 64)
            else:
                assert np.array_equal(reader.read_level(0, 64 * x, 64 * y, 64, 64), tile), index
        assert any("beyond the end" in warning for warning in reader.info.warnings) == ("beyond" in kind)


def test_a_slide_whose_reader_lacks_a_library_is_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "s.svs"
    write_svs(path, RGB)
    for name in (
        "tiff",
        "tiff_codecs",
        "jpeg",
        "j2k",
    ):  # import them again as on a machine without their libraries
        monkeypatch.delitem(sys.modules, f"pathosig.slides.backends.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    said = refused(path, "E_EXTRA")
    assert "pathosig[slides]" in said
    assert "damaged" not in said


def test_a_damaged_image_is_decoded_once(tmp_path, monkeypatch):
    from pathosig.slides.backends import flat

    path = tmp_path / "s.jpg"
    Image.fromarray(texture(300, 400)).save(path, quality=90)
    path.write_bytes(path.read_bytes()[:9_000])
    calls = []
    load = flat._load
    monkeypatch.setattr(flat, "_load", lambda path: calls.append(path) or load(path))
    with open_slide(path, mpp=0.5) as reader:
        for _ in range(3):
            with pytest.raises(SlideError) as caught:
                reader.read_level(0, 0, 0, 64, 64)
            assert caught.value.code == "E_FORMAT"
        with pytest.raises(SlideError):
            read_overview(reader, 0.5)
    assert len(calls) == 1
