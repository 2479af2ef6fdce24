"""Reading blocks of embeddings and finding the best three of each tile, at nearly the speed of the products alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_SIGN_AND_VALUE = np.int32(-0x70002000)
_REBIAS = np.float32(2.0**112)
_MAYBE_INFINITE = 2.0**32
_CACHED = 2**18  # float32 numbers in a block: 1 MiB, what the second-level cache of a core holds
_TAKEN = np.float32(-np.inf)


def blocks(embeddings: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Embeddings[n, d] block by block: (rows, float32[m, d], squared lengths float32[m]).

    The arrays are valid until the next block; 256 to 2048 rows, as many as stay in the cache.
    """
    n, d = embeddings.shape
    size = min(max(_CACHED // d, 256), 2048, n)
    buffer = np.empty((size, d), np.float32)
    for start in range(0, n, max(size, 1)):
        rows = slice(start, min(n, start + size))
        x = buffer[: rows.stop - rows.start]
        yield rows, x, read_rows(embeddings[rows], x)


def read_rows(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Copy rows into float32 `out`[m, d] and give back their squared lengths, float32[m].

    float16 is widened by moving its bits, six times as fast as numpy's own conversion. That is exact
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


def best_of_columns(similarity: np.ndarray, places: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows with the largest values of every column of [k, m], best first: (int[m], their values float32[m]).

    Of equal values the first row wins, as in argmax; a column of NaN gives the last row. What was found is overwritten with
    minus infinity. Tiles are columns because the largest of each is then found with whole-vector comparisons, three
    times as fast as an argmax along short rows.
    """
    k, m = similarity.shape
    order = np.arange(k, 0, -1, dtype=np.int8 if k <= np.iinfo(np.int8).max else np.int16)[:, None]
    equal = np.empty((k, m), bool)
    ranks = np.empty((k, m), order.dtype)
    every = np.arange(m)
    for place in range(places):
        value = similarity.max(axis=0)
        np.equal(similarity, value, out=equal)
        np.multiply(equal.view(np.int8), order, out=ranks)
        best = np.minimum(k - ranks.max(axis=0).astype(np.intp), k - 1)
        yield best, value
        if place + 1 < places:
            similarity[best, every] = _TAKEN
