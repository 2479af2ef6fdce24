"""Results under competing risks, as values of results.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pathosig.validation.values import ChiSquare, Estimate, HazardRatio, NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class IncidenceCurve:
    """Cumulative incidence of a cause in a risk group; cause 1 is the event, 2 the competing one."""

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
    """Cause-specific or Fine-Gray hazard ratio of the score or of the group."""

    model: Literal["cause-specific", "Fine-Gray"]
    effect: Literal["hr_sd", "hr_group"]
    cause: int
    result: HazardRatio | NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class IncidenceAt:
    """Absolute risk of a risk group at a horizon by Aalen and Johansen, of the event and of the competing one.

    `net` is 1 minus Kaplan-Meier's estimate, the risk if nothing competed: it is larger than `event`.
    """

    group: str
    years: float
    time: float
    event: Estimate
    competing: Estimate
    net: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CompetingRisks:
    """The event when another one can rule it out."""

    n: int
    events: int
    competing_events: int
    groups: tuple[str, ...]
    curves: tuple[IncidenceCurve, ...]
    gray: tuple[GrayTest, ...]
    models: tuple[CompetingModel, ...]
    at: tuple[IncidenceAt, ...] = ()
