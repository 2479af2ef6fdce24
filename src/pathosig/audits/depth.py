"""Audit `depth`: what the number of tiles does to the score."""

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
    """Score with fewer tiles: bias, ICC with the full score, how many patients change group; and score against tiles.

    Parameters
    ----------
    score, group_of
        The frozen signature's, without its minimum of tiles.
    counts
        patient_id and tile counts ``hpc_00`` ... per patient.
    depths, draws, seed
        Tiles a patient, how often they are drawn without replacement, seed.
    cohorts
        patient_id -> cohort, for the correlation of the score with log(tiles); one cohort by default.

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
    """Correlation of score and log(tiles) in one cohort; None where it cannot be estimated."""
    usable = inside & np.isfinite(score) & (tiles > 0)
    if usable.sum() < _FEWEST or not np.ptp(score[usable]) > 0 or not np.ptp(tiles[usable]) > 0:
        return None
    test = stats.pearsonr(score[usable], np.log(tiles[usable]))
    interval = test.confidence_interval()
    r = Estimate.of(test.statistic, interval.low, interval.high)
    return TilesCorrelation(cohort=cohort, patients=int(usable.sum()), correlation=r, p=float(test.pvalue))
