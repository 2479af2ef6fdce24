"""Counting pairs of patients by time and score in O(n log n), without visiting each pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Numbers of pairs of an earlier and a later patient, for each patient on either side.

    Attributes
    ----------
    lower, same, all
        float[m]: for each earlier patient the number of later patients with a lower score, with the same score, and in
        total.
    later_lower, later_same, later_all
        float[k]: for each later patient the total weight of earlier patients with a higher score, with the same score,
        and of all.
    """

    lower: np.ndarray
    same: np.ndarray
    all: np.ndarray
    later_lower: np.ndarray
    later_same: np.ndarray
    later_all: np.ndarray

    def __sub__(self, other: Pairs) -> Pairs:
        fields = self.__dataclass_fields__
        return Pairs(**{name: getattr(self, name) - getattr(other, name) for name in fields})


def pairs_before(
    score: np.ndarray, rank: np.ndarray, weight: np.ndarray, later_score: np.ndarray, later_rank: np.ndarray
) -> Pairs:
    """Numbers of pairs (i, j) with rank_i < later_rank_j by how their scores compare, in O(n log n).

    The highest binary digit at which two ranks differ is 0 in the smaller and 1 in the larger rank. Therefore the patients are
    grouped, for every digit, by all higher digits, and running sums in the order of scores count the pairs that this digit
    decides.

    Parameters
    ----------
    score, rank, weight
        float[m], int[m] and float[m] of the earlier patients.
    later_score, later_rank
        float[k] and int[k] of the later patients.

    Returns
    -------
    Pairs

    Examples
    --------
    >>> pairs = pairs_before(np.array([3.0, 1.0]), np.array([0, 1]), np.ones(2), np.array([2.0, 1.0]), np.array([2, 1]))
    >>> pairs.lower, pairs.same, pairs.all
    (array([2., 0.]), array([0., 0.]), array([2., 1.]))
    """
    m = len(score)
    both = np.unique(np.concatenate([rank, later_rank]), return_inverse=True)[1].ravel()
    value = np.unique(np.concatenate([score, later_score]), return_inverse=True)[1].ravel()
    order = np.argsort(value, kind="stable")
    both, value = both[order], value[order]
    is_later = order >= m
    w = np.concatenate([weight, np.zeros(len(later_score))])[order]
    lower, same = np.zeros(len(order)), np.zeros(len(order))
    for digit in range(int(both.max(initial=0)).bit_length()):
        block, late = both >> (digit + 1), (both >> digit & 1).astype(bool)
        by = np.argsort(block, kind="stable")  # within a block the order of scores is kept
        block_of, value_of = block[by], value[by]
        new_block = np.diff(block_of, prepend=-1) != 0
        new_value = new_block | (np.diff(value_of, prepend=-1) != 0)
        starts, ties = np.flatnonzero(new_block), np.flatnonzero(new_value)
        which_block, which_tie = np.cumsum(new_block) - 1, np.cumsum(new_value) - 1
        ends, tie_ends = np.append(starts[1:], len(by)), np.append(ties[1:], len(by))
        counted = np.concatenate([[0.0], np.cumsum((is_later & late)[by])])
        weighed = np.concatenate([[0.0], np.cumsum((w * ~late)[by])])
        below = counted[ties][which_tie] - counted[starts][which_block]
        equal = counted[tie_ends][which_tie] - counted[ties][which_tie]
        above = weighed[ends][which_block] - weighed[tie_ends][which_tie]
        level = weighed[tie_ends][which_tie] - weighed[ties][which_tie]
        late_by, later_by = late[by], is_later[by]
        earlier = ~late_by & ~later_by
        lower[by] += np.where(earlier, below, np.where(late_by & later_by, above, 0.0))
        same[by] += np.where(earlier, equal, np.where(late_by & later_by, level, 0.0))
    out_lower, out_same = np.empty(len(order)), np.empty(len(order))
    out_lower[order], out_same[order] = lower, same
    ranked = np.argsort(rank, kind="stable")
    upto = np.concatenate([[0.0], np.cumsum(weight[ranked])])
    return Pairs(
        lower=out_lower[:m],
        same=out_same[:m],
        all=(len(later_rank) - np.searchsorted(np.sort(later_rank), rank, side="right")).astype(float),
        later_lower=out_lower[m:],
        later_same=out_same[m:],
        later_all=upto[np.searchsorted(rank[ranked], later_rank, side="left")],
    )
