"""The risk sets of a Cox model, indexed once so that sums over them are fast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pathosig.core.errors import NotEstimableError

_MANY_STRATA = 64


@dataclass(frozen=True, kw_only=True)
class RiskSets:
    """Sorted data of a Cox model, with the risk set of each event time and the terms of its likelihood.

    Rows are sorted by stratum and by decreasing time, so that the risk set of an event time,
    R(t) = {i : entry_i < t <= time_i}, is a range of rows minus the patients who enter later. An event time of each stratum
    is called a group below.

    Attributes
    ----------
    order
        int[n]: positions of the sorted rows in the caller's data.
    time, event, entry, stratum, weight
        [n] data of the sorted rows; `entry` is None without delayed entry.
    group
        int[n]: group of each death, -1 for other rows.
    first, end
        int[groups]: the rows of the stratum with a time of at least that of the group are first..end - 1.
    term_group, term_fraction, term_weight
        [terms]: group of each likelihood term, the fraction of the tied deaths that is subtracted from its risk set, and
        its weight. There is one term per death with Efron's method, and one per group with Breslow's.
    late_order, late_first, late_end
        With delayed entry: rows sorted by stratum and by decreasing entry, and, for each group, the range of these rows
        whose entry is not before its time.
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
        """Number of groups: distinct event times, counted in each stratum."""
        return len(self.end)

    @cached_property
    def untied(self) -> bool:
        """Whether each group has exactly one term, with fraction 0, so that terms and groups are the same."""
        return len(self.term_group) == self.n_groups and not self.term_fraction.any()

    @cached_property
    def _runs(self) -> tuple[_Run, ...]:
        return _runs_of(self.first, self.end)

    @cached_property
    def _late_runs(self) -> tuple[_Run, ...]:
        if self.late_first is None or self.late_end is None:
            return ()
        return _runs_of(self.late_first, self.late_end)

    def at_risk(self, values: np.ndarray) -> np.ndarray:
        """Sums of values[n, ...] over the risk set of each group, [groups, ...]."""
        total = _ends(values, self._runs, self.n_groups)
        if self.late_order is not None:
            total = total - _ends(values[self.late_order], self._late_runs, self.n_groups)
        return total

    def deaths(self, values: np.ndarray) -> np.ndarray:
        """Sums of values[n, ...] over the deaths of each group, [groups, ...]."""
        out = np.zeros((self.n_groups, *values.shape[1:]))
        np.add.at(out, self.group[self.event], values[self.event])
        return out

    def spread(self, per_group: np.ndarray) -> np.ndarray:
        """For each row, the sum of per_group[groups, ...] over the groups at which it is at risk: [n, ...]."""
        out = np.zeros((len(self.time), *per_group.shape[1:]))
        _add_back(out, per_group, self._runs)
        if self.late_order is not None:
            minus = np.zeros_like(out)
            _add_back(minus, per_group, self._late_runs)
            back = np.empty_like(out)
            back[self.late_order] = minus
            out -= back
        return out


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """The rows of one stratum, or of many strata together, with the range of rows of each of their risk sets.

    Attributes
    ----------
    begin, stop
        First row, and the row after the last.
    groups
        The groups whose risk sets lie in these rows.
    ends, befores
        Last row of each risk set, and the row before its first, counted from `begin`; -1 if there is no such row.
    whole
        Whether every risk set begins at `begin` and has at least one row.
    """

    begin: int
    stop: int
    groups: slice
    ends: np.ndarray
    befores: np.ndarray
    whole: bool


def _runs_of(first: np.ndarray, end: np.ndarray) -> tuple[_Run, ...]:
    """Runs from the rows first..end - 1 of each group."""
    runs = []
    for begin, stop, groups in _blocks(first, end) if len(end) else ():
        ends, befores = end[groups] - begin - 1, first[groups] - begin - 1
        whole = bool((befores < 0).all() and (ends >= 0).all())
        runs.append(_Run(begin=begin, stop=stop, groups=groups, ends=ends, befores=befores, whole=whole))
    return tuple(runs)


def _ends(values: np.ndarray, runs: tuple[_Run, ...], n_groups: int) -> np.ndarray:
    """Sums of values over the rows of each risk set."""
    out = np.zeros((n_groups, *values.shape[1:]))
    for run in runs:
        sums = np.cumsum(values[run.begin : run.stop], axis=0, dtype=float)
        if run.whole:
            out[run.groups] = sums[run.ends]
        else:
            sums = np.concatenate([np.zeros((1, *values.shape[1:])), sums])
            out[run.groups] = sums[run.ends + 1] - sums[run.befores + 1]
    return out


def _add_back(out: np.ndarray, per_group: np.ndarray, runs: tuple[_Run, ...]) -> None:
    """Add the value of each group to the rows of its risk set.

    Sums run backwards from the last row of each run, so that nothing is subtracted: if risks differ by many orders of
    magnitude (separation), a difference of running sums would be mere rounding error.
    """
    for run in runs:
        values = per_group[run.groups]
        total = _sums_from_below(values, run.ends, run.stop - run.begin)
        if not run.whole:
            total = total - _sums_from_below(values, run.befores, run.stop - run.begin)
        out[run.begin : run.stop] += total


def _sums_from_below(values: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """For each of n rows, the sum of the values whose row is the same or later; values with row -1 are ignored."""
    steps = np.zeros((n, *values.shape[1:]))
    np.add.at(steps, rows[rows >= 0], values[rows >= 0])
    return np.asarray(np.cumsum(steps[::-1], axis=0)[::-1])


def _blocks(first: np.ndarray, end: np.ndarray) -> Iterator[tuple[int, int, slice]]:
    """(first row, row after the last, groups) of each stratum; many strata are taken together to save time."""
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
    """The risk sets of a Cox model, indexed once for many evaluations; see `RiskSets`.

    Parameters
    ----------
    time, event
        float[n] and bool[n], already checked.
    stratum
        int[n] numbers of strata.
    weight
        float[n] case weights.
    entry
        float[n] times of delayed entry, or None.
    ties
        ``efron`` or ``breslow``.

    Returns
    -------
    RiskSets

    Raises
    ------
    NotEstimableError
        If there is no event.

    Examples
    --------
    >>> time, event = np.array([2.0, 1.0, 3.0]), np.array([True, True, False])
    >>> sets = risk_sets(time, event, stratum=np.zeros(3, int), weight=np.ones(3), entry=None, ties="efron")
    >>> sets.order, sets.at_risk(np.ones(3))
    (array([2, 0, 1]), array([2., 3.]))
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
