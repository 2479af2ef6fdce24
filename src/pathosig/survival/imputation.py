"""Multiple imputation of missing covariates by chained equations, and pooling by Rubin's rules.

The score is never imputed. Every imputation model includes the event indicator and the Nelson-Aalen estimate of the cumulative
hazard. The parameters of a model are drawn before the values, so that imputations are proper.

References
----------
White IR, Royston P. Stat Med 2009; 28: 1982. Rubin DB. Multiple Imputation for Nonresponse in Surveys, 1987.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.linear_model import LogisticRegression

from pathosig.core.errors import NotEstimableError
from pathosig.core.words import counted
from pathosig.survival.covariates import as_level, is_categorical, levels_of

_ROUNDS = 10
_DONORS = 5
_RIDGE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """Estimates pooled over imputed data sets (Rubin).

    Attributes
    ----------
    coef, se, lower, upper, p
        float[p]: estimates, standard errors, 95 % confidence intervals and p-values, from t distributions with Barnard and
        Rubin's degrees of freedom.
    missing_information
        float[p]: fraction of missing information (fmi in mice).
    variance_proportion
        float[p]: proportion of the variance that lies between imputed data sets (lambda in mice).
    m
        Number of imputed data sets.
    """

    coef: np.ndarray
    se: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p: np.ndarray
    missing_information: np.ndarray
    variance_proportion: np.ndarray
    m: int


def _nelson_aalen(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Cumulative hazard at the time of each patient: float[n]."""
    _, place = np.unique(time, return_inverse=True)
    died = np.bincount(place, weights=event.astype(float))
    count = np.bincount(place)
    at_risk = len(time) - np.concatenate([[0], np.cumsum(count)[:-1]])
    return np.asarray(np.cumsum(died / at_risk)[place])


@dataclass(frozen=True)
class _Column:
    """A covariate as numbers: the levels of a category are coded 0, 1, ... in `values`; `lost` marks missing values."""

    name: str
    values: np.ndarray
    lost: np.ndarray
    levels: tuple[str, ...]
    originals: tuple[Any, ...]

    @classmethod
    def of(cls, column: pd.Series) -> _Column:
        lost = column.isna().to_numpy()
        if not is_categorical(column):
            return cls(str(column.name), column.to_numpy(float), lost, (), ())
        text = np.array([None if gone else as_level(v) for v, gone in zip(column, lost, strict=True)], object)
        levels = tuple(levels_of(column))
        codes = np.full(len(column), np.nan)
        originals: list[Any] = []
        for code, level in enumerate(levels):
            rows = np.flatnonzero(text == level)
            codes[rows] = code
            originals.append(column.iloc[rows[0]])
        return cls(str(column.name), codes, lost, levels, tuple(originals))

    def design(self, values: np.ndarray) -> list[np.ndarray]:
        """Columns of this covariate in the imputation models of the others."""
        if not self.levels:
            return [values]
        return [(values == code).astype(float) for code in range(1, len(self.levels))]


def impute(
    frame: pd.DataFrame, covariates: Sequence[str], *, m: int = 20, seed: int = 0
) -> list[pd.DataFrame]:
    """Multiple imputation: `m` copies of a table in which missing covariates are filled in.

    Parameters
    ----------
    frame
        One row per patient: score, time, event and covariates; score, time and event must be complete.
    covariates
        Columns to fill: numbers by predictive mean matching, categories by multinomial regression. Columns without any
        value are ignored.
    m
        Number of completed copies.
    seed
        Seed of the draws; the same seed gives the same copies.

    Returns
    -------
    `m` tables with the columns of `frame` and filled covariates.

    Raises
    ------
    NotEstimableError
        If a covariate with missing values has fewer than ten values.

    References
    ----------
    R: mice::mice with pmm and polyreg, and with the event and nelsonaalen() among the predictors.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"score": rng.normal(size=30), "time": rng.exponential(size=30), "event": True})
    >>> frame["age"] = np.where(np.arange(30) % 10 == 0, np.nan, np.arange(40, 70))
    >>> [copy["age"].iloc[[0, 10, 20]].tolist() for copy in impute(frame, ["age"], m=2)]
    [[54.0, 56.0, 44.0], [54.0, 56.0, 68.0]]
    """
    names = [c for c in covariates if c in frame and frame[c].notna().any()]
    for name in names:
        if frame[name].isna().any() and frame[name].notna().sum() < 10:
            message = f"imputation: {name} is given for {counted(int(frame[name].notna().sum()), 'patient')}; at least 10 are needed."
            raise NotEstimableError(message)
    hazard = _nelson_aalen(frame["time"].to_numpy(float), frame["event"].to_numpy(bool))
    fixed = [frame["score"].to_numpy(float), frame["event"].to_numpy(float), hazard]
    columns = [_Column.of(frame[name]) for name in names]
    return [
        _filled(frame, columns, _chained(columns, fixed, np.random.default_rng(s)))
        for s in np.random.SeedSequence(seed).spawn(m)
    ]


def _chained(
    columns: Sequence[_Column], fixed: Sequence[np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Filled values of the incomplete columns; every round begins with the column that has the fewest missing values."""
    now = {c.name: c.values.copy() for c in columns}
    holes = sorted((c for c in columns if c.lost.any()), key=lambda c: int(c.lost.sum()))
    for c in holes:  # initial values are drawn from the observed ones
        now[c.name][c.lost] = rng.choice(c.values[~c.lost], int(c.lost.sum()))
    for _ in range(_ROUNDS if len(holes) > 1 else 1):
        for c in holes:
            others = [x for o in columns if o.name != c.name for x in o.design(now[o.name])]
            x = _standard(np.column_stack([*fixed, *others]))
            draw = _draw_level if c.levels else _draw_number
            now[c.name][c.lost] = draw(x, c, rng)
    return {c.name: now[c.name] for c in holes}


def _filled(
    frame: pd.DataFrame, columns: Sequence[_Column], values: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    out = frame.copy()
    for c in columns:
        if c.name not in values:
            continue
        if not c.levels:
            out[c.name] = values[c.name]
            continue
        text = frame[c.name].to_numpy(dtype=object, copy=True)
        text[c.lost] = [c.originals[int(v)] for v in values[c.name][c.lost]]
        out[c.name] = pd.Series(text, index=frame.index).astype(frame[c.name].dtype)
    return out


def _standard(x: np.ndarray) -> np.ndarray:
    spread = x.std(0)
    kept = spread > 1e-12
    return np.column_stack([np.ones(len(x)), (x[:, kept] - x[:, kept].mean(0)) / spread[kept]])


def _draw_number(x: np.ndarray, column: _Column, rng: np.random.Generator) -> np.ndarray:
    """Predictive mean matching: the value of one of the five observed patients with the nearest predictions."""
    lost = column.lost
    y = column.values[~lost]
    complete = x[~lost]
    inverse = np.linalg.inv(
        complete.T @ complete + _RIDGE * len(y) * np.diag([0.0] + [1.0] * (x.shape[1] - 1))
    )
    beta = inverse @ complete.T @ y
    free = max(len(y) - x.shape[1], 1)
    sigma = np.sqrt(((y - complete @ beta) ** 2).sum() / rng.chisquare(free))
    drawn = beta + sigma * np.linalg.cholesky(inverse) @ rng.normal(size=len(beta))
    donors = _nearest(complete @ beta, x[lost] @ drawn, min(_DONORS, len(y)))
    return np.asarray(y[donors[np.arange(len(donors)), rng.integers(0, donors.shape[1], len(donors))]])


def _nearest(values: np.ndarray, at: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k values nearest to each point, nearest first: int[len(at), k].

    They are among the k values below the point and the k values above it, so that distances to the others are not needed.
    """
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    first = np.clip(np.searchsorted(ranked, at) - k, 0, max(0, len(values) - 2 * k))
    window = first[:, None] + np.arange(min(2 * k, len(values)))
    near = np.argsort(np.abs(ranked[window] - at[:, None]), axis=1, kind="stable")[:, :k]
    return np.asarray(order[np.take_along_axis(window, near, axis=1)])


def _draw_level(x: np.ndarray, column: _Column, rng: np.random.Generator) -> np.ndarray:
    """Levels drawn from a multinomial logistic model of a bootstrap sample of the patients whose level is known.

    Coefficients are slightly shrunken (a ridge penalty of 1/2 |b|^2), because a level that is separated by a covariate would
    otherwise have a probability of 0 or 1.
    """
    observed = np.flatnonzero(~column.lost)
    rows = rng.choice(observed, len(observed))
    chance = np.zeros((int(column.lost.sum()), len(column.levels)))
    levels = column.values[rows].astype(int)
    if np.ptp(levels) == 0:
        chance[:, levels[0]] = 1.0
    else:
        model = LogisticRegression(C=1.0, max_iter=500, tol=1e-8).fit(x[rows, 1:], levels)
        chance[:, model.classes_] = model.predict_proba(x[column.lost, 1:])
    drawn = (chance.cumsum(1) < rng.random((len(chance), 1))).sum(1)
    return np.asarray(drawn.clip(0, len(column.levels) - 1), float)


def rubin(coef: np.ndarray, se: np.ndarray, *, n: int) -> Pooled:
    """Pool the estimates of imputed data sets by Rubin's rules.

    Parameters
    ----------
    coef, se
        float[m, p]: estimates and standard errors in the m data sets.
    n
        Degrees of freedom of the complete data; for a Cox model the number of events minus the number of parameters.

    Returns
    -------
    Pooled
        With float[p] of each quantity.

    References
    ----------
    Barnard J, Rubin DB. Biometrika 1999; 86: 948. R: mice::pool.

    Examples
    --------
    >>> pooled = rubin(np.array([[0.5], [0.6], [0.7]]), np.array([[0.2], [0.2], [0.2]]), n=80)
    >>> pooled.coef, pooled.se.round(4), pooled.missing_information.round(2)
    (array([0.6]), array([0.2309]), array([0.31]))
    """
    m = len(coef)
    mean, within = coef.mean(0), (se**2).mean(0)
    between = coef.var(0, ddof=1) if m > 1 else np.zeros(coef.shape[1])
    total = within + (1 + 1 / m) * between
    share = np.where(total > 0, (1 + 1 / m) * between / total, 0.0)
    with np.errstate(divide="ignore"):
        old = np.where(share > 0, (m - 1) / share**2, np.inf)
    whole = max(float(n), 1.0)
    observed = (whole + 1) / (whole + 3) * whole * (1 - share)
    df = np.where(np.isfinite(old), old * observed / (old + observed), observed)
    with np.errstate(divide="ignore", invalid="ignore"):
        increase = np.where(share < 1, share / (1 - share), np.inf)
        information = np.where(np.isfinite(increase), (increase + 2 / (df + 3)) / (1 + increase), 1.0)
    information = np.where(share > 0, information, 0.0)
    root, width = np.sqrt(total), stats.t.ppf(0.975, df)
    p = 2 * stats.t.sf(np.abs(mean / root), df)
    return Pooled(
        coef=mean,
        se=root,
        lower=mean - width * root,
        upper=mean + width * root,
        p=p,
        missing_information=information,
        variance_proportion=share,
        m=m,
    )
