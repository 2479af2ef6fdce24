"""Limits on the pixels that a file may declare for its size: a small file can be cheap to store and expensive to decode."""

from __future__ import annotations

import numpy as np

from pathosig.core.errors import SlideError

_MAX_PIXELS = 4e11
_MAX_PIXELS_PER_BYTE = 20_000
_LARGE, _LARGE_PER_BYTE = 3e9, 2_000
"""Pixels that any file may declare, and further pixels per byte. Even areas without stored data cost time: they become white."""

_SMALL, _DECODED_PER_BYTE = 64_000_000, 1_000
"""Pixels of stored pieces: for any file, and further pixels per byte. A byte decodes to at most about 100 pixels with JPEG, 340 with
deflate and, for bare glass, 4,000 with JPEG 2000."""

_SLOW_PER_BYTE, _SLOW_BYTES = 250, 2_000_000
"""Pixels per byte for the first `_SLOW_BYTES` of files with a slow decoder, which takes 20 s for 400 million pixels: JPEG 2000 and
all files read by OpenSlide."""

_TISSUE_SMALL, _TISSUE_PER_BYTE = 8_000_000, 40
"""Pixels of tissue for any file, and further pixels per byte. A byte of H&E holds 5 to 14 pixels as JPEG of quality 75 to 30 and 34 as
JPEG 2000 at 100:1 (benchmarks/tissue_bytes.py)."""

SHARED_BYTES = 32_000_000
"""Most bytes of decoded pieces that are cached because several pieces refer to the same bytes of the file."""

_OVERLAP, _SLACK = 2, 1_000_000
"""The total length of all pieces may be this multiple of the bytes that they cover, plus `_SLACK`. Some writers round lengths up, so
that pieces overlap a little."""

_HUGE = 10**18
"""Larger numbers are not shown in full."""


def check_declared(size: tuple[int, int], file_bytes: int, name: str) -> None:
    """Refuse more pixels, stored or not, than a file of this size can have.

    Parameters
    ----------
    size
        (width, height) of the slide in pixels.
    file_bytes
        Size of its file, or of all its files together, in bytes.
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
    pathosig.core.errors.SlideError: S01.svs: declares 90000 x 60000 pixels in 500 bytes, which is impossible. Copy it again.
    """
    width, height = size
    most = min(_MAX_PIXELS, _MAX_PIXELS_PER_BYTE * file_bytes, _LARGE + _LARGE_PER_BYTE * file_bytes)
    if width * height > most:
        raise SlideError(
            f"{name}: declares {min(width, _HUGE):.15g} x {min(height, _HUGE):.15g} pixels in {file_bytes} bytes, which is "
            "impossible. Copy it again.",
            code="E_TOO_LARGE",
        )


def check_decoded(pixels: int, file_bytes: int, name: str, *, slow: bool = False) -> None:
    """Refuse to decode more pixels than the bytes of a file can hold.

    Parameters
    ----------
    pixels
        Pixels of all stored pieces of one level.
    file_bytes, name
        As for `check_declared`.
    slow
        Whether the decoder is slow; a small file may then have fewer pixels.

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
            f"{name}: its tiles would decode to {pixels:,} pixels from {file_bytes:,} bytes, more than any real image. "
            "Copy it again.",
            code="E_TOO_LARGE",
        )


def check_tissue(pixels: float, file_bytes: int, name: str) -> None:
    """Refuse more tissue than the bytes of a file can hold.

    Parameters
    ----------
    pixels
        Number of level-0 pixels with tissue.
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
            f"{name}: shows {pixels:,.0f} pixels of tissue in {file_bytes:,} bytes, which is impossible. Copy it again.",
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
    """Which pieces refer to the same bytes as another piece, so that they are decoded once and cached.

    Writers of sparse files store one blank tile and refer to it many times. If such pieces are too many to be cached, none is marked,
    and each counts as often as it is referred to.

    Parameters
    ----------
    offsets, counts
        int64[n]: places and lengths in bytes; a length of 0 is a piece that is not stored.
    piece_pixels
        Number of pixels of a piece.
    file_bytes, name, slow
        As for `check_decoded`.

    Returns
    -------
    bool[n]

    Raises
    ------
    SlideError
        E_TOO_LARGE if there are more pixels to decode than the file's bytes can hold; E_FORMAT if pieces overlap.

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
    """Refuse different pieces that overlap. `ranges` is int64[n, 2], offset and length, sorted."""
    starts = np.minimum(ranges[:, 0], file_bytes)
    ends = np.minimum(starts + np.minimum(ranges[:, 1], file_bytes), file_bytes)
    behind = np.maximum.accumulate(ends)
    covered = ends - np.maximum(starts, np.append(0, behind[:-1]))
    if (ends - starts).sum() > _OVERLAP * np.maximum(covered, 0).sum() + _SLACK:
        raise SlideError(
            f"{name}: its tiles overlap in the file. Copy it again.",
            code="E_FORMAT",
        )
