"""Is training healthy? Occupancy, confidence and the signs of collapse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import NotEstimableError

# On real tiles an embedding at 40 steps had half of its gain, and from 100 steps on nearly all of it, whether
# a step saw 40 or 128 tiles (docs/explanation/training.md); twice that leaves room for warm-up and harder tiles.
ENOUGH_STEPS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Occupancy:
    """How the clusters are used.

    Attributes
    ----------
    perplexity
        exp(H) / K of the hard assignments: 1 = all alike, 1 / K = one takes all.
    empty
        Clusters without a tile.
    confidence
        Mean largest probability.
    """

    perplexity: float
    empty: int
    confidence: float


def occupancy(c: np.ndarray) -> Occupancy:
    """Occupancy of soft assignments c, (n, K) with n >= 1."""
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
    """Counts epochs of too little occupancy; the state is one integer, kept in checkpoints."""

    def __init__(self, *, min_perplexity: float, patience: int, bad_epochs: int = 0) -> None:
        self.min_perplexity = min_perplexity
        self.patience = patience
        self.bad_epochs = bad_epochs

    def see(self, found: Occupancy, *, epoch: int, after: int) -> str | None:
        """Look at one epoch; returns an early warning or None.

        Parameters
        ----------
        epoch, after
            Number of the epoch, and the first one that counts (heads start at random).

        Raises
        ------
        NotEstimableError
            E_COLLAPSE, after `patience` bad epochs in a row.
        """
        if epoch < after or found.perplexity >= self.min_perplexity:
            self.bad_epochs = 0
            near = epoch >= after and found.perplexity < 1.5 * self.min_perplexity
            return f"epoch {epoch}: occupancy {found.perplexity:.2f} is close to collapse" if near else None
        self.bad_epochs += 1
        if self.bad_epochs >= self.patience:
            message = (
                f"training collapsed: for {self.bad_epochs} epochs the tiles used "
                f"{found.perplexity:.0%} of the "
                f"clusters ({found.empty} empty), below min_perplexity {self.min_perplexity}. "
                "Raise batch_size (at least 2 K), lower lr or n_clusters, or train on more patients; "
                "logs/train.csv has the curve."
            )
            raise NotEstimableError(message, code="E_COLLAPSE")
        return f"epoch {epoch}: occupancy {found.perplexity:.2f} is below {self.min_perplexity}"


def few_steps(*, steps_per_epoch: int, epochs: int, batch: int, n_clusters: int) -> str | None:
    """A warning when training takes too few optimiser steps, however many tiles each of them sees."""
    steps = steps_per_epoch * epochs
    if steps >= ENOUGH_STEPS:
        return None
    advice = f"Raise epochs to {-(-ENOUGH_STEPS // steps_per_epoch)}"
    if batch > 2 * n_clusters:
        advice += f", or lower batch_size (at least 2 K = {2 * n_clusters}): steps count, not tiles a step"
    return (
        f"training takes only {steps} steps ({epochs} epochs of {steps_per_epoch} steps of {batch} tiles); "
        f"expected at least {ENOUGH_STEPS}. {advice}."
    )


def check_finite(loss: float, *, step: int) -> None:
    """Stop at the first loss that is no number.

    Raises
    ------
    NotEstimableError
        E_DIVERGED.
    """
    if not np.isfinite(loss):
        message = (
            f'training diverged: the loss of step {step} is {loss}. Lower lr, or set precision = "fp32".'
        )
        raise NotEstimableError(message, code="E_DIVERGED")
