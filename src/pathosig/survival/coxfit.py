"""The result of a Cox regression."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.errors import ConfigError
from pathosig.survival.data import as_columns
from pathosig.survival.likelihood import term_sums
from pathosig.survival.risksets import RiskSets


@dataclass(frozen=True, kw_only=True, slots=True)
class Test:
    """A chi-square test: statistic, degrees of freedom and p-value."""

    statistic: float
    df: int
    p: float


@dataclass(frozen=True, kw_only=True)
class CoxFit:
    """A fitted Cox model.

    Attributes
    ----------
    coef, se, naive_se, z, p
        float[p]; `se` is robust where `robust` is True, `naive_se` never is. NaN for columns without an estimate.
    hr, lower, upper
        float[p]: hazard ratio and its confidence interval.
    covariance
        float[p, p], robust where `robust` is True.
    loglik, loglik_null
        Log partial likelihood at the estimate and at coefficients of 0.
    lr_test, wald_test, score_test
        Global tests: likelihood ratio, Wald and score.
    means
        float[p]: values at which R centres the columns: weighted means, but 0 for columns that hold only -1, 0 and 1.
    n, n_events, n_missing
        Rows used, events among them, and rows left out.
    robust
        Whether standard errors are robust, because clusters or fractional weights were given.
    separated
        bool[p]: columns whose estimate is infinite.
    warnings
        Sentences about separation, columns without an estimate, and missing convergence.
    kept
        bool: which rows of the data were used.
    sets, x
        Risk sets and columns of the rows used, both in the order of `sets`.
    strata
        Labels of the strata.

    Examples
    --------
    >>> from pathosig.survival import cox
    >>> fit = cox([[0.2], [1.5], [0.3], [2.0], [0.1]], [5, 1, 4, 2, 6], [1, 1, 0, 1, 0])
    >>> fit.to_frame()[["name", "hr", "p"]].round(2)
      name    hr     p
    0   x1  6.14  0.18
    >>> fit.survival_at([[0.5]], [2, 5]).round(2)
    array([[0.9 , 0.35]])
    """

    names: tuple[str, ...]
    coef: np.ndarray
    se: np.ndarray
    naive_se: np.ndarray
    z: np.ndarray
    p: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    covariance: np.ndarray
    loglik: float
    loglik_null: float
    lr_test: Test
    wald_test: Test
    score_test: Test
    means: np.ndarray
    n: int
    n_events: int
    n_missing: int
    ties: str
    iterations: int
    converged: bool
    conf_level: float
    robust: bool
    separated: np.ndarray
    warnings: tuple[str, ...]
    kept: np.ndarray = field(repr=False)
    sets: RiskSets = field(repr=False)
    x: np.ndarray = field(repr=False)
    strata: tuple[Any, ...] = ()

    @property
    def hr(self) -> np.ndarray:
        """Hazard ratios, float[p]."""
        return np.exp(self.coef)

    @property
    def aic(self) -> float:
        """Akaike's information criterion, 2 p - 2 log L."""
        return -2 * self.loglik + 2 * int(np.isfinite(self.coef).sum())

    def linear_predictor(self, x: Any) -> np.ndarray:
        """X @ coef without centring, float[n]; the columns of a DataFrame are taken by name."""
        if hasattr(x, "columns"):
            x = x[list(self.names)]
        return np.asarray(as_columns(x)[0] @ np.nan_to_num(self.coef))

    def baseline_hazard(
        self, *, centered: bool = False, stratum: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Times and cumulative hazard at covariates of 0 (or at their means), as R's basehaz.

        Parameters
        ----------
        centered
            Whether covariates are at their `means` instead of at 0.
        stratum
            Label of the stratum, if the model has strata.

        Raises
        ------
        ConfigError
            If the model has strata, each of which has its own baseline, and `stratum` is not one of them.
        """
        sets = self.sets
        if len(self.strata) > 1 and stratum not in self.strata:
            strata = ", ".join(map(str, self.strata))
            raise ConfigError(f"baseline_hazard: the model has strata; stratum must be one of {strata}.")
        inside = sets.stratum == (self.strata.index(stratum) if len(self.strata) > 1 else sets.stratum)
        beta = np.nan_to_num(self.coef)
        shift = float(self.means @ beta)
        risk = sets.weight * np.exp(self.x @ beta - shift)
        s0 = term_sums(sets, risk)
        jump = np.bincount(sets.term_group, weights=sets.term_weight / s0, minlength=sets.n_groups)
        here = inside[sets.end - 1]
        event_times, jump = sets.time[sets.end - 1][here], jump[here]
        times = np.unique(sets.time[inside])
        order = np.argsort(event_times)
        total = np.concatenate([[0.0], np.cumsum(jump[order])])
        hazard = total[np.searchsorted(event_times[order], times, side="right")]
        return times, hazard * (1.0 if centered else np.exp(-shift))

    def survival_at(self, x: Any, times: Any, *, stratum: Any = None) -> np.ndarray:
        """Predicted survival exp(-H0(t) exp(X @ coef)), float[n, len(times)]; a model with strata needs `stratum`."""
        grid, hazard = self.baseline_hazard(stratum=stratum)
        at = np.concatenate([[0.0], hazard])[np.searchsorted(grid, np.atleast_1d(times), side="right")]
        return np.exp(-np.outer(np.exp(self.linear_predictor(x)), at))

    def to_frame(self) -> pd.DataFrame:
        """One row per column: name, coef, hr, lower, upper, se, z, p."""
        return pd.DataFrame(
            {
                "name": self.names,
                "coef": self.coef,
                "hr": self.hr,
                "lower": self.lower,
                "upper": self.upper,
                "se": self.se,
                "z": self.z,
                "p": self.p,
            }
        )
