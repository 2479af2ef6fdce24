"""What the list of codecs in the metadata of a Zarr array says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


def codec_names(entries: Sequence[Any]) -> Iterator[str]:
    """Names of all codecs, including those inside shards.

    Parameters
    ----------
    entries
        The codecs as JSON has them; an entry may have a name of both versions of Zarr.

    Yields
    ------
    Names, in the order of the list.

    Examples
    --------
    >>> list(codec_names([{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "zstd"}]}}]))
    ['sharding_indexed', 'zstd']
    """
    for entry in entries:
        if entry is None:
            continue
        yield from (str(entry[key]) for key in ("id", "name") if key in entry)
        inner = entry.get("configuration") or {}
        yield from codec_names([*inner.get("codecs", ()), *inner.get("index_codecs", ())])


def chunks_of_shards(entries: Sequence[Any]) -> Iterator[tuple[int, ...]]:
    """Shapes of the chunks inside shards, of shards within shards too.

    Parameters
    ----------
    entries
        The codecs as JSON has them.

    Yields
    ------
    One shape for each level of sharding, the outermost first.

    Examples
    --------
    >>> list(chunks_of_shards([{"name": "sharding_indexed", "configuration": {"chunk_shape": [3, 64, 64]}}]))
    [(3, 64, 64)]
    """
    for entry in entries:
        inner = entry.get("configuration") or {}
        if entry.get("name") == "sharding_indexed":
            yield tuple(int(v) for v in inner["chunk_shape"])
            yield from chunks_of_shards(inner.get("codecs", ()))


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardIndex:
    """How the index of a shard is stored: at its start or its end, with a checksum or without."""

    at_start: bool
    has_checksum: bool


def index_of_shards(entries: Sequence[Any]) -> ShardIndex | None:
    """How the index of shards is stored; None if there are no shards.

    Parameters
    ----------
    entries
        The codecs as JSON has them.

    Returns
    -------
    ShardIndex or None

    Raises
    ------
    ValueError
        If the index is not a list of little-endian numbers, which may be followed by a checksum.

    Examples
    --------
    >>> codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    >>> index_of_shards([{"name": "sharding_indexed", "configuration": {"index_codecs": codecs}}])
    ShardIndex(at_start=False, has_checksum=True)
    """
    shards = [e.get("configuration") or {} for e in entries if e.get("name") == "sharding_indexed"]
    if not shards:
        return None
    codecs = list(shards[0].get("index_codecs") or ())
    names = [codec.get("name") for codec in codecs]
    location = shards[0].get("index_location", "end")
    if names not in (["bytes"], ["bytes", "crc32c"]) or location not in ("start", "end"):
        raise ValueError(f"an index of shards with the codecs {names} at the {location}")
    if (codecs[0].get("configuration") or {}).get("endian", "little") != "little":
        raise ValueError("an index of shards that is big-endian")
    return ShardIndex(at_start=location == "start", has_checksum=len(names) == 2)
