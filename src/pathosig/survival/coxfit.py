"""What a Cox regression gives back."""

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
    """A chi-square test: statistic, degrees of freedom, p."""

    statistic: float
    df: int
    p: float


@dataclass(frozen=True, kw_only=True)
class CoxFit:
    """A fitted Cox model.

    Attributes
    ----------
    coef, se, z, p
        float[p]; `se` is robust where clusters were given, `naive_se` never is.
    hr, lower, upper
        exp(coef) and its confidence interval.
    covariance
        float[p, p], robust where clusters were given.
    loglik, loglik_null
        Log partial likelihoods.
    lr_test, wald_test, score_test
        Global tests.
    means
        float[p]: weighted column means, 0 for columns of -1, 0, 1 only, as R centres.
    separated
        bool[p]: columns whose estimate is infinite.
    warnings
        Separation, columns without variation, no convergence.
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
        """Hazard ratios."""
        return np.exp(self.coef)

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2 p - 2 log L."""
        return -2 * self.loglik + 2 * int(np.isfinite(self.coef).sum())

    def linear_predictor(self, x: Any) -> np.ndarray:
        """X @ coef, not centred, float[n]; columns of a DataFrame are taken by name."""
        if hasattr(x, "columns"):
            x = x[list(self.names)]
        return np.asarray(as_columns(x)[0] @ np.nan_to_num(self.coef))

    def baseline_hazard(
        self, *, centered: bool = False, stratum: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(times, cumulative hazard) at covariates 0 (or at the means), as R's basehaz.

        Parameters
        ----------
        centered
            At the means of the covariates instead of at 0.
        stratum
            Label of the stratum, where the model has strata.

        Raises
        ------
        ConfigError
            If the model has strata (each has a baseline of its own) and none of them is named.
        """
        sets = self.sets
        if len(self.strata) > 1 and stratum not in self.strata:
            known = ", ".join(map(str, self.strata))
            raise ConfigError(f"baseline_hazard: the model has strata; stratum must be one of {known}.")
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
        """Predicted survival, float[n, len(times)], exp(-H0(t) exp(X @ coef)); `stratum` where the model has strata."""
        grid, hazard = self.baseline_hazard(stratum=stratum)
        at = np.concatenate([[0.0], hazard])[np.searchsorted(grid, np.atleast_1d(times), side="right")]
        return np.exp(-np.outer(np.exp(self.linear_predictor(x)), at))

    def to_frame(self) -> pd.DataFrame:
        """One row per column: coef, hr, lower, upper, se, z, p."""
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
