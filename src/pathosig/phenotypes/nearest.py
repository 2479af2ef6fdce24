"""From embeddings to the three nearest: in one pass where the kernel is compiled, else block by block in NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

try:
    from pathosig.phenotypes import _nearest
except ImportError:  # built where there was no compiler
    LANES = 0
else:
    LANES = max(_nearest.LANES, default=0)
"""Numbers in a vector of the compiled kernel; 0 where there is none for this processor, and NumPy does the work."""

_AT_ONCE = 8192  # rows a call: a copy of so many is small, and an interrupt does not wait long
_SIGN_AND_VALUE = np.int32(-0x70002000)
_REBIAS = np.float32(2.0**112)
_MAYBE_INFINITE = 2.0**32
_CACHED = 2**18  # float32 numbers in a block: 1 MiB, what the second-level cache of a core holds
TOGETHER = 2048
"""Tiles compared with the centroids at once: with fewer, calling numpy costs as much as its work."""
_TAKEN = np.float32(-np.inf)


def in_one_pass(
    embeddings: np.ndarray,
    matrices: tuple[np.ndarray, ...],
    columns: tuple[np.ndarray, ...],
    *,
    radius: np.ndarray | None = None,
    sharpness: float = 1.0,
) -> None:
    """Fill the columns of embeddings[n, d] with the compiled kernel; a row's result depends on that row only.

    Parameters
    ----------
    matrices
        Projection[d + 1, p], whose last row is multiplied by minus a row's length; w1[p + 1, h], whose last row is b1,
        and w2[h, p] if there is a refinement; centroids[p, k].
    columns
        hpc int16[3, n], confidence float32[3, n] and distance float32[n]; or hpc int16[1, n] alone, for which centroids
        may be multiplied into the projection.
    radius
        [k], for the distance.
    sharpness
        1 / temperature.
    """
    packed = tuple(np.ascontiguousarray(m, np.float32) for m in matrices)
    if radius is not None:
        radius = np.ascontiguousarray(radius, np.float32)
    for start in range(0, len(embeddings), _AT_ONCE):
        rows = embeddings[start : start + _AT_ONCE]
        if rows.dtype not in (np.float16, np.float32):
            rows = rows.astype(np.float32, casting="same_kind")
        rows = np.require(rows, requirements=["C", "A"])
        _nearest.assign(rows, packed, radius, sharpness, start, columns, LANES)


def blocks(embeddings: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Embeddings[n, d] block by block: (rows, float32[m, d], squared lengths float32[m]).

    The arrays are valid until the next block. As many rows as stay in the cache, a power of two from 256 to `TOGETHER`.
    """
    n, d = embeddings.shape
    size = 1 << (min(max(_CACHED // d, 256), TOGETHER).bit_length() - 1)
    buffer = np.empty((min(size, n), d), np.float32)
    for start in range(0, n, size):
        rows = slice(start, min(n, start + size))
        x = buffer[: rows.stop - rows.start]
        yield rows, x, read_rows(embeddings[rows], x)


def projected(
    embeddings: np.ndarray, projection: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Embeddings[n, d] @ projection[d, p], `TOGETHER` rows at a time: (rows, float32[m, p], lengths float32[m]).

    Widening and product take a block after the other, while it is in the cache; what comes after the product is
    smaller and takes several blocks at once. The arrays are valid until the next ones; lengths are at least 1e-12.
    """
    n = len(embeddings)
    z = np.empty((min(n, TOGETHER), projection.shape[1]), np.float32)
    length = np.empty(len(z), np.float32)
    start = 0
    for rows, x, squared in blocks(embeddings):
        here = slice(rows.start - start, rows.stop - start)
        np.matmul(x, projection, out=z[here])
        np.maximum(np.sqrt(squared), 1e-12, out=length[here])
        if here.stop == len(z) or rows.stop == n:
            yield slice(start, rows.stop), z[: here.stop], length[: here.stop]
            start = rows.stop


def read_rows(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Copy rows into float32 `out`[m, d] and give back their squared lengths, float32[m].

    float16 is widened by moving its bits, two to six times as fast as numpy's own conversion. That is exact
    for finite numbers; where a row is long enough to hold an infinity or NaN, numpy does it again.
    """
    if rows.dtype == np.float16:
        bits = out.view(np.int32)
        np.copyto(bits, rows.view(np.int16))
        np.left_shift(bits, 13, out=bits)
        np.bitwise_and(bits, _SIGN_AND_VALUE, out=bits)
        np.multiply(out, _REBIAS, out=out)
        squared: np.ndarray = np.vecdot(out, out)
        if squared.max(initial=0) < _MAYBE_INFINITE:
            return squared
    np.copyto(out, rows, casting="same_kind")
    return np.asarray(np.vecdot(out, out))


def minus_outer(z: np.ndarray, length: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """z[m, p] - length[m] offset[p], float32, in one pass that overwrites z."""
    from scipy.linalg.blas import sger

    return np.asarray(sger(-1.0, offset, length, a=z.T, overwrite_a=1).T)


def best_of_columns(similarity: np.ndarray, places: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows with the largest values of every column of [k, m], best first: int[places, m], their values float32[places, m].

    Of equal values the first row wins, as in argmax; a column of NaN gives the last row. `similarity`, C-contiguous, may be
    used up: what was found is overwritten with minus infinity. Tiles are columns because the largest of each is then
    found with whole-vector comparisons, three times as fast as an argmax along short rows.
    """
    k, m = similarity.shape
    order = np.arange(k, 0, -1, dtype=np.int8 if k <= np.iinfo(np.int8).max else np.int16)[:, None]
    equal = np.empty((k, m), bool)
    ranks = np.empty((k, m), order.dtype)
    best = np.empty((places, m), np.intp)
    values = np.empty((places, m), np.float32)
    flat, every = similarity.reshape(-1), np.arange(m)
    for place in range(places):
        similarity.max(axis=0, out=values[place])
        np.equal(similarity, values[place], out=equal)
        np.multiply(equal.view(np.int8), order, out=ranks)
        np.subtract(k, ranks.max(axis=0), out=best[place])
        np.minimum(best[place], k - 1, out=best[place])
        if place + 1 < places:
            flat[best[place] * m + every] = _TAKEN
    return best, values
