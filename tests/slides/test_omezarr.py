"""OME-Zarr folders are slides like any other, from `init` to reading tiles for embeddings."""

import os
import shutil
import sys

import numpy as np
import pytest
from files import texture
from zarrs import edit, write_zarr

pytest.importorskip("zarr", reason="the optional extra zarr is not installed")

from pathosig.core.errors import SlideError
from pathosig.core.fingerprints import identity
from pathosig.core.study import Study
from pathosig.intake import check, init
from pathosig.slides import open_slide, plan_read, read_all_tiles, read_overview
from pathosig.slides.backends.omezarr import OmeZarrReader
from pathosig.slides.listing import slide_name, slides_among
from pathosig.tiles.stage import cut_tiles
from pathosig.tissue.stage import find_tissue

RGB = texture(420, 610)


def code_of(path):
    with pytest.raises(SlideError) as caught:
        open_slide(path)
    assert path.name in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("axes", ["cyx", "yxc", "tczyx", "zyxc"])
def test_pixels_levels_and_mpp_for_both_versions_and_any_order_of_axes(tmp_path, version, axes):
    path = write_zarr(tmp_path / "s.ome.zarr", RGB, version=version, axes=axes)
    with open_slide(path) as reader:
        assert isinstance(reader.source, OmeZarrReader)
        assert reader.info.level_sizes == ((610, 420), (305, 210), (153, 105))
        assert reader.info.downsamples == (1.0, 2.0, 4.0)
        assert (reader.info.mpp, reader.info.mpp_source, reader.info.vendor) == (0.25, "header", "ome-zarr")
        assert np.array_equal(reader.read_level(0, 100, 90, 300, 200), RGB[90:290, 100:400])
        assert np.array_equal(reader.read_level(2, 0, 0, 153, 105), RGB[::4, ::4])
        outside = reader.read_level(0, 560, -10, 100, 60)
        assert np.array_equal(outside[10:, :50], RGB[:50, 560:])
        assert (outside[:10] == 255).all()
        assert (outside[:, 50:] == 255).all()
        tiles = read_all_tiles(reader, plan_read(reader.info, 0.5), [(0, 0), (200, 100)], 64)
        assert np.array_equal(tiles[1], RGB[::2, ::2][50:114, 100:164])
        overview, factor = read_overview(reader, 1.0)
        assert overview.shape == (105, 152, 3)
        assert abs(factor - 4) < 0.05


def test_shards_are_read(tmp_path):
    path = write_zarr(
        tmp_path / "s.zarr", RGB, version=3, axes="yxc", chunks=(64, 64, 3), shards=(256, 256, 3), levels=(1,)
    )
    with open_slide(path) as reader:
        assert np.array_equal(reader.read_level(0, 0, 0, 610, 420), RGB)


@pytest.mark.parametrize(("unit", "scale"), [("nanometer", 250), ("millimeter", 0.00025), ("angstrom", 2500)])
def test_units_of_the_axes_are_converted(tmp_path, unit, scale):
    with open_slide(write_zarr(tmp_path / "s.zarr", RGB, mpp=scale, unit=unit, levels=(1,))) as reader:
        assert abs(reader.info.mpp - 0.25) < 1e-9


def test_a_scale_without_a_unit_of_length_is_no_resolution(tmp_path):
    path = write_zarr(tmp_path / "s.zarr", RGB, unit=None, levels=(1,))
    with open_slide(path) as reader:
        assert (reader.info.mpp, reader.info.mpp_source) == (None, "missing")
    with open_slide(path, mpp=0.5) as reader:
        assert (reader.info.mpp, reader.info.mpp_source) == (0.5, "given")


def test_a_scale_of_the_whole_image_multiplies_those_of_its_levels(tmp_path):
    path = write_zarr(tmp_path / "s.zarr", RGB, mpp=0.5, levels=(1, 2))
    whole = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    edit(path / ".zattrs", lambda z: z["multiscales"][0].update(coordinateTransformations=whole))
    with open_slide(path) as reader:
        assert (reader.info.mpp, reader.info.downsamples) == (0.25, (1.0, 2.0))


def test_of_several_images_the_first_is_the_slide(tmp_path):
    path = tmp_path / "s.zarr"
    write_zarr(path / "0", RGB, levels=(1,))
    write_zarr(path / "1", RGB[:50, :60], levels=(1,))  # the label
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
    with open_slide(path) as reader:
        assert reader.info.level_sizes == ((610, 420),)


def test_what_is_not_8_bit_rgb_is_refused(tmp_path):
    assert code_of(write_zarr(tmp_path / "deep.zarr", RGB.astype(np.uint16), levels=(1,))) == "E_BITDEPTH"
    path = write_zarr(tmp_path / "channels.zarr", np.repeat(RGB, 2, axis=2)[..., :4], levels=(1,))
    assert code_of(path) == "E_PHOTOMETRIC"
    path = write_zarr(tmp_path / "long.zarr", RGB, axes="tcyx", levels=(1,))
    edit(path / "0" / ".zarray", lambda a: a.update(shape=[5, 3, 420, 610]))
    assert code_of(path) == "E_FORMAT"
    path = write_zarr(tmp_path / "gray.zarr", RGB, levels=(1,))
    edit(path / ".zattrs", lambda z: z["multiscales"][0].update(axes=[{"name": "y"}, {"name": "x"}]))
    assert code_of(path) == "E_PHOTOMETRIC"


def test_absurd_shapes_and_chunks_are_refused_before_any_allocation(tmp_path):
    path = write_zarr(tmp_path / "wide.zarr", RGB, levels=(1,))
    edit(path / "0" / ".zarray", lambda a: a.update(shape=[3, 600_000, 600_000]))
    assert code_of(path) == "E_TOO_LARGE"
    edit(path / "0" / ".zarray", lambda a: a.update(shape=[3, 420, 610], chunks=[3, 100_000, 100_000]))
    assert code_of(path) == "E_TOO_LARGE"
    path = write_zarr(
        tmp_path / "wide3.zarr", RGB, version=3, levels=(1,), chunks=(3, 128, 128), shards=(3, 256, 256)
    )

    def swell(array):
        array["codecs"][0]["configuration"]["chunk_shape"] = [3, 100_000, 100_000]

    edit(path / "0" / "zarr.json", swell)
    assert code_of(path) == "E_TOO_LARGE"


@pytest.mark.parametrize("filters", [[{"id": "pickle"}], [{"id": "json2"}]])
def test_codecs_that_could_run_code_are_refused_by_name(tmp_path, filters):
    path = write_zarr(tmp_path / "s.zarr", RGB, levels=(1,))
    edit(path / "0" / ".zarray", lambda a: a.update(filters=filters))
    with pytest.raises(SlideError, match=filters[0]["id"]) as caught:
        open_slide(path)
    assert caught.value.code == "E_CODEC"


@pytest.mark.parametrize("name", ["../../secret", "/etc", "C:\\x"])
def test_levels_outside_the_folder_are_refused(tmp_path, name):
    path = write_zarr(tmp_path / "s.zarr", RGB, levels=(1,))
    edit(path / ".zattrs", lambda z: z["multiscales"][0]["datasets"][0].update(path=name))
    with pytest.raises(SlideError, match="outside"):
        open_slide(path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"multiscales": 3}', '{"multiscales": [{}]}', '{"multiscales": [{"axes": 1}]}', "{}"],
)
def test_damaged_metadata_are_a_plain_error(tmp_path, text):
    path = write_zarr(tmp_path / "s.zarr", RGB, levels=(1,))
    (path / ".zattrs").write_text(text)
    assert code_of(path) == "E_FORMAT"


def test_a_level_that_is_gone_and_an_empty_folder_are_plain_errors(tmp_path):
    path = write_zarr(tmp_path / "s.zarr", RGB)
    shutil.rmtree(path / "1")
    assert code_of(path) == "E_FORMAT"
    (tmp_path / "empty.zarr").mkdir()
    assert code_of(tmp_path / "empty.zarr") == "E_FORMAT"
    (tmp_path / "file.zarr").write_bytes(b"PK\x03\x04" + bytes(300))
    assert code_of(tmp_path / "file.zarr") == "E_FORMAT"


def test_a_damaged_chunk_costs_only_the_tiles_it_touches(tmp_path):
    from pathosig.slides import read_tiles

    path = write_zarr(tmp_path / "s.zarr", RGB, levels=(1,))
    chunk = next(p for p in (path / "0").iterdir() if p.name in ("0.0.0", "0"))
    chunk = chunk if chunk.is_file() else chunk / "0" / "0"
    chunk.write_bytes(b"damaged")
    with open_slide(path) as reader:
        (block,) = read_tiles(reader, plan_read(reader.info, 0.25), [(0, 0), (128, 0), (0, 128)], 100)
    assert block.failed.tolist() == [True, False, False]


def test_without_the_package_the_message_names_the_extra(tmp_path, monkeypatch):
    path = write_zarr(tmp_path / "s.zarr", RGB, levels=(1,))
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(
        SlideError, match=r"s\.zarr.*zarr, which is not installed.*pip install 'pathosig\[zarr\]'"
    ):
        open_slide(path)


def test_a_glob_that_reaches_into_folders_lists_each_slide_once(tmp_path):
    write_zarr(tmp_path / "a.ome.zarr", RGB[:50, :50], levels=(1,))
    write_zarr(tmp_path / "deeper" / "b.zarr", RGB[:50, :50], levels=(1,), version=3)
    (tmp_path / "c.mrxs").write_bytes(b"x")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "Slidedat.ini").write_text("x")
    (tmp_path / "d.svs").write_bytes(b"x")
    found = slides_among(tmp_path.rglob("*"))
    assert [p.name for p in found] == ["a.ome.zarr", "c.mrxs", "d.svs", "b.zarr"]
    assert [slide_name(p) for p in found] == ["a", "c", "d", "b"]


def test_a_folder_is_one_input_whose_digest_follows_every_file(tmp_path):
    path = write_zarr(tmp_path / "s.zarr", RGB, levels=(1,))
    before = identity(path)
    moved = tmp_path / "elsewhere" / "s.zarr"
    shutil.copytree(path, moved)
    assert identity(moved) == before
    edit(path / ".zattrs", lambda z: z["multiscales"][0].update(name="other"))
    assert identity(path) != before


def test_from_init_to_tiles_a_folder_is_one_slide(tmp_path, tissue_slide):
    with open_slide(tissue_slide) as real:
        rgb = real.read_level(0, 0, 0, 1500, 1500)
    write_zarr(tmp_path / "slides" / "P1.ome.zarr", rgb, mpp=0.499, chunk=256)
    write_zarr(tmp_path / "slides" / "P2.zarr", rgb, mpp=0.499, chunk=256, version=3)
    (tmp_path / "clinical.csv").write_text("patient,OS_months,OS_event\nP1,10,1\nP2,20,0\n")
    report = init(
        tmp_path / "study", slides=str(tmp_path / "slides" / "**"), clinical=tmp_path / "clinical.csv"
    )
    assert (report.n_slides, report.unmatched_slides) == (2, ())
    study = Study.open(tmp_path / "study")
    assert [s.id for s in study.specimens()] == ["P1", "P2"]
    found = check(study)
    assert found.counts["slides_readable"] == 2
    assert set(find_tissue(study).done) == {"P1", "P2"}
    assert set(cut_tiles(study).done) == {"P1", "P2"}
    assert set(cut_tiles(study).fresh) == {"P1", "P2"}
    tables = [study.file("tiles", name, ".parquet").stat().st_size for name in ("P1", "P2")]
    assert min(tables) > 0
    assert (
        study.record("tiles", "P1").summary["n_tiles"] == study.record("tiles", "P2").summary["n_tiles"] > 5
    )
    edit(tmp_path / "slides" / "P1.ome.zarr" / ".zattrs", lambda z: z["multiscales"][0].update(name="new"))
    again = find_tissue(Study.open(tmp_path / "study"))
    assert (again.done, again.fresh) == (("P1",), ("P2",))


def chunk_of(path):
    """The file of the first chunk."""
    files = (p for p in sorted((path / "0").rglob("*")) if p.is_file())
    return next(p for p in files if not p.name.startswith(".") and p.name != "zarr.json")


@pytest.mark.parametrize("compressor", ["zlib", "gzip", "bz2", "zstd", "blosc", "lz4"])
def test_a_chunk_that_decodes_to_more_than_itself_is_lost_and_nothing_is_allocated_for_it(
    tmp_path, compressor
):
    import tracemalloc

    import numcodecs

    path = write_zarr(tmp_path / "s.zarr", RGB, levels=(1,), compressors=None)
    codec = numcodecs.get_codec({"id": compressor})
    edit(path / "0" / ".zarray", lambda a: a.update(compressor=codec.get_config()))
    plain = bytes(128 * 128)
    for file in (path / "0").rglob("*"):
        if file.is_file() and not file.name.startswith("."):
            file.write_bytes(codec.encode(plain))
    with open_slide(path) as reader:
        assert (reader.read_level(0, 0, 0, 100, 100) == 0).all()
    chunk_of(path).write_bytes(codec.encode(bytes(100_000_000)))
    tracemalloc.start()
    try:
        with open_slide(path) as reader, pytest.raises(SlideError) as caught:
            reader.read_level(0, 0, 0, 100, 100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == "E_PIXELS"
    assert peak < 20_000_000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_or_a_device_in_place_of_a_chunk_is_never_opened(tmp_path):
    for kind in ("pipe", "device"):
        path = write_zarr(tmp_path / f"{kind}.zarr", RGB, levels=(1,))
        chunk = chunk_of(path)
        chunk.unlink()
        os.mkfifo(chunk) if kind == "pipe" else chunk.symlink_to("/dev/zero")
        with open_slide(path) as reader, pytest.raises(SlideError) as caught:
            reader.read_level(0, 0, 0, 100, 100)
        assert caught.value.code == "E_PIXELS"


def test_a_codec_hidden_behind_another_name_is_refused(tmp_path):
    path = write_zarr(tmp_path / "s.zarr", RGB, levels=(1,), version=3)
    edit(path / "0" / "zarr.json", lambda a: a["codecs"].append({"id": "zstd", "name": "vlen-utf8"}))
    assert code_of(path) == "E_CODEC"


def test_shards_are_read_and_one_that_holds_too_much_is_lost(tmp_path):
    options = {"chunks": (3, 64, 64), "shards": (3, 128, 128)}
    path = write_zarr(tmp_path / "s.zarr", RGB, version=3, levels=(1,), **options)
    with open_slide(path) as reader:
        assert np.array_equal(reader.read_level(0, 0, 0, 610, 420), RGB)
    import numcodecs

    file = chunk_of(path)
    bomb = numcodecs.get_codec({"id": "zstd"}).encode(bytes(50_000_000))
    data = file.read_bytes()
    index = np.frombuffer(data[-68:-4], "<u8").copy()
    index[0:2] = len(data) - 68, len(bomb)
    body = data[:-68] + bomb + index.tobytes()
    file.write_bytes(body + crc32c(index.tobytes()))
    with open_slide(path) as reader:
        with pytest.raises(SlideError) as caught:
            reader.read_level(0, 0, 0, 30, 30)
        assert caught.value.code == "E_PIXELS"
        assert np.array_equal(reader.read_level(0, 200, 200, 30, 30), RGB[200:230, 200:230])


def crc32c(data):
    import google_crc32c

    return google_crc32c.value(data).to_bytes(4, "little")


def write_shards(path, location, checksum):
    """A slide of shards of 4 chunks whose index is at the start or the end, with a checksum or without."""
    write_zarr(path, RGB, version=3, levels=(1,), chunks=(3, 64, 64), shards=(3, 128, 128))

    def change(metadata):
        shards = metadata["codecs"][0]["configuration"]
        shards["index_location"] = location
        shards["index_codecs"] = shards["index_codecs"][: 1 + checksum]

    edit(path / "0" / "zarr.json", change)
    for file in (path / "0").rglob("*"):
        if not file.is_file() or file.name == "zarr.json":
            continue
        data = file.read_bytes()
        index = np.frombuffer(data[-68:-4], "<u8").copy()
        if location == "start":
            index[::2][index[::2] < 2**63] += 64 + 4 * checksum
        file.write_bytes(shard(data[:-68], index, location, checksum))
    return path


def shard(chunks, index, location, checksum):
    stored = index.tobytes() + (crc32c(index.tobytes()) if checksum else b"")
    return stored + chunks if location == "start" else chunks + stored


LAYOUTS = pytest.mark.parametrize(
    ("location", "checksum"), [("end", True), ("end", False), ("start", True), ("start", False)]
)


MISPLACED = {
    "beyond its end": ({0: 99_999}, (0,)),
    "no bytes": ({1: 0}, (0,)),
    "too many bytes": ({1: 2**63}, (0,)),
    "sum beyond 64 bits": ({0: 2**64 - 10, 1: 20}, (0,)),
    "the bytes of another": ({2: "first", 3: "size"}, (0, 64)),
    "some bytes of another": ({2: "into", 3: 9}, (0, 64)),
    "the index": ({2: "index", 3: 40}, (64,)),
    "one byte beyond the end": ({3: "to the end"}, (64,)),
}


@LAYOUTS
def test_chunks_outside_the_bytes_of_their_shard_are_lost_not_blank(tmp_path, location, checksum):
    path = write_shards(tmp_path / "s.zarr", location, checksum)
    size = 64 + 4 * checksum
    file = chunk_of(path)
    data = file.read_bytes()
    chunks, start = (data[size:], 0) if location == "start" else (data[:-size], len(data) - size)
    for name, (changed, lost) in MISPLACED.items():
        index = np.frombuffer(data[start : start + 64], "<u8").copy()
        named = {
            "first": index[0],
            "into": index[0] + 5,
            "size": index[1],
            "index": start,
            "to the end": (len(data) if location == "start" else start) - index[2] + 1,
        }
        for k, value in changed.items():
            index[k] = named.get(value, value)
        file.write_bytes(shard(chunks, index, location, checksum))
        with open_slide(path) as reader:
            for x in (0, 64):
                if x in lost:
                    with pytest.raises(SlideError) as caught:
                        reader.read_level(0, x, 0, 30, 30)
                    assert caught.value.code == "E_PIXELS", name
                else:
                    assert np.array_equal(reader.read_level(0, x, 0, 30, 30), RGB[:30, x : x + 30]), name
            assert np.array_equal(reader.read_level(0, 0, 64, 130, 30)[:, 128:], RGB[64:94, 128:130]), name


@LAYOUTS
def test_shards_of_any_usual_index_are_read(tmp_path, location, checksum):
    path = write_shards(tmp_path / "s.zarr", location, checksum)
    with open_slide(path) as reader:
        assert np.array_equal(reader.read_level(0, 0, 0, 610, 420), RGB)
        assert np.array_equal(reader.read_level(0, 70, 70, 20, 20), RGB[70:90, 70:90])


def test_a_chunk_that_is_the_whole_index_costs_its_shard(tmp_path):
    path = write_shards(tmp_path / "s.zarr", "start", True)
    file = chunk_of(path)
    data = file.read_bytes()
    index = np.frombuffer(data[:64], "<u8").copy()
    index[2:4] = 0, 68
    file.write_bytes(shard(data[68:], index, "start", True))
    with open_slide(path) as reader:
        for x in (0, 64):
            with pytest.raises(SlideError) as caught:
                reader.read_level(0, x, 0, 30, 30)
            assert caught.value.code == "E_PIXELS"


@pytest.mark.parametrize(
    ("codecs", "code"),
    [
        ([{"name": "bytes", "configuration": {"endian": "big"}}], "E_FORMAT"),
        ([{"name": "bytes"}, {"name": "gzip", "configuration": {"level": 1}}], "E_CODEC"),
        ([], "E_FORMAT"),
    ],
    ids=["big-endian", "compressed", "none"],
)
def test_an_index_of_shards_that_no_writer_makes_is_refused(tmp_path, codecs, code):
    path = write_shards(tmp_path / "s.zarr", "end", True)
    edit(path / "0" / "zarr.json", lambda a: a["codecs"][0]["configuration"].update(index_codecs=codecs))
    assert code_of(path) == code
