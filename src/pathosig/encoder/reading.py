"""The tiles of one specimen, read again from its slide as the tile table says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pathosig.core.errors import InputError
from pathosig.core.tile_tables import read_slide_tiles
from pathosig.slides import ReadPlan, open_slide, plan_read, read_tiles, reading_order


@dataclass(frozen=True, kw_only=True, slots=True)
class TileTable:
    """Where the tiles of a specimen lie.

    Attributes
    ----------
    xy
        (n, 2) int32, top-left corners in level-0 pixels.
    size_px, mpp
        Side in pixels and micrometres per pixel of the tiles as they are read.
    spec
        The TileSpec they were cut with.
    plan
        The ReadPlan they were read with.
    """

    xy: np.ndarray
    size_px: int
    mpp: float
    spec: Mapping[str, object]
    plan: Mapping[str, Any] | None = None


def read_tile_table(path: Path) -> TileTable:
    """Corners and geometry from tiles/<id>.parquet.

    Raises
    ------
    InputError
        If the file is damaged or lacks its geometry.
    """
    tiles = read_slide_tiles(path)
    size_px, mpp = tiles.facts.size_px, tiles.facts.mpp
    if size_px is None or mpp is None:
        message = f"tiles/{path.name}: its metadata lack size_px or mpp. Run `pathosig tiles` again."
        raise InputError(message, code="E_TILES")
    return TileTable(xy=tiles.xy, size_px=size_px, mpp=mpp, spec=tiles.facts.spec, plan=tiles.facts.plan)


def specimen_facts(specimen: Any) -> dict[str, object]:
    """What a worker needs to open a specimen's slide."""
    region = list(specimen.region) if specimen.region else None
    return {"path": str(specimen.path), "mpp": specimen.mpp, "region": region}


@contextlib.contextmanager
def opened_tiles(
    facts: Mapping[str, Any],
    table: TileTable,
    *,
    rows: np.ndarray | None = None,
    block: int = 64,
    lost: list[int] | None = None,
    places: list[int] | None = None,
) -> Iterator[Iterator[np.ndarray]]:
    """Blocks of uint8 tiles (n, h, w, 3) of a specimen, in the order of `rows` (all by default).

    Parameters
    ----------
    facts
        See `specimen_facts`.
    block
        Tiles read at a time: what waits in memory.
    lost
        Filled with the positions of tiles that cannot be decoded; they come as white. Without it
        such tiles are left out.
    places
        Filled with the position of each tile that will come: then they come in the order that is read fastest.
    """
    region = tuple(facts["region"]) if facts.get("region") else None
    with open_slide(
        Path(facts["path"]), mpp=facts.get("mpp"), region=region, icc=str(table.spec.get("icc", "off"))
    ) as reader:
        plan = ReadPlan(**table.plan) if table.plan else plan_read(reader.info, table.mpp)
        xy = table.xy if rows is None else table.xy[rows]
        order = np.arange(len(xy)) if places is None else reading_order(reader, plan, xy)
        if places is not None:
            places.extend(order.tolist())

        def blocks() -> Iterator[np.ndarray]:
            for tile_block in read_tiles(reader, plan, xy[order], table.size_px, threads=1, block=block):
                if lost is None:
                    yield tile_block.tiles[~tile_block.failed]
                else:
                    lost.extend(order[tile_block.index[tile_block.failed]].tolist())
                    yield tile_block.tiles

        yield blocks()
