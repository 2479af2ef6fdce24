"""Results under competing risks, as values of results.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pathosig.validation.values import ChiSquare, Estimate, HazardRatio, NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class IncidenceCurve:
    """Cumulative incidence of a cause in a risk group; cause 1 is the event, cause 2 the competing event."""

    group: str
    cause: int
    n: int
    events: int
    time: tuple[float, ...]
    estimate: tuple[float | None, ...]
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GrayTest(ChiSquare):
    """Gray's test of one cause."""

    cause: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CompetingModel:
    """Cause-specific or Fine-Gray hazard ratio of the score, or of the high against the low risk group."""

    model: Literal["cause-specific", "Fine-Gray"]
    effect: Literal["hr_sd", "hr_group"]
    cause: int
    result: HazardRatio | NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class IncidenceAt:
    """Absolute risks of the event and of the competing event in a risk group at a horizon (Aalen-Johansen estimates).

    `net` is 1 minus the Kaplan-Meier estimate. This would be the risk if there were no competing events, and is larger than
    `event`.
    """

    group: str
    years: float
    time: float
    event: Estimate
    competing: Estimate
    net: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CompetingRisks:
    """Analysis of an event that a competing event can preclude."""

    n: int
    events: int
    competing_events: int
    groups: tuple[str, ...]
    curves: tuple[IncidenceCurve, ...]
    gray: tuple[GrayTest, ...]
    models: tuple[CompetingModel, ...]
    at: tuple[IncidenceAt, ...] = ()
