"""Attention over tiles, trained on the Cox partial likelihood: the usual end-to-end model, small enough for a CPU.

The weight of a tile h is softmax(w'(tanh(V h) * sigmoid(U h))), a patient is represented by the weighted mean of the tiles,
and the risk is a linear function of it.

References
----------
Ilse M et al. Attention-based deep multiple instance learning. ICML 2018. Katzman JL et al. DeepSurv. BMC Med Res Methodol
2018; 18: 24 (the Cox likelihood as a loss).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

_HIDDEN = 32
_BATCH = 64
_RATE, _DECAY, _DROPOUT = 5e-3, 1e-2, 0.25


class AttentionCox(nn.Module):
    """Gated attention and a linear risk."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.tanh, self.gate = nn.Linear(dim, _HIDDEN), nn.Linear(dim, _HIDDEN)
        self.weight, self.risk = nn.Linear(_HIDDEN, 1), nn.Linear(dim, 1, bias=False)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, tiles: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Risk of every patient, float[n], from padded tiles, float[n, tiles, d]; `there`, bool[n, tiles], marks real tiles."""
        logit = self.weight(torch.tanh(self.tanh(tiles)) * torch.sigmoid(self.gate(tiles)))[..., 0]
        share = torch.softmax(logit.masked_fill(~there, -torch.inf), dim=1)
        pooled = (share[..., None] * tiles).sum(dim=1)
        out: torch.Tensor = self.risk(self.dropout(pooled))[..., 0]
        return out


def _loss(risk: torch.Tensor, order: torch.Tensor, event: torch.Tensor) -> torch.Tensor:
    """Negative log partial likelihood per event (Breslow); `order` sorts patients by decreasing time."""
    sorted_risk = risk[order]
    total = torch.logcumsumexp(sorted_risk, dim=0)
    died = event[order]
    return -((sorted_risk - total) * died).sum() / died.sum()


def attention_scores(
    bags: Sequence[np.ndarray],
    time: np.ndarray,
    event: np.ndarray,
    training: np.ndarray,
    *,
    epochs: int = 40,
    seed: int = 0,
) -> np.ndarray:
    """Risks of all patients from a model that is trained on some of them.

    Parameters
    ----------
    bags
        Tiles of each patient, float[tiles, d].
    time, event
        float[n] and bool[n]; only those of training patients are used.
    training
        bool[n]: the patients to train on.
    epochs, seed
        Number of optimisation steps, each over all training patients; seed of the initial weights and of the dropout.

    Returns
    -------
    float[n]
        Higher is worse; the scale is arbitrary.
    """
    width, dim = max(len(b) for b in bags), bags[0].shape[1]
    tiles, there = torch.zeros(len(bags), width, dim), torch.zeros(len(bags), width, dtype=torch.bool)
    for i, bag in enumerate(bags):
        tiles[i, : len(bag)] = torch.as_tensor(bag, dtype=torch.float32)
        there[i, : len(bag)] = True
    rows = torch.as_tensor(np.flatnonzero(training))
    order = torch.as_tensor(np.argsort(-time[training], kind="stable").copy())
    died = torch.as_tensor(event[training].astype(np.float32))
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        model = AttentionCox(dim)
        optimiser = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=_DECAY)
        model.train()
        for _ in range(epochs):
            optimiser.zero_grad()
            loss = _loss(model(tiles[rows], there[rows]), order, died)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        model.eval()
        with torch.no_grad():
            parts = range(0, len(bags), _BATCH)
            risk = torch.cat([model(tiles[i : i + _BATCH], there[i : i + _BATCH]) for i in parts])
        torch.set_num_threads(threads)
    return np.asarray(risk.numpy(), float)
