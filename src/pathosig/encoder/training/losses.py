"""The losses of deep contrastive clustering: pure functions of the whole batch's outputs.

Written so that one call sees every tile of a step; `parallel.gather` brings the rows of
other processes together first.

References
----------
Chen et al., ICML 2020 (NT-Xent); Li et al., AAAI 2021 (contrastive clustering);
Zbontar et al., ICML 2021 (Barlow Twins); Zhang et al., npj Digital Medicine 2024 (DL-CC).
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional


def nt_xent(a: torch.Tensor, b: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """Cross-entropy of finding each row's partner among the other 2n - 1 rows.

    Parameters
    ----------
    a, b
        (n, d); row i of `a` and row i of `b` are partners. Similarity is the dot product.
    """
    n = len(a)
    rows = torch.cat([a, b])
    similarity = rows @ rows.T / temperature
    similarity = similarity.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=rows.device), -math.inf)
    partner = torch.arange(2 * n, device=rows.device).roll(n)
    return functional.cross_entropy(similarity, partner)


def instance_loss(z_a: torch.Tensor, z_b: torch.Tensor, *, temperature: float = 0.5) -> torch.Tensor:
    """NT-Xent over the 2B rows of z.

    Parameters
    ----------
    z_a, z_b
        (B, dim), rows of length 1: the two views of the same tiles.
    temperature
        tau, > 0.

    Returns
    -------
    Scalar: mean over the 2B rows.
    """
    return nt_xent(z_a, z_b, temperature=temperature)


def cluster_loss(c_a: torch.Tensor, c_b: torch.Tensor, *, temperature: float = 1.0) -> torch.Tensor:
    """NT-Xent over the 2K columns of c by cosine, plus the entropy that the mean assignments lack.

    The second part is the sum over the two views of ``log K + sum_k p_k log p_k`` with p the mean
    assignment of the batch: 0 when all clusters are used alike, log K when one takes all.

    Parameters
    ----------
    c_a, c_b
        (B, K) soft assignments, rows sum to 1.
    temperature
        tau, > 0.
    """
    columns_a = functional.normalize(c_a, dim=0)
    columns_b = functional.normalize(c_b, dim=0)
    contrast = nt_xent(columns_a.T, columns_b.T, temperature=temperature)
    return contrast + _missing_entropy(c_a) + _missing_entropy(c_b)


def _missing_entropy(c: torch.Tensor) -> torch.Tensor:
    p = c.mean(0)
    # An empty cluster adds 0; the clamp keeps its gradient finite (xlogy's is not).
    return math.log(c.shape[1]) + (p * p.clamp_min(torch.finfo(p.dtype).tiny).log()).sum()


def barlow_loss(
    h_a: torch.Tensor, h_b: torch.Tensor, *, weight: float = 0.005, divisor: float | None = None
) -> torch.Tensor:
    """Barlow Twins: the cross-correlation of standardised embeddings should be the identity.

    Parameters
    ----------
    h_a, h_b
        (B, d).
    weight
        lambda of the off-diagonal terms.
    divisor
        What the cross product is divided by; None is B, a correlation. The original divides by d.
    """
    n = len(h_a)
    standard_a = functional.batch_norm(h_a, None, None, training=True)
    standard_b = functional.batch_norm(h_b, None, None, training=True)
    correlation = standard_a.T @ standard_b / (n if divisor is None else divisor)
    diagonal = torch.diagonal(correlation)
    on = (1 - diagonal).pow(2).sum()
    off = correlation.pow(2).sum() - diagonal.pow(2).sum()
    return on + weight * off
