"""The patients of one cohort and the distribution of their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.clinical import UNITS
from pathosig.signature.model import HIGH, NOT_ASSESSABLE
from pathosig.validation.analysis import Analysis
from pathosig.validation.findings import depth_correlation
from pathosig.validation.results import CohortResult, ScoreSummary, TileCounts
from pathosig.validation.values import Estimate, Finding, finite

_QUANTILES = (5, 25, 50, 75, 95)


def cohort_result(rows: pd.DataFrame, name: str, role: Literal["discovery", "validation"]) -> CohortResult:
    """Numbers of patients and tiles, and the distribution of scores, of a cohort.

    Parameters
    ----------
    rows
        Patients with score, group and n_tiles.
    name, role
        Name and role of the cohort.

    Returns
    -------
    CohortResult

    Examples
    --------
    >>> groups = ["low", "high", "not assessable"]
    >>> rows = pd.DataFrame({"score": [0.1, 0.9, np.nan], "group": groups, "n_tiles": [900, 800, 3]})
    >>> result = cohort_result(rows, "v1", "validation")
    >>> result.n_assessable, result.share_high.estimate, result.tiles.median
    (2, 0.5, 800.0)
    """
    assessable = rows[rows["group"] != NOT_ASSESSABLE]
    score = assessable["score"].to_numpy(float)
    tiles = rows["n_tiles"].to_numpy(float)
    quantiles = np.percentile(score, _QUANTILES) if len(score) else [np.nan] * len(_QUANTILES)
    return CohortResult(
        name=name,
        role=role,
        n_patients=len(rows),
        n_assessable=len(assessable),
        n_not_assessable=len(rows) - len(assessable),
        share_high=proportion(int((assessable["group"] == HIGH).sum()), len(assessable)),
        tiles=TileCounts(median=finite(np.median(tiles)), min=finite(tiles.min()), max=finite(tiles.max())),
        score=ScoreSummary(
            mean=finite(score.mean()) if len(score) else None,
            sd=finite(score.std(ddof=1)) if len(score) > 1 else None,
            quantiles={f"p{m:02d}": finite(q) for m, q in zip(_QUANTILES, quantiles, strict=True)},
        ),
        depth_correlation=depth_correlation(rows["score"].to_numpy(float), tiles),
    )


def proportion(count: int, n: int) -> Estimate:
    """A proportion with its Clopper-Pearson interval.

    Parameters
    ----------
    count
        Number of patients with the property, 0 to `n`.
    n
        Number of patients; with 0 the estimate is None.

    Returns
    -------
    Estimate
        From 0 to 1, with the limits of its 95 % confidence interval.

    References
    ----------
    R: stats::binom.test.

    Examples
    --------
    >>> value = proportion(3, 10)
    >>> value.estimate, round(value.lower, 3), round(value.upper, 3)
    (0.3, 0.067, 0.652)
    """
    if n == 0:
        return Estimate.of(np.nan)
    lower = stats.beta.ppf(0.025, count, n - count + 1) if count else 0.0
    upper = stats.beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
    return Estimate.of(count / n, lower, upper, n=n)


def horizon_findings(
    frame: pd.DataFrame, analysis: Analysis, horizons: Sequence[float]
) -> tuple[Finding, ...]:
    """A warning if some horizons lie beyond the follow-up of a cohort; empty otherwise.

    Parameters
    ----------
    frame
        Patients with the column time.
    analysis
        The analysis, for the names of cohort and endpoint and the unit of time.
    horizons
        Horizons in years.

    Returns
    -------
    tuple of Finding
        At most one, with the code W_HORIZON.

    Examples
    --------
    >>> row = Analysis(cohort="v1", endpoint="os", unit="months", role="validation", primary=True, n=2, events=1)
    >>> horizon_findings(pd.DataFrame({"time": [20.0, 41.0]}), row, (1.0, 3.0, 5.0))[0].message
    'v1 / os: follow-up ends at 41 months; nothing is given at 5 years.'
    """
    last = float(frame["time"].max())
    beyond = [f"{y:g}" for y in horizons if y * UNITS[analysis.unit] > last]
    if not beyond:
        return ()
    where = f"{analysis.cohort} / {analysis.endpoint}"
    text = f"{where}: follow-up ends at {last:.4g} {analysis.unit}; nothing is given at {', '.join(beyond)} years."
    return (Finding(code="W_HORIZON", message=text, where=where),)
