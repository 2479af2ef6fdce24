"""Checked survival arrays: what every function here begins with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pathosig.core.errors import InputError, NotEstimableError

_MANY_STRATA = 64


def fix_times(*times: np.ndarray) -> tuple[np.ndarray, ...]:
    """Times that differ only by rounding made equal, as R's ``timefix`` (survival::aeqSurv).

    Parameters
    ----------
    times
        float[n] each, handled together (entry and exit, say).
    """
    values = np.unique(np.concatenate(times))
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return times
    gaps = np.diff(values)
    tolerance = np.sqrt(np.finfo(float).eps)
    scale = np.mean(np.abs(values))
    tied = (gaps <= tolerance) | (gaps / scale <= tolerance if scale > 0 else False)
    if not tied.any():
        return times
    cuts = values[np.concatenate([[True], ~tied])]
    return tuple(cuts[np.searchsorted(cuts, t, side="right") - 1] for t in times)


def as_times(time: Any, *, name: str = "time") -> np.ndarray:
    """float[n] of finite times >= 0.

    Raises
    ------
    InputError
        E_TIME with the rows of missing, negative, infinite or non-numeric values.
    """
    out = as_numbers(time, name, "E_TIME", "numbers >= 0")
    bad = np.flatnonzero(~np.isfinite(out) | (out < 0))
    if len(bad):
        raise InputError(
            f"{name}: {len(bad)} values are missing, negative or infinite, at rows {bad[:5].tolist()}. "
            "Leave those patients out, or complete their follow-up.",
            code="E_TIME",
        )
    return out


def as_events(event: Any) -> np.ndarray:
    """bool[n] from booleans or 0/1.

    Raises
    ------
    InputError
        E_EVENT for missing and other values, such as text or the coding 1/2.
    """
    raw = np.asarray(event)
    if raw.dtype == bool and raw.ndim == 1:
        return raw
    values = as_numbers(event, "event", "E_EVENT", "0/1 or booleans")
    bad = np.flatnonzero(~np.isin(values, (0.0, 1.0)))
    if len(bad):
        odd = sorted({str(v) for v in values[bad].tolist()})[:5]
        raise InputError(
            f"event: found {', '.join(odd)} at rows {bad[:5].tolist()}; expected 0/1 or booleans. A missing outcome is no "
            "censoring: leave those patients out.",
            code="E_EVENT",
        )
    return values == 1.0


def as_numbers(values: Any, name: str, code: str, expected: str) -> np.ndarray:
    """float[n]; None and pandas' NA become NaN, text is refused even where it reads like a number."""
    raw = np.asarray(values)
    if raw.ndim != 1:
        raise InputError(f"{name}: expected one dimension, found {raw.ndim}.", code=code)
    if raw.dtype.kind == "O":
        raw = np.array(
            [np.nan if v is None or str(v) in ("<NA>", "NaT") else v for v in raw.tolist()], object
        )
        text = [i for i, v in enumerate(raw.tolist()) if isinstance(v, (str, bytes))]
    else:
        text = list(range(len(raw))) if raw.dtype.kind in "USMm" else []
    if text:
        raise InputError(f"{name}: found text at rows {text[:5]}; expected {expected}.", code=code)
    try:
        return raw.astype(float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {error}; expected {expected}.", code=code) from error


def outcome(
    time: Any, event: Any, *, entry: Any = None, rows: int | None = None, what: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Checked outcomes: float[n] times, bool[n] events, float[n] times of delayed entry or None.

    Parameters
    ----------
    time, event, entry
        As the caller was given them.
    rows
        Rows of the caller's other table, which must be as many.
    what
        Name of the caller, for messages.

    Raises
    ------
    InputError
        E_TIME, E_EVENT, or E_INPUT where lengths differ.

    Examples
    --------
    >>> outcome([5, 2.5], [1, 0], what="example")[1].tolist()
    [True, False]
    """
    t, d = as_times(time), as_events(event)
    start = None if entry is None else as_times(entry, name="entry")
    lengths = {"time": len(t), "event": len(d)}
    if start is not None:
        lengths["entry"] = len(start)
    if rows is not None:
        lengths = {"rows": rows, **lengths}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in lengths.items())
        raise InputError(f"{what}: lengths differ ({counts}).")
    return t, d, start


def as_weights(weights: Any, n: int) -> np.ndarray:
    """float[n] of case weights >= 0; ones for None.

    Raises
    ------
    InputError
        E_WEIGHT for missing, infinite or negative weights, or another number of them.
    """
    if weights is None:
        return np.ones(n)
    out = as_numbers(weights, "weights", "E_WEIGHT", "numbers >= 0")
    bad = np.flatnonzero(~np.isfinite(out) | (out < 0))
    if len(out) != n or len(bad):
        finding = f"{len(out)} weights for {n} rows" if len(out) != n else f"{out[bad[0]]:g} at row {bad[0]}"
        raise InputError(f"weights: found {finding}; expected a finite number >= 0 a row.", code="E_WEIGHT")
    return out


def as_columns(x: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """float[n, p] and names from an array, a Series or a DataFrame."""
    if hasattr(x, "columns"):
        names = tuple(str(c) for c in x.columns)
        return np.asarray(x, float), names
    array = np.asarray(x, float)
    if array.ndim == 1:
        return array[:, None], (str(getattr(x, "name", None) or "x1"),)
    return array, tuple(f"x{i + 1}" for i in range(array.shape[1]))


def group_codes(values: Any, n: int, *, what: str) -> np.ndarray:
    """int[n] group numbers of strata or clusters; zeros for None."""
    return labelled_codes(values, n, what=what)[0]


def labelled_codes(values: Any, n: int, *, what: str) -> tuple[np.ndarray, tuple[Any, ...]]:
    """int[n] group numbers of strata or clusters and the groups' labels in that order; zeros for None.

    Raises
    ------
    InputError
        E_GROUP for missing labels, which are no group, or another number of them.
    """
    if values is None:
        return np.zeros(n, int), ()
    array = np.asarray(values)
    if len(array) != n:
        raise InputError(f"{what}: {len(array)} labels for {n} rows.", code="E_GROUP")
    missing = [i for i, v in enumerate(np.asarray(values, object).tolist()) if _is_missing(v)]
    if missing:
        raise InputError(
            f"{what}: {len(missing)} labels are missing, at rows {missing[:5]}. Leave those patients out or name a "
            "group for them.",
            code="E_GROUP",
        )
    if array.ndim == 2:
        rows, which = np.unique(array.astype(str), axis=0, return_inverse=True)
        return which.ravel(), tuple(map(tuple, rows.tolist()))
    plain = array.astype(str) if array.dtype == object else array
    labels, which = np.unique(plain, return_inverse=True)
    return which.ravel(), tuple(labels.tolist())


def _is_missing(label: Any) -> bool:
    if isinstance(label, list):
        return any(map(_is_missing, label))
    return label is None or (isinstance(label, float) and label != label) or str(label) in ("<NA>", "NaT")


@dataclass(frozen=True, kw_only=True)
class RiskSets:
    """Sorted data of one Cox model with its event terms laid out, one row per death.

    Rows are sorted by stratum and by falling time, so that the risk set of an event time,
    R(t) = {i : entry_i < t <= time_i}, is a run of rows minus those who enter later.

    Attributes
    ----------
    order
        Positions of the kept rows in the caller's data, sorted by stratum and time, latest first.
    last
        For each event term: how many sorted rows of its stratum's block are at risk, as an end position.
    """

    order: np.ndarray
    time: np.ndarray
    event: np.ndarray
    entry: np.ndarray | None
    stratum: np.ndarray
    weight: np.ndarray
    group: np.ndarray
    first: np.ndarray
    end: np.ndarray
    term_group: np.ndarray
    term_fraction: np.ndarray
    term_weight: np.ndarray
    late_order: np.ndarray | None
    late_first: np.ndarray | None
    late_end: np.ndarray | None

    @property
    def n_groups(self) -> int:
        """Distinct event times over all strata."""
        return len(self.end)

    def at_risk(self, values: np.ndarray) -> np.ndarray:
        """Sums of values[n, ...] over the risk set of each event time, [groups, ...]."""
        total = _ends(values, self.first, self.end)
        if self.late_order is not None:
            total = total - _ends(values[self.late_order], self.late_first, self.late_end)
        return total

    def deaths(self, values: np.ndarray) -> np.ndarray:
        """Sums of values[n, ...] over the deaths at each event time, [groups, ...]."""
        out = np.zeros((self.n_groups, *values.shape[1:]))
        np.add.at(out, self.group[self.event], values[self.event])
        return out

    def spread(self, per_group: np.ndarray) -> np.ndarray:
        """For each row the sum of per_group[groups, ...] over event times at which it is at risk."""
        out = np.zeros((len(self.time), *per_group.shape[1:]))
        _add_back(out, per_group, self.first, self.end)
        if self.late_order is not None and self.late_first is not None and self.late_end is not None:
            minus = np.zeros_like(out)
            _add_back(minus, per_group, self.late_first, self.late_end)
            back = np.empty_like(out)
            back[self.late_order] = minus
            out -= back
        return out


def _ends(values: np.ndarray, first: np.ndarray | None, end: np.ndarray | None) -> np.ndarray:
    """Sums of rows first..end-1."""
    if first is None or end is None or not len(end):
        return np.zeros((0, *values.shape[1:]))
    out = np.empty((len(end), *values.shape[1:]))
    for begin, stop, groups in _blocks(first, end):
        sums = np.concatenate(
            [np.zeros((1, *values.shape[1:])), np.cumsum(values[begin:stop], axis=0, dtype=float)]
        )
        out[groups] = sums[end[groups] - begin] - sums[first[groups] - begin]
    return out


def _add_back(out: np.ndarray, per_group: np.ndarray, first: np.ndarray, end: np.ndarray) -> None:
    """Add per_group to rows first..end-1.

    Sums run from each block's last row backwards, so that nothing is subtracted: where risks differ by many orders of
    magnitude (separation), a difference of running sums would be rounding error.
    """
    for begin, stop, groups in _blocks(first, end):
        steps = np.zeros((stop - begin, *out.shape[1:]))
        rows = end[groups] - begin - 1
        np.add.at(steps, rows[rows >= 0], per_group[groups][rows >= 0])
        total = np.cumsum(steps[::-1], axis=0)[::-1]
        before = first[groups] - begin - 1
        if (before >= 0).any():
            steps = np.zeros_like(steps)
            np.add.at(steps, before[before >= 0], per_group[groups][before >= 0])
            total = total - np.cumsum(steps[::-1], axis=0)[::-1]
        out[begin:stop] += total


def _blocks(first: np.ndarray, end: np.ndarray) -> Iterator[tuple[int, int, slice]]:
    """(first row, row after the last, event times) of each stratum; of many strata together, to save time."""
    begins = np.flatnonzero(np.diff(first, prepend=-1))
    if len(begins) > _MANY_STRATA:
        yield int(first[0]), int(end.max()), slice(0, len(end))
        return
    for begin, stop in zip(begins, [*begins[1:], len(end)], strict=True):
        yield int(first[begin]), int(end[begin:stop].max()), slice(int(begin), int(stop))


def risk_sets(
    time: np.ndarray,
    event: np.ndarray,
    *,
    stratum: np.ndarray,
    weight: np.ndarray,
    entry: np.ndarray | None,
    ties: str,
) -> RiskSets:
    """Lay out a Cox model's data; see `RiskSets`.

    Raises
    ------
    NotEstimableError
        If there is no event.
    """
    if not event.any():
        raise NotEstimableError("no event at all: a Cox model cannot be fitted.")
    grid, rank = np.unique(time, return_inverse=True)
    key = stratum.astype(np.int64) * len(grid) + (len(grid) - 1 - rank.ravel())  # stratum, then latest first
    order = np.argsort(key, kind="stable")
    time, event, stratum, weight, key = time[order], event[order], stratum[order], weight[order], key[order]
    unique, which = np.unique(key[event], return_inverse=True)
    which = which.ravel()
    group = np.full(len(time), -1)
    group[event] = which
    end = np.searchsorted(key, unique, side="right")
    block = np.searchsorted(stratum, unique // len(grid))
    block_end = np.searchsorted(stratum, unique // len(grid), side="right")
    count = np.bincount(which, minlength=len(unique))
    total_weight = np.bincount(which, weights=weight[event], minlength=len(unique))
    if ties == "efron":
        term_group = np.repeat(np.arange(len(unique)), count)
        rank = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        term_fraction = rank / count[term_group]
        term_weight = (total_weight / count)[term_group]
    else:
        term_group = np.arange(len(unique))
        term_fraction = np.zeros(len(unique))
        term_weight = np.asarray(total_weight, float)
    late_order: np.ndarray | None = None
    late_first: np.ndarray | None = None
    late_end: np.ndarray | None = None
    entry_sorted: np.ndarray | None = None
    if entry is not None:
        entry_sorted = entry[order]
        late_order = np.lexsort((-entry_sorted, stratum))
        late = entry_sorted[late_order]
        late_first = block
        late_end = np.array(
            [
                b + np.searchsorted(-late[b:e], t, side="right")
                for b, e, t in zip(block, block_end, -time[end - 1], strict=True)
            ],
            int,
        )
    return RiskSets(
        order=order,
        time=time,
        event=event,
        entry=entry_sorted,
        stratum=stratum,
        weight=weight,
        group=group,
        first=block,
        end=end,
        term_group=term_group,
        term_fraction=term_fraction,
        term_weight=term_weight,
        late_order=late_order,
        late_first=late_first,
        late_end=late_end,
    )
