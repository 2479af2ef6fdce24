"""How many pixels a file may declare for the bytes that it has: decoding, not storing, is what a small file can make dear."""

from __future__ import annotations

import numpy as np

from pathosig.core.errors import SlideError

_MAX_PIXELS = 4e11
_MAX_PIXELS_PER_BYTE = 20_000
_LARGE, _LARGE_PER_BYTE = 3e9, 2_000
"""Pixels that any file may declare, and how many more for each byte: where nothing is stored, white still has to be written."""

_SMALL, _DECODED_PER_BYTE = 64_000_000, 1_000
"""Pixels of pieces with bytes of their own. JPEG gives at most some 100 for a byte, deflate 340, JPEG 2000 of blank glass 4,000."""

_SLOW_PER_BYTE, _SLOW_BYTES = 250, 2_000_000
"""The same for the first bytes of a file whose decoder takes 20 s for 400 million pixels: JPEG 2000, and all that OpenSlide decodes."""

_TISSUE_SMALL, _TISSUE_PER_BYTE = 8_000_000, 40
"""Pixels of tissue. A byte of H&E holds 5 to 14 as JPEG of quality 30 to 75 and 34 as JPEG 2000 of 100:1 (benchmarks/tissue_bytes.py)."""

SHARED_BYTES = 32_000_000
"""Bytes of decoded pieces that are kept because other places name the same bytes."""

_OVERLAP, _SLACK = 2, 1_000_000
"""How often all pieces may hold the bytes that they lie in, and bytes beyond that: counts that writers rounded up overlap a little."""


def check_declared(size: tuple[int, int], file_bytes: int, name: str) -> None:
    """Refuse more pixels than a file of so many bytes has, stored or not.

    Parameters
    ----------
    size
        (width, height) of the slide in pixels.
    file_bytes
        Bytes of its file, or of all its files.
    name
        Name of the file, for messages.

    Raises
    ------
    SlideError
        E_TOO_LARGE.

    Examples
    --------
    >>> check_declared((90_000, 60_000), 500_000_000, "S01.svs")
    >>> check_declared((90_000, 60_000), 500, "S01.svs")
    Traceback (most recent call last):
        ...
    pathosig.core.errors.SlideError: S01.svs: declares 90000 x 60000 pixels in 500 bytes, which cannot be. Copy it again.
    """
    width, height = size
    most = min(_MAX_PIXELS, _MAX_PIXELS_PER_BYTE * file_bytes, _LARGE + _LARGE_PER_BYTE * file_bytes)
    if width * height > most:
        raise SlideError(
            f"{name}: declares {width} x {height} pixels in {file_bytes} bytes, which cannot be. Copy it again.",
            code="E_TOO_LARGE",
        )


def check_decoded(pixels: int, file_bytes: int, name: str, *, slow: bool = False) -> None:
    """Refuse more pixels to be decoded than the bytes of a file can hold.

    Parameters
    ----------
    pixels
        Of all pieces of one level that have bytes of their own.
    file_bytes, name
        As for `check_declared`.
    slow
        Whether the decoder is slow; then a small file may have fewer.

    Raises
    ------
    SlideError
        E_TOO_LARGE.

    Examples
    --------
    >>> check_decoded(500_000_000, 1_100_000, "S01.tif")
    >>> check_decoded(2_600_000_000, 1_100_000, "S01.tif")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    pathosig.core.errors.SlideError: S01.tif: its tiles would decode to 2,600,000,000 pixels from 1,100,000 bytes, ...
    """
    few = min(file_bytes, _SLOW_BYTES) if slow else 0
    if pixels > _SMALL + _SLOW_PER_BYTE * few + _DECODED_PER_BYTE * (file_bytes - few):
        raise SlideError(
            f"{name}: its tiles would decode to {pixels:,} pixels from {file_bytes:,} bytes, more than any codec makes of pictures. "
            "Copy it again.",
            code="E_TOO_LARGE",
        )


def check_tissue(pixels: float, file_bytes: int, name: str) -> None:
    """Refuse more tissue than the bytes of a file can show.

    Parameters
    ----------
    pixels
        Level-0 pixels of tissue.
    file_bytes, name
        As for `check_declared`.

    Raises
    ------
    SlideError
        E_TOO_LARGE.

    Examples
    --------
    >>> check_tissue(500_000_000, 1_100_000, "S01.tif")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    pathosig.core.errors.SlideError: S01.tif: shows 500,000,000 pixels of tissue in 1,100,000 bytes, which ...
    """
    if pixels > _TISSUE_SMALL + _TISSUE_PER_BYTE * file_bytes:
        raise SlideError(
            f"{name}: shows {pixels:,.0f} pixels of tissue in {file_bytes:,} bytes, which no picture of tissue has. Copy it again.",
            code="E_TOO_LARGE",
        )


def shared_pieces(
    offsets: np.ndarray,
    counts: np.ndarray,
    piece_pixels: int,
    *,
    file_bytes: int,
    name: str,
    slow: bool = False,
) -> np.ndarray:
    """Which pieces name bytes that another one names too, so that they are decoded once and kept.

    Writers of sparse files store one blank tile for all. None are where they are too many to be kept; they count as often as they
    are named then.

    Parameters
    ----------
    offsets, counts
        int64[n]; a count of 0 is a piece that is not stored.
    piece_pixels
        Pixels of a piece.
    file_bytes, name, slow
        As for `check_decoded`.

    Returns
    -------
    bool[n]

    Raises
    ------
    SlideError
        E_TOO_LARGE where decoding takes more than the file's bytes can hold; E_FORMAT where pieces overlap.

    Examples
    --------
    >>> offsets, counts = np.array([8, 108, 8, 0]), np.array([100, 50, 100, 0])
    >>> shared_pieces(offsets, counts, 65_536, file_bytes=1_000, name="S01.tif")
    array([ True, False,  True, False])
    """
    stored = np.flatnonzero(counts > 0)
    pairs = np.stack((offsets[stored], counts[stored]), axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    ranges = pairs[order]
    new = np.ones(len(ranges), bool)
    new[1:] = np.any(np.diff(ranges, axis=0) != 0, axis=1)
    group = np.cumsum(new) - 1
    named = np.bincount(group, minlength=int(new.sum()))
    shared = np.zeros(len(offsets), bool)
    shared[stored[order]] = named[group] > 1
    once = int((named == 1).sum())
    several = int((named > 1).sum())
    kept = several * piece_pixels * 3 <= SHARED_BYTES
    check_decoded(
        (once + (several if kept else int(shared.sum()))) * piece_pixels, file_bytes, name, slow=slow
    )
    _check_overlap(ranges[new], file_bytes, name)
    return shared if kept else np.zeros(len(offsets), bool)


def _check_overlap(ranges: np.ndarray, file_bytes: int, name: str) -> None:
    """Refuse different pieces that lie in the same bytes; `ranges` is int64[n, 2] of offset and count, sorted."""
    starts = np.minimum(ranges[:, 0], file_bytes)
    ends = np.minimum(starts + np.minimum(ranges[:, 1], file_bytes), file_bytes)
    behind = np.maximum.accumulate(ends)
    covered = ends - np.maximum(starts, np.append(0, behind[:-1]))
    if (ends - starts).sum() > _OVERLAP * np.maximum(covered, 0).sum() + _SLACK:
        raise SlideError(
            f"{name}: its tiles lie in one another's bytes. Copy it again.",
            code="E_FORMAT",
        )
