"""Detects follow-up times that cannot be true: wrong units, serial dates, calendar years, or one time for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathosig.core.clinical import UNITS

LONGEST_YEARS = 60.0
LONGEST_MEDIAN_YEARS = 20.0
_SHORT_YEARS = 0.11
_FEWEST = 5
_EXCEL_DAYS = (14_000, 60_000)
_CALENDAR = (1900, 2100)


@dataclass(frozen=True, kw_only=True, slots=True)
class Implausible:
    """One reason to doubt the times.

    Attributes
    ----------
    code
        Its code, such as ``E_TIME_RANGE``.
    text
        The finding, with the column and its values.
    is_fatal
        Whether the times cannot be right, as opposed to unusual.
    """

    code: str
    text: str
    is_fatal: bool


def implausible_times(times: Sequence[float], unit: str, column: str) -> list[Implausible]:
    """Reasons to doubt follow-up times.

    Parameters
    ----------
    times
        Times in `unit`; NaN and infinite values are ignored.
    unit
        days | weeks | months | years.
    column
        Header of the column, for the message.

    Examples
    --------
    >>> implausible_times([10, 20, 2361], "months", "OS")[0].text
    "column 'OS' reaches 2361 months, which is 197 years: is the unit days?"
    """
    values = np.asarray([t for t in times if np.isfinite(t)], float)
    if not len(values):
        return []
    out: list[Implausible] = []
    longest, median = float(values.max()) / UNITS[unit], float(np.median(values)) / UNITS[unit]
    is_whole = bool((values == np.floor(values)).all())
    if (
        is_whole
        and len(values) >= 3
        and values.min() >= _CALENDAR[0]
        and values.max() <= _CALENDAR[1]
        and unit != "days"
    ):
        text = f"column {column!r} runs from {values.min():g} to {values.max():g}: are these calendar years and not {unit}?"
        out.append(Implausible(code="E_TIME_RANGE", text=text, is_fatal=True))
    elif (
        is_whole
        and longest > LONGEST_YEARS
        and values.min() >= _EXCEL_DAYS[0]
        and values.max() <= _EXCEL_DAYS[1]
    ):
        text = (
            f"column {column!r} runs from {values.min():g} to {values.max():g}: these look like the serial numbers by which a "
            "spreadsheet stores dates. Format them as dates, or give durations."
        )
        out.append(Implausible(code="E_TIME_RANGE", text=text, is_fatal=True))
    elif longest > LONGEST_YEARS:
        other = _likely(values, unit)
        question = f": is the unit {other}?" if other else "; expected times below 60 years."
        text = f"column {column!r} reaches {values.max():g} {unit}, which is {longest:.0f} years{question}"
        out.append(Implausible(code="E_TIME_RANGE", text=text, is_fatal=True))
    elif median > LONGEST_MEDIAN_YEARS and len(values) >= _FEWEST:
        text = f"column {column!r} has a median of {np.median(values):g} {unit}, which is {median:.0f} years: is the unit {_likely(values, unit) or 'another'}?"
        out.append(Implausible(code="E_TIME_RANGE", text=text, is_fatal=True))
    elif longest < _SHORT_YEARS and len(values) >= _FEWEST:
        text = f"column {column!r} reaches only {values.max():g} {unit}: is the unit {_likely_longer(values, unit)}?"
        out.append(Implausible(code="W_TIME_RANGE", text=text, is_fatal=False))
    if len(values) >= 3 and values.min() == values.max():
        text = f"column {column!r} has the time {values.max():g} for all {len(values)} patients; survival times differ between patients."
        out.append(Implausible(code="E_TIME_EQUAL", text=text, is_fatal=True))
    return out


def _likely(values: np.ndarray, unit: str) -> str | None:
    """A shorter unit in which the times would be plausible, or None; days and months are tried before weeks."""
    shorter = {
        "years": ("months", "days", "weeks"),
        "months": ("days", "weeks"),
        "weeks": ("days",),
        "days": (),
    }
    for other in shorter[unit]:
        if (
            values.max() / UNITS[other] <= LONGEST_YEARS
            and np.median(values) / UNITS[other] <= LONGEST_MEDIAN_YEARS
        ):
            return other
    return None


def _likely_longer(values: np.ndarray, unit: str) -> str:
    order = ["days", "weeks", "months", "years"]
    longer = [u for u in order[order.index(unit) + 1 :] if values.max() / UNITS[u] <= LONGEST_YEARS]
    return " or ".join(longer) or unit
