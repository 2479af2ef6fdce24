"""Packed tiles: uint8 in a few memory-mapped files, written once, read at memory speed.

A store is a folder: ``tiles-000.npy`` .. with (n, h, w, 3) each, and ``store.json`` with the
order of slides. The JSON is written last; without it there is no store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from pathosig.core.errors import InputError
from pathosig.core.records import atomic_path, read_json, write_json

SHARD_TILES = 1024  # 154 MB of 224 px tiles: what writing holds in memory


@dataclass(frozen=True, kw_only=True, slots=True)
class TileStore:
    """Tiles of many slides by row number.

    Attributes
    ----------
    shards
        Memory maps (n, h, w, 3), uint8; all but the last hold `shard_tiles` tiles.
    slide
        (n,) int32: index into `slides` of every row.
    slides
        Slide ids in order.
    """

    shards: tuple[np.ndarray, ...]
    shard_tiles: int
    slide: np.ndarray
    slides: tuple[str, ...]

    def __len__(self) -> int:
        """Tiles in all."""
        return len(self.slide)

    @property
    def size_px(self) -> int:
        """Side of a tile."""
        return int(self.shards[0].shape[1])

    def rows(self, index: Sequence[int] | np.ndarray) -> np.ndarray:
        """Tiles of the given rows, in that order: uint8 (len(index), h, w, 3)."""
        index = np.asarray(index, np.int64)
        out = np.empty((len(index), *self.shards[0].shape[1:]), np.uint8)
        for at in np.argsort(index, kind="stable"):  # in order of the file: what is read ahead is used
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
    tiles
        (slide id, its blocks of uint8 (n, h, w, 3)) in order; all tiles of one size.
    key
        Fingerprint of what is stored; see `open_store`.

    Raises
    ------
    InputError
        If there are no tiles, or tiles of different sizes.
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
                    f"slide {slide}: tiles of {block.shape[1:3]} px beside {held[0].shape[1:3]} px. "
                    "Cut all tiles anew."
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
        message = "no tiles to train on: the discovery slides have none. See `pathosig status`."
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
    """Write the first n held tiles as one shard; what is left over is held on."""
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
    """The store in `folder` if it is whole and was written under `key`, else None."""
    try:
        card = read_json(folder / "store.json")
        return _open(folder, card) if card.get("key") == key else None
    except (InputError, OSError, ValueError, KeyError):
        return None


class _StoreCard(TypedDict):
    """What store.json says of the packed tiles."""

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
        message = "the packed tiles do not match their list"
        raise ValueError(message)
    return TileStore(
        shards=shards, shard_tiles=int(card["shard_tiles"]), slide=slide, slides=tuple(card["slides"])
    )
