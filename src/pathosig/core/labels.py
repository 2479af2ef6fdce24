"""Names that pathologists give to HPCs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathosig.core.errors import InputError
from pathosig.core.layout import Layout
from pathosig.core.tables import read_csv_rows

if TYPE_CHECKING:
    from pathosig.core.study import Study


def read_hpc_names(study: Study) -> dict[int, str]:
    """Names of HPCs: the table [hpc_names] of study.toml, then hpc_names.csv, which wins.

    The file has the columns hpc (7, 07 or hpc_07) and name; an empty name means none. Names are for
    the screen only: no result depends on them.

    Raises
    ------
    InputError
        If the file lacks a column, or an hpc is no number.
    """
    given: dict[str, str] = dict(study.config.get("hpc_names") or {})
    path = study.paths.hpc_names
    if path.is_file():
        rows = read_csv_rows(path)
        for column in ("hpc", "name") if rows else ():
            if column not in rows[0]:
                raise InputError(f"{Layout.hpc_names}: column {column} is missing; found {list(rows[0])}.")
        given |= {r["hpc"]: r["name"] for r in rows}
    out = {}
    for hpc, name in given.items():
        digits = str(hpc).lower().removeprefix("hpc").lstrip(" _")
        if not digits.isdigit():
            raise InputError(f"{Layout.hpc_names}: hpc {hpc!r}; expected a number such as 7 or hpc_07.")
        if str(name).strip():
            out[int(digits)] = str(name).strip()
    return out
