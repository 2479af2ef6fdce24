"""The losses of deep contrastive clustering, as pure functions of the outputs for a whole batch.

One call needs the outputs for all tiles of a step; `parallel.gather` first collects the rows of
other processes.

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
    temperature
        tau, above 0.

    Returns
    -------
    Tensor
        A scalar, the mean over the 2n rows.
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
        tau, above 0.

    Returns
    -------
    Tensor
        A scalar, the mean over the 2B rows.

    Examples
    --------
    >>> z = torch.eye(4)
    >>> aligned, shuffled = instance_loss(z, z), instance_loss(z, z.roll(1, 0))
    >>> bool(aligned < shuffled)
    True
    """
    return nt_xent(z_a, z_b, temperature=temperature)


def cluster_loss(c_a: torch.Tensor, c_b: torch.Tensor, *, temperature: float = 1.0) -> torch.Tensor:
    """NT-Xent over the 2K columns of c, with the cosine as similarity, plus a penalty for uneven use of clusters.

    The penalty is the sum over both views of ``log K + sum_k p_k log p_k``, where p is the mean assignment of the batch.
    It is 0 for each view if all clusters are used equally, and log K if one cluster has all tiles.

    Parameters
    ----------
    c_a, c_b
        (B, K) soft assignments, whose rows add up to 1.
    temperature
        tau, above 0.

    Returns
    -------
    Tensor
        A scalar.

    Examples
    --------
    >>> even, single = torch.eye(4), torch.eye(4)[[0, 0, 0, 0]]
    >>> bool(cluster_loss(even, even) < cluster_loss(single, single))
    True
    """
    columns_a = functional.normalize(c_a, dim=0)
    columns_b = functional.normalize(c_b, dim=0)
    contrast = nt_xent(columns_a.T, columns_b.T, temperature=temperature)
    return contrast + _missing_entropy(c_a) + _missing_entropy(c_b)


def _missing_entropy(c: torch.Tensor) -> torch.Tensor:
    p = c.mean(0)
    # An empty cluster adds 0; clamping keeps its gradient finite, which that of xlogy is not.
    return math.log(c.shape[1]) + (p * p.clamp_min(torch.finfo(p.dtype).tiny).log()).sum()


def barlow_loss(
    h_a: torch.Tensor, h_b: torch.Tensor, *, weight: float = 0.005, divisor: float | None = None
) -> torch.Tensor:
    """Barlow Twins loss: distance of the cross-correlation of standardised embeddings from the identity.

    Parameters
    ----------
    h_a, h_b
        (B, d) embeddings of the two views.
    weight
        Weight lambda of the off-diagonal terms.
    divisor
        Divisor of the cross product. By default B, which gives a correlation; the published code divides by d.

    Returns
    -------
    Tensor
        A scalar.

    Examples
    --------
    >>> h = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    >>> bool(barlow_loss(h, h) < barlow_loss(h, h.roll(1, 0)))
    True
    """
    n = len(h_a)
    standard_a = functional.batch_norm(h_a, None, None, training=True)
    standard_b = functional.batch_norm(h_b, None, None, training=True)
    correlation = standard_a.T @ standard_b / (n if divisor is None else divisor)
    diagonal = torch.diagonal(correlation)
    on = (1 - diagonal).pow(2).sum()
    off = correlation.pow(2).sum() - diagonal.pow(2).sum()
    return on + weight * off
