"""Regression with competing risks: cause-specific hazards, and Fine and Gray's subdistribution hazard."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from scipy import stats

from pathosig.core.errors import ConfigError, InputError, NotEstimableError
from pathosig.survival.cox import cox
from pathosig.survival.coxfit import CoxFit, Test
from pathosig.survival.data import as_columns, as_times, fix_times
from pathosig.survival.groups import group_codes
from pathosig.survival.incidence import as_causes


def cause_specific(X: Any, time: Any, event: Any, *, cause: int = 1, **options: Any) -> CoxFit:
    """Cox model of the hazard of one cause; patients with an event of another cause are treated as censored.

    Parameters
    ----------
    X, time
        As in `cox`.
    event
        int[n]: 0 for censored, 1, 2, ... for the causes.
    cause
        Code of the modelled cause.
    **options
        Passed to `cox`: ties, strata, cluster, weights, entry and so on.

    Returns
    -------
    CoxFit
        Its hazard ratios are cause-specific.

    Raises
    ------
    NotEstimableError
        If the cause never happened.

    References
    ----------
    R: survival::coxph(Surv(time, event == cause) ~ X). Putter, Fiocco & Geskus (2007), Stat. Med. 26.

    Examples
    --------
    >>> x, time, event = [0, 1, 0, 1, 1, 0], [1, 2, 3, 4, 5, 6], [2, 1, 1, 0, 2, 1]
    >>> fit = cause_specific(x, time, event, cause=1)
    >>> fit.n_events, np.exp(fit.coef).round(2)
    (3, array([0.82]))
    """
    codes_ = as_causes(event)
    _require(codes_, cause, "cause_specific")
    return cox(X, time, codes_ == cause, **options)


def fine_gray(
    X: Any,
    time: Any,
    event: Any,
    *,
    cause: int = 1,
    ties: Literal["efron", "breslow"] | None = None,
    convention: Literal["finegray", "crr"] = "finegray",
    cluster: Any = None,
    strata: Any = None,
    conf_level: float = 0.95,
) -> CoxFit:
    """Fine and Gray's regression of the cumulative incidence of one cause (subdistribution hazard ratios).

    Patients with an event of another cause stay in the risk set, with a weight that decreases over time as the probability of
    being uncensored does.

    Parameters
    ----------
    X, time
        As in `cox`; rows with missing values are left out.
    event
        int[n]: 0 for censored, 1, 2, ... for the causes.
    cause
        Code of the modelled cause.
    ties
        ``efron`` or ``breslow``; by default that of the R function: Efron for ``finegray``, Breslow for ``crr``.
    convention
        ``finegray``: the weights of survival::finegray, in which an event comes before a censoring at the same time, and
        robust standard errors clustered by patient, as in coxph(..., weights = fgwt, cluster = id). ``crr``: the weights and
        standard errors of cmprsk::crr, which take the estimation of the weights into account; standard errors from the
        information matrix are in `naive_se`. Without ties between events and censorings the coefficients agree.
    cluster
        [n] labels of clusters of patients (``finegray`` only).
    strata
        [n] labels of strata, each with its own baseline hazard and censoring distribution (``finegray`` only).
    conf_level
        Confidence level of the intervals.

    Returns
    -------
    CoxFit
        Fitted to the expanded data, as are `means` and the baseline hazard (as in R); `n` counts patients, and `kept` marks
        those used.

    Raises
    ------
    NotEstimableError
        If the cause never happened among complete rows.
    ConfigError
        If the convention is unknown, or strata or clusters are combined with ``crr``.
    InputError
        E_TIME, E_EVENT, E_GROUP, or if lengths differ.

    References
    ----------
    R: survival::finegray + coxph; cmprsk::crr. Fine & Gray (1999), JASA 94; Geskus (2011), Biometrics 67.

    Examples
    --------
    >>> x, time, event = [0, 1, 0, 1, 1, 0], [1, 2, 3, 4, 5, 6], [2, 1, 1, 0, 2, 1]
    >>> fit = fine_gray(x, time, event, cause=1)
    >>> fit.n, fit.n_events, np.exp(fit.coef).round(2)
    (6, 3, array([0.67]))
    """
    if convention not in ("finegray", "crr"):
        raise ConfigError(f"fine_gray: convention {convention!r}; expected finegray or crr.")
    if convention == "crr" and (strata is not None or cluster is not None):
        raise ConfigError("fine_gray: strata and clusters need convention='finegray'.")
    x, names = as_columns(X)
    t, causes = as_times(time), as_causes(event)
    if not len(x) == len(t) == len(causes):
        raise InputError(f"fine_gray: X has {len(x)} rows, time {len(t)}, event {len(causes)}.")
    kept = np.isfinite(x).all(axis=1)
    who = (
        group_codes(cluster, len(t), what="cluster")[kept]
        if cluster is not None
        else np.arange(int(kept.sum()))
    )
    layer = group_codes(strata, len(t), what="strata")[kept]
    x, (t,), causes = x[kept], fix_times(t[kept]), causes[kept]
    _require(causes, cause, "fine_gray")
    grid, rank = np.unique(t, return_inverse=True)  # ranks from 1: time 0 can then follow an entry
    row, start, stop, happened, weight = _expand(rank.ravel() + 1.0, causes, cause, layer, convention)
    fit = cox(
        x[row],
        stop,
        happened,
        entry=start,
        weights=weight,
        cluster=who[row],
        strata=layer[row] if strata is not None else None,
        ties=ties or ("breslow" if convention == "crr" else "efron"),
        conf_level=conf_level,
    )
    sets = replace(fit.sets, time=grid[fit.sets.time.astype(int) - 1], entry=None)
    fit = replace(
        fit,
        sets=sets,
        names=names,
        n=int(kept.sum()),
        n_events=int((causes == cause).sum()),
        n_missing=int((~kept).sum()),
        kept=kept,
    )
    return fit if convention == "finegray" else _with_crr_errors(fit, x, t, causes, cause)


def _require(causes: np.ndarray, cause: int, what: str) -> None:
    if not (causes == cause).any():
        raise NotEstimableError(f"{what}: cause {cause} never happened.", code="E_EVENTS")


def _censoring(t: np.ndarray, censored: np.ndarray, convention: str) -> tuple[np.ndarray, np.ndarray]:
    """Times, and G(t), the probability of being uncensored after each; deaths come first (finegray) or not (crr)."""
    grid, place = np.unique(t, return_inverse=True)
    place = place.ravel()
    everyone = np.bincount(place, minlength=len(grid))
    left = np.bincount(place[censored], minlength=len(grid))
    risk = np.cumsum(everyone[::-1])[::-1] - (everyone - left if convention == "finegray" else 0)
    return grid, np.cumprod(1 - left / np.maximum(risk, 1))


def _before(grid: np.ndarray, g: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.asarray(np.concatenate([[1.0], g])[np.searchsorted(grid, at, side="left")])


def _expand(
    t: np.ndarray, causes: np.ndarray, cause: int, layer: np.ndarray, convention: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Expanded data: position of the patient, start and stop of (start, stop], event of the cause, and weight of each row.

    A patient with an event of another cause at T stays at risk of the cause with the weight w(t) = G(t-) / G(T-) for t > T,
    where G is the Kaplan-Meier estimate of censoring (Geskus 2011). As w is constant between two censorings, there is one row
    for each interval between them.
    """
    parts = [(np.arange(len(t)), np.zeros(len(t)), t, causes == cause, np.ones(len(t)))]
    for s in np.unique(layer):
        inside = layer == s
        grid, g = _censoring(t[inside], causes[inside] == 0, convention)
        deaths = np.unique(t[inside & (causes == cause)])
        at_death = _before(grid, g, deaths)
        # one row for each run of event times between two steps of G
        begins = np.flatnonzero(np.append(True, np.diff(at_death) != 0)) if len(deaths) else np.zeros(0, int)
        ends = np.append(begins[1:], len(deaths)) - 1 if len(deaths) else begins
        for i in np.flatnonzero(inside & (causes > 0) & (causes != cause)):
            later = ends[deaths[ends] > t[i]] if len(deaths) else ends
            if not len(later):
                continue
            own = _before(grid, g, t[i : i + 1])[0]
            stops = deaths[later]
            starts = np.concatenate([[t[i]], stops[:-1]])
            weight = at_death[later] / own
            parts.append((np.full(len(stops), i), starts, stops, np.zeros(len(stops), bool), weight))
    row, start, stop, happened, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    some = weight > 0
    return row[some], start[some], stop[some], happened[some], weight[some]


def _with_crr_errors(fit: CoxFit, x: np.ndarray, t: np.ndarray, causes: np.ndarray, cause: int) -> CoxFit:
    """The model with standard errors that account for the estimation of the censoring weights (Fine & Gray 1999, section 4).

    The score is a sum of contributions eta_i + psi_i of patients, var(b) = I^-1 [ sum (eta_i + psi_i)(eta_i + psi_i)' ] I^-1,
    and

        eta_i = int (x_i - m(t)) w_i(t) dM_i(t)                  (m: weighted mean of x over the risk set)
        psi_i = int q(u) / pi(u) dM_i^c(u),   M^c: martingale of censoring, pi(u): number at risk just before u,
        q(u)  = - sum_{k with another cause before u} int_u (x_k - m(t)) w_k(t) exp(x_k'b) dL0(t).
    """
    usable = np.isfinite(fit.coef)
    beta = np.nan_to_num(fit.coef)
    x = x - x.mean(axis=0)
    grid, g = _censoring(t, causes == 0, "crr")
    times, place = np.unique(t[causes == cause], return_inverse=True)
    count = np.bincount(place.ravel()).astype(float)
    other = (causes > 0) & (causes != cause)
    weight = np.where(t[:, None] >= times, 1.0, 0.0)
    gone = other[:, None] & (t[:, None] < times)
    weight[gone] = (_before(grid, g, times)[None, :] / _before(grid, g, t)[:, None])[gone]
    risk = weight * np.exp(x @ beta)[:, None]
    s0 = risk.sum(axis=0)
    mean = (risk.T @ x) / s0[:, None]
    jump = count / s0
    # contribution of each patient to the score, summed over event times: -(x - mean) * weight * exp(eta) * hazard
    eta = -(x * (risk @ jump)[:, None] - risk @ (jump[:, None] * mean))
    rows = np.flatnonzero(causes == cause)
    eta[rows] += x[rows] - mean[np.searchsorted(times, t[rows])]
    # q(u): the same sum over patients with another cause before u, at event times from u on
    censored_at, which = np.unique(t[causes == 0], return_inverse=True)
    psi = np.zeros_like(x)
    if len(censored_at):
        q = np.zeros((len(censored_at), x.shape[1]))
        for j, u in enumerate(censored_at):
            before, later = other & (t < u), times >= u
            part = risk[np.ix_(before, later)]
            q[j] = (part.sum(axis=0) * jump[later]) @ mean[later] * -1 + (part @ jump[later]) @ x[before]
        at_risk = (t[:, None] >= censored_at).sum(axis=0).astype(float)
        hazard = np.bincount(which.ravel()) / at_risk
        share = q / at_risk[:, None]
        psi[causes == 0] += share[which.ravel()]
        psi -= (t[:, None] >= censored_at).astype(float) @ (share * hazard[:, None])
    information = np.zeros((len(beta), len(beta)))
    second = np.einsum("ij,ip,iq->jpq", risk, x, x) / s0[:, None, None]
    information = np.einsum("j,jpq->pq", count, second - mean[:, :, None] * mean[:, None, :])
    inside = np.ix_(usable, usable)
    inverse = np.zeros_like(information)
    inverse[inside] = np.linalg.inv(information[inside])
    total = (eta + psi) @ inverse
    covariance = total.T @ total
    se = np.where(usable, np.sqrt(np.diag(covariance)), np.nan)
    z = fit.coef / se
    width = stats.norm.ppf(0.5 + fit.conf_level / 2) * se
    wald = float(beta[usable] @ np.linalg.pinv(covariance[inside]) @ beta[usable])
    df = int(usable.sum())
    return replace(
        fit,
        covariance=covariance,
        se=se,
        naive_se=np.where(usable, np.sqrt(np.diag(inverse)), np.nan),
        z=z,
        p=2 * stats.norm.sf(np.abs(z)),
        lower=np.exp(fit.coef - width),
        upper=np.exp(fit.coef + width),
        wald_test=Test(statistic=wald, df=df, p=float(stats.chi2.sf(wald, df)) if df else 1.0),
    )
