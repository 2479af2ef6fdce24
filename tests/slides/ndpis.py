"""Generated Hamamatsu NDPI slides: one JPEG per level, with restart markers listed in tag 65426."""

import io
import struct

import numpy as np
from PIL import Image


def write_ndpi(
    path, rgb, *, mpp=0.25, power=40.0, levels=(1, 4), blocks=16, subsampling="4:2:2", starts=True, quality=90
):
    """Each level is one JPEG with a restart marker every `blocks` MCUs; `starts` says whether they are listed."""
    out = bytearray(b"II*\0" + bytes(8))
    link = 4  # the offset at which the offset of the next directory is written
    for step in levels:
        small = np.ascontiguousarray(rgb[::step, ::step])
        link = _directory(
            out,
            link,
            small,
            _jpeg(small, blocks if len(small[0]) >= 16 * blocks else 0, subsampling, quality),
            mpp * step,
            power,
            starts,
        )
    macro = np.zeros((64, 128, 3), np.uint8)
    macro[..., 0] = 255
    _directory(out, link, macro, _jpeg(macro, 0, "4:2:0", 80), 30.0, -1.0, False)
    path.write_bytes(out)
    return path


def _jpeg(rgb, blocks, subsampling, quality):
    coded = io.BytesIO()
    options = {"restart_marker_blocks": blocks} if blocks else {}
    Image.fromarray(rgb).save(coded, "JPEG", quality=quality, subsampling=subsampling, **options)
    return coded.getvalue()


def restart_places(jpeg):
    """Where each interval's data begins."""
    at = 2
    while jpeg[at + 1] != 0xDA:
        at += 2 + struct.unpack_from(">H", jpeg, at + 2)[0]
    at += 2 + struct.unpack_from(">H", jpeg, at + 2)[0]
    places = [at]
    while (at := jpeg.find(b"\xff", at)) >= 0:
        if 0xD0 <= jpeg[at + 1] <= 0xD7:
            places.append(at + 2)
        at += 2
    return places


def _directory(out, link, rgb, jpeg, mpp, power, starts):
    """Append an image and its directory. Returns the offset at which that of the next directory belongs."""
    height, width = rgb.shape[:2]
    start = len(out)
    out += jpeg + bytes(-len(jpeg) % 4)
    places = restart_places(jpeg)
    entries = [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [8, 8, 8]), (259, 3, [7]), (262, 3, [6]),
        (271, 2, b"Hamamatsu\0"), (273, 4, [start]), (277, 3, [3]), (278, 4, [height]), (279, 4, [len(jpeg)]),
        (282, 5, [round(10_000_000 / mpp), 1000]), (283, 5, [round(10_000_000 / mpp), 1000]), (296, 3, [3]),
        (65420, 4, [1]), (65421, 11, [power]), (65422, 9, [0]), (65423, 9, [0]), (65424, 9, [0]),
        *([(65426, 4, places)] if starts and len(places) > 1 else []),
    ]  # fmt: skip
    fields = bytearray()
    for code, kind, values in entries:
        if kind == 2:
            data, count = values, len(values)
        else:
            data = struct.pack(f"<{len(values)}{ {3: 'H', 4: 'I', 5: 'I', 9: 'i', 11: 'f'}[kind] }", *values)
            count = len(values) // 2 if kind == 5 else len(values)
        if len(data) > 4:
            place = len(out)
            out += data + bytes(-len(data) % 4)
            data = struct.pack("<I", place)
        fields += struct.pack("<HHI", code, kind, count) + data.ljust(4, b"\0")
    struct.pack_into("<Q", out, link, len(out))
    out += struct.pack("<H", len(entries)) + fields
    link = len(out)
    out += bytes(8 + 4 * len(entries))
    return link
