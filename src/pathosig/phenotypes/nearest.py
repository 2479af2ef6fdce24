"""Exact products of embeddings with frozen matrices: no bit of a result depends on other tiles or on the machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

ROWS = 512
"""Rows of every product; the last block is padded with zeros, so that all blocks have the same shape."""

_SIGNIFICAND = 53
_LARGEST_EXPONENT = 126  # of a float32

_SIGN_AND_VALUE = np.int32(-0x70002000)
_REBIAS = np.float32(2.0**112)
_MAYBE_INFINITE = 2.0**32
_TAKEN = np.float32(-np.inf)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExactMatrix:
    """A matrix rounded to so few bits that its products with vectors rounded likewise are exact.

    The rounding of a BLAS depends on the order of its sums, and so on the processor, the number of threads and the
    position of a row in its block. Here both factors are integers of at most ``(53 - log2 d) / 2`` bits, divided by a
    power of two for each row or column. The sum of d of their products then fits into the 53 bits of a float64, and
    every order of summation gives the same bits. With 20 bits or more, a factor is finer than the 11 bits of a stored
    float16 embedding.

    Attributes
    ----------
    whole
        Integers, float64[d, p].
    scale
        Powers of two by which the columns of a product are divided, float64[p].
    bits
        Number of bits of a factor, without its sign.
    """

    whole: np.ndarray
    scale: np.ndarray
    bits: int

    @classmethod
    def of(cls, matrix: np.ndarray) -> Self:
        """Round float[d, p] to such a matrix."""
        bits = (_SIGNIFICAND - (len(matrix) - 1).bit_length()) // 2
        scale = _scale_of(matrix.T, bits)
        return cls(whole=np.rint(matrix * scale), scale=scale, bits=bits)

    def after(self, rows: np.ndarray) -> np.ndarray:
        """Products ``rows @ matrix``, float32[n, p], of float32[n, d]; a row that is not finite gives NaN.

        Examples
        --------
        >>> exact = ExactMatrix.of(np.array([[0.1], [1.0]], np.float32))
        >>> x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
        >>> bool((exact.after(x)[3:4] == exact.after(x[3:4])).all())
        True
        """
        scale = _scale_of(rows, self.bits)[:, None]
        whole = rows * scale.astype(np.float32)
        np.rint(whole, out=whole)
        product = whole.astype(np.float64) @ self.whole
        product /= scale
        product /= self.scale
        return product.astype(np.float32)


def _scale_of(rows: np.ndarray, bits: int) -> np.ndarray:
    """The power of two that brings the largest value of each row just below ``2 ** bits``, float64[n].

    NaN for rows that are not finite.
    """
    largest = np.maximum(rows.max(axis=1, initial=0), -rows.min(axis=1, initial=0)).astype(np.float64)
    exponent = np.frexp(largest)[1]
    return np.where(
        np.isfinite(largest), np.ldexp(1.0, np.minimum(bits - exponent, _LARGEST_EXPONENT)), np.nan
    )


def products(embeddings: np.ndarray, matrix: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Products of embeddings with a matrix, `ROWS` rows at a time, and the lengths of the embeddings.

    Parameters
    ----------
    embeddings
        float[n, d], of any Euclidean length.
    matrix
        float32[d, p].

    Yields
    ------
    (rows, float32[ROWS, p], float32[ROWS])
        The rows of `embeddings`, ``x @ matrix`` and ``|x|`` (at least 1e-12). Divide by the length after multiplying, so
        that the exact sums stay exact. Rows after the last one are zero. The next iteration overwrites the arrays.

    Examples
    --------
    >>> x = np.array([[3, 4], [0, 2]], np.float16)
    >>> for rows, product, length in products(x, np.array([[1.0], [0.0]], np.float32)):
    ...     print(rows, product[:2, 0], length[:2])
    slice(0, 2, None) [3. 0.] [5. 2.]
    """
    n, d = embeddings.shape
    x = np.empty((ROWS, d), np.float32)
    exact = ExactMatrix.of(matrix)
    length = np.empty(ROWS, np.float32)
    for start in range(0, n, ROWS):
        rows = slice(start, min(n, start + ROWS))
        count = rows.stop - start
        x[count:] = 0
        squared = np.zeros(ROWS, np.float32)
        squared[:count] = _read_rows(embeddings[rows], x[:count])
        np.maximum(np.sqrt(squared), 1e-12, out=length)
        yield rows, exact.after(x), length


def _read_rows(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Copy rows into float32 `out`[m, d] and return their squared lengths, float32[m].

    float16 is converted by shifting bits, which takes a half to a sixth of the time of NumPy's conversion and is exact
    for finite numbers. If a squared length is large enough for the row to contain an infinity or NaN, NumPy converts
    the rows again.
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

    Of equal values the first row wins, as in argmax; a column of NaN gives the last row. Tiles are columns, because the
    largest value of each is then found by comparing whole vectors, in a third of the time of an argmax along short rows.

    Parameters
    ----------
    similarity
        float32[k, m], C-contiguous. It is modified: values that were chosen are overwritten with minus infinity.
    places
        Number of rows to find for each column.

    Returns
    -------
    (int[places, m], float32[places, m])

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
