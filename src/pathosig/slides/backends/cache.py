"""Decoded pieces of a slide, kept while they may be needed again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np

_LEAST, _MOST = 64_000_000, 256_000_000
_TOGETHER = 4
"""Pieces that meet in a corner: a tile there needs all of them."""


def bytes_kept(width: int, height: int) -> int:
    """How many bytes of decoded RGB pieces a reader keeps: four pieces, at least 64 MB and at most 256 MB.

    Parameters
    ----------
    width, height
        Size of a piece in pixels.

    Examples
    --------
    >>> bytes_kept(256, 256) // 2**20, bytes_kept(4096, 4096) // 2**20, bytes_kept(20_000, 20_000) // 2**20
    (61, 192, 244)
    """
    return min(max(_LEAST, _TOGETHER * width * height * 3), _MOST)


class PieceCache:
    """Pieces by a key; those not asked for the longest go first.

    Parameters
    ----------
    limit
        Bytes kept; one piece is kept however large.
    """

    def __init__(self, limit: int = _LEAST) -> None:
        self.limit = limit
        self._pieces: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, decode: Callable[[], np.ndarray]) -> np.ndarray:
        """The piece of this key, decoded where it is not kept; what `decode` raises is raised."""
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
        """Drop all."""
        self._pieces.clear()
        self._bytes = 0
