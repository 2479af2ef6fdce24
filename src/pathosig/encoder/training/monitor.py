"""Monitors training: use of the clusters, confidence, and signs of collapse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import NotEstimableError

# On real tiles training had half of its effect after 40 steps and nearly all of it after 100, with 40 as with
# 128 tiles in a step (docs/explanation/training.md). Twice as many leave room for warm-up and harder tiles.
ENOUGH_STEPS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Occupancy:
    """How the clusters are used.

    Attributes
    ----------
    perplexity
        exp(H) / K of the hard assignments: 1 if all clusters are used equally, 1 / K if one cluster has all tiles.
    empty
        Number of clusters without a tile.
    confidence
        Largest probability of a tile, averaged over tiles.
    """

    perplexity: float
    empty: int
    confidence: float


def occupancy(c: np.ndarray) -> Occupancy:
    """Occupancy of the clusters under soft assignments c, float[n, K] with n >= 1."""
    k = c.shape[1]
    share = np.bincount(c.argmax(1), minlength=k) / len(c)
    used = share[share > 0]
    entropy = -float((used * np.log(used)).sum())
    return Occupancy(
        perplexity=float(np.exp(entropy) / k),
        empty=int((share == 0).sum()),
        confidence=float(c.max(1).mean()),
    )


class CollapseWatch:
    """Counts consecutive epochs with too little occupancy; its only state, `bad_epochs`, is part of checkpoints."""

    def __init__(self, *, min_perplexity: float, patience: int, bad_epochs: int = 0) -> None:
        self.min_perplexity = min_perplexity
        self.patience = patience
        self.bad_epochs = bad_epochs

    def see(self, usage: Occupancy, *, epoch: int, after: int) -> str | None:
        """Judge one epoch, and return a warning or None.

        Parameters
        ----------
        usage
            Occupancy at the end of the epoch.
        epoch, after
            Number of the epoch, and the first one that is judged, because heads start from random weights.

        Returns
        -------
        str or None

        Raises
        ------
        NotEstimableError
            E_COLLAPSE after `patience` consecutive epochs with too little occupancy.
        """
        if epoch < after or usage.perplexity >= self.min_perplexity:
            self.bad_epochs = 0
            near = epoch >= after and usage.perplexity < 1.5 * self.min_perplexity
            return f"epoch {epoch}: occupancy {usage.perplexity:.2f} is close to collapse" if near else None
        self.bad_epochs += 1
        if self.bad_epochs >= self.patience:
            message = (
                f"training collapsed: for {self.bad_epochs} epochs the tiles used {usage.perplexity:.0%} of the clusters "
                f"({usage.empty} empty), which is below min_perplexity {self.min_perplexity}. Raise batch_size (at least 2 K), "
                "lower lr or n_clusters, or train on more patients; logs/train.csv has the numbers of every epoch."
            )
            raise NotEstimableError(message, code="E_COLLAPSE")
        return f"epoch {epoch}: occupancy {usage.perplexity:.2f} is below {self.min_perplexity}"


def few_steps(*, steps_per_epoch: int, epochs: int, batch: int, n_clusters: int) -> str | None:
    """A warning if training takes too few optimiser steps, whatever the number of tiles in a step; otherwise None."""
    steps = steps_per_epoch * epochs
    if steps >= ENOUGH_STEPS:
        return None
    advice = f"Raise epochs to {-(-ENOUGH_STEPS // steps_per_epoch)}"
    if batch > 2 * n_clusters:
        advice += (
            f", or lower batch_size (at least 2 K = {2 * n_clusters}), because the number of steps matters more than "
            "their size"
        )
    return (
        f"training takes only {steps} steps ({epochs} epochs of {steps_per_epoch} steps of {batch} tiles); "
        f"expected at least {ENOUGH_STEPS}. {advice}."
    )


def check_finite(loss: float, *, step: int) -> None:
    """Stop training at the first loss that is not finite.

    Raises
    ------
    NotEstimableError
        E_DIVERGED if the loss is not finite.
    """
    if not np.isfinite(loss):
        message = (
            f'training diverged: the loss of step {step} is {loss}. Lower lr, or set precision = "fp32".'
        )
        raise NotEstimableError(message, code="E_DIVERGED")
