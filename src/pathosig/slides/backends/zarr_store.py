"""A store of Zarr chunks that gives out none which would not fit into the chunk it is for once it is decoded."""

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

_SLACK, _MAX_METADATA = 1 << 16, 20_000_000
_MOST_DEFLATED = 1_032
"""Bytes that deflate makes of one at most."""


class BoundedStore(LocalStore):  # type: ignore[misc]  # zarr is optional and untyped
    """Reads a level's files; each must be a regular one, and what its compressor declares must fit.

    Parameters
    ----------
    folder
        The folder of the level.
    compressor
        Name of the one that is applied last, or nothing.
    chunk_bytes
        Size of a decoded chunk.
    shard_chunks
        How many chunks a file holds; 0 where each file is one.
    """

    def __init__(self, folder: Path, *, compressor: str, chunk_bytes: int, shard_chunks: int = 0) -> None:
        super().__init__(folder, read_only=True)
        self._compressor, self._chunk_bytes, self._shard_chunks = compressor, chunk_bytes, shard_chunks

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """The bytes of a file, or a part of them; None where there is none.

        Raises
        ------
        ValueError
            If the file is no regular one, or holds more than a chunk.
        """
        try:
            status = (self.root / key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{key} is no regular file")
        metadata = key.endswith((".json", ".zarray", ".zattrs", ".zgroup"))
        most = _MAX_METADATA if metadata else max(1, self._shard_chunks) * (2 * self._chunk_bytes + _SLACK)
        if status.st_size > most:
            raise ValueError(f"{key} has {status.st_size} bytes, more than its chunk")
        data = await super().get(key, prototype, byte_range)
        if data is None or metadata:
            return data
        stored = data.to_bytes()
        if not self._shard_chunks:
            self._check(stored)
        elif byte_range is None:
            for piece in _parts(stored, self._shard_chunks):
                self._check(piece)
        elif hasattr(byte_range, "start") and hasattr(
            byte_range, "end"
        ):  # the index is asked for by its distance from the end
            self._check(stored)
        return data

    def _check(self, stored: bytes) -> None:
        if _decoded_size(stored, self._compressor, self._chunk_bytes) > self._chunk_bytes:
            raise ValueError(f"a chunk that holds more than {self._chunk_bytes} bytes")


def _parts(shard: bytes, count: int) -> list[bytes]:
    """The chunks of a shard, by the index at its end."""
    index = np.frombuffer(shard[-16 * count - 4 : -4], "<u8").reshape(-1, 2)
    return [shard[int(at) : int(at) + int(n)] for at, n in index if int(at) + int(n) <= len(shard)]


def _decoded_size(stored: bytes, compressor: str, most: int) -> int:
    """How many bytes a compressed chunk decodes to, as far as that matters: more than `most` may be reported as `most` + 1.

    Parameters
    ----------
    stored
        The compressed bytes.
    compressor
        As Zarr names it; nothing for bytes as they are.
    most
        Bytes up to which the number is exact.
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
    """What the head of a zstd frame declares, or None where it does not.

    References
    ----------
    RFC 8878, section 3.1.1.1.
    """
    if stored[:4] != b"\x28\xb5\x2f\xfd" or len(stored) < 6:
        return 0  # damaged: the decoder will say so
    flags = stored[4]
    single = bool(flags & 0x20)
    width = (1 if single else 0, 2, 4, 8)[flags >> 6]
    if not width:
        return None
    at = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
    return int.from_bytes(stored[at : at + width], "little") + (256 if width == 2 else 0)
