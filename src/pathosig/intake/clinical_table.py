"""Reading a clinical table in any of the shapes people send, and guessing its columns aloud."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pathosig.core.errors import InputError
from pathosig.core.tables import read_csv_rows

_ID = ("patient_id", "patientid", "patient", "case_id", "caseid", "case", "subject_id", "subject", "id")
_COHORT = ("cohort", "set", "split", "dataset")
_SITE = ("site", "center", "centre", "hospital", "institution")
_STEMS = {
    "os": ("os", "overall"),
    "dfs": ("dfs", "rfs", "disease"),
    "pfs": ("pfs", "pfi"),
    "dss": ("dss",),
    "dfi": ("dfi",),
}
_TIME = re.compile(r"(time|months?|days?|years?|weeks?|t)$")
_EVENT = re.compile(r"(event|status|e|dead|death|censor\w*|cens)$")
_UNITS = ("days", "weeks", "months", "years")


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundEndpoint:
    """An endpoint seen in the header: its columns and the unit its name tells, if any."""

    name: str
    time: str
    event: str
    unit: str | None


def read_clinical(path: Path, sheet: str | None = None) -> list[dict[str, str]]:
    """Rows of a CSV, TSV or Excel table as text.

    Raises
    ------
    InputError
        If it is missing or cannot be read, or an Excel file has several sheets and none is named.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {what}. Give the clinical table: CSV, TSV or Excel.", code="E_MISSING")
    if path.suffix.lower() in (".xlsx", ".xlsm"):
        return _read_excel(path, sheet)
    return read_csv_rows(path)


def _read_excel(path: Path, sheet: str | None) -> list[dict[str, str]]:
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    names = book.sheetnames
    if sheet is None and len(names) > 1:
        raise InputError(f"{path.name}: has several sheets {names}. Say which with --sheet NAME.")
    if sheet is not None and sheet not in names:
        raise InputError(f"{path.name}: no sheet {sheet!r}; found {names}.")
    rows = [["" if c is None else str(c).strip() for c in row] for row in book[sheet or names[0]].values]
    rows = [r for r in rows if any(r)]
    if not rows:
        raise InputError(f"{path.name}: the sheet is empty.")
    return [dict(zip(rows[0], r, strict=True)) for r in rows[1:]]


def pick(header: Sequence[str], candidates: Sequence[str]) -> str | None:
    """The first column whose plain name is one of the candidates, in their order."""
    plain = {re.sub(r"[^a-z0-9]+", "_", c.lower()).strip("_"): c for c in header}
    return next((plain[name] for name in candidates if name in plain), None)


def find_id(header: Sequence[str]) -> str | None:
    """The column that looks like a patient id."""
    return pick(header, _ID)


def find_cohort(header: Sequence[str]) -> str | None:
    """The column that looks like a cohort."""
    return pick(header, _COHORT)


def find_site(header: Sequence[str]) -> str | None:
    """The column that looks like a site."""
    return pick(header, _SITE)


def find_endpoints(header: Sequence[str]) -> list[FoundEndpoint]:
    """Endpoints whose time and event columns are named after them (os_time, OS.event, DFS_months ...)."""
    found = []
    for name, stems in _STEMS.items():
        columns = [c for c in header if _words(c) and _words(c)[0] in stems]
        times = [c for c in columns if _TIME.fullmatch(_words(c)[-1]) and len(_words(c)) > 1]
        events = [
            c for c in columns if c not in times and _EVENT.fullmatch(_words(c)[-1]) and len(_words(c)) > 1
        ]
        if not events:
            events = [c for c in columns if len(_words(c)) == 1]
        if times and events:
            unit = next((u for u in _UNITS for w in _words(times[0]) if w in (u, u[:-1])), None)
            found.append(FoundEndpoint(name=name, time=times[0], event=events[0], unit=unit))
    return found


def _words(column: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", column.lower())
