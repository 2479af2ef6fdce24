"""Whether a cohort differs from the discovery cohort in its tiles or in the proportions of its phenotypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtrc, stdtr

from pathosig.phenotypes.distance import FALSE_ALARMS

_LEVEL = 0.01
_LARGE = 0.8
"""Standardised difference from which a proportion counts as shifted (Cohen's large effect)."""

_LEAST_SLIDES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideShift:
    """One slide: whether it is unlike the training, and its tiles in each coarse group."""

    unlike: bool
    coarse: tuple[int, ...]


def cohort_shift(cohort: Sequence[SlideShift], reference: Sequence[SlideShift]) -> list[str]:
    """What is shifted in a cohort, in words; empty where nothing is.

    More slides unlike the training than the false-alarm rate gives (binomial, level 1 %); and coarse groups whose proportion
    differs (Welch's t test of the arcsine of the root of the proportion per slide, level 1 % over all groups, and a difference of at
    least .8 standard deviations, because in large cohorts any difference is certain; from ten slides in both cohorts on).

    Parameters
    ----------
    cohort, reference
        Slides of the cohort and of the discovery cohort.

    Examples
    --------
    >>> usual = [SlideShift(unlike=False, coarse=(50 + i, 50)) for i in range(20)]
    >>> cohort_shift(usual[:10], usual)
    []
    >>> cohort_shift([SlideShift(unlike=True, coarse=(50 + i, 50)) for i in range(10)], usual)
    ['10 of 10 slides are unlike the discovery slides; 2 % of slides of the same kind are']
    """
    findings = []
    n, unlike = len(cohort), sum(s.unlike for s in cohort)
    # P(at least `unlike` of n) with the false-alarm rate
    if unlike and float(bdtrc(unlike - 1, n, FALSE_ALARMS)) < _LEVEL:
        findings.append(
            f"{unlike} of {n} slides are unlike the discovery slides; {FALSE_ALARMS:.0%}".replace("%", " %")
            + " of slides of the same kind are"
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
        findings.append(f"phenotypes in other proportions than in discovery ({described})")
    return findings


def _welch(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardised difference and two-sided p of each column, float[g]."""
    n, m = len(first), len(second)
    a, b = first.var(axis=0, ddof=1), second.var(axis=0, ddof=1)
    gap = first.mean(axis=0) - second.mean(axis=0)
    error = np.maximum(a / n + b / m, 1e-12)
    # Welch-Satterthwaite
    df = error**2 / np.maximum((a / n) ** 2 / (n - 1) + (b / m) ** 2 / (m - 1), 1e-24)
    return gap / np.sqrt(np.maximum((a + b) / 2, 1e-12)), 2 * stdtr(df, -np.abs(gap) / np.sqrt(error))
