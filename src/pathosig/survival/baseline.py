"""Baseline survival of a frozen score: the predicted survival of a patient with score 0."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pathosig.core.clinical import UNITS
from pathosig.core.errors import InputError
from pathosig.survival.cox import cox
from pathosig.survival.incidence_model import IncidenceModel

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineAt:
    """Survival of a patient with score 0 after some `years`; `time` is the same duration in the unit of the endpoint."""

    years: float
    time: float
    survival: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CompetingBaseline:
    """Hazard of the competing event: a Cox model on the same score.

    Attributes
    ----------
    coef
        Log hazard ratio of the score.
    time, hazard
        Times of competing events, and the cumulative hazard of a patient with score 0 from each time on.
    """

    coef: float
    time: tuple[float, ...]
    hazard: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = [self.coef, *self.time, *self.hazard]
        falls = (np.diff([0.0, *self.hazard]) < 0).any() or (np.diff(self.time) <= 0).any()
        if len(self.time) != len(self.hazard) or not np.isfinite(numbers).all() or falls:
            raise InputError(
                "baseline of the competing event: times must rise, cumulative hazards must not fall."
            )


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
    competing
        Hazard of the competing event, if there is one. `survival` is then exp(-H) with the cumulative hazard H of the event
        alone: the survival that would hold if no other event could happen.
    """

    unit: str = "months"
    time: tuple[float, ...] = ()
    survival: tuple[float, ...] = ()
    until: float = 0.0
    at: tuple[BaselineAt, ...] = ()
    competing: CompetingBaseline | None = None

    def free_at(self, score: ArrayLike, times: ArrayLike) -> NDArray[np.float64]:
        """Probability of being free of the event at given times, float[n, n_times]; NaN beyond the last follow-up.

        It is S0(t) ** exp(score), or with a competing event 1 - cumulative incidence (Aalen-Johansen product).

        Parameters
        ----------
        score
            float[n].
        times
            [n_times], in `unit`.

        Examples
        --------
        >>> plain = Baseline(time=(5.0, 12.0), survival=(0.9, 0.8), until=60.0)
        >>> plain.free_at([0.0, 1.0], [12.0]).round(2).tolist()
        [[0.8], [0.55]]
        >>> other = CompetingBaseline(coef=0.0, time=(6.0,), hazard=(0.5,))
        >>> dataclasses.replace(plain, competing=other).free_at([0.0, 1.0], [12.0]).round(2).tolist()
        [[0.84], [0.63]]
        """
        z = np.atleast_1d(np.asarray(score, float))
        if self.competing is None:
            return np.asarray(np.power(self.survival_at(times)[None, :], np.exp(z)[:, None]))
        event = np.asarray(self.time, float), -np.log(np.maximum(self.survival, 1e-300))
        other = np.asarray(self.competing.time, float), np.asarray(self.competing.hazard, float)
        model = IncidenceModel.of(
            causes=(1, 2),
            coef=[[1.0], [self.competing.coef]],
            hazards=[event, other],
            until=self.until,
        )
        return np.asarray(1 - model.incidence_at(z[:, None], times))

    def survival_at(self, times: ArrayLike) -> NDArray[np.float64]:
        """Survival at times in the unit of the curve: float[n_times]; NaN beyond the end of follow-up."""
        wanted = np.atleast_1d(np.asarray(times, float))
        level = np.concatenate([[1.0], np.asarray(self.survival, float)])
        base = level[np.searchsorted(np.asarray(self.time, float), wanted, side="right")]
        return np.where(wanted <= self.until, base, np.nan)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The baseline from the plain values in signature.json, in which `competing` may be absent."""
        other = value.get("competing")
        return cls(
            unit=str(value["unit"]),
            time=tuple(float(t) for t in value["time"]),
            survival=tuple(float(s) for s in value["survival"]),
            until=float(value["until"]),
            at=tuple(BaselineAt(**{k: float(v) for k, v in row.items()}) for row in value["at"]),
            competing=None
            if other is None
            else CompetingBaseline(
                coef=float(other["coef"]),
                time=tuple(float(t) for t in other["time"]),
                hazard=tuple(float(h) for h in other["hazard"]),
            ),
        )


def with_competing_hazard(
    baseline: Baseline, score: np.ndarray, time: np.ndarray, happened: np.ndarray
) -> Baseline:
    """A baseline that predicts cumulative incidences, with the hazard of the competing event estimated in given patients.

    Parameters
    ----------
    baseline
        The baseline of the event.
    score, time
        float[n]: scores and follow-up of the discovery patients; time in the unit of the baseline.
    happened
        bool[n]: whether follow-up ended with the competing event.

    Returns
    -------
    Baseline
        With the hazard of the competing event in `competing`.

    Examples
    --------
    >>> baseline = Baseline(time=(5.0, 12.0), survival=(0.9, 0.8), until=60.0)
    >>> other = with_competing_hazard(baseline, np.array([0.0, 1.0, 0.5]), np.array([4.0, 9.0, 30.0]), np.array([1, 0, 0], bool))
    >>> other.competing.time, other.until
    ((4.0,), 30.0)
    """
    until = min(baseline.until, float(time.max()))
    if not happened.any():
        none = CompetingBaseline(coef=0.0, time=(), hazard=())
        return dataclasses.replace(baseline, competing=none, until=until)
    fit = cox(score[:, None], time, happened)
    grid, hazard = fit.baseline_hazard()
    steps = np.flatnonzero(np.diff(hazard, prepend=0.0) > 0)
    other = CompetingBaseline(
        coef=float(np.nan_to_num(fit.coef[0])),
        time=tuple(map(float, grid[steps])),
        hazard=tuple(map(float, hazard[steps])),
    )
    return dataclasses.replace(baseline, competing=other, until=until)


def baseline_of(
    score: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    unit: str,
    *,
    horizons: Sequence[float] = (1, 3, 5),
    competing: np.ndarray | None = None,
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
    competing
        bool[n]: whether follow-up ended with a competing event. None if no event competes.

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
    whole = dataclasses.replace(curve, at=tuple(at))
    return whole if competing is None else with_competing_hazard(whole, score, time, competing)
