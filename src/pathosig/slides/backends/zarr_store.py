"""A store of Zarr chunks that refuses any chunk that would decode to more bytes than declared."""

from __future__ import annotations

import bz2
import stat
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from zarr.storage import LocalStore

from pathosig.slides.backends.zarr_codecs import ShardIndex

_SLACK, _MAX_METADATA = 1 << 16, 20_000_000
_MOST_DEFLATED = 1_032
"""Most bytes that one byte of deflate data can decode to."""

_NEVER = np.uint64(2**64 - 1)
"""Offset and size of a chunk that was never written, in the index of a shard."""


class BoundedStore(LocalStore):  # type: ignore[misc]  # zarr is optional and untyped
    """Reads the files of a level. Each must be a regular file whose chunks decode to no more than `chunk_bytes`.

    Parameters
    ----------
    folder
        The folder of the level.
    compressor
        Name of the compressor that is applied last when a chunk is written; empty if there is none.
    chunk_bytes
        Size of a decoded chunk in bytes.
    shard_chunks
        Number of chunks in a file; 0 if each file is one chunk.
    index
        How the index of a shard is stored.
    """

    def __init__(
        self,
        folder: Path,
        *,
        compressor: str,
        chunk_bytes: int,
        shard_chunks: int = 0,
        index: ShardIndex | None = None,
    ) -> None:
        super().__init__(folder, read_only=True)
        self._compressor, self._chunk_bytes, self._shard_chunks = compressor, chunk_bytes, shard_chunks
        self._at_start = index is not None and index.at_start
        self._index_bytes = 16 * shard_chunks + (4 if index is None or index.has_checksum else 0)
        self._indexes: dict[str, np.ndarray] = {}

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """The bytes of a file or a part of them; None if the file does not exist.

        Raises
        ------
        ValueError
            If the file is not a regular file, or a chunk in it is larger than declared.
        """
        try:
            status = (self.root / key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{key} is not a regular file")
        metadata = key.endswith((".json", ".zarray", ".zattrs", ".zgroup"))
        most = _MAX_METADATA if metadata else max(1, self._shard_chunks) * (2 * self._chunk_bytes + _SLACK)
        if status.st_size > most:
            raise ValueError(f"{key} has {status.st_size} bytes, more than its contents can need")
        data = await super().get(key, prototype, byte_range)
        if data is None or metadata:
            return data
        stored = data.to_bytes()
        if not self._shard_chunks:
            self._check(stored)
        elif byte_range is None:
            index = _index(self._index_of(stored))
            self._check_places(index, index, len(stored), key)
            for at, n in index.tolist():
                if at + n <= len(stored):
                    self._check(stored[at : at + n])
        elif hasattr(byte_range, "start") and not self._asks_for_index(byte_range):
            # A chunk; zarr has requested the index of its shard before.
            place = np.array([[byte_range.start, byte_range.end - byte_range.start]])
            self._check_places(place, self._indexes.get(key, place), status.st_size, key)
            self._check(stored)
        else:
            index = _index(stored[: 16 * self._shard_chunks])
            if self._at_start and np.any(np.all(index == (0, self._index_bytes), axis=1)):
                raise ValueError(f"a chunk lies in the index of its shard {key}")
            self._indexes = {key: index}
        return data

    def _asks_for_index(self, byte_range: Any) -> bool:
        """Whether a range of bytes is the index at the start of a shard; that at the end is requested by its distance from the end."""
        return self._at_start and (byte_range.start, byte_range.end) == (0, self._index_bytes)

    def _index_of(self, shard: bytes) -> bytes:
        """The index of a whole shard, without its checksum."""
        at = 0 if self._at_start else max(0, len(shard) - self._index_bytes)
        return shard[at : at + 16 * self._shard_chunks]

    def _check_places(self, places: np.ndarray, index: np.ndarray, size: int, key: str) -> None:
        """Refuse chunks that lie outside the bytes of their shard, which zarr reads as missing, or in those of other chunks."""
        first = self._index_bytes if self._at_start else 0
        last = size if self._at_start else size - self._index_bytes
        index = index[(index[:, 0] >= first) & (index.sum(axis=1) <= last)]
        ends = places[:, 0] + places[:, 1]
        if np.any((places[:, 0] < first) | (places[:, 1] <= 0) | (ends > last)):
            raise ValueError(f"a chunk lies outside the bytes of its shard {key}")
        shared = (index[:, 0] < ends[:, None]) & (index.sum(axis=1) > places[:, :1])
        if np.any(shared.sum(axis=1) > 1):
            raise ValueError(f"chunks of the shard {key} lie in one another's bytes")

    def _check(self, stored: bytes) -> None:
        if _decoded_size(stored, self._compressor, self._chunk_bytes) > self._chunk_bytes:
            raise ValueError(f"a chunk decodes to more than {self._chunk_bytes} bytes")


def _index(stored: bytes) -> np.ndarray:
    """Offsets and sizes of the chunks of a shard, int64[n, 2], without those that were never written."""
    index = np.frombuffer(stored[: len(stored) // 16 * 16], "<u8").reshape(-1, 2)
    index = index[~np.all(index == _NEVER, axis=1)]
    return np.minimum(index, np.uint64(1 << 48)).astype(np.int64)


def _decoded_size(stored: bytes, compressor: str, most: int) -> int:
    """The number of bytes that a compressed chunk declares or decodes to, well enough to compare it with `most`.

    A number above `most` may be given as `most` + 1, and 0 stands for data that cannot exceed `most` or are damaged.

    Parameters
    ----------
    stored
        The compressed bytes.
    compressor
        Zarr's name of the compressor; empty for uncompressed bytes.
    most
        The limit in bytes.
    """
    name = compressor.rpartition(".")[2]
    if name == "blosc":
        return struct.unpack_from("<I", stored, 4)[0] if len(stored) >= 16 else 0
    if name == "lz4":
        return struct.unpack_from("<I", stored)[0] if len(stored) >= 4 else 0
    if name == "zstd":
        size = _zstd_size(stored)
        return size if size is not None else len(imagecodecs.zstd_decode(stored, out=most))
    if name in ("zlib", "gzip"):
        if len(stored) * _MOST_DEFLATED <= most:
            return 0
        return len(zlib.decompressobj(47).decompress(stored, most + 1))
    if name == "bz2":
        return len(bz2.BZ2Decompressor().decompress(stored, most + 1))
    return len(stored)


def _zstd_size(stored: bytes) -> int | None:
    """The decoded size that the header of a zstd frame declares, or None if it declares none.

    References
    ----------
    RFC 8878, section 3.1.1.1.
    """
    if stored[:4] != b"\x28\xb5\x2f\xfd" or len(stored) < 6:
        return 0  # damaged: the decoder will raise an error
    flags = stored[4]
    single = bool(flags & 0x20)
    width = (1 if single else 0, 2, 4, 8)[flags >> 6]
    if not width:
        return None
    at = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
    return int.from_bytes(stored[at : at + width], "little") + (256 if width == 2 else 0)
