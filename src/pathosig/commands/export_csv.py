"""Profiles, scores, the signature and tiles as plain tables, for R and spreadsheets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pathosig.commands.export_anndata import profile_tables
from pathosig.core.tables import read_csv_rows, write_csv_rows
from pathosig.signature.model import Signature

if TYPE_CHECKING:
    import numpy as np

    from pathosig.core.study import Study


def write_tables(study: Study, folder: Path) -> Iterator[Path]:
    """Write profiles of patients and slides, scores, and the signature with its baseline, for those that the study has."""
    for name, table in profile_tables(study):
        path = folder / f"profiles_{name}.csv"
        write_csv_rows(path, table.to_dict("records"), list(table.columns))
        yield path
    if study.paths.scores.is_file():
        rows = read_csv_rows(study.paths.scores)
        write_csv_rows(folder / "scores.csv", rows, list(rows[0]) if rows else ["patient_id"])
        yield folder / "scores.csv"
    if study.paths.signature.is_file():
        yield from _signature(Signature.load(study.paths.signature), folder)


def _signature(signature: Signature, folder: Path) -> Iterator[Path]:
    """Write one row per term of the score. `leaves` lists its HPCs, separated by blanks; it is empty for outside features."""
    leaves = signature.transform.leaves
    rows = [
        {
            "feature": name,
            "leaves": " ".join(str(h) for h in leaves.get(name, ())),
            "coef": coef,
            "center": center,
            "scale": signature.transform.scale,
            "cutoff": signature.cutoff,
            "sd": signature.sd,
            "endpoint": signature.endpoint,
        }
        for name, coef, center in zip(signature.hpcs, signature.coef, signature.center, strict=True)
    ]
    columns = ["feature", "leaves", "coef", "center", "scale", "cutoff", "sd", "endpoint"]
    write_csv_rows(folder / "signature.csv", rows, columns)
    yield folder / "signature.csv"
    steps = zip(signature.baseline.time, signature.baseline.survival, strict=True)
    write_csv_rows(
        folder / "baseline.csv", ({"time": t, "survival": s} for t, s in steps), ["time", "survival"]
    )
    yield folder / "baseline.csv"


def write_tiles(columns: Mapping[str, np.ndarray], path: Path) -> Path:
    """Write the tiles of one slide as a table."""
    values = [column.tolist() for column in columns.values()]
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True))
    write_csv_rows(path, rows, list(columns))
    return path
