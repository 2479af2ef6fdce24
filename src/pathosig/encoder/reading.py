"""Reads the tiles of a specimen from its slide, at the positions in its table of tiles."""

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
    """The positions of a specimen's tiles, and how they are read.

    Attributes
    ----------
    xy
        int32[n, 2]: (x, y) of the top-left corners in level-0 pixels.
    size_px, mpp
        Side in pixels, and micrometres per pixel, of the tiles as they are read.
    spec
        The TileSpec that the tiles were cut with.
    plan
        The ReadPlan of the tiles.
    """

    xy: np.ndarray
    size_px: int
    mpp: float
    spec: Mapping[str, object]
    plan: Mapping[str, Any] | None = None


def read_tile_table(path: Path) -> TileTable:
    """Read the corners and the geometry of tiles from tiles/<id>.parquet.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    TileTable

    Raises
    ------
    InputError
        If the file is damaged or does not state the geometry (E_TILES).
    """
    tiles = read_slide_tiles(path)
    size_px, mpp = tiles.facts.size_px, tiles.facts.mpp
    if size_px is None or mpp is None:
        message = f"tiles/{path.name}: size_px or mpp is missing in its metadata. Run `pathosig tiles` again."
        raise InputError(message, code="E_TILES")
    return TileTable(xy=tiles.xy, size_px=size_px, mpp=mpp, spec=tiles.facts.spec, plan=tiles.facts.plan)


def specimen_facts(specimen: Any) -> dict[str, object]:
    """What a worker needs to open the slide of a specimen."""
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
    """Open a slide and read tiles from it in blocks of uint8[n, h, w, 3].

    Parameters
    ----------
    facts
        From `specimen_facts`.
    table
        The tiles of the specimen.
    rows
        int[m]: rows of the table to read, in this order; all by default.
    block
        Number of tiles in a block.
    lost
        A list to which the positions of tiles that cannot be decoded are added; these tiles are white. Without it they are
        left out.
    places
        A list to which the position of each tile is added. If it is given, tiles come in the order that is fastest to read.

    Yields
    ------
    Iterator of blocks

    Raises
    ------
    SlideError
        If the slide cannot be opened.
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
