"""Reads tile tables: the places of a specimen's tiles, and how they were cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pathosig.core.errors import InputError
from pathosig.core.records import parquet_metadata
from pathosig.core.schema import TILES, read_table

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class TileFacts:
    """How the tiles of one table were cut, from its metadata; features made elsewhere may not state all of it.

    Attributes
    ----------
    size_px
        Side of a tile in pixels as it is read for the encoder.
    mpp
        Micrometres per pixel of a tile as it is read for the encoder.
    level0_px
        Side of a tile in level-0 pixels of the slide.
    slide_mpp
        Micrometres per level-0 pixel of the slide.
    spec
        The TileSpec that they were cut with.
    plan
        The ReadPlan that they are read with.
    """

    size_px: int | None = None
    mpp: float | None = None
    level0_px: float | None = None
    slide_mpp: float | None = None
    spec: Mapping[str, object] = field(default_factory=dict)
    plan: Mapping[str, object] | None = None

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Self:
        """The facts in the metadata that the stages `tiles` and `embed --features` and the simulator write."""
        spec = metadata.get("spec") or {}
        size = spec.get("size_px") or metadata.get("size_px")
        return cls(
            size_px=int(size) if size else None,
            mpp=_number(metadata.get("mpp") or spec.get("mpp")),
            level0_px=_number(metadata.get("tile_level0_px")),
            slide_mpp=_number(metadata.get("slide_mpp")),
            spec=spec,
            plan=metadata.get("read_plan"),
        )


def _number(value: Any) -> float | None:
    return float(value) if value else None


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideTiles:
    """The tile table of one specimen.

    Attributes
    ----------
    name
        File name, for messages.
    table
        tile_id, x, y (top-left corners in level-0 pixels), tissue and quality columns.
    facts
        How the tiles were cut.
    """

    name: str
    table: pa.Table
    facts: TileFacts

    def __len__(self) -> int:
        """Number of tiles."""
        return int(self.table.num_rows)

    def column(self, name: str) -> NDArray[Any]:
        """One column as an array [n]."""
        return self.table.column(name).to_numpy()

    @property
    def xy(self) -> NDArray[np.int32]:
        """Top-left corners in level-0 pixels: int32[n, 2]."""
        import numpy as np

        return np.stack([self.column(axis) for axis in "xy"], axis=1).astype(np.int32)

    @property
    def side(self) -> float:
        """Side of a tile in level-0 pixels; if the table does not state it, the step of the grid of tiles.

        Raises
        ------
        InputError
            E_TILES if the size is unknown and there are too few tiles for a grid.
        """
        import numpy as np

        if self.facts.level0_px is not None:
            return self.facts.level0_px
        steps = [np.diff(np.unique(self.column(axis))) for axis in "xy"]
        step = np.concatenate(steps)
        if not len(step):
            message = f"tiles/{self.name}: the size of its tiles is unknown, and they form no grid. Import them again with --mpp."
            raise InputError(message, code="E_TILES")
        return float(step.min())


def read_slide_tiles(path: Path) -> SlideTiles:
    """The tile table at `path`.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    table = read_table(path, TILES)
    facts = TileFacts.from_metadata(parquet_metadata(path).get("pathosig", {}))
    return SlideTiles(name=path.name, table=table, facts=facts)
