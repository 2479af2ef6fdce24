"""TEMI heads on frozen features, an alternative `benchmarks/phenotypes.py` measures us against.

Adaloglou, Michels, Kalisch & Kollmann (2023), Exploring the limits of deep image clustering using pretrained
models, BMVC: a student and a teacher head agree on a tile and one of its nearest neighbours, measured by a
weighted pointwise mutual information; the head with the lowest loss is kept.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

NEIGHBOURS, HEADS, EPOCHS, STEPS, BATCH = 25, 8, 50, 1500, 512
BETA, TEMPERATURE, MOMENTUM, LEARNING_RATE = 0.6, 0.1, 0.996, 1e-3


def neighbours(x: torch.Tensor, count: int) -> torch.Tensor:
    """The nearest rows of every row by cosine, int64[n, count]."""
    out = []
    for start in range(0, len(x), 2048):
        near = x[start : start + 2048] @ x.T
        near[torch.arange(len(near)), torch.arange(start, start + len(near))] = -2
        out.append(near.topk(count, dim=1).indices)
    return torch.cat(out)


class Heads(nn.Module):
    """HEADS networks of one hidden layer, evaluated together: (n, d) -> log probabilities (heads, n, k)."""

    def __init__(self, dim: int, k: int, width: int = 128) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(HEADS, dim, width) * (2 / dim) ** 0.5)
        self.last = nn.Parameter(torch.randn(HEADS, width, k) * 0.1 * (1 / width) ** 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(torch.einsum("nd,hdw->hnw", x, self.first))
        return (torch.bmm(hidden, self.last) / TEMPERATURE).log_softmax(dim=2)


def information(student: torch.Tensor, teacher: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
    """log sum_c (q_s(c|x) q_t(c|x'))^beta / q_t(c) of each pair, (heads, n)."""
    return (BETA * (student + teacher) - prior.log()[:, None]).logsumexp(2)


def fit(x: np.ndarray, k: int, seed: int) -> Heads:
    """Train on unit rows x[n, d]; the teacher's heads, the best one first in `order`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rows = torch.from_numpy(np.ascontiguousarray(x, np.float32)) * x.shape[1] ** 0.5
        near = neighbours(torch.from_numpy(np.ascontiguousarray(x, np.float32)), min(NEIGHBOURS, len(x) - 1))
        student, teacher = Heads(x.shape[1], k), Heads(x.shape[1], k)
        teacher.load_state_dict(student.state_dict())
        steps = max(STEPS, len(x) // BATCH * EPOCHS)
        optimiser = torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
        prior = torch.full((HEADS, k), 1 / k)
        loss_of_head = torch.zeros(HEADS)
        for step in range(steps):
            at = torch.randint(len(rows), (min(BATCH, len(rows)),))
            pair = near[at, torch.randint(near.shape[1], (len(at),))]
            q_s, r_s = student(rows[at]), student(rows[pair])
            with torch.no_grad():
                q_t, r_t = teacher(rows[at]), teacher(rows[pair])
                prior = 0.9 * prior + 0.1 * torch.cat([q_t, r_t], 1).exp().mean(1)
                weight = (q_t + r_t).exp().sum(2).mean(0)
            both = information(q_s, r_t, prior) + information(r_s, q_t, prior)
            per_head = -(weight * both).mean(1) / 2
            optimiser.zero_grad()
            per_head.sum().backward()
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * min(1, (step + 1) / (0.1 * steps))
            optimiser.step()
            with torch.no_grad():
                for mine, theirs in zip(teacher.parameters(), student.parameters(), strict=True):
                    mine.lerp_(theirs, 1 - MOMENTUM)
                loss_of_head = 0.98 * loss_of_head + 0.02 * per_head
        best = int(loss_of_head.argmin())
        with torch.no_grad():
            for value in teacher.parameters():
                value[0] = value[best]
    return teacher


@torch.inference_mode()
def labels(heads: Heads, x: np.ndarray) -> np.ndarray:
    """Argmax of the best head, int64[n]."""
    rows = torch.from_numpy(np.ascontiguousarray(x, np.float32)) * x.shape[1] ** 0.5
    parts = [heads(rows[i : i + 4096])[0].argmax(1) for i in range(0, len(rows), 4096)]
    return torch.cat(parts).numpy()
