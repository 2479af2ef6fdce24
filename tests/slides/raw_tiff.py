"""TIFF files written tag by tag, so that any declaration can be combined with any pixels."""

import struct

_WIDTH = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 11: 4, 12: 8, 16: 8}
_FORM = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d", 16: "Q"}


def _packed(kind, values):
    if kind == 2:
        return values + b"\0"
    if kind == 5:
        return b"".join(struct.pack("<II", *pair) for pair in values)
    return struct.pack(f"<{len(values)}{_FORM[kind]}", *values)


def write_tiff(
    path,
    pieces,
    size,
    tile,
    compression,
    photometric,
    *,
    samples=3,
    bits=8,
    description=None,
    tags=None,
    strips=False,
):
    """A little-endian TIFF of one image.

    Parameters
    ----------
    pieces
        Compressed tiles (or strips), row by row; an empty one is stored as a hole.
    size, tile
        (width, height); of strips `tile` is (width, rows).
    tags
        {code: (kind, values)}: tags to add or replace; the value None leaves a tag out.
    """
    offsets, body = [], b""
    for piece in pieces:
        offsets.append(8 + len(body) if piece else 0)
        body += piece + b"\0" * (len(piece) % 2)
    counts = [len(piece) for piece in pieces]
    table = {
        256: (4, [size[0]]),
        257: (4, [size[1]]),
        258: (3, [bits] * samples),
        259: (3, [compression]),
        262: (3, [photometric]),
        277: (3, [samples]),
        282: (5, [(20_000, 1)]),
        283: (5, [(20_000, 1)]),
        284: (3, [1]),
        296: (3, [3]),
    }
    if samples > 3 or samples == 2:
        table[338] = (3, [0])
    table |= {273: (4, offsets), 278: (4, [tile[1]]), 279: (4, counts)} if strips else {}
    table |= {} if strips else {322: (4, [tile[0]]), 323: (4, [tile[1]]), 324: (4, offsets), 325: (4, counts)}
    if description:
        table[270] = (2, description.encode())
    table |= tags or {}
    table = {code: value for code, value in table.items() if value is not None}
    start = 8 + len(body)
    after = start + 2 + 12 * len(table) + 4
    entries = blob = b""
    for code in sorted(table):
        kind, values = table[code]
        data = _packed(kind, values)
        count = len(data) // _WIDTH[kind]
        if len(data) <= 4:
            entries += struct.pack("<HHI", code, kind, count) + data.ljust(4, b"\0")
        else:
            entries += struct.pack("<HHII", code, kind, count, after + len(blob))
            blob += data + b"\0" * (len(data) % 2)
    head = b"II*\0" + struct.pack("<I", start)
    path.write_bytes(head + body + struct.pack("<H", len(table)) + entries + b"\0\0\0\0" + blob)
    return path
