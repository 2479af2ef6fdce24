"""Effect of a treatment by score in one cohort: with weights, from a landmark, or as a time-dependent covariate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.clinical import UNITS, TreatmentDesign
from pathosig.core.errors import NotEstimableError
from pathosig.core.words import counted
from pathosig.signature.model import HIGH, LOW
from pathosig.survival import cox
from pathosig.survival.covariates import as_level, encode
from pathosig.validation.analysis import EffectCurve
from pathosig.validation.arms import ArmCurve, Balance, Overlap, TreatmentEffect, TreatmentGroup
from pathosig.validation.curves import km_curves
from pathosig.validation.estimates import hazard_ratio, refuse_delayed
from pathosig.validation.propensity import completed, propensity_weights
from pathosig.validation.values import (
    Z95,
    Curve,
    Estimate,
    HazardRatio,
    NotEstimable,
    attempt,
    finite,
    numbers,
)
from pathosig.validation.weighted import weighted_rmst

FEWEST_ARM_EVENTS = 5
_ARMS = ("untreated", "treated")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Rows:
    """Data of a Cox model: one row per patient, or one per period of a time-dependent treatment.

    Attributes
    ----------
    scaled
        float[n]: score in standard deviations of discovery.
    adjust
        float[n, m]: covariates in the model, which replace weights if treatment is time-dependent.
    options
        weights, cluster and entry for `cox`, with one value per row.
    """

    time: np.ndarray
    event: np.ndarray
    treated: np.ndarray
    scaled: np.ndarray
    group: np.ndarray
    adjust: np.ndarray
    options: dict[str, Any]

    @property
    def design(self) -> np.ndarray:
        """Columns of the model: score x treatment, treatment, score, and covariates."""
        centred = self.scaled - self.scaled.mean()
        return np.column_stack([centred * self.treated, self.treated, centred, self.adjust])

    def inside(self, label: str) -> tuple[np.ndarray, dict[str, Any]]:
        """Rows of a risk group, and the options of the model for them."""
        rows = self.group == label
        adjust = self.adjust[rows] if self.adjust.shape[1] else None
        return rows, {"adjust": adjust, **{k: v[rows] for k, v in self.options.items()}}


def cohort_effect(
    frame: pd.DataFrame,
    *,
    arm: str,
    covariates: Sequence[str],
    sd: float,
    per_year: float,
    design: TreatmentDesign,
    horizons: Sequence[float] = (1.0, 3.0, 5.0),
    seed: int = 0,
) -> TreatmentEffect:
    """Effect of treatment in each risk group and across the score.

    Parameters
    ----------
    frame
        score, group, time, event, the column of the arm, covariates and, if declared, the start of treatment.
    arm
        Column of the treatment, with two levels.
    covariates
        Covariates that may have influenced the choice of treatment, for the weights or for the model of a time-dependent
        treatment.
    sd
        Standard deviation of the score in discovery, which is the unit of its effect.
    per_year
        Units of time in a year.
    design
        Whether treatment was randomised, and when it began.
    horizons
        Years at which survival of the arms is given.
    seed
        Seed of the imputations.

    Returns
    -------
    TreatmentEffect

    Raises
    ------
    NotEstimableError
        If a column is missing, the column of the arm does not have two levels, an arm has fewer than five events, or entry is
        delayed.

    Examples
    --------
    >>> from pathosig.core.clinical import TreatmentDesign
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"score": rng.normal(size=120), "chemo": rng.integers(0, 2, 120), "event": True})
    >>> frame = frame.assign(group=np.where(frame["score"] > 0, "high", "low"))
    >>> frame["time"] = rng.exponential(20 * np.exp(frame["chemo"] * frame["score"]))
    >>> design = TreatmentDesign(randomised=True)
    >>> effect = cohort_effect(frame, arm="chemo", covariates=[], sd=1.0, per_year=12.0, design=design)
    >>> [(group.label, group.n_treated, round(group.effect.hr, 2)) for group in effect.groups]
    [('low', 29, 1.6), ('high', 35, 0.8)]
    """
    refuse_delayed(frame, "treatment")
    for name in (arm, design.column):
        if name is not None and name not in frame:
            message = f"treatment: no column {name!r} in patients.csv."
            raise NotEstimableError(message)
    treated = _arm_of(frame[arm])
    usable = np.isfinite(treated) & np.isfinite(frame["score"].to_numpy(float))
    start = np.zeros(len(frame))
    if design.column is not None:
        start = frame[design.column].to_numpy(float) * per_year / UNITS[design.unit]
        usable &= (treated == 0) | np.isfinite(start)  # treated patients without a start are left out
    frame, treated, start = frame[usable].reset_index(drop=True), treated[usable], start[usable]
    if design.column is not None and design.landmark is None:
        return _time_dependent(frame, treated, start, arm=arm, covariates=covariates, sd=sd, seed=seed)
    if design.landmark is not None:
        frame, treated = _landmarked(frame, treated, start, design.landmark * per_year / UNITS[design.unit])
    return _baseline(
        frame,
        treated,
        arm=arm,
        covariates=covariates,
        sd=sd,
        per_year=per_year,
        randomised=design.randomised,
        horizons=horizons,
        seed=seed,
    )


def _landmarked(
    frame: pd.DataFrame, treated: np.ndarray, start: np.ndarray, landmark: float
) -> tuple[pd.DataFrame, np.ndarray]:
    """Patients under observation at the landmark, with time counted from it; treated are those who had begun treatment."""
    seen = frame["time"].to_numpy(float) > landmark
    begun = (treated == 1) & (start <= landmark)
    later = frame[seen].assign(time=lambda f: f["time"] - landmark).reset_index(drop=True)
    return later, begun[seen].astype(float)


def _baseline(
    frame: pd.DataFrame,
    treated: np.ndarray,
    *,
    arm: str,
    covariates: Sequence[str],
    sd: float,
    per_year: float,
    randomised: bool,
    horizons: Sequence[float],
    seed: int,
) -> TreatmentEffect:
    """Effect of a treatment that is fixed at time zero or at the landmark, with weights unless it was randomised."""
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    scaled = frame["score"].to_numpy(float) / (sd or 1.0)
    _require_events(event, treated, arm)
    weighting = propensity_weights(treated, frame, covariates, scaled, seed=seed)
    weights = np.ones(len(frame)) if randomised else weighting.weights
    balance = weighting.balance
    if randomised:
        balance = tuple(
            Balance(variable=b.variable, smd_before=b.smd_before, smd_after=b.smd_before) for b in balance
        )
    rows = _Rows(
        time=time,
        event=event,
        treated=treated,
        scaled=scaled,
        group=frame["group"].to_numpy(object),
        adjust=np.empty((len(frame), 0)),
        options={"cluster": np.arange(len(frame))} | ({} if randomised else {"weights": weights}),
    )
    curves, means = list[ArmCurve](), dict[str, Estimate | NotEstimable]()
    for label in (LOW, HIGH):
        inside = rows.group == label
        if inside.any():
            one = (treated[inside], time[inside], event[inside], weights[inside])
            curves += _curves(label, *one, per_year=per_year, horizons=horizons)
            means[label] = attempt(_mean_difference, *one)
    return _effect_of(
        rows,
        n=len(frame),
        balance=balance,
        overlap=weighting.overlap,
        rmst=means,
        km=tuple(curves),
        max_smd_after=max((abs(b.smd_after) for b in balance if b.smd_after is not None), default=None),
    )


def _time_dependent(
    frame: pd.DataFrame,
    treated: np.ndarray,
    start: np.ndarray,
    *,
    arm: str,
    covariates: Sequence[str],
    sd: float,
    seed: int,
) -> TreatmentEffect:
    """Effect of treatment as a time-dependent covariate, adjusted for covariates; patients are untreated until it begins.

    Curves and restricted means by arm are left out, because they would define arms by future treatment.
    """
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    begun = (treated == 1) & (start < time)
    split = begun & (start > 0)
    before, after = np.flatnonzero(split), np.arange(len(frame))
    owner = np.concatenate([before, after])
    on = np.concatenate([np.zeros(len(before)), begun.astype(float)])
    stop = np.concatenate([start[before], time])
    entry = np.concatenate([np.zeros(len(before)), np.where(split, start, 0.0)])
    happened = np.concatenate([np.zeros(len(before), bool), event])
    _require_events(happened, on, arm)
    table = completed(frame, covariates, seed=seed, m=1)[0]
    columns = [t.values for t in encode(table, covariates)]
    adjust = np.column_stack(columns) if columns else np.empty((len(frame), 0))
    rows = _Rows(
        time=stop,
        event=happened,
        treated=on,
        scaled=(frame["score"].to_numpy(float) / (sd or 1.0))[owner],
        group=frame["group"].to_numpy(object)[owner],
        adjust=adjust[owner],
        options={"entry": entry, "cluster": owner},
    )
    return _effect_of(rows, n=len(frame), balance=(), overlap=None, rmst={}, km=(), max_smd_after=None)


def _effect_of(
    rows: _Rows,
    *,
    n: int,
    balance: tuple[Balance, ...],
    overlap: Overlap | None,
    rmst: dict[str, Estimate | NotEstimable],
    km: tuple[ArmCurve, ...],
    max_smd_after: float | None,
) -> TreatmentEffect:
    interaction = _interaction(rows)
    groups = []
    for label in (LOW, HIGH):
        inside, options = rows.inside(label)
        groups.append(
            TreatmentGroup(
                label=label,
                n=int(inside.sum()),
                n_treated=int(rows.treated[inside].sum()),
                effect=hazard_ratio(rows.treated[inside], rows.time[inside], rows.event[inside], **options),
            )
        )
    return TreatmentEffect(
        n=n,
        events=int(rows.event.sum()),
        groups=tuple(groups),
        interaction=interaction,
        continuous=attempt(_continuous, rows),
        balance=balance,
        overlap=overlap,
        max_smd_after=max_smd_after,
        rmst=rmst,
        km=km,
        minimum_detectable=_detectable(interaction),
    )


def _interaction(rows: _Rows) -> HazardRatio | NotEstimable:
    """Interaction of score and treatment; without weights with the larger of the robust and the model-based standard error.

    A test with either of them alone rejects slightly too often in small cohorts.
    """
    design = rows.design
    first, rest = design[:, 0], design[:, 1:]
    robust = hazard_ratio(first, rows.time, rows.event, adjust=rest, **rows.options)
    if "weights" in rows.options:
        return robust
    plain = {k: v for k, v in rows.options.items() if k != "cluster"}
    model = hazard_ratio(first, rows.time, rows.event, adjust=rest, **plain)
    estimated = [e for e in (robust, model) if isinstance(e, HazardRatio)]
    return max(estimated, key=lambda e: e.se or 0.0) if estimated else robust


def _arm_of(column: pd.Series) -> np.ndarray:
    """1 for treated, 0 for untreated, NaN for unknown; of the two levels in sorted order the second is the treatment."""
    labels = column.map(lambda v: None if pd.isna(v) else as_level(v))
    levels = sorted(set(labels.dropna()))
    if len(levels) != 2:
        message = f"treatment {column.name!r}: {counted(len(levels), 'level')} ({levels[:4]}); expected two."
        raise NotEstimableError(message)
    return np.where(labels.isna(), np.nan, (labels == levels[1]).to_numpy(float))


def _require_events(event: np.ndarray, treated: np.ndarray, arm: str) -> None:
    counts = [int(event[treated == a].sum()) for a in (0, 1)]
    if min(counts) < FEWEST_ARM_EVENTS:
        message = f"treatment {arm}: events in the arms: {counts[0]} and {counts[1]}; each needs at least {FEWEST_ARM_EVENTS}."
        raise NotEstimableError(message)


def _detectable(interaction: HazardRatio | NotEstimable) -> float | None:
    """Hazard ratio detectable with 80 % power at the 5 % level: exp((z_.975 + z_.8) se)."""
    if isinstance(interaction, NotEstimable) or not interaction.se:
        return None
    return finite(np.exp((Z95 + stats.norm.ppf(0.8)) * interaction.se))


def _curves(
    label: str,
    treated: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    weights: np.ndarray,
    *,
    per_year: float,
    horizons: Sequence[float],
) -> list[ArmCurve]:
    arms = np.where(treated == 1, "treated", "untreated").astype(object)
    panel = attempt(
        km_curves,
        time,
        event,
        arms,
        per_year=per_year,
        horizons=horizons,
        labels=_ARMS,
        weights=weights,
    )
    if isinstance(panel, NotEstimable):
        return []
    return [
        ArmCurve(**{f.name: getattr(c, f.name) for f in fields(Curve)} | {"label": label}, arm=c.label)
        for c in panel.groups
    ]


def _mean_difference(
    treated: np.ndarray, time: np.ndarray, event: np.ndarray, weights: np.ndarray
) -> Estimate:
    """Weighted restricted means, treated minus untreated, up to the last time with ten patients at risk in each arm."""
    sides = [treated == a for a in (0, 1)]
    if not all(side.any() for side in sides):
        message = "one arm only"
        raise NotEstimableError(message)
    ends = [np.sort(time[side])[::-1] for side in sides]
    tau = float(min(e[min(9, len(e) - 1)] for e in ends))
    (off, off_se), (on, on_se) = (weighted_rmst(time[s], event[s], weights[s], tau=tau) for s in sides)
    difference, se = on - off, float(np.hypot(off_se, on_se))
    p = float(2 * stats.norm.sf(abs(difference / se))) if se > 0 else None
    return Estimate.of(difference, difference - Z95 * se, difference + Z95 * se, p=p)


def _continuous(rows: _Rows) -> EffectCurve:
    """Hazard ratio of treatment along the score: log HR(s) = b_treatment + b_interaction (s - mean)."""
    fit = cox(rows.design, rows.time, rows.event, **rows.options)
    ends = np.quantile(rows.scaled, [0.05, 0.95])
    grid = np.linspace(ends[0], ends[1], 31)
    shifted = grid - rows.scaled.mean()
    log_hr = fit.coef[1] + fit.coef[0] * shifted
    v = fit.covariance
    se = np.sqrt(np.maximum(v[1, 1] + 2 * shifted * v[0, 1] + shifted**2 * v[0, 0], 0))
    return EffectCurve(
        score=tuple(grid.tolist()),
        hr=numbers(np.exp(log_hr)),
        lower=numbers(np.exp(log_hr - Z95 * se)),
        upper=numbers(np.exp(log_hr + Z95 * se)),
    )
