"""Refinement: a small residual network and prototypes, taught by tiles that look alike on other slides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pathosig.phenotypes.consensus import assign, consensus_centroids
from pathosig.phenotypes.kmeans import normalise
from pathosig.phenotypes.spec import PhenotypeSpec

_HIDDEN, _BATCH, _EPOCHS, _QUEUE = 128, 256, 8, 4
_RATE, _DECAY, _EMA = 1e-3, (0.9, 0.999), 0.99
_STUDENT, _EPSILON, _EQUAL, _ROUNDS = 0.1, 0.05, 0.5, 3
_HELD_OUT, _GATE_RUNS = 0.25, 15


@dataclass(frozen=True, kw_only=True)
class Residual:
    """z = x + relu(x W1 + b) W2, scaled to length 1; with W2 = 0 nothing is changed.

    Attributes
    ----------
    w1, b1, w2
        float32 [p, h], [h], [h, p].
    """

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Rows float32[n, p] moved and scaled to length 1."""
        return normalise(x + np.maximum(x @ self.w1 + self.b1, 0) @ self.w2)


def sinkhorn(scores: np.ndarray) -> np.ndarray:
    """Soft targets float[n, k] whose cluster sizes lie half way between equal and as they come.

    References
    ----------
    Cuturi (2013), NeurIPS; Caron et al. (2020), SwAV, arXiv:2006.09882.
    """
    q = np.exp((scores - scores.max(axis=1, keepdims=True)) / _EPSILON)
    q /= q.sum(axis=1, keepdims=True)
    size = _EQUAL / q.shape[1] + (1 - _EQUAL) * q.mean(axis=0)
    for _ in range(_ROUNDS):
        q *= size / np.maximum(q.mean(axis=0), 1e-12)
        q /= q.sum(axis=1, keepdims=True)
    return np.asarray(q)


def partners(x: np.ndarray, slide: np.ndarray, block: int = 2048) -> np.ndarray:
    """For every tile the most similar tile of another slide, int[n]; itself where there is one slide only."""
    out = np.arange(len(x))
    for start in range(0, len(x), block):
        rows = slice(start, start + block)
        similarity = x[rows] @ x.T
        similarity[slide[rows][:, None] == slide[None]] = -2
        best = similarity.argmax(axis=1)
        there = similarity[np.arange(len(best)), best] > -2
        out[rows] = np.where(there, best, out[rows])
    return out


def loss_and_gradients(
    parts: dict[str, np.ndarray], x: np.ndarray, targets: np.ndarray
) -> tuple[float, dict[str, np.ndarray]]:
    """Cross-entropy of the student's assignments with given targets, and its gradients.

    Parameters
    ----------
    parts
        w1, b1, w2 and c (prototypes [k, p]).
    x
        float[n, p].
    targets
        float[n, k], rows sum to 1.
    """
    hidden = np.maximum(x @ parts["w1"] + parts["b1"], 0)
    moved = x + hidden @ parts["w2"]
    length = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
    z = moved / length
    logits = z @ parts["c"].T / _STUDENT
    logits -= logits.max(axis=1, keepdims=True)
    soft = np.exp(logits)
    total = soft.sum(axis=1, keepdims=True)
    loss = -float((targets * (logits - np.log(total))).sum() / len(x))
    d_logits = (soft / total - targets) / (len(x) * _STUDENT)
    d_z = d_logits @ parts["c"]
    d_moved = (d_z - z * np.einsum("ij,ij->i", z, d_z)[:, None]) / length
    d_hidden = (d_moved @ parts["w2"].T) * (hidden > 0)
    gradients = {
        "w1": x.T @ d_hidden,
        "b1": d_hidden.sum(axis=0),
        "w2": hidden.T @ d_moved,
        "c": d_logits.T @ z,
    }
    return loss, gradients


def refine(
    x: np.ndarray, slide: np.ndarray, centroids: np.ndarray, rng: np.random.Generator
) -> tuple[Residual, np.ndarray]:
    """Train the residual network and prototypes from a codebook's centroids.

    A tile and its partner of another slide must be given the same assignment: each learns the other's
    Sinkhorn targets, which a slowly following teacher sets (swapped prediction).

    Parameters
    ----------
    x
        float32[n, p], rows of length 1.
    slide
        int[n].
    centroids
        float32[k, p].
    rng
        Decides the start of W1 and the order of tiles.

    Returns
    -------
    (Residual, centroids float32[k, p] of length 1)

    References
    ----------
    Caron et al. (2020), arXiv:2006.09882 (swapped prediction); Tarvainen & Valpola (2017), arXiv:1703.01780.
    """
    p = x.shape[1]
    student: dict[str, np.ndarray] = {
        "w1": rng.normal(size=(p, _HIDDEN)) / np.sqrt(p),
        "b1": np.zeros(_HIDDEN),
        "w2": np.zeros((_HIDDEN, p)),
        "c": centroids.astype(np.float64).copy(),
    }
    teacher = {name: value.copy() for name, value in student.items()}
    first = {name: np.zeros_like(value) for name, value in student.items()}
    second = {name: np.zeros_like(value) for name, value in student.items()}
    partner = partners(x, slide)
    queue: list[np.ndarray] = []
    step = 0
    for _ in range(_EPOCHS):
        order = rng.permutation(len(x))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            both = np.concatenate([rows, partner[rows]])
            scores = _residual(teacher).apply(x[both]) @ teacher["c"].T
            targets = sinkhorn(np.concatenate([scores, *queue]))[: len(both)]
            queue = [scores, *queue][:_QUEUE]
            swapped = np.concatenate([targets[len(rows) :], targets[: len(rows)]])
            _, gradients = loss_and_gradients(student, x[both].astype(np.float64), swapped)
            step += 1
            for name, gradient in gradients.items():
                first[name] = _DECAY[0] * first[name] + (1 - _DECAY[0]) * gradient
                second[name] = _DECAY[1] * second[name] + (1 - _DECAY[1]) * gradient**2
                mean, square = first[name] / (1 - _DECAY[0] ** step), second[name] / (1 - _DECAY[1] ** step)
                student[name] = student[name] - _RATE * mean / (np.sqrt(square) + 1e-8)
            student["c"] /= np.linalg.norm(student["c"], axis=1, keepdims=True)
            for name, value in student.items():
                teacher[name] = _EMA * teacher[name] + (1 - _EMA) * value
    return _residual(teacher), normalise(teacher["c"])


def _residual(parts: dict[str, np.ndarray]) -> Residual:
    return Residual(**{name: parts[name].astype(np.float32) for name in ("w1", "b1", "w2")})


def gated_refinement(
    x: np.ndarray,
    slide: np.ndarray,
    patient: np.ndarray,
    centroids: np.ndarray,
    spec: PhenotypeSpec,
) -> tuple[Residual | None, np.ndarray, dict[str, Any]]:
    """Refinement, kept only where held-out patients' tiles are assigned at least as steadily with it.

    Two codebooks of other seeds are fitted on three quarters of the patients, with and without
    refinement; their agreement (ARI) on the other quarter decides.

    Returns
    -------
    (Residual or None, centroids, facts: ``kept``, ``ari_before``, ``ari_after``)
    """
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng([spec.seed, 9])
    names = rng.permutation(np.unique(patient))
    held = np.isin(patient, names[: max(1, int(len(names) * _HELD_OUT))])
    if held.all() or len(names) < 4:
        return None, centroids, {"kept": False, "reason": "fewer than four patients"}
    before, after = [], []
    for number in (1, 2):
        seed = np.random.default_rng([spec.seed, 9, number])
        c, _ = consensus_centroids(
            x[~held], len(centroids), seed, runs=min(spec.runs, _GATE_RUNS), fine_k=spec.fine_k,
            landmarks=spec.landmarks, max_iter=spec.max_iter, min_share=spec.min_share,
        )  # fmt: skip
        before.append(assign(x[held], c))
        network, moved = refine(x[~held], slide[~held], c, seed)
        after.append(assign(network.apply(x[held]), moved))
    facts = {
        "ari_before": float(adjusted_rand_score(*before)),
        "ari_after": float(adjusted_rand_score(*after)),
    }
    if facts["ari_after"] < facts["ari_before"]:
        return None, centroids, {"kept": False, **facts}
    network, moved = refine(x, slide, centroids, rng)
    return network, moved, {"kept": True, **facts}
