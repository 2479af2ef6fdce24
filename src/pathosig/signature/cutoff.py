"""The cut-off between low and high risk: chosen in discovery, stored, never chosen again."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pathosig.core.errors import PathosigWarning
from pathosig.signature.spec import SignatureSpec
from pathosig.survival.cutpoint import beside_ties, max_selected_cutpoint
from pathosig.survival.logrank import logrank

_MANY_TIED = 0.1
"""Proportion of patients with exactly the score at the quantile above which there is a warning."""


@dataclass(frozen=True, kw_only=True)
class Cutoff:
    """A cut-off, with its uncertainty.

    Attributes
    ----------
    rule
        How it was chosen, in words.
    value
        Scores above it are high risk.
    details
        The bootstrap distribution of the cut-off. For a maximally selected cut-off, also the naive p-value and the p-value
        corrected for the search.

    Examples
    --------
    >>> cutoff = Cutoff(rule="given", value=0.2)
    >>> np.array([0.1, 0.2, 0.3]) > cutoff.value
    array([False, False,  True])
    """

    rule: str
    value: float
    details: Mapping[str, Any] = field(default_factory=dict)


def choose_cutoff(score: np.ndarray, time: np.ndarray, event: np.ndarray, spec: SignatureSpec) -> Cutoff:
    """The cut-off of discovery scores by the declared rule, with its bootstrap distribution.

    Parameters
    ----------
    score, time, event
        float[n], float[n] and bool[n]: scores and outcomes of discovery patients.
    spec
        Rule, quantile or value, number of resamples, seed.

    Returns
    -------
    Cutoff

    References
    ----------
    R: stats::quantile (type 7); maxstat::maxstat.test for the rule ``maximal``.

    Examples
    --------
    >>> score, event = np.arange(10.0), np.ones(10, bool)
    >>> choose_cutoff(score, 20 - score, event, SignatureSpec(bootstraps=0)).value
    4.5
    """
    if spec.cutoff == "given":
        return Cutoff(rule="given", value=float(spec.cutoff_value or 0.0))
    if spec.cutoff == "maximal":
        return _maximal(score, time, event, spec)
    level = 0.5 if spec.cutoff == "median" else float(spec.cutoff_value or 0.5)
    rng = np.random.default_rng(spec.seed)
    rule = "discovery median" if spec.cutoff == "median" else f"discovery quantile {level:g}"
    details: dict[str, Any] = {}
    if spec.bootstraps:
        draws = rng.integers(0, len(score), (spec.bootstraps, len(score)))
        details["bootstrap"] = _spread(np.quantile(score[draws], level, axis=1))
    quantile = float(np.quantile(score, level))
    value = beside_ties(score, quantile, level)
    tied = float(np.isclose(score, quantile, rtol=0, atol=1e-12).mean())
    if tied > _MANY_TIED:
        details["tied"] = tied
        warnings.warn(
            PathosigWarning(
                f"cut-off {rule!r}: {tied:.0%} of discovery patients share the score at this quantile, so the groups "
                f"are {(score > value).mean():.0%} high and {(score <= value).mean():.0%} low.",
                code="W_TIES",
            ),
            stacklevel=2,
        )
    return Cutoff(rule=rule, value=value, details=details)


def _spread(values: np.ndarray) -> dict[str, float]:
    lower, upper = np.quantile(values, [0.025, 0.975])
    return {"lower": float(lower), "upper": float(upper), "resamples": len(values)}


def _maximal(score: np.ndarray, time: np.ndarray, event: np.ndarray, spec: SignatureSpec) -> Cutoff:
    search = max_selected_cutpoint(
        score, time, event, min_prop=0.1, p="permutation", permutations=spec.permutations, seed=spec.seed
    )
    naive = float(logrank(time, event, score > search.cutpoint).p)
    warnings.warn(
        PathosigWarning(
            f"cut-off 'maximal': the log-rank p of discovery ({naive:.2g}) is not valid; corrected for the search "
            f"it is {search.p:.2g}. Prefer the median, or judge on other cohorts only.",
            code="W_CUTPOINT",
        ),
        stacklevel=3,
    )
    rng = np.random.default_rng(spec.seed)
    draws = [rng.integers(0, len(score), len(score)) for _ in range(min(spec.bootstraps, 200))]
    searched = [
        max_selected_cutpoint(score[d], time[d], event[d], min_prop=0.1, p="lau92")
        for d in draws
        if event[d].any()
    ]
    details: dict[str, Any] = {
        "p_corrected": float(search.p),
        "p_naive": naive,
        "permutations": spec.permutations,
    }
    if searched:
        details["bootstrap"] = _spread(np.array([float(again.cutpoint) for again in searched]))
    return Cutoff(rule="maximally selected in discovery", value=float(search.cutpoint), details=details)
