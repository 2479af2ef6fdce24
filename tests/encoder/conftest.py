"""Small networks and tiles for the encoder's tests."""

import numpy as np
import pytest

from .tiny import TinyBackbone


@pytest.fixture
def tiny_backbone():
    return TinyBackbone()


@pytest.fixture(scope="session")
def coloured_tiles():
    """uint8 (64, 32, 32, 3): four kinds by colour and stripe, with noise."""
    rng = np.random.default_rng(0)
    base = np.array([[230, 190, 210], [150, 90, 160], [210, 120, 150], [120, 110, 190]], float)
    out = np.empty((64, 32, 32, 3))
    for i in range(64):
        kind = i % 4
        stripes = 20 * np.sin(np.arange(32) * (kind + 1) / 2)[:, None, None]
        out[i] = base[kind] + stripes + rng.normal(0, 8, (32, 32, 3))
    return out.clip(0, 255).astype(np.uint8)
