"""Cluster stability selection: clusters of correlated candidates that enter the lasso early in many half-samples.

Candidates are nested and correlated: one tissue type is represented by many nearly identical candidates, over which a plain
stability selection spreads its votes. Votes are therefore counted per cluster of candidates. A selected cluster is represented
by the member that fits best or, if candidates have no HPCs, by the one selected most often.

References
----------
Shah RD, Samworth RJ. JRSS B 2013; 75: 55. Faletto G, Bien J. Cluster stability selection. arXiv:2201.00494.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from pathosig.core.errors import NotEstimableError
from pathosig.core.words import counted
from pathosig.survival.bounds import false_selection_bound, threshold_for
from pathosig.survival.half_paths import first_entries, gradient, half_samples_of
from pathosig.survival.ridge import penalised_logliks

_AT_FIRST = 5
"""Half-samples that are started together, per half-sample that a cluster may miss: enough for the first that finish to end it."""
_EQUAL = 1e-6  # closer log-likelihoods count as equal, as those of a node and of all other tissue together


@dataclass(frozen=True, kw_only=True)
class Stability:
    """Result of a stability selection.

    Attributes
    ----------
    selected
        Positions of the selected candidates.
    frequency
        float[p]: proportion of half-samples in which each candidate entered.
    cluster
        int[p]: cluster of each candidate.
    cluster_frequency
        float[n_clusters]: proportion of half-samples in which a member of each cluster entered.
    representative
        Position of the candidate that represents each cluster.
    q
        Mean number of clusters selected in a half-sample.
    threshold, expected_false
        Threshold of `cluster_frequency`, and the bound on the expected number of false selections at it.
    """

    selected: tuple[int, ...]
    frequency: np.ndarray
    cluster: np.ndarray
    cluster_frequency: np.ndarray
    representative: Mapping[int, int]
    q: float
    threshold: float
    expected_false: float


def _cluster_candidates(x: np.ndarray, correlation: float) -> np.ndarray:
    """Cluster of every column: int[p]; within a cluster all absolute correlations are at least `correlation`."""
    if x.shape[1] == 1:
        return np.zeros(1, int)
    distance = 1 - np.abs(np.corrcoef(x.T))
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(np.clip(distance, 0, None), checks=False), "complete")
    return np.asarray(fcluster(tree, 1 - correlation, "distance")) - 1


def _half_samples(event: np.ndarray, n_subsamples: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Complementary halves of the rows, with the events split evenly between them."""
    out: list[np.ndarray] = []
    had, not_had = np.flatnonzero(event), np.flatnonzero(~event)
    while len(out) < n_subsamples:
        order = np.concatenate([rng.permutation(had), rng.permutation(not_had)])
        out += [np.sort(order[::2]), np.sort(order[1::2])]
    return out[:n_subsamples]


def _entries(
    x: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    rows: np.ndarray,
    cluster: np.ndarray,
    *,
    q: int,
    screen: int,
    allowed: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Columns in the lasso model of each half-sample once it has `q` clusters, and which half-samples were completed.

    Returns bool[n_halves, p] and bool[n_halves]. Only the `screen` columns with the largest gradient at 0, those with which a
    lasso path begins, are candidates. With `allowed`, the search ends as soon as every cluster is missing in more than
    `allowed` of the completed half-samples.
    """
    p = x.shape[1]
    out, through, count = np.zeros((len(rows), p), bool), np.zeros(len(rows), bool), int(cluster.max()) + 1

    def enough(part: slice, columns: np.ndarray, done: np.ndarray, chosen: np.ndarray) -> bool:
        through[part] = done
        np.put_along_axis(out[part], columns, chosen & done[:, None], axis=1)
        missing = through.sum() - _clusters_held(out[through], cluster, count).sum(0)
        return bool(missing.min() > allowed)

    block = max(1, 10_000_000 // (rows.shape[1] * p))
    if allowed is not None:
        block = min(block, _AT_FIRST * (allowed + 1))
    for begin in range(0, len(rows), block):
        part = slice(begin, begin + block)
        halves = half_samples_of(x, time, event, rows[part])
        slope = np.abs(gradient(halves, np.zeros((len(halves.x), p))))
        columns = np.sort(np.argsort(-slope, axis=1, kind="stable")[:, : min(screen, p)], axis=1)
        narrow = dataclasses.replace(halves, x=np.take_along_axis(halves.x, columns[:, None, :], axis=2))
        entered = first_entries(
            narrow, cluster[columns], q=q, enough=None if allowed is None else partial(enough, part, columns)
        )
        np.put_along_axis(out[part], columns, entered, axis=1)
        if allowed is not None and not through[part].all():
            break
        through[part] = True
    return out, through


def stability_selection(
    x: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    *,
    leaves: Sequence[Sequence[int]] | None = None,
    q: int = 7,
    n_subsamples: int = 100,
    expected_false: float = 1.0,
    lowest: float = 0.55,
    correlation: float = 0.5,
    screen: int = 40,
    seed: int = 0,
    brief: bool = False,
) -> Stability:
    """Select candidates whose cluster is among the first `q` to enter the lasso in enough half-samples.

    Parameters
    ----------
    x
        float[n, p]: candidates in discovery patients.
    time, event
        float[n] and bool[n].
    leaves
        HPCs of every candidate. If given, a cluster is represented by the candidate that fits best among its members and the
        nodes below the member selected most often.
    q
        Number of clusters selected in each half-sample; reduced to a third of the number of clusters if that is smaller.
    n_subsamples
        Number of half-samples, which are drawn in complementary pairs.
    expected_false
        Bound on the expected number of falsely selected clusters, which determines the threshold.
    lowest
        Lowest threshold.
    correlation
        Candidates whose absolute correlation is at least this belong to one cluster, 0 to 1.
    screen
        Largest number of candidates in the lasso of a half-sample.
    seed
        Seed of the half-samples.
    brief
        Whether to stop as soon as no cluster can reach `lowest` any more. Nothing is then selected, as would be the case with
        all half-samples, but frequencies are those of fewer half-samples.

    Returns
    -------
    Stability

    Raises
    ------
    NotEstimableError
        With fewer than 10 events, of which a half-sample would have fewer than 5.

    References
    ----------
    Meinshausen & Buhlmann (2010), JRSS B 72; Shah & Samworth (2013), JRSS B 75 (complementary pairs).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(80, 6))
    >>> result = stability_selection(x, rng.exponential(np.exp(-2 * x[:, 4])), np.ones(80, bool), n_subsamples=20)
    >>> result.selected, result.frequency.round(2)
    ((4,), array([0.15, 0.2 , 0.05, 0.35, 1.  , 0.3 ]))
    """
    d = np.asarray(event, bool)
    if d.sum() < 10:
        message = (
            f"stability selection: {counted(int(d.sum()), 'event')}; at least 10 are needed for half-samples."
        )
        raise NotEstimableError(message)
    cluster = _cluster_candidates(x, correlation)
    count = int(cluster.max()) + 1
    wanted = max(1, min(q, count // 3))
    halves = _half_samples(d, n_subsamples, np.random.default_rng(seed))
    short = min(
        len(h) for h in halves
    )  # with an odd number of patients the larger halves lose their last patient
    rows = np.stack([h[:short] for h in halves])
    # A cluster that is missing more often than this stays below the lowest threshold, whatever the other half-samples select.
    allowed = int(np.floor(n_subsamples * (1 - lowest) + 1e-9)) if brief else None
    entered, through = _entries(x, time, d, rows, cluster, q=wanted, screen=screen, allowed=allowed)
    entered, n_subsamples = entered[through], int(through.sum())
    held = _clusters_held(entered, cluster, count)
    frequency, share = entered.mean(0), held.mean(0)
    mean_q, pairs = float(held.sum(1).mean()), n_subsamples // 2
    threshold = threshold_for(mean_q, count, pairs, expected_false=expected_false, lowest=lowest)
    speaks = {c: _loudest(np.flatnonzero(cluster == c), frequency) for c in range(count)}
    order = [c for c in np.argsort(-share, kind="stable") if share[c] >= threshold - 1e-12]
    picked = [speaks[int(c)] for c in order]
    if leaves is not None and picked:
        picked = _speakers(picked, cluster, x, time, d, leaves)
        for c, position in zip(order, picked, strict=True):
            speaks[int(c)] = position
    return Stability(
        selected=tuple(dict.fromkeys(picked)),
        frequency=frequency,
        cluster=cluster,
        cluster_frequency=share,
        representative=speaks,
        q=mean_q,
        threshold=threshold,
        expected_false=false_selection_bound(mean_q, count, min(threshold, 1.0), pairs),
    )


def _clusters_held(entered: np.ndarray, cluster: np.ndarray, count: int) -> np.ndarray:
    """Clusters with at least one column in the model of each half-sample: bool[n_halves, count]."""
    out = np.zeros((len(entered), count), bool)
    half, column = np.nonzero(entered)
    out[half, cluster[column]] = True
    return out


def _loudest(members: np.ndarray, frequency: np.ndarray) -> int:
    return int(members[np.argmax(frequency[members])])


def _speakers(
    picked: Sequence[int],
    cluster: np.ndarray,
    x: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    leaves: Sequence[Sequence[int]],
) -> list[int]:
    """For each cluster, the member, or node below its most frequent member, that fits best given the earlier choices.

    Frequencies show which cluster matters, but are misleading within a cluster: once a lasso contains the node of a tissue
    type it adds single HPCs of this type, which then have higher frequencies than the node; and the node above (the type
    plus a neutral neighbour) often has a higher frequency than the type itself. The level in the tree is therefore chosen by
    likelihood, beginning with the most frequent clusters, because a less frequent cluster should refine them, not replace them.
    """
    scale = x.std(0)
    z = (x - x.mean(0)) / np.where(scale > 1e-12, scale, 1.0)
    sets = [frozenset(part) for part in leaves]
    settled: list[int] = []
    for loudest in picked:
        below = [j for j, part in enumerate(sets) if len(part) > 1 and part < sets[loudest]]
        members = np.flatnonzero(cluster == cluster[loudest]).tolist()
        options = sorted({*members, *below} - set(settled)) or [loudest]
        designs = np.stack([z[:, [*settled, j]] for j in options])
        values = penalised_logliks(designs, time, event, penalty=1e-3)
        near = [j for j, value in zip(options, values, strict=True) if value >= values.max() - _EQUAL]
        settled.append(min(near, key=lambda j: (len(sets[j]), j)))
    return settled
