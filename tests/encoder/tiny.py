"""A network small enough for tests."""

import torch
from torch import nn


class TinyBackbone(nn.Module):
    """Two convolutions with batch norm: 12-d embeddings of tiles of any size."""

    width = 12

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = nn.Sequential(
                nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                nn.Conv2d(8, 12, 3, stride=2, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
            )  # fmt: skip

    def forward(self, x):
        return self.net(x).mean((2, 3))
