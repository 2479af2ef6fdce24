"""The competing event of a clinical model: its Cox model on the same columns, and absolute risks from both models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pathosig.core.errors import InputError
from pathosig.survival import IncidenceModel, cox
from pathosig.survival.absolute_risk import AbsoluteRisk
from pathosig.survival.coxfit import CoxFit
from pathosig.survival.incidence_risk import CauseHazard, incidence_risk


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenCause:
    """A frozen Cox model of one cause; see `survival.incidence_risk.CauseHazard`.

    Attributes
    ----------
    coef, covariance
        float[p] and float[p, p]: the mean over imputed data sets, and Rubin's total covariance.
    time
        float[m]: times of the cause's events, increasing.
    hazard, variance, gradient
        float[m], float[m] and float[m, p] at these times, for a patient whose columns are at the centre; means over imputed
        data sets.
    """

    coef: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    time: tuple[float, ...]
    hazard: tuple[float, ...]
    variance: tuple[float, ...]
    gradient: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        p, m = len(self.coef), len(self.time)
        widths = {len(self.covariance), *map(len, self.covariance), *map(len, self.gradient)}
        lengths = {len(self.hazard), len(self.variance), len(self.gradient)}
        if widths - {p} or lengths != {m}:
            raise InputError("clinical model: the vectors and matrices of a cause do not fit together.")
        rows = [self.coef, self.time, self.hazard, self.variance, *self.covariance, *self.gradient]
        if not all(np.isfinite(row).all() for row in rows):
            raise InputError("clinical model: a number of a cause is not finite.")
        rising = [np.diff(v, prepend=0.0) for v in (self.hazard, self.variance)]
        if any((step < 0).any() for step in rising) or (np.diff(self.time) <= 0).any():
            raise InputError(
                "clinical model: the times of a cause do not increase, or its hazard or variance falls."
            )

    @classmethod
    def of(cls, fits: Sequence[CoxFit], covariance: np.ndarray) -> FrozenCause:
        """From the fits to the imputed data sets and the total covariance of their coefficients."""
        causes = [CauseHazard.of(fit) for fit in fits]
        coef, hazard, variance, gradient = (
            np.mean([getattr(cause, name) for cause in causes], axis=0)
            for name in ("coef", "hazard", "variance", "gradient")
        )
        return cls(
            coef=tuple(coef.tolist()),
            covariance=tuple(tuple(row) for row in covariance.tolist()),
            time=tuple(causes[0].time.tolist()),
            hazard=tuple(hazard.tolist()),
            variance=tuple(variance.tolist()),
            gradient=tuple(tuple(row) for row in gradient.tolist()),
        )

    @property
    def arrays(self) -> CauseHazard:
        """The same values as NumPy arrays."""
        p = len(self.coef)
        return CauseHazard(
            coef=np.array(self.coef),
            covariance=np.array(self.covariance).reshape(p, p),
            time=np.array(self.time),
            hazard=np.array(self.hazard),
            variance=np.array(self.variance),
            gradient=np.array(self.gradient).reshape(-1, p),
        )

    @property
    def steps(self) -> tuple[np.ndarray, np.ndarray]:
        """Times, and the cumulative hazard at the centre from each time on."""
        return np.array(self.time, float), np.array(self.hazard, float)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompetingCauses:
    """The frozen models of the event and the competing event in a clinical model.

    A patient's risk depends on both linear predictors, so the total points of a nomogram do not determine it. For the nomogram,
    the hazard of the competing event therefore comes from a Cox model on the event's linear predictor alone, which gives its
    average among patients with the same total.

    Attributes
    ----------
    event, other
        The models of both causes on the columns of the clinical model.
    along, along_hazard
        Log hazard ratio of the competing event per unit of the event's linear predictor, and its cumulative hazard at the
        times of `other` for a patient whose linear predictor is 0.
    gap, mean_gap
        Largest and mean absolute difference in discovery patients between the risk from the total and the risk from both
        models, at the last horizon.
    """

    event: FrozenCause
    other: FrozenCause
    along: float
    along_hazard: tuple[float, ...]
    gap: float
    mean_gap: float

    def __post_init__(self) -> None:
        values = np.array([self.along, self.gap, self.mean_gap, *self.along_hazard])
        falls = (np.diff([0.0, *self.along_hazard]) < 0).any()
        if len(self.along_hazard) != len(self.other.time) or not np.isfinite(values).all() or falls:
            raise InputError(
                "clinical model: the competing hazard of its nomogram is not an increasing step function."
            )

    @classmethod
    def fit(
        cls,
        event: FrozenCause,
        other: FrozenCause,
        columns: np.ndarray,
        time: np.ndarray,
        happened: np.ndarray,
        *,
        last: float,
    ) -> CompetingCauses:
        """Both causes, with a Cox model of the competing event on the linear predictor of the event.

        Parameters
        ----------
        event, other
            The models of both causes.
        columns, time, happened
            float[n, p] (centred), float[n] and bool[n]: discovery patients, and whether their follow-up ended with the
            competing event.
        last
            Time at which the gaps are measured.
        """
        total = columns @ np.array(event.coef)
        fit = cox(total[:, None], time, happened)
        grid, hazard = fit.baseline_hazard()
        at = hazard[np.searchsorted(grid, other.time, side="right") - 1]
        draft = cls(
            event=event,
            other=other,
            along=float(np.nan_to_num(fit.coef[0])),
            along_hazard=tuple(at.tolist()),
            gap=0.0,
            mean_gap=0.0,
        )
        whole = draft.free_at(np.column_stack([total, columns @ np.array(other.coef)]), [last], until=last)
        gap = np.abs(draft.incidence_by_total(total, last) - (1 - whole[:, 0]))
        return replace(draft, gap=float(gap.max()), mean_gap=float(gap.mean()))

    def free_at(
        self, predictors: np.ndarray, times: Sequence[float] | np.ndarray, *, until: float
    ) -> np.ndarray:
        """1 - cumulative incidence of the event: float[n, m]; NaN beyond `until`.

        Parameters
        ----------
        predictors
            float[n, 2]: linear predictors of the event and of the competing event.
        times
            float[m].
        until
            Last follow-up.
        """
        hazards = [self.event.steps, self.other.steps]
        model = IncidenceModel.of(causes=(1, 2), coef=np.eye(2), hazards=hazards, until=until)
        return np.asarray(1 - model.incidence_at(predictors, times))

    def incidence_by_total(self, total: np.ndarray, when: float) -> np.ndarray:
        """Cumulative incidence by a time for patients whose linear predictor of the event is `total`, float[n]."""
        hazards = [self.event.steps, (np.array(self.other.time, float), np.array(self.along_hazard, float))]
        model = IncidenceModel.of(
            causes=(1, 2), coef=[[1.0], [self.along]], hazards=hazards, until=float("inf")
        )
        return np.asarray(model.incidence_at(np.asarray(total, float)[:, None], [when])[:, 0])

    def risks(self, columns: np.ndarray, times: Sequence[float]) -> AbsoluteRisk:
        """Cumulative incidence with its 95 % confidence interval, float[n, m] each; NaN if a column is missing."""
        return incidence_risk(columns, [self.event.arrays, self.other.arrays], times)
