"""One cohort, one endpoint: everything that is said about a frozen score there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.signature.model import HIGH, LOW, Signature
from pathosig.survival import (
    cox,
    default_tau,
    harrell_c,
    kaplan_meier,
    logrank,
    ph_test,
    reverse_kaplan_meier,
    rmst,
    time_auc,
    uno_c,
)
from pathosig.validation.associations import outcomes_by_group
from pathosig.validation.estimates import Z95, attempt, estimate, finite, hazard_ratio

GROUPS = (LOW, HIGH)


def analyse(
    frame: pd.DataFrame,
    *,
    signature: Signature | None,
    sd: float,
    per_year: float,
    horizons: Sequence[float] = (1.0, 3.0, 5.0),
    bootstraps: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """All numbers of one cohort and endpoint; see docs/reference/results-json.md, ``analyses[]``.

    Parameters
    ----------
    frame
        Assessable patients with an outcome: score, group, time, event.
    signature
        For predicted survival; None skips calibration (another endpoint than the signature's, or cross-validation).
    sd
        SD of the score in discovery: the unit of the primary effect.
    per_year
        Units of time in a year.
    horizons
        Years.
    bootstraps, seed
        Resamples for the limits of differences.
    """
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    score = frame["score"].to_numpy(float)
    group = frame["group"].to_numpy(object)
    high = (group == HIGH).astype(float)
    scaled = score / (sd if sd > 0 else 1.0)
    out: dict[str, Any] = {
        "n": len(frame),
        "events": int(event.sum()),
        "follow_up": attempt(lambda: follow_up(time, event)),
        "km": attempt(lambda: km_curves(time, event, group, per_year=per_year, horizons=horizons)),
        "logrank": attempt(lambda: logrank_of(time, event, group)),
        "hr_sd": hazard_ratio(scaled, time, event),
        "hr_group": hazard_ratio(high, time, event),
        "harrell_c": attempt(lambda: concordance(harrell_c(score, time, event))),
        "uno_c": attempt(lambda: concordance(uno_c(score, time, event, tau=default_tau(time)))),
        "auc": attempt(lambda: auc_rows(score, time, event, per_year=per_year, horizons=horizons)),
        "spline": attempt(lambda: spline(scaled, time, event)),
        "ph": attempt(lambda: proportional(scaled, high, time, event)),
        "rmst": attempt(lambda: rmst_of(time, event, group)),
        "outcome_counts": attempt(outcomes_by_group, frame),
    }
    if signature is not None:
        from pathosig.validation.calibrate import calibration_of

        out |= attempt(
            lambda: calibration_of(signature, score, time, event, per_year=per_year, horizons=horizons)
        )
        from pathosig.validation.error import overall_error

        made = attempt(
            overall_error, signature, score, time, event, per_year=per_year, horizons=horizons, bootstraps=bootstraps,
            seed=seed,
        )  # fmt: skip
        out |= {"ibs": made} if "not_estimable" in made else made
    return out


def follow_up(time: np.ndarray, event: np.ndarray) -> dict[str, Any]:
    """Median follow-up by reverse Kaplan-Meier."""
    return estimate(*reverse_kaplan_meier(time, event).median)


def concordance(found: Any) -> dict[str, Any]:
    """A C-index as an estimate."""
    return estimate(found.c, found.lower, found.upper, se=finite(found.se), tau=found.tau)


def km_curves(
    time: np.ndarray,
    event: np.ndarray,
    group: np.ndarray,
    *,
    per_year: float,
    horizons: Sequence[float],
    labels: Sequence[str] = GROUPS,
) -> dict[str, Any]:
    """Curves, medians, survival at the horizons and numbers at risk."""
    curves = []
    ticks = risk_ticks(float(time.max()), per_year)
    at_risk: dict[str, list[int]] = {}
    for label in labels:
        rows = group == label
        if not rows.any():
            continue
        curve = kaplan_meier(time[rows], event[rows])
        at = []
        for years in horizons:
            when = years * per_year
            if when <= float(time[rows].max()):
                s, lower, upper = curve.survival_at(when)
                at.append(
                    {"years": years, "time": when, **estimate(s, lower, upper), "n_risk": curve.at_risk(when)}
                )
        curves.append(
            {
                "label": label,
                "n": int(rows.sum()),
                "events": int(event[rows].sum()),
                "time": curve.time.tolist(),
                "estimate": curve.survival.tolist(),
                "lower": curve.lower.tolist(),
                "upper": curve.upper.tolist(),
                "n_risk": curve.n_risk.tolist(),
                "n_event": curve.n_event.tolist(),
                "n_censor": curve.n_censor.tolist(),
                "median": [finite(v) for v in curve.median],
                "survival_at": at,
            }
        )
        at_risk[label] = [int(v) for v in np.atleast_1d(curve.at_risk(np.array(ticks)))]
    return {"groups": curves, "at_risk": {"time": ticks, "groups": at_risk}}


def risk_ticks(longest: float, per_year: float) -> list[float]:
    """Times of the risk table: whole years, or parts of one for short follow-up, at most eight."""
    years = longest / per_year
    for step in (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0):
        if years / step <= 7:
            break
    return [float(round(i * step * per_year, 6)) for i in range(int(years / step) + 1)]


def logrank_of(time: np.ndarray, event: np.ndarray, group: np.ndarray) -> dict[str, Any]:
    """Log-rank test of the groups."""
    if len(set(group)) < 2:
        return {"not_estimable": f"all patients are in one group ({next(iter(set(group)), 'none')})"}
    found = logrank(time, event, group.astype(str))
    return {"statistic": finite(found.statistic), "df": found.df, "p": finite(found.p)}


def auc_rows(
    score: np.ndarray, time: np.ndarray, event: np.ndarray, *, per_year: float, horizons: Sequence[float]
) -> list[dict[str, Any]]:
    """AUC at the horizons that follow-up reaches."""
    rows = []
    for years in horizons:
        when = years * per_year
        at_risk = int((time >= when).sum())
        events = int((event & (time <= when)).sum())
        if at_risk < 5 or events < 5:
            continue
        found = time_auc(score, time, event, times=[when])
        limits = estimate(found.auc[0], found.lower[0], found.upper[0])
        rows.append({"years": years, "time": when, **limits, "n_risk": at_risk, "events": events})
    return rows


def spline_basis(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Restricted cubic spline (Harrell): float[n, len(knots) - 1], first column linear."""
    last, before = knots[-1], knots[-2]
    columns = [x]
    for knot in knots[:-2]:
        cubic = np.maximum(x - knot, 0) ** 3
        cubic -= np.maximum(x - before, 0) ** 3 * (last - knot) / (last - before)
        cubic += np.maximum(x - last, 0) ** 3 * (before - knot) / (last - before)
        columns.append(cubic / (last - knots[0]) ** 2)
    return np.column_stack(columns)


def spline(scaled: np.ndarray, time: np.ndarray, event: np.ndarray) -> dict[str, Any]:
    """Effect over the continuous score (4 knots) and the test that it is a straight line."""
    knots = np.quantile(scaled, [0.05, 0.35, 0.65, 0.95])
    if event.sum() < 20 or len(np.unique(knots)) < 4:
        return {"not_estimable": f"{int(event.sum())} events; a spline needs 20 and a score that varies"}
    basis = spline_basis(scaled, knots)
    center = basis.mean(0)
    spread = basis.std(0)
    fit = cox((basis - center) / spread, time, event)
    line = cox(scaled[:, None], time, event)
    statistic = max(0.0, 2 * (fit.loglik - line.loglik))
    ends = np.quantile(scaled, [0.02, 0.98])
    grid = np.linspace(ends[0], ends[1], 41)
    shifted = (spline_basis(grid, knots) - spline_basis(np.zeros(1), knots)) / spread
    log_hr = shifted @ fit.coef
    se = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", shifted, fit.covariance, shifted), 0))
    return {
        "p_nonlinear": float(stats.chi2.sf(statistic, basis.shape[1] - 1)),
        "score": grid.tolist(),
        "hr": np.exp(log_hr).tolist(),
        "lower": np.exp(log_hr - Z95 * se).tolist(),
        "upper": np.exp(log_hr + Z95 * se).tolist(),
        "knots": knots.tolist(),
    }


def _ph(column: np.ndarray, time: np.ndarray, event: np.ndarray) -> Any:
    return ph_test(cox(column[:, None], time, event), transform="km")


def proportional(scaled: np.ndarray, high: np.ndarray, time: np.ndarray, event: np.ndarray) -> dict[str, Any]:
    """Score tests of proportional hazards; on violation HRs before and after the median event time."""
    out: dict[str, Any] = {}
    for name, column in (("score", scaled), ("group", high)):
        if column.std() > 0:
            found = attempt(_ph, column, time, event)
            out[name] = found if isinstance(found, dict) else {
                "chisq": finite(found.global_statistic), "df": found.global_df, "p": finite(found.global_p)
            }  # fmt: skip
    p = out.get("score", {}).get("p")
    out["violated"] = p is not None and p < 0.05
    if out["violated"] and event.sum() >= 20:
        middle = float(np.median(time[event]))
        early = hazard_ratio(scaled, np.minimum(time, middle), event & (time <= middle))
        late = time > middle
        out["piecewise"] = [
            {"from": 0.0, "to": middle, **early},
            {"from": middle, "to": float(time.max()), **hazard_ratio(scaled[late], time[late], event[late])},
        ]
    return out


def rmst_of(time: np.ndarray, event: np.ndarray, group: np.ndarray) -> dict[str, Any]:
    """Restricted mean survival of the groups up to the time with ten patients at risk in each, high minus low."""
    present = [g for g in GROUPS if (group == g).any()]
    if len(present) < 2:
        return {"not_estimable": "one group only"}
    ends = [np.sort(time[group == g])[::-1] for g in present]
    tau = float(min(e[min(9, len(e) - 1)] for e in ends))
    means = {g: rmst(time[group == g], event[group == g], tau=tau) for g in present}
    low, high = means[LOW], means[HIGH]
    difference = high.estimate - low.estimate
    se = float(np.hypot(high.se, low.se))
    p = float(2 * stats.norm.sf(abs(difference / se))) if se > 0 else None
    return {
        "tau": tau,
        LOW: estimate(low.estimate, low.lower, low.upper),
        HIGH: estimate(high.estimate, high.lower, high.upper),
        "difference": estimate(difference, difference - Z95 * se, difference + Z95 * se, p=p),
    }
