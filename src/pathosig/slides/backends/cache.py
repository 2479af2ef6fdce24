"""A cache of decoded pieces of a slide."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np

_LEAST, _MOST = 64_000_000, 256_000_000
_TOGETHER = 4
"""Number of pieces that meet in a corner, all of which a tile there needs."""


def bytes_kept(width: int, height: int) -> int:
    """Number of bytes of decoded RGB pieces that a reader keeps: four pieces, but at least 64 MB and at most 256 MB.

    Parameters
    ----------
    width, height
        Size of a piece in pixels.

    Returns
    -------
    Bytes.

    Examples
    --------
    >>> bytes_kept(256, 256) // 2**20, bytes_kept(4096, 4096) // 2**20, bytes_kept(20_000, 20_000) // 2**20
    (61, 192, 244)
    """
    return min(max(_LEAST, _TOGETHER * width * height * 3), _MOST)


class PieceCache:
    """Decoded pieces by a key; the least recently used are dropped first.

    Parameters
    ----------
    limit
        Largest total size in bytes; one piece is always kept, even if it is larger.
    """

    def __init__(self, limit: int = _LEAST) -> None:
        self.limit = limit
        self._pieces: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, decode: Callable[[], np.ndarray]) -> np.ndarray:
        """The piece with this key, which is decoded by `decode` if it is not in the cache."""
        kept = self._pieces.get(key)
        if kept is not None:
            self._pieces.move_to_end(key)
            return kept
        pixels = decode()
        self._pieces[key] = pixels
        self._bytes += pixels.nbytes
        while self._bytes > self.limit and len(self._pieces) > 1:
            self._bytes -= self._pieces.popitem(last=False)[1].nbytes
        return pixels

    def clear(self) -> None:
        """Drop all pieces."""
        self._pieces.clear()
        self._bytes = 0
