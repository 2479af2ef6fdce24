"""Absolute risk with competing events: the cumulative incidence that cause-specific Cox models predict for a patient.

With H_k the cumulative hazard of cause k at covariates of 0, dH_k(u) its jump at time u, and r_k = exp(x'b_k),

    F_k(t | x) = sum_{u <= t} S(u- | x) (1 - exp(-d(u))) r_k dH_k(u) / d(u),    d(u) = sum_k r_k dH_k(u)
    S(u | x)   = exp(-sum_{v <= u} d(v))

which is the Aalen-Johansen estimate from the fitted hazards. The quantity 1 - exp(-r_1 H_1) is larger: it would be the risk
if there were no competing events.

References
----------
R: survival::survfit on a multi-state coxph. Andersen PK et al. Statistical Models Based on Counting Processes, 1993, VII.2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pathosig.core.errors import InputError, NotEstimableError
from pathosig.survival.cox import cox
from pathosig.survival.data import as_columns, as_times, fix_times
from pathosig.survival.incidence import as_causes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["IncidenceModel"]

_CELLS = 2_000_000
"""Most patients x event times computed at a time; an array then takes about 16 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IncidenceModel:
    """Cause-specific Cox models of all causes, which together predict cumulative incidence.

    Attributes
    ----------
    causes
        Codes of the k causes.
    coef
        float[k, p] log hazard ratios.
    time
        float[m] times at which an event of any cause happened.
    jumps
        float[k, m]: increase of each cumulative hazard, at covariates of 0, at each of these times.
    until
        End of follow-up; nothing is predicted beyond it.

    Examples
    --------
    >>> model = IncidenceModel.fit([0, 1, 0, 1, 1, 0], [1, 2, 3, 4, 5, 6], [2, 1, 1, 0, 2, 1])
    >>> model.causes, model.coef.round(2).ravel()
    ((1, 2), array([-0.2,  0. ]))
    """

    causes: tuple[int, ...]
    coef: NDArray[np.float64]
    time: NDArray[np.float64]
    jumps: NDArray[np.float64]
    until: float

    @classmethod
    def fit(cls, X: ArrayLike, time: ArrayLike, event: ArrayLike) -> IncidenceModel:
        """Fit a Cox model (Efron) for every cause, with events of other causes treated as censored.

        Parameters
        ----------
        X
            float[n, p].
        time
            float[n].
        event
            int[n]: 0 for censored, 1, 2, ... for the causes.

        Raises
        ------
        NotEstimableError
            If there is no event.
        """
        x, t, cause = as_columns(X)[0], as_times(time), as_causes(event)
        (t,) = fix_times(t)
        causes = tuple(int(c) for c in np.unique(cause) if c > 0)
        if not causes:
            raise NotEstimableError("incidence model: no event at all.", code="E_EVENTS")
        fits = [cox(x, t, cause == c) for c in causes]
        curves = [fit.baseline_hazard() for fit in fits]
        return cls.of(
            causes=causes,
            coef=np.array([np.nan_to_num(fit.coef) for fit in fits]),
            hazards=curves,
            until=float(t.max()),
        )

    @classmethod
    def of(
        cls,
        *,
        causes: tuple[int, ...],
        coef: ArrayLike,
        hazards: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
        until: float,
    ) -> IncidenceModel:
        """Model from given coefficients and cumulative hazards.

        Parameters
        ----------
        causes, coef, until
            As in the attributes.
        hazards
            Times and cumulative hazard at covariates of 0, for each cause.
        """
        grid = np.unique(np.concatenate([t for t, _ in hazards]))
        steps = [np.concatenate([[0.0], h])[np.searchsorted(t, grid, side="right")] for t, h in hazards]
        jumps = np.diff(np.array(steps), axis=1, prepend=0.0)
        happened = jumps.sum(axis=0) > 0
        return cls(
            causes=causes,
            coef=np.asarray(coef, float),
            time=grid[happened],
            jumps=jumps[:, happened],
            until=until,
        )

    def incidence_at(self, X: ArrayLike, times: ArrayLike, *, cause: int = 1) -> NDArray[np.float64]:
        """Probability that the cause has happened by each time: float[n, len(times)]; NaN beyond the end of follow-up.

        Parameters
        ----------
        X
            float[n, p].
        times
            In the unit of the times to which the model was fitted.
        cause
            Code of the cause.

        Raises
        ------
        InputError
            If the model has no such cause.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> x, cause = rng.normal(size=(200, 1)), rng.integers(0, 3, 200)
        >>> model = IncidenceModel.fit(x, rng.exponential(10, 200), cause)
        >>> model.incidence_at([[0.0], [1.0]], [5, 10]).round(2).tolist()
        [[0.12, 0.22], [0.1, 0.19]]
        """
        if cause not in self.causes:
            raise InputError(f"incidence_at: no cause {cause}; there are {list(self.causes)}.")
        wanted = np.atleast_1d(np.asarray(times, float))
        ratio, place = np.exp(as_columns(X)[0] @ self.coef.T), self.causes.index(cause)
        size = max(1, _CELLS // max(len(self.time), 1))
        blocks = [self._incidence(ratio[i : i + size], wanted, place) for i in range(0, len(ratio), size)]
        return np.concatenate([np.zeros((0, len(wanted))), *blocks])

    def _incidence(
        self, ratio: NDArray[np.float64], wanted: NDArray[np.float64], place: int
    ) -> NDArray[np.float64]:
        """Cumulative incidence, float[n, k], of the cause at position `place`, for patients with given hazard ratios."""
        total = ratio @ self.jumps
        left = np.exp(-np.cumsum(total, axis=1))
        before = np.hstack([np.ones((len(left), 1)), left[:, :-1]])
        share = np.divide(
            ratio[:, [place]] * self.jumps[place], total, out=np.zeros_like(total), where=total > 0
        )
        risk = np.cumsum(before * -np.expm1(-total) * share, axis=1)
        risk = np.hstack([np.zeros((len(left), 1)), risk])
        at = risk[:, np.searchsorted(self.time, wanted, side="right")]
        return np.asarray(np.where(wanted <= self.until, at, np.nan))
