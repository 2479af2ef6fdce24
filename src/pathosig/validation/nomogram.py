"""The nomogram of a clinical model, from which risks are read by hand."""

from __future__ import annotations

import numpy as np

from pathosig.validation.clinical_competing import CompetingCauses
from pathosig.validation.clinical_model import ClinicalModel, HorizonHazard
from pathosig.validation.clinical_values import Nomogram, NomogramAxis, RiskScale

_POINTS = 100.0
_TICKS = 5
_GRID = 4001
_RISKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def nomogram(model: ClinicalModel) -> Nomogram:
    """Points of every covariate and of the score, of which the widest axis spans 100, and the risks of total points.

    Parameters
    ----------
    model
        A frozen clinical model.

    Returns
    -------
    Nomogram

    References
    ----------
    R: rms::nomogram.

    Examples
    --------
    >>> import pandas as pd
    >>> from pathosig.validation.clinical_fit import fit_clinical_model
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"stage": rng.choice(["I", "II"], 80), "score": rng.normal(size=80)})
    >>> frame = frame.assign(time=rng.exponential(20 * np.exp(-frame["score"])), event=True)
    >>> sheet = nomogram(fit_clinical_model(frame, ["stage"], endpoint="os"))
    >>> [(axis.variable, max(axis.points)) for axis in sheet.axes]
    [('stage', 3.486692), ('score', 100.0)]
    """
    scales: list[tuple[str, list[str], list[float]]] = []
    place = 0
    for c in model.covariates:
        weights = model.coef[place : place + len(c.labels)]
        place += len(c.labels)
        if c.levels:
            scales.append((c.name, list(c.levels), [0.0, *weights]))
        else:
            ticks = _ticks(c.lower or 0.0, c.upper or 0.0)
            scales.append((c.name, [f"{v:.4g}" for v in ticks], [weights[0] * v for v in ticks]))
    if model.score_scale is not None:
        ticks = _ticks(model.score_range[0], model.score_range[-1])
        scales.append(
            ("score", [f"{v * model.score_scale:.3g}" for v in ticks], [model.coef[-1] * v for v in ticks])
        )
    widest = max(max(values) - min(values) for _, _, values in scales)
    per_point = widest / _POINTS if widest > 0 else 1.0
    axes = tuple(
        NomogramAxis(
            variable=name,
            values=tuple(texts),
            points=tuple(round((v - min(values)) / per_point, 6) for v in values),
        )
        for name, texts, values in scales
    )
    offset = sum(min(values) for _, _, values in scales) - float(np.dot(model.coef, model.center))
    largest = sum(max(a.points) for a in axes)
    return Nomogram(
        axes=axes,
        per_point=per_point,
        offset=offset,
        risks=tuple(
            _risk_scale(h.years, h.hazard, offset, per_point, largest)
            if model.competing is None
            else _incidence_scale(model.competing, h, offset, per_point, largest)
            for h in model.horizons
        ),
        gap=None if model.competing is None else model.competing.gap,
        mean_gap=None if model.competing is None else model.competing.mean_gap,
    )


def _incidence_scale(
    causes: CompetingCauses, at: HorizonHazard, offset: float, per_point: float, largest: float
) -> RiskScale:
    """Total points at which the cumulative incidence takes round values, in the range where it rises with the points."""
    points = np.linspace(0.0, largest, _GRID)
    risk = causes.incidence_by_total(offset + points * per_point, at.time)
    end = int(np.argmax(risk)) + 1
    inside = [r for r in _RISKS if risk[0] <= r <= risk[end - 1]]
    read = np.interp(inside, risk[:end], points[:end])
    return RiskScale(years=at.years, risk=tuple(inside), points=tuple(round(float(p), 6) for p in read))


def _ticks(low: float, high: float) -> list[float]:
    return [float(v) for v in np.linspace(low, high, _TICKS)]


def _risk_scale(years: float, hazard: float, offset: float, per_point: float, largest: float) -> RiskScale:
    """Points at which 1 - exp(-H0 exp(offset + points per_point)) equals each of the printed risks."""
    pairs = []
    for risk in _RISKS if hazard > 0 else ():
        points = (float(np.log(-np.log1p(-risk) / hazard)) - offset) / per_point
        if 0 <= points <= largest:
            pairs.append((risk, round(points, 6)))
    return RiskScale(years=years, risk=tuple(r for r, _ in pairs), points=tuple(p for _, p in pairs))
