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
    """Takes the place of a value that could not be estimated or was not computed."""

    reason: str = field(metadata={"key": "not_estimable"})


NOT_COMPUTED = NotEstimable(reason="not computed")
"""Default of values that were not computed; it is left out of results.json."""

FEWEST_EVENTS = 10
"""Smallest number of events for clinical models, their added value and comparisons of scores."""


def attempt(make: Callable[P, T], *args: P.args, **options: P.kwargs) -> T | NotEstimable:
    """The result of a function, or `NotEstimable` with the message if it raises a `PathosigError`.

    Parameters
    ----------
    make
        The function.
    *args, **options
        Its arguments.

    Returns
    -------
    The return value of `make`, or NotEstimable

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
    """A number as float; None if it is missing or infinite.

    Parameters
    ----------
    value
        Anything that `float` accepts.

    Returns
    -------
    The number or None.

    Examples
    --------
    >>> finite(1), finite(float("nan")), finite(float("inf"))
    (1.0, None, None)
    """
    number = float(value)
    return number if math.isfinite(number) else None


def numbers(values: Iterable[Any]) -> tuple[float | None, ...]:
    """Numbers as floats; None for those that are missing or infinite.

    Parameters
    ----------
    values
        Values that `float` accepts.

    Returns
    -------
    The numbers, in the same order.

    Examples
    --------
    >>> numbers([1, float("nan"), 2.5])
    (1.0, None, 2.5)
    """
    return tuple(finite(v) for v in values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """An estimate with its 95 % confidence interval; a bound that is infinite or not reached is None."""

    estimate: float | None
    lower: float | None
    upper: float | None
    se: float | None = None
    p: float | None = None
    n: int | None = None

    @classmethod
    def of(cls, value: Any, lower: Any = math.nan, upper: Any = math.nan, **more: Any) -> Self:
        """Estimate from numbers that may be missing or infinite."""
        return cls(estimate=finite(value), lower=finite(lower), upper=finite(upper), **more)


@dataclass(frozen=True, kw_only=True, slots=True)
class Concordance(Estimate):
    """A C-index; `tau` is the truncation time of Uno's C.

    For cross-validation, the estimate is the mean over repeats, and `of_averaged_scores` is the C of the mean scores.
    """

    tau: float | None = None
    of_averaged_scores: Estimate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HazardRatio:
    """A hazard ratio with its 95 % confidence interval.

    Attributes
    ----------
    hr, lower, upper
        Hazard ratio and its confidence interval; None for infinite values.
    p
        P-value of the Wald test; for Firth's estimate of the profile likelihood.
    coef, se
        Log hazard ratio and its standard error; None for models that do not give them.
    n, events
        Patients and events of the model.
    separated
        Whether the maximum likelihood estimate is infinite.
    firth
        Whether hazard ratio, interval and p-value are those of Firth's penalised regression.
    p_adjusted
        P-value adjusted for the declared family of tests.
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
        """Note on separation as it is printed beside the estimate; empty without separation."""
        return "separation; Firth's estimate" if self.firth else "separation" if self.separated else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChiSquare:
    """A chi-square statistic with its degrees of freedom and p-value."""

    statistic: float | None
    df: int
    p: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExactTest:
    """P-value of Fisher's exact test, and q-value within the declared family."""

    p: float | None
    q: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """Number of patients of a risk group at one level, and their proportion of the group."""

    group: str
    level: str
    n: int
    share: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """A cross table of the risk group and another variable, with its tests."""

    rows: tuple[Count, ...]
    n: int
    missing: int
    chi_square: ChiSquare | NotEstimable
    fisher: ExactTest | NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class SurvivalAt(Estimate):
    """Survival at a horizon, with the number of patients at risk."""

    years: float
    time: float
    n_risk: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A Kaplan-Meier curve as steps, without the point at time 0; times are in the unit of the endpoint."""

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
    """Numbers at risk in the table below a Kaplan-Meier plot."""

    time: tuple[float, ...]
    groups: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class KaplanMeier:
    """Curves of the risk groups, low before high, with the numbers at risk."""

    groups: tuple[Curve, ...]
    at_risk: AtRisk


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A warning: its code, which is stable, the sentence that is printed, and what it concerns."""

    code: str
    message: str
    where: str = ""
