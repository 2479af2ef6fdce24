"""Prediction error in many bootstrap resamples at once; a resample is given by how often each patient was drawn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_CELLS = 4_000_000
"""Resamples x patients that are processed together: about 32 MB per array."""


def batches(resamples: int, n: int) -> Iterator[int]:
    """Sizes of batches of resamples that fit into memory.

    Parameters
    ----------
    resamples
        Number of resamples.
    n
        Number of patients.

    Returns
    -------
    An iterator of sizes that add up to `resamples`.

    Examples
    --------
    >>> list(batches(1000, 200)), sum(batches(1000, 1_000_000))
    ([1000], 1000)
    """
    most = max(1, _CELLS // max(n, 1))
    for done in range(0, resamples, most):
        yield min(most, resamples - done)


def multinomial(rng: np.random.Generator, resamples: int, n: int) -> np.ndarray:
    """How often each patient is drawn in bootstrap resamples.

    Parameters
    ----------
    rng
        Source of the draws.
    resamples
        Number of resamples.
    n
        Number of patients.

    Returns
    -------
    float[resamples, n]; rows sum to n.

    Examples
    --------
    >>> multinomial(np.random.default_rng(0), 2, 4)
    array([[0., 1., 2., 1.],
           [3., 1., 0., 0.]])
    """
    drawn = rng.integers(0, n, (resamples, n)) + np.arange(resamples)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n).astype(float)


class ResampledError:
    """Brier scores of predictions and of the Kaplan-Meier null model, for any case weights.

    BS(h) = sum_i w_i [ S_i(h)^2 1(t_i <= h, event) / G(t_i-) + (1 - S_i(h))^2 1(t_i > h) / G(h) ] / sum_i w_i, where
    G (censoring) and the null model are Kaplan-Meier estimates with the same case weights. With weights of 1 it equals
    `survival.brier`, also with competing events, for which the null model is the Aalen-Johansen estimate.

    Parameters
    ----------
    predicted
        float[n, m]: predicted survival at `times`.
    time, event
        float[n] and bool[n].
    times
        float[m] horizons in the unit of time.
    entry
        float[n] times of delayed entry. A death at t then has the weight S(t-) / Y(t), and a patient under observation after
        the horizon h the weight S(h) / Y(h+); see `survival.censoring.truncation_weights`.
    competing
        bool[n]: whether the follow-up of each patient ended with a competing event; `predicted` is then
        1 - cumulative incidence. It cannot be combined with `entry`.
    """

    def __init__(
        self,
        predicted: np.ndarray,
        time: np.ndarray,
        event: np.ndarray,
        times: np.ndarray,
        *,
        entry: np.ndarray | None = None,
        competing: np.ndarray | None = None,
    ) -> None:
        self.grid, self.place = np.unique(time, return_inverse=True)
        self.place = self.place.ravel()
        self.order = np.argsort(self.place, kind="stable")
        self.first = np.searchsorted(self.place[self.order], np.arange(len(self.grid)))
        self.event = event
        self.ended = event if competing is None else event | competing
        other = (self.ended & ~event)[:, None] & (time[:, None] <= times)
        died = event[:, None] & (time[:, None] <= times)
        alive = time[:, None] > times
        self.entered: np.ndarray | None = None
        if entry is not None:
            alive &= entry[:, None] <= times
            self.late = np.argsort(entry, kind="stable")
            self.entered = np.searchsorted(entry[self.late], self.grid, side="left")
        self.died, self.other, self.alive = (kind.astype(float) for kind in (died, other, alive))
        self.loss_ended = np.where(died, predicted**2, np.where(other, (1 - predicted) ** 2, 0.0))
        self.loss_alive = np.where(alive, (1 - predicted) ** 2, 0.0)
        self.at = np.searchsorted(self.grid, times, side="right")

    def scores(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Brier scores of the predictions and of the null model: float[b, m] each.

        Parameters
        ----------
        weights
            float[b, n]: case weights of each of b resamples.
        """
        died, ended, left = (self._by_time(weights * kind) for kind in (self.event, self.ended, ~self.ended))
        risk = np.cumsum((ended + left)[:, ::-1], axis=1)[:, ::-1]
        if self.entered is not None:
            return self._delayed(weights, died, risk - self._not_yet(weights, self.entered))
        with np.errstate(divide="ignore", invalid="ignore"):
            survival = np.cumprod(np.where(risk > 0, 1 - ended / risk, 1.0), axis=1)
            # Of tied times, events come before censorings (R's convention).
            censoring = np.cumprod(
                np.where((left > 0) & (risk > ended), 1 - left / (risk - ended), 1.0), axis=1
            )
        one = np.ones((len(weights), 1))
        survival, censoring = np.hstack([one, survival]), np.hstack([one, censoring])
        if self.other.any():  # 1 - Aalen-Johansen: the sum of S(t-) d(t) / Y(t)
            jump = np.divide(survival[:, :-1] * died, risk, out=np.zeros_like(died), where=risk > 0)
            survival = np.hstack([one, 1 - np.cumsum(jump, axis=1)])
        total = weights.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            # G may be 0 at the death of a patient who was not drawn, if no drawn patient is under observation then.
            ipcw = np.where(self.ended & (weights > 0), weights / censoring[:, self.place], 0.0)
            after = 1 / censoring[:, self.at]
            after = np.where(np.isfinite(after), after, 0.0)
            model = (ipcw @ self.loss_ended + (weights @ self.loss_alive) * after) / total
            null = survival[:, self.at]
            free = ipcw @ self.other + (weights @ self.alive) * after
            plain = (null**2 * (ipcw @ self.died) + (1 - null) ** 2 * free) / total
        return model, plain

    def _not_yet(self, weights: np.ndarray, entered: np.ndarray) -> np.ndarray:
        """Total weight of patients who have not entered before each time: float[b, times]."""
        inside = np.cumsum(np.pad(weights[:, self.late], ((0, 0), (1, 0))), axis=1)
        return np.asarray(inside[:, -1:] - inside[:, entered])

    def _delayed(
        self, weights: np.ndarray, died: np.ndarray, risk: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`scores` with delayed entry, in which a death has the size of its step of the Kaplan-Meier estimate as weight."""
        with np.errstate(divide="ignore", invalid="ignore"):
            survival = np.cumprod(np.where(risk > 0, 1 - died / risk, 1.0), axis=1)
            survival = np.hstack([np.ones((len(weights), 1)), survival])
            jump = np.where(risk > 0, survival[:, :-1] / risk, 0.0)
        dead = np.where(self.event, weights * jump[:, self.place], 0.0)
        null, watched = survival[:, self.at], weights @ self.alive
        share = np.divide(null, watched, out=np.zeros_like(null), where=watched > 0)
        model = dead @ self.loss_ended + (weights @ self.loss_alive) * share
        return model, null**2 * (dead @ self.died) + (1 - null) ** 2 * watched * share

    def _by_time(self, weights: np.ndarray) -> np.ndarray:
        """Sums over patients with the same time: float[b, times]."""
        return np.asarray(np.add.reduceat(weights[:, self.order], self.first, axis=1))
