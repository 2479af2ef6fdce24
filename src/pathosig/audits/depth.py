"""Audit `depth`: the influence of the number of tiles on the score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.audits.results import Depth, DepthAudit, TilesCorrelation
from pathosig.validation.values import Estimate, finite

_FEWEST = 10


def audit_depth(
    score: Callable[[pd.DataFrame], np.ndarray],
    group_of: Callable[[np.ndarray], np.ndarray],
    counts: pd.DataFrame,
    *,
    depths: Sequence[int] = (30, 60, 120, 300),
    draws: int = 20,
    seed: int = 0,
    cohorts: Mapping[str, str] | None = None,
) -> DepthAudit:
    """Compare scores from fewer tiles with the full score, and correlate the score with the number of tiles.

    Parameters
    ----------
    score, group_of
        Functions of the frozen signature, without its minimum number of tiles: from profiles to scores, and from scores to
        risk groups.
    counts
        patient_id and the number of tiles of each HPC, ``hpc_00`` and so on, for each patient.
    depths, draws, seed
        Numbers of tiles per patient, number of draws of tiles without replacement, and seed.
    cohorts
        Cohort of each patient_id, for the correlation of the score with log(tiles); one cohort by default.

    Returns
    -------
    DepthAudit
        Numbers of tiles that fewer than ten patients have are left out.

    References
    ----------
    R: ``cor.test``.
    """
    rng = np.random.default_rng(seed)
    names = [c for c in counts.columns if str(c).startswith("hpc_")]
    matrix = np.rint(counts[names].to_numpy(float)).astype(int)
    tiles = matrix.sum(1)

    def scored(part: np.ndarray) -> np.ndarray:
        table = pd.DataFrame(part / np.maximum(part.sum(1, keepdims=True), 1), columns=names)
        return score(table.assign(n_tiles=part.sum(1)))

    full = scored(matrix)
    out = []
    for depth in depths:
        enough = tiles >= depth
        if enough.sum() < _FEWEST:
            continue
        drawn = [
            scored(np.stack([rng.multivariate_hypergeometric(row, depth) for row in matrix[enough]]))
            for _ in range(draws)
        ]
        few = np.stack(drawn)
        between, within = full[enough].var(), ((few - full[enough]) ** 2).mean()
        flips = np.array([(group_of(f) != group_of(full[enough])).mean() for f in few])
        out.append(
            Depth(
                tiles=depth,
                patients=int(enough.sum()),
                bias=float((few - full[enough]).mean()),
                icc=float(between / (between + within)) if between > 0 else None,
                group_flips=float(flips.mean()),
                monte_carlo_se=finite(flips.std(ddof=1) / np.sqrt(draws)) if draws > 1 else None,
            )
        )
    of = pd.Series("all", index=counts["patient_id"]) if cohorts is None else pd.Series(dict(cohorts))
    label = counts["patient_id"].map(of).to_numpy(object)
    rows = [
        _with_tiles(str(name), full, tiles, label == name) for name in sorted(set(label) - {None}, key=str)
    ]
    return DepthAudit(depths=tuple(out), draws=draws, tiles=tuple(r for r in rows if r is not None))


def _with_tiles(
    cohort: str, score: np.ndarray, tiles: np.ndarray, inside: np.ndarray
) -> TilesCorrelation | None:
    """Correlation of score and log(tiles) in one cohort; None if it cannot be estimated."""
    usable = inside & np.isfinite(score) & (tiles > 0)
    if usable.sum() < _FEWEST or not np.ptp(score[usable]) > 0 or not np.ptp(tiles[usable]) > 0:
        return None
    test = stats.pearsonr(score[usable], np.log(tiles[usable]))
    interval = test.confidence_interval()
    r = Estimate.of(test.statistic, interval.low, interval.high)
    return TilesCorrelation(cohort=cohort, patients=int(usable.sum()), correlation=r, p=float(test.pvalue))
