"""Tests whether a cohort differs from the discovery cohort in its tiles or in the proportions of its phenotypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtrc, stdtr

from pathosig.phenotypes.distance import FALSE_ALARMS

_LEVEL = 0.01
_LARGE = 0.8
"""Smallest standardised difference at which a proportion counts as shifted (Cohen's large effect)."""

_LEAST_SLIDES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideShift:
    """One slide: whether it is unlike the training slides, and its number of tiles in each coarse group."""

    unlike: bool
    coarse: tuple[int, ...]


def cohort_shift(cohort: Sequence[SlideShift], reference: Sequence[SlideShift]) -> list[str]:
    """Sentences about what is shifted in a cohort; empty if nothing is.

    Two things are tested at a level of 1 %:

    - whether more slides are unlike the discovery slides than the false-alarm rate explains (binomial test);
    - whether coarse groups differ in their proportion, if both cohorts have at least ten slides: Welch's t test of the
      arcsine of the square root of the proportion in each slide, with Bonferroni's correction over the groups. The
      difference must also be at least 0.8 standard deviations, because in large cohorts any difference is significant.

    Parameters
    ----------
    cohort, reference
        Slides of the cohort and of the discovery cohort.

    Returns
    -------
    list of str

    Examples
    --------
    >>> usual = [SlideShift(unlike=False, coarse=(50 + i, 50)) for i in range(20)]
    >>> cohort_shift(usual[:10], usual)
    []
    >>> cohort_shift([SlideShift(unlike=True, coarse=(50 + i, 50)) for i in range(10)], usual)
    ['10 of 10 slides are unlike the discovery slides; about 2 % would be by chance']
    """
    findings = []
    n, unlike = len(cohort), sum(s.unlike for s in cohort)
    # P(at least `unlike` of n) with the false-alarm rate
    if unlike and float(bdtrc(unlike - 1, n, FALSE_ALARMS)) < _LEVEL:
        findings.append(
            f"{unlike} of {n} slides {'is' if unlike == 1 else 'are'} unlike the discovery slides; about {FALSE_ALARMS:.0%}".replace(
                "%", " %"
            )
            + " would be by chance"
        )
    if min(n, len(reference)) < _LEAST_SLIDES:
        return findings
    here, there = (np.array([s.coarse for s in slides], float) for slides in (cohort, reference))
    here, there = (x / np.maximum(x.sum(axis=1, keepdims=True), 1) for x in (here, there))
    effect, p = _welch(np.arcsin(np.sqrt(here)), np.arcsin(np.sqrt(there)))
    shifted = np.flatnonzero((p < _LEVEL / len(p)) & (np.abs(effect) >= _LARGE))
    if len(shifted):
        described = ", ".join(
            f"group {g}: {here[:, g].mean():.0%} against {there[:, g].mean():.0%}" for g in shifted
        )
        findings.append(f"the proportions of phenotypes differ from those in discovery ({described})")
    return findings


def _welch(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardised difference and two-sided p value of each column, float[g] each."""
    n, m = len(first), len(second)
    a, b = first.var(axis=0, ddof=1), second.var(axis=0, ddof=1)
    gap = first.mean(axis=0) - second.mean(axis=0)
    error = np.maximum(a / n + b / m, 1e-12)
    # Welch-Satterthwaite
    df = error**2 / np.maximum((a / n) ** 2 / (n - 1) + (b / m) ** 2 / (m - 1), 1e-24)
    return gap / np.sqrt(np.maximum((a + b) / 2, 1e-12)), 2 * stdtr(df, -np.abs(gap) / np.sqrt(error))
