"""Agreement of the cores or slides of a patient, beyond what sampling within them explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.signature.model import HIGH, LOW, NOT_ASSESSABLE, Signature

AGREE, HETEROGENEOUS, SINGLE = "agree", "heterogeneous", "single"


@dataclass(frozen=True, kw_only=True)
class CoreAgreement:
    """Agreement of the cores of every patient.

    Attributes
    ----------
    table
        One row per patient: n_cores, groups_differ, p, agreement.
    observed, expected
        Share of patients with several cores called heterogeneous; expected were all cores alike.
    naive, naive_expected
        The same for "cores fall on both sides of the cut-off", the naive definition.
    """

    table: pd.DataFrame
    observed: float
    expected: float
    naive: float
    naive_expected: float

    def to_dict(self) -> dict[str, Any]:
        """Counts and rates, for results.json."""
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


def tile_gradient(signature: Signature, core: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Change of the score per change of each leaf share of one core, float[k]: what one tile contributes."""
    step = 1e-4
    shares = core[list(columns)].to_numpy(float)[0]
    rows = np.tile(shares, (len(columns) + 1, 1))
    rows[1:] *= 1 - step
    rows[np.arange(1, len(rows)), np.arange(len(columns))] += step
    table = pd.DataFrame(rows, columns=list(columns))
    table["n_tiles"] = max(float(core["n_tiles"].iloc[0]), float(signature.transform.min_tiles))
    score = signature.score(table)
    return np.asarray((score[1:] - score[0]) / step)


def block_variance(contribution: np.ndarray, x: np.ndarray, y: np.ndarray, *, block: float) -> float:
    """Variance of the mean contribution of tiles when square blocks of them are the sampling units.

    Parameters
    ----------
    contribution
        float[n_tiles]; see `tile_gradient`.
    x, y
        Place of each tile, any unit.
    block
        Side of a block in the same unit; about four tiles.

    References
    ----------
    Lahiri SN. Resampling methods for dependent data. 2003: the block bootstrap's variance of a ratio of sums.
    """
    cell = np.unique(np.stack([x // block, y // block], axis=1), axis=0, return_inverse=True)[1].ravel()
    count = np.bincount(cell).astype(float)
    total = np.bincount(cell, weights=contribution)
    blocks = len(count)
    if blocks < 2:
        return float("nan")
    residual = total - total.sum() / count.sum() * count
    return float(blocks / (blocks - 1) * (residual**2).sum() / count.sum() ** 2)


def multinomial_variance(gradient: np.ndarray, shares: np.ndarray, n_tiles: float) -> float:
    """Variance of a score if tiles were independent draws: a lower limit, used where places are unknown."""
    mean = float(shares @ gradient)
    return float(shares @ (gradient - mean) ** 2 / max(n_tiles, 1.0))


def core_agreement(
    cores: pd.DataFrame, *, cutoff: float, level: float = 0.05, draws: int = 200, seed: int = 0
) -> CoreAgreement:
    """Agreement of each patient's cores.

    Parameters
    ----------
    cores
        One row per core: patient_id, score, variance (sampling variance of the score; NaN when unknown).
    cutoff
        Cut-off of the signature.
    level
        Level of the heterogeneity test.
    draws
        Simulated patients' sets of alike cores, for the expected rates.

    Returns
    -------
    CoreAgreement
        A patient is heterogeneous when cores fall on both sides of the cut-off *and* Cochran's Q rejects that they
        share one score.
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
    """P of Cochran's Q for each row of scores; NaN when a variance is unknown."""
    if not np.isfinite(variance).all():
        return np.full(len(scores), np.nan)
    weight = 1 / np.maximum(variance, 1e-12)
    common = (scores * weight).sum(1, keepdims=True) / weight.sum()
    statistic = (weight * (scores - common) ** 2).sum(1)
    return np.asarray(stats.chi2.sf(statistic, scores.shape[1] - 1))


def paper_groups(cores: pd.DataFrame, cutoff: float) -> pd.Series:
    """The paper's three groups, by patient: low or high when all cores agree, else heterogeneous."""

    def name(score: pd.Series) -> str:
        finite = score[np.isfinite(score)]
        if not len(finite):
            return NOT_ASSESSABLE
        return HIGH if (finite > cutoff).all() else LOW if (finite <= cutoff).all() else HETEROGENEOUS

    return cores.groupby("patient_id")["score"].agg(name)
