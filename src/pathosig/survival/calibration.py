"""Calibration of predicted survival: observed against expected risk, slope, and grouped and smoothed curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import InputError, NotEstimableError, PathosigError
from pathosig.survival.cox import cox
from pathosig.survival.curves import kaplan_meier
from pathosig.survival.data import outcome

_KNOTS = {3: (0.1, 0.5, 0.9), 4: (0.05, 0.35, 0.65, 0.95), 5: (0.05, 0.275, 0.5, 0.725, 0.95)}
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class CalibrationAt:
    """Calibration at one time; risks are probabilities of an event by this time.

    Attributes
    ----------
    time
        The time of prediction.
    observed, observed_lower, observed_upper
        1 - Kaplan-Meier of all patients, with its confidence interval.
    expected
        Mean predicted risk.
    ratio, ratio_lower, ratio_upper
        Observed / expected risk with its confidence interval; above 1 the model underestimates the risk.
    groups
        float[k, 5]: expected, observed, lower, upper and n of each group, by increasing predicted risk.
    risk, smooth
        float[n]: predicted risk, and the risk by a flexible Cox model of the prediction; NaN if that cannot be fitted.
    ici, e50, e90, emax
        Mean, median, 90th percentile and maximum of |smooth - risk|.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> risk = rng.uniform(0.2, 0.8, 200)
    >>> row = calibration(1 - risk, rng.exponential(-1 / np.log(1 - risk)), np.ones(200, bool), times=1.0).at[0]
    >>> round(row.ratio, 2), round(row.ici, 2)
    (0.97, 0.03)
    """

    time: float
    observed: float
    observed_lower: float
    observed_upper: float
    expected: float
    ratio: float
    ratio_lower: float
    ratio_upper: float
    groups: np.ndarray
    risk: np.ndarray
    smooth: np.ndarray
    ici: float
    e50: float
    e90: float
    emax: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Calibration of a model in a cohort.

    Attributes
    ----------
    at
        Calibration at each time that follow-up reaches.
    skipped
        Times that it does not reach.
    slope, slope_se, slope_lower, slope_upper
        Calibration slope, which is the Cox coefficient of the linear predictor; 1 is ideal, and a slope below 1 indicates
        overfitting.
    n, n_events
        Rows used, and events among them.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> risk = rng.uniform(0.2, 0.8, 200)
    >>> result = calibration(1 - risk, rng.exponential(-1 / np.log(1 - risk)), np.ones(200, bool), times=1.0)
    >>> result.to_frame()[["time", "observed", "expected", "slope"]].round(2)
       time  observed  expected  slope
    0   1.0      0.51      0.52   1.18
    """

    at: tuple[CalibrationAt, ...]
    skipped: tuple[float, ...]
    slope: float
    slope_se: float
    slope_lower: float
    slope_upper: float
    n: int
    n_events: int

    def to_frame(self) -> pd.DataFrame:
        """One row per time with all numbers but the groups and the curves."""
        names = [n for n in CalibrationAt.__dataclass_fields__ if n not in ("groups", "risk", "smooth")]
        frame = pd.DataFrame([{n: getattr(row, n) for n in names} for row in self.at], columns=names)
        return frame.assign(slope=self.slope, slope_lower=self.slope_lower, slope_upper=self.slope_upper)

    def curve(self) -> pd.DataFrame:
        """The grouped curve: time, expected, observed, lower, upper, n."""
        parts = [np.column_stack([np.full(len(row.groups), row.time), row.groups]) for row in self.at]
        table = np.concatenate(parts) if parts else np.zeros((0, 6))
        return pd.DataFrame(table, columns=["time", "expected", "observed", "lower", "upper", "n"])


def calibration(
    prediction: Any,
    time: Any,
    event: Any,
    *,
    times: Any,
    linear_predictor: Any = None,
    groups: int = 5,
    knots: int = 3,
    conf_level: float = 0.95,
) -> Calibration:
    """Calibration of predicted survival in a cohort.

    Parameters
    ----------
    prediction
        float[n, m]: predicted survival at `times`, 0 to 1, as for `brier`; float[n] with a single time.
    time, event
        [n]: outcome in the evaluated cohort; rows with a missing value are left out.
    times
        [m] horizons in the unit of time; those beyond the end of follow-up are `skipped`.
    linear_predictor
        float[n] for the slope; by default log(-log(prediction)) at the first time.
    groups
        Number of groups of equal size by predicted risk, which is cut at its quantiles (R's type 7).
    knots
        Number of knots, 3 to 5, of the restricted cubic spline of log(-log(prediction)) in the smoothed curve.
    conf_level
        Confidence level of all intervals.

    Returns
    -------
    Calibration
        With one `CalibrationAt` for each horizon that follow-up reaches.

    Raises
    ------
    InputError
        If shapes do not match, or predictions lie outside 0..1.
    NotEstimableError
        If there is no event, or the linear predictor does not vary.

    References
    ----------
    Observed / expected and groups: R's survfit, as in rms::groupkm. Smoothed curve: Austin, Harrell & van Klaveren (2020),
    Stat. Med. 39 (coxph with Hmisc::rcspline.eval). Crowson et al. (2016), Stat. Methods Med. Res. 25.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> risk = rng.uniform(0.2, 0.8, 200)
    >>> time = rng.exponential(-1 / np.log(1 - risk))  # true risk by time 1
    >>> result = calibration(1 - risk, time, np.ones(200, bool), times=1.0)
    >>> round(result.slope, 2), round(result.at[0].expected, 2), round(result.at[0].observed, 2)
    (1.18, 0.52, 0.51)
    >>> result.curve()[["expected", "observed", "n"]].round(2).tail(2)
       expected  observed     n
    3      0.66      0.75  40.0
    4      0.76      0.75  40.0
    """
    t, d, _ = outcome(time, event, what="calibration")
    grid = np.atleast_1d(np.asarray(times, float))
    survival = np.asarray(prediction, float)
    survival = survival[:, None] if survival.ndim == 1 else survival
    if survival.shape != (len(t), len(grid)) or len(d) != len(t):
        raise InputError(f"calibration: prediction is {survival.shape}; expected {(len(t), len(grid))}.")
    if knots not in _KNOTS or groups < 2:
        raise InputError(
            f"calibration: groups {groups}, knots {knots}; expected at least 2 groups, and 3, 4 or 5 knots."
        )
    if np.nanmin(survival, initial=0.0) < 0 or np.nanmax(survival, initial=1.0) > 1:
        raise InputError("calibration: predictions lie outside 0..1; give predicted survival, not scores.")
    with np.errstate(divide="ignore"):
        lp = np.log(-np.log(np.clip(survival, _TINY, 1 - _TINY)))
    slope_on = lp[:, 0] if linear_predictor is None else np.asarray(linear_predictor, float).ravel()
    kept = np.isfinite(survival).all(axis=1) & np.isfinite(slope_on)
    t, d, survival, lp, slope_on = t[kept], d[kept], survival[kept], lp[kept], slope_on[kept]
    if not d.any() or not np.ptp(slope_on) > 0:
        raise NotEstimableError(
            "calibration: there is no event, or predictions do not vary.", code="E_EVENTS"
        )
    fit = cox(slope_on, t, d)
    z = float(stats.norm.ppf(0.5 + conf_level / 2))
    slope, se = float(fit.coef[0]), float(fit.se[0])
    reached = [j for j, when in enumerate(grid) if when <= t.max()]
    rows = [
        _at_time(1 - survival[:, j], lp[:, j], t, d, float(grid[j]), groups, knots, z, conf_level)
        for j in reached
    ]
    return Calibration(
        at=tuple(rows),
        skipped=tuple(float(g) for j, g in enumerate(grid) if j not in reached),
        slope=slope,
        slope_se=se,
        slope_lower=slope - z * se,
        slope_upper=slope + z * se,
        n=len(t),
        n_events=int(d.sum()),
    )


def _at_time(
    risk: np.ndarray,
    lp: np.ndarray,
    t: np.ndarray,
    d: np.ndarray,
    when: float,
    groups: int,
    knots: int,
    z: float,
    level: float,
) -> CalibrationAt:
    curve = kaplan_meier(t, d, conf_level=level)
    alive, lower, upper = curve.survival_at(when)
    place = int(np.searchsorted(curve.time, when, side="right"))
    spread = alive * float(np.concatenate([[0.0], curve.std_err])[place])
    observed, expected = 1 - alive, float(risk.mean())
    ratio = observed / expected if expected > 0 else float("nan")
    factor = float(np.exp(z * spread / observed)) if observed > 0 and np.isfinite(spread) else float("nan")
    smooth = _smooth(lp, t, d, when, knots)
    error = np.abs(smooth - risk)
    finite = bool(np.isfinite(error).all())
    nan = float("nan")
    return CalibrationAt(
        time=when,
        observed=observed,
        observed_lower=1 - upper,
        observed_upper=1 - lower,
        expected=expected,
        ratio=ratio,
        ratio_lower=ratio / factor,
        ratio_upper=ratio * factor,
        groups=_groups(risk, t, d, when, groups, level),
        risk=risk,
        smooth=smooth,
        ici=float(error.mean()) if finite else nan,
        e50=float(np.median(error)) if finite else nan,
        e90=float(np.quantile(error, 0.9)) if finite else nan,
        emax=float(error.max()) if finite else nan,
    )


def _groups(
    risk: np.ndarray, t: np.ndarray, d: np.ndarray, when: float, groups: int, level: float
) -> np.ndarray:
    edges = np.unique(np.quantile(risk, np.linspace(0, 1, groups + 1)))
    place = np.clip(np.searchsorted(edges, risk, side="left") - 1, 0, None)  # (a, b], but the first is [a, b]
    rows = []
    for part in np.unique(place):
        inside = place == part
        if t[inside].max() < when:  # nobody was followed so long, so there is no estimate
            alive, lower, upper = (np.nan,) * 3
        else:
            alive, lower, upper = kaplan_meier(t[inside], d[inside], conf_level=level).survival_at(when)
        rows.append((risk[inside].mean(), 1 - alive, 1 - upper, 1 - lower, inside.sum()))
    return np.array(rows, float).reshape(-1, 5)


def _restricted_spline(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Restricted cubic spline terms beyond the linear one, float[n, k - 2] (R: Hmisc::rcspline.eval, norm = 2)."""
    last, previous = knots[-1], knots[-2]
    scale = (last - knots[0]) ** 2

    def cube(value: np.ndarray) -> np.ndarray:
        return np.maximum(value, 0.0) ** 3

    terms = [
        cube(x - k)
        - cube(x - previous) * (last - k) / (last - previous)
        + cube(x - last) * (previous - k) / (last - previous)
        for k in knots[:-2]
    ]
    return np.stack(terms, axis=1) / scale


def _smooth(lp: np.ndarray, t: np.ndarray, d: np.ndarray, when: float, knots: int) -> np.ndarray:
    places = np.quantile(lp, _KNOTS[knots])
    try:
        x = lp[:, None]
        if np.all(np.diff(places) > 0):
            x = np.column_stack([lp, _restricted_spline(lp, places)])
        return np.asarray(1 - cox(x, t, d).survival_at(x, [when])[:, 0])
    except PathosigError:
        return np.full(len(lp), np.nan)
