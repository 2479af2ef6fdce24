"""Schemas of the tables that stages exchange, checked at every read and write.

They are built on Arrow, so that stages on pixels need no pandas.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pathosig.core.errors import InputError
from pathosig.core.records import read_parquet, write_parquet
from pathosig.core.words import counted

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One declared column.

    Attributes
    ----------
    name
        Its name, or a regular expression for a family such as ``hpc_00``, ``hpc_01`` ...
    type
        Its Arrow type.
    required
        Whether a table must have it.
    minimum, maximum
        Range of its values, ends included.
    unique
        Whether its values must all differ.
    """

    name: str
    type: str
    required: bool = True
    minimum: float | None = None
    maximum: float | None = None
    unique: bool = False

    def matches(self, name: str) -> bool:
        """Whether this declaration covers the column `name`."""
        return re.fullmatch(self.name, name) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """The declared columns of a table; other columns are allowed only if it is `open_ended`."""

    name: str
    columns: tuple[Column, ...]
    open_ended: bool = False

    def check(self, table: pa.Table, *, where: str = "") -> pa.Table:
        """Return the table if it has the declared columns.

        Parameters
        ----------
        table
            The table.
        where
            Its name in messages.

        Raises
        ------
        InputError
            If it does not; the message names the table, the column, what was found and what was expected.
        """
        label = where or self.name
        for column in self.columns:
            names = [n for n in table.column_names if column.matches(n)]
            if not names and column.required:
                raise InputError(f"{label}: column {column.name} is missing; found {table.column_names}.")
            for name in names:
                _check_column(table, name, column, label)
        unknown = [n for n in table.column_names if not any(c.matches(n) for c in self.columns)]
        if unknown and not self.open_ended:
            raise InputError(f"{label}: unexpected columns {unknown}.")
        return table


def _check_column(table: pa.Table, name: str, column: Column, label: str) -> None:
    import pyarrow as pa

    values = table.column(name)
    expected = pa.type_for_alias(column.type)
    text = pa.types.is_string(expected) and pa.types.is_large_string(values.type)
    if values.type != expected and not text:
        raise InputError(f"{label}: column {name} is {values.type}; expected {column.type}.")
    if values.null_count:
        raise InputError(f"{label}: column {name} has {counted(values.null_count, 'empty value')}.")
    if len(values) and (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        _check_numbers(_as_array(values), name, column, label)
    elif len(values) and column.unique:
        import pyarrow.compute as pc  # takes 50 ms to import, and numbers do not need it

        if pc.count_distinct(values).as_py() != len(values):
            raise InputError(f"{label}: column {name} has repeated values.")


def _as_array(values: pa.ChunkedArray) -> np.ndarray:
    """A numeric column without nulls as a NumPy array; Arrow's own conversion would import pandas."""
    import numpy as np

    kind = np.dtype(values.type.to_pandas_dtype())
    parts = [
        np.frombuffer(chunk.buffers()[1], kind, count=len(chunk), offset=chunk.offset * kind.itemsize)
        for chunk in values.chunks
        if len(chunk)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _check_numbers(values: np.ndarray, name: str, column: Column, label: str) -> None:
    import numpy as np

    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(f"{label}: column {name} has values that are not finite.")
    if column.minimum is not None or column.maximum is not None:
        least, most = values.min().item(), values.max().item()
        low = column.minimum if column.minimum is not None else least
        high = column.maximum if column.maximum is not None else most
        if least < low or most > high:
            raise InputError(f"{label}: column {name} spans {least} to {most}; expected {low} to {high}.")
    if column.unique:
        ordered = np.sort(values)  # np.unique would import numpy.ma
        if np.any(ordered[1:] == ordered[:-1]):
            raise InputError(f"{label}: column {name} has repeated values.")


def write_table(
    path: Path, table: pa.Table, schema: Schema, metadata: Mapping[str, object] | None = None
) -> None:
    """Check a table against its schema and write it as Parquet (see `write_parquet`)."""
    write_parquet(path, schema.check(table, where=path.name), metadata)


def read_table(path: Path, schema: Schema) -> pa.Table:
    """Read a Parquet file and check it against its schema."""
    return schema.check(read_parquet(path), where=path.name)


_SHARE = {"type": "double", "minimum": -1e-9, "maximum": 1 + 1e-9}

TILES = Schema(
    name="tiles",
    columns=(
        Column(name="tile_id", type="int32", minimum=0, unique=True),
        Column(name="x", type="int32"),
        Column(name="y", type="int32"),
        Column(name="tissue", type="float", minimum=0, maximum=1.0001),
        Column(name="blur|pen|fold|background|saturation", type="float", required=False),
    ),
)
ASSIGNMENTS = Schema(
    name="phenotypes",
    columns=(
        Column(name="tile_id", type="int32", minimum=0, unique=True),
        Column(name="hpc", type="int16", minimum=0),
        Column(name="hpc_[23]", type="int16", minimum=-1),
        Column(name="confidence(_[23])?", type="float", minimum=0, maximum=1.0001),
        Column(name="distance", type="float"),
        Column(name="coarse", type="int16", required=False, minimum=-1),
        Column(name="residual|mahalanobis", type="float", required=False, minimum=0),
    ),
)
ATLAS = Schema(
    name="atlas",
    columns=(
        Column(name="hpc", type="int16", minimum=0),
        Column(name="rank", type="int16", minimum=0),
        Column(name="kind|slide_id", type="string"),
        Column(name="tile_id|x|y", type="int32"),
        Column(name="distance", type="float"),
        Column(name="coarse", type="int16", minimum=-1, required=False),
    ),
)
TILE_MAP = Schema(
    name="tile map",
    columns=(
        Column(name="x|y", type="float"),
        Column(name="hpc", type="int16", minimum=0),
        Column(name="coarse", type="int16", minimum=-1, required=False),
        Column(name="slide_id", type="string"),
    ),
)
SLIDE_PROFILES = Schema(
    name="slide profiles",
    columns=(
        Column(name="slide_id", type="string", unique=True),
        Column(name="patient_id", type="string"),
        Column(name="n_tiles", type="int32", minimum=0),
        Column(name=r"hpc_\d+", required=False, **_SHARE),  # type: ignore[arg-type]
    ),
    open_ended=True,
)
PATIENT_PROFILES = Schema(
    name="patient profiles",
    columns=(
        Column(name="patient_id", type="string", unique=True),
        Column(name="n_slides", type="int32", minimum=0),
        Column(name="n_tiles", type="int32", minimum=0),
        Column(name=r"hpc_\d+", required=False, **_SHARE),  # type: ignore[arg-type]
    ),
    open_ended=True,
)
