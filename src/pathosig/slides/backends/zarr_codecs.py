"""What the list of codecs in the metadata of a Zarr array says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def codec_names(entries: Sequence[Any]) -> Iterator[str]:
    """Names of all codecs, including those inside shards.

    Parameters
    ----------
    entries
        The codecs as JSON has them; an entry may have a name of both versions of Zarr.

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


def has_usual_index(entries: Sequence[Any]) -> bool:
    """Whether the index of a shard is at its end, with a checksum, as writers put it by default.

    Parameters
    ----------
    entries
        The codecs as JSON has them.

    Examples
    --------
    >>> has_usual_index([{"name": "sharding_indexed", "configuration": {"index_codecs": [{"name": "crc32c"}]}}])
    True
    """
    inner = next((e.get("configuration") or {} for e in entries if e.get("name") == "sharding_indexed"), {})
    is_checked = any(codec.get("name") == "crc32c" for codec in inner.get("index_codecs", ()))
    return is_checked and inner.get("index_location", "end") == "end"
