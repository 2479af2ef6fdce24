"""Agreement between the scores of several cores of a patient, given the sampling variance within each core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

AGREE = "agree"
HETEROGENEOUS = "heterogeneous"
SINGLE = "single"

_FEWEST_PLACES = 8
_BLOCK_TILES = 4
"""Side of a block of the spatial resampling, in tiles."""


@dataclass(frozen=True, kw_only=True)
class CoreAgreement:
    """Agreement between the cores of every patient.

    Attributes
    ----------
    table
        One row per patient: patient_id, n_cores, groups_differ, p, agreement.
    observed, expected
        Proportion heterogeneous among patients with several cores, and the proportion expected if the cores of a patient
        differed by sampling alone.
    naive, naive_expected
        The same for the naive definition, by which cores on both sides of the cut-off are enough.
    """

    table: pd.DataFrame
    observed: float
    expected: float
    naive: float
    naive_expected: float

    def to_dict(self) -> dict[str, Any]:
        """Counts and rates for results.json."""
        counts = self.table["agreement"].value_counts()
        by_cores = self.table.groupby("n_cores")["agreement"].agg(lambda s: (s == HETEROGENEOUS).mean())
        return {
            **{k: int(counts.get(k, 0)) for k in (AGREE, HETEROGENEOUS, SINGLE)},
            "n": len(self.table),
            "observed_rate": self.observed,
            "expected_rate": self.expected,
            "naive_rate": self.naive,
            "naive_expected_rate": self.naive_expected,
            "by_cores": [
                {"cores": int(c), "n": int((self.table["n_cores"] == c).sum()), "heterogeneous": float(r)}
                for c, r in by_cores.items()
            ],
        }


def block_variance(contribution: np.ndarray, x: np.ndarray, y: np.ndarray, *, block: float) -> float:
    """Variance of the mean contribution of tiles if square blocks of tiles are the sampling units.

    Parameters
    ----------
    contribution
        float[n_tiles]: contribution of each tile to the score; see `signature.cores.tile_gradient`.
    x, y
        float[n_tiles]: position of each tile, in any unit.
    block
        Side of a block in the same unit, usually that of four tiles.

    Returns
    -------
    The variance; NaN if there are fewer than two blocks.

    References
    ----------
    Lahiri SN. Resampling methods for dependent data. 2003: the block bootstrap's variance of a ratio of sums.

    Examples
    --------
    >>> x = np.arange(8.0)
    >>> block_variance(np.array([1.0, 1, 0, 0, 1, 1, 0, 0]), x, np.zeros(8), block=2)
    0.08333333333333333
    >>> block_variance(np.array([1.0, 0, 1, 0, 1, 0, 1, 0]), x, np.zeros(8), block=2)
    0.0
    """
    cell = np.unique(np.stack([x // block, y // block], axis=1), axis=0, return_inverse=True)[1].ravel()
    count = np.bincount(cell).astype(float)
    total = np.bincount(cell, weights=contribution)
    blocks = len(count)
    if blocks < 2:
        return float("nan")
    residual = total - total.sum() / count.sum() * count
    return float(blocks / (blocks - 1) * (residual**2).sum() / count.sum() ** 2)


def spatial_variance(contribution: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """`block_variance` with blocks of four by four tiles; NaN if there are fewer than eight tiles.

    Parameters
    ----------
    contribution
        float[n_tiles]: contribution of each tile to the score.
    x, y
        float[n_tiles]: position of each tile on a grid, in any unit.

    Returns
    -------
    The variance in squared units of the score; NaN if there are fewer than eight tiles.

    Examples
    --------
    >>> spatial_variance(np.array([1.0, 1, 1, 1, 0, 0, 0, 0]), np.arange(8.0), np.zeros(8))  # two blocks, 0 and 1
    0.25
    """
    if len(contribution) < _FEWEST_PLACES:
        return float("nan")
    steps = np.diff(np.unique(x))
    side = _BLOCK_TILES * float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0
    return block_variance(contribution, x, y, block=side)


def multinomial_variance(gradient: np.ndarray, shares: np.ndarray, n_tiles: float) -> float:
    """Variance of a score if its tiles were independent draws: a lower bound, used if the positions of tiles are unknown.

    Parameters
    ----------
    gradient
        float[k]: contribution of one tile of each kind to the score.
    shares
        float[k]: proportions of the kinds, which sum to 1.
    n_tiles
        Number of tiles.

    Returns
    -------
    The variance in squared units of the score.

    Examples
    --------
    >>> multinomial_variance(np.array([1.0, 0.0]), np.array([0.5, 0.5]), 100)
    0.0025
    """
    mean = float(shares @ gradient)
    return float(shares @ (gradient - mean) ** 2 / max(n_tiles, 1.0))


def core_agreement(
    cores: pd.DataFrame, *, cutoff: float, level: float = 0.05, draws: int = 200, seed: int = 0
) -> CoreAgreement:
    """Agreement between the cores of each patient.

    Parameters
    ----------
    cores
        One row per core: patient_id, score, and variance, which is the sampling variance of the score (NaN if unknown).
    cutoff
        Cut-off of the signature.
    level
        Level of the test of heterogeneity.
    draws, seed
        For the expected rates: how often the cores of each patient are simulated with a common score, and the seed.

    Returns
    -------
    CoreAgreement
        A patient is heterogeneous if cores lie on both sides of the cut-off *and* Cochran's Q rejects the hypothesis that
        they have a common score; if a variance is unknown, the first condition is enough.

    References
    ----------
    Cochran (1954), Biometrics 10, for the statistic Q.

    Examples
    --------
    >>> cores = pd.DataFrame({"patient_id": ["P1", "P1", "P2", "P2"], "score": [-1.0, 1.0, 0.5, 0.6], "variance": 0.01})
    >>> core_agreement(cores, cutoff=0.0).table[["patient_id", "groups_differ", "agreement"]]
      patient_id  groups_differ      agreement
    0         P1           True  heterogeneous
    1         P2          False          agree
    """
    rng = np.random.default_rng(seed)
    rows = []
    expected, naive_expected = [], []
    usable = cores[np.isfinite(cores["score"])]
    for patient, part in usable.groupby("patient_id", sort=True):
        score, variance = part["score"].to_numpy(float), part["variance"].to_numpy(float)
        differ = bool((score > cutoff).any() and (score <= cutoff).any())
        p = _cochran(score[None, :], variance)[0] if len(score) > 1 else np.nan
        called = differ and (not np.isfinite(p) or p < level)
        label = SINGLE if len(score) == 1 else HETEROGENEOUS if called else AGREE
        rows.append(
            {
                "patient_id": patient,
                "n_cores": len(score),
                "groups_differ": differ,
                "p": p,
                "agreement": label,
            }
        )
        if len(score) > 1 and np.isfinite(variance).all():
            weight = 1 / np.maximum(variance, 1e-12)
            common = float((weight * score).sum() / weight.sum())
            alike = common + rng.normal(size=(draws, len(score))) * np.sqrt(variance)
            split = (alike > cutoff).any(1) & (alike <= cutoff).any(1)
            expected.append(float((split & (_cochran(alike, variance) < level)).mean()))
            naive_expected.append(float(split.mean()))
    table = pd.DataFrame(rows, columns=["patient_id", "n_cores", "groups_differ", "p", "agreement"])
    several = table[table["n_cores"] > 1]
    return CoreAgreement(
        table=table,
        observed=_mean(several["agreement"] == HETEROGENEOUS),
        expected=_mean(expected),
        naive=_mean(several["groups_differ"]),
        naive_expected=_mean(naive_expected),
    )


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _cochran(scores: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """P-value of Cochran's Q for each row of scores; NaN if a variance is unknown."""
    if not np.isfinite(variance).all():
        return np.full(len(scores), np.nan)
    weight = 1 / np.maximum(variance, 1e-12)
    common = (scores * weight).sum(1, keepdims=True) / weight.sum()
    statistic = (weight * (scores - common) ** 2).sum(1)
    return np.asarray(stats.chi2.sf(statistic, scores.shape[1] - 1))
