"""From embeddings to products with frozen matrices, in blocks of one size, so that no tile's bits depend on its neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

ROWS = 512
"""Rows of every product. A BLAS picks its kernel, and so how it rounds, by the shape of a product: with the last
block filled up with zeros a tile has the same bits alone, in any slide and at any place."""

_SIGN_AND_VALUE = np.int32(-0x70002000)
_REBIAS = np.float32(2.0**112)
_MAYBE_INFINITE = 2.0**32
_TAKEN = np.float32(-np.inf)


def products(embeddings: np.ndarray, matrix: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Embeddings times a matrix, `ROWS` rows at a time, and their lengths.

    Parameters
    ----------
    embeddings
        float[n, d], of any length.
    matrix
        float32[d, p].

    Yields
    ------
    (rows, float32[ROWS, p], float32[ROWS])
        The rows they stand for, ``x @ matrix`` and ``|x|`` (at least 1e-12). Lengths are divided out after products, so
        that sums that are exact stay exact. Rows past the last are zeros. The arrays are valid until the next ones.

    Examples
    --------
    >>> x = np.array([[3, 4], [0, 2]], np.float16)
    >>> for rows, product, length in products(x, np.array([[1.0], [0.0]], np.float32)):
    ...     print(rows, product[:2, 0], length[:2])
    slice(0, 2, None) [3. 0.] [5. 2.]
    """
    n, d = embeddings.shape
    x = np.empty((ROWS, d), np.float32)
    out = np.empty((ROWS, matrix.shape[1]), np.float32)
    length = np.empty(ROWS, np.float32)
    for start in range(0, n, ROWS):
        rows = slice(start, min(n, start + ROWS))
        count = rows.stop - start
        x[count:] = 0
        squared = np.zeros(ROWS, np.float32)
        squared[:count] = _read_rows(embeddings[rows], x[:count])
        np.maximum(np.sqrt(squared), 1e-12, out=length)
        np.matmul(x, matrix, out=out)
        yield rows, out, length


def _read_rows(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Copy rows into float32 `out`[m, d] and give back their squared lengths, float32[m].

    float16 is widened by moving its bits, two to six times as fast as NumPy's own conversion. That is exact
    for finite numbers; where a row is long enough to hold an infinity or NaN, NumPy does it again.
    """
    if rows.dtype == np.float16 and rows.dtype.isnative and rows.flags.aligned:
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


def best_of_columns(similarity: np.ndarray, places: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows with the largest values in every column, best first, and those values.

    Of equal values the first row wins, as in argmax; a column of NaN gives the last row. Tiles are columns because the
    largest of each is then found with whole-vector comparisons, three times as fast as an argmax along short rows.

    Parameters
    ----------
    similarity
        float32[k, m], C-contiguous; it may be used up: places already taken are overwritten with minus infinity.
    places
        Number of rows wanted for each column.

    Returns
    -------
    int[places, m] and float32[places, m].

    Examples
    --------
    >>> rows, values = best_of_columns(np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.5]], np.float32), 2)
    >>> rows, values
    (array([[1, 0],
           [2, 2]]), array([[0.8, 0.9],
           [0.3, 0.5]], dtype=float32))
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
