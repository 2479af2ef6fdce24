"""Families of tests: p-values of all cohorts and endpoints that belong to a family are adjusted together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pathosig.survival import adjust_p
from pathosig.validation.analysis import Analysis, ProportionalHazards, Subgroup
from pathosig.validation.values import ChiSquare, NotEstimable

LEVEL = 0.05


def with_families(analyses: Sequence[Analysis]) -> tuple[Analysis, ...]:
    """Analyses with p-values of subgroup interactions and of proportional hazards adjusted over their families.

    Interactions are adjusted by Benjamini and Hochberg's method over all variables, cohorts and endpoints, and proportional
    hazards by Holm's method over all cohorts and endpoints; *violated* means an adjusted p below .05. Discovery is a family
    of its own, because the score was fitted to its patients.

    Parameters
    ----------
    analyses
        All analyses of a validation.

    Returns
    -------
    The analyses in the same order.

    Examples
    --------
    >>> from functools import partial
    >>> from pathosig.validation.analysis import Subgroup
    >>> row = partial(Analysis, endpoint="os", unit="months", role="validation", primary=True, n=90, events=40)
    >>> def sex(p):
    ...     return (Subgroup(variable="sex", p_interaction=p, q_interaction=None, rows=()),)
    >>> judged = with_families([row(cohort="v1", subgroups=sex(0.03)), row(cohort="v2", subgroups=sex(0.4))])
    >>> [analysis.subgroups[0].q_interaction for analysis in judged]
    [0.06, 0.4]
    """
    out = list(analyses)
    for apparent in (True, False):
        places = [i for i, a in enumerate(out) if a.apparent is apparent]
        for i, a in zip(places, _hazards(_interactions([out[i] for i in places])), strict=True):
            out[i] = a
    return tuple(out)


def _interactions(analyses: Sequence[Analysis]) -> list[Analysis]:
    p = [s.p_interaction for a in analyses for s in _subgroups(a) if s.p_interaction is not None]
    q = iter(adjust_p(p, "BH") if p else ())
    return [
        a
        if isinstance(a.subgroups, NotEstimable)
        else replace(
            a,
            subgroups=tuple(
                s if s.p_interaction is None else replace(s, q_interaction=float(next(q)))
                for s in a.subgroups
            ),
        )
        for a in analyses
    ]


def _subgroups(a: Analysis) -> tuple[Subgroup, ...]:
    return () if isinstance(a.subgroups, NotEstimable) else a.subgroups


def _hazards(analyses: Sequence[Analysis]) -> list[Analysis]:
    p = [value for a in analyses if (value := _hazard_p(a)) is not None]
    adjusted = iter(adjust_p(p, "holm") if p else ())
    out = []
    for a in analyses:
        if _hazard_p(a) is not None and isinstance(a.ph, ProportionalHazards):
            value = float(next(adjusted))
            a = replace(a, ph=replace(a.ph, p_adjusted=value, violated=value < LEVEL))
        out.append(a)
    return out


def _hazard_p(a: Analysis) -> float | None:
    if isinstance(a.ph, ProportionalHazards) and isinstance(a.ph.score, ChiSquare):
        return a.ph.score.p
    return None
