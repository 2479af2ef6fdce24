"""The Cox partial likelihood: its value, its derivatives and the contribution of each patient.

Let R(t) be the risk set at t, D(t) the deaths at t, w the weights and eta = x'b the linear predictor. With Efron's method for
ties there is one term per death, and f takes the values below; with Breslow's method f = 0.

    l(b)    = sum_{i dead} w_i eta_i - sum_terms v log S0,        v = sum_{D} w / |D|
    S_k     = sum_{R} w exp(eta) x^(k)  -  f sum_{D} w exp(eta) x^(k),   f = 0, 1/|D|, ..., (|D| - 1)/|D|
    U(b)    = sum_{i dead} w_i x_i - sum_terms v S1 / S0
    I(b)    = sum_terms v (S2 / S0 - (S1 / S0)(S1 / S0)')

References
----------
Efron B. JASA 1977; 72: 557. Therneau TM, Grambsch PM. Modeling Survival Data, 2000, chapter 3.
"""

from __future__ import annotations

import numpy as np

from pathosig.survival.risksets import RiskSets

_TINY = 1e-200


def term_sums(sets: RiskSets, risk: np.ndarray) -> np.ndarray:
    """S0 or S1 of each event term: the sum over patients at risk, minus the fraction of tied deaths by Efron's method.

    Parameters
    ----------
    sets
        From `risksets.risk_sets`.
    risk
        float[n]: w exp(eta) for S0, or float[n, p]: w exp(eta) x for S1; rows in the order of `sets`.

    Returns
    -------
    float[terms] or float[terms, p].

    Examples
    --------
    >>> from pathosig.survival.risksets import risk_sets
    >>> time, ones = np.array([1.0, 2, 2]), np.ones(3)
    >>> sets = risk_sets(time, ones > 0, stratum=np.zeros(3, int), weight=ones, entry=None, ties="efron")
    >>> term_sums(sets, ones)
    array([2., 1., 3.])
    """
    if sets.untied:
        return sets.at_risk(risk)
    at_risk, dying = sets.at_risk(risk)[sets.term_group], sets.deaths(risk)[sets.term_group]
    fraction = sets.term_fraction.reshape(-1, *[1] * (risk.ndim - 1))
    return np.asarray(at_risk - fraction * dying)


def loglik_derivatives(
    beta: np.ndarray, x: np.ndarray, sets: RiskSets
) -> tuple[float, np.ndarray, np.ndarray]:
    """Log partial likelihood at given coefficients, with its gradient and information matrix.

    Parameters
    ----------
    beta
        float[p] coefficients.
    x
        float[n, p]; rows in the order of `sets`.
    sets
        From `risksets.risk_sets`.

    Returns
    -------
    The value, gradient float[p] and information float[p, p]; the value is -inf if the relative risks underflow.

    References
    ----------
    Efron (1977), JASA 72. R: survival::coxph.

    Examples
    --------
    >>> from pathosig.survival.risksets import risk_sets
    >>> time, ones = np.array([1.0, 2, 3]), np.ones(3)
    >>> sets = risk_sets(time, ones > 0, stratum=np.zeros(3, int), weight=ones, entry=None, ties="efron")
    >>> value, gradient, information = loglik_derivatives(np.zeros(1), np.array([[1.0], [0.0], [0.0]]), sets)
    >>> round(value, 4), gradient.round(4), information.round(4)
    (-1.7918, array([-0.8333]), array([[0.4722]]))
    """
    eta = x @ beta
    eta = eta - eta.max(initial=0.0) if len(eta) else eta
    risk = sets.weight * np.exp(eta)
    v = sets.term_weight
    s0 = term_sums(sets, risk)
    s1 = term_sums(sets, risk[:, None] * x)
    per_event = sets.weight * sets.event
    if not (s0 > _TINY).all():  # the step was so long that risks underflow; the caller halves it
        return -np.inf, np.zeros_like(beta), np.zeros((len(beta), len(beta)))
    mean = s1 / s0[:, None]
    loglik = float(per_event @ eta - v @ np.log(s0))
    score = per_event @ x - v @ mean
    info = (x * (risk * _exposure(sets, v / s0))[:, None]).T @ x - (mean * v[:, None]).T @ mean
    return loglik, score, info


def _exposure(sets: RiskSets, terms: np.ndarray) -> np.ndarray:
    """For each row, the sum of `terms` over the event terms at which it is at risk, reduced for tied deaths (Efron)."""
    if sets.untied:
        return sets.spread(terms)
    g = sets.term_group
    shape = (sets.n_groups, *terms.shape[1:])
    total, down = np.zeros(shape), np.zeros(shape)
    np.add.at(total, g, terms)
    fraction = sets.term_fraction.reshape(-1, *[1] * (terms.ndim - 1))
    np.add.at(down, g, fraction * terms)
    out = sets.spread(total)
    out[sets.event] -= down[sets.group[sets.event]]
    return out


def score_residuals(beta: np.ndarray, x: np.ndarray, sets: RiskSets) -> np.ndarray:
    """Unweighted score residuals: the contribution of each patient to the gradient, float[n, p] in the order of `sets`.

    Parameters
    ----------
    beta
        float[p] coefficients.
    x
        float[n, p]; rows in the order of `sets`.
    sets
        From `risksets.risk_sets`.

    Returns
    -------
    float[n, p].

    References
    ----------
    R: survival, residuals(type = "score").

    Examples
    --------
    >>> from pathosig.survival.risksets import risk_sets
    >>> time, ones = np.array([1.0, 2, 3]), np.ones(3)
    >>> sets = risk_sets(time, ones > 0, stratum=np.zeros(3, int), weight=ones, entry=None, ties="efron")
    >>> score_residuals(np.zeros(1), np.array([[1.0], [0.0], [0.0]]), sets).ravel().round(3)
    array([-0.472, -0.139, -0.222])
    """
    eta = x @ beta
    eta = eta - eta.max(initial=0.0)
    risk = sets.weight * np.exp(eta)
    g, v = sets.term_group, sets.term_weight
    s0 = term_sums(sets, risk)
    mean = term_sums(sets, risk[:, None] * x) / s0[:, None]
    a = _exposure(sets, v / s0)
    b = _exposure(sets, (v / s0)[:, None] * mean)
    out = -np.exp(eta)[:, None] * (x * a[:, None] - b)
    count = np.bincount(g, minlength=sets.n_groups)
    average = np.zeros((sets.n_groups, x.shape[1]))
    np.add.at(average, g, mean)
    average /= count[:, None]
    out[sets.event] += x[sets.event] - average[sets.group[sets.event]]
    return out
