"""Small files that refer to the same bytes many times or declare too many pixels for their size are refused or cost little."""

import os
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from czis import block, write_czi
from dicoms import write_series
from files import texture
from kfbs import write_kfb
from raw_tiff import write_tiff
from test_bounds import looked_at
from zarrs import edit, write_zarr

from pathosig.core.errors import SlideError
from pathosig.core.units import Execution, Job
from pathosig.slides import open_slide
from pathosig.slides.backends import jpeg
from pathosig.slides.backends.bounds import shared_pieces
from pathosig.tissue import TissueSpec
from pathosig.tissue.of_slide import find_on_slide

SIDE, ACROSS = 256, 200
RGB = texture(SIDE, SIDE, seed=3)
on_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


def code_of(path):
    with pytest.raises(SlideError) as caught:
        open_slide(path, mpp=0.25)
    assert path.name in caught.value.message
    return caught.value.code


def tiff(path, body, places, compression, *, tags=None, strips=False, across=ACROSS):
    """A TIFF whose tiles (or strips) are declared at the given places (offset, count) in `body`, which begins at byte 8."""
    offsets, counts = [8 + at for at, _ in places], [n for _, n in places]
    size = (across * SIDE, len(places) // across * SIDE)
    tile = (SIDE, SIDE)
    where = {324: (4, offsets), 325: (4, counts)}
    if strips:
        size, tile, where = (SIDE, len(places) * SIDE), (SIDE, SIDE), {273: (4, offsets), 279: (4, counts)}
    return write_tiff(
        path, [bytes(body)], size, tile, compression, 2, tags=where | (tags or {}), strips=strips
    )


FLAT = np.full((SIDE, SIDE, 3), (200, 140, 190), np.uint8)


@on_linux
@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "compression"),
    [
        (zlib.compress(bytes(SIDE * SIDE * 3), 9), 8),
        (bytes(imagecodecs.jpeg8_encode(FLAT, 80)), 7),
        (bytes(imagecodecs.webp_encode(FLAT, level=50)), 50001),
        (bytes(imagecodecs.jpeg2k_encode(FLAT, level=40, codecformat="j2k")), 34712),
    ],
    ids=["deflate", "jpeg", "webp", "j2k"],
)
def test_twenty_thousand_tiles_that_are_one_are_decoded_once(tmp_path, body, compression):
    path = tiff(tmp_path / "s.tif", body, [(0, len(body))] * 20_000, compression)
    assert path.stat().st_size < 400_000
    code, megabytes, seconds = looked_at(path)
    assert code == "read"
    assert megabytes < 700
    assert seconds < 40  # on a busy machine; 3 on an idle one


def test_a_tile_that_others_share_is_decoded_once_and_is_what_it_is_alone(tmp_path, monkeypatch):
    data = bytes(imagecodecs.jpeg8_encode(RGB, 90))
    other = bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(RGB[::-1]), 90))
    body, first, second = data + other, (0, len(data)), (len(data), len(other))
    path = tiff(tmp_path / "s.tif", body, [first, second, first, first, second, first], 7, across=3)
    alone = write_tiff(
        tmp_path / "alone.tif",
        [data, other, data, data, other, data],
        (3 * SIDE, 2 * SIDE),
        (SIDE, SIDE),
        7,
        2,
    )
    calls = []
    real = jpeg.decode_jpeg
    monkeypatch.setattr("pathosig.slides.backends.tiff.decode_jpeg", lambda *a: calls.append(1) or real(*a))
    with open_slide(path) as reader:
        pixels = reader.read_level(0, 0, 0, 3 * SIDE, 2 * SIDE)
        assert len(calls) == 2
        assert np.array_equal(reader.read_level(0, 10, 10, 600, 400), pixels[10:410, 10:610])
    with open_slide(alone) as reader:
        assert np.array_equal(pixels, reader.read_level(0, 0, 0, 3 * SIDE, 2 * SIDE))
        assert len(calls) == 8


def test_strips_and_planes_that_are_shared_are_read_too(tmp_path):
    data = zlib.compress(RGB.tobytes())
    path = tiff(tmp_path / "s.tif", data, [(0, len(data))] * 40, 8, strips=True)
    with open_slide(path) as reader:
        assert np.array_equal(
            reader.read_level(0, 0, 30 * SIDE - 9, SIDE, 18), np.concatenate([RGB[-9:], RGB[:9]])
        )
    plane = zlib.compress(RGB[..., 0].tobytes())
    path = tiff(
        tmp_path / "p.tif",
        plane,
        [(0, len(plane))] * 12,
        8,
        across=2,
        tags={284: (3, [2]), 257: (4, [2 * SIDE])},
    )
    with open_slide(path) as reader:
        assert np.array_equal(
            reader.read_level(0, SIDE, SIDE, SIDE, SIDE), np.repeat(RGB[..., :1], 3, axis=2)
        )


def nested_jpegs():
    """Overlapping JPEGs: the first segment of each contains the beginning of the next."""
    image = bytes(imagecodecs.jpeg8_encode(RGB, 30))
    starts, head = [], b""
    for k in range(2000):
        starts.append(6 * k)
        head += b"\xff\xd8\xff\xe1" + struct.pack(">H", 2 + 6 * (2000 - k - 1) + 0)
    return head + image[2:], starts


def test_tiles_that_lie_in_one_anothers_bytes_are_refused(tmp_path):
    raw = RGB.tobytes() * 2
    path = tiff(tmp_path / "raw.tif", raw, [(i, SIDE * SIDE * 3) for i in range(400)], 1, across=20)
    assert code_of(path) == "E_FORMAT"
    body, starts = nested_jpegs()
    path = tiff(tmp_path / "nested.tif", body, [(at, len(body) - at) for at in starts], 7, across=40)
    assert code_of(path) in ("E_FORMAT", "E_TOO_LARGE")
    data = zlib.compress(RGB.tobytes())  # one offset with many lengths
    body = data + bytes(4000)
    path = tiff(tmp_path / "lengths.tif", body, [(0, len(data) + i) for i in range(4000)], 8)
    assert code_of(path) in ("E_FORMAT", "E_TOO_LARGE")


def test_small_tiles_that_differ_are_bounded_by_the_bytes_of_the_file(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.integers(120, 220, (6000, 4, 3)).astype(np.uint8)
    stored = [
        bytes(imagecodecs.zstd_encode(np.tile(row, (SIDE, SIDE // 4, 1)).tobytes(), level=19)) for row in rows
    ]
    places = np.cumsum([0, *(len(s) for s in stored)])
    path = tiff(
        tmp_path / "s.tif",
        b"".join(stored),
        list(zip(places[:-1].tolist(), (len(s) for s in stored), strict=True)),
        50000,
    )
    assert path.stat().st_size < 400_000
    assert code_of(path) == "E_TOO_LARGE"


def test_blank_tiles_that_most_of_a_slide_shares_are_no_reason_to_refuse_it():
    n = 100_000
    offsets = np.full(n, 8)
    counts = np.full(n, 700)
    offsets[:500] = 10_000 + 30_000 * np.arange(500)
    counts[:500] = 30_000
    shared = shared_pieces(offsets, counts, 65_536, file_bytes=16_000_000, name="S01.tif")
    assert shared.sum() == n - 500
    many = np.arange(n) % 5_000  # too many to be cached: each counts as often as it is referred to
    with pytest.raises(SlideError, match="decode to"):
        shared_pieces(8 + 100 * many, np.full(n, 100), 65_536, file_bytes=1_000_000, name="S01.tif")


@on_linux
def test_a_jpeg_of_thousands_of_empty_scans_is_refused(tmp_path):
    data = _progressive(RGB)
    at = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    end = data.index(b"\xff", data.index(b"\xff\xda", at) + 14)
    scan = data[at:end]
    bomb = data[:-2] + scan * 3000 + data[-2:]
    path = write_tiff(tmp_path / "s.tif", [bomb] * 4, (2 * SIDE, 2 * SIDE), (SIDE, SIDE), 7, 6)
    with open_slide(path) as reader, pytest.raises(SlideError) as caught:
        reader.read_level(0, 0, 0, 64, 64)
    assert caught.value.code == "E_PIXELS"
    path = write_tiff(tmp_path / "ok.tif", [data] * 4, (2 * SIDE, 2 * SIDE), (SIDE, SIDE), 7, 6)
    with open_slide(path) as reader:
        assert np.abs(reader.read_level(0, 0, 0, SIDE, SIDE).astype(int) - RGB).mean() < 4


def _progressive(rgb):
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=85, progressive=True)
    return out.getvalue()


def test_frames_of_dicom_are_bounded_by_the_bytes_of_the_file(tmp_path):
    import pydicom

    folder = write_series(tmp_path / "S01", RGB, levels=(1,), label=False)
    file = folder / "level-0.dcm"
    dataset = pydicom.dcmread(file)
    dataset.NumberOfFrames = 10_000  # each of 128 x 128 pixels
    dataset.TotalPixelMatrixColumns = dataset.TotalPixelMatrixRows = 12_800
    dataset.save_as(file)
    assert file.stat().st_size < 60_000
    assert code_of(folder) in ("E_TOO_LARGE", "E_FORMAT")


def test_a_dicom_file_that_is_deflated_as_a_whole_is_refused_before_it_is_inflated(tmp_path):
    folder = write_series(tmp_path / "S01", RGB, levels=(1,), label=False)
    file = folder / "level-0.dcm"
    data = bytearray(file.read_bytes())
    old, new = b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.1.99"
    at = data.index(old)
    data[at : at + len(new)] = new
    length = struct.unpack_from("<I", data, 140)[0]
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    file.write_bytes(bytes(data[: 144 + length]) + bomb.compress(bytes(300_000_000)) + bomb.flush())
    assert file.stat().st_size < 400_000
    code, megabytes, _ = looked_at(folder)
    assert code == "E_CODEC"
    assert megabytes < 150


def test_chunks_of_zarr_that_are_one_file_count_once(tmp_path):
    path = write_zarr(tmp_path / "s.zarr", np.full((256, 256, 3), 200, np.uint8), levels=(1,), chunk=256)
    edit(path / "0" / ".zarray", lambda a: a.update(shape=[3, 256 * 40, 256 * 40]))
    one = next(
        f for f in path.rglob("*") if f.is_file() and f.parent.name == "0" and not f.name.startswith(".")
    )
    data = one.read_bytes()
    separator = "/" if one.parent != path / "0" else "."
    for c in range(3):
        for y in range(40):
            for x in range(40):
                target = path / "0" / separator.join(map(str, (c, y, x)))
                target.parent.mkdir(parents=True, exist_ok=True)
                if target != one and not target.exists():
                    os.link(one, target)
    assert len(data) < 10_000
    assert code_of(path) == "E_TOO_LARGE"


def test_subblocks_and_tiles_of_other_formats_are_bounded_too(tmp_path):
    large = dict(block(FLAT, 0, 0), stored=(2048, 2048), size=(2048, 2048), data=b"")
    wide = [block(FLAT, 0, 0), *(dict(large, xy=(2048 * k, 0)) for k in range(1, 300))]
    assert code_of(write_czi(tmp_path / "s.czi", wide)) == "E_TOO_LARGE"
    path = tmp_path / "s.kfb"
    write_kfb(path, RGB, steps=(1,))
    data = bytearray(path.read_bytes())
    record = struct.unpack_from("<Q", data, 68)[0]
    one = bytes(data[record : record + 64])
    struct.pack_into("<III", data, 16, 4_000, 4096 * 10, 4096 * 400)
    struct.pack_into("<I", data, 88, 4096)
    rows = b"".join(
        one[:4] + struct.pack("<IIII", 4096 * (k % 400), 4096 * (k // 400), 4096, 4096) + one[20:]
        for k in range(4_000)
    )
    path.write_bytes(bytes(data[:record]) + rows + bytes(data[record + 64 :]))
    assert code_of(path) == "E_TOO_LARGE"


def tissue_of(path):
    job = Job(
        root=path.parent,
        unit=path.stem,
        spec=TissueSpec(),
        payload={
            "path": str(path), "mpp": 0.5, "region": None, "output": "tissue/s.geojson",
            "edited": None, "in_place": False, "icc": "off",
        },
        execution=Execution(),
    )  # fmt: skip
    return find_on_slide(job)


def test_more_tissue_than_the_bytes_of_a_file_can_show_is_refused(tmp_path):
    data = bytes(imagecodecs.jpeg8_encode(RGB, 80))
    body = data + bytes(1_000_000 - len(data))
    path = tiff(tmp_path / "s.tif", body, [(0, len(data))] * 900, 7, across=30, tags={262: (3, [6])})
    assert path.stat().st_size < 1_020_000
    with pytest.raises(SlideError, match="pixels of tissue in") as caught:
        tissue_of(path)
    assert caught.value.code == "E_TOO_LARGE"
    fewer = tiff(tmp_path / "f.tif", body, [(0, len(data))] * 625, 7, across=25, tags={262: (3, [6])})
    assert tissue_of(fewer).status == "ok"


def test_a_small_file_of_a_slow_codec_may_hold_fewer_pixels(tmp_path):
    glass = bytes(imagecodecs.jpeg2k_encode(np.full((1024, 1024, 3), 243, np.uint8), codecformat="j2k"))
    side, across = 1024, 20
    body = glass * across**2 + bytes(900_000)
    for wide, code in ((across, "E_TOO_LARGE"), (across - 6, None)):
        places = [8 + len(glass) * k for k in range(wide**2)]
        path = write_tiff(
            tmp_path / "s.tif", [body], (wide * side, wide * side), (side, side), 34712, 2,
            tags={324: (4, places), 325: (4, [len(glass)] * wide**2)},
        )  # fmt: skip
        if code:
            assert code_of(path) == code
        else:
            with open_slide(path, mpp=0.5) as reader:
                assert reader.read_level(0, 0, 0, 8, 8).mean() == pytest.approx(243, abs=1)
