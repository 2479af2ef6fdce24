"""Comparison of the signature with other models in the same patients: paired differences of C-indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.core.words import counted
from pathosig.survival import harrell_c
from pathosig.validation.benefit import c_gain
from pathosig.validation.values import FEWEST_EVENTS, Estimate, Finding, Role, attempt

TITLES = {
    "mean": "the mean of all tiles (ridge Cox)",
    "mixture": "moments of a Gaussian mixture (ridge Cox)",
    "attention": "attention over tiles (Cox loss)",
    "table": "an outside table of embeddings (ridge Cox)",
    "tree": "the sparse selection",
}
"""Description of each comparator."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedC:
    """Harrell's C of the signature and of a comparator in the same patients.

    Attributes
    ----------
    role
        ``validation`` if both were frozen in discovery, ``cross-validated`` if both scores are out of fold, with the same
        folds.
    difference
        C of the signature minus that of the comparator, with a paired bootstrap interval; above 0 the signature is better.
    """

    cohort: str
    role: Role
    n: int
    events: int
    signature: float
    comparator: float
    difference: Estimate

    def text(self) -> str:
        """The difference with its interval and the cohort."""
        d = self.difference
        return f"{d.estimate:+.3f} ({_bound(d.lower)} to {_bound(d.upper)}) in {self.cohort}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The comparison with one comparator in all cohorts that evaluate it."""

    name: str
    title: str
    cohorts: tuple[PairedC, ...]

    @property
    def loses(self) -> tuple[str, ...]:
        """Cohorts in which the whole interval of the difference lies below 0."""
        return tuple(
            c.cohort for c in self.cohorts if c.difference.upper is not None and c.difference.upper < 0
        )

    def sentence(self) -> str:
        """The differences in one sentence."""
        differences = ", ".join(c.text() for c in self.cohorts)
        return f"C of the signature minus that of {self.title}: {differences}."


def _bound(value: float | None) -> str:
    return "?" if value is None else f"{value:+.3f}"


def compare_scores(
    name: str,
    frames: Mapping[str, pd.DataFrame],
    *,
    role: Role = "validation",
    bootstraps: int = 1000,
    seed: int = 0,
    workers: int = 1,
) -> Comparison:
    """Paired differences of C between the signature and a comparator in every cohort.

    Parameters
    ----------
    name
        Name of the comparator, such as a key of `TITLES`.
    frames
        For each cohort: score, other (the score of the comparator), time and event. Patients without one of the scores are
        left out.
    role
        ``validation`` or ``cross-validated``; see `PairedC`.
    bootstraps, seed
        Number of resamples of patients, and their seed.
    workers
        Number of processes; the result does not depend on it.

    Returns
    -------
    Comparison
        Cohorts with fewer than ten events are left out.

    Raises
    ------
    NotEstimableError
        If no cohort has ten events among patients with both scores.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"score": rng.normal(size=60), "event": True})
    >>> frame = frame.assign(other=0.0 * frame["score"], time=np.exp(-frame["score"]))
    >>> compare_scores("mean", {"v1": frame}, bootstraps=20).cohorts[0].difference.estimate
    0.5
    """
    rows = [
        attempt(_paired, frame, cohort, role, bootstraps=bootstraps, seed=seed, workers=workers)
        for cohort, frame in frames.items()
    ]
    kept = tuple(r for r in rows if isinstance(r, PairedC))
    if not kept:
        raise NotEstimableError(
            f"comparator {name}: no cohort with {FEWEST_EVENTS} events among patients with both scores."
        )
    return Comparison(name=name, title=TITLES.get(name, name), cohorts=kept)


def _paired(
    frame: pd.DataFrame, cohort: str, role: Role, *, bootstraps: int, seed: int, workers: int
) -> PairedC:
    both = frame[["score", "other"]].to_numpy(float)
    usable = np.isfinite(both).all(axis=1)
    both, time = both[usable], frame["time"].to_numpy(float)[usable]
    event = frame["event"].to_numpy(bool)[usable]
    if event.sum() < FEWEST_EVENTS:
        raise NotEstimableError(f"comparator: {counted(int(event.sum()), 'event')} in {cohort}.")
    score, other = both.T
    draws = np.random.default_rng(seed).integers(0, len(time), (bootstraps, len(time)))
    return PairedC(
        cohort=cohort,
        role=role,
        n=len(time),
        events=int(event.sum()),
        signature=harrell_c(score, time, event).c,
        comparator=harrell_c(other, time, event).c,
        difference=c_gain((score, other), time, event, draws=draws, workers=workers),
    )


def comparator_findings(comparisons: Sequence[Comparison]) -> list[Finding]:
    """A warning for each comparator that is better than the signature by more than chance.

    Parameters
    ----------
    comparisons
        Results of `compare_scores`.

    Returns
    -------
    list of Finding
        With the code W_COMPARATOR.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"other": rng.normal(size=60), "event": True})
    >>> frame = frame.assign(score=0.0, time=np.exp(-frame["other"]))
    >>> [finding.code for finding in comparator_findings([compare_scores("mean", {"v1": frame}, bootstraps=20)])]
    ['W_COMPARATOR']
    """
    return [
        Finding(
            code="W_COMPARATOR",
            message=f"phenotypes lose prognostic information in {', '.join(c.loses)}: {c.sentence()}",
            where="validate",
        )
        for c in comparisons
        if c.loses
    ]
