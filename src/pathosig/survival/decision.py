"""Decision curves: the net benefit of acting on a predicted risk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.errors import InputError
from pathosig.survival.censoring import competing_events
from pathosig.survival.curves import kaplan_meier
from pathosig.survival.data import outcome
from pathosig.survival.incidence import cumulative_incidence


@dataclass(frozen=True, kw_only=True)
class DecisionCurve:
    """Net benefit of models, of treating everybody and of treating nobody.

    Attributes
    ----------
    thresholds
        float[k]: risks at or above which patients would be treated.
    net_benefit
        float[k] of each model and of the strategies ``all`` and ``none``. NaN where no patient at or above the threshold was
        followed up to the horizon.
    lower, upper
        Percentile interval over resamples, in the same form; empty without `indices`.
    positive
        float[k] of each model: proportion of patients at or above each threshold.
    n, n_events
        Patients used, and events among them.

    Examples
    --------
    >>> curve = decision_curve([0.8, 0.6, 0.4, 0.1], [1, 6, 2, 7], [1, 0, 1, 0], horizon=5, thresholds=[0.2])
    >>> curve.to_frame().round(3)
      strategy  threshold  net_benefit
    0      all        0.2        0.375
    1     none        0.2        0.000
    2    model        0.2        0.438
    """

    horizon: float
    thresholds: np.ndarray
    net_benefit: Mapping[str, np.ndarray]
    lower: Mapping[str, np.ndarray]
    upper: Mapping[str, np.ndarray]
    positive: Mapping[str, np.ndarray]
    n: int
    n_events: int

    def to_frame(self) -> pd.DataFrame:
        """One row per strategy and threshold."""
        rows = []
        for name, values in self.net_benefit.items():
            frame = pd.DataFrame({"strategy": name, "threshold": self.thresholds, "net_benefit": values})
            if name in self.lower:
                frame = frame.assign(lower=self.lower[name], upper=self.upper[name])
            rows.append(frame)
        return pd.concat(rows, ignore_index=True)


def decision_curve(
    risk: Any,
    time: Any,
    event: Any,
    *,
    horizon: float,
    thresholds: Any = None,
    indices: Any = None,
    competing: Any = None,
    conf_level: float = 0.95,
) -> DecisionCurve:
    """Net benefit of predicted risks with censored follow-up.

    The event rate among patients at or above a threshold is estimated by Kaplan-Meier or, with competing events, by
    Aalen-Johansen.

    Parameters
    ----------
    risk
        float[n] predicted probability of an event by the horizon, 0 to 1; or a mapping or DataFrame with such risks for
        each model.
    time, event
        [n]; rows with a missing value are left out for all models alike.
    horizon
        In the unit of time.
    thresholds
        [k] risks from 0 to below 1; by default 0, .01, ..., .99.
    indices
        int[resamples, n]: row numbers from 0, for percentile intervals; all strategies use the same resamples.
    competing
        [n]: whether the follow-up of each patient ended with a competing event; risks are then cumulative incidences.
    conf_level
        Confidence level of the intervals over resamples.

    Returns
    -------
    DecisionCurve
        With the strategies ``all`` and ``none`` in addition to the models.

    Raises
    ------
    InputError
        If a risk or a threshold is out of range, or lengths differ.

    References
    ----------
    R: dcurves::dca(Surv(time, event) ~ risk, time = horizon). Vickers et al. (2008), BMC Med. Inform. Decis. Mak. 8.

    Examples
    --------
    >>> risk, time, event = [0.8, 0.6, 0.4, 0.1], [1, 6, 2, 7], [1, 0, 1, 0]
    >>> curve = decision_curve(risk, time, event, horizon=5, thresholds=[0.2, 0.5])
    >>> {name: benefit.round(3).tolist() for name, benefit in curve.net_benefit.items()}
    {'all': [0.375, 0.0], 'none': [0.0, 0.0], 'model': [0.438, 0.0]}
    """
    t, d, _ = outcome(time, event, what="decision_curve")
    causes = np.where(d, 1, 2 * competing_events(competing, d, None, what="decision_curve"))
    if hasattr(risk, "columns"):
        models = {str(c): np.asarray(risk[c], float) for c in risk.columns}
    elif isinstance(risk, Mapping):
        models = {str(k): np.asarray(v, float) for k, v in risk.items()}
    else:
        models = {"model": np.asarray(risk, float)}
    cuts = np.arange(100) / 100 if thresholds is None else np.atleast_1d(np.asarray(thresholds, float))
    if not ((cuts >= 0) & (cuts < 1)).all():
        raise InputError("decision_curve: thresholds must lie in 0 <= threshold < 1.")
    for name, values in models.items():
        if name in ("all", "none") or values.shape != t.shape:
            raise InputError(f"decision_curve: risk {name!r} has shape {values.shape}; expected {t.shape}.")
        if np.nanmin(values, initial=0.0) < 0 or np.nanmax(values, initial=1.0) > 1:
            raise InputError(
                f"decision_curve: risk {name!r} lies outside 0..1; give probabilities of an event."
            )
    if indices is not None and np.asarray(indices).ndim != 2:
        raise InputError("decision_curve: indices must be int[resamples, n].")
    rows = np.flatnonzero(np.isfinite(np.column_stack([t, *models.values()])).all(axis=1))
    net, positive = _strategies(models, t, causes, rows, horizon, cuts)
    lower: dict[str, np.ndarray] = {}
    upper: dict[str, np.ndarray] = {}
    if indices is not None:
        included = np.isin(np.arange(len(t)), rows)
        draws = [
            _strategies(models, t, causes, i[included[i]], horizon, cuts)[0] for i in np.asarray(indices)
        ]
        ends = [(1 - conf_level) / 2, (1 + conf_level) / 2]
        for name in net:
            values = np.stack([draw[name] for draw in draws])
            usable = np.isfinite(values).all(axis=0)
            limits = np.full((2, len(cuts)), np.nan)
            limits[:, usable] = np.quantile(values[:, usable], ends, axis=0)
            lower[name], upper[name] = limits
    return DecisionCurve(
        horizon=float(horizon),
        thresholds=cuts,
        net_benefit=net,
        lower=lower,
        upper=upper,
        positive=positive,
        n=len(rows),
        n_events=int(d[rows].sum()),
    )


def _strategies(
    models: Mapping[str, np.ndarray],
    t: np.ndarray,
    causes: np.ndarray,
    rows: np.ndarray,
    horizon: float,
    cuts: np.ndarray,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    odds = cuts / (1 - cuts)
    everybody = _risk_by(t[rows], causes[rows], horizon)
    out = {"all": everybody - (1 - everybody) * odds, "none": np.zeros(len(cuts))}
    shares = {}
    for name, values in models.items():
        value = values[rows]
        rates = np.empty((2, len(cuts)))
        seen: dict[
            int, float
        ] = {}  # by size of the group, which changes only if a threshold passes a patient
        for j, cut in enumerate(cuts):
            above = value >= cut
            size = int(above.sum())
            if size not in seen:
                seen[size] = _risk_by(t[rows][above], causes[rows][above], horizon) if size else 0.0
            rates[:, j] = seen[size], size / max(len(rows), 1)
        event_rate, share = rates
        out[name] = event_rate * share - (1 - event_rate) * share * odds
        shares[name] = share
    return out, shares


def _risk_by(t: np.ndarray, causes: np.ndarray, horizon: float) -> float:
    """1 - Kaplan-Meier, or cumulative incidence of cause 1, at the horizon; NaN if nobody was followed up to it."""
    if not len(t) or t.max() < horizon:
        return float("nan")
    if not (causes == 2).any():
        return float(1 - kaplan_meier(t, causes == 1).survival_at(horizon)[0])
    if not (causes == 1).any():
        return 0.0
    return float(cumulative_incidence(t, causes).curve(1).incidence_at(horizon)[0])
