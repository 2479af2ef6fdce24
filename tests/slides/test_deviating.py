"""A single tile or chunk that is not what its file declares costs itself: it is never decoded to wrong pixels."""

import io
import zlib

import imagecodecs
import numpy as np
import pytest
from files import texture
from PIL import Image
from raw_tiff import write_tiff
from zarrs import write_zarr

from pathosig.core.errors import SlideError
from pathosig.slides import open_slide

SIDE = 128
RGB = texture(SIDE, SIDE)
WIDE = texture(SIDE, 2 * SIDE)
DEEP = RGB.astype(np.uint16) * 16


def jpeg(image, mode="RGB", **options):
    coded = io.BytesIO()
    Image.fromarray(image).convert(mode).save(coded, "JPEG", quality=95, **options)
    return coded.getvalue()


def j2k(image, form="j2k"):
    return bytes(imagecodecs.jpeg2k_encode(np.ascontiguousarray(image), level=0, codecformat=form))


def changed(data, at, value):
    return data[:at] + value + data[at + len(value) :]


def webp(image):
    return bytes(imagecodecs.webp_encode(np.ascontiguousarray(image), lossless=True))


def packed(encode):
    return lambda image: bytes(encode(np.ascontiguousarray(image).tobytes()))


deflate, lzw, zstd = (
    packed(encode) for encode in (imagecodecs.zlib_encode, imagecodecs.lzw_encode, imagecodecs.zstd_encode)
)
CODESTREAM = j2k(RGB)

TILES = {
    "JPEG": (
        (7, 6),
        jpeg(RGB, subsampling=0),
        {
            "smaller": jpeg(RGB[:64]),
            "larger": jpeg(WIDE),
            "gray": jpeg(RGB, "L"),
            "four channels": jpeg(RGB, "CMYK"),
            "12 bits": bytes(imagecodecs.jpeg_encode(DEEP, bitspersample=12)),
            "lossless": bytes(imagecodecs.ljpeg_encode(RGB[..., 0])),
            "in JPEG 2000": CODESTREAM,
            "in PNG": bytes(imagecodecs.png_encode(RGB)),
        },
    ),
    "gray JPEG": (
        (7, 1),
        jpeg(RGB, "L"),
        {"colours": jpeg(RGB), "smaller": jpeg(RGB[:64], "L"), "four channels": jpeg(RGB, "CMYK")},
    ),
    "JPEG 2000": (
        (34712, 2),
        CODESTREAM,
        {
            "smaller": j2k(RGB[:64]),
            "larger": j2k(WIDE),
            "gray": j2k(RGB[..., 0]),
            "four channels": j2k(np.dstack([RGB, RGB[..., :1]])),
            "12 bits": changed(CODESTREAM, 42, b"\x0b"),
            "signed": changed(CODESTREAM, 42, b"\x87"),
            "16 bits": j2k(DEEP),
            "with an offset": changed(CODESTREAM, 16, b"\0\0\0\x06"),
            "with an offset of its tiles": changed(CODESTREAM, 32, b"\0\0\0\x06"),
            "half of the colours": changed(CODESTREAM, 44, b"\x02\x01\x07\x02\x01"),
            "smaller in a JP2 file": j2k(RGB[:64], "jp2"),
            "in JPEG": jpeg(RGB),
        },
    ),
    "WebP": (
        (50001, 2),
        webp(RGB),
        {
            "smaller": webp(RGB[:64]),
            "larger": webp(WIDE),
            "transparent": webp(np.dstack([RGB, RGB[..., :1]])),
            "in JPEG": jpeg(RGB),
        },
    ),
    "deflate": ((8, 2), deflate(RGB), {"smaller": deflate(RGB[:64]), "gray": deflate(RGB[..., 0])}),
    "LZW": ((5, 2), lzw(RGB), {"smaller": lzw(RGB[:64]), "gray": lzw(RGB[..., 0])}),
    "zstd": ((50000, 2), zstd(RGB), {"smaller": zstd(RGB[:64]), "gray": zstd(RGB[..., 0])}),
    "uncompressed": ((1, 2), RGB.tobytes(), {"smaller": RGB[:64].tobytes(), "gray": RGB[..., 0].tobytes()}),
}


@pytest.mark.parametrize("codec", TILES)
def test_a_tile_of_a_tiff_that_deviates_costs_itself(tmp_path, codec):
    (compression, photometric), good, deviating = TILES[codec]
    tiles = [good]
    for tile in deviating.values():
        tiles += [tile, good]
    samples = 1 if photometric == 1 else 3
    path = write_tiff(
        tmp_path / "s.tif",
        tiles,
        (SIDE * len(tiles), SIDE),
        (SIDE, SIDE),
        compression,
        photometric,
        samples=samples,
    )
    with open_slide(path, mpp=0.5) as reader:
        first = reader.read_level(0, 0, 0, SIDE, SIDE)
        for number, name in enumerate(deviating):
            with pytest.raises(SlideError) as caught:
                print(name, reader.read_level(0, SIDE * (2 * number + 1), 0, SIDE, SIDE)[0, 0])
            assert caught.value.code == "E_PIXELS", name
            assert np.array_equal(reader.read_level(0, SIDE * (2 * number + 2), 0, SIDE, SIDE), first)


@pytest.mark.parametrize("subsampling", [1, 2])
def test_a_jpeg_tile_with_another_subsampling_is_read(tmp_path, subsampling):
    other = jpeg(RGB, subsampling=subsampling)
    path = write_tiff(
        tmp_path / "s.tif", [jpeg(RGB, subsampling=0), other], (2 * SIDE, SIDE), (SIDE, SIDE), 7, 6
    )
    with Image.open(io.BytesIO(other)) as image, open_slide(path, mpp=0.5) as reader:
        pixels = reader.read_level(0, SIDE, 0, SIDE, SIDE)
        assert np.abs(pixels.astype(int) - np.asarray(image)).max() <= 1


@pytest.mark.parametrize("samples", [3, 4])
def test_alpha_that_is_opaque_everywhere_may_be_stored_in_webp_or_not(tmp_path, samples):
    opaque = np.dstack([RGB, np.full_like(RGB[..., :1], 255)])
    half = np.dstack([RGB, np.full_like(RGB[..., :1], 128)])
    tiles = [webp(RGB), lossless_with_alpha(opaque), *([webp(half)] if samples == 4 else [])]
    path = write_tiff(
        tmp_path / "s.tif",
        tiles,
        (SIDE * len(tiles), SIDE),
        (SIDE, SIDE),
        50001,
        2,
        samples=samples,
        tags={338: (3, [2])} if samples == 4 else None,
    )
    with open_slide(path, mpp=0.5) as reader:
        for x in (0, SIDE):
            assert np.array_equal(reader.read_level(0, x, 0, SIDE, SIDE), RGB)
        if samples == 4:
            blended = reader.read_level(0, 2 * SIDE, 0, SIDE, SIDE)
            assert np.abs(blended - (RGB * (128 / 255) + 255 * (127 / 255))).max() <= 1


def lossless_with_alpha(image):
    """WebP with a channel of alpha, although it is opaque."""
    data = bytearray(webp(image))
    data[24] |= 0x10  # the bit of VP8L that declares alpha
    return bytes(data)


@pytest.mark.parametrize("compressors", [None, "auto"], ids=["uncompressed", "zstd"])
@pytest.mark.parametrize("stored", [RGB[:64], WIDE, RGB[..., 0]], ids=["smaller", "larger", "gray"])
def test_a_chunk_that_deviates_costs_itself(tmp_path, compressors, stored):
    path = write_zarr(tmp_path / "s.zarr", WIDE, version=3, levels=(1,), chunk=SIDE, compressors=compressors)
    data = np.ascontiguousarray(stored).tobytes()
    chunk = path / "0" / "c" / "0" / "0" / "1"
    chunk.write_bytes(data if compressors is None else bytes(imagecodecs.zstd_encode(data)))
    with open_slide(path) as reader:
        with pytest.raises(SlideError) as caught:
            reader.read_level(0, SIDE, 0, SIDE, SIDE)
        assert caught.value.code == "E_PIXELS"
        assert np.array_equal(reader.read_level(0, 0, 0, SIDE, SIDE), WIDE[:, :SIDE])


def test_deflate_whose_checksum_is_wrong_is_lost(tmp_path):
    good = zlib.compress(RGB.tobytes(), 0)  # stored blocks, so that changed bytes are changed pixels
    changed = bytearray(good)
    changed[5_000:5_040] = bytes(40)
    path = write_tiff(tmp_path / "s.tif", [good, bytes(changed)], (2 * SIDE, SIDE), (SIDE, SIDE), 8, 2)
    with open_slide(path, mpp=0.5) as reader:
        assert np.array_equal(reader.read_level(0, 0, 0, SIDE, SIDE), RGB)
        with pytest.raises(SlideError) as caught:
            reader.read_level(0, SIDE, 0, SIDE, SIDE)
        assert caught.value.code == "E_PIXELS"


def test_a_tile_at_the_start_of_the_file_is_lost_and_not_blank(tmp_path):
    good = RGB.tobytes()
    path = write_tiff(
        tmp_path / "s.tif",
        [good] * 4,
        (4 * SIDE, SIDE),
        (SIDE, SIDE),
        1,
        2,
        tags={324: (4, [8, 0, 0, 8]), 325: (4, [len(good), len(good), 0, len(good)])},
    )
    with open_slide(path, mpp=0.5) as reader:
        with pytest.raises(SlideError) as caught:
            reader.read_level(0, SIDE, 0, SIDE, SIDE)
        assert caught.value.code == "E_PIXELS"
        assert (reader.read_level(0, 2 * SIDE, 0, SIDE, SIDE) == 255).all()  # never written
        assert np.array_equal(reader.read_level(0, 3 * SIDE, 0, SIDE, SIDE), RGB)
