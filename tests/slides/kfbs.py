"""Generated KFB slides in the layout of version 1.6, with macro image and label."""

import io
import struct

import numpy as np
from czis import shrink
from PIL import Image

RECORD = 64


def jpeg(rgb, quality=90):
    """A JPEG of an image."""
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()


def write_kfb(
    path,
    rgb,
    *,
    side=256,
    steps=(1, 2, 4),
    power=40,
    mpp=0.25,
    codec=b"JPG",
    macro=None,
    said_offsets=True,
    skip=(),
):
    """A KFB slide; `skip` are level-0 tiles (column, row) that are missing. Returns the tiles' JPEGs too."""
    tiles = []
    for step in steps:
        small = shrink(rgb, step)
        for y in range(0, small.shape[0], side):
            for x in range(0, small.shape[1], side):
                if step > 1 or (x // side, y // side) not in skip:
                    piece = small[y : y + side, x : x + side]
                    tiles.append((x, y, piece.shape[1], piece.shape[0], power / step, jpeg(piece)))
    macro = jpeg(np.full((40, 60, 3), 90, np.uint8)) if macro is None else macro
    label = jpeg(np.full((50, 50, 3), 20, np.uint8))
    out = bytearray(96)
    places = []
    for kind, data in ((2, macro), (3, label)):
        places.append(len(out))
        out += bytes([0xF1, kind, 0xEE, 0xEE]) + struct.pack("<IIIIII", 0, 40, 60, 0, len(data), 52)
        out += bytes(52 - 32) + bytes([0xFF, kind, 0xEE, 0xEE]) + data
    where = []
    for tile in tiles:
        where.append(len(out))
        out += tile[5]
    index = len(out)
    for place, (x, y, w, h, scale, data) in zip(where, tiles, strict=True):
        offset = place - index if said_offsets else 0
        record = struct.pack("<4xIIIIf8xIq", x, y, w, h, scale, len(data), offset)
        out += record.ljust(RECORD, b"\0")
    end = len(out)
    out += bytes([0xF1, 4, 0xEE, 0xEE]) + bytes(48) + jpeg(shrink(rgb, 8))
    height, width = rgb.shape[:2]
    head = b"\xf0\x01\xee\xeeKFB\0" + bytes(4) + struct.pack("<fIIII", 1.6, len(tiles), height, width, power)
    head += codec.ljust(4, b"\0") + struct.pack("<IIq", 0, 0, 0)
    head += struct.pack("<IIQQf8xI", *places, end, index, mpp, side) + b"\xff\x01\xee\xee"
    out[:96] = head
    path.write_bytes(out)
    return {
        (scale, x, y): (place, data) for place, (x, y, _, _, scale, data) in zip(where, tiles, strict=True)
    }
