"""Corrections of a core by hand: where it lies and whether it is there, written to cores.csv."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pathosig.core.errors import InputError
from pathosig.core.tables import read_csv_rows, write_csv_rows

if TYPE_CHECKING:
    from pathosig.core.study import Study

CoreStatus = Literal["ok", "poor", "missing"]
STATUSES: tuple[CoreStatus, ...] = ("ok", "poor", "missing")
_writing = threading.Lock()


def correct_core(
    study: Study,
    core: str,
    *,
    corner: tuple[float, float] | None = None,
    status: str | None = None,
    size: tuple[int, int] | None = None,
) -> Mapping[str, str]:
    """Move a core or change its status in cores.csv; all other rows stay as they are.

    The stage `tma` keeps a cores.csv that was changed by hand, and later stages compute the changed cores again.

    Parameters
    ----------
    study
        A study whose cores were found.
    core
        Its slide_id, such as ``TMA-1#3-7``.
    corner
        New left upper corner in level-0 pixels; the size of its square stays.
    status
        ``ok``, ``poor`` or ``missing``; cores that are not ``ok`` are left out.
    size
        (width, height) of the slide: the square stays inside.

    Returns
    -------
    Mapping[str, str]
        The row as written.

    Raises
    ------
    InputError
        If there is no such core, or the corner or status is none.
    """
    if status is not None and status not in STATUSES:
        raise InputError(f"core {core}: status {status!r}; expected one of {', '.join(STATUSES)}.")
    if corner is not None and not all(math.isfinite(v) for v in corner):
        raise InputError(f"core {core}: its corner {corner} is not two numbers.")
    with _writing:
        rows = read_csv_rows(study.paths.cores) if study.paths.cores.is_file() else []
        row = next((r for r in rows if r["slide_id"] == core), None)
        if row is None:
            raise InputError(f"core {core}: not in cores.csv. Run `pathosig tma` first.", code="E_MISSING")
        if status is not None:
            row["status"] = status
        if corner is not None:
            for name, value, side, whole in zip(
                ("x", "y"), corner, ("width", "height"), size or (None, None), strict=True
            ):
                limit = math.inf if whole is None else whole - float(row[side])
                row[name] = str(round(min(max(0.0, value), max(0.0, limit))))
        write_csv_rows(study.paths.cores, rows, [*rows[0]])
    return row


def found_core(study: Study, core: str) -> Mapping[str, str]:
    """The row of a core as the stage `tma` found it, before any correction.

    Raises
    ------
    InputError
        E_MISSING if it found no such core.
    """
    path = study.paths.tma(core.rpartition("#")[0])
    rows = read_csv_rows(path) if path.is_file() else []
    row = next((r for r in rows if r["slide_id"] == core), None)
    if row is None:
        raise InputError(f"core {core}: was not found by `pathosig tma`.", code="E_MISSING")
    return row
