"""Generated CZI slides: segments as in ZEISS's specification, with pyramid, scenes, holes and damage."""

import struct

import numpy as np

RAW, JPEG, LZW, JPEG_XR, ZSTD0, ZSTD1 = 0, 1, 2, 4, 5, 6
GRAY8, GRAY16, BGR24, BGR48, BGR_FLOAT, BGRA32 = 0, 1, 3, 4, 8, 9
_XML = """<?xml version="1.0"?><ImageDocument><Metadata><Information><Image>
<SizeX>{width}</SizeX><SizeY>{height}</SizeY><SizeS>{scenes}</SizeS>
<ObjectiveSettings><ObjectiveRef Id="Objective:2"/></ObjectiveSettings></Image><Instrument><Objectives>
<Objective Id="Objective:1"><NominalMagnification>5</NominalMagnification></Objective>
<Objective Id="Objective:2"><NominalMagnification>{power}</NominalMagnification></Objective></Objectives></Instrument>
</Information><Scaling><Items><Distance Id="X"><Value>{mpp_x}</Value></Distance>
<Distance Id="Y"><Value>{mpp_y}</Value></Distance></Items></Scaling></Metadata></ImageDocument>"""


def block(rgb, x, y, *, factor=1, size=None, scene=0, m=0, codec=RAW, pixels=BGR24, data=None, **dims):
    """One subblock: its pixels, and its place in the slide in level-0 pixels."""
    height, width = rgb.shape[:2]
    return {
        "xy": (x, y),
        "stored": (width, height),
        "size": size or (width * factor, height * factor),
        "scene": scene,
        "m": m,
        "codec": codec,
        "pixels": pixels,
        "dims": dims,
        "data": encoded(rgb, codec, pixels) if data is None else data,
    }


def encoded(rgb, codec=RAW, pixels=BGR24):
    """The bytes of a subblock."""
    image = rgb[..., ::-1] if rgb.ndim == 3 and rgb.shape[2] == 3 else rgb
    if pixels == BGRA32:
        image = rgb[..., [2, 1, 0, 3]]
    image = np.ascontiguousarray(image)
    if codec == JPEG_XR:
        import imagecodecs

        packed = bytearray(imagecodecs.jpegxr_encode(np.ascontiguousarray(rgb), level=1.0))
        if rgb.ndim == 2:
            return bytes(packed)
        at = packed.find(bytes.fromhex("24c3dd6f034efe4bb1853d77768dc9"))
        packed[at + 15] = 0x0C  # BGR with 24 bits per pixel, as ZEN writes it
        return bytes(packed)
    raw = image.tobytes()
    if codec in (ZSTD0, ZSTD1):
        import imagecodecs

        return (b"\x01" if codec == ZSTD1 else b"") + bytes(imagecodecs.zstd_encode(raw))
    return raw


def mosaic(rgb, *, side=256, levels=(1, 2, 4), skip=(), **options):
    """Subblocks of a whole slide with its pyramid; `skip` are level-0 subblocks (column, row) that are missing."""
    found, number = [], 0
    for factor in levels:
        small = shrink(rgb, factor)
        for y in range(0, small.shape[0], side):
            for x in range(0, small.shape[1], side):
                if factor > 1 or (x // side, y // side) not in skip:
                    piece = small[y : y + side, x : x + side]
                    found.append(block(piece, x * factor, y * factor, factor=factor, m=number, **options))
                    number += 1
    return found


def shrink(rgb, factor):
    """Area means."""
    h, w = rgb.shape[0] // factor, rgb.shape[1] // factor
    cut = rgb[: h * factor, : w * factor].reshape(h, factor, w, factor, 3)
    return np.rint(cut.mean((1, 3))).astype(np.uint8)


def write_czi(path, blocks, *, mpp=0.25, mpp_y=None, power=40, size=None, file_part=0, xml=None):
    """A CZI of the given subblocks, with an attachment directory that contains a label."""
    out = bytearray(_segment(b"ZISRAWFILE", bytes(512)))
    entries, places = [], []
    for item in blocks:
        place = len(out)
        entry = _entry(item, place)
        fixed = struct.pack("<iiq", 10, 0, len(item["data"])) + entry
        fixed += bytes(max(256 - len(fixed), 0))
        out += _segment(b"ZISRAWSUBBLOCK", fixed + b"<METADATA>" + item["data"])
        entries.append(entry)
        places.append(place)
    right = max(b["xy"][0] + b["size"][0] for b in blocks) - min(b["xy"][0] for b in blocks)
    bottom = max(b["xy"][1] + b["size"][1] for b in blocks) - min(b["xy"][1] for b in blocks)
    width, height = size or (right, bottom)
    text = xml or _XML.format(
        width=width,
        height=height,
        scenes=len({b["scene"] for b in blocks}),
        power=power,
        mpp_x=mpp * 1e-6,
        mpp_y=(mpp_y or mpp) * 1e-6,
    )
    metadata = len(out)
    packed = text.encode()
    out += _segment(b"ZISRAWMETADATA", struct.pack("<ii", len(packed), 0) + bytes(248) + packed)
    attachments = len(out)
    out += _segment(b"ZISRAWATTDIR", struct.pack("<i", 0) + bytes(252))
    directory = len(out)
    out += _segment(b"ZISRAWDIRECTORY", struct.pack("<i", len(entries)) + bytes(124) + b"".join(entries))
    struct.pack_into("<ii", out, 32, 1, 0)
    struct.pack_into("<iqqiq", out, 32 + 48, file_part, directory, metadata, 0, attachments)
    path.write_bytes(out)
    return path


def _segment(name, body):
    return name.ljust(16, b"\0") + struct.pack("<qq", len(body), len(body)) + body


def _entry(item, place):
    dims = [("X", item["xy"][0], item["size"][0], item["stored"][0])]
    dims += [("Y", item["xy"][1], item["size"][1], item["stored"][1])]
    dims += [(name, start, 1, 1) for name, start in {"C": 0, "M": item["m"], **item["dims"]}.items()]
    dims += [("S", item["scene"], 1, 1)]
    kind = 0 if item["size"] == item["stored"] else 2
    entry = b"DV" + struct.pack("<iqiiB5xi", item["pixels"], place, 0, item["codec"], kind, len(dims))
    for name, start, size, stored in dims:
        entry += name.encode().ljust(4, b"\0") + struct.pack("<iifi", start, size, 0.0, stored)
    return entry
