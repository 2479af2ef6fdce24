"""The DL-CC network: a backbone, an instance head and a cluster head."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class ContrastiveClusteringNet(nn.Module):
    """A backbone with two heads, trained together.

    Parameters
    ----------
    backbone
        Maps tiles (n, 3, h, w) to embeddings (n, width).
    n_clusters
        K, the number of phenotypes.
    dim
        Length of the instance embedding z.
    width
        Length of the backbone's embedding; by default it is read from the backbone, or found by a forward pass.

    References
    ----------
    Zhang et al., npj Digital Medicine 2024; Li et al., "Contrastive Clustering", AAAI 2021.
    """

    def __init__(
        self, backbone: nn.Module, n_clusters: int = 50, dim: int = 128, *, width: int | None = None
    ) -> None:
        super().__init__()
        width = width or _width(backbone)
        self.backbone = backbone
        self.n_clusters = n_clusters
        self.dim = dim
        self.width = width
        self.instance_head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))
        self.cluster_head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, n_clusters))

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Pooled output h of the backbone, (n, width), for tiles (n, 3, h, w)."""
        h: torch.Tensor = self.backbone(x)
        return h

    def heads(self, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """For h, (n, width): z, (n, dim) with rows of length 1, and c, (n, K) with rows that add up to 1."""
        z = functional.normalize(self.instance_head(h), dim=1)
        c = self.cluster_head(h).float().softmax(dim=1)
        return z, c

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both outputs (z, c) for tiles (n, 3, h, w)."""
        return self.heads(self.embed(x))


def _width(backbone: nn.Module) -> int:
    for holder in (backbone, getattr(backbone, "model", None)):
        for name in ("width", "head_hidden_size", "num_features"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and value > 0:
                return value
    training = backbone.training
    backbone.eval()
    with torch.no_grad():
        width = int(backbone(torch.zeros(1, 3, 64, 64)).shape[-1])
    backbone.train(training)
    return width


class StillStatistics:
    """A context in which batch norms use the statistics of the batch, but do not update their running statistics."""

    def __init__(self, net: nn.Module) -> None:
        kind = nn.modules.batchnorm._BatchNorm
        self.layers = [m for m in net.modules() if isinstance(m, kind)]
        self.momenta: list[float | None] = []

    def __enter__(self) -> None:
        self.momenta = [layer.momentum for layer in self.layers]
        for layer in self.layers:
            layer.momentum = 0.0

    def __exit__(self, *_: Any) -> None:
        for layer, momentum in zip(self.layers, self.momenta, strict=True):
            layer.momentum = momentum
