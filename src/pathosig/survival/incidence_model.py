"""Absolute risk where events compete: the cumulative incidence that cause-specific Cox models predict for a patient.

With H_k the cumulative hazard of cause k of a patient at covariates 0, r_k = exp(x'b_k), and all jumps dH at a time u,

    F_k(t | x) = sum_{u <= t} S(u- | x) (1 - exp(-d(u))) r_k dH_k(u) / d(u),    d(u) = sum_k r_k dH_k(u)
    S(u | x)   = exp(-sum_{v <= u} d(v))

which is the Aalen-Johansen estimate of the fitted hazards. 1 - exp(-r_1 H_1) is larger: it is the risk if nothing competed.

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


@dataclass(frozen=True, kw_only=True, slots=True)
class IncidenceModel:
    """A Cox model for each cause, read together.

    Attributes
    ----------
    causes
        Their codes, k of them.
    coef
        float[k, p] log hazard ratios.
    time
        float[m] times at which some event happened.
    jumps
        float[k, m]: what the cumulative hazards at covariates 0 rise by at each of them.
    until
        Last follow-up; nothing is predicted beyond it.
    """

    causes: tuple[int, ...]
    coef: NDArray[np.float64]
    time: NDArray[np.float64]
    jumps: NDArray[np.float64]
    until: float

    @classmethod
    def fit(cls, X: ArrayLike, time: ArrayLike, event: ArrayLike) -> IncidenceModel:
        """Fit a Cox model (Efron) for every cause, the other causes censored.

        Parameters
        ----------
        X
            float[n, p].
        time
            float[n].
        event
            int[n]: 0 censored, 1, 2 ... the causes.

        Raises
        ------
        NotEstimableError
            Without an event.
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
        """From coefficients and cumulative hazards that are known already.

        Parameters
        ----------
        causes, coef, until
            As in the attributes.
        hazards
            (times, cumulative hazard at covariates 0) of each cause.
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
        """Probability that the cause has happened by each time: float[n, len(times)]; NaN beyond the last follow-up.

        Parameters
        ----------
        X
            float[n, p].
        times
            In the unit of the times that it was fitted to.
        cause
            Its code.

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
        ratio = np.exp(as_columns(X)[0] @ self.coef.T)
        total = ratio @ self.jumps
        left = np.exp(-np.cumsum(total, axis=1))
        before = np.hstack([np.ones((len(left), 1)), left[:, :-1]])
        place = self.causes.index(cause)
        share = np.divide(
            ratio[:, [place]] * self.jumps[place], total, out=np.zeros_like(total), where=total > 0
        )
        risk = np.cumsum(before * -np.expm1(-total) * share, axis=1)
        risk = np.hstack([np.zeros((len(left), 1)), risk])
        at = risk[:, np.searchsorted(self.time, wanted, side="right")]
        return np.asarray(np.where(wanted <= self.until, at, np.nan))
