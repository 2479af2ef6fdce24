"""Baseline JPEGs with any sampling factors, which no common writer offers."""

import struct

import numpy as np
from scipy.fft import dctn

_ZIGZAG = sorted(
    ((r, c) for r in range(8) for c in range(8)),
    key=lambda p: (p[0] + p[1], p[0] if (p[0] + p[1]) % 2 else p[1]),
)


def write_jpeg(planes, sampling, *, step=4, ids=(1, 2, 3), markers=b""):
    """A JPEG of components that are already subsampled.

    Parameters
    ----------
    planes
        uint8[h_k, w_k] of each component, whole multiples of its blocks in an MCU.
    sampling
        (horizontal, vertical) factor of each component.
    step
        Quantisation of all coefficients.
    markers
        Segments inserted after the first marker.
    """
    h, v = (max(s[k] for s in sampling) for k in (0, 1))
    height, width = (
        side * most // mine
        for side, most, mine in zip(planes[0].shape, (v, h), sampling[0][::-1], strict=True)
    )
    out = b"\xff\xd8" + markers + _segment(0xDB, bytes([0]) + bytes([step]) * 64)
    parts = b"".join(bytes([i, a << 4 | b, 0]) for i, (a, b) in zip(ids, sampling, strict=False))
    out += _segment(0xC0, struct.pack(">BHHB", 8, height, width, len(planes)) + parts)
    lengths = [0] * 7 + [12, 0, 0, 0, 0, 0, 0, 0, 0]  # 12 codes of 8 bits: sizes of DC values
    out += _segment(0xC4, b"\x00" + bytes(lengths) + bytes(range(12)))
    symbols = bytes(run << 4 | size for run in range(16) for size in range(11))
    out += _segment(0xC4, b"\x10" + bytes([0] * 8 + [len(symbols)] + [0] * 7) + symbols)
    used = ids[: len(planes)]
    out += _segment(0xDA, bytes([len(planes)]) + b"".join(bytes([i, 0]) for i in used) + b"\0\x3f\0")
    return out + _scan(planes, sampling, (width // (8 * h), height // (8 * v)), step) + b"\xff\xd9"


def _segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def _scan(planes, sampling, grid, step):
    coefficients = []
    for plane in planes:
        rows, columns = plane.shape[0] // 8, plane.shape[1] // 8
        blocks = plane.reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3).astype(float) - 128
        coefficients.append(np.rint(dctn(blocks, axes=(2, 3), norm="ortho") / step).astype(int))
    bits, last = [], [0] * len(planes)
    for row in range(grid[1]):
        for column in range(grid[0]):
            for k, (a, b) in enumerate(sampling):
                for y in range(b):
                    for x in range(a):
                        block = coefficients[k][row * b + y, column * a + x]
                        last[k] = _block([int(block[p]) for p in _ZIGZAG], last[k], bits)
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")


def _block(values, before, bits):
    size = abs(values[0] - before).bit_length()
    bits.append(f"{size:08b}" + _amplitude(values[0] - before, size))
    run = 0
    while values and not values[-1]:
        values.pop()
    for value in values[1:]:
        if not value and run < 15:
            run += 1
            continue
        size = abs(value).bit_length()
        bits.append(f"{run * 11 + size:09b}" + _amplitude(value, size))
        run = 0
    if len(values) < 64:
        bits.append(f"{0:09b}")
    return values[0] if values else 0


def _amplitude(value, size):
    return f"{value if value > 0 else value + (1 << size) - 1:0{size}b}" if size else ""
