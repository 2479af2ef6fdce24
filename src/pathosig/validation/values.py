"""Elementary values of results.json: estimates, hazard ratios, tests, curves, warnings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, ParamSpec, Self, TypeVar

from pathosig.core.errors import PathosigError

Z95 = 1.959963984540054
T = TypeVar("T")
P = ParamSpec("P")

Role = Literal["discovery", "validation", "cross-validated"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NotEstimable:
    """In place of a value that could not be estimated, or was not asked for."""

    reason: str = field(metadata={"key": "not_estimable"})


NOT_COMPUTED = NotEstimable(reason="not computed")
"""Default of whatever was not asked for; left out of results.json."""

FEWEST_EVENTS = 10
"""Events that clinical models, their added value and comparisons of scores need."""


def attempt(make: Callable[P, T], *args: P.args, **options: P.kwargs) -> T | NotEstimable:
    """What `make` gives, or `NotEstimable` with the message of its error.

    Parameters
    ----------
    make
        A function.
    *args, **options
        What it is called with.

    Returns
    -------
    What it returns, or `NotEstimable`.

    Examples
    --------
    >>> from pathosig.core.errors import NotEstimableError
    >>> def ratio(a, b):
    ...     if b == 0:
    ...         raise NotEstimableError("b is 0")
    ...     return a / b
    >>> attempt(ratio, 1, 2), attempt(ratio, 1, 0)
    (0.5, NotEstimable(reason='b is 0'))
    """
    try:
        return make(*args, **options)
    except PathosigError as error:
        return NotEstimable(reason=str(error))


def finite(value: Any) -> float | None:
    """A number as float, or None where it is missing or infinite.

    Parameters
    ----------
    value
        Anything that `float` takes.

    Examples
    --------
    >>> finite(1), finite(float("nan")), finite(float("inf"))
    (1.0, None, None)
    """
    number = float(value)
    return number if math.isfinite(number) else None


def numbers(values: Iterable[Any]) -> tuple[float | None, ...]:
    """Numbers as floats, with None in place of those that are missing or infinite.

    Parameters
    ----------
    values
        Anything that `float` takes, one after the other.

    Examples
    --------
    >>> numbers([1, float("nan"), 2.5])
    (1.0, None, 2.5)
    """
    return tuple(finite(v) for v in values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """An estimate with its 95 % confidence interval; a bound that is not reached or infinite is None."""

    estimate: float | None
    lower: float | None
    upper: float | None
    se: float | None = None
    p: float | None = None
    n: int | None = None

    @classmethod
    def of(cls, value: Any, lower: Any = math.nan, upper: Any = math.nan, **more: Any) -> Self:
        """From numbers that may be missing or infinite."""
        return cls(estimate=finite(value), lower=finite(lower), upper=finite(upper), **more)


@dataclass(frozen=True, kw_only=True, slots=True)
class Concordance(Estimate):
    """A C-index; `tau` is the truncation time of Uno's, `of_averaged_scores` belongs to cross-validation."""

    tau: float | None = None
    of_averaged_scores: Estimate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HazardRatio:
    """A hazard ratio with its 95 % confidence interval.

    Attributes
    ----------
    hr, lower, upper
        None where infinite.
    p
        Wald test; of the profile likelihood for Firth's estimate.
    coef, se
        Log hazard ratio; None for models that do not give it.
    n, events
        Patients and events of the model.
    separated
        Whether the maximum-likelihood estimate is infinite.
    firth
        Whether the numbers are Firth's penalised estimate instead.
    p_adjusted
        Adjusted for the declared family of tests.
    """

    hr: float | None
    lower: float | None
    upper: float | None
    p: float | None
    n: int
    events: int
    coef: float | None = None
    se: float | None = None
    separated: bool = False
    firth: bool = False
    p_adjusted: float | None = None

    @property
    def remark(self) -> str:
        """What is special about the estimate, as printed."""
        return "separation; Firth's estimate" if self.firth else "separation" if self.separated else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChiSquare:
    """A chi-square statistic with its degrees of freedom and p."""

    statistic: float | None
    df: int
    p: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExactTest:
    """p of Fisher's exact test, and q within the declared family."""

    p: float | None
    q: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """Patients of a risk group at one level, and their proportion in the group."""

    group: str
    level: str
    n: int
    share: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """A cross table of risk group and something else, with its tests."""

    rows: tuple[Count, ...]
    n: int
    missing: int
    chi_square: ChiSquare | NotEstimable
    fisher: ExactTest | NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class SurvivalAt(Estimate):
    """Survival at a horizon; `n_risk` patients are followed up to it."""

    years: float
    time: float
    n_risk: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A Kaplan-Meier curve as steps, without the point at time 0; times in the endpoint's unit."""

    label: str
    n: int
    events: int
    time: tuple[float, ...]
    estimate: tuple[float | None, ...]
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]
    n_risk: tuple[int, ...]
    n_event: tuple[int, ...]
    n_censor: tuple[int, ...]
    median: tuple[float | None, ...]
    survival_at: tuple[SurvivalAt, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AtRisk:
    """Numbers at risk below a Kaplan-Meier plot."""

    time: tuple[float, ...]
    groups: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class KaplanMeier:
    """Curves of the risk groups, low before high, with their risk table."""

    groups: tuple[Curve, ...]
    at_risk: AtRisk


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A warning for the reader: a stable code, the sentence to print, and what it concerns."""

    code: str
    message: str
    where: str = ""
