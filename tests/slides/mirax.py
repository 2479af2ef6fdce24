"""Generated MIRAX slides (.mrxs with its folder): an index of pages, camera positions and JPEG images."""

import io
import struct

import numpy as np
from PIL import Image

SLIDE_ID = "0123456789ABCDEF0123456789ABCDEF"
INDEX_VERSION = "01.02"
SIDE = 128


def write_mrxs(path, rgb, present, *, mpp=0.25, power=40, fill=(255, 255, 255), levels=3, quality=92):
    """A slide whose camera took the images marked in `present` (bool[rows, columns]) of `rgb`.

    An image of level k joins 2^k x 2^k images. Parts that the camera did not take are transparent. The first image is never
    taken, because the position (0, 0) marks a missing image.
    """
    rows, columns = present.shape
    assert rgb.shape[:2] == (rows * SIDE, columns * SIDE)
    folder = path.with_suffix("")
    folder.mkdir()
    data = bytearray(b"DATA" * 8)
    pages = []
    for level in range(levels):
        step = 2**level
        entries = []
        for row in range(0, rows, step):
            for column in range(0, columns, step):
                if not present[row : row + step, column : column + step].any():
                    continue
                part = rgb[row * SIDE : (row + step) * SIDE, column * SIDE : (column + step) * SIDE]
                room = [(0, step * SIDE - n) for n in part.shape[:2]]
                part = np.pad(part, [*room, (0, 0)], constant_values=255)
                small = part.reshape(SIDE, step, SIDE, step, 3).mean(axis=(1, 3)).round().astype(np.uint8)
                coded = io.BytesIO()
                Image.fromarray(small).save(coded, "JPEG", quality=quality, subsampling=0)
                entries.append((row * columns + column, len(data), len(coded.getvalue()), 0))
                data += coded.getvalue()
        pages.append(entries)
    positions = b"".join(
        struct.pack("<bii", 0, *((c * SIDE, r * SIDE) if present[r, c] else (0, 0)))
        for r in range(rows)
        for c in range(columns)
    )
    place = len(data)
    data += positions
    (folder / "Data0000.dat").write_bytes(data)
    (folder / "Index.dat").write_bytes(_index(pages, (place, len(positions), 0)))
    (folder / "Slidedat.ini").write_text(_ini(rows, columns, levels, mpp, power, fill), encoding="utf-8")
    path.write_bytes(b"\xff\xd8\xff\xe0 preview")
    return path


def _index(pages, positions):
    """Roots of both trees, pointers to the levels, pages of (image, offset, length, file)."""
    out = bytearray(INDEX_VERSION.encode() + SLIDE_ID.encode())
    root = len(out)
    out += bytes(8)
    table = len(out)
    out += bytes(4 * len(pages))
    for number, entries in enumerate(pages):
        struct.pack_into("<i", out, table + 4 * number, len(out))
        out += struct.pack("<ii", 0, len(out) + 8)
        out += struct.pack("<ii", len(entries), 0)
        out += b"".join(struct.pack("<iiii", *entry) for entry in entries)
    other = len(out)
    out += struct.pack("<i", other + 4)
    out += struct.pack("<ii", 0, len(out) + 8)
    out += struct.pack("<iiiiiii", 1, 0, 0, 0, *positions)
    struct.pack_into("<ii", out, root, table, other)
    return bytes(out)


def _ini(rows, columns, levels, mpp, power, fill):
    red, green, blue = fill
    lines = [
        "[GENERAL]",
        f"SLIDE_VERSION = {INDEX_VERSION}",
        f"SLIDE_ID = {SLIDE_ID}",
        f"IMAGENUMBER_X = {columns}",
        f"IMAGENUMBER_Y = {rows}",
        f"OBJECTIVE_MAGNIFICATION = {power}",
        "CameraImageDivisionsPerSide = 1",
        "[HIERARCHICAL]",
        "HIER_COUNT = 1",
        "NONHIER_COUNT = 1",
        "INDEXFILE = Index.dat",
        "HIER_0_NAME = Slide zoom level",
        f"HIER_0_COUNT = {levels}",
        *(f"HIER_0_VAL_{k}_SECTION = LAYER_0_LEVEL_{k}_SECTION" for k in range(levels)),
        "NONHIER_0_NAME = VIMSLIDE_POSITION_BUFFER",
        "NONHIER_0_COUNT = 1",
        "NONHIER_0_VAL_0 = default",
        "[DATAFILE]",
        "FILE_COUNT = 1",
        "FILE_0 = Data0000.dat",
    ]
    for level in range(levels):
        lines += [
            f"[LAYER_0_LEVEL_{level}_SECTION]",
            "OVERLAP_X = 0",
            "OVERLAP_Y = 0",
            f"MICROMETER_PER_PIXEL_X = {mpp * 2**level}",
            f"MICROMETER_PER_PIXEL_Y = {mpp * 2**level}",
            f"IMAGE_FILL_COLOR_BGR = {blue << 16 | green << 8 | red}",
            f"DIGITIZER_WIDTH = {SIDE}",
            f"DIGITIZER_HEIGHT = {SIDE}",
            "IMAGE_FORMAT = JPEG",
            f"IMAGE_CONCAT_FACTOR = {min(level, 1)}",
        ]
    return "\n".join(lines) + "\n"
