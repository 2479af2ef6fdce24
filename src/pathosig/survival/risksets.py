"""The risk sets of a Cox model: laid out once, summed over many times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pathosig.core.errors import NotEstimableError

_MANY_STRATA = 64


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

    @cached_property
    def untied(self) -> bool:
        """Whether every event time has one term that takes nothing out, so that terms and event times are the same."""
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
        """Sums of values[n, ...] over the risk set of each event time, [groups, ...]."""
        total = _ends(values, self._runs, self.n_groups)
        if self.late_order is not None:
            total = total - _ends(values[self.late_order], self._late_runs, self.n_groups)
        return total

    def deaths(self, values: np.ndarray) -> np.ndarray:
        """Sums of values[n, ...] over the deaths at each event time, [groups, ...]."""
        out = np.zeros((self.n_groups, *values.shape[1:]))
        np.add.at(out, self.group[self.event], values[self.event])
        return out

    def spread(self, per_group: np.ndarray) -> np.ndarray:
        """For each row the sum of per_group[groups, ...] over event times at which it is at risk."""
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
    """The rows of a stratum, or of many strata together: where the risk set of each of their event times begins and ends.

    Attributes
    ----------
    begin, stop
        First row, and the row after the last.
    groups
        Event times.
    ends, befores
        Last row of each risk set, and the row before its first, counted from `begin`; -1 is none.
    whole
        Whether every risk set begins with the run and has a row.
    """

    begin: int
    stop: int
    groups: slice
    ends: np.ndarray
    befores: np.ndarray
    whole: bool


def _runs_of(first: np.ndarray, end: np.ndarray) -> tuple[_Run, ...]:
    """Runs of the rows first..end-1 of each event time."""
    runs = []
    for begin, stop, groups in _blocks(first, end) if len(end) else ():
        ends, befores = end[groups] - begin - 1, first[groups] - begin - 1
        whole = bool((befores < 0).all() and (ends >= 0).all())
        runs.append(_Run(begin=begin, stop=stop, groups=groups, ends=ends, befores=befores, whole=whole))
    return tuple(runs)


def _ends(values: np.ndarray, runs: tuple[_Run, ...], n_groups: int) -> np.ndarray:
    """Sums of the rows of each risk set."""
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
    """Add per_group to the rows of each risk set.

    Sums run from each block's last row backwards, so that nothing is subtracted: where risks differ by many orders of
    magnitude (separation), a difference of running sums would be rounding error.
    """
    for run in runs:
        values = per_group[run.groups]
        total = _sums_from_below(values, run.ends, run.stop - run.begin)
        if not run.whole:
            total = total - _sums_from_below(values, run.befores, run.stop - run.begin)
        out[run.begin : run.stop] += total


def _sums_from_below(values: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """For each of n rows the sum of values whose row is not above it; row -1 counts nowhere."""
    steps = np.zeros((n, *values.shape[1:]))
    np.add.at(steps, rows[rows >= 0], values[rows >= 0])
    return np.asarray(np.cumsum(steps[::-1], axis=0)[::-1])


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
    """The risk sets of a Cox model, laid out once for many evaluations; see `RiskSets`.

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
