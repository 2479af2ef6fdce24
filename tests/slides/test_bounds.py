"""Small files with huge declarations are refused with an error code and little memory and time; merely unusual files are read."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from files import aperio, texture
from raw_tiff import write_tiff

from pathosig.core.errors import SlideError
from pathosig.slides import open_slide, read_overview
from pathosig.slides.backends.j2k import read_header

RGB = texture(300, 420, seed=5)
SIZE = (420, 300)
LOOK = """
import sys, time, resource
resource.setrlimit(resource.RLIMIT_AS, (4_000_000_000, 4_000_000_000))
from pathosig.core.errors import PathosigError
from pathosig.slides import open_slide, read_overview
def peak():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
before, said = peak(), "read"
start = time.perf_counter()
try:
    with open_slide(sys.argv[1], mpp=0.5) as reader:
        reader.read_level(0, 0, 0, 64, 64)
        read_overview(reader)
except PathosigError as error:
    said = error.code
print(said, (peak() - before) // 1000, round(time.perf_counter() - start, 1))
"""


def looked_at(path):
    """(code, megabytes, seconds) of reading a file, a region and the low-power image in a separate process."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    code, megabytes, seconds = done.stdout.split()
    return code, int(megabytes), float(seconds)


def pieces(encode, side=128):
    for y in range(0, 300, side):
        for x in range(0, 420, side):
            part = RGB[y : y + side, x : x + side]
            yield bytes(
                encode(
                    np.ascontiguousarray(
                        np.pad(part, [(0, side - n) for n in part.shape[:2]] + [(0, 0)], mode="edge")
                    )
                )
            )


def j2k_that_declares(side, *, inner=None, precinct=None):
    """A codestream whose header declares side x side pixels in tiles of `inner` pixels or precincts of 2^precinct."""
    data = bytearray(imagecodecs.jpeg2k_encode(RGB[:128, :128].copy(), level=0, codecformat="j2k"))
    struct.pack_into(">II", data, 8, side, side)
    struct.pack_into(">II", data, 24, inner or side, inner or side)
    if precinct is not None:
        at = data.index(b"\xff\x52")
        length = struct.unpack_from(">H", data, at + 2)[0]
        levels = data[at + 9]
        data[at + 4] |= 1
        data[at + 2 + length : at + 2 + length] = bytes([precinct << 4 | precinct] * (levels + 1))
        struct.pack_into(">H", data, at + 2, length + levels + 1)
    return bytes(data)


def bombs():
    zeros = zlib.compress(bytes(400_000_000), 9)
    webp = bytes(imagecodecs.webp_encode(np.zeros((8000, 8000, 3), np.uint8), level=50))
    yield "j2k head", [j2k_that_declares(60_000)] * 12, 34712, (128, 128)
    yield "j2k tiles", [j2k_that_declares(4096, inner=2)] * 2, 34712, (4096, 4096)
    yield "j2k precincts", [j2k_that_declares(4096, precinct=1)] * 2, 34712, (4096, 4096)
    yield "deflate", [zeros] * 12, 8, (128, 128)
    yield "zstd", [bytes(imagecodecs.zstd_encode(bytes(400_000_000)))] * 12, 50000, (128, 128)
    yield "lzw", [bytes(imagecodecs.lzw_encode(bytes(100_000_000)))] * 12, 5, (128, 128)
    yield "webp", [webp] * 12, 50001, (128, 128)
    yield "jpeg", [bytes(imagecodecs.jpeg8_encode(np.zeros((9000, 9000, 3), np.uint8)))] * 12, 7, (128, 128)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.slow
def test_no_decoder_takes_more_than_the_tile_it_decodes(tmp_path):
    seen = {}
    for name, stored, compression, tile in bombs():
        size = (420, 300) if tile == (128, 128) else tile
        path = write_tiff(
            tmp_path / f"{name}.tif",
            stored[: -(-size[0] // tile[0]) * -(-size[1] // tile[1])],
            size,
            tile,
            compression,
            2,
        )
        seen[name] = looked_at(path)
    assert len(seen) == 8
    assert {
        name: (megabytes < 400, seconds < 10) for name, (_, megabytes, seconds) in seen.items()
    } == dict.fromkeys(seen, (True, True)), seen
    assert {code for code, _, _ in seen.values()} <= {"E_PIXELS", "read", "E_TOO_LARGE"}
    assert seen["deflate"][0] == "read"  # the rest of the stream is not decompressed


def test_the_head_of_a_codestream_is_understood():
    plain = read_header(j2k_that_declares(128))
    assert (plain.size, plain.steps, plain.depths) == ((128, 128), ((1, 1),) * 3, (8, 8, 8))
    assert plain.blocks < 1000
    assert read_header(j2k_that_declares(4096, inner=2)).blocks > 4_000_000
    assert read_header(j2k_that_declares(4096, precinct=1)).blocks > 4_000_000
    data = j2k_that_declares(128)
    for end in range(60):
        with pytest.raises(ValueError, match="."):
            read_header(data[:end])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_many_images_that_share_an_array_of_a_million_places_are_opened_in_little_memory(tmp_path):
    places = 1_000_000
    blob_at = 8
    entries = {256: (4, 1, 16 * 1000), 257: (4, 1, 16 * 1000), 258: (3, 1, 8), 259: (3, 1, 8), 262: (3, 1, 1), 277: (3, 1, 1),
               322: (4, 1, 16), 323: (4, 1, 16), 324: (4, places, blob_at), 325: (4, places, blob_at)}  # fmt: skip
    data = bytearray(b"II*\0" + struct.pack("<I", 8 + 4 * places) + bytes(4 * places))
    for number in range(150):
        after = len(data) + 2 + 12 * len(entries) + 4
        data += struct.pack("<H", len(entries))
        for code, (kind, count, value) in entries.items():
            data += struct.pack("<HHII", code, kind, count, value)
        data += struct.pack("<I", after if number < 149 else 0)
    path = tmp_path / "shared.tif"
    path.write_bytes(data)
    code, megabytes, seconds = looked_at(path)
    assert code.startswith("E_")
    assert megabytes < 400
    assert seconds < 10


def write_description(path, text):
    with tifffile.TiffWriter(path) as file:
        file.write(RGB[:128, :128], photometric="rgb", description=text, metadata=None)
    return path


PIXELS = (
    '<Image><Pixels DimensionOrder="XYCZT" SizeX="128" SizeY="128" SizeC="3" SizeZ="{depth}" SizeT="1" PhysicalSizeX="0.5" '
    'PhysicalSizeY="0.5"><Channel SamplesPerPixel="3"/>{planes}</Pixels></Image>'
)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("kind", ["planes", "images"])
def test_planes_that_are_listed_again_and_again_take_no_time(tmp_path, kind):
    if kind == "planes":
        images = PIXELS.format(depth=1, planes="<TiffData/>" + '<TiffData PlaneCount="4096"/>' * 10_000)
    else:
        images = PIXELS.format(depth=1, planes="<TiffData/>")
        images += PIXELS.format(depth=4096, planes="<TiffData/>") * 3_000
    path = write_description(
        tmp_path / "s.ome.tif",
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{images}</OME>',
    )
    code, megabytes, seconds = looked_at(path)
    assert code == "read"
    assert megabytes < 300
    assert seconds < 8


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_directories_that_lie_in_one_another_are_not_all_read(tmp_path):
    count, start = 4_000, 1 << 16
    data = bytearray(b"II*\0" + struct.pack("<I", start)).ljust(start, b"\0")
    entries = bytearray(struct.pack("<HHIHH", 0, 3, 1, 0, count) * 9_000)
    places = [start + 12 * k for k in range(0, 4_900)]
    # each directory begins with the last two bytes of an entry and ends with the link in one of the next entries
    for k in range(len(places) - 1):
        struct.pack_into("<H", entries, (k + count + 1) * 12, places[k + 1] - start)
    path = tmp_path / "s.tif"
    struct.pack_into("<I", data, 4, start + 10)
    path.write_bytes(data + entries)
    code, megabytes, seconds = looked_at(path)
    assert code.startswith("E_")
    assert megabytes < 300
    assert seconds < 8


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_pages_that_are_costly_to_compare_are_refused(tmp_path):
    side = 6_000
    packed = zlib.compress(bytes([200, 150, 190]) * (side * side), 9)
    data = bytearray(b"II*\0\0\0\0\0" + packed + b"\0" * (len(packed) % 2))
    link = 4
    for number in range(40):
        width = side if not number else 1_990 - 2 * number
        struct.pack_into("<I", data, link, len(data))
        tags = {256: (4, width), 257: (4, width), 258: (3, 8), 259: (3, 8), 262: (3, 2), 277: (3, 3), 322: (4, side), 323: (4, side),
                324: (4, 8), 325: (4, len(packed))}  # fmt: skip
        data += struct.pack("<H", len(tags))
        data += b"".join(struct.pack("<HHII", code, kind, 1, value) for code, (kind, value) in tags.items())
        link = len(data)
        data += bytes(4)
    path = tmp_path / "s.tif"
    path.write_bytes(data)
    code, megabytes, seconds = looked_at(path)
    assert code == "E_TOO_LARGE"
    assert megabytes < 500
    assert seconds < 8


@pytest.mark.parametrize("start", ["", '<?xml version="1.0"?>'])
def test_a_description_of_a_megabyte_is_parsed_in_linear_time(tmp_path, start):
    text = f'{start}<DataObject ObjectType="DPUfsImport">' + '<Attribute Name="DICOM_PIXEL_SPACING" ' * 30_000
    stored = list(pieces(lambda a: a.tobytes()))
    path = write_tiff(tmp_path / "s.tif", stored, SIZE, (128, 128), 1, 2, description=text)
    with open_slide(path, mpp=0.5) as reader:
        assert reader.info.vendor == "philips"
    aperio_text = "Aperio " + "MPP = " * 20_000 + "|" * 200_000 + "a=" * 100_000
    path = write_tiff(tmp_path / "a.svs", stored, SIZE, (128, 128), 1, 2, description=aperio_text)
    with open_slide(path, mpp=0.5) as reader:
        assert reader.info.vendor == "aperio"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_never_expanded(tmp_path, encoding):
    from pathosig.slides.backends.xml import parse_xml

    lol = (
        '<!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa">'
        + "".join(f'<!ENTITY {y} "{f"&{x};" * 10}">' for x, y in zip("abcdefgh", "bcdefghi", strict=True))
        + "]>"
    )
    text = f'<?xml version="1.0" encoding="{encoding}"?>{lol}<OME>&i;</OME>'
    assert parse_xml(text.encode(encoding)) is None
    assert parse_xml(text.replace(encoding, "utf-16-be").encode("utf-16-be")) is None
    assert (
        parse_xml(f'<?xml version="1.0" encoding="{encoding}"?><OME a="&#181;m"/>'.encode(encoding)).get("a")
        == "µm"
    )
    assert parse_xml("<a>" * 100_000) is None


def test_tiled_files_with_the_tags_of_strips_are_read(tmp_path):
    stored = list(pieces(lambda a: a.tobytes()))
    at = [8]
    for piece in stored:
        at.append(at[-1] + len(piece))
    tags = {324: None, 325: None, 273: (4, at[:-1]), 279: (4, [len(p) for p in stored])}
    with open_slide(
        write_tiff(tmp_path / "s.tif", stored, SIZE, (128, 128), 1, 2, tags=tags), mpp=0.5
    ) as reader:
        assert np.array_equal(reader.read_level(0, 0, 0, *SIZE), RGB)


@pytest.mark.parametrize("compression", [1, 8, 5])
def test_lengths_that_are_missing_reach_to_the_next_tile(tmp_path, compression):
    encode = {1: bytes, 8: zlib.compress, 5: imagecodecs.lzw_encode}[compression]
    stored = list(pieces(lambda a: bytes(encode(a.tobytes()))))
    for lengths in (None, (4, [len(stored[0])])):
        path = write_tiff(tmp_path / "s.tif", stored, SIZE, (128, 128), compression, 2, tags={325: lengths})
        with open_slide(path, mpp=0.5) as reader:
            assert np.array_equal(reader.read_level(0, 0, 0, *SIZE), RGB)


@pytest.mark.parametrize(
    "tags",
    [
        {324: None},
        {324: (4, [8])},
        {322: (4, [0])},
        {323: (4, [0])},
        {322: (4, [2**31]), 323: (4, [2**31])},
        {324: (16, [2**63 + 5] * 12)},
        {325: (16, [2**63 + 5] * 12)},
        {325: (16, [2**40] * 12)},
        {256: (4, [0])},
        {256: (4, [2**32 - 1]), 257: (4, [2**32 - 1])},
        {277: (3, [0])},
        {258: (3, [])},
        {258: (2, b"abc")},
        {530: (3, [0, 0]), 262: (3, [6])},
        {532: (5, [(1, 0)] * 6), 262: (3, [6]), 530: (3, [1, 1])},
        {529: (5, [(0, 0)] * 3), 262: (3, [6]), 530: (3, [1, 1])},
        {282: (5, [(0, 0)]), 283: (5, [(1, 0)])},
        {330: (4, [8, 8, 8])},
        {254: (4, [2**31])},
        {274: (3, [77])},
        {347: (7, [1, 2, 3])},
        {270: (2, b"Aperio |MPP = ")},
        {270: (2, b"<OME><Image><Pixels/></Image></OME>")},
        {270: (2, b'<OME><Image><Pixels SizeX="x" SizeC="-1" SizeZ="99999999999"/></Image></OME>')},
    ],
    ids=str,
)
def test_tags_that_cannot_be_are_read_around_or_refused_with_a_code(tmp_path, tags):
    stored = list(pieces(lambda a: a.tobytes()))
    path = write_tiff(tmp_path / "s.tif", stored, SIZE, (128, 128), 1, 2, tags=tags)
    code = None
    try:
        with open_slide(path) as reader:
            reader.read_level(0, -5, -5, 40, 40)
            read_overview(reader)
    except SlideError as error:
        code = error.code if "s.tif" in error.message else error.message
    assert code in {
        None,
        "E_FORMAT",
        "E_PIXELS",
        "E_TOO_LARGE",
        "E_BITDEPTH",
        "E_PHOTOMETRIC",
        "E_CODEC",
        "E_MPP_RANGE",
    }


def test_a_lost_tile_costs_that_tile_in_the_low_power_image_too(tmp_path):
    image = texture(1280, 1280, seed=6)
    for compression, encode in ((7, None), (8, lambda a: zlib.compress(a.tobytes()))):
        path = tmp_path / f"{compression}.svs"
        if encode is None:
            tifffile.imwrite(
                path,
                image,
                tile=(128, 128),
                photometric="rgb",
                compression="jpeg",
                description=aperio(),
                metadata=None,
            )
        else:
            stored = [
                encode(image[y : y + 128, x : x + 128])
                for y in range(0, 1280, 128)
                for x in range(0, 1280, 128)
            ]
            write_tiff(path, stored, (1280, 1280), (128, 128), 8, 2, description=aperio())
        with tifffile.TiffFile(path) as file:
            at = file.pages[0].dataoffsets[33]
        data = bytearray(path.read_bytes())
        data[at : at + 60] = bytes(60)
        path.write_bytes(data)
        with open_slide(path) as reader:
            small, downsample = read_overview(reader, mpp=1.0)
        assert downsample == 4
        lost = (small == 255).all(axis=2)
        assert lost[96:128, 96:128].all()
        assert lost.sum() == 32 * 32


def test_a_lost_tile_costs_that_tile_where_a_level_is_too_large_to_be_decoded_at_once(tmp_path, monkeypatch):
    from pathosig.slides import reading
    from pathosig.slides.backends import tiled

    monkeypatch.setattr(tiled, "_SHRUNK_LIMIT", 100_000)
    monkeypatch.setattr(reading, "_OVERVIEW_LIMIT", 300_000)
    stored = list(pieces(lambda a: zlib.compress(a.tobytes()), side=60))
    stored[9] = b"no pixels at all"
    path = write_tiff(tmp_path / "s.tif", stored, SIZE, (60, 60), 8, 2)
    with open_slide(path, mpp=0.25) as reader:
        small, downsample = read_overview(reader, mpp=0.5)
    assert downsample == 2
    lost = (small == 255).all(axis=2)
    assert lost[30:60, 60:90].all()
    assert lost.sum() == 30 * 30


def test_a_slide_that_is_mostly_lost_is_refused(tmp_path):
    stored = [b"no pixels at all"] * 12
    with (
        open_slide(write_tiff(tmp_path / "s.tif", stored, SIZE, (128, 128), 8, 2)) as reader,
        pytest.raises(SlideError) as caught,
    ):
        read_overview(reader)
    assert caught.value.code == "E_PIXELS"


@pytest.mark.parametrize(
    "kind",
    [
        IndexError,
        OverflowError,
        ZeroDivisionError,
        ValueError,
        struct.error,
        TypeError,
        KeyError,
        RecursionError,
        AttributeError,
    ],
)
def test_any_error_of_a_reader_is_one_of_the_slide(tmp_path, monkeypatch, kind):
    from pathosig.slides.backends import tiff

    path = write_tiff(tmp_path / "s.tif", list(pieces(lambda a: a.tobytes())), SIZE, (128, 128), 1, 2)

    def fails(*_, **__):
        raise kind("anything")

    with open_slide(path) as reader:
        monkeypatch.setattr(reader.source, "read_level", fails)
        with pytest.raises(SlideError) as caught:
            reader.read_level(0, 0, 0, 5, 5)
    assert caught.value.code == "E_PIXELS"
    monkeypatch.setattr(tiff, "choose_scans", fails)
    with pytest.raises(SlideError) as caught:
        open_slide(path.rename(tmp_path / "new.tif"))  # another path, for which no pages are cached
    assert caught.value.code == "E_FORMAT"


def test_memory_that_is_not_there_is_an_error_of_the_slide(tmp_path, monkeypatch):
    path = write_tiff(tmp_path / "s.tif", list(pieces(lambda a: a.tobytes())), SIZE, (128, 128), 1, 2)

    def fails(*_, **__):
        raise MemoryError

    with open_slide(path) as reader:
        monkeypatch.setattr(reader.source, "read_level", fails)
        with pytest.raises(SlideError, match=r"s\.tif") as caught:
            reader.read_level(0, 0, 0, 5, 5)
    assert caught.value.code == "E_MEMORY"
