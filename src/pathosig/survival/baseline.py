"""Baseline survival of a frozen score: the predicted survival of a patient with score 0."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pathosig.core.clinical import UNITS
from pathosig.survival.cox import cox

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineAt:
    """Survival of a patient with score 0 after some `years`; `time` is the same duration in the unit of the endpoint."""

    years: float
    time: float
    survival: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """Survival of a patient with score 0, a step function.

    Attributes
    ----------
    unit
        Unit of `time` and `until`.
    time, survival
        Event times, and the survival from each of them until the next.
    until
        End of follow-up; nothing is predicted beyond it.
    at
        Survival at the horizons that follow-up reaches.
    """

    unit: str = "months"
    time: tuple[float, ...] = ()
    survival: tuple[float, ...] = ()
    until: float = 0.0
    at: tuple[BaselineAt, ...] = ()

    def survival_at(self, times: ArrayLike) -> NDArray[np.float64]:
        """Survival at times in the unit of the curve: float[n_times]; NaN beyond the end of follow-up."""
        wanted = np.atleast_1d(np.asarray(times, float))
        level = np.concatenate([[1.0], np.asarray(self.survival, float)])
        base = level[np.searchsorted(np.asarray(self.time, float), wanted, side="right")]
        return np.where(wanted <= self.until, base, np.nan)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Baseline from the plain values in signature.json."""
        return cls(
            unit=str(value["unit"]),
            time=tuple(float(t) for t in value["time"]),
            survival=tuple(float(s) for s in value["survival"]),
            until=float(value["until"]),
            at=tuple(BaselineAt(**{k: float(v) for k, v in row.items()}) for row in value["at"]),
        )


def baseline_of(
    score: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    unit: str,
    *,
    horizons: Sequence[float] = (1, 3, 5),
) -> Baseline:
    """Baseline survival of a score whose coefficient is held at 1 (Efron), with its values at the horizons.

    Parameters
    ----------
    score, time, event
        float[n], float[n] and bool[n] of discovery patients.
    unit
        Unit of `time`: days, weeks, months or years.
    horizons
        In years; those beyond follow-up are left out.

    Returns
    -------
    Baseline

    Examples
    --------
    >>> baseline = baseline_of(np.zeros(4), np.array([0.5, 2, 4, 6]), np.ones(4, bool), "years")
    >>> [(at.years, round(at.survival, 2)) for at in baseline.at]
    [(1.0, 0.78), (3.0, 0.56), (5.0, 0.34)]
    """
    fit = dataclasses.replace(cox(score[:, None], time, event), coef=np.array([1.0]))
    grid, hazard = fit.baseline_hazard()
    steps = np.flatnonzero(np.diff(hazard, prepend=0.0) > 0)
    survival = np.exp(-hazard[steps])
    until, per_year = float(time.max()), UNITS[unit]
    curve = Baseline(
        unit=unit, time=tuple(map(float, grid[steps])), survival=tuple(map(float, survival)), until=until
    )
    reached = [(y, y * per_year) for y in horizons if y * per_year <= until]
    at = [BaselineAt(years=float(y), time=t, survival=float(curve.survival_at(t)[0])) for y, t in reached]
    return dataclasses.replace(curve, at=tuple(at))
