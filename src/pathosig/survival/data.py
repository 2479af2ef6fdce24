"""Checked survival arrays: what every function here begins with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pathosig.core.errors import InputError, NotEstimableError


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
        E_TIME with the positions of negative or infinite values.
    """
    out = np.asarray(time, float)
    if out.ndim != 1:
        raise InputError(f"{name}: expected one dimension, found {out.ndim}.", code="E_TIME")
    bad = np.flatnonzero(np.isinf(out) | (out < 0))
    if len(bad):
        raise InputError(
            f"{name}: {len(bad)} values are negative or infinite, at rows {bad[:5].tolist()}.", code="E_TIME"
        )
    return out


def as_events(event: Any) -> np.ndarray:
    """bool[n] from booleans or 0/1.

    Raises
    ------
    InputError
        E_EVENT for other values.
    """
    raw = np.asarray(event)
    if raw.dtype == bool:
        return raw
    values = raw.astype(float)
    if not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
        raise InputError(
            f"event: found {sorted(set(values.tolist()))[:5]}; expected 0/1 or booleans.", code="E_EVENT"
        )
    return values == 1.0


def as_columns(x: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """float[n, p] and names from an array, a Series or a DataFrame."""
    if hasattr(x, "columns"):
        names = tuple(str(c) for c in x.columns)
        return np.asarray(x, float), names
    array = np.asarray(x, float)
    if array.ndim == 1:
        return array[:, None], (str(getattr(x, "name", None) or "x1"),)
    return array, tuple(f"x{i + 1}" for i in range(array.shape[1]))


def codes(values: Any, n: int) -> np.ndarray:
    """int[n] group numbers of strata or clusters; zeros for None."""
    return labelled_codes(values, n)[0]


def labelled_codes(values: Any, n: int) -> tuple[np.ndarray, tuple[Any, ...]]:
    """int[n] group numbers of strata or clusters and the groups' labels in that order; zeros for None."""
    if values is None:
        return np.zeros(n, int), ()
    array = np.asarray(values)
    if array.ndim == 2:
        rows, which = np.unique(array.astype(str), axis=0, return_inverse=True)
        return which.ravel(), tuple(map(tuple, rows.tolist()))
    plain = array.astype(str) if array.dtype == object else array
    labels, which = np.unique(plain, return_inverse=True)
    return which.ravel(), tuple(labels.tolist())


@dataclass(frozen=True, kw_only=True)
class RiskSets:
    """Sorted data of one Cox model with its event terms laid out, one row per death.

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
    sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    return np.asarray(sums[end] - sums[first])


def _add_back(out: np.ndarray, per_group: np.ndarray, first: np.ndarray, end: np.ndarray) -> None:
    """Add per_group to rows first..end-1."""
    steps = np.zeros((len(out) + 1, *out.shape[1:]))
    np.add.at(steps, first, per_group)
    np.subtract.at(steps, end, per_group)
    out += np.cumsum(steps, axis=0)[:-1]


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
