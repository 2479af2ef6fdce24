"""The verdict of a validation, one for each endpoint, by rules that were fixed in advance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pathosig.core.words import counted
from pathosig.survival import adjust_p
from pathosig.validation.analysis import Analysis
from pathosig.validation.values import Concordance, HazardRatio, NotEstimable, Role

LEVEL = 0.05
RELEVANT = 1.5
"""Hazard ratio per standard deviation that confidence intervals must exclude for the verdict "not shown"."""

EndpointVerdict = Literal["holds", "uncertain", "not shown", "nothing found"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The verdict for one endpoint.

    Attributes
    ----------
    verdict
        ``holds``, ``uncertain``, ``not shown`` or ``nothing found``.
    basis
        Whether it is based on validation cohorts, on cross-validation, or on discovery alone.
    primary
        Whether it is the declared primary endpoint.
    holds, tested
        Number of cohorts in which the effect of the signature was shown, and number in which it could be tested.
    sentence
        The verdict as printed.
    """

    endpoint: str
    verdict: EndpointVerdict
    basis: Role
    primary: bool
    holds: int
    tested: int
    sentence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """Discrimination and effect in patients to whom the signature was not fitted, for the summary and the model card."""

    cohort: str
    endpoint: str
    role: Role
    n: int
    events: int
    harrell_c: Concordance | NotEstimable
    hr_sd: HazardRatio | NotEstimable


def headlines(analyses: Sequence[Analysis], endpoint: str) -> tuple[Headline, ...]:
    """The headline of each analysis of an endpoint in patients to whom the signature was not fitted.

    Parameters
    ----------
    analyses
        All analyses of a validation.
    endpoint
        Name of the endpoint.

    Returns
    -------
    tuple of Headline
        In the order of `analyses`.

    Examples
    --------
    >>> from pathosig.validation.analysis import Analysis
    >>> rows = [
    ...     Analysis(cohort=cohort, endpoint="os", unit="months", role=role, primary=True, n=90, events=40)
    ...     for cohort, role in (("d", "discovery"), ("v1", "validation"))
    ... ]
    >>> [(line.cohort, line.n, line.events) for line in headlines(rows, "os")]
    [('v1', 90, 40)]
    """
    return tuple(
        Headline(
            cohort=a.cohort,
            endpoint=a.endpoint,
            role=a.role,
            n=a.n,
            events=a.events,
            harrell_c=a.harrell_c,
            hr_sd=a.hr_sd,
        )
        for a in analyses
        if a.endpoint == endpoint and not a.apparent
    )


def nothing_found(endpoint: str, reason: str) -> Verdict:
    """The verdict if there is no signature.

    Parameters
    ----------
    endpoint
        Name of the endpoint.
    reason
        Why there is no signature.

    Returns
    -------
    Verdict
        Of the primary endpoint, with a sentence that gives the reason.

    Examples
    --------
    >>> nothing_found("os", "no candidate varies").sentence
    'No signature: no candidate varies.'
    """
    sentence = f"No signature: {reason.rstrip('.')}."
    return Verdict(
        endpoint=endpoint,
        verdict="nothing found",
        basis="discovery",
        primary=True,
        holds=0,
        tested=0,
        sentence=sentence,
    )


def external_verdict(analyses: Sequence[Analysis], endpoint: str, *, primary: bool) -> Verdict:
    """The verdict of the validation cohorts.

    The effect is shown in a cohort if the hazard ratio per standard deviation is above 1 and its p-value, adjusted for the
    number of cohorts by Holm's method, is below .05. The signature *holds* if its effect is shown in at least half of the
    cohorts and no cohort shows the opposite. It is *uncertain* if the effect is shown in fewer cohorts, if a cohort shows the
    opposite, or if the effect is shown nowhere but the confidence interval of a hazard ratio above 1 includes 1.5. Otherwise
    it is *not shown*.

    Parameters
    ----------
    analyses
        All analyses of a validation; only those of validation cohorts are used.
    endpoint
        Name of the endpoint.
    primary
        Whether it is the declared primary endpoint.

    Returns
    -------
    Verdict

    Examples
    --------
    >>> from pathosig.validation.analysis import Analysis
    >>> rows = [
    ...     Analysis(
    ...         cohort=cohort, endpoint="os", unit="months", role="validation", primary=True, n=90, events=40,
    ...         hr_sd=HazardRatio(hr=hr, lower=lower, upper=upper, p=p, n=90, events=40),
    ...     )
    ...     for cohort, hr, lower, upper, p in (("v1", 1.8, 1.2, 2.7, 0.004), ("v2", 1.2, 0.8, 1.8, 0.4))
    ... ]
    >>> external_verdict(rows, "os", primary=True).sentence
    'Holds in 1 of 2 validation cohorts (os).'
    """
    effects = [
        a.hr_sd for a in analyses if a.endpoint == endpoint and a.role == "validation" and _is_tested(a.hr_sd)
    ]
    tests = [e for e in effects if isinstance(e, HazardRatio)]
    adjusted = list(adjust_p([float(e.p or 0.0) for e in tests], "holm")) if tests else []
    above = [e.hr is None or e.hr > 1 for e in tests]
    holds = sum(p < LEVEL and up for p, up in zip(adjusted, above, strict=True))
    opposite = sum(p < LEVEL and not up for p, up in zip(adjusted, above, strict=True))
    possible = any(up and (e.upper is None or e.upper > RELEVANT) for e, up in zip(tests, above, strict=True))
    verdict: EndpointVerdict
    if holds and not opposite and 2 * holds >= len(tests):
        verdict, sentence = (
            "holds",
            f"Holds in {holds} of {counted(len(tests), 'validation cohort')} ({endpoint}).",
        )
    elif opposite:
        verdict = "uncertain"
        sentence = f"Uncertain: the effect on {endpoint} is shown in {holds} of {counted(len(tests), 'validation cohort')}, and the opposite in {opposite}."
    elif holds:
        verdict = "uncertain"
        sentence = f"Uncertain: the effect on {endpoint} is shown in only {holds} of {counted(len(tests), 'validation cohort')}."
    elif possible:
        verdict = "uncertain"
        sentence = (
            f"Uncertain: no effect on {endpoint} is shown in {_cohorts(len(tests))}, but the confidence intervals do not "
            f"exclude a hazard ratio per SD of {RELEVANT:g}."
        )
    elif tests:
        verdict, sentence = "not shown", f"Not shown: no effect on {endpoint} in {_cohorts(len(tests))}."
    else:
        verdict, sentence = (
            "not shown",
            f"Not shown: no validation cohort has an estimable effect on {endpoint}.",
        )
    return Verdict(
        endpoint=endpoint,
        verdict=verdict,
        basis="validation",
        primary=primary,
        holds=holds,
        tested=len(tests),
        sentence=sentence,
    )


def internal_verdict(
    endpoint: str, *, c: float | None, lower: float | None, upper: float | None, share_empty: float
) -> Verdict:
    """The verdict of nested cross-validation, whose confidence interval accounts for refitting.

    The verdict is *nothing found* if no fold selected anything, *holds* if the confidence interval of Harrell's C lies above
    .5, *uncertain* if C is above .5 but the interval includes .5, and *not shown* otherwise.

    Parameters
    ----------
    endpoint
        Name of the endpoint.
    c, lower, upper
        Harrell's C of the out-of-fold scores with its interval; None where unknown.
    share_empty
        Proportion of the fits that selected nothing, 0 to 1.

    Returns
    -------
    Verdict

    Examples
    --------
    >>> internal_verdict("os", c=0.65, lower=0.57, upper=0.72, share_empty=0.0).sentence
    'Holds in cross-validation (os); no other cohort has judged it.'
    """
    verdict: EndpointVerdict
    if share_empty >= 1:
        verdict, sentence = (
            "nothing found",
            f"Nothing found: cross-validation selected nothing in any fold ({endpoint}).",
        )
    elif c is None or lower is None or upper is None or c <= 0.5:
        verdict, sentence = "not shown", f"Not shown: cross-validation finds no discrimination ({endpoint})."
    elif lower > 0.5:
        verdict, sentence = "holds", f"Holds in cross-validation ({endpoint}); no other cohort has judged it."
    else:
        verdict = "uncertain"
        sentence = f"Uncertain: the cross-validated C-index of {endpoint} is not distinguishable from 0.5."
    empty = f" {share_empty:.0%} of the folds selected nothing." if 0 < share_empty < 1 else ""
    return Verdict(
        endpoint=endpoint,
        verdict=verdict,
        basis="cross-validated",
        primary=True,
        holds=int(verdict == "holds"),
        tested=1,
        sentence=sentence + empty,
    )


def _is_tested(effect: HazardRatio | NotEstimable) -> bool:
    return isinstance(effect, HazardRatio) and effect.p is not None


def _cohorts(n: int) -> str:
    return "the validation cohort" if n == 1 else f"any of {n} validation cohorts"
