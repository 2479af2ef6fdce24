"""Every row of the table of colours: generated files against libtiff (in Pillow or OpenSlide), tifffile or the pixels written."""

import io
import struct

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile
from files import texture
from jpegs import write_jpeg
from PIL import Image
from raw_tiff import write_tiff

from pathosig.core.errors import SlideError
from pathosig.slides import open_slide, plan_read, read_all_tiles

RGB = texture(300, 420, seed=4)
GRAY = RGB[..., 1]
SIZE = (420, 300)


def read(path):
    with open_slide(path, mpp=0.5) as reader:
        width, height = reader.info.level_sizes[0]
        return reader.read_level(0, 0, 0, width, height)


def refused(path):
    with pytest.raises(SlideError) as caught:
        read(path)
    assert path.name in caught.value.message
    return caught.value.code


def close(path, expected, most=1.0):
    pixels = read(path)
    assert pixels.shape == expected.shape
    difference = np.abs(pixels.astype(int) - expected).mean()
    assert difference <= most, difference


def by_libtiff(path):
    """Pixels of libtiff's RGBA interface, through OpenSlide."""
    with openslide.OpenSlide(path) as slide:
        rgba = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))
    weight = rgba[..., 3:].astype(float) / 255
    return np.rint(rgba[..., :3] * weight + 255 * (1 - weight)).astype(int)


def blocks(image, side, *, cut=False):
    """Pieces of an image, row by row; those at the edge are padded or cropped."""
    for y in range(0, image.shape[0], side):
        for x in range(0, image.shape[1], side):
            part = image[y : y + side, x : x + side]
            room = [(0, 0 if cut else side - n) for n in part.shape[:2]]
            yield np.pad(part, [*room, *[(0, 0)] * (image.ndim - 2)], mode="edge")


LAYOUTS = [{"tile": (128, 128)}, {"rowsperstrip": 64}, {"rowsperstrip": 300}]
CODECS = [None, "lzw", "deflate", "packbits", "zstd"]


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=["tiles", "strips", "one strip"])
@pytest.mark.parametrize("codec", CODECS)
def test_rgb_in_bytes_of_any_layout_is_what_was_written(tmp_path, codec, layout, byteorder):
    path = tmp_path / "s.tif"
    for predictor in (False, True) if codec in ("lzw", "deflate", "zstd") else (False,):
        tifffile.imwrite(
            path,
            RGB,
            photometric="rgb",
            compression=codec,
            predictor=predictor,
            byteorder=byteorder,
            metadata=None,
            **layout,
        )
        assert np.array_equal(read(path), RGB)


@pytest.mark.parametrize("codec", [*CODECS, "jpeg"])
@pytest.mark.parametrize("layout", LAYOUTS[:2], ids=["tiles", "strips"])
def test_planes_stored_apart_are_put_together(tmp_path, codec, layout):
    path = tmp_path / "s.tif"
    tifffile.imwrite(
        path,
        np.moveaxis(RGB, 2, 0).copy(),
        photometric="rgb",
        planarconfig="separate",
        compression=codec,
        metadata=None,
        **layout,
    )
    expected = np.moveaxis(tifffile.imread(path), 0, 2)
    close(path, expected, 0 if codec != "jpeg" else 1)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("codec", [None, "deflate", "jpeg"])
@pytest.mark.parametrize("layout", LAYOUTS[:2], ids=["tiles", "strips"])
def test_gray_and_its_inverse(tmp_path, photometric, codec, layout):
    path = tmp_path / "s.tif"
    stored = GRAY if photometric == "minisblack" else 255 - GRAY
    tifffile.imwrite(path, stored, photometric=photometric, compression=codec, metadata=None, **layout)
    close(path, np.repeat(GRAY[..., None], 3, axis=2), 2 if codec == "jpeg" else 0)


@pytest.mark.parametrize("fill_order", [1, 2])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("compression", [1, 8])
def test_gray_of_few_bits_is_spread_over_the_whole_range(
    tmp_path, bits, photometric, compression, fill_order
):
    most = (1 << bits) - 1
    values = (GRAY.astype(int) * most + 127) // 255
    pieces = []
    for part in blocks(values if photometric == 1 else most - values, 128):
        planes = (part[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        data = np.packbits(planes.reshape(128, -1).astype(np.uint8), axis=1).tobytes()
        data = imagecodecs.zlib_encode(data) if compression == 8 else data
        pieces.append(imagecodecs.bitorder_encode(data) if fill_order == 2 else data)
    path = write_tiff(
        tmp_path / "s.tif",
        pieces,
        SIZE,
        (128, 128),
        compression,
        photometric,
        samples=1,
        bits=bits,
        tags={266: (3, [fill_order])},
    )
    expected = np.rint(values * 255 / most).astype(int)
    close(path, np.repeat(expected[..., None], 3, axis=2), 0.5)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("wide", [True, False])
def test_palettes_of_any_depth_and_of_both_ranges(tmp_path, bits, wide):
    n = 1 << bits
    colours = np.random.default_rng(bits).integers(0, 256, (3, n))
    colours[0, 0] = 255
    values = GRAY.astype(int) * n // 256
    pieces = []
    for part in blocks(values, 128):
        planes = (part[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        pieces.append(np.packbits(planes.reshape(128, -1).astype(np.uint8), axis=1).tobytes())
    table = (colours * 257 if wide else colours).ravel().tolist()
    path = write_tiff(
        tmp_path / "s.tif", pieces, SIZE, (128, 128), 1, 3, samples=1, bits=bits, tags={320: (3, table)}
    )
    close(path, colours.T[values], 0)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (4, 2), (4, 4)])
@pytest.mark.parametrize("compression", [1, 8, 5])
@pytest.mark.parametrize("video", [False, True])
def test_ycbcr_without_jpeg_is_converted_as_libtiff_does(tmp_path, subsampling, compression, video):
    h, v = subsampling
    f = RGB.astype(float)
    y = f @ [0.299, 0.587, 0.114]
    planes = [y, (f[..., 2] - y) / 1.772 + 128, (f[..., 0] - y) / 1.402 + 128]
    tags = {530: (3, [h, v])}
    if video:
        planes = [16 + planes[0] * 219 / 255, *(128 + (p - 128) * 224 / 255 for p in planes[1:])]
        tags[532] = (5, [(16, 1), (235, 1), (128, 1), (240, 1), (128, 1), (240, 1)])
    image = np.clip(np.rint(np.dstack(planes)), 0, 255).astype(np.uint8)
    encode = {1: bytes, 8: imagecodecs.zlib_encode, 5: imagecodecs.lzw_encode}[compression]
    pieces = []
    for part in blocks(image, 128):
        luma = (
            part[..., 0]
            .reshape(128 // v, v, 128 // h, h)
            .transpose(0, 2, 1, 3)
            .reshape(128 // v, 128 // h, -1)
        )
        chroma = part[::v, ::h, 1:]
        pieces.append(bytes(encode(np.concatenate([luma, chroma], axis=2).tobytes())))
    path = write_tiff(tmp_path / "s.tif", pieces, SIZE, (128, 128), compression, 6, tags=tags)
    pixels = read(path).astype(int)
    whole = np.s_[:256, :384]  # libtiff misplaces rows of 4 x 4 units in tiles that extend beyond the image
    assert np.abs(pixels - by_libtiff(path))[whole if subsampling == (4, 4) else ...].mean() <= 1
    assert np.abs(pixels - RGB).mean() < 9


def jpeg(image, *, ids=None, jfif=False, adobe=None, colours="YCBCR", subsampling="420"):
    """A JPEG with the requested markers."""
    data = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(image),
        95,
        colorspace="RGB",
        outcolorspace=colours,
        subsampling=subsampling if colours == "YCBCR" else "444",
    )
    out, at = bytearray(data[:2]), 2
    if jfif:
        out += b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    if adobe is not None:
        out += b"\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00" + bytes([adobe])
    while data[at + 1] != 0xDA:
        length = struct.unpack(">H", data[at + 2 : at + 4])[0]
        segment = bytearray(data[at : at + 2 + length])
        if ids and data[at + 1] == 0xC0:
            segment[10], segment[13], segment[16] = ids
        if not 0xE0 <= data[at + 1] <= 0xEF:
            out += segment
        at += 2 + length
    rest = bytearray(data[at:])
    if ids:
        rest[5], rest[7], rest[9] = ids
    return bytes(out + rest)


def by_pillow(path):
    """Pixels that Pillow reads with libtiff; None if it refuses the file."""
    with Image.open(path) as image:
        try:
            return np.asarray(image.convert("RGB"))
        except OSError:
            return None


@pytest.mark.parametrize("stored", ["RGB", "444", "422", "420"])
@pytest.mark.parametrize("ids", [None, b"RGB"])
@pytest.mark.parametrize("adobe", [None, 0, 1])
@pytest.mark.parametrize("jfif", [False, True])
@pytest.mark.parametrize("photometric", [2, 6])
def test_jpeg_of_three_components_is_what_libtiff_makes_of_it(
    tmp_path, photometric, jfif, adobe, ids, stored
):
    options = {"colours": "RGB"} if stored == "RGB" else {"subsampling": stored}
    pieces = [jpeg(part, jfif=jfif, adobe=adobe, ids=ids, **options) for part in blocks(RGB, 128)]
    steps = {"422": [2, 1], "420": [2, 2]}.get(stored, [1, 1])
    path = write_tiff(
        tmp_path / "s.tif",
        pieces,
        SIZE,
        (128, 128),
        7,
        photometric,
        tags={530: (3, steps)} if photometric == 6 else None,
    )
    expected = by_pillow(path)
    if expected is not None:
        close(path, expected)
    elif jfif or adobe == 1:  # subsampled RGB does not exist
        close(path, RGB, 4)
    else:
        assert refused(path) == "E_PIXELS"


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("photometric", [0, 1])
def test_jpeg_of_one_component_is_what_libtiff_makes_of_it(tmp_path, photometric, gray):
    pieces = [
        bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(part), 95, optimize=gray))
        for part in blocks(GRAY, 128)
    ]
    path = write_tiff(tmp_path / "s.tif", pieces, SIZE, (128, 128), 7, photometric, samples=1)
    close(path, by_pillow(path))


def shrunk_colours(part, h, v):
    """Y, Cb and Cr of an image, the colours as means of h x v pixels."""
    f = part.astype(float)
    y = f @ [0.299, 0.587, 0.114]
    cb, cr = (f[..., 2] - y) / 1.772 + 128, (f[..., 0] - y) / 1.402 + 128
    small = [p.reshape(p.shape[0] // v, v, -1, h).mean(axis=(1, 3)) for p in (cb, cr)]
    return [np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in (y, *small)]


FACTORS = [(h, v) for h in (1, 2, 3, 4) for v in (1, 2, 3, 4) if h * v <= 8]  # a unit has at most ten blocks


@pytest.mark.parametrize("factors", FACTORS, ids=str)
def test_jpeg_of_any_sampling_factors(tmp_path, factors):
    pieces = [
        write_jpeg(shrunk_colours(part, *factors), [factors, (1, 1), (1, 1)]) for part in blocks(RGB, 192)
    ]
    path = write_tiff(tmp_path / "s.tif", pieces, SIZE, (192, 192), 7, 6, tags={530: (3, list(factors))})
    if 3 in factors:  # libtiff does not support such factors, but its JPEG decoder does
        whole = [np.asarray(Image.open(io.BytesIO(piece)).convert("RGB")) for piece in pieces]
        rows = [np.concatenate(whole[k : k + 3], axis=1) for k in range(0, len(whole), 3)]
        close(path, np.concatenate(rows)[: SIZE[1], : SIZE[0]])
    else:
        close(path, by_pillow(path))
    with open_slide(path, mpp=0.25) as reader:
        half = read_all_tiles(reader, plan_read(reader.info, 0.5), np.array([[0, 0]]), 96)[0]
        whole = reader.read_level(0, 0, 0, 192, 192).astype(float).reshape(96, 2, 96, 2, 3).mean(axis=(1, 3))
    assert np.abs(half - whole).mean() < 2


def test_a_jpeg_without_the_mark_of_its_end_is_read_and_one_without_its_last_rows_is_not(tmp_path):
    pieces = [jpeg(part, subsampling="420") for part in blocks(RGB, 128)]
    assert all(piece.endswith(b"\xff\xd9") for piece in pieces)
    path = write_tiff(tmp_path / "s.tif", [p[:-2] for p in pieces], SIZE, (128, 128), 7, 6)
    whole = write_tiff(tmp_path / "w.tif", pieces, SIZE, (128, 128), 7, 6)
    assert np.array_equal(read(path), read(whole))
    short = write_tiff(tmp_path / "x.tif", [p[: len(p) * 3 // 4] for p in pieces], SIZE, (128, 128), 7, 6)
    assert refused(short) == "E_PIXELS"


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("compression", [1, 7, 8])
@pytest.mark.parametrize("side", [112, 100, 130])
def test_edge_pieces_may_be_stored_whole_or_cut(tmp_path, cut, compression, side):
    encode = {1: lambda a: a.tobytes(), 7: jpeg, 8: lambda a: imagecodecs.zlib_encode(a.tobytes())}[
        compression
    ]
    pieces = [bytes(encode(part)) for part in blocks(RGB, side, cut=cut)]
    path = write_tiff(
        tmp_path / "s.tif", pieces, SIZE, (side, side), compression, 6 if compression == 7 else 2
    )
    close(path, RGB, 4 if compression == 7 else 0)


@pytest.mark.parametrize("photometric", [2, 6])
@pytest.mark.parametrize("compression", [33003, 33005])
def test_aperio_jpeg_2000(tmp_path, compression, photometric):
    image = RGB
    if compression == 33003:
        f = RGB.astype(float)
        y = f @ [0.299, 0.587, 0.114]
        image = np.clip(
            np.rint(np.dstack([y, (f[..., 2] - y) / 1.772 + 128, (f[..., 0] - y) / 1.402 + 128])), 0, 255
        ).astype(np.uint8)
    pieces = [
        bytes(imagecodecs.jpeg2k_encode(part, level=0, reversible=True, mct=False, codecformat="j2k"))
        for part in blocks(image, 128)
    ]
    path = write_tiff(
        tmp_path / "s.svs",
        pieces,
        SIZE,
        (128, 128),
        compression,
        photometric,
        description="Aperio Image|MPP = 0.5",
    )
    close(path, RGB)
    close(path, by_libtiff(path))


def j2k_of_planes(planes, steps):
    """A codestream of three components of different sizes: without wavelet levels each component is one packet after another."""
    streams = [
        bytes(
            imagecodecs.jpeg2k_encode(
                np.ascontiguousarray(p), level=0, reversible=True, resolutions=1, codecformat="j2k"
            )
        )
        for p in planes
    ]
    packets = b"".join(s[s.index(b"\xff\x93") + 2 : -2] for s in streams)
    first = streams[0]
    siz = bytearray(first[2 : 4 + struct.unpack_from(">H", first, 4)[0]])
    struct.pack_into(">H", siz, 2, 38 + 9)
    struct.pack_into(">H", siz, 38, 3)
    siz = bytes(siz[:40]) + b"".join(bytes([7, h, v]) for h, v in steps)
    head = first[4 + struct.unpack_from(">H", first, 4)[0] : first.index(b"\xff\x90")]
    sot = struct.pack(">HHHIBB", 0xFF90, 10, 0, 12 + 2 + len(packets), 0, 1)
    return b"\xff\x4f" + siz + head + sot + b"\xff\x93" + packets + b"\xff\xd9"


@pytest.mark.parametrize("step", [(1, 1), (2, 1), (2, 2), (1, 2)])
def test_aperio_jpeg_2000_whose_colours_are_stored_smaller(tmp_path, step):
    h, v = step
    f = np.repeat(np.repeat(RGB[::v, ::h], v, axis=0), h, axis=1)[: SIZE[1], : SIZE[0]].astype(float)
    y = f @ [0.299, 0.587, 0.114]
    ycc = np.clip(
        np.rint(np.dstack([y, (f[..., 2] - y) / 1.772 + 128, (f[..., 0] - y) / 1.402 + 128])), 0, 255
    )
    pieces = [
        j2k_of_planes([part[..., 0], part[::v, ::h, 1], part[::v, ::h, 2]], [(1, 1), step, step])
        for part in blocks(ycc.astype(np.uint8), 128)
    ]
    path = write_tiff(
        tmp_path / "s.svs", pieces, SIZE, (128, 128), 33003, 2, description="Aperio Image|MPP = 0.5"
    )
    close(path, f)
    if step in ((1, 1), (2, 1), (2, 2)):  # OpenSlide supports no others
        close(path, by_libtiff(path))


@pytest.mark.parametrize("form", ["j2k", "jp2"])
@pytest.mark.parametrize("samples", [1, 3])
def test_jpeg_2000_of_other_makers(tmp_path, form, samples):
    image = RGB if samples == 3 else GRAY
    pieces = [
        bytes(imagecodecs.jpeg2k_encode(np.ascontiguousarray(part), level=0, codecformat=form))
        for part in blocks(image, 128)
    ]
    path = write_tiff(
        tmp_path / "s.tif", pieces, SIZE, (128, 128), 34712, 2 if samples == 3 else 1, samples=samples
    )
    close(path, RGB if samples == 3 else np.repeat(GRAY[..., None], 3, axis=2))


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("compression", [50001, 34927])
def test_webp(tmp_path, lossless, compression):
    pieces = [
        bytes(imagecodecs.webp_encode(np.ascontiguousarray(part), level=90, lossless=lossless))
        for part in blocks(RGB, 128)
    ]
    close(write_tiff(tmp_path / "s.tif", pieces, SIZE, (128, 128), compression, 2), RGB, 0 if lossless else 4)


ALPHA = np.linspace(0, 255, 420).astype(np.uint8)[None].repeat(300, axis=0)
MIXED = np.rint(RGB * (ALPHA[..., None] / 255) + 255 * (1 - ALPHA[..., None] / 255))


@pytest.mark.parametrize("layout", LAYOUTS[:2], ids=["tiles", "strips"])
def test_a_fourth_sample_is_what_it_is_said_to_be(tmp_path, layout):
    path = tmp_path / "s.tif"
    rgba = np.dstack([RGB, ALPHA])
    multiplied = np.dstack([np.rint(RGB * (ALPHA[..., None] / 255)).astype(np.uint8), ALPHA])
    for kind, stored, expected in (
        ("unassalpha", rgba, MIXED),
        ("assocalpha", multiplied, MIXED),
        ("unspecified", rgba, RGB),
    ):
        tifffile.imwrite(
            path,
            stored,
            photometric="rgb",
            extrasamples=[kind],
            compression="deflate",
            metadata=None,
            **layout,
        )
        close(path, expected)
    tifffile.imwrite(
        path,
        np.dstack([GRAY, ALPHA]),
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
        metadata=None,
        **layout,
    )
    weight = ALPHA / 255
    close(path, np.repeat(np.rint(GRAY * weight + 255 * (1 - weight))[..., None], 3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("tiled", [True, False])
def test_an_image_is_turned_as_its_orientation_says(tmp_path, orientation, tiled):
    path = tmp_path / "s.tif"
    tifffile.imwrite(
        path,
        RGB,
        photometric="rgb",
        metadata=None,
        extratags=[(274, 3, 1, orientation, True)],
        **({"tile": (128, 128)} if tiled else {}),
    )
    with Image.open(path) as image:  # Pillow applies the orientation too
        expected = np.asarray(image)
    close(path, expected, 0)
    with open_slide(path, mpp=0.5) as reader:
        assert np.array_equal(reader.read_level(0, 31, 17, 90, 70), expected[17:87, 31:121])


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("E_BITDEPTH", {"bits": 16}),
        ("E_BITDEPTH", {"tags": {339: (3, [2, 2, 2])}}),
        ("E_BITDEPTH", {"tags": {339: (3, [3, 3, 3])}}),
        ("E_BITDEPTH", {"tags": {339: (3, [1, 2, 1])}}),
        ("E_PHOTOMETRIC", {"photometric": 5}),
        ("E_PHOTOMETRIC", {"photometric": 8}),
        ("E_PHOTOMETRIC", {"photometric": 32844}),
        ("E_PHOTOMETRIC", {"photometric": 3}),
        ("E_PHOTOMETRIC", {"samples": 5}),
        ("E_PHOTOMETRIC", {"samples": 2}),
        ("E_CODEC", {"tags": {317: (3, [3])}}),
        ("E_CODEC", {"compression": 34713}),
        ("E_CODEC", {"compression": 6}),
        ("E_CODEC", {"compression": 4}),
    ],
    ids=str,
)
def test_what_has_no_row_is_refused_with_a_code(tmp_path, code, options):
    facts = {"compression": 1, "photometric": 2, **options}
    compression, photometric = facts.pop("compression"), facts.pop("photometric")
    pieces = [part.tobytes() for part in blocks(RGB, 128)]
    assert (
        refused(write_tiff(tmp_path / "s.tif", pieces, SIZE, (128, 128), compression, photometric, **facts))
        == code
    )


@pytest.mark.parametrize("compression", [7, 34712, 50001])
def test_a_codec_that_gives_another_size_or_number_of_samples_is_refused(tmp_path, compression):
    encode = {
        7: lambda a: jpeg(a) if a.ndim == 3 else imagecodecs.jpeg8_encode(np.ascontiguousarray(a)),
        34712: lambda a: imagecodecs.jpeg2k_encode(np.ascontiguousarray(a), level=0),
        50001: lambda a: imagecodecs.webp_encode(np.ascontiguousarray(a), level=90),
    }[compression]
    photometric = 6 if compression == 7 else 2
    for part in (RGB[:64, :64], RGB[:256, :256], *((GRAY[:128, :128],) if compression != 50001 else ())):
        path = write_tiff(
            tmp_path / "s.tif", [bytes(encode(part))] * 12, SIZE, (128, 128), compression, photometric
        )
        assert refused(path) == "E_PIXELS"


def test_every_page_is_checked_not_the_first_only(tmp_path):
    path = tmp_path / "s.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(RGB, tile=(128, 128), photometric="rgb", subifds=1, metadata=None)
        file.write(
            (RGB[::2, ::2].astype(np.uint16) * 256),
            tile=(128, 128),
            photometric="rgb",
            subfiletype=1,
            metadata=None,
        )
    assert refused(path) == "E_BITDEPTH"


def test_a_jpeg_of_four_components_is_refused(tmp_path):
    out = io.BytesIO()
    Image.fromarray(RGB[:128, :128]).convert("CMYK").save(out, "JPEG")
    path = write_tiff(tmp_path / "s.tif", [out.getvalue()] * 12, SIZE, (128, 128), 7, 6)
    assert refused(path) == "E_PIXELS"
