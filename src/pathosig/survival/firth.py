"""Firth's penalised Cox regression: finite estimates under separation and with sparse columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize, stats

from pathosig.survival.cox import loglik_derivatives
from pathosig.survival.data import RiskSets, as_columns, as_events, as_times, codes, fix_times, risk_sets

if TYPE_CHECKING:
    import pandas as pd

_STEP = 1e-5
_MAX_ITER = 200


@dataclass(frozen=True, kw_only=True)
class FirthFit:
    """A Firth-penalised Cox model; limits and p from the penalised profile likelihood."""

    names: tuple[str, ...]
    coef: np.ndarray
    se: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p: np.ndarray
    loglik: float
    n: int
    n_events: int
    converged: bool

    @property
    def hr(self) -> np.ndarray:
        """Hazard ratios."""
        return np.exp(self.coef)

    def to_frame(self) -> pd.DataFrame:
        """One row per column."""
        import pandas as pd

        names = ("coef", "hr", "lower", "upper", "se", "p")
        return pd.DataFrame({"name": self.names, **{n: getattr(self, n) for n in names}})


def firth_cox(
    X: Any,
    time: Any,
    event: Any,
    *,
    ties: str = "breslow",
    conf_level: float = 0.95,
) -> FirthFit:
    """Cox regression with Firth's penalty, 0.5 log det of the information.

    Parameters
    ----------
    X, time, event
        As in `cox`; rows with missing values are left out, constant columns have no estimate (NaN).
    ties
        ``breslow`` as coxphf, or ``efron``.

    Raises
    ------
    NotEstimableError
        If there is no event.

    References
    ----------
    R: coxphf::coxphf. Heinze & Schemper (2001), Biometrics 57.
    """
    x_all, names = as_columns(X)
    t, d = as_times(time), as_events(event)
    kept = np.isfinite(x_all).all(axis=1) & np.isfinite(t)
    sets = risk_sets(
        fix_times(t[kept])[0],
        d[kept],
        stratum=codes(None, int(kept.sum())),
        weight=np.ones(int(kept.sum())),
        entry=None,
        ties=ties,
    )
    x = x_all[kept][sets.order]
    varies = np.ptp(x, axis=0) > 0 if len(x) else np.zeros(x.shape[1], bool)
    if not varies.all() and varies.any():  # constant columns have no estimate; the others are not disturbed
        part = firth_cox(x_all[:, varies], np.where(kept, t, np.nan), event, ties=ties, conf_level=conf_level)
        spread: dict[str, Any] = {}
        for field in ("coef", "se", "lower", "upper", "p"):
            spread[field] = np.full(len(varies), np.nan)
            spread[field][varies] = getattr(part, field)
        return replace(part, names=names, **spread)
    scale = np.maximum(x.std(axis=0), 1e-12)
    z = (x - x.mean(axis=0)) / scale
    everything = np.arange(z.shape[1])
    beta, value, converged = _maximise(z, sets, np.zeros(z.shape[1]), everything)
    _, _, info = loglik_derivatives(beta, z, sets)
    se = np.sqrt(np.diag(np.linalg.pinv(info)))
    half = stats.chi2.ppf(conf_level, 1) / 2
    lower, upper, p = (np.full(len(beta), np.nan) for _ in range(3))
    for j in everything:
        others = everything[everything != j]

        def profile(b: float, j: int = j, others: np.ndarray = others) -> float:
            start = beta.copy()
            start[j] = b
            return _maximise(z, sets, start, others)[1]

        p[j] = stats.chi2.sf(max(0.0, 2 * (value - profile(0.0))), 1)
        lower[j] = _limit(profile, beta[j], -se[j], value - half)
        upper[j] = _limit(profile, beta[j], se[j], value - half)
    return FirthFit(
        names=names,
        coef=beta / scale,
        se=se / scale,
        lower=np.exp(lower / scale),
        upper=np.exp(upper / scale),
        p=p,
        loglik=value + float(np.log(scale).sum()),  # of columns as given, not standardised
        n=int(kept.sum()),
        n_events=int(sets.event.sum()),
        converged=converged,
    )


def _limit(profile: Any, centre: float, step: float, target: float) -> float:
    """Where the profile falls to the target, searched outwards from the estimate."""
    reach = centre + 2 * step
    for _ in range(12):
        if profile(reach) < target:
            return float(optimize.brentq(lambda b: profile(b) - target, centre, reach, xtol=1e-8))
        reach += reach - centre
    return float(np.sign(step) * np.inf)


def _penalised(beta: np.ndarray, x: np.ndarray, sets: RiskSets) -> tuple[float, np.ndarray, np.ndarray]:
    loglik, score, info = loglik_derivatives(beta, x, sets)
    sign, logdet = np.linalg.slogdet(info)
    return (loglik + 0.5 * logdet if sign > 0 else -np.inf), score, info


def _half_logdet(beta: np.ndarray, x: np.ndarray, sets: RiskSets) -> float:
    sign, logdet = np.linalg.slogdet(loglik_derivatives(beta, x, sets)[2])
    return 0.5 * float(logdet) if sign > 0 else -np.inf


def _maximise(
    x: np.ndarray, sets: RiskSets, start: np.ndarray, free: np.ndarray
) -> tuple[np.ndarray, float, bool]:
    """Maximise over the free columns, the others held."""
    beta = start.copy()
    value, score, info = _penalised(beta, x, sets)
    if not len(free):
        return beta, value, True
    for _ in range(_MAX_ITER):
        gradient = score.copy()
        for j in free:
            shift = np.zeros(len(beta))
            shift[j] = _STEP
            gradient[j] += (_half_logdet(beta + shift, x, sets) - _half_logdet(beta - shift, x, sets)) / (
                2 * _STEP
            )
        step = np.linalg.lstsq(info[np.ix_(free, free)], gradient[free], rcond=None)[0]
        step = np.clip(step, -5, 5)
        while True:
            trial = beta.copy()
            trial[free] += step
            new, score_new, info_new = _penalised(trial, x, sets)
            if new >= value - 1e-12 or np.abs(step).max() < 1e-10:
                break
            step = step / 2
        small = np.abs(step).max() < 1e-8
        beta, value, score, info = trial, new, score_new, info_new
        if small:
            return beta, value, True
    return beta, value, False
