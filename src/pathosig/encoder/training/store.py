"""Packed tiles: uint8 in a few memory-mapped files, which are written once and read in every epoch.

A store is a folder with ``tiles-000.npy`` and so on, (n, h, w, 3) each, and ``store.json`` with the
order of slides. The JSON file is written last; without it the store is incomplete.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from pathosig.core.errors import InputError
from pathosig.core.records import atomic_path, read_json, write_json

SHARD_TILES = 1024  # 154 MB of tiles of 224 pixels, which are in memory while they are written


@dataclass(frozen=True, kw_only=True, slots=True)
class TileStore:
    """Tiles of many slides, accessible by row number.

    Attributes
    ----------
    shards
        Memory maps, uint8[n, h, w, 3]; all except the last have `shard_tiles` tiles.
    shard_tiles
        Number of tiles in a full shard.
    slide
        int32[n]: index into `slides` for every row.
    slides
        Ids of the slides, in order.
    """

    shards: tuple[np.ndarray, ...]
    shard_tiles: int
    slide: np.ndarray
    slides: tuple[str, ...]

    def __len__(self) -> int:
        """Number of tiles in all slides."""
        return len(self.slide)

    @property
    def size_px(self) -> int:
        """Side of a tile in pixels."""
        return int(self.shards[0].shape[1])

    def rows(self, index: Sequence[int] | np.ndarray) -> np.ndarray:
        """Tiles of the given rows, in that order: uint8[len(index), h, w, 3]."""
        index = np.asarray(index, np.int64)
        out = np.empty((len(index), *self.shards[0].shape[1:]), np.uint8)
        for at in np.argsort(index, kind="stable"):  # in the order of the file, so that read-ahead helps
            shard, row = divmod(int(index[at]), self.shard_tiles)
            out[at] = self.shards[shard][row]
        return out


def write_store(
    folder: Path,
    tiles: Iterable[tuple[str, Iterable[np.ndarray]]],
    *,
    key: str,
    shard_tiles: int = SHARD_TILES,
) -> TileStore:
    """Write the tiles of all slides.

    Parameters
    ----------
    folder
        Folder of the store.
    tiles
        (slide id, blocks of its tiles, uint8[n, h, w, 3]) in order; all tiles have the same size.
    key
        Fingerprint of the content; see `open_store`.
    shard_tiles
        Number of tiles in a file.

    Returns
    -------
    TileStore

    Raises
    ------
    InputError
        If there are no tiles (E_NO_TILES), or tiles of different sizes.
    """
    (folder / "store.json").unlink(missing_ok=True)
    counts: list[int] = []
    slides: list[str] = []
    held: list[np.ndarray] = []
    waiting = written = 0
    for slide, blocks in tiles:
        slides.append(slide)
        counts.append(0)
        for block in blocks:
            if held and block.shape[1:] != held[0].shape[1:]:
                message = (
                    f"slide {slide}: its tiles have {block.shape[1:3]} pixels, those of other slides {held[0].shape[1:3]}. "
                    "Run `pathosig tiles` on all slides again."
                )
                raise InputError(message)
            counts[-1] += len(block)
            for start in range(0, len(block), shard_tiles):
                held.append(block[start : start + shard_tiles])
                waiting += len(held[-1])
                while waiting >= shard_tiles:
                    held, waiting = _flush(folder, written, held, shard_tiles)
                    written += 1
    if waiting:
        _flush(folder, written, held, waiting)
        written += 1
    if not written:
        message = "training: no tiles, because the discovery slides have none. See `pathosig status`."
        raise InputError(message, code="E_NO_TILES")
    card: _StoreCard = {
        "key": key,
        "slides": slides,
        "counts": counts,
        "shards": written,
        "shard_tiles": shard_tiles,
    }
    write_json(folder / "store.json", card)
    return _open(folder, card)


def _flush(folder: Path, number: int, held: list[np.ndarray], n: int) -> tuple[list[np.ndarray], int]:
    """Write the first n of the tiles in `held` as one shard, and return the remaining blocks and their number of tiles."""
    with atomic_path(folder / f"tiles-{number:03d}.npy") as temporary:
        shape = (n, *held[0].shape[1:])
        out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        at = 0
        rest: list[np.ndarray] = []
        for block in held:
            take = min(n - at, len(block))
            out[at : at + take] = block[:take]
            at += take
            if take < len(block):
                rest.append(block[take:].copy())
        out.flush()
        del out
    return rest, sum(len(b) for b in rest)


def open_store(folder: Path, *, key: str) -> TileStore | None:
    """The store in `folder` if it is complete and was written with this `key`, otherwise None."""
    try:
        card = read_json(folder / "store.json")
        return _open(folder, card) if card.get("key") == key else None
    except (InputError, OSError, ValueError, KeyError):
        return None


class _StoreCard(TypedDict):
    """The content of store.json."""

    key: str
    shards: int
    shard_tiles: int
    counts: list[int]
    slides: list[str]


def _open(folder: Path, card: _StoreCard) -> TileStore:
    shards = tuple(
        np.load(folder / f"tiles-{i:03d}.npy", mmap_mode="r", allow_pickle=False)
        for i in range(int(card["shards"]))
    )
    slide = np.repeat(np.arange(len(card["counts"]), dtype=np.int32), card["counts"])
    if sum(len(s) for s in shards) != len(slide):
        message = "the number of packed tiles differs from that in store.json"
        raise ValueError(message)
    return TileStore(
        shards=shards, shard_tiles=int(card["shard_tiles"]), slide=slide, slides=tuple(card["slides"])
    )
